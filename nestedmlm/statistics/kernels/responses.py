"""Crossproducts of the random-effects columns with many responses at once."""

from __future__ import annotations

from numba import njit

from nestedmlm.statistics.kernels.common import JIT


@njit(**JIT)
def sum_by_level(start, codes, X, w, Y, out):
    """Add ``X' W Y`` of each level to `out`, rows ``start[code] + column``.

    Parameters
    ----------
    start : (J,) first row of each level in `out`.
    codes : (n,) level of each row.
    X : (n, k) random-effects columns; w : (n,) weights; Y : (n, m) responses.
    out : (q, m), written.
    """
    n, k = X.shape
    m = Y.shape[1]
    for row in range(n):
        at = start[codes[row]]
        for a in range(k):
            v = w[row] * X[row, a]
            if v != 0.0:
                for j in range(m):
                    out[at + a, j] += v * Y[row, j]
