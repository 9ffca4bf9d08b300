"""Weighted sums of products, straight into panels: one pass over the rows, in pieces.

Rows are taken in the order of the chain's finest factor, so the rows of a level of any chain factor
stand together and are summed by `numpy.add.reduceat`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.forest import Block
from nestedmlm.statistics.scaling import pieces

_FIRST = np.zeros(1, dtype=np.int64)


def sum_panels(
    nodes: IntArray,
    parents: Sequence[IntArray],
    blocks: Sequence[Block],
    columns: Callable[[Any], FloatArray],
    w: FloatArray | None,
) -> FloatArray:
    """Sum the products of a chain into the panels of its blocks.

    Parameters
    ----------
    nodes : (n,) array
        Level of the finest factor in each row, in the order of elimination.
    parents : sequence of arrays
        For each factor but the coarsest, the parent of each level.
    blocks : sequence of Block
        With panels of zeros, which are filled.
    columns : callable
        ``rows -> (sum of K + r, rows)``: the columns of each factor and the right-hand sides.
    w : (n,) array or None
        Weights, where there are any.

    Returns
    -------
    F : (r, r) array
        ``Y'WY``.
    """
    K, r = blocks[0].shape.K.tolist(), blocks[0].shape.r
    begin = [0, *accumulate(K)]
    F = np.zeros((r, r))
    rows = None if (nodes[1:] >= nodes[:-1]).all() else np.argsort(nodes, kind="stable")
    low = 0
    for block in blocks:
        stop = nodes.dtype.type(block.levels[0].stop)  # of another type: a copy of all nodes
        high = int(np.searchsorted(nodes, stop, sorter=rows))
        for some in pieces(low, high):
            piece = some if rows is None else rows[some]
            x = columns(piece)
            weighted = x if w is None else x * w[piece]
            F += weighted[begin[-1] :] @ x[begin[-1] :].T
            level = nodes[piece]
            for i, k in enumerate(K):
                starts = np.flatnonzero(level[1:] != level[:-1]) + 1
                starts = np.concatenate([_FIRST, starts])
                met, before = level[starts], block.levels[i].start
                # every level has rows: nothing is left out between
                own = slice(int(met[0]) - before, int(met[-1]) + 1 - before)
                panel = block.panel(i)
                for a in range(k):
                    products = weighted[begin[i] + a] * x[begin[i] :]
                    panel[a, :, own] += np.add.reduceat(products, starts, axis=1)
                if i + 1 < len(K):
                    level = parents[i][level]
        low = high
    return F


def sum_crossed(
    entry: IntArray,
    ups: Sequence[IntArray],
    counts: Sequence[int],
    Z: Sequence[FloatArray],
    Zt: Sequence[FloatArray],
    w: FloatArray,
) -> FloatArray:
    """Sum the products of a chain with the columns of the dense block, entries as lanes.

    Parameters
    ----------
    entry : (n_t, n) array
        First of the finest factor's entries that a row contributes to, by trailing factor.
    ups : sequence of arrays
        For each factor but the coarsest, the parent's entry of each entry.
    counts : sequence of int
        Entries of each factor.
    Z, Zt : sequences of (n, k) arrays
        Columns of the chain's and of the trailing factors.
    w : (n,) array

    Returns
    -------
    array
        (k, E) factor after factor, flat.
    """
    columns = [(entry[t] + c, w * z[:, c]) for t, z in enumerate(Zt) for c in range(z.shape[1])]
    out = []
    for i, z in enumerate(Z):
        values = np.zeros((z.shape[1], counts[i]))
        for at, weighted in columns:
            for a in range(z.shape[1]):
                values[a] += np.bincount(at, weighted * z[:, a], minlength=counts[i])
        out.append(values.ravel())
        if i + 1 < len(Z):
            columns = [(ups[i][at], weighted) for at, weighted in columns]
    return np.concatenate(out)


def trailing_columns(
    tcode: IntArray, Kt: IntArray, tfirst: IntArray, Zt: Sequence[FloatArray]
) -> list[tuple[int, IntArray, FloatArray]]:
    """Columns of the trailing factors: (factor, place of each row, values)."""
    return [
        (t, tfirst[t] + tcode[t] * Kt[t] + c, Zt[t][:, c])
        for t in range(len(Zt))
        for c in range(Kt[t])
    ]


def sum_right(
    columns: Sequence[tuple[int, IntArray, FloatArray]], q: int, Y: FloatArray, w: FloatArray
) -> FloatArray:
    """Sum the trailing factors' products with the right-hand sides, (q, r)."""
    R = np.zeros((q, Y.shape[1]))
    for _, at, z in columns:
        weighted = w * z
        for x in range(Y.shape[1]):
            R[:, x] += np.bincount(at, weighted * Y[:, x], minlength=q)
    return R


def sum_dense(
    tcode: IntArray,
    Kt: IntArray,
    tfirst: IntArray,
    q: int,
    Zt: Sequence[FloatArray],
    Y: FloatArray,
    w: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Sum the dense block, (q, q), and its right-hand sides, (q, r)."""
    flat, columns = np.zeros(q * q), trailing_columns(tcode, Kt, tfirst, Zt)
    for j, (_, at, z) in enumerate(columns):
        weighted = w * z
        for _, other, z_other in columns[: j + 1]:
            low, high = np.minimum(at, other), np.maximum(at, other)
            flat += np.bincount(high * q + low, weighted * z_other, minlength=q * q)
    Q = flat.reshape(q, q)
    Q += np.tril(Q, -1).T
    return Q, sum_right(columns, q, Y, w)
