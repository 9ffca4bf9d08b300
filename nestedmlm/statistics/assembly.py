"""Weighted sums of products, straight into panels: one pass over the rows, in pieces.

Rows are taken in the order of the chain's finest factor, so the rows of a level of any chain factor
stand together and are summed by `numpy.add.reduceat`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestedmlm._typing import FloatArray, IntArray

_ROWS_AT_ONCE = 32_768  # at a time: products of a piece stay in the processor's cache


def sum_panels(
    nodes: IntArray,
    parents: Sequence[IntArray],
    J: IntArray,
    Z: Sequence[FloatArray],
    Y: FloatArray,
    w: FloatArray,
) -> tuple[list[FloatArray], FloatArray]:
    """Sum the products of a chain.

    Parameters
    ----------
    nodes : (n,) array
        Level of the finest factor in each row, in the order of elimination.
    parents : sequence of arrays
        For each factor but the coarsest, the parent of each level.
    J : (m,) array
        Levels of each factor.
    Z : sequence of (n, k) arrays
        Columns of each factor.
    Y : (n, r) array
        Right-hand sides.
    w : (n,) array
        Weights.

    Returns
    -------
    panels : list of (k, k + A + r, J) arrays
    F : (r, r) array
        ``Y'WY``.
    """
    n, r, m = len(nodes), Y.shape[1], len(Z)
    K = [z.shape[1] for z in Z]
    begin = np.cumsum([0, *K]).tolist()
    panels = [
        np.zeros((k, begin[-1] - begin[i] + r, int(j)))
        for i, (k, j) in enumerate(zip(K, J, strict=True))
    ]
    F = np.zeros((r, r))
    in_order = bool(np.all(nodes[1:] >= nodes[:-1]))
    rows = None if in_order else np.argsort(nodes, kind="stable")
    for low in range(0, n, _ROWS_AT_ONCE):
        piece = slice(low, low + _ROWS_AT_ONCE) if rows is None else rows[low : low + _ROWS_AT_ONCE]
        columns = np.concatenate([*(z[piece].T for z in Z), Y[piece].T])
        weighted = columns * w[piece]
        for a in range(r):
            F[a] += (weighted[begin[-1] + a] * columns[begin[-1] :]).sum(axis=1)
        level = nodes[piece]
        for i in range(m):
            starts = np.flatnonzero(np.diff(level, prepend=-1))
            met = level[starts]
            own = slice(int(met[0]), int(met[-1]) + 1)  # every level has rows: nothing between
            for a in range(K[i]):
                products = weighted[begin[i] + a] * columns[begin[i] :]
                panels[i][a, :, own] += np.add.reduceat(products, starts, axis=1)
            if i + 1 < m:
                level = parents[i][level]
    return panels, F


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
    flat, R = np.zeros(q * q), np.zeros((q, Y.shape[1]))
    columns = [
        (tfirst[t] + tcode[t] * Kt[t] + c, Zt[t][:, c])
        for t in range(len(Zt))
        for c in range(Kt[t])
    ]
    for j, (at, z) in enumerate(columns):
        weighted = w * z
        for x in range(Y.shape[1]):
            R[:, x] += np.bincount(at, weighted * Y[:, x], minlength=q)
        for other, z_other in columns[: j + 1]:
            low, high = np.minimum(at, other), np.maximum(at, other)
            flat += np.bincount(high * q + low, weighted * z_other, minlength=q * q)
    Q = flat.reshape(q, q)
    Q += np.tril(Q, -1).T
    return Q, R
