"""The best fit with one parameter held (layer 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.crossproducts import CrossProducts
from nestedmlm.inference.coordinates import Chart
from nestedmlm.inference.deviance import Place, hessian_at, place_at
from nestedmlm.parameters import Plan
from nestedmlm.reml.trust_region import LocalModel, minimize

_TOLERANCE = 1e-7  # deviance units that a further step may still promise
_EVALUATIONS = 200
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
    free = ~np.isin(np.arange(len(z)), [chart.held, also if also is not None else -1])

    def local(x: FloatArray) -> LocalModel[Settled]:
        at = z.copy()
        at[free] = x
        return _local(at, free, chart, plan, stats)

    try:
        here = minimize(
            local, local(z[free]), tolerance=_TOLERANCE, max_evaluations=_EVALUATIONS
        ).best
    except np.linalg.LinAlgError:
        return settled_inside(z, chart, plan, stats)
    if mixed_signs(here.state.place.z, chart):
        return settled_inside(here.state.place.z, chart, plan, stats)
    return here.state


def mixed_signs(z: FloatArray, chart: Chart) -> bool:
    """Whether some term's standard deviations have different signs."""
    return any(z[group].min() < 0.0 < z[group].max() for group in chart.signed)


def settled_inside(z: FloatArray, chart: Chart, plan: Plan, stats: CrossProducts) -> Settled:
    """As `settle`, with standard deviations that matter bounded below by zero (L-BFGS-B)."""
    from scipy.optimize import minimize as bounded

    free = np.flatnonzero(np.arange(len(z)) != chart.held)
    signed = set(np.concatenate(chart.signed).tolist()) if chart.signed else set()
    limits = [(0.0, None) if i in signed else (None, None) for i in free]
    marks = np.array([i in signed for i in free])

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        at = z.copy()
        at[free] = x
        try:
            place = place_at(at, chart, plan, stats)
        except np.linalg.LinAlgError:
            return np.inf, np.zeros_like(x)
        return place.value / stats.n, place.gradient[free] / stats.n

    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    starts = [np.where(marks, np.maximum(np.abs(x), 0.05), x) for x in (z[free], chart.start[free])]
    runs = [
        bounded(objective, x, jac=True, bounds=limits, method="L-BFGS-B", options=options)
        for x in starts
    ]
    at = z.copy()
    at[free] = min(runs, key=lambda run: run.fun).x
    return _local(at, free, chart, plan, stats).state


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
