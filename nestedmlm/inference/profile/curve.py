"""A profile as a curve: its points, interpolated at any zeta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.coordinates import Coordinates
from nestedmlm.inference.profile.interpolation import inverse, monotone
from nestedmlm.inference.profile.path import ProfilePath
from nestedmlm.inference.profile.point import ProfilePoint

_DIFFERENCE_STEP = 1e-6  # relative to the coordinate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileCurve:
    """The profile of one parameter as a curve: zeta against the value as it is reported.

    Attributes
    ----------
    name : str
    estimate : float
        NaN where it is not defined (a correlation beside a standard deviation of zero).
    zeta, value : (m,) arrays
        The points, ascending in value.
    coordinate : (m,) array
        The coordinate in which the profile was followed; smooth also where the value is at its
        end, so this is what is interpolated.
    slope, value_slope : (m,) arrays
        d zeta / d coordinate and d value / d coordinate, exact.
    lower, upper : float
        Ends of the admissible values.
    ends : (str, str)
        Why the points end on each side: see `ProfilePath`; ``undefined`` where there is no
        estimate.
    """

    name: str
    estimate: float
    zeta: FloatArray
    value: FloatArray
    coordinate: FloatArray
    slope: FloatArray
    value_slope: FloatArray
    lower: float
    upper: float
    ends: tuple[str, str]

    def limit(self, zeta: float) -> float:
        """The value at which the profile reaches `zeta`; the admissible end if it never does.

        NaN where the points stop before `zeta`, at a cutoff or because they were lost.
        """
        found = float(self.values(np.array([zeta]))[0])
        if np.isfinite(found) or self.ends[zeta > 0] in ("cutoff", "lost"):
            return found
        return self.upper if zeta > 0 else self.lower

    def values(self, zeta: FloatArray) -> FloatArray:
        """Values at many zetas, for drawing; NaN outside the points."""
        zeta = np.asarray(zeta, dtype=float)
        out = np.full(zeta.shape, np.nan)
        for side in (-1, 1):
            used = self._outward(side)
            if len(used) < 2:
                continue
            at, zetas = side * self.coordinate[used], side * self.zeta[used]
            inside = (side * zeta >= 0) & (side * zeta <= zetas[-1])
            where = inverse(at, zetas, self.slope[used], np.abs(zeta[inside]))
            out[inside] = side * monotone(
                at, side * self.value[used], self.value_slope[used], where
            )
        return out

    def _outward(self, side: int) -> list[int]:
        """Indices of the points outwards that go on, in the coordinate and in ``|zeta|``."""
        if len(self.zeta) == 0:
            return []
        centre = int(np.argmin(np.abs(self.zeta)))
        end = len(self.zeta) if side > 0 else -1
        keep = [centre]
        for i in range(centre + side, end, side):
            on = side * (self.coordinate[i] - self.coordinate[keep[-1]]) > 0.0
            if on and side * self.zeta[i] > side * self.zeta[keep[-1]] + 1e-9:
                keep.append(i)
        return keep


def make_curve(
    name: str, estimate: float, path: ProfilePath, *, lower: float, upper: float
) -> ProfileCurve:
    """Turn a path into a curve on the scale the parameter is reported on."""
    points, coordinates = path.points, path.coordinates
    slopes = np.array([p.slope for p in points])
    slopes[path.centre] = _slope_at_centre(points, path.centre)
    return ProfileCurve(
        name=name,
        estimate=estimate,
        zeta=np.array([p.zeta for p in points]),
        value=np.array([coordinates.to_natural(p.coordinate) for p in points]),
        coordinate=np.array([p.coordinate for p in points]),
        slope=slopes,
        value_slope=np.array([_derivative(p.coordinate, coordinates) for p in points]),
        lower=lower,
        upper=upper,
        ends=path.ends,
    )


def _derivative(at: float, coordinates: Coordinates) -> float:
    """D value / d coordinate."""
    step = _DIFFERENCE_STEP * max(1.0, abs(at))
    high, low = min(at + step, coordinates.upper), max(at - step, coordinates.lower)
    return (coordinates.to_natural(high) - coordinates.to_natural(low)) / (high - low)


def _slope_at_centre(points: tuple[ProfilePoint, ...], centre: int) -> float:
    """D zeta / d coordinate at the estimate: zeta / distance is smooth, so interpolate that."""
    beside = [points[i] for i in (centre - 1, centre + 1) if 0 <= i < len(points)]
    found = []
    for p in beside:
        gap = p.coordinate - points[centre].coordinate
        if gap == 0.0:  # closer than numbers can tell
            continue
        ratio = p.zeta / gap
        found.append((gap, ratio, (p.slope - ratio) / gap))
    if not found:
        return points[centre].slope
    if len(found) == 1:
        gap, ratio, d_ratio = found[0]
        return max(ratio - gap * d_ratio, 0.1 * ratio)
    (a, ra, ba), (b, rb, bb) = found
    t, width = -a / (b - a), b - a
    weights = ((1 + 2 * t) * (1 - t) ** 2, t * (1 - t) ** 2, t * t * (3 - 2 * t), t * t * (t - 1))
    value = weights[0] * ra + weights[1] * width * ba + weights[2] * rb + weights[3] * width * bb
    return float(max(value, 0.1 * min(ra, rb)))
