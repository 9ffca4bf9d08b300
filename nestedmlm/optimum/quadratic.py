"""Minimising a quadratic model over a ball.

Loops over a few numbers, which a fused descent compiles as they stand. The products of matrices are
NumPy's here and loops there (`nestedmlm.optimum.small_matrices` has functions of the same names):
a call of BLAS, or an expression of arrays, takes Numba a second to compile.
"""

from __future__ import annotations

import math

import numpy as np

from nestedmlm._typing import FloatArray

# Where rounding ends the descent, this much of the value may be left unexploited.
RESOLVED = 1e-7
_SQUARED = 1e150  # the squares of smaller numbers do not overflow
ACCEPTED = 1e-4  # share of the predicted decrease that a step must bring


def quadratic_step(
    hessian: FloatArray, gradient: FloatArray, radius: float
) -> tuple[float, float, FloatArray, float]:
    """Analyse ``g's + s'H s / 2`` and minimise it over ``|s| <= radius``.

    Parameters
    ----------
    hessian : (n, n) array
        Symmetric up to rounding; may be indefinite or singular.
    gradient : (n,) array
    radius : float

    Returns
    -------
    promised : float
        See `newton_decrease`.
    lowest : float
        Smallest eigenvalue.
    step : (n,) array
    predicted : float
        The decrease the model promises for this step.
    """
    values, vectors = np.linalg.eigh(symmetric_part(hessian))
    g = transposed_times(vectors, gradient)
    step, predicted = trust_step(values, g, radius)
    return newton_decrease(values, g), values[0], times(vectors, step), predicted


def symmetric_part(A: FloatArray) -> FloatArray:
    """``(A + A') / 2``."""
    return 0.5 * (A + A.T)


def times(A: FloatArray, x: FloatArray) -> FloatArray:
    """``A x``."""
    return A @ x


def transposed_times(A: FloatArray, x: FloatArray) -> FloatArray:
    """``A' x``."""
    return A.T @ x


def plus_outer(A: FloatArray, x: FloatArray, factor: float) -> FloatArray:
    """``A + factor x x'``."""
    return A + factor * np.outer(x, x)


def product(x: FloatArray, y: FloatArray) -> float:
    """``x'y``."""
    out = 0.0
    for i in range(x.shape[0]):
        out += x[i] * y[i]
    return out


def bounded_step(
    hessian: FloatArray,
    gradient: FloatArray,
    radius: float,
    point: FloatArray,
    lower: FloatArray,
) -> tuple[float, float, FloatArray, float]:
    """As `quadratic_step`, with ``point + step >= lower``.

    Coordinates that stand on their bound and would be pushed through it are held; a step that
    meets another bound ends there.
    """
    on_bound = point <= lower
    free = ~(on_bound & (gradient > 0.0))
    while free.any():
        promised, lowest, moved, predicted = quadratic_step(
            hessian[np.ix_(free, free)], gradient[free], radius
        )
        step = np.zeros_like(point)
        step[free] = moved
        pushed = on_bound & (step < 0.0)
        if pushed.any():
            free &= ~pushed
            continue
        down = step < 0.0
        with np.errstate(over="ignore"):  # a step of next to nothing meets no bound
            share = float(np.min((lower - point)[down] / step[down], initial=1.0))
        if share < 1.0:
            step *= share
            predicted = -float(gradient @ step + 0.5 * step @ hessian @ step)
        return promised, lowest, step, predicted
    return 0.0, 0.0, np.zeros_like(point), 0.0


def local_step(
    hessian: FloatArray,
    gradient: FloatArray,
    radius: float,
    point: FloatArray,
    lower: FloatArray | None,
) -> tuple[float, float, FloatArray, float]:
    """`quadratic_step`, or `bounded_step` where there are bounds."""
    if lower is None:
        return quadratic_step(hessian, gradient, radius)
    return bounded_step(hessian, gradient, radius, point, lower)


def within(point: FloatArray, lower: FloatArray | None) -> FloatArray:
    """The point, put onto the bounds that rounding took it through."""
    return point if lower is None else np.maximum(point, lower)


