"""One parameter's profile: the path of best fits as the parameter moves away.

``zeta(x) = sign(x - x_hat) sqrt(deviance(x) - deviance_hat)`` (Bates et al. 2015, section 5.1).
Each point gives zeta and, because the derivative of a profile is the derivative with the rest held
(the envelope theorem), its exact slope. So few points are needed: steps aim at given values of
zeta, and starts follow the tangent of the path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.constrained_fit import Settled, settle
from nestedmlm.inference.profile.coordinates import Chart
from nestedmlm.inference.profile.deviance import place_at
from nestedmlm.inference.profile.interpolation import inverse
from nestedmlm.likelihood.plan import Plan
from nestedmlm.statistics.crossproducts import CrossProducts

LOWER = 1e-6  # a deviance lower than the optimum's by this much is another optimum
_MAX_KNOTS = 60
_GROWTH = 4.0  # a step may be this much longer than the one before
_AT_END = 1e-7
_NEAR = 0.003  # a knot this near to a value of zeta is near enough to interpolate from
_TRIES = 6
_STILL = 1e-3  # d zeta / d coordinate of a profile that has become flat
_SURPRISE = 1.25  # a zeta this many times the expected one deserves a second try
_FAR = 1e6  # steps of the first size after which an end counts as infinite


class LowerDeviance(Exception):
    """Profiling came to a lower deviance than the optimum's; holds the place."""

    def __init__(self, settled: Settled, chart: Chart) -> None:
        super().__init__("lower deviance")
        self.settled = settled
        self.chart = chart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knot:
    """A point of a profile.

    Attributes
    ----------
    at : float
        The held coordinate.
    zeta : float
    slope : float
        d zeta / d coordinate.
    settled : Settled
        The fit there.
    """

    at: float
    zeta: float
    slope: float
    settled: Settled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """The profile of one parameter.

    Attributes
    ----------
    knots : tuple of Knot
        Ascending in the held coordinate; the estimate is one of them.
    ends : (str, str)
        Why each side ended: ``cutoff``, ``bound``, ``open`` (zeta stays below the cutoff as far
        as one can go), or ``lost`` (numbers gave out on the way).
    monotone : bool
        Whether zeta increases throughout.
    without : Settled or None
        The best fit in which the parameter does not matter (one of the two standard deviations of
        a correlation is zero): a profile cannot rise above it.
    """

    knots: tuple[Knot, ...]
    ends: tuple[str, str]
    monotone: bool
    without: Settled | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Path:
    """What the functions below share."""

    chart: Chart
    plan: Plan
    stats: CrossProducts
    base: float
    lower: float = math.inf
    without: Settled | None = None  # the best fit in which the parameter does not matter


def trace_profile(
    chart: Chart,
    plan: Plan,
    stats: CrossProducts,
    *,
    cutoff: float,
    step: float,
    lower: float = LOWER,
) -> Trace:
    """Follow the profile to both sides until ``|zeta|`` exceeds `cutoff` or a bound is met.

    Parameters
    ----------
    chart : Chart
        Coordinates that hold the parameter; their start is the optimum.
    cutoff, step : float
        In units of zeta.
    lower : float
        A deviance lower than the optimum's by this much is another optimum.

    Raises
    ------
    LowerDeviance
        Where the profile comes to a better fit than the optimum.
    """
    before = place_at(chart.start, chart, plan, stats).value
    centre = settle(chart.start, chart, plan, stats)
    if centre.place.value < before - lower:
        raise LowerDeviance(centre, chart)
    path = _Path(
        chart=chart,
        plan=plan,
        stats=stats,
        base=centre.place.value,
        lower=lower,
        without=_best_without(chart, plan, stats),
    )
    first = Knot(
        at=float(chart.start[chart.held]),
        zeta=0.0,
        slope=_first_slope(centre, chart),
        settled=centre,
    )
    sides, ends = [], []
    for side in (-1, 1):
        knots, end = _one_side(path, first, side, cutoff, step)
        sides.append(_mended(path, knots, side))
        ends.append(end)
    knots = [*reversed(sides[0][1:]), first, *sides[1][1:]]
    zeta = np.array([k.zeta for k in knots])
    return Trace(
        knots=tuple(knots),
        ends=(ends[0], ends[1]),
        without=path.without,
        monotone=bool(np.all(np.diff(zeta) > -1e-6)),
    )


def refine(
    trace: Trace,
    chart: Chart,
    plan: Plan,
    stats: CrossProducts,
    *,
    zetas: Sequence[float],
    lower: float = LOWER,
) -> Trace:
    """Add knots until there is one near each of the values `zetas` that the profile reaches."""
    knots = list(trace.knots)
    centre = int(np.argmin([abs(k.zeta) for k in knots]))
    base = knots[centre].settled.place.value
    path = _Path(chart=chart, plan=plan, stats=stats, base=base, lower=lower, without=trace.without)
    for zeta in zetas:
        for _ in range(_TRIES):
            left = _left_of(zeta, knots)
            if left is None or min(abs(k.zeta - zeta) for k in knots) <= _NEAR:
                break
            pair = knots[left : left + 2]
            at = _crossing(pair[0], pair[1], zeta)
            start = min(pair, key=lambda k: abs(k.zeta))  # the valley of the estimate
            knots.insert(left + 1, _knot(path, start, at, 1 if zeta > 0 else -1))
    return replace(trace, knots=tuple(knots))


def _left_of(zeta: float, knots: Sequence[Knot]) -> int | None:
    """The knot after which the profile first reaches `zeta`, seen from the estimate."""
    between = [i for i in range(len(knots) - 1) if knots[i].zeta < zeta <= knots[i + 1].zeta]
    if not between:
        return None
    return between[0] if zeta > 0 else between[-1]


