"""Numba kernel of the conditional draws; the layout is `nestedmlm.statistics.kernels`'."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_JIT)
def whitened(T: Any, Q: Any, width: int, k: int, H: Any, Y: Any) -> None:
    """Write ``Y = L^{-1} T'`` with ``L L' = I + T'QT``, so that ``Y'Y = T (I + T'QT)^{-1} T'``.

    `T` is flat (k, k), `Q` a flat panel with row stride `width`, `H` (k, k) scratch.
    """
    for a in range(k):  # H = T'QT + I, lower triangle
        for b in range(a + 1):
            s = 0.0
            for c in range(k):
                for e in range(k):
                    s += T[c * k + a] * Q[c * width + e] * T[e * k + b]
            H[a, b] = s
        H[a, a] += 1.0
    for a in range(k):  # in-place Cholesky
        for b in range(a + 1):
            s = H[a, b]
            for c in range(b):
                s -= H[a, c] * H[b, c]
            H[a, b] = np.sqrt(s) if a == b else s / H[b, b]
    for b in range(k):
        for a in range(k):
            s = T[b * k + a]
            for c in range(a):
                s -= H[a, c] * Y[c, b]
            Y[a, b] = s / H[a, a]


@njit(**_JIT)
def draw_chain(
    tree: Any, r: int, panels: Any, T: Any, v: Any, bt: Any, noise: Any, b: Any
) -> None:  # fmt: skip
    """Draw the random effects of a chain from the top down, each node given its ancestors.

    ``b_g = Y'(Y (R_rhs v - R_anc b_anc - R_trail b_t) + noise)`` with Y from `whitened`.

    Parameters
    ----------
    panels : array
        Schur complements as left by `nestedmlm.likelihood.elimination.forward`.
    T : array
        The chain's flat relative factors.
    v : (r,) array
        ``(-beta, 1)`` in scaled columns.
    bt : (q_t,) array
        Draw of the trailing columns.
    noise : (q_chain,) array
        Normal numbers with standard deviation sigma.
    b : (q_chain,) array
        Written: the draw, rows in node order.
    """
    K, first, parent, pptr, tptr, tcol, _, _, _ = tree
    m = K.shape[0]
    kmax = 1
    for i in range(m):
        kmax = max(kmax, K[i])
    E = np.empty(kmax)
    H = np.empty((kmax, kmax))
    Y = np.empty((kmax, kmax))
    z = np.empty(kmax)
    row_first = np.empty(m + 1, np.int64)
    row_first[0] = 0
    toff = 0
    for i in range(m):
        row_first[i + 1] = row_first[i] + K[i] * (first[i + 1] - first[i])
        toff += K[i] * K[i]
    for ii in range(m):
        i = m - 1 - ii
        k = K[i]
        toff -= k * k
        Ti = T[toff : toff + k * k]
        A = 0
        for j in range(i + 1, m):
            A += K[j]
        for g in range(first[i], first[i + 1]):
            t0 = tptr[g]
            nt = tptr[g + 1] - t0
            width = k + A + nt + r
            row = row_first[i] + (g - first[i]) * k
            for a in range(k):
                base = pptr[g] + a * width + k
                s = 0.0
                for x in range(r):
                    s += panels[base + A + nt + x] * v[x]
                off = 0
                anc = parent[g]
                j = i + 1
                while anc >= 0:
                    ra = row_first[j] + (anc - first[j]) * K[j]
                    for c in range(K[j]):
                        s -= panels[base + off + c] * b[ra + c]
                    off += K[j]
                    anc = parent[anc]
                    j += 1
                for e in range(nt):
                    s -= panels[base + A + e] * bt[tcol[t0 + e]]
                E[a] = s
            whitened(Ti, panels[pptr[g] : pptr[g + 1]], width, k, H, Y)
            for c in range(k):  # b = Y'(Y E + noise)
                z[c] = noise[row + c]
                for a in range(k):
                    z[c] += Y[c, a] * E[a]
            for a in range(k):
                s = 0.0
                for c in range(k):
                    s += Y[c, a] * z[c]
                b[row + a] = s
