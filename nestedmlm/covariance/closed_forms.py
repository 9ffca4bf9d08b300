"""Decompositions of matrices of one to three columns, in Python's own numbers.

Those of most models are of this size. LAPACK would take a microsecond for one and NumPy ten around
it; larger ones go there.
"""

from __future__ import annotations

import math

import numpy as np

from nestedmlm._typing import FloatArray

FEW = 3  # columns that are sooner done here


def cholesky(A: FloatArray) -> FloatArray:
    """Lower-triangular L with ``L L' = A``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If A is not positive definite.
    """
    k = len(A)
    if k > FEW:
        return np.linalg.cholesky(A)
    rows: list[list[float]] = A.tolist()
    L = [[0.0] * k for _ in range(k)]
    for a, own in enumerate(rows):
        for b in range(a):
            L[a][b] = (own[b] - sum(L[a][c] * L[b][c] for c in range(b))) / L[b][b]
        square = own[a] - sum(x * x for x in L[a][:a])
        if not square > 0.0:
            raise np.linalg.LinAlgError("matrix is not positive definite")
        L[a][a] = math.sqrt(square)
    return np.array(L)


def upper_inverse(R: FloatArray) -> FloatArray:
    """Inverse of an upper-triangular matrix."""
    k = len(R)
    if k > FEW or k == 0:
        return np.linalg.inv(R)
    rows: list[list[float]] = R.tolist()
    out = [[0.0] * k for _ in range(k)]
    for b in range(k):
        out[b][b] = 1.0 / rows[b][b]
        for a in range(b - 1, -1, -1):
            out[a][b] = -sum(rows[a][c] * out[c][b] for c in range(a + 1, b + 1)) / rows[a][a]
    return np.array(out)


def singular_ends(T: FloatArray) -> tuple[float, float]:
    """Smallest and largest singular value of a square matrix."""
    if T.size == 1:
        only = abs(T.item())
        return only, only
    if T.shape != (2, 2):
        values = np.linalg.svd(T, compute_uv=False)
        return float(values[-1]), float(values[0])
    (a, b), (c, d) = T.tolist()
    largest = 0.5 * (math.hypot(a + d, b - c) + math.hypot(a - d, b + c))
    if not largest > 0.0:
        return largest, largest
    return abs(a * (d / largest) - b * (c / largest)), largest


def steepest_direction(M: FloatArray) -> FloatArray:
    """Unit eigenvector of the smallest eigenvalue of a symmetric matrix."""
    if M.size == 1:
        return np.ones(1)
    if M.shape != (2, 2):
        out: FloatArray = np.linalg.eigh(M)[1][:, 0]
        return out
    (a, _), (b, d) = M.tolist()
    angle = 0.5 * math.atan2(2.0 * b, a - d)  # of the largest
    return np.array([-math.sin(angle), math.cos(angle)])
