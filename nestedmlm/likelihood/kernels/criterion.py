"""The criterion of a nested design, its derivatives and its descent in compiled code.

The same sweeps that `nestedmlm.likelihood.elimination` calls one by one, fused so that a fit, or a
thousand refits, cost no Python per evaluation. For designs without a trailing block whose relative
factors are linear in phi: ``T = B phi``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nestedmlm.likelihood.kernels.backward import adjoint_nodes
from nestedmlm.likelihood.kernels.forward import eliminate_nodes
from nestedmlm.likelihood.kernels.solves import apply_nodes, reduce_nodes, solve_nodes
from nestedmlm.statistics.kernels.common import JIT, block_total, row_starts, twice_products


@njit(**JIT)
def profiled(S):
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


@njit(**JIT)
def times(A, x):
    """``A x``; a loop, because Numba takes seconds to compile its call of BLAS."""
    out = np.zeros(A.shape[0])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i] += A[i, j] * x[j]
    return out


@njit(**JIT)
def transposed_times(A, x):
    """``A' x``."""
    out = np.zeros(A.shape[1])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[j] += A[i, j] * x[i]
    return out


@njit(**JIT)
def cross(A, B):
    """``A' B``."""
    out = np.zeros((A.shape[1], B.shape[1]))
    for row in range(A.shape[0]):
        for i in range(A.shape[1]):
            v = A[row, i]
            if v != 0.0:
                for j in range(B.shape[1]):
                    out[i, j] += v * B[row, j]
    return out


@njit(**JIT)
def first_order(tree, sums, B, phi, df, reml):
    """Criterion (up to its constant), gradient, and what the second order needs, at one phi.

    Returns
    -------
    value, gradient, T, M, r2, v, inverse, logdet, S, panels, G
        As the fields of `nestedmlm.optimum.evaluation.Evaluation` and
        `nestedmlm.likelihood.elimination`'s `Eliminated`.
    """
    K, first, r = tree.K, tree.first, sums.F.shape[0]
    T = times(B, phi)
    panels, S = sums.panels.copy(), sums.F.copy()
    G = np.empty(block_total(K, first))
    Qtt, Qtr = np.empty((0, 0)), np.empty((0, r))
    logdet = eliminate_nodes(tree, first[:-1], first[1:], r, T, panels, Qtt, Qtr, S, G)
    log_sxx, r2, v, inverse = profiled(S)
    value = logdet + reml * log_sxx + df * math.log(r2) if r2 > 0.0 else np.nan
    M = np.zeros(T.shape[0])
    if not math.isfinite(value):
        return value, np.zeros(B.shape[1]), T, M, r2, v, inverse, logdet, S, panels, G
    S_bar = reml * inverse
    for a in range(r):
        for b in range(r):
            S_bar[a, b] += df * v[a] * v[b] / r2
    adjoint_nodes(
        tree, first[:-1], first[1:], r, panels, G, 1.0, S_bar, Qtt, Qtr,
        M, np.empty(0), np.zeros(panels.shape[0] - tree.pptr[first[1]]),
    )  # fmt: skip
    gradient = transposed_times(B, twice_products(K, M, T))
    return value, gradient, T, M, r2, v, inverse, logdet, S, panels, G


@njit(**JIT)
def information_matrix(tree, sums, panels, G, v, inverse, r2, df, pairs):
    """Average information in the free entries of the covariances.

    `pairs` (n, 3) lists them as (factor, a, b); see `nestedmlm.optimum.curvature`.
    """
    K, first, r, n = tree.K, tree.first, v.shape[0], pairs.shape[0]
    begin, end = first[:-1], first[1:]
    row_first = row_starts(K, first)
    q = row_first[K.shape[0]]
    b, B = np.empty((q, r)), np.empty((q, r))
    solve_nodes(tree, begin, end, r, panels, G, np.empty((0, r)), b, B)
    w = times(B, v)
    variates = np.zeros((q, n))
    for j in range(n):
        f, a, c = pairs[j, 0], pairs[j, 1], pairs[j, 2]
        k = K[f]
        for row in range(row_first[f], row_first[f + 1], k):
            variates[row + a, j] = w[row + c]
            variates[row + c, j] = w[row + a]
    R, nothing = np.zeros((q, n)), np.empty((0, n))
    apply_nodes(tree, begin, end, r, sums.panels, variates, nothing, R, nothing)
    gram = cross(variates, R)
    reduce_nodes(tree, begin, end, r, panels, G, R, nothing, gram)
    BF = cross(B, variates)
    e_f = transposed_times(variates, w)
    return assembled_information(gram, BF, e_f, inverse, r2, df)


@njit(**JIT)
def assembled_information(gram, BF, e_f, inverse, r2, df):
    """Put the pieces together: ``F'V^{-1}F``, ``[X y]'V^{-1}F`` and ``e'F``."""
    n = gram.shape[0]
    lost = cross(BF, cross(inverse, BF))  # the inverse is symmetric
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            quadratic = 0.5 * (gram[i, j] + gram[j, i]) - lost[i, j]
            out[i, j] = (quadratic - e_f[i] * e_f[j] / r2) * (df / r2)
    return out


@njit(**JIT)
def hessian_matrix(K, B, T, M, information, pairs):
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
