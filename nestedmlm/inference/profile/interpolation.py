"""Interpolation that keeps a monotone curve monotone, and its inverse."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray

_BISECTIONS = 60  # of a cell: down to rounding


def monotone(x: FloatArray, y: FloatArray, slopes: FloatArray, at: FloatArray) -> FloatArray:
    """Cubic Hermite interpolation of increasing `y`, its slopes limited so that it increases.

    Fritsch & Carlson (1980): slopes between zero and three times the secants beside them.

    Parameters
    ----------
    x, y, slopes : (m,) arrays
        Knots, ascending in both, and derivatives at them; m >= 2.
    at : array
    """
    from scipy.interpolate import CubicHermiteSpline

    out: FloatArray = CubicHermiteSpline(x, y, limited(x, y, slopes))(at)
    return out


def inverse(x: FloatArray, y: FloatArray, slopes: FloatArray, at: FloatArray) -> FloatArray:
    """Where the curve of `monotone` takes the values `at`, which must be within ``y[0], y[-1]``."""
    from scipy.interpolate import CubicHermiteSpline

    curve = CubicHermiteSpline(x, y, limited(x, y, slopes))
    cell = np.clip(np.searchsorted(y, at, side="right") - 1, 0, len(x) - 2)
    low, high = x[cell], x[cell + 1]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = curve(middle) < at
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    out: FloatArray = 0.5 * (low + high)
    return out


def limited(x: FloatArray, y: FloatArray, slopes: FloatArray) -> FloatArray:
    """Slopes that keep the curve monotone."""
    secants = np.diff(y) / np.diff(x)
    beside = np.minimum(np.append(secants, secants[-1]), np.append(secants[0], secants))
    out: FloatArray = np.clip(slopes, 0.0, 3.0 * beside)
    return out
