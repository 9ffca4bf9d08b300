"""Average information beside a dense block: the sweep of `information` with entries as lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.information import (
    add_own_products,
    end_of_factor,
    pass_variates,
    variate_row,
)
from nestedmlm.likelihood.elimination.primitives import (
    add,
    add_by_column,
    add_by_level,
    add_products,
    copy,
    fill,
    sum_children,
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
        high = end_of_factor(entries, low, i)
        across = np.zeros((k, k, n - low))
        X = np.zeros((n - low, levels))
        for row in range(k):
            variate_row(s, i, entries, low, P[row], w, X)
            fill(X[own - low :], 0.0)  # variates of the dense block
            dense = X[own - low :].reshape(1, n - own, levels)
            add_by_level(dense, 1.0, Ft[own:], Pc[row : row + 1], ptr, col)
            add_products(across[row], 1.0, w[:k], X)
            add(up[row, low:], X)
        add_own_products(entries, low, high, across, w, Bi, gram, BF, Fe)
        scores = np.zeros((k, high - low, levels))
        for q in range(low, high):
            a, b = entries[q, 1], entries[q, 2]
            copy(scores[a, q - low], w[b])
            copy(scores[b, q - low], w[a])
        add_by_column(Rt[low:high], 1.0, scores, Pc, node, ptr, col)
        half = np.empty((k, n, levels))
        upper_times(root, up[:k], 0, n, half)
        for a in range(k):
            add_products(gram, -0.5, half[a], half[a])
        add_by_column(Rt, -1.0, half, hc, node, ptr, col)
        if i + 1 == m:
            break
        pass_variates(entries, low, high, P, w, h, half, up)
        up = sum_children(up[k:], starts[s.level[i + 1] : s.level[i + 2]])
        low = high
