"""Numba kernels of the marginal log-likelihood and its gradient.

The elimination of `nestedmlm.likelihood.elimination` and its adjoint in one call, for samplers that
evaluate some ten thousand points: around blocks this small, Python costs more than the arithmetic.
The arrays are the fields of `nestedmlm.statistics`' `Tree` and `Sums`. Plain loops, also
over the trailing block: matrix products and ``numpy.linalg`` take Numba three times as long to
compile, and a block where they would pay is left to LAPACK (`nestedmlm.bayes.model.likelihood`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from nestedmlm.likelihood.kernels.backward import adjoint_nodes
from nestedmlm.likelihood.kernels.forward import eliminate_nodes
from nestedmlm.statistics.kernels.assembly import mirror_lower
from nestedmlm.statistics.kernels.common import block_total, twice_products
from nestedmlm.statistics.layout import Tree

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_JIT)
def squares(K: Any) -> Any:
    """Sum of squares."""
    total = 0
    for k in K:
        total += k * k
    return total


@njit(**_JIT)
def column(v: Any) -> Any:
    """A vector as a matrix of one column."""
    return v.reshape((v.shape[0], 1))


@njit(**_JIT)
def add_product(A: Any, B: Any, scale: Any, out: Any) -> None:
    """Add ``scale A B`` to `out`."""
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            s = scale * A[i, k]
            if s != 0.0:
                for j in range(B.shape[1]):
                    out[i, j] += s * B[k, j]


@njit(**_JIT)
def times_blocks(A: Any, T: Any, Kt: Any, tfirst: Any, out: Any) -> None:
    """Write ``out = (A Lambda)'``: columns of A level by level times their factor's T.

    `T` holds the trailing factors' (k, k) matrices one after the other.
    """
    at = 0
    for t in range(Kt.shape[0]):
        k = Kt[t]
        end = tfirst[t + 1] if t + 1 < Kt.shape[0] else A.shape[1]
        for i in range(A.shape[0]):
            for j in range(tfirst[t], end, k):
                for b in range(k):
                    s = 0.0
                    for a in range(k):
                        s += A[i, j + a] * T[at + a * k + b]
                    out[j + b, i] = s
        at += k * k


@njit(**_JIT)
def factorise(H: Any, Y: Any) -> Any:
    """Overwrite H with its Cholesky factor L, write ``L^{-1}`` into Y and return ``log|H|``."""
    n = H.shape[0]
    logdet = 0.0
    for i in range(n):
        for j in range(i + 1):
            s = H[i, j]
            for k in range(j):
                s -= H[i, k] * H[j, k]
            H[i, j] = np.sqrt(s) if i == j else s / H[j, j]
        logdet += 2.0 * np.log(H[i, i])
    for j in range(n):
        for i in range(n):
            s = 1.0 if i == j else 0.0
            for k in range(j, i):
                s -= H[i, k] * Y[k, j]
            Y[i, j] = s / H[i, i] if i >= j else 0.0
    return logdet


@njit(**_JIT)
def eliminate_trailing(Q: Any, T: Any, Kt: Any, tfirst: Any, X: Any, Gtt: Any) -> Any:
    """Return ``log|H|`` with ``H = Lambda'Q Lambda + I``.

    Written: ``X = Lambda H^{-1}`` and ``Gtt = X Lambda'``.
    """
    n = Q.shape[0]
    half, H, Y, turned = np.empty((n, n)), np.empty((n, n)), np.empty((n, n)), T.copy()
    times_blocks(Q, T, Kt, tfirst, half)
    times_blocks(half, T, Kt, tfirst, H)
    for i in range(n):
        H[i, i] += 1.0
    logdet = factorise(H, Y)
    inverse = np.zeros((n, n))
    add_product(Y.T, Y, 1.0, inverse)
    at = 0
    for k in Kt:
        for a in range(k):
            for b in range(k):
                turned[at + a * k + b] = T[at + b * k + a]
        at += k * k
    times_blocks(inverse, turned, Kt, tfirst, X)
    times_blocks(X, turned, Kt, tfirst, Gtt)
    return logdet


@njit(**_JIT)
def pull_trailing(
    Q: Any, X: Any, T: Any, Kt: Any, tfirst: Any, l_bar: Any, B: Any, S_bar: Any, T_bar: Any
) -> None:
    """Write the trailing factors' adjoint, ``2 (l_bar Z'V^{-1}Z Lambda - B S_bar B' Lambda)``.

    ``Z'V^{-1}Z Lambda = Q X``, and ``B = Z'V^{-1}[X y]``; of both terms only the diagonal blocks
    count, summed over levels.
    """
    n, r = B.shape
    BS = np.zeros((n, r))
    add_product(B, S_bar, 1.0, BS)
    at = 0
    for t in range(Kt.shape[0]):
        k = Kt[t]
        end = tfirst[t + 1] if t + 1 < Kt.shape[0] else n
        for a in range(k):
            for c in range(k):
                information, outer = 0.0, 0.0
                for j in range(tfirst[t], end, k):
                    for i in range(n):
                        information += Q[j + a, i] * X[i, j + c]
                    for x in range(r):
                        own = 0.0
                        for e in range(k):
                            own += B[j + e, x] * T[at + e * k + c]
                        outer += BS[j + a, x] * own
                T_bar[at + a * k + c] = 2.0 * (l_bar * information - outer)
        at += k * k


@njit(**_JIT)
def marginal_likelihood(
    entries: Any, beta: Any, sigma: Any, P: Any, C: Any, c: Any,
    K: Any, first: Any, parent: Any, pptr: Any, tptr: Any, tcol: Any, tpos: Any, Kt: Any,
    tfirst: Any, panels0: Any, Qtt0: Any, Qtr0: Any, F: Any, gradient: bool,
) -> Any:  # fmt: skip
    """``-1/2 (log|M| + v'Sv / sigma^2)`` at ``T = P entries / sigma``, ``v = c + C beta``.

    Returns
    -------
    value, entries_bar, beta_bar, sigma_bar
        The adjoints are zero unless `gradient`.
    """
    r, q_t = F.shape[0], Qtt0.shape[0]
    T, v = np.zeros(P.shape[0]), c.copy()
    add_product(P, column(entries), 1.0 / sigma, column(T))
    add_product(C, column(beta), 1.0, column(v))
    cut = squares(K)
    panels, S, G = panels0.copy(), F.copy(), np.empty(block_total(K, first))
    Qtt, Qtr = Qtt0.copy(), Qtr0.copy()
    tree = Tree(K, first, parent, pptr, tptr, tcol, tpos, Kt, tfirst)
    logdet = eliminate_nodes(tree, first[:-1], first[1:], r, T[:cut], panels, Qtt, Qtr, S, G)
    X, Gtt, b = np.empty((q_t, q_t)), np.empty((q_t, q_t)), np.zeros((q_t, r))
    if q_t > 0:
        mirror_lower(Qtt)
        logdet += eliminate_trailing(Qtt, T[cut:], Kt, tfirst, X, Gtt)
        add_product(Gtt, Qtr, 1.0, b)
        add_product(Qtr.T, b, -1.0, S)
    Sv, quadratic = np.zeros(r), 0.0
    add_product(S, column(v), 1.0, column(Sv))
    for x in range(r):
        quadratic += v[x] * Sv[x] / sigma**2
    value = -0.5 * (logdet + quadratic)
    entries_bar, beta_bar = np.zeros(P.shape[1]), np.zeros(C.shape[1])
    if not gradient:
        return value, entries_bar, beta_bar, 0.0
    S_bar = np.zeros((r, r))
    add_product(column(v), column(v).T, -0.5 / sigma**2, S_bar)
    T_bar, M = np.zeros(T.shape[0]), np.zeros(cut)
    Qtt_bar, Qtr_bar = np.empty((q_t, q_t)), np.zeros((q_t, r))
    if q_t > 0:
        for x in range(q_t):
            for y in range(q_t):
                Qtt_bar[x, y] = -0.5 * Gtt[x, y]
        add_product(b, S_bar, -1.0, Qtr_bar)
        add_product(Qtr_bar, b.T, -1.0, Qtt_bar)
        add_product(Qtt, b, -1.0, Qtr)  # Qtr - Q b = Z'V^{-1}[X y]
        pull_trailing(Qtt, X, T[cut:], Kt, tfirst, -0.5, Qtr, S_bar, T_bar[cut:])
    adjoint_nodes(
        tree, first[:-1], first[1:], r, panels, G, -0.5, S_bar, Qtt_bar, Qtr_bar,
        M, np.empty(0), np.zeros(panels.shape[0] - pptr[first[1]]),
    )  # fmt: skip
    T_bar[:cut] = twice_products(K, M, T[:cut])
    add_product(P.T, column(T_bar), 1.0 / sigma, column(entries_bar))
    add_product(C.T, column(Sv), -1.0 / sigma**2, column(beta_bar))
    sigma_bar = quadratic
    for i in range(T.shape[0]):
        sigma_bar -= T_bar[i] * T[i]
    return value, entries_bar, beta_bar, sigma_bar / sigma