def _crossing(left: Knot, right: Knot, zeta: float) -> float:
    """Where the profile between two knots is `zeta`."""
    slopes = np.array([left.slope, right.slope])
    ends = np.array([left.at, right.at]), np.array([left.zeta, right.zeta])
    return float(inverse(*ends, slopes, np.array([zeta]))[0])


def _one_side(
    path: _Path, first: Knot, side: int, cutoff: float, step: float
) -> tuple[list[Knot], str]:
    chart = path.chart
    bound = chart.upper if side > 0 else chart.lower
    knots = [first]
    unit = 1.0 / first.slope if first.slope > 0 else 0.1
    last = math.inf
    while abs(knots[-1].at - bound) > _AT_END:
        here = knots[-1]
        if abs(here.zeta) >= cutoff:
            return knots, "cutoff"
        if len(knots) > _MAX_KNOTS or abs(here.at - first.at) > _FAR * unit:
            return knots, "open"
        target = min(abs(here.zeta) + step, 1.03 * cutoff)
        length = _step_length(knots, target, last if len(knots) > 1 else unit * step)
        last = length
        at = here.at + side * length
        if side * (at - bound) > -_AT_END:
            at = bound
        knot = _knot_before(path, here, at, side)
        if knot is None:
            return knots, "open" if here.slope < _STILL else "lost"
        knots.append(knot)
    return knots, "bound"


def _knot_before(path: _Path, here: Knot, at: float, side: int) -> Knot | None:
    """The knot at `at`, or nearer where numbers give out there; None if they do at once."""
    for _ in range(_TRIES):
        try:
            return _knot(path, here, at, side)
        except (np.linalg.LinAlgError, FloatingPointError):
            at = here.at + 0.25 * (at - here.at)
    return None


def _step_length(knots: Sequence[Knot], target: float, last: float) -> float:
    """How far to go for ``|zeta|`` to become `target`: the inverse of zeta to second order."""
    here = knots[-1]
    gap = target - abs(here.zeta)
    if len(knots) == 1:
        return last
    if here.slope <= 0.0:
        return _GROWTH * last
    length = gap / here.slope
    run = abs(here.at - knots[-2].at)
    if run > 0:
        bend = (here.slope - knots[-2].slope) / run
        length *= 1.0 - min(max(0.5 * bend * gap / here.slope**2, -0.5), 0.5)
    return min(length, _GROWTH * last)


def _knot(path: _Path, start: Knot, at: float, side: int) -> Knot:
    """Settle at one value of the held coordinate, from a neighbour along the path's tangent."""
    chart = path.chart
    near = start.settled.place.z
    z = near + (at - start.at) * _tangent(start.settled, chart)
    z[chart.held] = at
    settled = settle(z, chart, path.plan, path.stats)
    expected = abs(start.zeta + start.slope * (at - start.at))
    if settled.place.value - path.base > (_SURPRISE * expected) ** 2:  # a worse valley?
        z = near.copy()
        z[chart.held] = at
        settled = _better(settled, settle(z, chart, path.plan, path.stats))
    if path.without is not None:
        settled = _better(settled, path.without)
    rise = settled.place.value - path.base
    if rise < -path.lower:
        raise LowerDeviance(settled, chart)
    zeta = side * math.sqrt(max(rise, 0.0))
    if settled is path.without:
        return Knot(at=at, zeta=zeta, slope=0.0, settled=settled)
    slope = float(settled.place.gradient[chart.held]) / (2.0 * zeta) if zeta else 0.0
    return Knot(at=at, zeta=zeta, slope=slope, settled=settled)


def _better(one: Settled, other: Settled) -> Settled:
    return other if other.place.value < one.place.value else one


def _best_without(chart: Chart, plan: Plan, stats: CrossProducts) -> Settled | None:
    """The best fit with one of the removable coordinates at zero."""
    best = None
    for at in chart.removable:
        z = chart.start.copy()
        z[at] = 0.0
        found = settle(z, chart, plan, stats, also=at)
        best = found if best is None else _better(best, found)
    return best


def _tangent(settled: Settled, chart: Chart) -> FloatArray:
    """Derivative of the best fit in the held coordinate."""
    H = settled.hessian()
    free = np.arange(len(H)) != chart.held
    values, vectors = np.linalg.eigh(H[free][:, free])
    used = values > 1e-8 * max(values[-1], 1e-300)
    slopes = vectors.T @ H[free, chart.held]
    out = np.zeros(len(H))
    out[free] = -vectors[:, used] @ (slopes[used] / values[used])
    out[chart.held] = 1.0
    return out


def _first_slope(settled: Settled, chart: Chart) -> float:
    """D zeta / d coordinate at the estimate, from the approximate Hessian."""
    H = settled.hessian()
    tangent = _tangent(settled, chart)
    bend = float(tangent @ H @ tangent)
    return math.sqrt(0.5 * bend) if bend > 0 else 0.0


def _mended(path: _Path, knots: list[Knot], side: int) -> list[Knot]:
    """Where the profile fell, an earlier knot sat in a worse valley: settle it from beyond."""
    for i in range(len(knots) - 2, 0, -1):
        beyond = knots[i + 1]
        if abs(knots[i].zeta) <= abs(beyond.zeta) + 1e-6:
            continue
        again = _knot(path, beyond, knots[i].at, side)
        if abs(again.zeta) < abs(knots[i].zeta):
            knots[i] = again
    return knots