def newton_decrease(values: FloatArray, g: FloatArray) -> float:
    """Decrease that a full Newton step promises, curvature taken as positive.

    Directions whose curvature is zero to rounding count only if their gradient is not.
    """
    top = 1e-300
    for v in values:
        top = max(top, abs(v))
    total = 0.0
    for i in range(values.shape[0]):
        size = abs(values[i])
        if size > 1e-10 * top or abs(g[i]) > 1e-9 * top:
            total += 0.5 * g[i] ** 2 / max(size, 1e-300)
    return total


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
    n = values.shape[0]
    top, steepest = 1e-300, 1.0
    for i in range(n):
        top = max(top, abs(values[i]))
        steepest = max(steepest, abs(g[i]))
    safe, slope, step = values.copy(), g.copy(), np.zeros(n)
    lowest, inside, square = np.inf, True, 0.0
    for i in range(n):
        if abs(values[i]) <= 1e-12 * top and abs(g[i]) <= 1e-9 * steepest:
            safe[i], slope[i] = 1.0, 0.0
        lowest = min(lowest, safe[i])
        inside = inside and safe[i] > 0.0
        if inside:
            step[i] = -slope[i] / safe[i]
            square += step[i] ** 2
    if not inside or math.sqrt(square) > radius:
        step = _boundary_step(safe, slope, radius, max(0.0, -lowest))
    predicted = 0.0
    for i in range(n):
        predicted -= slope[i] * step[i] + 0.5 * values[i] * step[i] ** 2
    return step, predicted


def _boundary_step(values: FloatArray, g: FloatArray, radius: float, low: float) -> FloatArray:
    """Step of length `radius`: find lambda > low with ``|g / (values + lambda)| = radius``."""
    n = values.shape[0]
    lam = low + 1e-14 * max(1.0, low)
    top, steepest = 1.0, 1.0
    for i in range(n):
        top = max(top, abs(values[i]))
        steepest = max(steepest, abs(g[i]))
    # of a gradient whose square overflows a bound will do
    norm = math.sqrt(product(g, g)) if steepest < _SQUARED else steepest * math.sqrt(n)
    step = np.zeros(n)
    some_hard, all_still, lowest = False, True, 0
    for i in range(n):
        if values[i] < values[lowest]:
            lowest = i
        if values[i] + lam <= 1e-13 * top:
            some_hard = True
            all_still = all_still and abs(g[i]) <= 1e-13 * steepest
        else:
            step[i] = -g[i] / (values[i] + lam)
    short = radius**2 - product(step, step)
    if some_hard and all_still and short > 0:  # hard case: fill up along the lowest eigenvector
        step[lowest] = math.sqrt(short)
        return step
    least = 1e-15 * top  # of a denominator: below, it is rounding
    high = low + norm / radius + least
    lam = high  # here the step is too short: Newton's method comes down from this side
    for _ in range(100):
        square, slope = 0.0, 0.0
        for i in range(n):
            denominator = max(values[i] + lam, least)
            step[i] = -g[i] / denominator
            square += step[i] ** 2
            slope += step[i] ** 2 / denominator
        length = math.sqrt(square)
        if abs(length - radius) <= 1e-6 * radius:
            break
        if length > radius:
            low = lam
        else:
            high = lam
        # Newton on 1/radius - 1/|s|, which is nearly linear in lambda
        lam += length**2 / max(slope, 1e-300) * (length - radius) / radius
        if not low < lam < high:
            lam = 0.5 * (low + high)
    return step


def next_radius(radius: float, ratio: float, length: float) -> float:
    """Trust radius after a step of `length` that brought `ratio` of what was predicted."""
    if ratio < 0.25:
        return 0.25 * length
    return 3.0 * radius if ratio > 0.75 and length > 0.8 * radius else radius


def rounding(value: float) -> float:
    """Differences of values this large that mean nothing."""
    return 10.0 * 2.220446049250313e-16 * max(1.0, abs(value))


def symmetric_rank_one(
    correction: FloatArray, step: FloatArray, residual: FloatArray
) -> FloatArray:
    """Learn what the model Hessian lacks from the gradients (SR1 secant update).

    `residual` is the change of the gradient that the model Hessian did not explain. Keeps the
    convergence superlinear where the model is poor (a structured quasi-Newton method; Nocedal &
    Wright 2006, section 6.2).
    """
    r = times(correction, step)
    for i in range(r.shape[0]):
        r[i] = residual[i] - r[i]
    curvature = product(r, step)
    if abs(curvature) <= 1e-8 * math.sqrt(product(r, r) * product(step, step)):
        return correction
    return plus_outer(correction, r, 1.0 / curvature)


def wants_correction(promised: float, before: float) -> bool:
    """Whether the step brought so little that the Hessian should learn from it.

    Secant corrections repair a Hessian that makes for slow progress, and speed up the last steps.
    Far from the optimum they mislead, and where the supplied Hessian is good they are noise.
    """
    return (promised < 1.0 and promised > 0.6 * before) or (
        promised < 1e-4 and promised > 1e-3 * before
    )
