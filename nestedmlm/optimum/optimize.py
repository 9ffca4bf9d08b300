"""From statistics to a certified optimum.

Unbounded in phi from a start with no zero column; trust-region Newton; then the certificate; where
it fails, leave along the most negative direction and go on; then try exact zeros.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import Plan, phi_of_theta, start_phi, theta_of_phi
from nestedmlm.optimum.bounded import bounded_minimum, projected_gradient, same_signs
from nestedmlm.optimum.certificate import Certificate, min_eigenvalue
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import newton_decrease
from nestedmlm.optimum.trust_region import Descent
from nestedmlm.optimum.zeros import leave_boundary, zero_candidates
from nestedmlm.statistics.crossproducts import CrossProducts

_EQUAL_SHARE_OF_CRITERION = 1e-12  # share of the criterion by which an exact zero may raise it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """The optimum: where the criterion is smallest, with its certificate.

    Attributes
    ----------
    theta : (n_theta,) array
        lme4's parameters, in the user's columns.
    evaluation : Evaluation
        The criterion and its derivatives there (scaled columns).
    certificate : Certificate
        What was asked, done and checked.
    """

    theta: FloatArray
    evaluation: Evaluation
    certificate: Certificate


@dataclass(slots=True, kw_only=True, eq=False)
class _Log:
    """Log of evaluations, escapes and zeros so far; it ends in the certificate."""

    evaluations: int = 0
    escapes: int = 0
    snaps: int = 0
    path: list[float] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)

    def add(self, descent: Descent[ObjectiveAt], route: str) -> None:
        self.evaluations += descent.evaluations
        self.path += descent.path
        if route not in self.routes:
            self.routes.append(route)


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
    control, began, log = control or Control(), time.perf_counter(), _Log()
    objective = Objective(plan=plan, stats=stats, REML=REML, penalty=penalty)
    first = point = starting_point(plan, stats, start) if phi is None else phi
    for _ in range(1 + plan.n_theta):
        route = objective.route
        descent = objective.descend(
            point,
            tolerance=control.tolerance,
            max_evaluations=max(2, control.max_evaluations - log.evaluations),
        )
        log.add(descent, route)
        here = descent.best
        if penalty is None:  # with one, the boundary is infinitely bad
            here = _snapped(here, control, log)
        if here.escape_gain <= control.escape_tolerance or _exhausted(log, control):
            break
        point = leave_boundary(here.point, plan, here.escape)
        log.evaluations += 1
        if objective.at(point).value >= here.value:
            break
        log.escapes += 1
    promised, converged = descent.predicted, descent.converged
    if not same_signs(here.point, plan):
        here = _bounded(here, log)
        promised = _promised_inside(here, plan)
        converged = promised <= control.escape_tolerance
    holds = converged and here.escape_gain <= control.escape_tolerance
    return Optimum(
        theta=theta_of_phi(here.point, plan, stats),
        evaluation=here.evaluation,
        certificate=Certificate(
            holds=holds,
            gradient=float(np.max(np.abs(here.gradient), initial=0.0)),
            predicted_decrease=max(float(promised), 0.0),
            min_eigenvalue=min_eigenvalue(here.evaluation, plan),
            escape_gain=here.escape_gain,
            evaluations=log.evaluations,
            seconds=time.perf_counter() - began,
            message="optimum certified" if holds else _advice(_exhausted(log, control)),
            control=control,
            start=tuple(theta_of_phi(first, plan, stats).tolist()),
            path=tuple(log.path),
            route=", ".join(log.routes),
            escapes=log.escapes,
            snaps=log.snaps,
        ),
    )


def _exhausted(log: _Log, control: Control) -> bool:
    return log.evaluations >= control.max_evaluations


def _snapped(here: ObjectiveAt, control: Control, log: _Log) -> ObjectiveAt:
    """Try exact zeros for small standard deviations; keep them if the criterion agrees."""
    objective = here.objective
    for candidate in zero_candidates(here.point, objective.plan, control.snap):
        trial = objective.at(candidate)
        log.evaluations += 1
        if trial.value <= here.value + _EQUAL_SHARE_OF_CRITERION * max(1.0, abs(here.value)):
            log.snaps += 1
            log.path.append(trial.value)
            return trial
    return here


def _bounded(here: ObjectiveAt, log: _Log) -> ObjectiveAt:
    """Descend again with bounds, from where standard deviations have different signs."""
    o = here.objective
    inside, spent = bounded_minimum(o.plan, o.stats, o.REML, here.point)
    found = o.at(inside)
    log.evaluations += spent + 1
    log.path.append(found.value)
    log.routes.append("L-BFGS-B")
    return found


def _promised_inside(here: ObjectiveAt, plan: Plan) -> float:
    """Decrease a Newton step promises in the directions that no bound closes."""
    g = projected_gradient(here.point, here.gradient, plan)
    free = (g != 0.0) | (here.gradient == 0.0)
    values, vectors = np.linalg.eigh(here.hessian[np.ix_(free, free)])
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
