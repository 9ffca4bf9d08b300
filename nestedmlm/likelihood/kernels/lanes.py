"""The sweeps for several responses side by side: what a thousand refits run on.

Every number of `forward`, `backward` and `solves` becomes a row of `LANES` numbers, one for each
response with its own T. Walking the levels costs more than the arithmetic on blocks this small,
and here it is shared; the innermost loops are vector instructions. For nested designs without a
trailing block.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.likelihood.kernels.forward import LARGE
from nestedmlm.statistics.kernels.common import JIT, columns_above, most_columns, row_starts

LANES = 8


@njit(**JIT)
def eliminate_lanes(tree, r, T, panels, S, G, logdet):
    """`forward.eliminate_nodes` of all nodes; `T`, `panels`, `S`, `G`, `logdet` end in lanes."""
    K, first, parent, pptr = tree.K, tree.first, tree.parent, tree.pptr
    m, kmax = K.shape[0], most_columns(K)
    wmax = K.sum() + r
    H, Y = np.empty((kmax, kmax, LANES)), np.empty((kmax, kmax, LANES))
    J, sums = np.empty((kmax, wmax, LANES)), np.empty(LANES)
    product = np.ones(LANES)
    t0, g0 = 0, 0
    for i in range(m):
        k, A = K[i], columns_above(K, i)
        w = A + r
        width = k + w
        for g in range(first[i], first[i + 1]):
            p0 = pptr[g]
            for a in range(k):  # Y = Q T
                for b in range(k):
                    sums[:] = 0.0
                    for c in range(k):
                        for x in range(LANES):
                            sums[x] += panels[p0 + a * width + c, x] * T[t0 + c * k + b, x]
                    for x in range(LANES):
                        Y[a, b, x] = sums[x]
            for a in range(k):  # H = T' Y + I, lower triangle
                for b in range(a + 1):
                    sums[:] = 1.0 if a == b else 0.0
                    for c in range(k):
                        for x in range(LANES):
                            sums[x] += T[t0 + c * k + a, x] * Y[c, b, x]
                    for x in range(LANES):
                        H[a, b, x] = sums[x]
            for a in range(k):  # H = L D L'; on the diagonal 1 / D
                for b in range(a):
                    for c in range(b):
                        for x in range(LANES):
                            H[a, b, x] -= H[a, c, x] * H[b, c, x]
                for c in range(a):
                    for x in range(LANES):
                        v = H[a, c, x] * H[c, c, x]
                        H[a, a, x] -= H[a, c, x] * v
                        H[a, c, x] = v
                for x in range(LANES):
                    product[x] *= H[a, a, x] if H[a, a, x] > 0.0 else np.nan
                    H[a, a, x] = 1.0 / H[a, a, x]
            for x in range(LANES):
                if not product[x] < LARGE:
                    logdet[x] += np.log(product[x])
                    product[x] = 1.0
            for b in range(k):  # Y = L^{-1} T'
                for a in range(k):
                    for x in range(LANES):
                        Y[a, b, x] = T[t0 + b * k + a, x]
                    for c in range(a):
                        for x in range(LANES):
                            Y[a, b, x] -= H[a, c, x] * Y[c, b, x]
            for a in range(k):  # Gt = Y' D^{-1} Y
                for b in range(a + 1):
                    sums[:] = 0.0
                    for c in range(k):
                        for x in range(LANES):
                            sums[x] += Y[c, a, x] * H[c, c, x] * Y[c, b, x]
                    for x in range(LANES):
                        G[g0 + a * k + b, x] = sums[x]
                        G[g0 + b * k + a, x] = sums[x]
            for a in range(k):  # J = Gt R
                for c in range(w):
                    sums[:] = 0.0
                    for b in range(k):
                        for x in range(LANES):
                            sums[x] += G[g0 + a * k + b, x] * panels[p0 + b * width + k + c, x]
                    for x in range(LANES):
                        J[a, c, x] = sums[x]
            g0 += k * k
            off, anc, j = 0, parent[g], i + 1
            while anc >= 0:
                for d in range(K[j]):
                    row = pptr[anc] + d * (w - off) - off
                    for b in range(k):
                        q = p0 + b * width + k + off + d
                        for c in range(off, w):
                            for x in range(LANES):
                                panels[row + c, x] -= panels[q, x] * J[b, c, x]
                off += K[j]
                anc = parent[anc]
                j += 1
            for a in range(r):
                for c in range(a + 1):
                    for b in range(k):
                        q = p0 + b * width + k + A + a
                        for x in range(LANES):
                            S[a, c, x] -= panels[q, x] * J[b, A + c, x]
        t0 += k * k
    for x in range(LANES):
        logdet[x] += np.log(product[x])
        for a in range(r):
            for c in range(a):
                S[c, a, x] = S[a, c, x]


@njit(**JIT)
def adjoint_lanes(tree, r, panels, G, S_bar, M, adj):
    """`backward.adjoint_nodes` of all nodes, for an adjoint of one of the log-determinant."""
    K, first, parent, pptr = tree.K, tree.first, tree.parent, tree.pptr
    m, kmax = K.shape[0], most_columns(K)
    wmax = K.sum() + r
    P = np.empty((wmax, wmax, LANES))
    U = np.empty((kmax, wmax, LANES))
    C, W, Y = (
        np.empty((kmax, kmax, LANES)), np.empty((kmax, kmax, LANES)), np.empty((kmax, kmax, LANES)),
    )  # fmt: skip
    shift = pptr[first[1]]
    m0, g_end = M.shape[0], G.shape[0]
    for ii in range(m):
        i = m - 1 - ii
        k, A = K[i], columns_above(K, i)
        m0 -= k * k
        g_end -= k * k * (first[i + 1] - first[i])
        w = A + r
        width = k + w
        siblings = -2
        for g in range(first[i], first[i + 1]):
            p0, g0 = pptr[g], g_end + (g - first[i]) * k * k
            if parent[g] != siblings:  # siblings share P
                off, anc, j = 0, parent[g], i + 1
                while anc >= 0:
                    for d in range(K[j]):
                        row = pptr[anc] - shift + d * (w - off) - off
                        for c in range(off, w):
                            for x in range(LANES):
                                P[off + d, c, x] = adj[row + c, x]
                                P[c, off + d, x] = adj[row + c, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
                for a in range(r):
                    for c in range(r):
                        for x in range(LANES):
                            P[A + a, A + c, x] = S_bar[a, c, x]
                siblings = parent[g]
            for a in range(k):  # U = R P
                for c in range(w):
                    for x in range(LANES):
                        U[a, c, x] = 0.0
                for b in range(w):
                    q = p0 + a * width + k + b
                    for c in range(w):
                        for x in range(LANES):
                            U[a, c, x] += panels[q, x] * P[b, c, x]
            for a in range(k):  # W = U R', C = I - Q Gt
                for b in range(k):
                    for x in range(LANES):
                        W[a, b, x] = 0.0
                        C[a, b, x] = 1.0 if a == b else 0.0
                    for c in range(w):
                        q = p0 + b * width + k + c
                        for x in range(LANES):
                            W[a, b, x] += U[a, c, x] * panels[q, x]
                    for c in range(k):
                        q, s = p0 + a * width + c, g0 + c * k + b
                        for x in range(LANES):
                            C[a, b, x] -= panels[q, x] * G[s, x]
            for a in range(k):  # Y = C W
                for b in range(k):
                    for x in range(LANES):
                        Y[a, b, x] = 0.0
                    for c in range(k):
                        for x in range(LANES):
                            Y[a, b, x] += C[a, c, x] * W[c, b, x]
            for a in range(k):
                for b in range(k):
                    for c in range(k):
                        q, s = p0 + c * width + b, m0 + a * k + b
                        for x in range(LANES):
                            M[s, x] += C[a, c, x] * panels[q, x] - Y[a, c, x] * C[b, c, x]
            if i > 0:
                _panel_adjoint_lanes(p0 - shift, g0, k, w, G, U, W, Y, adj)


@njit(**JIT)
def _panel_adjoint_lanes(row, g0, k, w, G, U, W, Y, adj):
    width = k + w
    for a in range(k):  # Y = Gt W
        for b in range(k):
            for x in range(LANES):
                Y[a, b, x] = 0.0
            for c in range(k):
                for x in range(LANES):
                    Y[a, b, x] += G[g0 + a * k + c, x] * W[c, b, x]
    for a in range(k):
        for b in range(k):
            s = row + a * width + b
            for x in range(LANES):
                adj[s, x] = G[g0 + a * k + b, x]
            for c in range(k):
                for x in range(LANES):
                    adj[s, x] += Y[a, c, x] * G[g0 + c * k + b, x]
        for c in range(w):
            s = row + a * width + k + c
            for x in range(LANES):
                adj[s, x] = 0.0
            for b in range(k):
                for x in range(LANES):
                    adj[s, x] -= G[g0 + a * k + b, x] * U[b, c, x]


@njit(**JIT)
def solve_lanes(tree, r, panels, G, b, B):
    """`solves.solve_nodes` of all nodes: ``b = G Z'V^{-1}[X y]`` and ``B = Z'V^{-1}[X y]``."""
    K, first, parent, pptr = tree.K, tree.first, tree.parent, tree.pptr
    m = K.shape[0]
    row_first = row_starts(K, first)
    E = np.empty((most_columns(K), r, LANES))
    g_end = G.shape[0]
    for ii in range(m):
        i = m - 1 - ii
        k, A = K[i], columns_above(K, i)
        g_end -= k * k * (first[i + 1] - first[i])
        width = k + A + r
        for g in range(first[i], first[i + 1]):
            p0, g0 = pptr[g], g_end + (g - first[i]) * k * k
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):
                for c in range(r):
                    for x in range(LANES):
                        E[a, c, x] = panels[p0 + a * width + k + A + c, x]
                off, anc, j = 0, parent[g], i + 1
                while anc >= 0:
                    up = row_first[j] + (anc - first[j]) * K[j]
                    for d in range(K[j]):
                        q = p0 + a * width + k + off + d
                        for c in range(r):
                            for x in range(LANES):
                                E[a, c, x] -= panels[q, x] * b[up + d, c, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
            for a in range(k):
                for c in range(r):
                    for x in range(LANES):
                        b[row + a, c, x] = 0.0
                    for d in range(k):
                        for x in range(LANES):
                            b[row + a, c, x] += G[g0 + a * k + d, x] * E[d, c, x]
            for a in range(k):
                for c in range(r):
                    for x in range(LANES):
                        B[row + a, c, x] = E[a, c, x]
                    for d in range(k):
                        q = p0 + a * width + d
                        for x in range(LANES):
                            B[row + a, c, x] -= panels[q, x] * b[row + d, c, x]


@njit(**JIT)
def quadratic_lanes(tree, r, panels0, panels, G, w, pairs, columns, R, gram):
    """``F'V^{-1}F`` for the working variates ``F`` of every free entry, into `gram` (n, n, lanes).

    The variate of entry (f, a, b) has ``w[b]`` in row a of each level of f and ``w[a]`` in row b;
    `columns` (m + 1,) says where the entries of each factor begin. `R` (q, n, lanes) is scratch.
    """
    K, first, parent, pptr = tree.K, tree.first, tree.parent, tree.pptr
    m, n = K.shape[0], pairs.shape[0]
    row_first = row_starts(K, first)
    kmax = most_columns(K)
    own, J = np.zeros((kmax, n, LANES)), np.empty((kmax, n, LANES))
    R[:] = 0.0
    gram[:] = 0.0
    g0 = 0
    for i in range(m):
        k, A = K[i], columns_above(K, i)
        width = k + A + r
        low, high = columns[i], columns[i + 1]
        for g in range(first[i], first[i + 1]):
            p0 = pptr[g]
            row = row_first[i] + (g - first[i]) * k
            _own_variates(own, k, row, low, high, pairs, w)
            for a in range(k):
                base = p0 + a * width
                for c in range(k):
                    v = panels0[base + c]
                    for e in range(low, high):
                        for x in range(LANES):
                            R[row + a, e, x] += v * own[c, e, x]
                off, anc, j = k, parent[g], i + 1
                while anc >= 0:
                    up = row_first[j] + (anc - first[j]) * K[j]
                    for d in range(K[j]):
                        v = panels0[base + off + d]
                        for e in range(low, high):
                            for x in range(LANES):
                                R[up + d, e, x] += v * own[a, e, x]
                    for e in range(columns[j], columns[j + 1]):
                        a1, a2 = pairs[e, 1], pairs[e, 2]
                        v1, v2 = panels0[base + off + a1], panels0[base + off + a2]
                        for x in range(LANES):
                            R[row + a, e, x] += v1 * w[up + a2, x]
                        if a1 != a2:
                            for x in range(LANES):
                                R[row + a, e, x] += v2 * w[up + a1, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
    for i in range(m):
        k = K[i]
        low, high = columns[i], columns[i + 1]
        for g in range(first[i], first[i + 1]):
            row = row_first[i] + (g - first[i]) * k
            _own_variates(own, k, row, low, high, pairs, w)
            for a in range(k):
                for e in range(low, high):
                    for f in range(n):
                        for x in range(LANES):
                            gram[e, f, x] += own[a, e, x] * R[row + a, f, x]
    for i in range(m):
        k, A = K[i], columns_above(K, i)
        width = k + A + r
        for g in range(first[i], first[i + 1]):
            p0 = pptr[g]
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):  # J = Gt R
                for e in range(n):
                    for x in range(LANES):
                        J[a, e, x] = 0.0
                    for c in range(k):
                        for x in range(LANES):
                            J[a, e, x] += G[g0 + a * k + c, x] * R[row + c, e, x]
            g0 += k * k
            for a in range(k):
                for e in range(n):
                    for f in range(n):
                        for x in range(LANES):
                            gram[e, f, x] -= R[row + a, e, x] * J[a, f, x]
                off, anc, j = p0 + a * width + k, parent[g], i + 1
                while anc >= 0:
                    up = row_first[j] + (anc - first[j]) * K[j]
                    for d in range(K[j]):
                        for e in range(n):
                            for x in range(LANES):
                                R[up + d, e, x] -= panels[off + d, x] * J[a, e, x]
                    off += K[j]
                    anc = parent[anc]
                    j += 1


@njit(**JIT)
def _own_variates(own, k, row, low, high, pairs, w):
    """One level's rows of the working variates of its own factor's entries."""
    for e in range(low, high):
        a, b = pairs[e, 1], pairs[e, 2]
        for c in range(k):
            for x in range(LANES):
                own[c, e, x] = 0.0
        for x in range(LANES):
            own[a, e, x] = w[row + b, x]
            own[b, e, x] = w[row + a, x]
