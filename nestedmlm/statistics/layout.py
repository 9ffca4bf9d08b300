"""Order of elimination, and where every sum of products is stored.

All of it follows from the codes of the grouping factors and their numbers of columns: a `Tree` of
nodes, which the sweeps walk, and a `Layout`, which says where each row of the data is added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.kernels.assembly import nesting


def elimination_order(
    codes: Sequence[IntArray], sizes: Sequence[int], widths: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[IntArray, ...]]:
    """Choose the chain that eliminates most columns; the rest is the trailing block.

    Returns
    -------
    chain, trailing : tuple of int
        Factor indices, finest first; trailing factors by decreasing number of columns.
    parents : tuple of arrays
        For each chain factor but the last, the parent level of each of its levels.
    """
    columns = [j * k for j, k in zip(sizes, widths, strict=True)]
    by_size = sorted(range(len(codes)), key=lambda f: (-sizes[f], f))
    best: tuple[list[int], list[IntArray]] = ([], [])
    for start in by_size:
        chain, parents = [start], []
        for f in by_size:
            if f in chain or sizes[f] > sizes[chain[-1]]:
                continue
            up = np.full(sizes[chain[-1]], -1, dtype=np.int64)
            if nesting(codes[chain[-1]], codes[f], up):
                chain.append(f)
                parents.append(up)
        if sum(columns[f] for f in chain) > sum(columns[f] for f in best[0]):
            best = (chain, parents)
    chain, parents = best
    trailing = sorted((f for f in by_size if f not in chain), key=lambda f: -columns[f])
    return tuple(chain), tuple(trailing), tuple(parents)


class Tree(NamedTuple):
    """Structure of the elimination: the chain's nodes and the columns of the trailing block.

    A node is one level of one factor of the chain; nodes are numbered factor by factor, finest
    first. All fields are int64 vectors, in the order in which compiled code takes them.

    Attributes
    ----------
    K : (m,) array
        Columns of each chain factor.
    first : (m + 1,) array
        First node of each chain factor, and their total N.
    parent : (N,) array
        Parent of each node; -1 at the coarsest factor.
    pptr : (N + 1,) array
        Where each node's panel starts in the flat `Sums.panels`.
    tptr : (N + 1,) array
        Where each node's list of trailing columns starts.
    tcol, tpos : arrays
        Those lists: column of the dense block, and place in the parent's list.
    Kt, tfirst : (m_t,) arrays
        Columns of each trailing factor, and its first column in the dense block.
    """

    K: IntArray
    first: IntArray
    parent: IntArray
    pptr: IntArray
    tptr: IntArray
    tcol: IntArray
    tpos: IntArray
    Kt: IntArray
    tfirst: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where the sums of products are stored.

    Attributes
    ----------
    tree : Tree
    width : (N,) array
        Row stride of each node's panel.
    node : (m, n) array
        Node of each chain factor in each row.
    entry : (m, n_t, n) array
        Where in its node's list a row's trailing level starts.
    tcode : (n_t, n) array
        Trailing levels of each row.
    node_of_level : tuple of arrays
        For each chain factor, the node of each of its levels.
    q_t : int
        Columns of the dense block.
    """

    tree: Tree
    width: IntArray
    node: IntArray
    entry: IntArray
    tcode: IntArray
    node_of_level: tuple[IntArray, ...]
    q_t: int


