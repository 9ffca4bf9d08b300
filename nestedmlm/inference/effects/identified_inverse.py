"""Inverse of a Hessian as far as the data identify its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray

_UNIDENTIFIED_EIGENVALUE = 1e-9  # of the Hessian with unit diagonal: below, nothing is identified


def twice_inverse(H: FloatArray, size: FloatArray | None = None) -> tuple[FloatArray, Any]:
    """``2 H^+`` without the directions along which the criterion is flat, and their number.

    Parameters
    ----------
    H : (..., n, n) array
        One Hessian, or many.
    size : (n,) array, optional
        What its diagonal would be without fixed effects. Of random effects that they reproduce the
        data know nothing, and H holds rounding, which has a unit diagonal too.
    """
    diagonal = np.abs(np.einsum("...ii->...i", H))
    diagonal = diagonal if size is None else np.fmax(diagonal, size)
    d = 1.0 / np.sqrt(diagonal.clip(min=1e-300))
    values, vectors = np.linalg.eigh(H * d[..., :, None] * d[..., None, :])
    keep = values > _UNIDENTIFIED_EIGENVALUE
    half = vectors * d[..., :, None]
    weights = np.where(keep, 2.0 / np.where(keep, values, 1.0), 0.0)
    inverse = (half * weights[..., None, :]) @ np.swapaxes(half, -1, -2)
    return inverse, np.count_nonzero(~keep, axis=-1)
