"""Solving with what the forward sweep left behind."""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.statistics.kernels.common import JIT, columns_above, most_columns, row_starts


@njit(**JIT)
def solve_nodes(tree, begin, end, r, panels, G, bt, b, B):
    """Top-down sweep: ``b = G Z'V^{-1} [X y]`` and ``B = Z'V^{-1} [X y]`` for every node.

    The nodes are ``begin[i]`` to ``end[i]`` of each factor i, ancestors included.

    `bt` (q_t, r) is the solution for the trailing block; `b` and `B` (q_chain, r) are written,
    rows in node order.
    """
    K, first, parent, pptr, tptr, tcol, _, _, _ = tree
    m = K.shape[0]
    kmax = most_columns(K)
    E = np.empty((kmax, r))
    row_first = row_starts(K, first)
    goff = G.shape[0]
    for ii in range(m):
        i = m - 1 - ii
        k = K[i]
        kk = k * k
        goff -= kk * (first[i + 1] - first[i])
        A = columns_above(K, i)
        for g in range(begin[i], end[i]):
            t0 = tptr[g]
            nt = tptr[g + 1] - t0
            width = k + A + nt + r
            go = goff + (g - first[i]) * kk
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):
                base = pptr[g] + a * width + k
                for x in range(r):
                    E[a, x] = panels[base + A + nt + x]
                off = 0
                anc = parent[g]
                j = i + 1
                while anc >= 0:
                    ra = row_first[j] + (anc - first[j]) * K[j]
                    for c in range(K[j]):
                        v = panels[base + off + c]
                        for x in range(r):
                            E[a, x] -= v * b[ra + c, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
                for e in range(nt):
                    v = panels[base + A + e]
                    for x in range(r):
                        E[a, x] -= v * bt[tcol[t0 + e], x]
            for a in range(k):
                for x in range(r):
                    s = 0.0
                    for c in range(k):
                        s += G[go + a * k + c] * E[c, x]
                    b[row + a, x] = s
            for a in range(k):
                for x in range(r):
                    s = E[a, x]
                    for c in range(k):
                        s -= panels[pptr[g] + a * width + c] * b[row + c, x]
                    B[row + a, x] = s


@njit(**JIT)
def apply_nodes(tree, begin, end, r, panels, F, Ft, out, out_t):
    """Add the chain's part of ``Z'WZ [F; Ft]`` to ``[out; out_t]`` (panels: crossproducts)."""
    K, first, parent, pptr, tptr, tcol, _, _, _ = tree
    m = K.shape[0]
    nrhs = F.shape[1]
    row_first = row_starts(K, first)
    for i in range(m):
        k = K[i]
        A = columns_above(K, i)
        for g in range(begin[i], end[i]):
            t0 = tptr[g]
            nt = tptr[g + 1] - t0
            width = k + A + nt + r
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):
                base = pptr[g] + a * width
                for c in range(k):
                    v = panels[base + c]
                    for x in range(nrhs):
                        out[row + a, x] += v * F[row + c, x]
                off = k
                anc = parent[g]
                j = i + 1
                while anc >= 0:
                    ra = row_first[j] + (anc - first[j]) * K[j]
                    for c in range(K[j]):
                        v = panels[base + off + c]
                        for x in range(nrhs):
                            out[row + a, x] += v * F[ra + c, x]
                            out[ra + c, x] += v * F[row + a, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
                for e in range(nt):
                    v = panels[base + k + A + e]
                    q = tcol[t0 + e]
                    for x in range(nrhs):
                        out[row + a, x] += v * Ft[q, x]
                        out_t[q, x] += v * F[row + a, x]


@njit(**JIT)
def reduce_nodes(tree, begin, end, r, panels, G, R, R_t, gram):
    """Eliminate nodes from extra right-hand sides.

    `R` (q_chain, m) and `R_t` (q_t, m) hold ``Z'W f`` on entry; on return `R_t` is what the
    trailing block still has to eliminate and ``gram -= R' Gt R`` has been summed over the nodes.
    """
    K, first, parent, pptr, tptr, tcol, _, _, _ = tree
    m = K.shape[0]
    nrhs = R.shape[1]
    kmax = most_columns(K)
    J = np.empty((kmax, nrhs))
    row_first = row_starts(K, first)
    level = 0
    for i in range(m):
        k = K[i]
        A = columns_above(K, i)
        go = level + k * k * (begin[i] - first[i])
        level += k * k * (first[i + 1] - first[i])
        for g in range(begin[i], end[i]):
            t0 = tptr[g]
            nt = tptr[g + 1] - t0
            width = k + A + nt + r
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):
                for x in range(nrhs):
                    s = 0.0
                    for c in range(k):
                        s += G[go + a * k + c] * R[row + c, x]
                    J[a, x] = s
            go += k * k
            for a in range(k):
                for x in range(nrhs):
                    v = R[row + a, x]
                    if v != 0.0:
                        for c in range(nrhs):
                            gram[x, c] -= v * J[a, c]
                base = pptr[g] + a * width + k
                off = 0
                anc = parent[g]
                j = i + 1
                while anc >= 0:
                    ra = row_first[j] + (anc - first[j]) * K[j]
                    for c in range(K[j]):
                        v = panels[base + off + c]
                        for x in range(nrhs):
                            R[ra + c, x] -= v * J[a, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
                for e in range(nt):
                    v = panels[base + A + e]
                    for x in range(nrhs):
                        R_t[tcol[t0 + e], x] -= v * J[a, x]
