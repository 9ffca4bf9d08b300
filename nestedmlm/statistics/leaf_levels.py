"""Leaf levels: crossed levels that meet one level of the chain only, moved out of the dense block.

Where factors cross sparsely (many users wrote once, in one forum), most levels of the dense block
meet a single level of the chain's finest factor. Eliminated before it, they fill nothing in, and
the dense block is left with the others. This is what a sparse Cholesky factorisation gains by its
ordering (Davis 2006, *Direct Methods for Sparse Linear Systems*, chapter 7), for the levels that
repay it most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.elimination_order import Order, find_entries
from nestedmlm.statistics.forest import Block, Entries, cut_into_blocks
from nestedmlm.statistics.parts import FactorPart, stacked_parts

if TYPE_CHECKING:
    from nestedmlm.statistics.sufficient_statistics import Crossed, CrossProducts

LARGE_COLUMNS = 300  # columns of a dense block whose factorisation takes time
_LEAF_SHARE_OF_COLUMNS = 0.2  # of them that must be leaves: then it takes half the time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeafLevels:
    """Statistics of the same model with leaf levels as a chain factor of their own.

    Attributes
    ----------
    stats : CrossProducts
        The leaves come first; one factor of the model stands in two parts.
    factor : tuple of int
        For each part, the place of its factor in the whole model.
    flat : int array
        For each entry of its relative factors, the place in those of the whole model.
    rows : int array
        For each of its random effects, the place in those of the whole model; -1 for none.
    """

    stats: CrossProducts
    factor: tuple[int, ...]
    flat: IntArray
    rows: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Leaves:
    """Leaf levels of one crossed factor.

    Attributes
    ----------
    place : int
        Of the factor among the crossed ones.
    levels, nodes : (n,) arrays
        The leaves, and the level of the chain's finest factor that each meets, not decreasing.
    kept : int array
        Columns of the dense block that stay.
    """

    place: int
    levels: IntArray
    nodes: IntArray
    kept: IntArray


def with_leaves(stats: CrossProducts) -> CrossProducts:
    """The statistics with `leaves`, where moving them out of the dense block repays."""
    crossed = None if stats.sparse is not None or stats.bases else stats.crossed
    if crossed is None or stats.leaves is not None or len(crossed.Q) < LARGE_COLUMNS:
        return stats
    found = max(
        (_leaves(crossed, t) for t in range(len(crossed.parts))), key=lambda x: -len(x.kept)
    )
    if len(found.kept) > (1.0 - _LEAF_SHARE_OF_COLUMNS) * len(crossed.Q):
        return stats
    return replace(stats, leaves=leaf_levels(stats, crossed, found))


def _leaves(crossed: Crossed, place: int) -> _Leaves:
    part, e = crossed.parts[place], crossed.entries
    finest = slice(0, int(e.first[1]))
    first = np.arange(part.rows.start, part.rows.stop, part.k)
    met = np.bincount(e.col[finest], minlength=len(crossed.Q))[first]
    node = np.zeros(len(crossed.Q), dtype=np.int64)
    node[e.col[finest]] = e.node[finest]  # the only one of a leaf
    levels = np.flatnonzero(met == 1)
    levels = levels[np.argsort(node[first[levels]], kind="stable")]
    stays = np.ones(len(crossed.Q), dtype=bool)
    part.by_level(stays)[levels] = False
    return _Leaves(
        place=place, levels=levels, nodes=node[first[levels]], kept=np.flatnonzero(stays)
    )


def leaf_levels(stats: CrossProducts, crossed: Crossed, leaves: _Leaves) -> LeafLevels:
    """Rearrange the sums: no row is needed."""
    (block,), part, m = stats.blocks, crossed.parts[leaves.place], len(stats.order.chain)
    K, J = block.shape.K, block.shape.J
    # every level of the finest factor has a child: one of zeros, if there is no leaf
    childless = np.setdiff1d(np.arange(J[0]), leaves.nodes)
    parent = np.concatenate([leaves.nodes, childless])
    order = np.argsort(parent, kind="stable")
    parent = parent[order]
    place_of = np.argsort(order)[: len(leaves.levels)]  # of each leaf among the new factor's levels
    parents = (parent, *stats.order.parents)
    (inner,) = cut_into_blocks(
        np.concatenate([[part.k], K]), np.concatenate([[len(parent)], J]), parents, block.shape.r,
        most=len(parent),
    )  # fmt: skip
    for i in range(m):
        inner.panel(i + 1)[...] = block.panel(i)
    columns = part.rows.start + leaves.levels[:, None] * part.k + np.arange(part.k)
    _fill_leaf_panels(inner, block, crossed, columns, leaves.nodes, place_of)
    # levels of one factor do not meet each other: only columns of other factors do
    others = np.flatnonzero((leaves.kept < part.rows.start) | (leaves.kept >= part.rows.stop))
    rest = crossed.Q[np.ix_(columns.ravel(), leaves.kept[others])].reshape(*columns.shape, -1)
    met = _leaf_entries_of(rest, others)
    entries, values = _entries(stats, crossed, leaves.kept, parent, place_of, met)
    trailing = tuple(
        (p.k, p.levels - (len(leaves.levels) if t == leaves.place else 0))
        for t, p in enumerate(crossed.parts)
    )
    chain = tuple((p.k, p.levels) for p in stats.chain_parts)
    within = stacked_parts(trailing)
    whole = m + leaves.place
    factor = (whole, *range(len(stats.parts)))
    rows = np.full(part.k * len(parent), -1)
    rows.reshape(-1, part.k)[place_of] = stats.parts[m].rows.start + columns
    first = stats.parts[m].rows.start
    return LeafLevels(
        stats=replace(
            stats,
            order=_order(stats.order, leaves.place, parents),
            parts=stacked_parts(((part.k, len(parent)), *chain, *trailing)),
            blocks=(inner,),
            crossed=replace(
                crossed,
                parts=within,
                Q=crossed.Q[np.ix_(leaves.kept, leaves.kept)],
                R=crossed.R[leaves.kept],
                entries=entries,
                values=values,
            ),
        ),
        factor=factor,
        flat=np.concatenate([np.arange(p.flat.start, p.flat.stop) for p in _of(stats, factor)]),
        rows=np.concatenate([rows, np.arange(first), first + leaves.kept]),
    )


def _of(stats: CrossProducts, factor: tuple[int, ...]) -> list[FactorPart]:
    return [stats.parts[f] for f in factor]


def _order(order: Order, place: int, parents: tuple[IntArray, ...]) -> Order:
    levels = np.arange(len(parents[0]))
    return replace(
        order,
        chain=(order.trailing[place], *order.chain),
        parents=parents,
        node_of_level=(levels, *order.node_of_level),
    )


def _fill_leaf_panels(
    inner: Block,
    block: Block,
    crossed: Crossed,
    columns: IntArray,
    nodes: IntArray,
    place_of: IntArray,
) -> None:
    """Own products of the leaves, those with each factor of the chain, and right-hand sides."""
    panel, e, k = inner.panel(0), crossed.entries, columns.shape[1]
    at = k
    entry = _entry_of(e, nodes[:, None], columns, len(crossed.Q))
    for a in range(k):
        for c in range(k):
            panel[a, c, place_of] = crossed.Q[columns[:, a], columns[:, c]]
        panel[a, panel.shape[1] - block.shape.r :, place_of] = crossed.R[columns[:, a]]
    for i, width in enumerate(block.shape.K.tolist()):
        values = crossed.values[e.value[i] : e.value[i + 1]].reshape(width, -1)
        for a in range(k):
            panel[a, at : at + width, place_of] = values[:, entry[:, a]].T
        at += width
        entry = e.up[e.first[i] : e.first[i + 1]][entry]


def _entry_of(e: Entries, node: IntArray, col: IntArray, q: int) -> IntArray:
    """Places of (node, col) among the finest factor's entries."""
    finest = slice(0, int(e.first[1]))
    out: IntArray = np.searchsorted(e.node[finest] * q + e.col[finest], node * q + col)
    return out


