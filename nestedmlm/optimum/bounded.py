"""Descent with bounds, for structures whose standard deviations must not change sign.

Heterogeneous compound symmetry and AR(1) have covariances ``s_i s_j rho_ij``: unlike elsewhere, a
negative s_i is another model, not the same one. The unbounded method is tried first; where it ends
at mixed signs, SciPy's L-BFGS-B takes over from several starts. Every start has all standard
deviations positive, because at zero they can be trapped.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, split_parameters
from nestedmlm.likelihood.plan import Plan, start_phi
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.statistics.crossproducts import CrossProducts

_NO_COVARIANCE = 1e10  # criterion for each row where there is no factor
_STARTS = (1.0, 0.3, 2.0)  # relative standard deviations to start from


def _signs_matter(shape: TermShape) -> bool:
    return not (shape.hom or shape.structure.linear)


def signed_sds(plan: Plan) -> np.ndarray:
    """Mark the entries of phi that are standard deviations with a sign that matters."""
    marks = []
    for shape in plan.shapes:
        mark = np.zeros(shape.count, dtype=bool)
        if _signs_matter(shape):
            mark[: shape.k] = True
        marks.append(mark)
    return np.concatenate(marks)


def same_signs(phi: FloatArray, plan: Plan) -> bool:
    """Whether every term's standard deviations share one sign (then all may be made positive)."""
    for part, shape in zip(split_parameters(phi, plan.shapes), plan.shapes, strict=True):
        sds = part[: shape.k]
        if _signs_matter(shape) and sds.min() < 0.0 < sds.max():
            return False
    return True


def bounded_minimum(
    plan: Plan, stats: CrossProducts, REML: bool, near: FloatArray
) -> tuple[FloatArray, int]:
    """Minimise with the marked standard deviations bounded below by zero.

    Parameters
    ----------
    near : (n_theta,) array
        Where the unbounded descent ended; its reflection is one of the starts.

    Returns
    -------
    phi : (n_theta,) array
    evaluations : int
    """
    from scipy.optimize import minimize  # only these rare fits wait for its import

    marks = signed_sds(plan)
    bounds = [(0.0, None) if m else (None, None) for m in marks]
    reflected = np.where(marks, np.maximum(np.abs(near), 0.05), near)
    starts = [reflected, *(np.where(marks, s, start_phi(plan)) for s in _STARTS)]

    def objective(phi: FloatArray) -> tuple[float, FloatArray]:
        try:
            ev = evaluate(phi, plan, stats, REML)
        except np.linalg.LinAlgError:  # on the edge of a user's structure: the search steps back
            return _NO_COVARIANCE, np.zeros_like(phi)
        return ev.criterion / stats.n, ev.gradient / stats.n  # so that the first step is short

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500}
    runs = [
        minimize(objective, s, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
        for s in starts
    ]
    best = min(runs, key=lambda run: run.fun)
    return np.asarray(best.x), sum(run.nfev for run in runs)


def projected_gradient(phi: FloatArray, gradient: FloatArray, plan: Plan) -> FloatArray:
    """Gradient without the components that only a bound keeps from vanishing."""
    held = signed_sds(plan) & (phi <= 0.0) & (gradient > 0.0)
    return np.where(held, 0.0, gradient)
