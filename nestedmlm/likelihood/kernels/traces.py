"""Products of pairs of covariance directions, summed down the chain.

With ``A = Z'V^{-1}Z`` and block-diagonal directions E_r (one (K, K) matrix per level of a factor)
the sweep adds up ``N_rs = tr(A E_r A E_s)`` without forming A. Below a node h, whose own random
effects and those above it have the columns Z_c, it carries

    P_r  = sum_j  a_j' E_r a_j,          a_j = Z_j' V_h^{-1} Z_c
    X_rs = sum_jl a_j' E_r A_jl E_s a_l

and eliminating h, with ``Gt = (G^{-1} + Q)^{-1}`` in its own columns, is the rank-K_h update
``A_jl -= a_j Gt a_l'``. Both are as wide as what h shares with the rest, so the cost of the sweep
is that of the elimination times the number of pairs.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.statistics.kernels.common import JIT, columns_above, most_columns, widest


@njit(**JIT)
def pair(r, s):
    """Place of the pair r <= s in the lists of pairs."""
    return s * (s + 1) // 2 + r


@njit(**JIT)
def _room(K, first, tptr, dptr):
    """Where each node's sums start, and how many numbers there are in all."""
    start = np.zeros(tptr.shape[0], np.int64)
    at = 0
    for i in range(K.shape[0]):
        c0, below = K[i] + columns_above(K, i), dptr[i]
        count = below + below * (below + 1) // 2
        for g in range(first[i], first[i + 1]):
            start[g] = at
            c = c0 + tptr[g + 1] - tptr[g]
            at += count * c * c
    start[-1] = at
    return start


@njit(**JIT)
def _node(p0, k, w, width, panels, G, g0, Q, L, U, Ah, ah):
    """Fill the node's matrices: Q, L = -Gt R, U = I - Gt Q, A_hh = Q U and a_h = R + Q L."""
    for a in range(k):
        for b in range(k):
            Q[a, b] = panels[p0 + a * width + b]
    for a in range(k):
        for x in range(w):
            s = 0.0
            for b in range(k):
                s -= G[g0 + a * k + b] * panels[p0 + b * width + k + x]
            L[a, x] = s
        for b in range(k):
            s = 1.0 if a == b else 0.0
            for c in range(k):
                s -= G[g0 + a * k + c] * Q[c, b]
            U[a, b] = s
    for a in range(k):
        for b in range(k):
            s = 0.0
            for c in range(k):
                s += Q[a, c] * U[c, b]
            Ah[a, b] = s
        for x in range(w):
            s = panels[p0 + a * width + k + x]
            for b in range(k):
                s += Q[a, b] * L[b, x]
            ah[a, x] = s


@njit(**JIT)
def _carry(Y, k, w, L, tmp, out):
    """``out = [L; I]' Y [L; I]`` for a (k + w, k + w) matrix Y."""
    for a in range(k + w):
        for x in range(w):
            s = Y[a, k + x]
            for b in range(k):
                s += Y[a, b] * L[b, x]
            tmp[a, x] = s
    for x in range(w):
        for y in range(w):
            s = tmp[k + x, y]
            for a in range(k):
                s += L[a, x] * tmp[a, y]
            out[x, y] = s


@njit(**JIT)
def _hand_up(out, w, A, g, at, parent, start, tptr, tcol, tpos, c_parent, sums, root):
    """Add a (w, w) matrix to the same sum of the parent, or of the trailing block."""
    t0, up = tptr[g], parent[g]
    for x in range(w):
        ix = x
        if x >= A:
            ix = A + tpos[t0 + x - A] if up >= 0 else tcol[t0 + x - A]
        for y in range(w):
            iy = y
            if y >= A:
                iy = A + tpos[t0 + y - A] if up >= 0 else tcol[t0 + y - A]
            if up >= 0:
                sums[start[up] + at * c_parent * c_parent + ix * c_parent + iy] += out[x, y]
            else:
                root[at, ix, iy] += out[x, y]


@njit(**JIT)
def _below(k, c, low, at, sums, G, g0, Y, N):
    """Pairs of directions below the node: add to N, leave ``X - P_r Gt P_s`` in `sums`."""
    size = c * c
    for s in range(low):
        for r in range(s + 1):
            x0 = at + (low + pair(r, s)) * size
            pr, ps = at + r * size, at + s * size
            total = 0.0
            for a in range(k):
                for b in range(k):
                    total -= 2.0 * sums[x0 + a * c + b] * G[g0 + b * k + a]
            for a in range(c):  # Y = P_r Gt
                for b in range(k):
                    v = 0.0
                    for d in range(k):
                        v += sums[pr + a * c + d] * G[g0 + d * k + b]
                    Y[a, b] = v
            for a in range(k):
                for b in range(k):
                    v = 0.0
                    for d in range(k):
                        v += sums[ps + a * c + d] * G[g0 + d * k + b]
                    total += Y[b, a] * v
            for a in range(c):
                for b in range(c):
                    v = 0.0
                    for d in range(k):
                        v += Y[a, d] * sums[ps + d * c + b]
                    sums[x0 + a * c + b] -= v
            N[r, s] += total


@njit(**JIT)
def _times(k, w, Eh, Ah, ah, EA, Ea):
    """``EA = A E`` and ``Ea = E a`` for one of the node's own directions."""
    for a in range(k):
        for b in range(k):
            v = 0.0
            for d in range(k):
                v += Ah[a, d] * Eh[d, b]
            EA[a, b] = v
        for x in range(w):
            v = 0.0
            for d in range(k):
                v += Eh[a, d] * ah[d, x]
            Ea[a, x] = v


