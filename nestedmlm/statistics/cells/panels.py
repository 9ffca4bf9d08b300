"""Sums of products by cell, straight into panels and the dense block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.forest import Block

_CELLS_AT_ONCE = 65_536  # whose products are recoded at a time

Products = Callable[[slice], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recoding:
    """Columns of a model, in the basis of cells.

    Attributes
    ----------
    left : (kz, q) array
        Columns of random effects.
    right : (d, q + r) array
        The same and the right-hand sides.
    """

    left: FloatArray
    right: FloatArray


def products_of(cells: Cells, recoded: Recoding) -> Products:
    """Function that recodes the products of some cells.

    Parameters
    ----------
    cells : Cells
    recoded : Recoding
        Into which columns.

    Returns
    -------
    callable
        ``some -> (q, q + r, cells)``.
    """
    left, right = recoded.left, recoded.right

    def products(some: slice) -> FloatArray:
        own = cells.unpacked(some)
        count = own.shape[2]
        half = (right.T @ own).reshape(cells.kz, -1)
        return (left.T @ half).reshape(left.shape[1], right.shape[1], count)

    return products


def pieces_of_cells(count: int) -> Iterator[slice]:
    """Cells, some at a time."""
    for at in range(0, count, _CELLS_AT_ONCE):
        yield slice(at, min(at + _CELLS_AT_ONCE, count))


def add_to_panels(
    M: FloatArray,
    nodes: IntArray,
    parents: Sequence[IntArray],
    blocks: Sequence[Block],
    columns: Sequence[int],
) -> None:
    """Add the products of some cells to the panels of a chain.

    Parameters
    ----------
    M : (q, q + r, cells) array
        The chain's columns first, the right-hand sides last.
    nodes : (cells,) array
        Level of the finest factor, in the order of elimination.
    parents : sequence of arrays
        For each factor but the coarsest, the parent of each level.
    blocks : sequence of Block
    columns : sequence of int
        Which of the q + r columns stand in panels: the chain's and the right-hand sides.
    """
    order = np.argsort(nodes, kind="stable")
    nodes, M = nodes[order], np.ascontiguousarray(M[:, columns][..., order])
    K = blocks[0].shape.K.tolist()
    begin = [0, *accumulate(K)]
    for block in blocks:
        low, high = np.searchsorted(nodes, [block.levels[0].start, block.levels[0].stop]).tolist()
        if low == high:
            continue
        level = nodes[low:high]
        for i, k in enumerate(K):
            starts = np.flatnonzero(np.diff(level, prepend=-1))
            met = level[starts] - block.levels[i].start
            panel = block.panel(i)
            for a in range(k):
                own = M[begin[i] + a, begin[i] :, low:high]
                panel[a][:, met] += np.add.reduceat(own, starts, axis=1)
            if i + 1 < len(K):
                level = parents[i][level]


def add_crossed(
    M: FloatArray,
    entry: IntArray,
    ups: Sequence[IntArray],
    K: Sequence[int],
    Kt: Sequence[int],
    values: Sequence[FloatArray],
) -> None:
    """Add the products of some cells' chain with the dense block to the values of entries.

    Parameters
    ----------
    M : (q, q + r, cells) array
    entry : (n_t, cells) array
        First of the finest factor's entries that a cell contributes to, by trailing factor.
    ups : sequence of arrays
        For each factor but the coarsest, the parent's entry of each entry.
    K, Kt : sequences of int
        Columns of the chain's and of the trailing factors.
    values : sequence of (k, E) arrays
        Of each factor, which are added to.
    """
    first, kc = [0, *accumulate(Kt)], sum(K)
    for t, kt in enumerate(Kt):
        for c in range(kt):
            at, row = entry[t] + c, 0
            for i, (k, own) in enumerate(zip(K, values, strict=True)):
                for a in range(k):
                    # a cell's products stand in the row of the chain's column
                    own[a] += np.bincount(at, M[row + a, kc + first[t] + c], own.shape[1])
                row += k
                if i + 1 < len(K):
                    at = ups[i][at]


def add_dense(
    M: FloatArray,
    tcode: IntArray,
    Kt: Sequence[int],
    tfirst: Sequence[int],
    kc: int,
    Q: FloatArray,
    R: FloatArray,
) -> None:
    """Add the products of some cells to the dense block, below its diagonal, and its right sides.

    Parameters
    ----------
    M : (q, q + r, cells) array
    tcode : (n_t, cells) array
        Levels of the trailing factors.
    Kt, tfirst : sequences of int
        Their columns, and the first column of each in the dense block.
    kc : int
        Columns of the chain.
    Q, R : (q, q) and (q, r) arrays
        Which are added to.
    """
    q, flat = len(Q), Q.reshape(-1)
    right = M.shape[1] - R.shape[1]
    columns = []
    for t, kt in enumerate(Kt):
        columns += [tfirst[t] + tcode[t].astype(np.int64) * kt + c for c in range(kt)]
    for j, at in enumerate(columns):
        for i, other in enumerate(columns[: j + 1]):
            low, high = np.minimum(at, other), np.maximum(at, other)
            flat += np.bincount(high * q + low, M[kc + j, kc + i], minlength=q * q)
        for x in range(R.shape[1]):
            R[:, x] += np.bincount(at, M[kc + j, right + x], minlength=q)
