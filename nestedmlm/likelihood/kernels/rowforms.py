"""Rows against the stored factor: half-solved rows and their quadratic forms.

For a row z of Z the elimination of its few non-zero entries gives pieces r_g, one per node g it
passes and one in the trailing block, with ``z'(G - G Z'V^{-1}Z G)z = sum r_g' Gt_g r_g`` and
``G = Lambda Lambda'``. A row passes one node per level of the chain if its levels are nested as
those of the fit; new rows may join levels that never met, and pass a few more.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.statistics.kernels.common import JIT, columns_above, row_starts


@njit(**JIT)
def factor_starts(K, first):
    """Where each chain factor's blocks begin in the flat ``Gt``."""
    out = np.zeros(K.shape[0], np.int64)
    for i in range(1, K.shape[0]):
        out[i] = out[i - 1] + K[i - 1] * K[i - 1] * (first[i] - first[i - 1])
    return out


@njit(**JIT)
def _slot(node, factor, slots, used):
    """Place of a node among those the row has passed, appended if it is new."""
    for s in range(used):
        if slots[s, 0] == node:
            return s, used
    slots[used, 0] = node
    slots[used, 1] = factor
    return used, used + 1


@njit(**JIT)
def half_solve(
    tree, q_t, r, panels, G,
    nodes, Z, tstart, Zt, slot_node, slot_value, ends, columns, values,
):  # fmt: skip
    """Eliminate the chain from rows of Z.

    Parameters
    ----------
    nodes, Z : (n, m) and (n, sum K) arrays
        Node of each chain factor in each row (-1: none) and the row's entries, scaled.
    tstart, Zt : (n, m_t) and (n, sum Kt) arrays
        First dense column of the row's level of each trailing factor (-1: none), and entries.
    slot_node, slot_value : (n, slots) and (n, slots, k) arrays
        Written: the nodes passed (-1: none) and their r_g.
    ends, columns, values : arrays
        Written: trailing pieces, row i at ``ends[i-1]:ends[i]``.

    Returns
    -------
    int
        Number of trailing entries.
    """
    K, first, parent, pptr, tptr, tcol, _, Kt, _ = tree
    m = K.shape[0]
    starts = factor_starts(K, first)
    slots = np.empty((slot_node.shape[1], 2), np.int64)
    J = np.empty(slot_value.shape[2])
    dense, mark = np.zeros(q_t), np.full(q_t, -1, np.int64)
    place = 0
    for row in range(nodes.shape[0]):
        begin, used, off = place, 0, 0
        slot_value[row] = 0.0
        slot_node[row] = -1
        for f in range(Kt.shape[0]):
            for c in range(Kt[f]):
                if tstart[row, f] >= 0:
                    q = tstart[row, f] + c
                    columns[place] = q
                    mark[q] = row
                    dense[q] = Zt[row, off + c]
                    place += 1
            off += Kt[f]
        off = 0
        for i in range(m):
            if nodes[row, i] >= 0:
                s, used = _slot(nodes[row, i], i, slots, used)
                for c in range(K[i]):
                    slot_value[row, s, c] = Z[row, off + c]
            off += K[i]
        for i in range(m):
            s = 0
            while s < used:
                if slots[s, 1] == i:
                    used, place = _pass_node(
                        slots[s, 0], i, s, used, place, row, K, first, parent, pptr, tptr, tcol,
                        r, panels, G, starts, slots, slot_value[row], J, dense, mark, columns,
                    )  # fmt: skip
                s += 1
        for s in range(used):
            slot_node[row, s] = slots[s, 0]
        for e in range(begin, place):
            values[e] = dense[columns[e]]
        ends[row] = place
    return place


