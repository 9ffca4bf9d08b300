"""The reverse sweep: adjoints of the relative covariances."""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.statistics.kernels.common import (
    BLAS,
    INLINE,
    JIT,
    columns_above,
    most_columns,
    place_in,
    widest,
)


@njit(**INLINE)
def _gather_adjoint(
    g, i, K, parent, pptr, tptr, tcol, tpos, r, A, adj, shift, Qtt_bar, Qtr_bar, S_bar, P
):
    """Assemble the symmetric adjoint ``P`` (w, w) of what remained after node g."""
    t0, nt = tptr[g], tptr[g + 1] - tptr[g]
    off, anc, j = 0, parent[g], i + 1
    while anc >= 0:
        ka = K[j]
        Aa = A - off - ka
        nta = tptr[anc + 1] - tptr[anc]
        wa = ka + Aa + nta + r
        for x in range(ka):
            row = pptr[anc] - shift + x * wa
            for c in range(off, A):
                v = adj[row + c - off]
                P[off + x, c] = v
                P[c, off + x] = v
            for c in range(r):
                v = adj[row + ka + Aa + nta + c]
                P[off + x, A + nt + c] = v
                P[A + nt + c, off + x] = v
            for e in range(nt):
                v = adj[row + ka + Aa + place_in(anc, g, e, parent, tptr, tpos)]
                P[off + x, A + e] = v
                P[A + e, off + x] = v
        off += ka
        anc = parent[anc]
        j += 1
    for e in range(nt):
        row = tcol[t0 + e]
        for c in range(nt):
            P[A + e, A + c] = Qtt_bar[row, tcol[t0 + c]]
        for c in range(r):
            P[A + e, A + nt + c] = Qtr_bar[row, c]
            P[A + nt + c, A + e] = Qtr_bar[row, c]
    for x in range(r):
        for c in range(r):
            P[A + nt + x, A + nt + c] = S_bar[x, c]


@njit(**JIT)
def _product(p0, k, w, panels, P):
    """``R P`` by BLAS, for a node that shares many columns."""
    R = np.empty((k, w))
    for a in range(k):
        for c in range(w):
            R[a, c] = panels[p0 + a * (k + w) + k + c]
    return np.dot(R, np.ascontiguousarray(P[:w, :w]))


@njit(**INLINE)
def _panel_adjoint(row, go, k, w, width, G, l_bar, U, W, Y, adj):
    """Write the adjoint of a node's panel, which its children need."""
    for a in range(k):
        for b in range(k):  # Y = Gt W
            s = 0.0
            for c in range(k):
                s += G[go + a * k + c] * W[c, b]
            Y[a, b] = s
    for a in range(k):
        for b in range(k):
            s = l_bar * G[go + a * k + b]
            for c in range(k):
                s += Y[a, c] * G[go + c * k + b]
            adj[row + a * width + b] = s
        for c in range(w):
            s = 0.0
            for b in range(k):
                s -= G[go + a * k + b] * U[b, c]
            adj[row + a * width + k + c] = s


@njit(**JIT)
def adjoint_nodes(tree, begin, end, r, panels, G, l_bar, S_bar, Qtt_bar, Qtr_bar, M, blocks, adj):
    """Add to `M` what the nodes ``begin[i]`` to ``end[i]`` contribute, coarsest factor first.

    Parameters are as left by `eliminate_nodes`; `l_bar` and `S_bar` are the adjoints of the
    log-determinant and of S, `Qtt_bar` (full, symmetric) and `Qtr_bar` those of the trailing
    block. Where `blocks` is not empty it receives each node's own contribution to M
    (with ``l_bar = 1, S_bar = 0`` that is ``Z_g' V^{-1} Z_g``). `adj` is zeroed scratch for the
    panels of all factors but the finest, which has no children: its adjoint is never needed.
    """
    K, first, parent, pptr, tptr, tcol, tpos, _, _ = tree
    m = K.shape[0]
    kmax, wmax = most_columns(K), widest(K, tptr, r)
    P = np.empty((wmax, wmax))
    U = np.empty((kmax, wmax))
    C, W, Y = np.empty((kmax, kmax)), np.empty((kmax, kmax)), np.empty((kmax, kmax))
    shift = pptr[first[1]]
    moff, goff = 0, G.shape[0]
    for k in K:
        moff += k * k
    for i in range(m - 1, -1, -1):
        k = K[i]
        moff -= k * k
        goff -= k * k * (first[i + 1] - first[i])
        A = columns_above(K, i)
        siblings = -2
        for g in range(begin[i], end[i]):
            p0, nt = pptr[g], tptr[g + 1] - tptr[g]
            go = goff + (g - first[i]) * k * k
            w = A + nt + r
            if nt > 0 or parent[g] != siblings:  # siblings without trailing entries share P
                _gather_adjoint(
                    g, i, K, parent, pptr, tptr, tcol, tpos, r, A, adj, shift,
                    Qtt_bar, Qtr_bar, S_bar, P,
                )  # fmt: skip
            siblings = parent[g] if nt == 0 else -2
            width = k + w
            # U = R P, W = U R', C = I - Q Gt; these loops stay in one function: split up, they
            # take twice the time (the compiler must then assume that the arrays overlap)
            if w >= BLAS:
                U[:k, :w] = _product(p0, k, w, panels, P)
            else:
                for a in range(k):
                    for c in range(w):
                        U[a, c] = 0.0
                    for b in range(w):
                        v = panels[p0 + a * width + k + b]
                        if v != 0.0:
                            for c in range(w):
                                U[a, c] += v * P[b, c]
            for a in range(k):
                for b in range(k):
                    s = 0.0
                    for c in range(w):
                        s += U[a, c] * panels[p0 + b * width + k + c]
                    W[a, b] = s
                    s = 0.0
                    for c in range(k):
                        s -= panels[p0 + a * width + c] * G[go + c * k + b]
                    C[a, b] = s
                C[a, a] += 1.0
            for a in range(k):  # Y = C W
                for b in range(k):
                    s = 0.0
                    for c in range(k):
                        s += C[a, c] * W[c, b]
                    Y[a, b] = s
            for a in range(k):
                for b in range(k):
                    s = 0.0
                    for c in range(k):
                        s += l_bar * C[a, c] * panels[p0 + c * width + b] - Y[a, c] * C[b, c]
                    M[moff + a * k + b] += s
                    if blocks.shape[0] > 0:
                        blocks[go + a * k + b] = s
            if i > 0:
                _panel_adjoint(p0 - shift, go, k, w, width, G, l_bar, U, W, Y, adj)
