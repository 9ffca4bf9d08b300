"""Constrained fits: the best fit with one parameter held."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.inference.profile.coordinates import Coordinates, Criterion, PointAt
from nestedmlm.inference.profile.deviance import LINEAR
from nestedmlm.optimum.trust_region import minimize

_TOLERANCE_IN_DEVIANCE = 1e-7  # deviance units that a further step may still promise
_EVALUATIONS = 200  # of the deviance before a descent gives up
_NEGATIVE_SD = 1e-9  # a standard deviation this much below zero is zero
_RESTART_SD = 0.05  # relative standard deviation at which one that was zero starts again
_GAIN_IN_DEVIANCE = 1e-5  # that freeing a standard deviation must promise to help
_DOWNHILL_SHARE_OF_CURVATURE = 1e-7  # curvature below minus this share of the largest is a way down


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConstrainedFit:
    """The best fit with one coordinate held: the optimum over all others.

    Attributes
    ----------
    deviance : PointAt
        At that optimum: its z, value and gradient.
    hessian : callable () -> (n, n) array
        In all coordinates, the held one included.
    """

    deviance: PointAt
    hessian: Callable[[], FloatArray]


def criterion_of(coordinates: Coordinates) -> Criterion:
    """What is minimised in these coordinates."""
    return coordinates.criterion or LINEAR


def fit_constrained(
    z: FloatArray, coordinates: Coordinates, *, also: int | None = None
) -> ConstrainedFit:
    """Minimise the deviance from z with ``z[coordinates.held]`` held, and ``z[also]`` if given.

    Trust-region Newton steps; where they end at standard deviations of different signs (another
    model), again with bounds at zero.
    """
    held = {coordinates.held, *coordinates.still} | (set() if also is None else {also})
    try:
        here = _descend(z, held, coordinates)
    except (np.linalg.LinAlgError, FloatingPointError):
        return _fit_by_lbfgs(z, held, coordinates)
    if mixed_signs(here.deviance.z, coordinates):
        inside = _with_active_bounds(z, held, coordinates)
        return _fit_by_lbfgs(z, held, coordinates) if inside is None else inside
    return here


def mixed_signs(z: FloatArray, coordinates: Coordinates) -> bool:
    """Whether some term's standard deviations have different signs."""
    return any(
        z[group].min() < -_NEGATIVE_SD and z[group].max() > _NEGATIVE_SD
        for group in coordinates.signed
    )


def _descend(z: FloatArray, held: Collection[int], coordinates: Coordinates) -> ConstrainedFit:
    """Newton descent from z over all coordinates but `held`."""
    free = ~np.isin(np.arange(len(z)), list(held))
    if not free.any():
        return _local(z, free, coordinates).found

    def local(x: FloatArray) -> _FreeCoordinates:
        at = z.copy()
        at[free] = x
        return _local(at, free, coordinates)

    start = local(z[free])
    return minimize(
        local, start, tolerance=_TOLERANCE_IN_DEVIANCE, max_evaluations=_EVALUATIONS
    ).best.found


def _with_active_bounds(
    z: FloatArray, held: set[int], coordinates: Coordinates
) -> ConstrainedFit | None:
    """Newton descents with the standard deviations that want to be negative at zero.

    None where the set of those does not come to rest.
    """
    signed = np.array([i for i in np.concatenate(coordinates.signed) if i not in held], dtype=int)
    at, zero = z.copy(), set[int]()
    at[signed] = np.abs(at[signed])
    for _ in range(2 * len(signed) + 2):
        here = _descend(at, {*held, *zero}, coordinates)
        at, gradient = here.deviance.z.copy(), here.deviance.gradient
        negative = [i for i in signed if at[i] < 0.0]
        if negative:
            zero.add(min(negative, key=lambda i: at[i]))
            at[negative] = [0.0 if i in zero else _RESTART_SD for i in negative]
            continue
        growing = [i for i in zero if gradient[i] < -_GAIN_IN_DEVIANCE]
        if not growing:
            return here
        freed = min(growing, key=lambda i: gradient[i])
        zero.remove(freed)
        at[freed] = _RESTART_SD
    return None


def _fit_by_lbfgs(z: FloatArray, held: Collection[int], coordinates: Coordinates) -> ConstrainedFit:
    """The constrained fit by SciPy's L-BFGS-B, from two starts: slower, but hard to mislead."""
    from scipy.optimize import minimize as lbfgs

    free = np.flatnonzero(~np.isin(np.arange(len(z)), list(held)))
    signed = set(np.concatenate(coordinates.signed).tolist()) if coordinates.signed else set()
    n = coordinates.stats.n
    limits = [(0.0, None) if i in signed else (None, None) for i in free]
    marks = np.array([i in signed for i in free])

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        at = z.copy()
        at[free] = x
        try:
            found = criterion_of(coordinates).at(at, coordinates)
        except (np.linalg.LinAlgError, FloatingPointError):
            return np.inf, np.zeros_like(x)
        return found.value / n, found.gradient[free] / n

    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    starts = [
        np.where(marks, np.maximum(np.abs(x), _RESTART_SD), x)
        for x in (z[free], coordinates.start[free])
    ]
    runs = [
        lbfgs(objective, x, jac=True, bounds=limits, method="L-BFGS-B", options=options)
        for x in starts
    ]
    at = z.copy()
    at[free] = min(runs, key=lambda run: run.fun).x
    mask = np.isin(np.arange(len(z)), free)
    return _local(at, mask, coordinates).found


def _local(z: FloatArray, free: BoolArray, coordinates: Coordinates) -> _FreeCoordinates:
    criterion = criterion_of(coordinates)
    at = criterion.at(z, coordinates)
    hessian = cache(lambda: criterion.hessian(at, coordinates))
    return _FreeCoordinates(found=ConstrainedFit(deviance=at, hessian=hessian), free=free)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FreeCoordinates:
    """The deviance in the coordinates that are not held: a `LocalModel`."""

    found: ConstrainedFit
    free: BoolArray

    @property
    def point(self) -> FloatArray:
        return self.found.deviance.z[self.free]

    @property
    def value(self) -> float:
        return self.found.deviance.value

    @property
    def gradient(self) -> FloatArray:
        return self.found.deviance.gradient[self.free]

    @property
    def hessian(self) -> FloatArray:
        out: FloatArray = self.found.hessian()[self.free][:, self.free]
        return out

    @property
    def escape_gain(self) -> float:
        values = np.linalg.eigvalsh(self.hessian)
        return (
            np.inf
            if values[0] < -_DOWNHILL_SHARE_OF_CURVATURE * max(abs(values[-1]), 1e-300)
            else 0.0
        )
