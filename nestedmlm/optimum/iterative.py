"""The optimum where large crossed factors are eliminated iteratively.

Newton's method on the gradient, whose quadratic forms are exact and whose traces are means over
fixed random vectors, with average information (Gilmour, Thompson & Cullis 1995). As many vectors
are taken as bring the Monte Carlo error of theta below a share of its standard error.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination import IterativelyEliminated
from nestedmlm.likelihood.plan import Plan, jacobian, theta_of_phi
from nestedmlm.optimum.certificate import Certificate, min_slope
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.optimize import Optimum, starting_point
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import quadratic_step
from nestedmlm.optimum.trust_region import RADIUS
from nestedmlm.optimum.zeros import leave_boundary, zero_candidates
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

LARGEST_SHARE = 0.02  # Monte Carlo error of theta, in standard errors, that a certificate allows
MOST_PROBES = 1024  # random vectors
_SPARE = 1.5  # times the vectors that seem to be needed are taken
_TOLERANCE = 1e-6  # deviance units a Newton step may still promise
_SHRINKS = 0.9  # share of what Newton's method promised that a step must undercut


@dataclass(slots=True, kw_only=True, eq=False)
class _Log:
    """Log of evaluations, escapes and zeros so far; it ends in the certificate."""

    evaluations: int = 0
    escapes: int = 0
    snaps: int = 0
    path: list[float] = field(default_factory=list)

    def evaluate(self, objective: Objective, phi: FloatArray) -> ObjectiveAt:
        self.evaluations += 1
        return objective.at(phi)


def optimize_iteratively(
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | None = None,
) -> Optimum:
    """Minimise the criterion of sparse statistics; the arguments are those of `optimize`.

    Raises
    ------
    OptionError
        If `start` has the wrong length.
    """
    control, began, log = control or Control(), time.perf_counter(), _Log()
    objective = Objective(plan=plan, stats=stats, REML=REML, penalty=penalty)
    point = first = starting_point(plan, stats, start)
    while True:
        here, promised = _descend(objective, point, control, log)
        error = monte_carlo_error(here)
        probes = _probes_needed(objective, error.share)
        if probes is None or log.evaluations >= control.max_evaluations:
            break
        sums = objective.stats.sparse
        assert sums is not None
        stats = replace(objective.stats, sparse=replace(sums, probes=probes))
        objective, point = replace(objective, stats=stats), here.point
    holds = (
        promised <= _TOLERANCE
        and error.share <= LARGEST_SHARE
        and here.escape_gain <= max(_TOLERANCE, 0.5 * LARGEST_SHARE**2)
    )
    return Optimum(
        theta=theta_of_phi(here.point, plan, stats),
        evaluation=here.evaluation,
        stats=stats,
        certificate=Certificate(
            holds=holds,
            gradient=float(np.max(np.abs(here.gradient), initial=0.0)),
            predicted_decrease=max(float(promised), 0.0),
            min_eigenvalue=min_slope(here.evaluation, plan),
            escape_gain=here.escape_gain,
            evaluations=log.evaluations,
            seconds=time.perf_counter() - began,
            message=_message(holds, error),
            control=control,
            start=tuple(theta_of_phi(first, plan, stats).tolist()),
            starts=1,
            path=tuple(log.path),
            route="iterative",
            escapes=log.escapes,
            snaps=log.snaps,
            monte_carlo_error=error.share,
        ),
    )


def _descend(
    objective: Objective, point: FloatArray, control: Control, log: _Log
) -> tuple[ObjectiveAt, float]:
    """Newton's method, exact zeros, and ways out of them; what is still promised at the end."""
    plan = objective.plan
    here, promised = _newton(objective, point, control, log)
    for _ in range(plan.n_theta):
        if objective.penalty is None:
            here = _snapped(here, control, log)
        if here.escape_gain <= _TOLERANCE or log.evaluations >= control.max_evaluations:
            break
        log.escapes += 1
        away = leave_boundary(here.point, plan, here.escape, here.escape.step)
        here, promised = _newton(objective, away, control, log)
    return here, promised


