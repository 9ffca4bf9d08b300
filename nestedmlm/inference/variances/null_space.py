"""Null space of an information matrix: directions that the data say nothing of."""

from __future__ import annotations

import math

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import cholesky

_ROUNDING = 1e-10  # eigenvalue of the information, scaled to a unit diagonal: zero to rounding


def null_vectors(information: FloatArray) -> FloatArray:
    """Null space of an information matrix scaled to a unit diagonal, as columns."""
    size = np.sqrt(np.clip(np.diag(information), 0.0, None))
    if not len(size) or not np.all(np.isfinite(information)):
        return np.zeros((len(size), 0))
    # where there is no information at all there is nothing to share either: variances of zero
    seen = size > 1e-8 * size.max()
    scaled = information[np.ix_(seen, seen)] / np.outer(size[seen], size[seen])
    values, vectors = np.linalg.eigh(scaled)
    out = np.zeros((len(size), int(np.sum(values < _ROUNDING))))
    out[seen] = vectors[:, values < _ROUNDING]
    return out


def has_null_vectors(information: FloatArray) -> bool:
    """Whether `null_vectors` finds any; mostly from the determinant alone.

    The smallest of n eigenvalues that add up to n is at least the determinant over e.
    """
    squares = information.diagonal()
    if len(squares) and squares.min() > 0.0:
        size = np.sqrt(squares)
        try:
            roots = cholesky(information / size / size[:, None]).diagonal()
        except np.linalg.LinAlgError:
            roots = np.zeros(1)
        if np.prod(roots) ** 2 > math.e * _ROUNDING:
            return False
    return bool(null_vectors(information).shape[1])


def rank_of(information: FloatArray) -> int:
    """Number of directions that the data say something of."""
    return len(information) - int(null_vectors(information).shape[1])
