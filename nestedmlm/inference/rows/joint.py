"""Joint covariance of fixed effects and random effects, row by row.

Given theta, ``Cov(beta_hat, b_hat - b) = sigma^2 C`` with C the inverse of Henderson's mixed-model
equations. Neither C nor anything of its size is formed: for a row (x, z)

    [x z] C [x z]' = z'(G - G Z'V^{-1}Z G) z + d' S_xx^{-1} d,    d = x - X'V^{-1}Z G z,

with ``G = Lambda Lambda'``; the first part comes from eliminating the row's few non-zero entries
(`nestedmlm.likelihood.kernels.rowforms`), the rest are look-ups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.kernels.rowforms import half_solve, pair_forms, row_forms, row_products
from nestedmlm.likelihood.solution import Solution

TermRows = Sequence[tuple[FloatArray, IntArray]]
_BLOCK = 4_000_000  # trailing entries (or rows) held at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZRows:
    """Rows of Z in the units and order of the elimination.

    Attributes
    ----------
    nodes, Z : (n, m) and (n, sum K) arrays
        Node of each chain factor (-1: an unknown level, which counts as zero), and entries.
    tstart, Zt : (n, m_t) and (n, sum Kt) arrays
        First dense column of the level of each trailing factor (-1: unknown), and entries.
    """

    nodes: IntArray
    Z: FloatArray
    tstart: IntArray
    Zt: FloatArray

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, rows: slice | IntArray) -> ZRows:
        return ZRows(
            nodes=self.nodes[rows], Z=self.Z[rows], tstart=self.tstart[rows], Zt=self.Zt[rows]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HalfSolved:
    """Rows after the elimination of the chain (`nestedmlm.likelihood.kernels.rowforms`)."""

    slot_node: IntArray
    slot_value: FloatArray
    ends: IntArray
    columns: IntArray
    values: FloatArray


def design_rows(design: Design) -> TermRows:
    """The matrix and codes of each term for the rows of the fit."""
    return [(t.X, design.factors[t.factor].codes) for t in design.terms]


def z_rows(solution: Solution, terms: TermRows) -> ZRows:
    """Scale and place rows given by each term's matrix and codes (-1: unknown level)."""
    stats, plan = solution.stats, solution.plan
    m = len(stats.chain)
    codes, entries = [], []
    for own in plan.factors:
        codes.append(np.max([terms[t][1] for t in own], axis=0))
        entries += [terms[t][0] @ stats.transforms[t] for t in own]
    n = len(codes[0])
    nodes, tstart = np.full((n, m), -1, dtype=np.int64), np.full((n, len(codes) - m), -1, np.int64)
    for f, own_codes in enumerate(codes):
        known = own_codes >= 0
        if f < m:
            nodes[known, f] = stats.node_of_level[f][own_codes[known]]
        else:
            tstart[known, f - m] = (
                stats.tree.tfirst[f - m] + own_codes[known] * stats.tree.Kt[f - m]
            )
    Z = np.hstack(entries)
    cut = int(stats.tree.K.sum())
    return ZRows(
        nodes=nodes,
        Z=np.ascontiguousarray(Z[:, :cut]),
        tstart=tstart,
        Zt=np.ascontiguousarray(Z[:, cut:]),
    )


def gls_rows(solution: Solution, X: FloatArray, rows: ZRows) -> FloatArray:
    """Rows of ``[X 0] - Z G Z'V^{-1}[X y]`` in scaled columns, shape (n, p + 1).

    Its first p columns are the d of every row; with y's own column added, and times the weights,
    rows of the fit are rows of ``V^{-1}[X y]``.
    """
    stats = solution.stats
    b, _ = elimination.solve(stats.tree, solution.state)
    out = np.zeros((len(rows), stats.p + 1))
    row_products(stats.tree, rows.nodes, rows.Z, rows.tstart, rows.Zt, -b, out)
    if stats.p:
        out[:, :-1] += np.linalg.solve(stats.R_x.T, X.T).T
    return out


def random_forms(solution: Solution, rows: ZRows) -> FloatArray:
    """``z'(G - G Z'V^{-1}Z G) z`` of every row, shape (n,)."""
    stats, state = solution.stats, solution.state
    out = np.empty(len(rows))
    for block in _blocks(solution, rows):
        half = _half_solved(solution, rows[block])
        row_forms(
            stats.tree, state.G, state.Gtt, half.slot_node, half.slot_value, half.ends,
            half.columns, half.values, out[block],
        )  # fmt: skip
    return out


def random_gram(solution: Solution, rows: ZRows) -> FloatArray:
    """``Z_I (G - G Z'V^{-1}Z G) Z_I'`` for a few rows I, shape (m, m)."""
    stats, state = solution.stats, solution.state
    half = _half_solved(solution, rows)
    out = np.empty((len(rows), len(rows)))
    pair_forms(stats.tree, state.G, half.slot_node, half.slot_value, out)
    if len(stats.tree.Kt):
        used, column = np.unique(half.columns, return_inverse=True)
        A = np.zeros((len(rows), len(used)))
        row = np.repeat(np.arange(len(rows)), np.diff(half.ends, prepend=0))
        A[row, column] = half.values
        out += A @ state.Gtt[np.ix_(used, used)] @ A.T
    return out