def _newton(
    objective: Objective, point: FloatArray, control: Control, log: _Log
) -> tuple[ObjectiveAt, float]:
    here, radius = log.evaluate(objective, point), RADIUS
    log.path.append(here.value)
    while True:
        promised, _, step, predicted = quadratic_step(here.hessian, here.gradient, radius)
        if promised <= _TOLERANCE or log.evaluations >= control.max_evaluations:
            return here, promised
        there = _evaluated(objective, here.point + step, log)
        left = math.inf
        if there is not None:
            left = quadratic_step(there.hessian, there.gradient, radius)[0]
        # the value decides where it can; below its Monte Carlo error the gradient does
        fell = there is not None and here.value - there.value > 0.1 * predicted
        if there is not None and (fell or left < _SHRINKS * promised):
            here = there
            log.path.append(here.value)
            radius = 3.0 * radius
        else:
            radius = 0.25 * float(np.linalg.norm(step))
            if radius < 1e-8:  # no step is short enough: rounding ends the descent
                return here, promised


def _evaluated(objective: Objective, phi: FloatArray, log: _Log) -> ObjectiveAt | None:
    try:
        there = log.evaluate(objective, phi)
    except np.linalg.LinAlgError:
        return None
    return there if math.isfinite(there.value) else None


def _snapped(here: ObjectiveAt, control: Control, log: _Log) -> ObjectiveAt:
    """Try exact zeros for small standard deviations; keep them if nothing promises to leave."""
    for candidate in zero_candidates(here.point, here.objective.plan, control.snap):
        trial = _evaluated(here.objective, candidate, log)
        if trial is not None and trial.escape_gain <= _TOLERANCE:
            log.snaps += 1
            log.path.append(trial.value)
            return trial
    return here


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonteCarloError:
    """Monte Carlo error of an iterative optimum.

    Attributes
    ----------
    share : float
        Largest ratio of a covariance parameter's Monte Carlo error to its standard error.
    criterion : float
        Standard error of the criterion.
    """

    share: float
    criterion: float


def monte_carlo_error(here: ObjectiveAt) -> MonteCarloError:
    """Error of the estimates that is due to the random vectors, from their spread."""
    plan, stats, state = here.objective.plan, here.objective.stats, here.evaluation.state
    assert isinstance(state, IterativelyEliminated)
    J, T = jacobian(here.point, plan), here.evaluation.T
    n, noise = len(state.logdet_draws), np.zeros((plan.n_theta,) * 2)
    for draws in state.info_draws:  # of one factor's vectors
        slopes = np.array([J.T @ twice_products(d, T, stats.parts) for d in draws])
        noise += np.atleast_2d(np.cov(slopes, rowvar=False)) / n
    values, vectors = np.linalg.eigh(here.hessian)
    keep = values > 1e-10 * max(float(values[-1]), 1e-300)
    inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    moved, own = np.diag(inverse @ noise @ inverse), 2.0 * np.diag(inverse)
    shares = np.sqrt(moved[own > 0] / own[own > 0])
    return MonteCarloError(
        share=float(np.max(shares, initial=0.0)),
        criterion=float(np.std(state.logdet_draws, ddof=1) / math.sqrt(n)),
    )


def _probes_needed(objective: Objective, share: float) -> int | None:
    """How many vectors to take next; None where there are enough, or too many already."""
    sums = objective.stats.sparse
    assert sums is not None
    if share <= LARGEST_SHARE or sums.probes >= MOST_PROBES:
        return None
    return min(MOST_PROBES, math.ceil(_SPARE * sums.probes * (share / LARGEST_SHARE) ** 2))


def _message(holds: bool, error: MonteCarloError) -> str:
    found = (
        f"Monte Carlo error of theta {100.0 * error.share:.1f} % of its standard error, of the "
        f"criterion {error.criterion:.2g}"
    )
    if holds:
        return f"local optimum certified; {found}"
    return (
        f"the optimum could not be certified; {found}. Start nearer (start=), allow more "
        "(control=Control(max_evaluations=...)), or simplify the random effects"
    )
