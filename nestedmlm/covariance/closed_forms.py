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
    L: list[list[float]] = A.tolist()
    for a, own in enumerate(L):
        for b in range(a + 1):
            rest = own[b]
            for c in range(b):
                rest -= own[c] * L[b][c]
            if b < a:
                own[b] = rest / L[b][b]
            elif rest > 0.0:
                own[a] = math.sqrt(rest)
            else:
                raise np.linalg.LinAlgError("matrix is not positive definite")
        for b in range(a + 1, k):
            own[b] = 0.0
    return np.array(L)


def upper_inverse(R: FloatArray) -> FloatArray:
    """Inverse of an upper-triangular matrix."""
    k = len(R)
    if k > FEW or k == 0:
        return np.linalg.inv(R)
    rows: list[list[float]] = R.tolist()
    out = [[0.0] * k for _ in rows]
    for b in range(k):
        out[b][b] = 1.0 / rows[b][b]
        for a in range(b - 1, -1, -1):
            rest = 0.0
            for c in range(a + 1, b + 1):
                rest -= rows[a][c] * out[c][b]
            out[a][b] = rest / rows[a][a]
    return np.array(out)


def solve(W: FloatArray, T: FloatArray) -> FloatArray:
    """``W^-1 T``, by the inverse where W is upper triangular and small."""
    if len(W) == 1 or (len(W) == 2 and W[1, 0] == 0.0):
        out: FloatArray = upper_inverse(W) @ T
        return out
    return np.linalg.solve(W, T)


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
