"""Average information beside a dense block: the sweep of `information` with entries as lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.primitives import (
    add,
    add_by_node,
    add_products,
    add_scaled,
    add_taken,
    fill,
    scale,
    subtract_at,
    subtract_scaled,
    sum_children,
    take,
)
from nestedmlm.likelihood.elimination.sweeps import upper_times


def add_information_crossed(
    s: Any, e: Any, starts: Any, entries: Any, panels0: Any, cross0: Any, N: Any, H: Any, Hc: Any,
    B: Any, W: Any, Ft: Any, gram: Any, BF: Any, Fe: Any, Rt: Any,
) -> None:  # fmt: skip
    """Add the chain's share of ``F'V^-1F``, ``[X y]'V^-1F`` and ``F'e``.

    Parameters
    ----------
    s, starts, entries, panels0, N, H, B, W, gram, BF, Fe
        As for `nestedmlm.likelihood.elimination.information.add_information`; `entries` holds the
        free entries of the chain's factors, the first of all.
    e, cross0, Hc
        Entries, the crossed parts before the elimination, and N times those after.
    Ft : (n, q) array
        Coefficients of every variate in the dense block's columns; zero for the chain's.
    Rt : (n, q) array
        Gains the chain's part of ``Z_t'Z F``, less what the chain's elimination takes of it.
    """
    m, r, n, own = s.K.shape[0], s.r, Ft.shape[0], entries.shape[0]
    up = np.zeros((s.K[0] + s.A[0], n, s.J[0]))
    low = 0
    for i in range(m):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        w = W[s.wide[i] : s.wide[i + 1]].reshape(k + anc, levels)
        P = panels0[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + r, levels)
        root = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        Bi = B[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        count = e.first[i + 1] - e.first[i]
        node, col = e.node[e.first[i] : e.first[i + 1]], e.col[e.first[i] : e.first[i + 1]]
        ptr = e.ptr[s.level[i] + i : s.level[i + 1] + i + 1]
        Pc = cross0[e.value[i] : e.value[i + 1]].reshape(k, count)
        hc = Hc[e.value[i] : e.value[i + 1]].reshape(k, count)
        tc = np.empty(count)
        high = low
        while high < own and entries[high, 0] == i:
            high += 1
        across = np.zeros((k, k, n - low))
        X = np.zeros((n - low, levels))
        for row in range(k):
            at, f = 0, i
            for q in range(low, own):
                while f < entries[q, 0]:
                    at += s.K[f]
                    f += 1
                a, b = at + entries[q, 1], at + entries[q, 2]
                scale(X[q - low], P[row, a], w[b])
                if a != b:
                    add_scaled(X[q - low], P[row, b], w[a])
            for q in range(own, n):  # variates of the dense block
                take(tc, Ft[q], col)
                fill(X[q - low], 0.0)
                add_by_node(X[q - low], Pc[row], tc, ptr)
            add_products(across[row], 1.0, w[:k], X)
            add(up[row, low:], X)
        for q in range(low, high):
            a, b = entries[q, 1], entries[q, 2]
            for p in range(low, n):
                share = 0.5 if p < high else 1.0
                gram[q, p] += share * across[a, b, p - low]
                if a != b:
                    gram[q, p] += share * across[b, a, p - low]
            twice = np.zeros((1, 1))
            add_products(twice, 1.0, w[a : a + 1], w[b : b + 1])
            add_products(BF[q : q + 1], 1.0, w[b : b + 1], Bi[a])
            Fe[q] += twice[0, 0]
            fill(tc, 0.0)
            add_taken(tc, w[b], node, Pc[a])
            if a != b:
                add_products(BF[q : q + 1], 1.0, w[a : a + 1], Bi[b])
                Fe[q] += twice[0, 0]
                add_taken(tc, w[a], node, Pc[b])
            scale(tc, -1.0, tc)
            subtract_at(Rt[q], col, tc)
        half = np.empty((k, n, levels))
        upper_times(root, up[:k], 0, n, half)
        for a in range(k):
            add_products(gram, -0.5, half[a], half[a])
        for q in range(n):
            fill(tc, 0.0)
            for a in range(k):
                add_taken(tc, half[a, q], node, hc[a])
            subtract_at(Rt[q], col, tc)
        if i + 1 == m:
            break
        for x in range(anc):
            column = up[k + x]
            for a in range(k):
                subtract_scaled(column, h[a, x], half[a])
            for q in range(low, high):
                a, b = entries[q, 1], entries[q, 2]
                add_scaled(column[q], P[a, k + x], w[b])
                if a != b:
                    add_scaled(column[q], P[b, k + x], w[a])
        up = sum_children(up[k:], starts[s.level[i + 1] : s.level[i + 2]])
        low = high
