"""From statistics to a certified optimum.

Unbounded in phi from a start with no zero column; trust-region Newton; then the certificate; where
it fails, leave along the most negative direction and go on; then try exact zeros.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import split_parameters
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import Plan, phi_of_theta, start_phi, theta_of_phi
from nestedmlm.optimum.bounded import bounded_minimum, projected_gradient, same_signs
from nestedmlm.optimum.certificate import Certificate, Escape, min_eigenvalue
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.optimum.objective import Model, Objective
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import newton_decrease
from nestedmlm.statistics.crossproducts import CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Settings of the optimizer; the defaults are meant to be left alone.

    Attributes
    ----------
    tolerance : float
        Stop when a Newton step promises less than this many deviance units.
    escape_tolerance : float
        Largest promised decrease (deviance units) along a new direction at a certified optimum.
    max_evaluations : int
        Evaluations of the criterion before giving up.
    snap : float
        Relative standard deviations (scaled columns) below this are tried at exactly zero.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("Dyestuff")
    >>> nm.lmer("Yield ~ 1 + (1 | Batch)", data, control=nm.Control(tolerance=1e-10)).converged
    True
    """

    tolerance: float = 1e-12
    escape_tolerance: float = 1e-6
    max_evaluations: int = 500
    snap: float = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """Where the criterion is smallest.

    Attributes
    ----------
    theta : (n_theta,) array
        lme4's parameters, in the user's columns.
    evaluation : Evaluation
        The criterion and its derivatives there (scaled columns).
    certificate : Certificate
        What was checked.
    """

    theta: FloatArray
    evaluation: Evaluation
    certificate: Certificate


def optimize(
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | None = None,
    phi: FloatArray | None = None,
) -> Optimum:
    """Minimise the REML or ML criterion over the covariance parameters.

    Parameters
    ----------
    plan, stats : Plan, CrossProducts
        The structure and the numbers of the model.
    REML : bool
        REML criterion (True) or -2 log-likelihood.
    start : (n_theta,) array, optional
        Starting theta (user's columns); zero standard deviations in it are moved off zero.
    control : Control, optional
    penalty : Penalty, optional
        Minimise the criterion minus twice the logarithm of this prior density.
    phi : (n_theta,) array, optional
        Where another descent has arrived already, in place of `start`.

    Raises
    ------
    OptionError
        If `start` has the wrong length.
    """
    control = control or Control()
    began = time.perf_counter()

    objective = Objective(plan=plan, stats=stats, REML=REML, penalty=penalty)
    local = objective.local
    point = starting_point(plan, stats, start) if phi is None else phi
    used = 0
    for _ in range(1 + plan.n_theta):
        descent = objective.descend(
            point,
            tolerance=control.tolerance,
            max_evaluations=max(2, control.max_evaluations - used),
        )
        used += descent.evaluations
        here = descent.best
        if penalty is None:  # with one, the boundary is infinitely bad
            here, spent = _snapped(here, plan, local, control)
            used += spent
        escape = here.state[1]()
        if escape.gain <= control.escape_tolerance or used >= control.max_evaluations:
            break
        point = _leave(here.point, plan, escape)
        used += 1
        if local(point).value >= here.value:
            break
    promised, converged = descent.predicted, descent.converged
    if not same_signs(here.point, plan):
        inside, spent = bounded_minimum(plan, stats, REML, here.point)
        here, used = local(inside), used + spent + 1
        promised = _promised_inside(here, plan)
        converged = promised <= control.escape_tolerance
        escape = here.state[1]()
    return Optimum(
        theta=theta_of_phi(here.point, plan, stats),
        evaluation=here.state[0],
        certificate=_certificate(here, promised, converged, escape, plan, control, used, began),
    )


def _promised_inside(here: Model, plan: Plan) -> float:
    """Decrease a Newton step promises in the directions that no bound closes."""
    g = projected_gradient(here.point, here.gradient, plan)
    free = (g != 0.0) | (here.gradient == 0.0)
    values, vectors = np.linalg.eigh(here.hessian()[np.ix_(free, free)])
    return newton_decrease(values, vectors.T @ g[free])


def starting_point(plan: Plan, stats: CrossProducts, start: FloatArray | None) -> FloatArray:
    """Phi at a given theta, off the zeros that would trap it; without one, the default."""
    if start is None:
        return start_phi(plan)
    theta = np.asarray(start, dtype=float)
    if theta.shape != (plan.n_theta,):
        raise OptionError(
            f"start must hold the {plan.n_theta} covariance parameters of this model (theta), "
            f"got an array of shape {theta.shape}"
        )
    phi = phi_of_theta(theta, plan, stats)
    # A zero column has zero gradient whatever the data say: never start on one
    default = start_phi(plan)
    return np.where((np.abs(phi) < 1e-3) & (default != 0), 0.1 * default, phi)


def _snapped(
    model: Model, plan: Plan, local: Callable[[FloatArray], Model], control: Control
) -> tuple[Model, int]:
    """Try exact zeros for small standard deviations; keep them if the criterion agrees."""
    used = 0
    for candidate in _snap_candidates(model.point, plan, control.snap):
        trial = local(candidate)
        used += 1
        if trial.value <= model.value + 1e-12 * max(1.0, abs(model.value)):
            return trial, used
    return model, used


def _snap_candidates(phi: FloatArray, plan: Plan, limit: float) -> list[FloatArray]:
    """Points with all small standard deviations at zero, then with one of them at a time."""
    options: list[tuple[int, FloatArray]] = []  # (term, replacement of its part of phi)
    parts = list(split_parameters(phi, plan.shapes))
    everything = [p.copy() for p in parts]
    for t, (part, shape) in enumerate(zip(parts, plan.shapes, strict=True)):
        found = shape.structure.with_zeros(part, shape.k, shape.hom, limit)
        if found:
            everything[t] = found[0]
        options += [(t, replacement) for replacement in found]
    if not options:
        return []
    out = [np.concatenate(everything)]
    if len(options) > 1:
        for t, replacement in options:
            out.append(np.concatenate([replacement if i == t else p for i, p in enumerate(parts)]))
    return out


def _leave(phi: FloatArray, plan: Plan, escape: Escape) -> FloatArray:
    """Add the escape direction to one term's covariance."""
    parts = list(split_parameters(phi, plan.shapes))
    shape = plan.shapes[escape.term]
    parts[escape.term] = shape.structure.grown(
        parts[escape.term], escape.direction, escape.step, shape.k, shape.hom
    )
    return np.concatenate(parts)


def _certificate(
    here: Model,
    promised: float,
    converged: bool,
    escape: Escape,
    plan: Plan,
    control: Control,
    used: int,
    began: float,
) -> Certificate:
    holds = converged and escape.gain <= control.escape_tolerance
    ev = here.state[0]
    return Certificate(
        holds=holds,
        gradient=float(np.max(np.abs(here.gradient), initial=0.0)),
        predicted_decrease=max(promised, 0.0),
        min_eigenvalue=min_eigenvalue(ev, plan),
        escape_gain=escape.gain,
        evaluations=used,
        seconds=time.perf_counter() - began,
        message="optimum certified" if holds else _advice(used >= control.max_evaluations),
    )


def _advice(exhausted: bool) -> str:
    if exhausted:
        return (
            "the optimizer used all its evaluations; start nearer (start=), allow more "
            "(control=Control(max_evaluations=...)), or simplify the random effects"
        )
    return (
        "the optimum could not be certified: the criterion still falls in some direction but no "
        "step lowers it; check for nearly collinear random slopes and very different units"
    )
