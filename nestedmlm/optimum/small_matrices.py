"""Small matrices of a fused descent: loops, which compile as they stand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def profiled(S: Any) -> Any:
    """Profile the fixed effects out of S; see `nestedmlm.likelihood.criterion.profile`.

    Returns ``(log|S_xx|, r2, v, inverse)``; r2 is NaN where S_xx is not positive definite.
    """
    p = S.shape[0] - 1
    inverse = np.zeros((p + 1, p + 1))
    v = np.ones(p + 1)
    L, Li = np.zeros((p, p)), np.zeros((p, p))
    logdet = 0.0
    for a in range(p):
        for b in range(a + 1):
            s = S[a, b]
            for c in range(b):
                s -= L[a, c] * L[b, c]
            if a > b:
                L[a, b] = s / L[b, b]
            elif s > 0.0:
                L[a, a] = math.sqrt(s)
            else:
                return np.nan, np.nan, v, inverse
        logdet += math.log(L[a, a])
        Li[a, a] = 1.0 / L[a, a]
        for b in range(a):
            s = 0.0
            for c in range(b, a):
                s -= L[a, c] * Li[c, b]
            Li[a, b] = s / L[a, a]
    c_y = np.zeros(p)
    r2 = S[p, p]
    for a in range(p):
        for b in range(a + 1):
            c_y[a] += Li[a, b] * S[b, p]
        r2 -= c_y[a] * c_y[a]
    for a in range(p):
        s = 0.0
        for b in range(a, p):
            s += Li[b, a] * c_y[b]
        v[a] = -s
        for c in range(a + 1):
            s = 0.0
            for b in range(a, p):
                s += Li[b, a] * Li[b, c]
            inverse[a, c] = s
            inverse[c, a] = s
    return 2.0 * logdet, r2, v, inverse


def times(A: Any, x: Any) -> Any:
    """``A x``; a loop, because a call of BLAS takes Numba seconds to compile."""
    out = np.zeros(A.shape[0])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i] += A[i, j] * x[j]
    return out


def transposed_times(A: Any, x: Any) -> Any:
    """``A' x``."""
    out = np.zeros(A.shape[1])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[j] += A[i, j] * x[i]
    return out


def symmetric_part(A: Any) -> Any:
    """``(A + A') / 2``."""
    out = np.empty(A.shape)
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i, j] = 0.5 * (A[i, j] + A[j, i])
    return out


def plus(A: Any, B: Any) -> Any:
    """``A + B``."""
    out = A.copy()
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i, j] += B[i, j]
    return out


def plus_outer(A: Any, x: Any, factor: float) -> Any:
    """``A + factor x x'``."""
    out = A.copy()
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i, j] += factor * x[i] * x[j]
    return out


def unexplained(after: Any, before: Any, hessian: Any, step: Any) -> Any:
    """Change of the gradient that the model Hessian does not explain."""
    out = times(hessian, step)
    for i in range(out.shape[0]):
        out[i] = after[i] - before[i] - out[i]
    return out


def cross(A: Any, B: Any) -> Any:
    """``A' B``."""
    out = np.zeros((A.shape[1], B.shape[1]))
    for row in range(A.shape[0]):
        for i in range(A.shape[1]):
            v = A[row, i]
            if v != 0.0:
                for j in range(B.shape[1]):
                    out[i, j] += v * B[row, j]
    return out


def assembled_information(gram: Any, BF: Any, e_f: Any, inverse: Any, r2: float, df: float) -> Any:
    """Average information from half of ``F'V^-1F``, ``[X y]'V^-1F`` and ``e'F``."""
    n = gram.shape[0]
    lost = cross(BF, cross(inverse, BF))  # the inverse is symmetric
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            quadratic = gram[i, j] + gram[j, i] - lost[i, j]
            out[i, j] = (quadratic - e_f[i] * e_f[j] / r2) * (df / r2)
    return out


def hessian_matrix(K: Any, B: Any, T: Any, M: Any, information: Any, pairs: Any) -> Any:
    """Second derivatives in phi: ``D'(average information)D + 2 (M (x) I)``."""
    n = B.shape[1]
    D = np.empty((pairs.shape[0], n))
    out = np.zeros((n, n))
    at = 0
    for f in range(K.shape[0]):
        k = K[f]
        dT, MdT = np.empty((n, k * k)), np.zeros((n, k * k))
        for j in range(n):
            for a in range(k):
                for b in range(k):
                    v = B[at + a * k + b, j]
                    dT[j, a * k + b] = v
                    if v != 0.0:
                        for c in range(k):
                            MdT[j, c * k + b] += M[at + c * k + a] * v
        for i in range(n):
            for j in range(n):
                for e in range(k * k):
                    out[i, j] += 2.0 * dT[i, e] * MdT[j, e]
        for e in range(pairs.shape[0]):
            if pairs[e, 0] != f:
                continue
            a, b = pairs[e, 1], pairs[e, 2]
            for j in range(n):
                s = 0.0
                for c in range(k):
                    s += dT[j, a * k + c] * T[at + b * k + c]
                    s += dT[j, b * k + c] * T[at + a * k + c]
                D[e, j] = s
        at += k * k
    out += cross(D, cross(information, D))  # the information is symmetric
    return out
