"""Joint covariance of fixed effects and random effects, row by row.

Given theta, ``Cov(beta_hat, b_hat - b) = sigma^2 C`` with C the inverse of Henderson's mixed-model
equations. Neither C nor anything of its size is formed: for a row (x, z)

    [x z] C [x z]' = z'(G - G Z'V^{-1}Z G) z + d' S_xx^{-1} d,    d = x - X'V^{-1}Z G z,

with ``G = Lambda Lambda'``; the first part comes from eliminating the row's few non-zero entries,
many rows at once, the rest are look-ups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its sparse matrices load on first use

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.errors import ResidualStructureError
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.elimination import Factor, whole_factor
from nestedmlm.likelihood.elimination.primitives import times_block
from nestedmlm.likelihood.elimination.sweeps import upper_times
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.crossproducts import CrossProducts

TermRows = Sequence[tuple[FloatArray, IntArray]]
_ROWS_AT_ONCE = 65_536  # at a time
_ENTRIES_AT_ONCE = 10_000_000  # of rows that meet all columns of a dense block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZRows:
    """Rows of Z in the units and order of the elimination.

    Attributes
    ----------
    nodes, Z : (n, m) and (n, sum K) arrays
        Node of each chain factor (-1: an unknown level, which counts as zero), and entries.
    tstart, Zt : (n, m_t) and (n, sum Kt) arrays
        First dense column of the level of each trailing factor (-1: unknown), and entries.
    whole : (n, q_t) array or None
        Where a trailing factor has a basis, all entries in the dense block; `tstart` is -1 then.
    """

    nodes: IntArray
    Z: FloatArray
    tstart: IntArray
    Zt: FloatArray
    whole: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, rows: slice | IntArray) -> ZRows:
        return ZRows(
            nodes=self.nodes[rows],
            Z=self.Z[rows],
            tstart=self.tstart[rows],
            Zt=self.Zt[rows],
            whole=None if self.whole is None else self.whole[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HalfSolved:
    """Rows of Z after the elimination of the chain.

    Attributes
    ----------
    chain : sparse (n, q of the chain) matrix
        N times what each row holds at a level when its turn comes: the squares of a row add up to
        the chain's part of its quadratic form.
    crossed : sparse (n, q_t) matrix or None
        What is left for the dense block.
    """

    chain: scipy.sparse.csr_array
    crossed: scipy.sparse.csr_array | None


def design_rows(design: Design) -> TermRows:
    """The matrix and codes of each term for the rows of the fit."""
    return [(t.X, design.factors[t.factor].codes) for t in design.terms]


def z_rows(solution: Solution, terms: TermRows) -> ZRows:
    """Scale and place rows given by each term's matrix and codes (-1: unknown level)."""
    stats, plan = solution.stats, solution.plan
    m = len(stats.order.chain)
    codes, entries = [], []
    for own in plan.factors:
        codes.append(np.max([terms[t][1] for t in own], axis=0))
        entries += [terms[t][0] @ stats.transforms[t] for t in own]
    n = len(codes[0])
    nodes, tstart = np.full((n, m), -1, dtype=np.int64), np.full((n, len(codes) - m), -1, np.int64)
    for f, own_codes in enumerate(codes):
        known = own_codes >= 0
        if f < m:
            nodes[known, f] = stats.level_order(f)[own_codes[known]]
        elif stats.crossed is not None:
            part = stats.crossed.parts[f - m]
            if not stats.bases:
                tstart[known, f - m] = part.rows.start + own_codes[known] * part.k
    Z = np.hstack(entries)
    cut = sum(part.k for part in stats.chain_parts)
    whole = _whole_rows(stats, codes, Z[:, cut:]) if stats.bases else None
    return ZRows(
        nodes=nodes,
        Z=np.ascontiguousarray(Z[:, :cut]),
        tstart=tstart,
        Zt=np.ascontiguousarray(Z[:, cut:]),
        whole=whole,
    )


def _whole_rows(stats: CrossProducts, codes: Sequence[np.ndarray], Zt: FloatArray) -> FloatArray:
    """Rows of the dense block's columns, where some factors have a basis."""
    assert stats.crossed is not None
    m, off = len(stats.order.chain), 0
    out = np.zeros((len(Zt), len(stats.crossed.Q)))
    for f, part in enumerate(stats.crossed.parts, start=m):
        known, basis = np.flatnonzero(codes[f] >= 0), stats.basis(f)
        own = out[:, part.rows].reshape(len(Zt), part.levels, part.k)  # a view
        for c in range(part.k):
            z = Zt[known, off + c]
            if basis is None:
                own[known, codes[f][known], c] = z
            else:
                own[known, :, c] = z[:, None] * basis[codes[f][known]]
        off += part.k
    return out


