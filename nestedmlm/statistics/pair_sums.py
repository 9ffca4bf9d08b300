"""Crossproducts of a design with residuals that differ or correlate: ``Q = sum_m c_m B_m``.

``B_m = sum a_i a_j'`` over the pairs of rows of one coefficient, ``a = [Z X y]``: additive over
rows and formed once. Two storages: all B_m, where they are smaller than a few numbers per row, or
none, so that each evaluation sums over the pairs again. What has entries is one flat vector in
both: the panels of the chain, its products with the crossed block, that block, its right-hand
sides, and F.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import ResidualStructureError
from nestedmlm.statistics.crossproducts import CrossProducts, nested_cross_products
from nestedmlm.statistics.forest import Entries
from nestedmlm.statistics.level_columns import DenseSums, LevelColumns, level_columns
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.residual_model import ResidualModel, residual_model

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_NUMBERS_PER_ROW = 4  # times the width of a row: what all B_m may take
_FEW_NUMBERS = 4_000_000  # or this, whatever the rows
_COEFFICIENTS_AT_ONCE = 200  # whose rows are copied side by side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualAt:
    """The residuals' covariance at one value of its free parameters.

    Attributes
    ----------
    model : ResidualModel
    free : (n_free,) array
    c : (M,) array
        Coefficients of the pairs.
    sums : PairSums
        What the crossproducts are made from.
    """

    model: ResidualModel
    free: FloatArray
    c: FloatArray
    sums: PairSums

    def moved(self, free: FloatArray) -> ResidualAt:
        """The same rows at other values of the free parameters."""
        return replace(self, free=free, c=self.model.coefficients(free)[0])

    def square_sum(self, rest: FloatArray, w: FloatArray | None) -> float:
        """``rest' W^1/2 R^-1 W^1/2 rest`` of some residuals."""
        scaled = rest if w is None else rest * np.sqrt(w)
        pairs = self.model.pairs
        return float(self.c[pairs.m] @ (scaled[pairs.i] * scaled[pairs.j]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairSums:
    """Sums over pairs of rows.

    Attributes
    ----------
    base : CrossProducts
        Of independent residuals, without the values that depend on them.
    model : ResidualModel
    Y : (r, n) array
        Right-hand sides, scaled.
    chain, trailing : tuples of (k, n) arrays
        Columns of the chain's factors and of the crossed ones.
    nodes, entry : tuples of int arrays
        For each factor of the chain, the level of each row; and for each crossed factor too, the
        first of the entries of each row.
    columns : tuple of int arrays
        For each crossed factor, the row's first column in the dense block.
    levels : LevelColumns or None
        Where a crossed factor has a basis: what is summed is by its levels, in their columns.
    B : (M, L) array or None
    triangles : (M, r (r + 1) / 2) array or None
        The lower triangle of F in each of them.
    """

    base: CrossProducts
    model: ResidualModel
    Y: FloatArray
    chain: tuple[FloatArray, ...]
    trailing: tuple[FloatArray, ...]
    nodes: tuple[IntArray, ...]
    entry: tuple[tuple[IntArray, ...], ...]
    columns: tuple[IntArray, ...]
    B: FloatArray | None
    levels: LevelColumns | None = None
    triangles: FloatArray | None = None

    def at(self, free: FloatArray) -> CrossProducts:
        """The crossproducts at free parameters.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is no covariance there.
        """
        c, logdet = self.model.coefficients(free)
        if not (np.all(np.isfinite(c)) and np.isfinite(logdet)):
            raise np.linalg.LinAlgError("residual parameters without a covariance")
        return self.mixed(free, c, float(logdet))

    def mixed(self, free: FloatArray, c: FloatArray, logdet: float) -> CrossProducts:
        """The crossproducts with some coefficients."""
        flat = c @ self.B if self.B is not None else self._sum(c)
        base, cuts = self.base, self._cuts
        blocks, crossed = base.blocks, base.crossed
        r = base.p + 1
        if blocks:
            blocks = (replace(blocks[0], panels=flat[cuts[0] : cuts[1]]),)
        if crossed is not None:
            dense = _cut(flat, cuts, self._q, r)
            if self.levels is not None:
                dense = self.levels.to_effects(dense, crossed.entries)
            crossed = replace(crossed, values=dense[0], Q=dense[1], R=dense[2])
        return replace(
            base,
            blocks=blocks,
            crossed=crossed,
            F=flat[cuts[4] :].reshape(r, r),
            sum_log_w=base.sum_log_w - logdet,
            residual=ResidualAt(model=self.model, free=free, c=c, sums=self),
        )

    def pull(self, adjoint: FloatArray) -> FloatArray:
        """``<adjoint, B_m>`` for every coefficient: the adjoint of `mixed`."""
        crossed = self.base.crossed
        if self.levels is not None and crossed is not None:
            own, q = self._cuts_with(crossed.values.size, len(crossed.Q)), len(crossed.Q)
            dense = _cut(adjoint, own, q, self.base.p + 1)
            turned = self.levels.to_levels(dense, crossed.entries)
            F = adjoint[own[4] :]
            adjoint = np.concatenate([adjoint[: own[1]], *(x.ravel() for x in turned), F])
        if self.B is not None:
            return self.B @ adjoint
        pairs, r = self.model.pairs, self.base.p + 1
        F = adjoint[self._cuts[4] :].reshape(r, r)
        each = np.einsum("an,an->n", F @ self.Y[:, pairs.i], self.Y[:, pairs.j])
        for place, value in self._products(pairs.i, pairs.j):
            each += adjoint[place] * value
        return np.bincount(pairs.m, each, minlength=self.model.size)

    def slopes(self, J: FloatArray) -> FloatArray:
        """F along the columns of J: ``sum_m J[m, q] F_m``, (q, r, r)."""
        r, first = self.base.p + 1, self._cuts[4]
        if self.triangles is not None:
            a, b = np.tril_indices(r)
            out = np.empty((J.shape[1], r, r))
            out[:, a, b] = out[:, b, a] = J.T @ self.triangles
            return out
        return np.array([self._sum(c)[first:] for c in J.T]).reshape(-1, r, r)

    def with_sums(self) -> PairSums:
        """The same with all B_m."""
        pairs, M, L = self.model.pairs, self.model.size, self._cuts[-1]
        flat = np.zeros(M * L)
        for place, value in self._products(pairs.i, pairs.j):
            flat += np.bincount(pairs.m * L + place, value, minlength=M * L)
        B = flat.reshape(M, L)
        order = np.argsort(pairs.m, kind="stable")
        ends = np.searchsorted(pairs.m[order], np.arange(M + 1))
        r, rows = len(self.Y), np.ascontiguousarray(self.Y.T)
        for first in range(0, M, _COEFFICIENTS_AT_ONCE):
            last = min(first + _COEFFICIENTS_AT_ONCE, M)
            some = order[ends[first] : ends[last]]
            left, right = rows[pairs.i[some]], rows[pairs.j[some]]
            G = np.empty((last - first, r, r))
            for m, own in enumerate(G, first):
                here = slice(ends[m] - ends[first], ends[m + 1] - ends[first])
                np.matmul(left[here].T, right[here], out=own)
            B[first:last, self._cuts[4] :] = 0.5 * (G + G.transpose(0, 2, 1)).reshape(len(G), -1)
        a, b = np.tril_indices(r)
        return replace(self, B=B, triangles=B[:, self._cuts[4] + a * r + b])

    def _sum(self, c: FloatArray) -> FloatArray:
        pairs, L = self.model.pairs, self._cuts[-1]
        each, flat = c[pairs.m], np.zeros(L)
        for place, value in self._products(pairs.i, pairs.j):
            flat += np.bincount(place, each * value, minlength=L)
        G = (self.Y[:, pairs.i] * each) @ self.Y[:, pairs.j].T
        flat[self._cuts[4] :] = 0.5 * (G + G.T).ravel()
        return flat

    @property
    def crossed_parts(self) -> tuple[FactorPart, ...]:
        """Parts of the crossed factors, by the levels that rows meet."""
        if self.levels is not None:
            return self.levels.parts
        return () if self.base.crossed is None else self.base.crossed.parts

    @property
    def _q(self) -> int:
        """Columns of the crossed factors, by the levels that rows meet."""
        parts = self.crossed_parts
        return parts[-1].rows.stop if parts else 0

    @property
    def _entries(self) -> Entries | None:
        own: Any = self.base.crossed if self.levels is None else self.levels
        return None if own is None else own.entries

    @property
    def _cuts(self) -> list[int]:
        E = self._entries
        return self._cuts_with(0 if E is None else int(E.value[-1]), self._q)

    def _cuts_with(self, values: int, q: int) -> list[int]:
        base, r = self.base, self.base.p + 1
        panels = int(base.blocks[0].shape.panel[-1]) if base.blocks else 0
        return np.cumsum([0, panels, values, q * q, q * r, r * r]).tolist()

    def _products(self, i: IntArray, j: IntArray) -> Iterator[tuple[IntArray, FloatArray]]:
        """Places in the flat vector and what pairs of rows add there, F left out.

        A pair adds ``(a_i a_j' + a_j a_i') / 2``.
        """
        cuts, r = self._cuts, self.base.p + 1
        for f, z in enumerate(self.chain):
            s = self.base.blocks[0].shape
            right, J = np.vstack([*self.chain[f:], self.Y]), int(s.J[f])
            node = self.nodes[f][i]
            for a in range(len(z)):
                for x, other in enumerate(right):
                    place = int(s.panel[f]) + (a * len(right) + x) * J + node
                    yield place, 0.5 * (z[a, i] * other[j] + z[a, j] * other[i])
            for t, zt in enumerate(self.trailing):  # both rows' columns are met by the node
                E: Any = self._entries
                count = int(E.first[f + 1] - E.first[f])
                for a in range(len(z)):
                    first = cuts[1] + int(E.value[f]) + a * count
                    for x in range(len(zt)):
                        yield first + self.entry[f][t][j] + x, 0.5 * z[a, i] * zt[x, j]
                        yield first + self.entry[f][t][i] + x, 0.5 * z[a, j] * zt[x, i]
        q = self._q
        for t, zt in enumerate(self.trailing):
            for a in range(len(zt)):
                at_i, at_j = self.columns[t][i] + a, self.columns[t][j] + a
                for u, zu in enumerate(self.trailing):
                    for x in range(len(zu)):
                        other_i, other_j = self.columns[u][i] + x, self.columns[u][j] + x
                        yield cuts[2] + at_i * q + other_j, 0.5 * zt[a, i] * zu[x, j]
                        yield cuts[2] + at_j * q + other_i, 0.5 * zt[a, j] * zu[x, i]
                for x in range(r):
                    yield cuts[3] + at_i * r + x, 0.5 * zt[a, i] * self.Y[x, j]
                    yield cuts[3] + at_j * r + x, 0.5 * zt[a, j] * self.Y[x, i]


def pair_sums(design: Design, *, stored: bool | None = None) -> PairSums:
    """Reduce a design with a residual structure to its sums over pairs of rows.

    Parameters
    ----------
    design : Design
    stored : bool, optional
        Whether all B_m are kept; by default where they are small.

    Raises
    ------
    ResidualStructureError
        If no grouping factor has whole blocks in its levels.
    """
    rows = design.residual
    assert rows is not None
    model = residual_model(rows)
    pairs = model.pairs
    whole = [np.array_equal(f.codes[pairs.i], f.codes[pairs.j]) for f in design.factors]
    with_basis = any(f.basis is not None for f in design.factors)
    if design.factors and not any(whole) and not with_basis:
        raise ResidualStructureError(
            f"no grouping factor has whole blocks of {rows.block_name} in its levels: add a "
            f"random effect of {rows.block_name} or of what it is nested in, or take another block"
        )
    base = nested_cross_products(design, whole)
    w = None if design.weights is None else np.sqrt(design.weights)
    y = design.y if design.offset is None else design.y - design.offset
    Y = np.vstack([(design.X @ base.R_x_inverse).T, (y - design.X @ base.beta0)[None]])
    Z = [(t.X @ W).T for t, W in zip(design.terms, base.transforms, strict=True)]
    if w is not None:
        Y, Z = Y * w, [z * w for z in Z]
    of_factor = [
        np.vstack([z for z, t in zip(Z, design.terms, strict=True) if t.factor == f])
        for f in base.factors
    ]
    codes = [design.factors[f].codes for f in base.factors]
    m = len(base.order.chain)
    nodes = tuple(
        place[code] for place, code in zip(base.order.node_of_level, codes[:m], strict=True)
    )
    crossed, levels = base.crossed, None
    if crossed is not None and with_basis:
        levels = level_columns(base.order, base.chain_parts, crossed, codes, base.bases)
    made = PairSums(
        base=base, model=model, Y=Y, chain=tuple(of_factor[:m]), trailing=tuple(of_factor[m:]),
        nodes=nodes, entry=(), columns=(), B=None, levels=levels,
    )  # fmt: skip
    if crossed is not None:
        columns = tuple(
            part.rows.start + code.astype(np.int64) * part.k
            for part, code in zip(made.crossed_parts, codes[m:], strict=True)
        )
        E: Any = made._entries
        entry = tuple(
            tuple(_entries(E, made._q, f, node, at) for at in columns)
            for f, node in enumerate(nodes)
        )
        made = replace(made, columns=columns, entry=entry)
    width = sum(len(z) for z in Z) + len(Y)
    most = max(_NUMBERS_PER_ROW * design.n * width, _FEW_NUMBERS)
    keep = model.size * made._cuts[-1] <= most if stored is None else stored
    return made.with_sums() if keep else made


def residual_at(design: Design, known: ResidualAt) -> CrossProducts:
    """Crossproducts of a design with the residuals' parameters of other rows of the same model.

    Parameters
    ----------
    design : Design
        With the columns of log standard deviations, levels and groups of the other rows.
    known : ResidualAt
        Of those.
    """
    return pair_sums_like(design, known.model).at(known.free)


def pair_sums_like(design: Design, model: ResidualModel) -> PairSums:
    """Sums whose free parameters mean what they do in a model of other rows."""
    sums = pair_sums(design)
    return replace(sums, model=sums.model.like(model))


def _entries(E: Entries, q: int, f: int, node: IntArray, col: IntArray) -> IntArray:
    """Entry of factor f, counted within it, of each row's level and column."""
    own = slice(int(E.first[f]), int(E.first[f + 1]))
    keys = E.node[own].astype(np.int64) * q + E.col[own]  # ascending
    found: IntArray = np.searchsorted(keys, node.astype(np.int64) * q + col)
    return found


def _cut(flat: FloatArray, cuts: list[int], q: int, r: int) -> DenseSums:
    """Values, Q and R of a dense block, from what has entries."""
    values, Q, R = (flat[cuts[i] : cuts[i + 1]] for i in (1, 2, 3))
    return values, Q.reshape(q, q), R.reshape(q, r)
