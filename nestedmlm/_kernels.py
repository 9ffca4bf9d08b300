"""Numba kernels of the elimination (layer 3): loops over levels and over small blocks only.

Notation (see `nestedmlm.crossproducts` for how the arrays are laid out). The grouping factors of
a *chain* are eliminated one level ("node") at a time, finest factor first. A node holds one
row-major panel ``[Q | R]`` of ``k`` rows: ``Q`` (k, k) is its own block of the Schur complement at
the time of its elimination, ``R`` (k, w) the blocks shared with what remains: its ancestors, the
columns of the dense trailing block it co-occurs with, and the right-hand sides ``[X y]``.

With ``G = T T'``, eliminating a node replaces the rest by ``rest - R' Gt R`` where
``Gt = T (I + T'QT)^{-1} T'``, and adds ``log|I + T'QT|`` to the log-determinant. Nothing is ever
divided by T, so all of it holds at singular T too.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
_BLAS = 48  # from this many columns on, a matrix product is worth its call


@njit(**_JIT)
def _shrinkage(T, t0, panels, p0, width, k, H, Y, G, g0):
    """Write ``Gt = T (I + T'QT)^{-1} T'`` at ``G[g0:]`` and return ``log|I + T'QT|``.

    T and Q start at ``T[t0]`` and ``panels[p0]`` (row stride `width`): offsets, because array
    views cost more than the arithmetic here. ``H`` and ``Y`` are (k, k) scratch.
    """
    if k == 1:
        t2 = T[t0] * T[t0]
        h = 1.0 + t2 * panels[p0]
        G[g0] = t2 / h
        return np.log(h)
    for a in range(k):  # Y = Q T
        for b in range(k):
            s = 0.0
            for c in range(k):
                s += panels[p0 + a * width + c] * T[t0 + c * k + b]
            Y[a, b] = s
    for a in range(k):  # H = T' Y + I, lower triangle
        for b in range(a + 1):
            s = 0.0
            for c in range(k):
                s += T[t0 + c * k + a] * Y[c, b]
            H[a, b] = s
        H[a, a] += 1.0
    logdet = 0.0
    for a in range(k):
        for b in range(a):
            s = H[a, b]
            for c in range(b):
                s -= H[a, c] * H[b, c]
            H[a, b] = s / H[b, b]
        s = H[a, a]
        for c in range(a):
            s -= H[a, c] * H[a, c]
        H[a, a] = np.sqrt(s)
        logdet += np.log(H[a, a])
    for b in range(k):  # Y = L^{-1} T'
        for a in range(k):
            s = T[t0 + b * k + a]
            for c in range(a):
                s -= H[a, c] * Y[c, b]
            Y[a, b] = s / H[a, a]
    for a in range(k):  # Gt = Y'Y
        for b in range(a + 1):
            s = 0.0
            for c in range(k):
                s += Y[c, a] * Y[c, b]
            G[g0 + a * k + b] = s
            G[g0 + b * k + a] = s
    return 2.0 * logdet


@njit(**_JIT)
def eliminate_chain(K, first, parent, pptr, tptr, tcol, tpos, r, T, panels, Qtt, Qtr, S, G):
    """Forward sweep: eliminate every node of the chain, finest factor first.

    `panels`, `Qtt` (lower triangle), `Qtr` and `S` hold crossproducts on entry and Schur
    complements on return; `G` receives each node's ``Gt``. Returns the log-determinant.
    """
    m = K.shape[0]
    kmax = 1
    for i in range(m):
        kmax = max(kmax, K[i])
    wmax = 0
    for g in range(parent.shape[0]):
        wmax = max(wmax, tptr[g + 1] - tptr[g])
    wmax += kmax * m + r
    H = np.empty((kmax, kmax))
    Y = np.empty((kmax, kmax))
    J = np.empty((kmax, wmax))
    logdet = 0.0
    toff = 0
    goff = 0
    for i in range(m):
        k = K[i]
        kk = k * k
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        for g in range(first[i], first[i + 1]):
            t0 = tptr[g]
            nt = tptr[g + 1] - t0
            w = A + nt + r
            width = k + w
            p0 = pptr[g]
            logdet += _shrinkage(T, toff, panels, p0, width, k, H, Y, G, goff)
            for a in range(k):  # J = Gt R
                for c in range(w):
                    s = 0.0
                    for b in range(k):
                        s += G[goff + a * k + b] * panels[p0 + b * width + k + c]
                    J[a, c] = s
            goff += kk
            # rows of the ancestors
            off = 0
            anc = parent[g]
            j = i + 1
            e0 = t0  # entries of g in g's own list, then mapped upwards by tpos
            while anc >= 0:
                ka = K[j]
                Aa = A - off - ka
                nta = tptr[anc + 1] - tptr[anc]
                wa = ka + Aa + nta + r
                base = pptr[anc]
                for x in range(ka):
                    row = base + x * wa
                    for b in range(k):
                        v = panels[p0 + b * width + k + off + x]
                        if v != 0.0:
                            for c in range(off, A):
                                panels[row + c - off] -= v * J[b, c]
                            for c in range(r):
                                panels[row + ka + Aa + nta + c] -= v * J[b, A + nt + c]
                            for e in range(nt):
                                q = e0 + e
                                up = tpos[q]
                                # climb to this ancestor's own list
                                climb = parent[g]
                                while climb != anc:
                                    up = tpos[tptr[climb] + up]
                                    climb = parent[climb]
                                panels[row + ka + Aa + up] -= v * J[b, A + e]
                off += ka
                anc = parent[anc]
                j += 1
            # rows of the dense trailing block
            if nt >= _BLAS:
                Rt, Jt = np.empty((k, nt)), np.empty((k, nt))
                for b in range(k):
                    for e in range(nt):
                        Rt[b, e] = panels[p0 + b * width + k + A + e]
                        Jt[b, e] = J[b, A + e]
                update = np.dot(Rt.T, Jt)
                for e in range(nt):
                    row = tcol[t0 + e]
                    for c in range(e + 1):
                        Qtt[row, tcol[t0 + c]] -= update[e, c]
            for e in range(nt):
                row = tcol[t0 + e]
                for b in range(k):
                    v = panels[p0 + b * width + k + A + e]
                    if v != 0.0:
                        if nt < _BLAS:
                            for c in range(e + 1):
                                Qtt[row, tcol[t0 + c]] -= v * J[b, A + c]
                        for c in range(r):
                            Qtr[row, c] -= v * J[b, A + nt + c]
            # right-hand sides
            for x in range(r):
                for b in range(k):
                    v = panels[p0 + b * width + k + A + nt + x]
                    for c in range(x + 1):
                        S[x, c] -= v * J[b, A + nt + c]
        toff += kk
    for x in range(r):
        for c in range(x):
            S[c, x] = S[x, c]
    return logdet


@njit(**_JIT)
def _gather_adjoint(
    g, i, K, parent, pptr, tptr, tcol, tpos, r, A, adj, shift, Qtt_bar, Qtr_bar, S_bar, P
):
    """Assemble the symmetric adjoint ``P`` (w, w) of what remained after node g."""
    t0 = tptr[g]
    nt = tptr[g + 1] - t0
    off = 0
    anc = parent[g]
    j = i + 1
    while anc >= 0:
        ka = K[j]
        Aa = A - off - ka
        nta = tptr[anc + 1] - tptr[anc]
        wa = ka + Aa + nta + r
        base = pptr[anc] - shift
        for x in range(ka):
            row = base + x * wa
            for c in range(off, A):
                v = adj[row + c - off]
                P[off + x, c] = v
                P[c, off + x] = v
            for c in range(r):
                v = adj[row + ka + Aa + nta + c]
                P[off + x, A + nt + c] = v
                P[A + nt + c, off + x] = v
            for e in range(nt):
                up = tpos[t0 + e]
                climb = parent[g]
                while climb != anc:
                    up = tpos[tptr[climb] + up]
                    climb = parent[climb]
                v = adj[row + ka + Aa + up]
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


@njit(**_JIT)
def adjoint_chain(
    K,
    first,
    parent,
    pptr,
    tptr,
    tcol,
    tpos,
    r,
    panels,
    G,
    l_bar,
    S_bar,
    Qtt_bar,
    Qtr_bar,
    M,
    blocks,
):
    """Reverse sweep: add to `M` the adjoint of each factor's ``G = T T'``.

    Parameters are as left by `eliminate_chain`; `l_bar` and `S_bar` are the adjoints of the
    log-determinant and of S, `Qtt_bar` (full, symmetric) and `Qtr_bar` those of the trailing
    block. Where `blocks` is not empty it receives each node's own contribution to M
    (with ``l_bar = 1, S_bar = 0`` that is ``Z_g' V^{-1} Z_g``).
    """
    m = K.shape[0]
    kmax = 1
    for i in range(m):
        kmax = max(kmax, K[i])
    wmax = 0
    for g in range(parent.shape[0]):
        wmax = max(wmax, tptr[g + 1] - tptr[g])
    wmax += kmax * m + r
    buffer = np.empty(wmax * wmax)
    P = buffer[:0].reshape(0, 0)
    U = np.empty((kmax, wmax))
    C = np.empty((kmax, kmax))
    W = np.empty((kmax, kmax))
    Y = np.empty((kmax, kmax))
    shift = pptr[first[1]]  # the finest factor has no children: its adjoint is never needed
    adj = np.zeros(panels.shape[0] - shift)
    keep = blocks.shape[0] > 0
    moff = 0
    for i in range(m):
        moff += K[i] * K[i]
    goff_end = G.shape[0]
    for ii in range(m):
        i = m - 1 - ii
        k = K[i]
        kk = k * k
        moff -= kk
        goff_end -= kk * (first[i + 1] - first[i])
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        last = -2
        for g in range(first[i], first[i + 1]):
            nt = tptr[g + 1] - tptr[g]
            w = A + nt + r
            width = k + w
            base = pptr[g]
            go = goff_end + (g - first[i]) * kk
            if nt > 0 or parent[g] != last:  # siblings without trailing entries share P
                P = buffer[: w * w].reshape(w, w)
                _gather_adjoint(
                    g, i, K, parent, pptr, tptr, tcol, tpos, r, A, adj, shift,
                    Qtt_bar, Qtr_bar, S_bar, P,
                )  # fmt: skip
            last = parent[g] if nt == 0 else -2
            if w >= _BLAS:  # U = R P
                R = np.empty((k, w))
                for a in range(k):
                    for c in range(w):
                        R[a, c] = panels[base + a * width + k + c]
                U[:k, :w] = np.dot(R, P)
            else:
                for a in range(k):
                    for c in range(w):
                        U[a, c] = 0.0
                    for b in range(w):
                        v = panels[base + a * width + k + b]
                        if v != 0.0:
                            for c in range(w):
                                U[a, c] += v * P[b, c]
            for a in range(k):
                for b in range(k):
                    s = 0.0
                    for c in range(w):  # W = U R'
                        s += U[a, c] * panels[base + b * width + k + c]
                    W[a, b] = s
                    s = 0.0
                    for c in range(k):  # C = I - Q Gt
                        s -= panels[base + a * width + c] * G[go + c * k + b]
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
                    for c in range(k):  # l_bar (C Q) - C W C'
                        s += l_bar * C[a, c] * panels[base + c * width + b] - Y[a, c] * C[b, c]
                    M[moff + a * k + b] += s
                    if keep:
                        blocks[go + a * k + b] = s
            if i > 0:  # its children need the adjoint of this panel
                for a in range(k):
                    for b in range(k):  # Y = Gt W
                        s = 0.0
                        for c in range(k):
                            s += G[go + a * k + c] * W[c, b]
                        Y[a, b] = s
                row = base - shift
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


@njit(**_JIT)
def solve_chain(K, first, parent, pptr, tptr, tcol, r, panels, G, bt, b, B):
    """Top-down sweep: ``b = G Z'V^{-1} [X y]`` and ``B = Z'V^{-1} [X y]`` for every node.

    `bt` (q_t, r) is the solution for the trailing block; `b` and `B` (q_chain, r) are written,
    rows in node order.
    """
    m = K.shape[0]
    kmax = 1
    for i in range(m):
        kmax = max(kmax, K[i])
    E = np.empty((kmax, r))
    row_first = np.empty(m + 1, np.int64)
    row_first[0] = 0
    goff = 0
    for i in range(m):
        row_first[i + 1] = row_first[i] + K[i] * (first[i + 1] - first[i])
        goff += K[i] * K[i] * (first[i + 1] - first[i])
    for ii in range(m):
        i = m - 1 - ii
        k = K[i]
        kk = k * k
        goff -= kk * (first[i + 1] - first[i])
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        for g in range(first[i], first[i + 1]):
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


@njit(**_JIT)
def apply_chain(K, first, parent, pptr, tptr, tcol, r, panels, F, Ft, out, out_t):
    """Add the chain's part of ``Z'WZ [F; Ft]`` to ``[out; out_t]`` (panels: crossproducts)."""
    m = K.shape[0]
    nrhs = F.shape[1]
    row_first = np.empty(m + 1, np.int64)
    row_first[0] = 0
    for i in range(m):
        row_first[i + 1] = row_first[i] + K[i] * (first[i + 1] - first[i])
    for i in range(m):
        k = K[i]
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        for g in range(first[i], first[i + 1]):
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


@njit(**_JIT)
def reduce_chain(K, first, parent, pptr, tptr, tcol, r, panels, G, R, R_t, gram):
    """Eliminate the chain from extra right-hand sides.

    `R` (q_chain, m) and `R_t` (q_t, m) hold ``Z'W f`` on entry; on return `R_t` is what the
    trailing block still has to eliminate and ``gram -= R' Gt R`` has been summed over the nodes.
    """
    m = K.shape[0]
    nrhs = R.shape[1]
    kmax = 1
    for i in range(m):
        kmax = max(kmax, K[i])
    J = np.empty((kmax, nrhs))
    row_first = np.empty(m + 1, np.int64)
    row_first[0] = 0
    for i in range(m):
        row_first[i + 1] = row_first[i] + K[i] * (first[i + 1] - first[i])
    go = 0
    for i in range(m):
        k = K[i]
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        for g in range(first[i], first[i + 1]):
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


@njit(**_JIT)
def mirror_lower(A):
    """Copy the lower triangle of a square matrix onto its upper one, tile by tile."""
    n, tile = A.shape[0], 64
    for i0 in range(0, n, tile):
        for j0 in range(0, i0 + 1, tile):
            for i in range(i0, min(i0 + tile, n)):
                for j in range(j0, min(j0 + tile, i)):
                    A[j, i] = A[i, j]


@njit(**_JIT)
def nesting(child, parent_codes, out):
    """Write the parent of each child level; return False where a level has two parents."""
    for row in range(child.shape[0]):
        c = child[row]
        p = parent_codes[row]
        if out[c] < 0:
            out[c] = p
        elif out[c] != p:
            return False
    return True


@njit(**_JIT)
def accumulate(
    K, node, pptr, width, entry, tcode, Kt, xoff, toff, Z, Zt, Y, w, panels, Qtt, Qtr, tfirst
):
    """One pass over the rows: sums of weighted products into panels and trailing block.

    Parameters
    ----------
    node : (m, n) node of each chain factor for each row.
    width : (N,) row stride of each node's panel.
    entry : (m, n_t, n) column (in the panel, counted from the first trailing one) at which the
        row's level of each trailing factor starts.
    tcode : (n_t, n) level of each trailing factor.
    xoff, toff : first column of each chain factor in `Z`, of each trailing factor in `Zt`.
    Z, Zt : (n, sum of K) random-effect columns; Y : (n, r) right-hand sides; w : (n,) weights.
    tfirst : first column of each trailing factor in the dense block.
    """
    m = K.shape[0]
    n_t = Kt.shape[0]
    n, r = Y.shape
    for row in range(n):
        wt = w[row]
        for i in range(m):
            g = node[i, row]
            k = K[i]
            wd = width[g]
            A = 0
            for j in range(i + 1, m):
                A += K[j]
            for a in range(k):
                v = wt * Z[row, xoff[i] + a]
                if v == 0.0:
                    continue
                base = pptr[g] + a * wd
                for c in range(k + A):  # own block and ancestors: adjacent columns of Z
                    panels[base + c] += v * Z[row, xoff[i] + c]
                for t in range(n_t):
                    q = base + k + A + entry[i, t, row]
                    for c in range(Kt[t]):
                        panels[q + c] += v * Zt[row, toff[t] + c]
                q = base + wd - r
                for c in range(r):
                    panels[q + c] += v * Y[row, c]
        for s in range(n_t):
            qs = tfirst[s] + tcode[s, row] * Kt[s]
            for a in range(Kt[s]):
                v = wt * Zt[row, toff[s] + a]
                if v == 0.0:
                    continue
                for t in range(n_t):
                    qt = tfirst[t] + tcode[t, row] * Kt[t]
                    for c in range(Kt[t]):
                        Qtt[qs + a, qt + c] += v * Zt[row, toff[t] + c]
                for c in range(r):
                    Qtr[qs + a, c] += v * Y[row, c]
