"""A trust-region Newton method for a handful of parameters.

Our own because the Hessian comes with every evaluation at almost no cost, may be indefinite or
singular (flat ridges, saddles), and the stopping rule is the predicted decrease of the criterion
in deviance units; SciPy's trust-region methods offer none of these rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    RESOLVED,
    next_radius,
    quadratic_step,
    rounding,
    symmetric_rank_one,
    wants_correction,
)

RADIUS = 1.0  # first trust radius


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalModel[State]:
    """Value, gradient and Hessian at a point, and whatever the caller wants to keep.

    `escape` bounds what following negative curvature could still gain, in units of the value.
    """

    point: FloatArray
    value: float
    gradient: FloatArray
    hessian: Callable[[], FloatArray]
    escape: Callable[[], float]
    state: State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent[State]:
    """Where the descent ended.

    Attributes
    ----------
    best : LocalModel
        The best point seen.
    evaluations : int
        Evaluations of the objective.
    predicted : float
        Decrease that the last quadratic model still promised.
    converged : bool
        Whether `predicted` fell below the tolerance.
    """

    best: LocalModel[State]
    evaluations: int
    predicted: float
    converged: bool


def minimize[State](
    evaluate: Callable[[FloatArray], LocalModel[State]],
    start: LocalModel[State],
    *,
    tolerance: float,
    max_evaluations: int,
    radius: float = RADIUS,
) -> Descent[State]:
    """Descend from `start` until the model promises less than `tolerance`.

    Parameters
    ----------
    evaluate : callable
        Objective; may raise `numpy.linalg.LinAlgError` or return a non-finite value, which is
        treated as a rejected step.
    tolerance : float
        Predicted decrease below which the descent stops.
    max_evaluations : int
        Bound on calls of `evaluate`.
    radius : float
        First trust radius.
    """
    here, used = start, 0
    hessian, correction = here.hessian(), np.zeros((len(start.point),) * 2)
    moved, before, promised = None, np.inf, np.inf
    while used < max_evaluations:
        promised, lowest, step, predicted = quadratic_step(hessian, here.gradient, radius)
        if moved is not None and wants_correction(promised, before):
            correction = symmetric_rank_one(correction, *moved)
            hessian, moved = here.hessian() + correction, None
            continue
        if promised <= tolerance and (lowest >= 0 or here.escape() <= tolerance):
            return Descent(best=here, evaluations=used, predicted=promised, converged=True)
        length = math.sqrt(step @ step)
        used += 1
        there = _try(evaluate, here.point + step)
        actual = here.value - there.value if there is not None else -np.inf
        noise = rounding(here.value)
        ratio = (actual + noise) / (predicted + noise)
        radius = next_radius(radius, ratio, length)
        if there is not None and ratio > ACCEPTED:
            before, moved = promised, _secant(here, there)
            here, hessian = there, there.hessian() + correction
        elif predicted <= noise:  # rounding hides what is left to gain
            break
        elif correction.any():  # what was learnt elsewhere misleads here
            correction, moved = np.zeros_like(correction), None
            hessian = here.hessian()
    resolved = max(RESOLVED, rounding(here.value))
    return Descent(best=here, evaluations=used, predicted=promised, converged=promised <= resolved)


def _secant[State](
    here: LocalModel[State], there: LocalModel[State]
) -> tuple[FloatArray, FloatArray]:
    """The step, and the change of the gradient that the model Hessian does not explain."""
    step = there.point - here.point
    return step, there.gradient - here.gradient - there.hessian() @ step


def _try[State](
    evaluate: Callable[[FloatArray], LocalModel[State]], point: FloatArray
) -> LocalModel[State] | None:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a step that overflows is rejected
            model = evaluate(point)
    except (np.linalg.LinAlgError, FloatingPointError):
        return None
    return model if math.isfinite(model.value) else None