@njit(**JIT)
def _pass_node(
    g, i, s, used, place, row, K, first, parent, pptr, tptr, tcol,
    r, panels, G, starts, slots, value, J, dense, mark, columns,
):  # fmt: skip
    """Send what a node leaves of the row on to its ancestors and to the trailing columns."""
    k, A = K[i], columns_above(K, i)
    t0, nt = tptr[g], tptr[g + 1] - tptr[g]
    width = k + A + nt + r
    go = starts[i] + (g - first[i]) * k * k
    for a in range(k):
        total = 0.0
        for c in range(k):
            total += G[go + a * k + c] * value[s, c]
        J[a] = total
    off, anc, j = k, parent[g], i + 1
    while anc >= 0:
        into, used = _slot(anc, j, slots, used)
        for c in range(K[j]):
            total = 0.0
            for a in range(k):
                total += panels[pptr[g] + a * width + off + c] * J[a]
            value[into, c] -= total
        off += K[j]
        anc = parent[anc]
        j += 1
    for e in range(nt):
        q = tcol[t0 + e]
        if mark[q] != row:
            mark[q] = row
            dense[q] = 0.0
            columns[place] = q
            place += 1
        for a in range(k):
            dense[q] -= panels[pptr[g] + a * width + k + A + e] * J[a]
    return used, place


@njit(**JIT)
def row_forms(tree, G, Gtt, slot_node, slot_value, ends, columns, values, out):
    """Write each row's quadratic form ``z'(G - G Z'V^{-1}Z G)z``."""
    begin = 0
    for row in range(slot_node.shape[0]):
        total = _chain_product(tree.K, tree.first, G, slot_node, slot_value, row, row)
        for e in range(begin, ends[row]):
            v = values[e]
            if v != 0.0:
                total += v * v * Gtt[columns[e], columns[e]]
                for c in range(begin, e):
                    total += 2.0 * v * values[c] * Gtt[columns[e], columns[c]]
        begin = ends[row]
        out[row] = total


@njit(**JIT)
def pair_forms(tree, G, slot_node, slot_value, out):
    """Write the chain's part of ``z_i'(G - G Z'V^{-1}Z G)z_j`` for every pair of rows."""
    for i in range(slot_node.shape[0]):
        for j in range(i + 1):
            out[i, j] = _chain_product(tree.K, tree.first, G, slot_node, slot_value, i, j)
            out[j, i] = out[i, j]


@njit(**JIT)
def _chain_product(K, first, G, slot_node, slot_value, i, j):
    total, go = 0.0, 0
    for s in range(slot_node.shape[1]):
        node = slot_node[i, s]
        if node < 0:
            break
        for t in range(slot_node.shape[1]):
            if slot_node[j, t] < 0:
                break
            if slot_node[j, t] == node:
                f, go = 0, 0
                while node >= first[f + 1]:
                    go += K[f] * K[f] * (first[f + 1] - first[f])
                    f += 1
                k = K[f]
                go += (node - first[f]) * k * k
                for a in range(k):
                    for c in range(k):
                        total += slot_value[i, s, a] * G[go + a * k + c] * slot_value[j, t, c]
    return total


@njit(**JIT)
def row_products(tree, nodes, Z, tstart, Zt, b, out):
    """Add ``Z b`` of every row for coefficients `b` (q, r) in elimination order to `out`."""
    K, first, Kt = tree.K, tree.first, tree.Kt
    starts = row_starts(K, first)
    for row in range(out.shape[0]):
        off = 0
        for i in range(K.shape[0]):
            if nodes[row, i] >= 0:
                at = starts[i] + (nodes[row, i] - first[i]) * K[i]
                for c in range(K[i]):
                    for x in range(b.shape[1]):
                        out[row, x] += Z[row, off + c] * b[at + c, x]
            off += K[i]
        off = 0
        for f in range(Kt.shape[0]):
            if tstart[row, f] >= 0:
                at = starts[K.shape[0]] + tstart[row, f]
                for c in range(Kt[f]):
                    for x in range(b.shape[1]):
                        out[row, x] += Zt[row, off + c] * b[at + c, x]
            off += Kt[f]
