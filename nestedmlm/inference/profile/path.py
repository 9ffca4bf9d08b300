"""The path of one parameter's profile: best fits as the parameter moves away from its estimate.

``zeta(x) = sign(x - x_hat) sqrt(deviance(x) - deviance_hat)`` (Bates et al. 2015, section 5.1).
Each point gives zeta and its exact slope. So few points are needed: steps aim at given values of
zeta, and starts follow the tangent of the path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from nestedmlm.inference.profile.constrained_fit import (
    ConstrainedFit,
    criterion_of,
    fit_constrained,
)
from nestedmlm.inference.profile.coordinates import Coordinates
from nestedmlm.inference.profile.interpolation import inverse
from nestedmlm.inference.profile.point import (
    LowerDeviance,
    ProfilePoint,
    better,
    fit_without,
    point_at_estimate,
    tangent,
)

# what each of these does: see `PathBuilder`
LOWER = 1e-6
_OVERSHOOT = 1.03
_MAX_GROWTH = 4.0
_RETRY = 1.25
_FALL = 1e-6
_FLAT_SLOPE = 1e-3
_NEAR = 0.003
_END_GAP = 1e-7
_MAX_DISTANCE = 1e6
_MAX_POINTS = 60
_TRIES = 6

_NO_NUMBERS = (np.linalg.LinAlgError, ArithmeticError)  # where a criterion does not exist


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfilePath:
    """The profile of one parameter.

    Attributes
    ----------
    coordinates : Coordinates
        Those in which the parameter is held.
    points : tuple of ProfilePoint
        Ascending in the held coordinate; the estimate is one of them.
    ends : (str, str)
        Why each side ended: ``cutoff``, ``bound``, ``open`` (zeta stays below the cutoff as far
        as one can go), or ``lost`` (numbers gave out on the way).
    monotone : bool
        Whether zeta increases throughout.
    without : ConstrainedFit or None
        The best fit in which the parameter has no effect (one of the two standard deviations of
        a correlation is zero): a profile cannot rise above it.
    """

    coordinates: Coordinates
    points: tuple[ProfilePoint, ...]
    ends: tuple[str, str]
    monotone: bool
    without: ConstrainedFit | None = None

    @property
    def centre(self) -> int:
        """Index of the estimate among the points."""
        return int(np.argmin([abs(p.zeta) for p in self.points]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathBuilder:
    """Builds a `ProfilePath` point by point, outwards from the estimate.

    Three steps: `advance` fits the next point, starting along the tangent of the path; `retry`
    fits it again from its neighbour where it came out worse than the tangent promised; `repair`
    goes back over a finished side and fits anew, from beyond, what lies above its outer neighbour.

    Attributes
    ----------
    coordinates : Coordinates
    base : float
        Deviance at the optimum.
    lower : float
        A deviance lower than `base` by this much is another optimum.
    without : ConstrainedFit or None
        See `ProfilePath`.

    Notes
    -----
    The rules, with the constants that hold them:

    ================ ======================= =======================================================
    constant         in units of             what it does
    ================ ======================= =======================================================
    `_OVERSHOOT`     the cutoff (zeta)       the last step aims this far, to pass the cutoff
    `_RETRY`         zeta that the tangent   a point that comes out higher than this is retried
                     promised
    `_FALL`          zeta                    a point this much above the next one out is repaired
    `_NEAR`          zeta                    a point this near to a limit suffices to interpolate
    `_FLAT_SLOPE`    zeta / coordinate       a profile less steep than this has become flat: where
                                             numbers overflow, its end is infinite, not lost
    `LOWER`          zeta squared (deviance) default of `lower`
    `_MAX_GROWTH`    the step before         a step is at most this long
    `_MAX_DISTANCE`  the first step to a     an end that is farther away is infinite
                     zeta of 1
    `_MAX_POINTS`    points of one side      an end that needs more is infinite
    `_END_GAP`       the first step to a     a point this near to a bound is on it
                     zeta of 1
    `_TRIES`         attempts                shortened steps where numbers overflow; points that
                                             are added near one limit
    ================ ======================= =======================================================
    """

    coordinates: Coordinates
    base: float
    lower: float
    without: ConstrainedFit | None

    def build_side(
        self, first: ProfilePoint, side: int, *, cutoff: float, step: float
    ) -> tuple[list[ProfilePoint], str]:
        """Points from the estimate to one side (-1 or 1), and why they end."""
        bound = self.coordinates.upper if side > 0 else self.coordinates.lower
        points = [first]
        unit = 1.0 / first.slope if first.slope > 0 else 0.1
        length, gap = unit * step, _END_GAP * unit
        while abs(points[-1].coordinate - bound) > gap:
            here = points[-1]
            if abs(here.zeta) >= cutoff:
                return points, "cutoff"
            far = abs(here.coordinate - first.coordinate) > _MAX_DISTANCE * unit
            if len(points) > _MAX_POINTS or far:
                return points, "open"
            target = min(abs(here.zeta) + step, _OVERSHOOT * cutoff)
            length = _step_length(points, target, length)
            goal = here.coordinate + side * length
            if side * (goal - bound) > -gap:
                goal = bound
            point = self.advance(here, goal, side)
            if point is None:
                return points, "open" if here.slope < _FLAT_SLOPE else "lost"
            points.append(point)
        return points, "bound"

    def advance(self, here: ProfilePoint, goal: float, side: int) -> ProfilePoint | None:
        """The point at `goal`, or nearer where numbers overflow; None where they do at once."""
        for _ in range(_TRIES):
            try:
                return self.point(here, goal, side)
            except _NO_NUMBERS:
                goal = here.coordinate + 0.25 * (goal - here.coordinate)
        return None

    def point(self, start: ProfilePoint, goal: float, side: int) -> ProfilePoint:
        """Fit at one value of the held coordinate, starting along the tangent of a neighbour.

        Raises
        ------
        LowerDeviance
            Where the fit is better than the optimum.
        """
        gap = goal - start.coordinate
        along = gap * tangent(start.fit, self.coordinates)
        try:
            fit = self._fit_from(start.fit.deviance.z + along, goal)
        except _NO_NUMBERS:  # the tangent may leave the range of a mean
            fit = self._fit_from(start.fit.deviance.z.copy(), goal)
        promised = abs(start.zeta + start.slope * gap)
        if fit.deviance.value - self.base > (_RETRY * promised) ** 2:
            fit = self.retry(fit, start, goal)
        if self.without is not None:
            fit = better(fit, self.without)
        rise = fit.deviance.value - self.base
        if rise < -self.lower:
            raise LowerDeviance(fit, self.coordinates)
        zeta = side * math.sqrt(max(rise, 0.0))
        flat = fit is self.without or not zeta
        gradient = float(fit.deviance.gradient[self.coordinates.held])
        return ProfilePoint(
            coordinate=goal, zeta=zeta, slope=0.0 if flat else gradient / (2.0 * zeta), fit=fit
        )

    def retry(self, fit: ConstrainedFit, start: ProfilePoint, goal: float) -> ConstrainedFit:
        """The better of a fit and one that starts at the neighbour itself.

        The tangent may have led into the basin of a worse local optimum.
        """
        return better(fit, self._fit_from(start.fit.deviance.z.copy(), goal))

    def repair(self, points: Sequence[ProfilePoint], side: int) -> list[ProfilePoint]:
        """Points of one side, those that lie above the next one out fitted again from there.

        Such a point was a worse local optimum: a profile falls nowhere on the way out.
        """
        points = list(points)
        for i in range(len(points) - 2, 0, -1):
            here, beyond = points[i], points[i + 1]
            if abs(here.zeta) <= abs(beyond.zeta) + _FALL:
                continue
            again = self.advance(beyond, here.coordinate, side)
            if again is None or again.coordinate != here.coordinate:
                continue
            if abs(again.zeta) < abs(here.zeta):
                points[i] = again
        return points

    def _fit_from(self, z: np.ndarray, goal: float) -> ConstrainedFit:
        z[self.coordinates.held] = goal
        return fit_constrained(z, self.coordinates)


def follow_profile(
    coordinates: Coordinates, *, cutoff: float, step: float, lower: float = LOWER
) -> ProfilePath:
    """Follow the profile to both sides until ``|zeta|`` exceeds `cutoff` or a bound is met.

    Parameters
    ----------
    coordinates : Coordinates
        Those that hold the parameter; their start is the optimum.
    cutoff, step : float
        In units of zeta.
    lower : float
        A deviance lower than the optimum's by this much is another optimum.

    Raises
    ------
    LowerDeviance
        Where the profile comes to a better fit than the optimum.
    """
    before = criterion_of(coordinates).at(coordinates.start, coordinates).value
    centre = fit_constrained(coordinates.start, coordinates)
    if centre.deviance.value < before - lower:
        raise LowerDeviance(centre, coordinates)
    builder = PathBuilder(
        coordinates=coordinates,
        base=centre.deviance.value,
        lower=lower,
        without=fit_without(coordinates),
    )
    first = point_at_estimate(centre, coordinates)
    sides, ends = [], []
    for side in (-1, 1):
        points, end = builder.build_side(first, side, cutoff=cutoff, step=step)
        sides.append(builder.repair(points, side))
        ends.append(end)
    points = [*reversed(sides[0][1:]), first, *sides[1][1:]]
    zeta = np.array([p.zeta for p in points])
    return ProfilePath(
        coordinates=coordinates,
        points=tuple(points),
        ends=(ends[0], ends[1]),
        without=builder.without,
        monotone=bool(np.all(np.diff(zeta) > -_FALL)),
    )


def refine_path(path: ProfilePath, *, zetas: Sequence[float], lower: float = LOWER) -> ProfilePath:
    """Add points until there is one near each of the values `zetas` that the profile reaches."""
    points = list(path.points)
    builder = PathBuilder(
        coordinates=path.coordinates,
        base=points[path.centre].fit.deviance.value,
        lower=lower,
        without=path.without,
    )
    for zeta in zetas:
        for _ in range(_TRIES):
            left = _left_of(zeta, points)
            if left is None or min(abs(p.zeta - zeta) for p in points) <= _NEAR:
                break
            pair = points[left : left + 2]
            goal = _crossing(pair[0], pair[1], zeta)
            start = min(pair, key=lambda p: abs(p.zeta))  # the basin of the estimate
            point = builder.advance(start, goal, 1 if zeta > 0 else -1)
            if point is None:
                break
            points.insert(left + 1, point)
    return replace(path, points=tuple(points))


def _left_of(zeta: float, points: Sequence[ProfilePoint]) -> int | None:
    """The point after which the profile first reaches `zeta`, seen from the estimate."""
    between = [
        i
        for i, (left, right) in enumerate(pairwise(points))
        if left.zeta < zeta <= right.zeta and left.coordinate < right.coordinate  # no jump
    ]
    if not between:
        return None
    return between[0] if zeta > 0 else between[-1]


def _crossing(left: ProfilePoint, right: ProfilePoint, zeta: float) -> float:
    """Where the profile between two points is `zeta`."""
    slopes = np.array([left.slope, right.slope])
    ends = np.array([left.coordinate, right.coordinate]), np.array([left.zeta, right.zeta])
    return float(inverse(*ends, slopes, np.array([zeta]))[0])


def _step_length(points: Sequence[ProfilePoint], target: float, last: float) -> float:
    """How far to go for ``|zeta|`` to become `target`: the inverse of zeta to second order."""
    here = points[-1]
    gap = target - abs(here.zeta)
    if len(points) == 1:
        return last
    if here.slope <= 0.0:
        return _MAX_GROWTH * last
    length = gap / here.slope
    run = abs(here.coordinate - points[-2].coordinate)
    if run > 0:
        curvature = (here.slope - points[-2].slope) / run
        length *= 1.0 - min(max(0.5 * curvature * gap / here.slope**2, -0.5), 0.5)
    return min(length, _MAX_GROWTH * last)
