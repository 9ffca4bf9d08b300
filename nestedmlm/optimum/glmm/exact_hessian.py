"""Second derivatives of a generalized model's criterion: differences of its exact gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.glmm.laplace_likelihood import laplace_slopes_on_both_sides
from nestedmlm.likelihood.glmm.warm_start import WarmStart
from nestedmlm.likelihood.plan import flat_factors, jacobian
from nestedmlm.statistics.parts import twice_products

if TYPE_CHECKING:
    from nestedmlm.optimum.glmm.glmm_objective import GlmmObjectiveAt

_DIFFERENCE = 1e-3  # of a step of differences, in standard errors
_LARGEST_DIFFERENCE = 1e-3  # in the coordinates


def exact_hessian(here: GlmmObjectiveAt) -> FloatArray:
    """Second derivatives of the objective by central differences of its exact gradient.

    Parameters
    ----------
    here : GlmmObjectiveAt

    Returns
    -------
    (n, n) array

    Raises
    ------
    numpy.linalg.LinAlgError
        If the criterion does not exist beside the point.
    """
    size = np.abs(np.diag(here.approximate_hessian))
    steps = _DIFFERENCE * np.minimum(
        np.sqrt(2.0 / np.maximum(size, 1e-300)), _LARGEST_DIFFERENCE / _DIFFERENCE
    )
    ahead, behind = _bare_gradients(here, steps) or _gradients_one_by_one(here, steps)
    H = (ahead - behind) / (2.0 * steps[:, None])
    return 0.5 * (H + H.T)


def _gradients_one_by_one(
    here: GlmmObjectiveAt, steps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradients a step ahead and a step behind in each parameter."""
    objective, point = here._objective, here.point
    ahead, behind = np.empty((2, len(point), len(point)))
    begin = WarmStart.of(here._evaluation.approximation)
    for i, e in enumerate(np.diag(steps)):
        objective.warm[:] = [begin]
        ahead[i] = objective.gradient_at(point + e)
        (there,) = objective.warm
        gamma = begin.gamma if objective.joint else objective.split(point - e)[1]
        objective.warm[:] = [begin.opposite(there.B, gamma)]
        behind[i] = objective.gradient_at(point - e)
    objective.warm[:] = [begin]
    return ahead, behind


def _bare_gradients(
    here: GlmmObjectiveAt, steps: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """The same of a Laplace approximation without a prior, where compiled loops give it."""
    objective, plan = here._objective, here.objective.plan
    plain = objective.penalty is None and objective.precision is None
    if objective.nAGQ != 1 or not plain or objective.model.family.has_dispersion:
        return None
    nt, e = plan.n_theta, np.diag(steps)
    points = here.point + np.stack([e, -e], axis=1)
    phi, gamma = points[..., :nt], np.ascontiguousarray(points[..., nt:])
    T = np.array([[flat_factors(np, one, plan) for one in pair] for pair in phi])
    begin = WarmStart.of(here._evaluation.approximation)
    near = np.array([begin.near(pair[0]) for pair in gamma])
    found = laplace_slopes_on_both_sides(objective.model, T, gamma, begin.B, near)
    if found is None:
        return None
    of_T, of_gamma = twice_products(found[0], T, objective.model.parts), found[1]
    rows = zip(phi.reshape(-1, nt), of_T.reshape(-1, of_T.shape[-1]), strict=True)
    of_phi = np.reshape([jacobian(at, plan).T @ one for at, one in rows], phi.shape)
    gradients = np.concatenate([of_phi, of_gamma], axis=-1)
    return gradients[:, 0], gradients[:, 1]