def lay_out(
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    columns: Sequence[FloatArray],
    chain: Sequence[int],
    trailing: Sequence[int],
    parents: Sequence[IntArray],
    r: int,
) -> Layout:
    """Lay out the statistics of factors with the given codes, sizes and columns.

    `chain`, `trailing` and `parents` are `elimination_order`'s; `r` counts right-hand sides.
    """
    n, m = len(codes[0]), len(chain)
    K = np.array([columns[f].shape[1] for f in chain], dtype=np.int64)
    J = np.array([sizes[f] for f in chain], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(J)]).astype(np.int64)
    node_of_level, parent = _number_nodes(J, first, parents)
    node = np.empty((m, n), dtype=np.int64)
    for i, f in enumerate(chain):
        node[i] = node_of_level[i][codes[f]]
    Kt = np.array([columns[f].shape[1] for f in trailing], dtype=np.int64)
    Jt = np.array([sizes[f] for f in trailing], dtype=np.int64)
    tfirst = np.concatenate([[0], np.cumsum(Kt * Jt)]).astype(np.int64)
    tcode = np.empty((len(trailing), n), dtype=np.int64)
    for t, f in enumerate(trailing):
        tcode[t] = codes[f]
    tptr, tcol, tpos, entry = _trailing_lists(node, first, parent, tcode, Kt, tfirst)
    ancestors = np.concatenate([np.cumsum(K[::-1])[::-1][1:], [0]])
    per_factor = np.repeat(K + ancestors + r, J)
    width = (per_factor + np.diff(tptr)).astype(np.int64)
    pptr = np.concatenate([[0], np.cumsum(np.repeat(K, J) * width)]).astype(np.int64)
    return Layout(
        tree=Tree(
            K=K,
            first=first,
            parent=parent,
            pptr=pptr,
            tptr=tptr,
            tcol=tcol,
            tpos=tpos,
            Kt=Kt,
            tfirst=tfirst[:-1],
        ),
        width=width,
        node=node,
        entry=entry,
        tcode=tcode,
        node_of_level=node_of_level,
        q_t=int(tfirst[-1]),
    )


def _number_nodes(
    J: IntArray, first: IntArray, parents: Sequence[IntArray]
) -> tuple[tuple[IntArray, ...], IntArray]:
    """Number the nodes so that siblings are adjacent; return (node of each level, parent)."""
    m = len(J)
    node_of_level: list[IntArray] = [np.empty(0, np.int64)] * m
    node_of_level[-1] = first[m - 1] + np.arange(J[-1])
    parent = np.full(int(first[-1]), -1, dtype=np.int64)
    for i in range(m - 2, -1, -1):
        up = node_of_level[i + 1][parents[i]]
        order = np.argsort(up, kind="stable")
        nodes = np.empty(J[i], dtype=np.int64)
        nodes[order] = first[i] + np.arange(J[i])
        node_of_level[i] = nodes
        parent[nodes] = up
    return tuple(node_of_level), parent


def _trailing_lists(
    node: IntArray,
    first: IntArray,
    parent: IntArray,
    tcode: IntArray,
    Kt: IntArray,
    tfirst: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Which trailing columns each node co-occurs with.

    Returns
    -------
    tptr, tcol, tpos : arrays
        Pointer, dense column, and place in the parent's list, per node and column.
    entry : (m, n_t, n) array
        Place in the node's list at which each row's trailing level starts.
    """
    m, n = node.shape
    n_t = len(Kt)
    N = int(first[-1])
    entry = np.zeros((m, n_t, n), dtype=np.int64)
    empty = np.zeros(0, dtype=np.int64)
    if n_t == 0:
        return np.zeros(N + 1, dtype=np.int64), empty, empty, entry
    width = int(tfirst[-1])  # dense columns in all: a key is node * width + first dense column
    keys = (node[0] * width + tfirst[:-1, None] + tcode * Kt[:, None]).ravel()
    sizes = np.repeat(Kt, n)
    place = np.arange(n_t * n)
    counts = np.zeros(N, dtype=np.int64)
    cols: list[IntArray] = []
    ups: list[IntArray] = []
    for i in range(m):
        unique, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
        owner, start_col, size = unique // width, unique % width, sizes[index]
        counts[first[i] : first[i + 1]] = np.bincount(
            owner - first[i], weights=size, minlength=first[i + 1] - first[i]
        ).astype(np.int64)
        before = np.cumsum(size) - size
        list_start = np.concatenate([[0], np.cumsum(counts[first[i] : first[i + 1]])])
        place_in_list = before - list_start[owner - first[i]]
        if i > 0:  # where the child level's entries sit in this level's lists
            ups.append(_expand(place_in_list[inverse], sizes))
        place = inverse if i == 0 else inverse[place]
        entry[i] = place_in_list[place].reshape(n_t, n)
        cols.append(_expand(start_col, size))
        keys, sizes = parent[owner] * width + start_col, size
    ups.append(np.zeros(len(cols[-1]), dtype=np.int64))
    tptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return tptr, np.concatenate(cols), np.concatenate(ups), entry


def _expand(starts: IntArray, sizes: IntArray) -> IntArray:
    """Turn (start, size) pairs into the columns ``start, start + 1, …`` one after the other."""
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + within