def _entries(
    stats: CrossProducts,
    crossed: Crossed,
    kept: IntArray,
    parent: IntArray,
    place_of: IntArray,
    met: tuple[IntArray, IntArray, FloatArray],
) -> tuple[Entries, FloatArray]:
    """Entries of the leaves and of the chain in the smaller dense block, and their values.

    Every level has an entry, of value zero if it meets no column that is left.
    """
    (block,), old, q = stats.blocks, crossed.entries, len(kept)
    J, K = block.shape.J, block.shape.K
    place = np.full(len(crossed.Q), -1)
    place[kept] = np.arange(q)
    cuts = list(pairwise(old.first.tolist()))
    stays = [place[old.col[a:b]] >= 0 for a, b in cuts]
    node, col = (x[slice(*cuts[0])][stays[0]] for x in (old.node, place[old.col]))
    alone = np.setdiff1d(np.arange(J[0]), node)
    new, _ = find_entries(
        np.concatenate([node, alone]), stats.order.parents, K, J,
        np.concatenate([col, np.zeros_like(alone)])[None], np.ones(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64), q,
    )  # fmt: skip
    values = []
    for i, (a, b) in enumerate(cuts):
        own = slice(int(new.first[i]), int(new.first[i + 1]))
        keys = new.node[own] * q + new.col[own]
        wanted = old.node[a:b][stays[i]] * q + place[old.col[a:b]][stays[i]]
        found = np.zeros((int(K[i]), len(keys)))
        known = crossed.values[old.value[i] : old.value[i + 1]].reshape(int(K[i]), -1)
        found[:, np.searchsorted(keys, wanted)] = known[:, stays[i]]
        values.append(found.ravel())
    leaf, leaf_col, leaf_values = _leaf_entries(new, parent, place_of, met)
    up = _entry_of(new, parent[leaf], leaf_col, q)
    counts = np.bincount(leaf, minlength=len(parent))
    ptr = np.concatenate([[0], np.cumsum(counts)])
    return Entries(
        first=np.concatenate([[0], len(leaf) + new.first]),
        value=np.concatenate([[0], leaf_values.size + new.value]),
        node=np.concatenate([leaf, new.node]),
        col=np.concatenate([leaf_col, new.col]),
        up=np.concatenate([up, new.up]),
        ptr=np.concatenate([ptr, new.ptr]),
    ), np.concatenate([leaf_values.ravel(), *values])


def _leaf_entries_of(rest: FloatArray, others: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Products of leaves with columns of other crossed factors: (leaf, column, (k, E) values)."""
    which, col = np.nonzero(rest.any(axis=1))
    return which, others[col], rest[which, :, col].T


def _leaf_entries(
    chain: Entries,
    parent: IntArray,
    place_of: IntArray,
    met: tuple[IntArray, IntArray, FloatArray],
) -> tuple[IntArray, IntArray, FloatArray]:
    """Entries of all levels of the new factor, sorted; each has one."""
    leaf, col, values = place_of[met[0]], met[1], met[2]
    alone = np.setdiff1d(np.arange(len(parent)), leaf)
    some = chain.col[chain.ptr[parent[alone]]]  # any column that the parent meets
    leaf, col = np.concatenate([leaf, alone]), np.concatenate([col, some])
    values = np.concatenate([values, np.zeros((len(values), len(alone)))], axis=1)
    order = np.lexsort((col, leaf))
    return leaf[order], col[order], values[:, order]