@njit(**JIT)
def _cross(p0, c, k, w, sums, U, L, PU, LP, Es):
    """Return ``tr(U'P_r U E_s)`` of a direction below and one here; ``LP = [L; I]'P_r U``."""
    total = 0.0
    for a in range(k):  # PU = P_r U in the node's own columns
        for b in range(k):
            v = 0.0
            for d in range(k):
                v += sums[p0 + a * c + d] * U[d, b]
            PU[a, b] = v
    for a in range(k):
        for b in range(k):
            v = 0.0
            for d in range(k):
                v += U[d, a] * PU[d, b]
            total += v * Es[a, b]
    for x in range(w):
        for b in range(k):
            v = 0.0
            for d in range(k):
                v += sums[p0 + (k + x) * c + d] * U[d, b] + L[d, x] * PU[d, b]
            LP[x, b] = v
    return total


@njit(**JIT)
def _both(k, w, EA, EB, Eb, Ah, LP):
    """Return ``tr(A E_s A E_r)`` of two directions here; ``LP = (E_r a)'A``."""
    total = 0.0
    for a in range(k):
        for b in range(k):
            total += EA[a, b] * EB[b, a]
    for x in range(w):
        for b in range(k):
            v = 0.0
            for d in range(k):
                v += Eb[d, x] * Ah[d, b]
            LP[x, b] = v
    return total


@njit(**JIT)
def _outer(k, w, LP, Ea, out):
    """``out = LP Ea``, (w, k) times (k, w)."""
    for x in range(w):
        for y in range(w):
            v = 0.0
            for d in range(k):
                v += LP[x, d] * Ea[d, y]
            out[x, y] = v


@njit(**JIT)
def sum_pairs(tree, rhs, panels, G, dptr, eptr, E, N, root):
    """Add the chain's part of ``tr(A E_r A E_s)``, r <= s, to `N` and fill `root`.

    `rhs` counts the right-hand sides in the panels; `dptr` (m+1,) counts the directions of the
    factors up to each, `eptr` says where each direction's matrix starts in `E`. `root`
    (n_d + pairs, q_t, q_t) receives what the trailing block still has to eliminate: P_r, then
    X_rs by `pair`.
    """
    K, first, parent, pptr, tptr, tcol, tpos, _, _ = tree
    m = K.shape[0]
    kmax, wmax = most_columns(K), widest(K, tptr, 1)
    start = _room(K, first, tptr, dptr)
    sums = np.zeros(start[-1])
    Q, U, Ah = np.empty((kmax, kmax)), np.empty((kmax, kmax)), np.empty((kmax, kmax))
    EA, EB, PU = np.empty((kmax, kmax)), np.empty((kmax, kmax)), np.empty((kmax, kmax))
    L, ah = np.empty((kmax, wmax)), np.empty((kmax, wmax))
    Ea, Eb, LP = np.empty((kmax, wmax)), np.empty((kmax, wmax)), np.empty((wmax, kmax))
    Y, tmp = np.empty((wmax + kmax, wmax + kmax)), np.empty((wmax + kmax, wmax))
    out = np.empty((wmax, wmax))
    goff = 0
    for i in range(m):
        k, A = K[i], columns_above(K, i)
        low, high = dptr[i], dptr[i + 1]
        for g in range(first[i], first[i + 1]):
            w = A + tptr[g + 1] - tptr[g]
            c, at, up = k + w, start[g], parent[g]
            size = c * c
            cp = A + tptr[up + 1] - tptr[up] if up >= 0 else 0
            _node(pptr[g], k, w, c + rhs, panels, G, goff, Q, L, U, Ah, ah)
            _below(k, c, low, at, sums, G, goff, Y, N)
            if w > 0:
                for q in range(low + low * (low + 1) // 2):
                    for a in range(c):
                        for b in range(c):
                            Y[a, b] = sums[at + q * size + a * c + b]
                    _carry(Y, k, w, L, tmp, out)
                    to = q if q < low else high + q - low
                    _hand_up(out, w, A, g, to, parent, start, tptr, tcol, tpos, cp, sums, root)
            for s in range(low, high):
                Es = E[eptr[s] : eptr[s + 1]].reshape(k, k)
                _times(k, w, Es, Ah, ah, EA, Ea)
                for r in range(s + 1):
                    if r < low:
                        N[r, s] += _cross(at + r * size, c, k, w, sums, U, L, PU, LP, Es)
                    else:
                        Er = E[eptr[r] : eptr[r + 1]].reshape(k, k)
                        _times(k, w, Er, Ah, ah, EB, Eb)
                        N[r, s] += _both(k, w, EA, EB, Eb, Ah, LP)
                    if w > 0:
                        _outer(k, w, LP, Ea, out)
                        to = high + pair(r, s)
                        _hand_up(out, w, A, g, to, parent, start, tptr, tcol, tpos, cp, sums, root)
                if w > 0:
                    for x in range(w):  # P_s = a'E_s a
                        for d in range(k):
                            LP[x, d] = ah[d, x]
                    _outer(k, w, LP, Ea, out)
                    _hand_up(out, w, A, g, s, parent, start, tptr, tcol, tpos, cp, sums, root)
            goff += k * k
