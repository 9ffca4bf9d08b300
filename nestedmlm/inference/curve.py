"""A profile as a curve that can be read at any zeta (layer 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.coordinates import Chart
from nestedmlm.inference.interpolation import monotone
from nestedmlm.inference.trace import Knot, Trace

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
    rate : (m,) array
        d value / d zeta, exact at the knots.
    lower, upper : float
        Ends of the admissible values.
    ends : (str, str)
        Why the knots end on each side: ``cutoff``, ``bound`` or ``open``; ``undefined`` where
        there is no estimate.
    """

    name: str
    estimate: float
    zeta: FloatArray
    value: FloatArray
    rate: FloatArray
    lower: float
    upper: float
    ends: tuple[str, str]

    def limit(self, zeta: float) -> float:
        """The value at which the profile reaches `zeta`; the admissible end if it never does.

        NaN where the knots stop at a cutoff before `zeta`.
        """
        side = 1 if zeta > 0 else -1
        end = self.ends[side > 0]
        zetas, values, rates = self._outward(side)
        if side * zeta <= zetas[-1]:
            return float(monotone(zetas, values, rates, np.array([abs(zeta)]))[0])
        if end == "cutoff":
            return np.nan
        return self.upper if side > 0 else self.lower

    def values(self, zeta: FloatArray) -> FloatArray:
        """Values at many zetas, for drawing; NaN outside the knots."""
        zeta = np.asarray(zeta, dtype=float)
        out = np.full(zeta.shape, np.nan)
        for side in (-1, 1):
            zetas, values, rates = self._outward(side)
            inside = (side * zeta >= 0) & (side * zeta <= zetas[-1])
            if len(zetas) > 1 and inside.any():
                out[inside] = monotone(zetas, values, rates, np.abs(zeta[inside]))
        return out

    def _outward(self, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Knots from the estimate outwards as far as ``|zeta|`` increases."""
        if len(self.zeta) == 0:
            return np.zeros(1), np.array([self.estimate]), np.zeros(1)
        centre = int(np.argmin(np.abs(self.zeta)))
        run = slice(centre, None) if side > 0 else slice(centre, None, -1)
        zetas = side * self.zeta[run]
        keep = [0]
        for i in range(1, len(zetas)):
            if zetas[i] > zetas[keep[-1]] + 1e-9:
                keep.append(i)
        return zetas[keep], self.value[run][keep], side * self.rate[run][keep]


def make_curve(
    name: str, estimate: float, trace: Trace, chart: Chart, *, lower: float, upper: float
) -> ProfileCurve:
    """Turn a trace into a curve on the reported scale."""
    knots = trace.knots
    slopes = np.array([k.slope for k in knots])
    centre = int(np.argmin([abs(k.zeta) for k in knots]))
    slopes[centre] = _slope_at_centre(knots, centre)
    jump = np.array([_derivative(k.at, chart) for k in knots])
    rate = np.divide(jump, slopes, out=np.full(len(knots), np.inf), where=slopes > 0)
    return ProfileCurve(
        name=name,
        estimate=estimate,
        zeta=np.array([k.zeta for k in knots]),
        value=np.array([chart.to_natural(k.at) for k in knots]),
        rate=np.where(np.isfinite(rate), rate, 1e300),
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
