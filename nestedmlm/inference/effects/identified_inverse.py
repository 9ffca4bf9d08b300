"""Inverse of a Hessian as far as the data identify its parameters."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray

_UNIDENTIFIED_EIGENVALUE = 1e-9  # of the Hessian with unit diagonal: below, nothing is identified


def twice_inverse(H: FloatArray) -> tuple[FloatArray, int]:
    """``2 H^+`` without the directions along which the criterion is flat, and their number."""
    d = 1.0 / np.sqrt(np.abs(np.diag(H)).clip(min=1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(d, d))
    keep = values > _UNIDENTIFIED_EIGENVALUE
    half = vectors[:, keep] * d[:, None]
    return 2.0 * (half / values[keep]) @ half.T, int(np.sum(~keep))
