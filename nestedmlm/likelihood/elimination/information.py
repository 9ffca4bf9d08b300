"""Average information: one more sweep up the chain, with working variates as right-hand sides.

The variate of an entry (a, b) of ``T_f T_f'`` is ``F = Z dG w`` with ``w = B v``: in a level it is
w[b] at column a and w[a] at column b. `F` is never formed: what the sweep needs of it is ``Z'F``,
entries of panels times w.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.primitives import (
    add,
    add_products,
    add_scaled,
    copy,
    of_parents,
    scale,
    subtract_scaled,
    sum_children,
)
from nestedmlm.likelihood.elimination.sweeps import upper_times


def residual_scores(s: Any, parent: Any, v: Any, B: Any, W: Any) -> None:
    """Fill `W` with ``w = B v`` of every level on top of its ancestors', ``(k + A, J)``."""
    m, r = s.K.shape[0], s.r
    above = np.zeros((0, s.J[m - 1]))
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        Bi = B[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        w = W[s.wide[i] : s.wide[i + 1]].reshape(k + anc, levels)
        for a in range(k):
            scale(w[a], v[0], Bi[a, 0])
            for x in range(1, r):
                add_scaled(w[a], v[x], Bi[a, x])
        copy(w[k:], above)
        if i > 0:
            above = of_parents(w, parent[s.level[i - 1] : s.level[i]])


def add_information(
    s: Any, starts: Any, entries: Any, panels0: Any, N: Any, H: Any, B: Any, W: Any, gram: Any,
    BF: Any, Fe: Any,
) -> None:  # fmt: skip
    """Add a block's share of ``F'V^-1F``, ``[X y]'V^-1F`` and ``F'e`` for all variates.

    Parameters
    ----------
    s, starts
        As for `go_up`.
    entries : (n, 3) int array
        Factor, a and b (a >= b) of each free entry, ordered by factor.
    panels0, N, H, B : arrays
        Panels before the elimination, and what the sweeps filled.
    W : array
        From `residual_scores`.
    gram : (n, n) array
        Gains a matrix whose symmetric part is **half** of ``F'V^-1F``.
    BF : (n, r) array
        Gains ``F'V^-1[X y]``.
    Fe : (n,) array
        Gains ``F'V^-1(y - X beta)``.
    """
    m, r, n = s.K.shape[0], s.r, entries.shape[0]
    up = np.zeros((s.K[0] + s.A[0], n, s.J[0]))  # Z'F of what lies below, by column of the panel
    low = 0
    for i in range(m):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        w = W[s.wide[i] : s.wide[i + 1]].reshape(k + anc, levels)
        P = panels0[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + r, levels)
        root = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        Bi = B[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        high = end_of_factor(entries, low, i)
        X = np.zeros((n - low, levels))  # a row of Z'F for this factor's and coarser variates
        across = np.zeros((k, k, n - low))
        for row in range(k):
            variate_row(s, i, entries, low, P[row], w, X)
            add_products(across[row], 1.0, w[:k], X)
            add(up[row, low:], X)
        add_own_products(entries, low, high, across, w, Bi, gram, BF, Fe)
        half = np.empty((k, n, levels))
        upper_times(root, up[:k], 0, n, half)
        for a in range(k):
            add_products(gram, -0.5, half[a], half[a])
        if i + 1 == m:
            break
        pass_variates(entries, low, high, P, w, h, half, up)
        up = sum_children(up[k:], starts[s.level[i + 1] : s.level[i + 2]])
        low = high


def end_of_factor(entries: Any, low: int, i: int) -> int:
    """Place after the entries of factor i, which begin at `low`."""
    high = low
    while high < entries.shape[0] and entries[high, 0] == i:
        high += 1
    return high


def variate_row(s: Any, i: int, entries: Any, low: int, P: Any, w: Any, X: Any) -> None:
    """Write one row of ``Z_i'F`` for the variates from `low` on: P is that row of the panel."""
    at, f = 0, i
    for q in range(low, entries.shape[0]):
        while f < entries[q, 0]:
            at += s.K[f]
            f += 1
        a, b = at + entries[q, 1], at + entries[q, 2]
        scale(X[q - low], P[a], w[b])
        if a != b:
            add_scaled(X[q - low], P[b], w[a])


def add_own_products(
    entries: Any, low: int, high: int, across: Any, w: Any, B: Any, gram: Any, BF: Any, Fe: Any
) -> None:
    """Add the products of a factor's own variates with all from `low` on, with B and with e."""
    for q in range(low, high):
        a, b = entries[q, 1], entries[q, 2]
        for p in range(low, gram.shape[0]):
            share = 0.5 if p < high else 1.0  # within the factor both orders are met
            gram[q, p] += share * across[a, b, p - low]
            if a != b:
                gram[q, p] += share * across[b, a, p - low]
        add_products(BF[q : q + 1], 1.0, w[b : b + 1], B[a])
        twice = np.zeros((1, 1))
        add_products(twice, 1.0, w[a : a + 1], w[b : b + 1])
        Fe[q] += twice[0, 0]
        if a != b:
            add_products(BF[q : q + 1], 1.0, w[a : a + 1], B[b])
            Fe[q] += twice[0, 0]


def pass_variates(
    entries: Any, low: int, high: int, P: Any, w: Any, h: Any, half: Any, up: Any
) -> None:
    """Add to the ancestors' rows of `up` what a factor's variates bring and its levels take."""
    k = h.shape[0]
    for x in range(up.shape[0] - k):
        column = up[k + x]
        for a in range(k):
            subtract_scaled(column, h[a, x], half[a])
        for q in range(low, high):
            a, b = entries[q, 1], entries[q, 2]
            add_scaled(column[q], P[a, k + x], w[b])
            if a != b:
                add_scaled(column[q], P[b, k + x], w[a])
