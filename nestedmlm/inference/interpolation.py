"""Interpolation that keeps a monotone curve monotone (layer 5)."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray


def monotone(x: FloatArray, y: FloatArray, slopes: FloatArray, at: FloatArray) -> FloatArray:
    """Cubic Hermite interpolation, its slopes limited so that it is monotone.

    Fritsch & Carlson (1980): slopes of one sign and at most three times the secants beside them.
    """
    from scipy.interpolate import CubicHermiteSpline

    if len(x) < 2:
        return np.full(at.shape, y[0])
    secants = np.diff(y) / np.diff(x)
    beside = np.minimum(
        np.abs(np.append(secants, secants[-1])), np.abs(np.append(secants[0], secants))
    )
    direction = np.sign(y[-1] - y[0]) or 1.0
    limited = direction * np.clip(direction * slopes, 0.0, 3.0 * beside)
    out: FloatArray = CubicHermiteSpline(x, y, limited)(at)
    return out