def touched_columns(solution: Solution, rows: ZRows) -> tuple[ZRows, IntArray]:
    """Unit rows of the columns of Z that some rows touch, and where each entry of a row stands.

    Returns
    -------
    units : ZRows of length c
        One for each column touched.
    place : (n, sum K + sum Kt) array
        Number of the unit row of each entry of ``[Z, Zt]``.
    """
    stats = solution.stats
    levels = [(rows.nodes, f, k) for f, k in enumerate(stats.tree.K.tolist())]
    levels += [(rows.tstart, f, k) for f, k in enumerate(stats.tree.Kt.tolist())]
    found = [np.unique(codes[:, f], return_inverse=True) for codes, f, _ in levels]
    size = sum(len(seen) * k for (seen, _), (_, _, k) in zip(found, levels, strict=True))
    codes = np.full((size, len(levels)), -1, dtype=np.int64)
    entries = np.zeros((size, sum(k for _, _, k in levels)))
    place, at, off = np.empty((len(rows), entries.shape[1]), dtype=np.int64), 0, 0
    for j, ((seen, which), (_, _, k)) in enumerate(zip(found, levels, strict=True)):
        own = np.arange(at, at + len(seen) * k)
        codes[own, j] = np.repeat(seen, k)
        entries[own, off + np.tile(np.arange(k), len(seen))] = 1.0
        place[:, off : off + k] = at + which.reshape(-1, 1) * k + np.arange(k)
        at, off = at + len(own), off + k
    m, cut = len(stats.tree.K), int(stats.tree.K.sum())
    units = ZRows(
        nodes=np.ascontiguousarray(codes[:, :m]),
        Z=np.ascontiguousarray(entries[:, :cut]),
        tstart=np.ascontiguousarray(codes[:, m:]),
        Zt=np.ascontiguousarray(entries[:, cut:]),
    )
    return units, place


def fixed_forms(solution: Solution, d: FloatArray) -> FloatArray:
    """``d' S_xx^{-1} d`` of every row of d (n, p) in scaled columns."""
    inverse = profile(solution.state.S)[3][:-1, :-1]
    out: FloatArray = np.einsum("ij,jk,ik->i", d, inverse, d, optimize=True)
    return out


def relative_variances(solution: Solution, X: FloatArray | None, terms: TermRows) -> FloatArray:
    """``[x z] C [x z]'`` of every row: variance of ``x beta + z b`` over sigma^2, given theta.

    Parameters
    ----------
    solution : Solution
    X : (n, p) array or None
        None: of ``z b`` alone.
    terms : sequence of ((n, k) array, (n,) codes)
        For each term; -1 is an unknown level, which adds nothing here.
    """
    rows = z_rows(solution, terms)
    given = np.zeros((len(rows), solution.stats.p)) if X is None else X
    d = gls_rows(solution, given, rows)[:, :-1]
    return random_forms(solution, rows) + fixed_forms(solution, d)


def _half_solved(solution: Solution, rows: ZRows) -> HalfSolved:
    stats, state = solution.stats, solution.state
    n, m = rows.nodes.shape
    slots = m * (m + 1) // 2
    k = int(stats.tree.K.max())
    capacity = int(_trailing_bound(solution, rows).sum())
    slot_node = np.empty((n, slots), dtype=np.int64)
    slot_value = np.empty((n, slots, k))
    ends = np.empty(n, dtype=np.int64)
    columns, values = np.empty(capacity, dtype=np.int64), np.empty(capacity)
    used = half_solve(
        stats.tree, len(stats.sums.Qtt), len(stats.sums.F), state.panels, state.G,
        rows.nodes, rows.Z, rows.tstart, rows.Zt, slot_node, slot_value, ends, columns, values,
    )  # fmt: skip
    return HalfSolved(
        slot_node=slot_node,
        slot_value=slot_value,
        ends=ends,
        columns=columns[:used],
        values=values[:used],
    )


def _trailing_bound(solution: Solution, rows: ZRows) -> IntArray:
    """How many trailing entries each row can have at most: its own and its top nodes' lists."""
    stats = solution.stats
    bound = np.full(len(rows), int(stats.tree.Kt.sum()), dtype=np.int64)
    if not len(stats.tree.Kt):
        return bound
    top = np.arange(int(stats.tree.first[-1]))
    for _ in stats.chain:
        up = stats.tree.parent[top]
        top = np.where(up >= 0, up, top)
    lengths = np.diff(stats.tree.tptr)
    tops = np.where(rows.nodes >= 0, top[rows.nodes], -1)
    for f in range(tops.shape[1]):
        repeated = (tops[:, :f] == tops[:, f, None]).any(axis=1)
        bound += np.where((tops[:, f] >= 0) & ~repeated, lengths[tops[:, f]], 0)
    return bound


def _blocks(solution: Solution, rows: ZRows) -> Iterator[slice]:
    """Blocks of rows whose trailing entries fit in memory."""
    cost = np.cumsum(_trailing_bound(solution, rows) + 1)
    start = 0
    while start < len(rows):
        before = cost[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(cost, before + _BLOCK, side="right")))
        yield slice(start, end)
        start = end
