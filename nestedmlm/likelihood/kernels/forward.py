"""The forward sweep: eliminate every node of the chain."""

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

LARGE = 1e150  # determinants are multiplied up to here before a logarithm is taken


@njit(**INLINE)
def _shrinkage(T, t0, panels, p0, width, k, H, Y, G, g0):
    """Write ``Gt = T (I + T'QT)^{-1} T'`` at ``G[g0:]`` and return ``|I + T'QT|``.

    T and Q start at ``T[t0]`` and ``panels[p0]`` (row stride `width`): offsets, because array
    views cost more than the arithmetic here. ``H`` and ``Y`` are (k, k) scratch. Factored as
    ``L D L'`` without square roots, one division for each column.
    """
    if k == 1:
        t2 = T[t0] * T[t0]
        h = 1.0 + t2 * panels[p0]
        G[g0] = t2 / h
        return h
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
    det = 1.0
    for a in range(k):  # below the diagonal L D, then L; on it 1 / D
        for b in range(a):
            s = H[a, b]
            for c in range(b):
                s -= H[a, c] * H[b, c]
            H[a, b] = s
        s = H[a, a]
        for c in range(a):
            v = H[a, c] * H[c, c]
            s -= H[a, c] * v
            H[a, c] = v
        det *= s if s > 0.0 else np.nan  # rounding has eaten the block
        H[a, a] = 1.0 / s
    for b in range(k):  # Y = L^{-1} T'
        for a in range(k):
            s = T[t0 + b * k + a]
            for c in range(a):
                s -= H[a, c] * Y[c, b]
            Y[a, b] = s
    for a in range(k):  # Gt = Y' D^{-1} Y
        for b in range(a + 1):
            s = 0.0
            for c in range(k):
                s += Y[c, a] * H[c, c] * Y[c, b]
            G[g0 + a * k + b] = s
            G[g0 + b * k + a] = s
    return det


@njit(**INLINE)
def _update_ancestors(g, i, K, parent, pptr, tptr, tpos, r, A, panels, J):
    """Subtract ``R' Gt R`` from the panels of the node's ancestors (``J = Gt R``)."""
    k = K[i]
    nt = tptr[g + 1] - tptr[g]
    width = k + A + nt + r
    off, anc, j = 0, parent[g], i + 1
    while anc >= 0:
        ka = K[j]
        Aa = A - off - ka
        nta = tptr[anc + 1] - tptr[anc]
        wa = ka + Aa + nta + r
        for x in range(ka):
            row = pptr[anc] + x * wa
            for b in range(k):
                v = panels[pptr[g] + b * width + k + off + x]
                if nt == 0:  # ancestors and right-hand sides are adjacent in both panels
                    for c in range(off, A + r):
                        panels[row + c - off] -= v * J[b, c]
                    continue
                if v == 0.0:
                    continue
                for c in range(off, A):
                    panels[row + c - off] -= v * J[b, c]
                for c in range(r):
                    panels[row + ka + Aa + nta + c] -= v * J[b, A + nt + c]
                for e in range(nt):
                    place = place_in(anc, g, e, parent, tptr, tpos)
                    panels[row + ka + Aa + place] -= v * J[b, A + e]
        off += ka
        anc = parent[anc]
        j += 1


@njit(**INLINE)
def _update_trailing(p0, t0, nt, tcol, k, width, r, A, panels, J, Qtt, Qtr):
    """Subtract ``R' Gt R`` from the trailing block (lower triangle) and its right-hand sides."""
    if nt >= BLAS:
        R, GR = np.empty((k, nt)), np.empty((k, nt))
        for b in range(k):
            for e in range(nt):
                R[b, e] = panels[p0 + b * width + k + A + e]
                GR[b, e] = J[b, A + e]
        update = np.dot(R.T, GR)
        for e in range(nt):
            for c in range(e + 1):
                Qtt[tcol[t0 + e], tcol[t0 + c]] -= update[e, c]
    for e in range(nt):
        row = tcol[t0 + e]
        for b in range(k):
            v = panels[p0 + b * width + k + A + e]
            if v == 0.0:
                continue
            if nt < BLAS:
                for c in range(e + 1):
                    Qtt[row, tcol[t0 + c]] -= v * J[b, A + c]
            for c in range(r):
                Qtr[row, c] -= v * J[b, A + nt + c]


@njit(**JIT)
def eliminate_nodes(tree, begin, end, r, T, panels, Qtt, Qtr, S, G):
    """Eliminate the nodes ``begin[i]`` to ``end[i]`` of each factor i, finest factor first.

    They must hold all descendants of those of the coarsest factor. `panels`, `Qtt` (lower
    triangle), `Qtr` and `S` hold crossproducts on entry and Schur complements on return; `G`
    receives each node's ``Gt``. Returns the log-determinant.
    """
    K, first, parent, pptr, tptr, tcol, tpos, _, _ = tree
    kmax = most_columns(K)
    H, Y = np.empty((kmax, kmax)), np.empty((kmax, kmax))
    J = np.empty((kmax, widest(K, tptr, r)))
    S_lost = np.zeros((r, r))
    logdet, lost, product, toff, level = 0.0, 0.0, 1.0, 0, 0
    for i in range(K.shape[0]):
        k = K[i]
        A = columns_above(K, i)
        goff = level + k * k * (begin[i] - first[i])
        level += k * k * (first[i + 1] - first[i])
        for g in range(begin[i], end[i]):
            p0, nt = pptr[g], tptr[g + 1] - tptr[g]
            w = A + nt + r
            width = k + w
            det = _shrinkage(T, toff, panels, p0, width, k, H, Y, G, goff)
            small = det < LARGE
            if small:  # one logarithm for many nodes
                product *= det
            if not small or product >= LARGE:
                # compensated sum (Kahan): over a million nodes a plain one loses five digits
                term = np.log(product if small else det) - lost
                total = logdet + term
                lost = (total - logdet) - term
                logdet = total
                product = 1.0 if small else product
            for a in range(k):  # J = Gt R
                for c in range(w):
                    s = 0.0
                    for b in range(k):
                        s += G[goff + a * k + b] * panels[p0 + b * width + k + c]
                    J[a, c] = s
            goff += k * k
            _update_ancestors(g, i, K, parent, pptr, tptr, tpos, r, A, panels, J)
            if nt > 0:
                _update_trailing(p0, tptr[g], nt, tcol, k, width, r, A, panels, J, Qtt, Qtr)
            for x in range(r):
                for c in range(x + 1):
                    s = -S_lost[x, c]
                    for b in range(k):
                        s -= panels[p0 + b * width + k + A + nt + x] * J[b, A + nt + c]
                    total = S[x, c] + s
                    S_lost[x, c] = (total - S[x, c]) - s
                    S[x, c] = total
        toff += k * k
    for x in range(r):
        for c in range(x):
            S[c, x] = S[x, c]
    return logdet + (np.log(product) - lost)
