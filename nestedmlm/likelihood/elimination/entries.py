"""A chain beside a dense block of crossed factors: entries as lanes.

A level of the chain meets some columns of the dense block; each pair (level, column) is an entry,
and a row of a panel's crossed part is a vector over the entries of its factor, level after level.
The sweeps are those of `sweeps` with one more part: what a level holds is taken by ``node`` where
entries need it, and what entries hold is summed by level, by the parent's entry, or by column.

Between the two sweeps the dense block is eliminated (`nestedmlm.likelihood.trailing`), which gives
``Gtt = Lambda_t H^-1 Lambda_t'`` and ``b_t = Gtt Qtr``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.primitives import (
    add_by_column,
    add_by_level,
    add_by_node,
    add_products,
    add_scaled,
    add_taken,
    copy,
    fill,
    of_parents,
    scale,
    subtract_at,
    subtract_gram,
    subtract_scaled,
    subtract_taken,
    sum_children,
    times_block,
    total,
)
from nestedmlm.likelihood.elimination.sweeps import (
    half_solve,
    lower_times,
    pass_up,
    take_off,
    upper_times,
    with_own_inverse,
    with_own_rows,
)


def upper_times_entries(N: Any, node: Any, X: Any, out: Any) -> None:
    """``out = N X`` for the entries' columns, N upper triangular."""
    k = N.shape[0]
    for a in range(k):
        fill(out[a], 0.0)
        for i in range(a, k):
            add_taken(out[a], N[a, i], node, X[i])


def go_up_crossed(
    s: Any, e: Any, starts: Any, T: Any, panels: Any, cross: Any, N: Any, H: Any, Hc: Any, S: Any,
    Qtt: Any, Qrt: Any,
) -> float:  # fmt: skip
    """Eliminate the chain, finest factor first; return its share of log|M|.

    Parameters
    ----------
    s, starts, T, panels, N, H, S
        As for `nestedmlm.likelihood.elimination.sweeps.go_up`.
    e : Entries
        See `nestedmlm.statistics.forest.Entries`.
    cross : array
        Crossed parts of the panels, (k, E) factor after factor; become Schur complements.
    Hc : array
        Is filled: N times the crossed parts.
    Qtt, Qrt : (q, q) and (r, q) arrays
        The dense block, of which the lower triangle counts, and its right-hand sides, transposed.
    """
    m, r, logdet = s.K.shape[0], s.r, 0.0
    update = np.zeros((s.A[0], s.A[0] + r, s.J[0]))
    update_c = np.zeros((s.A[0], e.first[1]))
    for i in range(m):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        w = anc + r
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + w, levels)
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, w, levels)
        count = e.first[i + 1] - e.first[i]
        node, col = e.node[e.first[i] : e.first[i + 1]], e.col[e.first[i] : e.first[i + 1]]
        ptr = e.ptr[s.level[i] + i : s.level[i + 1] + i + 1]
        hc = Hc[e.value[i] : e.value[i + 1]].reshape(k, count)
        logdet += half_solve(T[s.square[i] : s.square[i + 1]], P, n)
        upper_times(n, P, k, k + w, h)
        upper_times_entries(n, node, cross[e.value[i] : e.value[i + 1]].reshape(k, count), hc)
        for a in range(k):
            add_products(S, -1.0, h[a, anc:], h[a, anc:])
        subtract_gram(Qtt, hc, ptr, col)
        add_by_column(Qrt, -1.0, h[:, anc:], hc, node, ptr, col)
        if i + 1 == m:
            break
        pass_up(h, update)
        for x in range(anc):
            for a in range(k):
                add_taken(update_c[x], h[a, x], node, hc[a])
        sums = sum_children(update, starts[s.level[i + 1] : s.level[i + 2]])
        k1, levels1 = s.K[i + 1], s.J[i + 1]
        update = take_off(panels[s.panel[i + 1] : s.panel[i + 2]].reshape(k1, w, levels1), sums)
        up = e.up[e.first[i] : e.first[i + 1]]
        count1 = e.first[i + 2] - e.first[i + 1]
        above = cross[e.value[i + 1] : e.value[i + 2]].reshape(k1, count1)
        rest = np.zeros((anc - k1, count1))
        for x in range(k1):
            subtract_at(above[x], up, update_c[x])
        for x in range(anc - k1):
            subtract_at(rest[x], up, update_c[k1 + x])
            scale(rest[x], -1.0, rest[x])
        update_c = rest
    return logdet


