"""Order of elimination, and which levels and columns meet.

All of it follows from the codes of the grouping factors and their numbers of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.statistics.forest import Entries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """Factors in the order of elimination.

    Attributes
    ----------
    chain, trailing : tuple of int
        Indices of factors: the chain, finest first, each nested in the next; then the rest by
        decreasing number of columns.
    parents : tuple of arrays
        For each chain factor but the last, the parent of each level, in the order of elimination.
    node_of_level : tuple of arrays
        For each chain factor, each of the user's levels' place in the order of elimination:
        siblings are adjacent.
    """

    chain: tuple[int, ...]
    trailing: tuple[int, ...]
    parents: tuple[IntArray, ...]
    node_of_level: tuple[IntArray, ...]


def elimination_order(
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    widths: Sequence[int],
    allowed: Sequence[bool] | None = None,
) -> Order:
    """Choose the chain that eliminates most columns; the rest is the trailing block.

    Only factors that are `allowed` (default: all) may stand in the chain, which has none where
    none is.
    """
    columns = [j * k for j, k in zip(sizes, widths, strict=True)]
    by_size = sorted(range(len(codes)), key=lambda f: (-sizes[f], f))
    best: tuple[list[int], list[IntArray]] = ([], [])
    able = [f for f in by_size if allowed is None or allowed[f]]
    for start in able:
        chain, parents = [start], []
        for f in able:
            if f in chain or sizes[f] > sizes[chain[-1]]:
                continue
            up = _parents(codes[chain[-1]], codes[f], sizes[chain[-1]])
            if up is not None:
                chain.append(f)
                parents.append(up)
        if sum(columns[f] for f in chain) > sum(columns[f] for f in best[0]):
            best = (chain, parents)
        if len(chain) == len(codes):
            break  # nothing is left out: no other start eliminates more
    chain, parents = best
    trailing = sorted((f for f in by_size if f not in chain), key=lambda f: -columns[f])
    nodes, ups = _number(sizes[chain[-1]], parents) if chain else ([], [])
    return Order(
        chain=tuple(chain), trailing=tuple(trailing), parents=tuple(ups), node_of_level=tuple(nodes)
    )


def _parents(child: IntArray, parent: IntArray, size: int) -> IntArray | None:
    """Parent of each child level; None where a level has two parents."""
    up = np.empty(size, dtype=np.int64)
    up[child] = parent
    return up if np.array_equal(up[child], parent) else None


def _number(top: int, parents: Sequence[IntArray]) -> tuple[list[IntArray], list[IntArray]]:
    """Number the levels so that siblings are adjacent: (place of each level, parents by place)."""
    nodes: list[IntArray] = [np.arange(top)]
    ups: list[IntArray] = []
    for up in reversed(parents):
        above = nodes[0][up]
        order = np.argsort(above, kind="stable")
        place = np.empty(len(up), dtype=np.int64)
        place[order] = np.arange(len(up))
        nodes.insert(0, place)
        ups.insert(0, above[order])
    return nodes, ups


def find_entries(
    node: IntArray,
    parents: Sequence[IntArray],
    K: IntArray,
    J: IntArray,
    tcode: IntArray,
    Kt: IntArray,
    tfirst: IntArray,
    q: int,
) -> tuple[Entries, IntArray]:
    """Which columns of the dense block each level of the chain meets.

    Parameters
    ----------
    node : (n,) array
        Level of the finest chain factor in each row, in the order of elimination.
    parents, K, J
        Of the chain.
    tcode : (n_t, n) array
        Levels of the trailing factors.
    Kt, tfirst : (n_t,) arrays
        Their columns, and the first column of each in the dense block.
    q : int
        Columns of the dense block.

    Returns
    -------
    Entries
    entry : (n_t, n) array
        For each row and trailing factor, the first of its entries among the finest factor's.
    """
    keys = (node.astype(np.int64) * q + tfirst[:, None] + tcode * Kt[:, None]).ravel()
    sizes = np.repeat(Kt, len(node))
    entry = np.zeros(0, dtype=np.int64)
    nodes, cols, ups, ptrs, counts = [], [], [], [], []
    for i in range(len(K)):
        unique, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
        owner, start, size = unique // q, unique % q, sizes[index]
        begin = np.cumsum(size) - size  # first entry of each met level of a trailing factor
        if i == 0:
            entry = begin[inverse]
        else:
            ups.append(_expand(begin[inverse], sizes))
        nodes.append(np.repeat(owner, size))
        cols.append(_expand(start, size))
        per_level = np.bincount(owner, weights=size, minlength=int(J[i])).astype(np.int64)
        ptrs.append(np.concatenate([[0], np.cumsum(per_level)]))
        counts.append(len(nodes[-1]))
        if i + 1 < len(K):
            keys, sizes = parents[i][owner] * q + start, size
    ups.append(np.zeros(counts[-1], dtype=np.int64))
    E = np.array(counts)
    return Entries(
        first=np.concatenate([[0], np.cumsum(E)]),
        value=np.concatenate([[0], np.cumsum(K * E)]),
        node=np.concatenate(nodes),
        col=np.concatenate(cols),
        up=np.concatenate(ups),
        ptr=np.concatenate(ptrs),
    ), entry.reshape(tcode.shape)


def _expand(starts: IntArray, sizes: IntArray) -> IntArray:
    """Turn (start, size) pairs into the places ``start, start + 1, …`` one after the other."""
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + within
