"""A point of a profile: a constrained fit, its zeta and the exact slope of the profile there.

The derivative of a profile is the derivative with the rest held (the envelope theorem).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.constrained_fit import ConstrainedFit, fit_constrained
from nestedmlm.inference.profile.coordinates import Coordinates

_FLAT_SHARE_OF_CURVATURE = 1e-8  # of the largest: the fit is free to move where it is less


class LowerDeviance(Exception):
    """Profiling came to a lower deviance than the optimum's; holds the fit that has it."""

    def __init__(self, fit: ConstrainedFit, coordinates: Coordinates) -> None:
        super().__init__("lower deviance")
        self.fit = fit
        self.coordinates = coordinates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfilePoint:
    """A point of a profile.

    Attributes
    ----------
    coordinate : float
        The held coordinate.
    zeta : float
    slope : float
        d zeta / d coordinate.
    fit : ConstrainedFit
        The best fit there.
    """

    coordinate: float
    zeta: float
    slope: float
    fit: ConstrainedFit


def point_at_estimate(fit: ConstrainedFit, coordinates: Coordinates) -> ProfilePoint:
    """The profile's point at the optimum: zeta is zero, its slope comes from the Hessian."""
    H, along = fit.hessian(), tangent(fit, coordinates)
    curvature = float(along @ H @ along)
    return ProfilePoint(
        coordinate=float(coordinates.start[coordinates.held]),
        zeta=0.0,
        slope=math.sqrt(0.5 * curvature) if curvature > 0 else 0.0,
        fit=fit,
    )


def tangent(fit: ConstrainedFit, coordinates: Coordinates) -> FloatArray:
    """Derivative of the best fit in the held coordinate."""
    H = fit.hessian()
    free = ~np.isin(np.arange(len(H)), [coordinates.held, *coordinates.still])
    values, vectors = np.linalg.eigh(H[free][:, free])
    used = values > _FLAT_SHARE_OF_CURVATURE * max(values[-1], 1e-300)
    slopes = vectors.T @ H[free, coordinates.held]
    out = np.zeros(len(H))
    out[free] = -vectors[:, used] @ (slopes[used] / values[used])
    out[coordinates.held] = 1.0
    return out


def better(one: ConstrainedFit, other: ConstrainedFit) -> ConstrainedFit:
    """The fit with the lower deviance, the first of equals."""
    return other if other.deviance.value < one.deviance.value else one


def fit_without(coordinates: Coordinates) -> ConstrainedFit | None:
    """The best fit in which the held parameter has no effect; None where it always has one.

    That is: with one of the two standard deviations of a held correlation at zero.
    """
    best = None
    for at in coordinates.removable:
        z = coordinates.start.copy()
        z[at] = 0.0
        found = fit_constrained(z, coordinates, also=at)
        best = found if best is None else better(best, found)
    return best
