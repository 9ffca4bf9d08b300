"""From one start to a local optimum.

Unbounded in phi from a start with no zero column; trust-region Newton; exact zeros are tried; where
a move promises more, leave along it and go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.quadratic import RESOLVED
from nestedmlm.optimum.trust_region import Descent, attempt
from nestedmlm.optimum.zeros import leave_boundary, zero_candidates

_STEEP = 1e-3  # norm of a gradient, in deviance units, from which walls are looked for
_WAY = 1e-4  # in phi: how far down the gradient
_HALVINGS = 20  # of an escape's step, by 4 each, until the criterion falls
_PATIENCE = 60  # evaluations after which zeros are tried: beside one a descent may crawl


@dataclass(slots=True, kw_only=True, eq=False)
class Log:
    """Log of the evaluations, escapes and zeros of one start; it ends in the certificate."""

    evaluations: int = 0
    escapes: int = 0
    snaps: int = 0
    path: list[float] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)

    def add(self, descent: Descent[ObjectiveAt], route: str) -> None:
        """Count a descent."""
        self.evaluations += descent.evaluations
        self.path += descent.path
        if route not in self.routes:
            self.routes.append(route)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalOptimum:
    """The lowest point that one start has led to.

    Attributes
    ----------
    start : (n_theta,) array
        Phi at which the descent began.
    here : ObjectiveAt
        The lowest point.
    promised : float
        Decrease that a further Newton step promises.
    holds : bool
        Whether all conditions of a local optimum hold.
    exhausted : bool
        Whether the evaluations were used up.
    log : Log
    """

    start: FloatArray
    here: ObjectiveAt
    promised: float
    holds: bool
    exhausted: bool
    log: Log


def local_optimum(objective: Objective, start: FloatArray, control: Control) -> LocalOptimum:
    """Descend from `start`, and off every boundary where a move promises more.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the criterion cannot be computed at `start`.
    """
    log, point, patience = Log(), start, _PATIENCE
    for _ in range(3 + 2 * objective.plan.n_theta):
        route = objective.route
        descent = objective.descend(
            point,
            tolerance=control.tolerance,
            max_evaluations=max(2, min(patience, control.max_evaluations - log.evaluations)),
        )
        log.add(descent, route)
        here, first, patience = descent.best, patience == _PATIENCE, control.max_evaluations
        if objective.penalty is None:  # with one, the boundary is infinitely bad
            here = _snapped(here, control, log)
        exhausted = log.evaluations >= control.max_evaluations
        crawled = first and not descent.converged
        snapped = here is not descent.best and descent.predicted > control.tolerance
        if (crawled or snapped) and not exhausted:
            point = here.point  # at a zero, the valley that bends towards it is straight
            continue
        if here.escape_gain <= control.escape_tolerance or exhausted:
            break
        left = _escaped(here, log)
        if left is None:
            break
        point = left
    return LocalOptimum(
        start=start,
        here=here,
        promised=max(float(descent.predicted), 0.0),
        holds=descent.converged
        and math.isfinite(here.value)
        and here.escape_gain <= control.escape_tolerance
        and not _at_wall(here, log),
        exhausted=exhausted,
        log=log,
    )


def _at_wall(here: ObjectiveAt, log: Log) -> bool:
    """Whether the criterion still falls, or stops to exist, a short way down the gradient.

    Where a structure's matrix stops to exist, curvature grows without bound: Newton's method
    promises nothing there, however steep the criterion is.
    """
    if here.objective.plan.linear:
        return False
    slope = here.free_gradient
    size = float(np.linalg.norm(slope))
    if size <= _STEEP:
        return False
    log.evaluations += 1
    value = here.objective.value_at(here.point - _WAY * slope / size)
    fell = here.value - value > max(RESOLVED, here.objective.noise(here.value))
    return fell or not math.isfinite(value)


def _escaped(here: ObjectiveAt, log: Log) -> FloatArray | None:
    """Phi along the escape where the criterion is lower; None where no step lowers it."""
    objective, step = here.objective, here.escape.step
    for _ in range(_HALVINGS):
        point = leave_boundary(here.point, objective.plan, here.escape, step)
        log.evaluations += 1
        if objective.value_at(point) < here.value:
            log.escapes += 1
            return point
        step *= 0.25
    return None


def _snapped(here: ObjectiveAt, control: Control, log: Log) -> ObjectiveAt:
    """Try exact zeros for small standard deviations; keep them if the criterion agrees."""
    objective = here.objective
    for candidate in zero_candidates(here.point, objective.plan, control.snap):
        trial = attempt(objective.at, candidate)
        log.evaluations += 1
        if trial is not None and trial.value <= here.value + objective.noise(here.value):
            log.snaps += 1
            log.path.append(trial.value)
            return trial
    return here
