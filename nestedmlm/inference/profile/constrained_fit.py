"""The best fit with one parameter held."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.coordinates import Chart
from nestedmlm.inference.profile.deviance import Place, hessian_at, place_at
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.trust_region import LocalModel, minimize
from nestedmlm.statistics.crossproducts import CrossProducts

_TOLERANCE = 1e-7  # deviance units that a further step may still promise
_EVALUATIONS = 200
_TINY = 1e-9  # a standard deviation this much below zero is zero
_OFF = 0.05  # relative standard deviation at which one that was zero starts again
_SLOPE = 1e-5  # deviance units by which freeing a standard deviation must promise to help
_FLAT = 1e-7  # curvature below minus this share of the largest is a way down


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settled:
    """The optimum over everything but the held coordinate.

    Attributes
    ----------
    place : Place
    hessian : callable () -> (n, n) array
        In all coordinates, the held one included.
    """

    place: Place
    hessian: Callable[[], FloatArray]


def settle(
    z: FloatArray, chart: Chart, plan: Plan, stats: CrossProducts, *, also: int | None = None
) -> Settled:
    """Minimise the deviance from z with ``z[chart.held]`` held, and ``z[also]`` if given.

    Trust-region Newton steps; where they end at standard deviations of different signs (another
    model), again with bounds at zero.
    """
    held = {chart.held} if also is None else {chart.held, also}
    try:
        here = _descend(z, held, chart, plan, stats)
    except (np.linalg.LinAlgError, FloatingPointError):
        return _bounded(z, held, chart, plan, stats)
    if mixed_signs(here.place.z, chart):
        inside = _with_active_bounds(z, held, chart, plan, stats)
        return _bounded(z, held, chart, plan, stats) if inside is None else inside
    return here


def mixed_signs(z: FloatArray, chart: Chart) -> bool:
    """Whether some term's standard deviations have different signs."""
    return any(z[group].min() < -_TINY and z[group].max() > _TINY for group in chart.signed)


def _descend(
    z: FloatArray, held: Collection[int], chart: Chart, plan: Plan, stats: CrossProducts
) -> Settled:
    """Newton descent from z over all coordinates but `held`."""
    free = ~np.isin(np.arange(len(z)), list(held))
    if not free.any():
        return _local(z, free, chart, plan, stats).state

    def local(x: FloatArray) -> LocalModel[Settled]:
        at = z.copy()
        at[free] = x
        return _local(at, free, chart, plan, stats)

    start = local(z[free])
    return minimize(local, start, tolerance=_TOLERANCE, max_evaluations=_EVALUATIONS).best.state


def _with_active_bounds(
    z: FloatArray, held: set[int], chart: Chart, plan: Plan, stats: CrossProducts
) -> Settled | None:
    """Newton descents with the standard deviations that want to be negative at zero.

    None where the set of those does not come to rest.
    """
    signed = np.array([i for i in np.concatenate(chart.signed) if i not in held], dtype=int)
    at, zero = z.copy(), set[int]()
    at[signed] = np.abs(at[signed])
    for _ in range(2 * len(signed) + 2):
        here = _descend(at, {*held, *zero}, chart, plan, stats)
        at, gradient = here.place.z.copy(), here.place.gradient
        negative = [i for i in signed if at[i] < 0.0]
        if negative:
            zero.add(min(negative, key=lambda i: at[i]))
            at[negative] = [0.0 if i in zero else _OFF for i in negative]
            continue
        growing = [i for i in zero if gradient[i] < -_SLOPE]
        if not growing:
            return here
        freed = min(growing, key=lambda i: gradient[i])
        zero.remove(freed)
        at[freed] = _OFF
    return None


def _bounded(
    z: FloatArray, held: Collection[int], chart: Chart, plan: Plan, stats: CrossProducts
) -> Settled:
    """The same by SciPy's L-BFGS-B, from two starts: slower, but hard to mislead."""
    from scipy.optimize import minimize as lbfgs

    free = np.flatnonzero(~np.isin(np.arange(len(z)), list(held)))
    signed = set(np.concatenate(chart.signed).tolist()) if chart.signed else set()
    limits = [(0.0, None) if i in signed else (None, None) for i in free]
    marks = np.array([i in signed for i in free])

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        at = z.copy()
        at[free] = x
        try:
            place = place_at(at, chart, plan, stats)
        except (np.linalg.LinAlgError, FloatingPointError):
            return np.inf, np.zeros_like(x)
        return place.value / stats.n, place.gradient[free] / stats.n

    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    starts = [np.where(marks, np.maximum(np.abs(x), _OFF), x) for x in (z[free], chart.start[free])]
    runs = [
        lbfgs(objective, x, jac=True, bounds=limits, method="L-BFGS-B", options=options)
        for x in starts
    ]
    at = z.copy()
    at[free] = min(runs, key=lambda run: run.fun).x
    mask = np.isin(np.arange(len(z)), free)
    return _local(at, mask, chart, plan, stats).state


def _local(
    z: FloatArray, free: np.ndarray, chart: Chart, plan: Plan, stats: CrossProducts
) -> LocalModel[Settled]:
    place = place_at(z, chart, plan, stats)

    @cache
    def hessian() -> FloatArray:
        return hessian_at(place, chart, plan, stats)

    def inner() -> FloatArray:
        out: FloatArray = hessian()[free][:, free]
        return out

    def escape() -> float:
        values = np.linalg.eigvalsh(inner())
        return np.inf if values[0] < -_FLAT * max(abs(values[-1]), 1e-300) else 0.0

    return LocalModel(
        point=z[free],
        value=place.value,
        gradient=place.gradient[free],
        hessian=inner,
        escape=escape,
        state=Settled(place=place, hessian=hessian),
    )