def go_down_crossed(
    s: Any, e: Any, parent: Any, panels: Any, cross: Any, N: Any, H: Any, Hc: Any, Gtt: Any,
    brt: Any, B: Any, b: Any, info: Any, BB: Any, own: Any,
) -> None:  # fmt: skip
    """Solve for every level of the chain; sum what the derivatives need.

    Parameters
    ----------
    s, parent, panels, N, H, B, b, info, BB, own
        As for `nestedmlm.likelihood.elimination.sweeps.go_down`.
    e, cross, Hc
        As `go_up_crossed` left them.
    Gtt, brt : (q, q) and (r, q) arrays
        The dense block's inverse and solution.
    """
    m, r = s.K.shape[0], s.r
    above = np.zeros((0, r, s.J[m - 1]))
    inverse = np.zeros((0, 0, s.J[m - 1]))
    inverse_c = np.zeros((0, e.first[m] - e.first[m - 1]))  # rows of ancestors, by entry
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + r, levels)
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        Bi = B[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        bi = b[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        count = e.first[i + 1] - e.first[i]
        node, col = e.node[e.first[i] : e.first[i + 1]], e.col[e.first[i] : e.first[i + 1]]
        ptr = e.ptr[s.level[i] + i : s.level[i + 1] + i + 1]
        Pc = cross[e.value[i] : e.value[i + 1]].reshape(k, count)
        hc = Hc[e.value[i] : e.value[i + 1]].reshape(k, count)
        A = own[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        NQ = np.empty((k, k, levels))
        upper_times(n, P, 0, k, NQ)
        D, V = np.empty((k, anc, levels)), np.empty((k, anc, levels))
        Dc, Vc = np.empty((k, count)), np.empty((k, count))
        for a in range(k):
            copy(D[a], P[a, k : k + anc])
            copy(Bi[a], P[a, k + anc :])
            copy(Dc[a], Pc[a])
            for c in range(k):
                subtract_scaled(D[a], NQ[c, a], h[c, :anc])
                subtract_scaled(Bi[a], NQ[c, a], h[c, anc:])
                subtract_taken(Dc[a], NQ[c, a], node, hc[c])
            for x in range(anc):
                subtract_scaled(Bi[a], D[a, x], above[x])
        add_by_level(Bi, -1.0, brt, Dc, ptr, col)
        sandwich(D, Dc, inverse, inverse_c, Gtt, node, ptr, col, V, Vc)
        mine = slice(s.square[i], s.square[i + 1])
        add_derivatives(P, NQ, D, V, Dc, Vc, ptr, Bi, A, info[mine], BB[mine])
        z = np.empty((k, r, levels))
        for a in range(k):
            copy(z[a], h[a, anc:])
            for x in range(anc):
                subtract_scaled(z[a], h[a, x], above[x])
        add_by_level(z, -1.0, brt, hc, ptr, col)
        lower_times(n, z, bi)
        if i == 0:
            break
        Y, Yc = np.empty((k, anc, levels)), np.empty((k, count))
        lower_times(n, h[:, :anc], Y)
        for a in range(k):
            fill(Yc[a], 0.0)
            for c in range(a + 1):
                add_taken(Yc[a], n[c, a], node, hc[c])
        sandwich(Y, Yc, inverse, inverse_c, Gtt, node, ptr, col, V, Vc)
        children = parent[s.level[i - 1] : s.level[i]]
        places = e.up[e.first[i - 1] : e.first[i]]
        inverse = of_parents(with_own_inverse_crossed(n, Y, Yc, V, Vc, inverse, ptr), children)
        inverse_c = of_parents(own_crossed(Vc, inverse_c), places)
        above = of_parents(with_own_rows(bi, above), children)


def add_derivatives(
    P: Any, NQ: Any, D: Any, V: Any, Dc: Any, Vc: Any, ptr: Any, B: Any, own: Any, info: Any,
    BB: Any,
) -> None:  # fmt: skip
    """Fill ``own = Z_g'V^-1 Z_g`` of a factor's levels g; add it, and ``B B'``, up over them."""
    k = D.shape[0]
    for a in range(k):
        for c in range(a + 1):
            t = own[a, c]
            copy(t, P[a, c])
            for f in range(k):
                subtract_scaled(t, NQ[f, a], NQ[f, c])
            for x in range(D.shape[1]):
                subtract_scaled(t, V[a, x], D[c, x])
            add_by_node(t, -1.0, Vc[a], Dc[c], ptr)
            at = a * k + c
            info[at] += total(t)
            add_products(BB[at], 1.0, B[a], B[c])


def sandwich(
    D: Any, Dc: Any, inverse: Any, inverse_c: Any, Gtt: Any, node: Any, ptr: Any, col: Any, V: Any,
    Vc: Any,
) -> None:  # fmt: skip
    """``[V Vc] = [D Dc] P`` with P the inverse's block of a level's ancestors and columns."""
    times_block(Vc, Dc, Gtt, ptr, col)
    for a in range(D.shape[0]):
        fill(V[a], 0.0)
        for x in range(D.shape[1]):
            add_scaled(V[a], D[a, x], inverse[x])
            add_taken(Vc[a], D[a, x], node, inverse_c[x])
        for x in range(D.shape[1]):
            add_by_node(V[a, x], 1.0, Dc[a], inverse_c[x], ptr)


def with_own_inverse_crossed(
    N: Any, Y: Any, Yc: Any, V: Any, Vc: Any, inverse: Any, ptr: Any
) -> Any:
    """`with_own_inverse`, and what the level's own columns add to it: ``+ Vc Yc'``."""
    out = with_own_inverse(N, Y, V, inverse)
    for a in range(Yc.shape[0]):
        for b in range(a + 1):
            add_by_node(out[a, b], 1.0, Vc[a], Yc[b], ptr)
            if b < a:
                copy(out[b, a], out[a, b])
    return out


def own_crossed(Vc: Any, inverse_c: Any) -> Any:
    """The inverse's rows of a level and its ancestors in the entries' columns."""
    k, anc = Vc.shape[0], inverse_c.shape[0]
    out = np.empty((k + anc, Vc.shape[1]))
    for a in range(k):
        scale(out[a], -1.0, Vc[a])
    for x in range(anc):
        copy(out[k + x], inverse_c[x])
    return out
