"""A trust-region Newton method for a handful of parameters (layer 4).

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

# Secant corrections repair a Hessian that makes for slow progress near the optimum; far from it
# they mislead, and where the supplied Hessian is good they are noise.
_LOCAL = 1.0
_SLOW = 0.6
# Where rounding ends the descent, this much of the value may be left unexploited.
_RESOLVED = 1e-8


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
    radius: float = 1.0,
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
        values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
        g = vectors.T @ here.gradient
        promised = newton_decrease(values, g)
        if moved is not None and promised > _SLOW * before and promised < _LOCAL:
            correction = symmetric_rank_one(correction, *moved)
            hessian, moved = here.hessian() + correction, None
            continue
        if promised <= tolerance and (values[0] >= 0 or here.escape() <= tolerance):
            return Descent(best=here, evaluations=used, predicted=promised, converged=True)
        step, predicted = trust_step(values, g, radius)
        length = float(np.linalg.norm(step))
        used += 1
        there = _try(evaluate, here.point + vectors @ step)
        actual = here.value - there.value if there is not None else -np.inf
        noise = 10.0 * np.finfo(float).eps * max(1.0, abs(here.value))
        ratio = (actual + noise) / (predicted + noise)
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.8 * radius:
            radius *= 3.0
        if there is not None and ratio > 1e-4:
            before, moved = promised, _secant(here, there)
            here, hessian = there, there.hessian() + correction
        elif predicted <= noise:  # rounding hides what is left to gain
            break
        elif correction.any():  # what was learnt elsewhere misleads here
            correction, moved = np.zeros_like(correction), None
            hessian = here.hessian()
    return Descent(best=here, evaluations=used, predicted=promised, converged=promised <= _RESOLVED)


def _secant[State](
    here: LocalModel[State], there: LocalModel[State]
) -> tuple[FloatArray, FloatArray]:
    """The step, and the change of the gradient that the model Hessian does not explain."""
    step = there.point - here.point
    return step, there.gradient - here.gradient - there.hessian() @ step


def symmetric_rank_one(
    correction: FloatArray, step: FloatArray, residual: FloatArray
) -> FloatArray:
    """Learn what the model Hessian lacks from the gradients (SR1 secant update).

    `residual` is the change of the gradient that the model Hessian did not explain. Keeps the
    convergence superlinear where the model is poor (a structured quasi-Newton method; Nocedal &
    Wright 2006, section 6.2).
    """
    r = residual - correction @ step
    bend = float(r @ step)
    if abs(bend) <= 1e-8 * float(np.linalg.norm(r) * np.linalg.norm(step)):
        return correction
    return correction + np.outer(r, r) / bend


def newton_decrease(values: FloatArray, g: FloatArray) -> float:
    """Decrease that a full Newton step promises, curvature taken as positive.

    Directions whose curvature is zero to rounding count only if their gradient is not.
    """
    size = np.abs(values)
    top = max(float(size.max(initial=0.0)), 1e-300)
    flat = (size <= 1e-10 * top) & (np.abs(g) <= 1e-9 * top)
    return float(0.5 * np.sum(np.where(flat, 0.0, g**2) / np.where(flat, 1.0, size)))


def _try[State](
    evaluate: Callable[[FloatArray], LocalModel[State]], point: FloatArray
) -> LocalModel[State] | None:
    try:
        model = evaluate(point)
    except (np.linalg.LinAlgError, FloatingPointError):
        return None
    return model if np.isfinite(model.value) else None


def trust_step(values: FloatArray, g: FloatArray, radius: float) -> tuple[FloatArray, float]:
    """Minimise ``g's + s' diag(values) s / 2`` over ``|s| <= radius`` (Moré & Sorensen 1983).

    `values` are ascending eigenvalues and `g` the gradient in the eigenbasis. Directions whose
    curvature is zero to rounding and whose gradient is too are left alone (flat ridges).

    Returns
    -------
    step : array
        In the eigenbasis.
    predicted : float
        The decrease the model promises.
    """
    top = max(float(np.max(np.abs(values), initial=0.0)), 1e-300)
    still = np.abs(g) <= 1e-9 * max(1.0, float(np.max(np.abs(g), initial=0.0)))
    flat = (np.abs(values) <= 1e-12 * top) & still
    safe = np.where(flat, 1.0, values)
    g = np.where(flat, 0.0, g)
    if values.size == 0:
        return g, 0.0
    if safe.min() > 0.0:
        step = -g / safe
        if np.linalg.norm(step) <= radius:
            return step, _decrease(step, g, values)
    low = max(0.0, -float(safe.min()))
    step = _boundary_step(safe, g, radius, low)
    return step, _decrease(step, g, values)


def _decrease(step: FloatArray, g: FloatArray, values: FloatArray) -> float:
    return float(-(g @ step + 0.5 * np.sum(values * step**2)))


def _boundary_step(values: FloatArray, g: FloatArray, radius: float, low: float) -> FloatArray:
    """Step of length `radius`: find lambda > low with ``|g / (values + lambda)| = radius``."""
    lam = low + 1e-14 * max(1.0, low)
    shifted = values + lam
    hard = shifted <= 1e-13 * max(1.0, float(np.max(np.abs(values))))
    if hard.any() and np.all(np.abs(g[hard]) <= 1e-13 * max(1.0, float(np.max(np.abs(g))))):
        step = np.where(hard, 0.0, -g / np.where(hard, 1.0, shifted))
        short = radius**2 - step @ step
        if short > 0:  # hard case: fill up along the lowest eigenvector
            step[int(np.argmin(values))] = np.sqrt(short)
            return step
    high = low + float(np.linalg.norm(g)) / radius + 1e-300
    lam = high  # here the step is too short: Newton's method comes down from this side
    for _ in range(100):
        step = -g / (values + lam)
        length = math.sqrt(float(step @ step))
        if abs(length - radius) <= 1e-6 * radius:
            break
        low, high = (lam, high) if length > radius else (low, lam)
        # Newton on 1/radius - 1/|s|, which is nearly linear in lambda
        lam += length**2 / float(step @ (step / (values + lam))) * (length - radius) / radius
        if not low < lam < high:
            lam = 0.5 * (low + high)
    return step