def gls_rows(solution: Solution, X: FloatArray, rows: ZRows) -> FloatArray:
    """Rows of ``[X 0] - Z G Z'V^{-1}[X y]`` in scaled columns, shape (n, p + 1).

    Its first p columns are the d of every row; with y's own column added, and times the weights,
    rows of the fit are rows of ``V^{-1}[X y]``.
    """
    stats = solution.stats
    b, _ = elimination.solve(stats, solution.state)
    out = np.zeros((len(rows), stats.p + 1))
    for known, at, z in _places(solution, rows):
        out[known] -= z[:, None] * b[at]
    if rows.whole is not None:
        out -= rows.whole @ b[stats.chain_effects :]
    if stats.p:
        out[:, :-1] += np.linalg.solve(stats.R_x.T, X.T).T
    return out


def random_forms(solution: Solution, rows: ZRows) -> FloatArray:
    """``z'(G - G Z'V^{-1}Z G) z`` of every row, shape (n,)."""
    out = np.empty(len(rows))
    dense = 0 if rows.whole is None else rows.whole.shape[1]
    step = min(_ROWS_AT_ONCE, 1 + _ENTRIES_AT_ONCE // dense) if dense else _ROWS_AT_ONCE
    for low in range(0, len(rows), step):
        block = slice(low, low + step)
        half = half_solved(solution, rows[block])
        out[block] = half.chain.power(2).sum(axis=1)
        if dense and half.crossed is not None and solution.state.dense is not None:
            left = half.crossed.toarray()
            out[block] += np.einsum("ij,ij->i", left @ solution.state.dense.G, left)
        elif half.crossed is not None and solution.state.dense is not None:
            A, G = half.crossed, solution.state.dense.G
            products = np.empty((1, A.nnz))
            times_block(products, A.data[None], G, A.indptr.astype(np.int64), A.indices)
            row = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
            out[block] += np.bincount(row, products[0] * A.data, minlength=A.shape[0])
    return out


def random_gram(solution: Solution, rows: ZRows) -> FloatArray:
    """``Z_I (G - G Z'V^{-1}Z G) Z_I'`` for a few rows I, shape (m, m)."""
    return quadratic_gram(solution, half_solved(solution, rows))


def quadratic_gram(solution: Solution, half: HalfSolved, own: slice = slice(None)) -> FloatArray:
    """`random_gram` of some of the rows that were eliminated."""
    chain = half.chain[own]
    out: FloatArray = (chain @ chain.T).toarray()
    if half.crossed is not None and solution.state.dense is not None:
        crossed = half.crossed[own]
        used = np.unique(crossed.indices)
        A = crossed[:, used].toarray()
        out += A @ solution.state.dense.G[np.ix_(used, used)] @ A.T
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
    m = len(stats.order.chain)
    levels = [(rows.nodes, f, part.k) for f, part in enumerate(stats.parts[:m])]
    levels += [(rows.tstart, f, part.k) for f, part in enumerate(stats.parts[m:])]
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
    cut = sum(part.k for part in stats.chain_parts)
    units = ZRows(
        nodes=np.ascontiguousarray(codes[:, :m]),
        Z=np.ascontiguousarray(entries[:, :cut]),
        tstart=np.ascontiguousarray(codes[:, m:]),
        Zt=np.ascontiguousarray(entries[:, cut:]),
    )
    return units, place


def fixed_forms(solution: Solution, d: FloatArray) -> FloatArray:
    """``d' S_xx^{-1} d`` of every row of d (n, p) in scaled columns."""
    inverse = profile(solution.state.S).inverse[:-1, :-1]
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
    if not terms:
        if X is None:
            raise ResidualStructureError("the model has no random effects, which are asked for")
        return fixed_forms(solution, np.linalg.solve(solution.stats.R_x.T, X.T).T)
    rows = z_rows(solution, terms)
    given = np.zeros((len(rows), solution.stats.p)) if X is None else X
    d = gls_rows(solution, given, rows)[:, :-1]
    return random_forms(solution, rows) + fixed_forms(solution, d)


def relative_covariances(
    solution: Solution,
    one: tuple[FloatArray, TermRows],
    other: tuple[FloatArray, TermRows],
) -> FloatArray:
    """``[x z] C [x z]'`` of every row of one set with every row of another, shape (n, m).

    Parameters
    ----------
    solution : Solution
    one, other : pairs of an (n, p) array and the rows of each term
        As `relative_variances` takes them.
    """
    rows = [z_rows(solution, terms) for _, terms in (one, other)]
    d = [gls_rows(solution, X, z)[:, :-1] for (X, _), z in zip((one, other), rows, strict=True)]
    half = [half_solved(solution, z) for z in rows]
    out: FloatArray = (half[0].chain @ half[1].chain.T).toarray()
    if half[0].crossed is not None and half[1].crossed is not None:
        assert solution.state.dense is not None
        out += half[0].crossed @ (solution.state.dense.G @ half[1].crossed.toarray().T)
    inverse = profile(solution.state.S).inverse[:-1, :-1]
    return out + d[0] @ inverse @ d[1].T


def _places(solution: Solution, rows: ZRows) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """For each column of ``[Z Zt]``: rows whose level is known, the effect they meet, entries."""
    stats, m = solution.stats, len(solution.stats.order.chain)
    off = 0
    for f, part in enumerate(stats.parts[:m]):
        known = np.flatnonzero(rows.nodes[:, f] >= 0)
        at = part.rows.start + rows.nodes[known, f] * part.k
        for c in range(part.k):
            yield known, at + c, rows.Z[known, off + c]
        off += part.k
    off, first = 0, stats.chain_effects
    for f, part in enumerate(stats.parts[m:]):  # tstart counts columns of the dense block
        known = np.flatnonzero(rows.tstart[:, f] >= 0)
        for c in range(part.k):
            yield known, first + rows.tstart[known, f] + c, rows.Zt[known, off + c]
        off += part.k


def half_solved(solution: Solution, rows: ZRows) -> HalfSolved:
    """Eliminate the chain from the rows, factor by factor, rows as lanes.

    A row passes the level it belongs to and that level's ancestors. The levels of new rows need
    not be nested as those of the fit; such a row passes several levels of a factor.
    """
    stats = solution.stats
    factors = [whole_factor(stats, solution.state, i) for i in range(len(stats.order.chain))]
    left = _Left(row=[], at=[], value=[])
    crossed = _Left(row=[], at=[], value=[])
    levels: list[IntArray] = []  # of each path (one begins at every factor) at this factor
    values: list[FloatArray] = []  # what the path's level holds of the row, and its ancestors
    off = 0
    for i, (factor, part) in enumerate(zip(factors, stats.chain_parts, strict=True)):
        k = part.k
        own = np.zeros((k + factor.H.shape[1], len(rows)))
        own[:k] = np.where(rows.nodes[:, i] >= 0, rows.Z[:, off : off + k].T, 0.0)
        levels.append(rows.nodes[:, i].copy())
        values.append(own)
        for path in range(len(levels)):
            for other in range(path):
                same = (levels[path] >= 0) & (levels[path] == levels[other])
                values[other][:, same] += values[path][:, same]
                levels[path][same] = -1  # the two go on as one
        for path in range(len(levels)):
            known = np.flatnonzero(levels[path] >= 0)
            node = levels[path][known]
            half = np.empty((k, len(node)))
            upper_times(factor.N[:, :, node], values[path][:, None, known], 0, 1, half[:, None])
            for a in range(k):
                left.add(known, part.rows.start + node * k + a, half[a])
                values[path][k:, known] -= factor.H[a][:, node] * half[a]
            if stats.crossed is not None:
                _leave_crossed(factor, known, node, half, crossed)
            values[path] = values[path][k:]
            if i + 1 < len(factors):
                levels[path][known] = stats.order.parents[i][node]
        off += k
    n, first = len(rows), stats.chain_effects
    if stats.crossed is None:
        return HalfSolved(chain=left.matrix((n, first)), crossed=None)
    off = 0
    for f, part in enumerate(stats.crossed.parts):
        known = np.flatnonzero(rows.tstart[:, f] >= 0)
        for c in range(part.k):
            crossed.add(known, rows.tstart[known, f] + c, rows.Zt[known, off + c])
        off += part.k
    found = crossed.matrix((n, len(stats.crossed.Q)))
    if rows.whole is not None:
        found = found + scipy.sparse.csr_array(rows.whole)
    return HalfSolved(chain=left.matrix((n, first)), crossed=found)


def _leave_crossed(
    factor: Factor, known: IntArray, node: IntArray, half: FloatArray, crossed: _Left
) -> None:
    """Hand what the levels leave of the rows to the columns of the dense block they meet."""
    counts = np.diff(factor.ptr)[node]
    begin = np.repeat(factor.ptr[node], counts)
    entry = begin + np.arange(len(begin)) - np.repeat(np.cumsum(counts) - counts, counts)
    which = np.repeat(np.arange(len(node)), counts)
    value = -sum(factor.Hc[a][entry] * half[a][which] for a in range(len(half)))
    crossed.add(known[which], factor.col[entry], value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """Triplets of a sparse matrix; those of one place add up."""

    row: list[IntArray]
    at: list[IntArray]
    value: list[FloatArray]

    def add(self, row: IntArray, at: IntArray, value: FloatArray) -> None:
        """Add entries."""
        self.row.append(row)
        self.at.append(at)
        self.value.append(value)

    def matrix(self, shape: tuple[int, int]) -> scipy.sparse.csr_array:
        """The matrix."""
        if not self.row:
            return scipy.sparse.csr_array(shape)
        where = (np.concatenate(self.row), np.concatenate(self.at))
        return scipy.sparse.csr_array(
            scipy.sparse.coo_array((np.concatenate(self.value), where), shape=shape)
        )
