"""A trust-region Newton method for a handful of parameters.

Our own because the Hessian comes with every evaluation at almost no cost, may be indefinite or
singular (flat ridges, saddles), and the stopping rule is the predicted decrease of the criterion
in deviance units; SciPy's trust-region methods offer none of these rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    RESOLVED,
    local_step,
    next_radius,
    rounding,
    symmetric_rank_one,
    wants_correction,
    within,
)

RADIUS = 1.0  # first trust radius
_SMALLEST_RADIUS = 1e-14  # trust radius below which no step changes the point


class LocalModel(Protocol):
    """An objective at one point; the second order may be worked out when it is asked for."""

    @property
    def point(self) -> FloatArray:
        """The point: (n,)."""

    @property
    def value(self) -> float:
        """The objective."""

    @property
    def gradient(self) -> FloatArray:
        """First derivatives: (n,)."""

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives, at least nearly: (n, n)."""

    @property
    def escape_gain(self) -> float:
        """Bound on what following negative curvature could still gain, in units of the value."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent[Model: LocalModel]:
    """End of a descent: the best point, and whether it converged.

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
    path : tuple of float
        The objective at the start and after every step that was taken.
    """

    best: Model
    evaluations: int
    predicted: float
    converged: bool
    path: tuple[float, ...]


def minimize[Model: LocalModel](
    evaluate: Callable[[FloatArray], Model],
    start: Model,
    *,
    tolerance: float,
    max_evaluations: int,
    radius: float = RADIUS,
    lower: FloatArray | None = None,
    relative: bool = False,
) -> Descent[Model]:
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
    lower : (n,) array, optional
        Bounds that the point keeps; `start` keeps them already.
    relative : bool
        Measure each coordinate by its own curvature: beside others of very different sizes it would
        be taken for rounding.
    """
    here, used, path = start, 0, [start.value]
    hessian, correction = here.hessian, np.zeros((len(start.point),) * 2)
    moved, before, promised, converged = None, np.inf, np.inf, False
    while used < max_evaluations and radius > _SMALLEST_RADIUS:
        with np.errstate(
            all="ignore"
        ):  # where a gradient is huge, an infinite decrease is promised
            size = _sizes(hessian, here.point) if relative else None
            promised, lowest, step, predicted = _sized_step(hessian, here, radius, lower, size)
        if moved is not None and wants_correction(promised, before):
            correction = symmetric_rank_one(correction, *moved)
            hessian, moved = here.hessian + correction, None
            continue
        if promised <= tolerance and (lowest >= 0 or here.escape_gain <= tolerance):
            converged = True
            break
        length = math.sqrt(step @ step)
        used += 1
        moved_by = step if size is None else size * step
        there = attempt(evaluate, within(here.point + moved_by, lower))
        actual = here.value - there.value if there is not None else -np.inf
        noise = rounding(here.value)
        ratio = (actual + noise) / (predicted + noise)
        radius = next_radius(radius, ratio, length)
        if there is not None and ratio > ACCEPTED:
            before, moved = promised, _secant(here, there)
            here, hessian = there, there.hessian + correction
            path.append(here.value)
        elif predicted <= noise:  # rounding hides what is left to gain
            break
        elif correction.any():  # what was learnt elsewhere misleads here
            correction, moved = np.zeros_like(correction), None
            hessian = here.hessian
    resolved = max(RESOLVED, rounding(here.value))
    return Descent(
        best=here,
        evaluations=used,
        predicted=promised,
        converged=converged or promised <= resolved,
        path=tuple(path),
    )


def _sized_step(
    hessian: FloatArray,
    here: LocalModel,
    radius: float,
    lower: FloatArray | None,
    size: FloatArray | None,
) -> tuple[float, float, FloatArray, float]:
    """`local_step` in units of `size`; None: in those of the point."""
    if size is None:
        return local_step(hessian, here.gradient, radius, here.point, lower)
    return local_step(
        hessian * np.outer(size, size), here.gradient * size, radius, here.point / size,
        None if lower is None else lower / size,
    )  # fmt: skip


def _sizes(hessian: FloatArray, point: FloatArray) -> FloatArray:
    """Steps along which the objective changes by about one, at most each coordinate's own size."""
    curvature = np.abs(hessian.diagonal())
    return np.minimum(1.0 / np.sqrt(np.maximum(curvature, 1e-300)), np.maximum(1.0, np.abs(point)))


def _secant(here: LocalModel, there: LocalModel) -> tuple[FloatArray, FloatArray]:
    """The step, and the change of the gradient that the model Hessian does not explain."""
    step = there.point - here.point
    return step, there.gradient - here.gradient - there.hessian @ step


def attempt[Model: LocalModel](
    evaluate: Callable[[FloatArray], Model], point: FloatArray
) -> Model | None:
    """Evaluate an objective; None where it does not exist or is not finite."""
    try:
        with np.errstate(all="ignore"):  # a step that overflows is rejected
            model = evaluate(point)
    except (np.linalg.LinAlgError, ArithmeticError):
        return None
    return model if math.isfinite(model.value) else None
