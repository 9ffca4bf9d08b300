"""Lower-triangular factors: order of their entries, and the unique one of a covariance."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import FEW

_ROUNDING_SHARE_OF_ROW = 1e-14  # of T's largest entry: a smaller row is rounding, not a variance


@lru_cache(maxsize=64)
def lower_indices(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a (k, k) lower triangle, column by column (lme4's theta order)."""
    cols, rows = np.triu_indices(k)
    return rows, cols


def from_lower(entries: FloatArray, k: int) -> FloatArray:
    """The lower-triangular matrix with these entries, column by column."""
    L = np.zeros((k, k))
    L[lower_indices(k)] = entries
    return L


def echelon(T: FloatArray) -> FloatArray:
    """Return the lower-triangular L with ``L L' = T T'`` and a non-negative diagonal.

    Works on T itself (no product ``T T'``, so no digits are lost) and is unique also for
    singular T: where a diagonal entry is zero, its whole column is zero.
    """
    k = T.shape[0]
    if k <= FEW and T.shape[1]:
        return _echelon_of_few(T.tolist())
    L = np.zeros((k, k))
    pool = np.array(T, dtype=float)  # columns still to be assigned, rotated as we go
    scale = np.abs(T).max(axis=1, initial=0.0)
    for i in range(k):
        norm = float(np.linalg.norm(pool[i]))
        if pool.shape[1] == 0 or norm <= _ROUNDING_SHARE_OF_ROW * max(scale[i], 1e-300):
            continue
        v = pool[i].copy()
        v[0] += np.copysign(norm, v[0])  # Householder: put row i into the pool's first column
        pool = pool - np.outer(pool @ v, 2.0 * v / (v @ v))
        L[i:, i] = pool[i:, 0] * np.copysign(1.0, pool[i, 0])
        pool = pool[:, 1:]
    return L


def _echelon_of_few(pool: list[list[float]]) -> FloatArray:
    """The same in Python's own numbers: for a few rows sooner done than NumPy is called."""
    k, out = len(pool), [[0.0] * len(pool) for _ in pool]
    scale = [max(max(row), -min(row)) for row in pool]
    for i in range(k):
        v, square = pool[i], 0.0
        for x in v:
            square += x * x
        norm = math.sqrt(square)
        if not v or norm <= _ROUNDING_SHARE_OF_ROW * max(scale[i], 1e-300):
            continue
        sign = -1.0 if v[0] >= 0.0 else 1.0  # of row i's first entry afterwards
        out[i][i] = norm
        v = [v[0] - sign * norm, *v[1:]]
        square = 2.0 * norm * abs(v[0])
        for j in range(i + 1, k):
            row, share = pool[j], 0.0
            for x, y in zip(row, v, strict=True):
                share += x * y
            share = 2.0 * share / square
            out[j][i] = (row[0] - share * v[0]) * sign
            pool[j] = [x - share * y for x, y in zip(row[1:], v[1:], strict=True)]
    return np.array(out)
