"""A profile as a curve that can be read at any zeta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.coordinates import Chart
from nestedmlm.inference.profile.interpolation import inverse, monotone
from nestedmlm.inference.profile.path import Knot, Trace

_STEP = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileCurve:
    """zeta of one parameter, on the scale it is reported on.

    Attributes
    ----------
    name : str
    estimate : float
        NaN where it is not defined (a correlation beside a standard deviation of zero).
    zeta, value : (m,) arrays
        Knots, ascending in value.
    at : (m,) array
        The coordinate in which the profile was followed; smooth also where the value is at its
        end, so this is what is interpolated.
    slope, jump : (m,) arrays
        d zeta / d at, and d value / d at, exact.
    lower, upper : float
        Ends of the admissible values.
    ends : (str, str)
        Why the knots end on each side: see `Trace`; ``undefined`` where there is no estimate.
    """

    name: str
    estimate: float
    zeta: FloatArray
    value: FloatArray
    at: FloatArray
    slope: FloatArray
    jump: FloatArray
    lower: float
    upper: float
    ends: tuple[str, str]

    def limit(self, zeta: float) -> float:
        """The value at which the profile reaches `zeta`; the admissible end if it never does.

        NaN where the knots stop before `zeta`, at a cutoff or because they were lost.
        """
        found = float(self.values(np.array([zeta]))[0])
        if np.isfinite(found) or self.ends[zeta > 0] in ("cutoff", "lost"):
            return found
        return self.upper if zeta > 0 else self.lower

    def values(self, zeta: FloatArray) -> FloatArray:
        """Values at many zetas, for drawing; NaN outside the knots."""
        zeta = np.asarray(zeta, dtype=float)
        out = np.full(zeta.shape, np.nan)
        for side in (-1, 1):
            knots = self._outward(side)
            if len(knots) < 2:
                continue
            at, zetas = side * self.at[knots], side * self.zeta[knots]
            inside = (side * zeta >= 0) & (side * zeta <= zetas[-1])
            where = inverse(at, zetas, self.slope[knots], np.abs(zeta[inside]))
            out[inside] = side * monotone(at, side * self.value[knots], self.jump[knots], where)
        return out

    def _outward(self, side: int) -> list[int]:
        """Knots from the estimate outwards as far as ``|zeta|`` increases."""
        if len(self.zeta) == 0:
            return []
        centre = int(np.argmin(np.abs(self.zeta)))
        end = len(self.zeta) if side > 0 else -1
        keep = [centre]
        for i in range(centre + side, end, side):
            if side * self.zeta[i] > side * self.zeta[keep[-1]] + 1e-9:
                keep.append(i)
        return keep


def make_curve(
    name: str, estimate: float, trace: Trace, chart: Chart, *, lower: float, upper: float
) -> ProfileCurve:
    """Turn a trace into a curve on the reported scale."""
    knots = trace.knots
    slopes = np.array([k.slope for k in knots])
    centre = int(np.argmin([abs(k.zeta) for k in knots]))
    slopes[centre] = _slope_at_centre(knots, centre)
    return ProfileCurve(
        name=name,
        estimate=estimate,
        zeta=np.array([k.zeta for k in knots]),
        value=np.array([chart.to_natural(k.at) for k in knots]),
        at=np.array([k.at for k in knots]),
        slope=slopes,
        jump=np.array([_derivative(k.at, chart) for k in knots]),
        lower=lower,
        upper=upper,
        ends=trace.ends,
    )


def _derivative(at: float, chart: Chart) -> float:
    """D reported / d coordinate."""
    step = _STEP * max(1.0, abs(at))
    high, low = min(at + step, chart.upper), max(at - step, chart.lower)
    return (chart.to_natural(high) - chart.to_natural(low)) / (high - low)


def _slope_at_centre(knots: tuple[Knot, ...], centre: int) -> float:
    """D zeta / d coordinate at the estimate: zeta / distance is smooth, so interpolate that."""
    beside = [knots[i] for i in (centre - 1, centre + 1) if 0 <= i < len(knots)]
    points = []
    for k in beside:
        gap = k.at - knots[centre].at
        ratio = k.zeta / gap
        points.append((gap, ratio, (k.slope - ratio) / gap))
    if not points:
        return knots[centre].slope
    if len(points) == 1:
        gap, ratio, bend = points[0]
        return max(ratio - gap * bend, 0.1 * ratio)
    (a, ra, ba), (b, rb, bb) = points
    t, width = -a / (b - a), b - a
    weights = ((1 + 2 * t) * (1 - t) ** 2, t * (1 - t) ** 2, t * t * (3 - 2 * t), t * t * (t - 1))
    value = weights[0] * ra + weights[1] * width * ba + weights[2] * rb + weights[3] * width * bb
    return float(max(value, 0.1 * min(ra, rb)))
