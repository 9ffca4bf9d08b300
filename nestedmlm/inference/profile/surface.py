"""The criterion as a surface over two standard deviations, all else at its estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import split_parameters
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import DataError, OptionError
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import criterion, profile
from nestedmlm.likelihood.plan import flat_of_theta
from nestedmlm.likelihood.solution import Solution

CONTOUR = 9.3  # just beyond the 99 % contour of two parameters
RISE = 11.0  # how far above the estimate the grid reaches
_WIDER = 4  # grids tried
_STEPS = 12  # bisections and doublings when the end of the grid is looked for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """The criterion on a grid.

    Attributes
    ----------
    names : tuple of str
        The two standard deviations.
    x, y : (m,) arrays
        Their values relative to sigma.
    rise : (m, m) array
        Criterion minus its value at the estimate; rows go with `y`.
    at : tuple of float
        The estimate.
    """

    names: tuple[str, str]
    x: FloatArray
    y: FloatArray
    rise: FloatArray
    at: tuple[float, float]


def criterion_surface(
    solution: Solution, pair: tuple[ModelParameter, ModelParameter], *, REML: bool, size: int = 33
) -> Surface:
    """Evaluate the criterion over two standard deviations relative to sigma.

    Fixed effects and sigma are profiled out at every place; correlations, the other relative
    standard deviations and residuals' parameters stay at their estimates: this is a slice of the
    likelihood.

    Parameters
    ----------
    solution : Solution
        The model at the estimate.
    pair : tuple of two ModelParameter
        Standard deviations of random effects.
    REML : bool
    size : int
        Places along each side.

    Raises
    ------
    OptionError
        If the two are the same, or one is no standard deviation of a random effect, or `size` is 1.
    """
    if pair[0] == pair[1] or any(p.kind != "sd" for p in pair):
        names = " and ".join(p.name for p in pair)
        raise OptionError(f"a surface needs two different standard deviations, not {names}")
    if size < 2:
        raise OptionError(f"a surface has at least 2 places along each side, not {size}")
    at = tuple(_relative_sd(solution, p) for p in pair)
    base = _criterion(solution, solution.theta, REML)

    def rise(first: float, second: float) -> float:
        theta = moved_theta(solution, dict(zip(pair, (first, second), strict=True)))
        return _criterion(solution, theta, REML) - base

    sides: tuple[FloatArray, ...] = (
        _side(lambda value: rise(value, at[1]), at[0], size),
        _side(lambda value: rise(at[0], value), at[1], size),
    )
    for _ in range(_WIDER):
        values = np.array([[rise(x, y) for x in sides[0]] for y in sides[1]])
        # a bent surface leaves the rectangle that its sections through the estimate span
        open_sides = values[:, -1].min() < CONTOUR, values[-1].min() < CONTOUR
        if not any(open_sides):
            break
        sides = tuple(
            np.linspace(side[0], side[-1] * (1.3 if out else 1.0), size)
            for side, out in zip(sides, open_sides, strict=True)
        )
    return Surface(
        names=(pair[0].name, pair[1].name),
        x=sides[0],
        y=sides[1],
        rise=values,
        at=(at[0], at[1]),
    )


def moved_theta(solution: Solution, values: dict[ModelParameter, float]) -> FloatArray:
    """Theta with other relative standard deviations and the same correlations."""
    shapes = solution.plan.shapes
    parts = list(split_parameters(solution.theta, shapes))
    for parameter, value in values.items():
        t, shape = parameter.term, shapes[parameter.term]
        parts[t] = shape.structure.with_sd(parts[t], shape.k, parameter.i, value)
    return np.concatenate(parts)


def _relative_sd(solution: Solution, parameter: ModelParameter) -> float:
    return float(np.linalg.norm(solution.T[parameter.term][parameter.i]))


def _criterion(solution: Solution, theta: FloatArray, REML: bool) -> float:
    stats = solution.stats
    try:
        state = elimination.eliminate(flat_of_theta(theta, solution.plan, stats), stats)
        log_sxx, r2, _, _ = profile(state.S)
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise DataError(
            "the surface has a place without a criterion: near this optimum rows are fitted "
            "exactly, or covariances are singular; take a simpler model"
        ) from error
    return criterion(state.logdet, log_sxx, r2, stats, REML)


def _side(rise: Callable[[float], float], at: float, size: int) -> FloatArray:
    """Grid from zero, or where the criterion has risen enough, to where it has again."""
    unit = max(at, 0.05)
    high = at + unit
    for _ in range(_STEPS):
        if rise(high) > RISE:
            break
        high = at + 2.0 * (high - at)
    high = _crossing(rise, at, high)
    low = 0.0 if at == 0.0 or rise(0.0) <= RISE else _crossing(rise, at, 0.0)
    return np.linspace(low, high, size)


def _crossing(rise: Callable[[float], float], inside: float, outside: float) -> float:
    for _ in range(_STEPS):
        middle = 0.5 * (inside + outside)
        if rise(middle) > RISE:
            outside = middle
        else:
            inside = middle
    return outside
