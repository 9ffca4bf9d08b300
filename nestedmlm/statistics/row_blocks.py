"""Rows of a design as matrices, for an elimination that never forms sums of products.

Sums of products keep of a sum of squares what is not smaller than their own last digit. Where the
residuals are a tiny share of the response, the rows themselves keep twice as many digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.scaling import Recoded

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.sufficient_statistics import CrossProducts

MOST_WORK = 1e9  # operations of an evaluation from the rows: more would take seconds
_BLOCK_WORK = 3e5  # operations in whose time a block is begun


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowBlock:
    """Rows that share no random effect with other rows.

    Attributes
    ----------
    rows : (n,) int array
        Their places among all.
    Z : (n, q) array
        Random-effects columns, times the roots of the weights.
    Y : (n, p+1) array
        Right-hand sides ``[X y]``, times the roots of the weights.
    effects : (q,) int array
        Places of the block's random effects among all, in the order of elimination.
    parts : tuple of FactorPart
        Of each factor within the block.
    """

    rows: IntArray
    Z: FloatArray
    Y: FloatArray
    effects: IntArray
    parts: tuple[FactorPart, ...]

    def with_response(self, rest: FloatArray) -> RowBlock:
        """The block with another last column of Y, of all rows' (n,)."""
        return replace(self, Y=np.column_stack([self.Y[:, :-1], rest[self.rows]]))


def row_blocks(design: Design, stats: CrossProducts) -> tuple[RowBlock, ...] | None:
    """Cut the rows of a design into blocks, in scaled columns; None where they are too many.

    Levels of the coarsest factor of a chain share no random effects; crossed factors leave one
    block.

    Parameters
    ----------
    design : Design
        With its rows in hand.
    stats : CrossProducts
        Its statistics.
    """
    levels = [design.factors[f].codes for f in stats.factors]
    for place, codes in enumerate(levels):
        if stats.basis(place) is None:
            levels[place] = stats.level_order(place)[codes]
    together = levels[-1] if stats.order.chain and not stats.order.trailing else None
    groups = _groups(together, design.n)
    if _work(levels, groups, stats) > MOST_WORK:
        return None
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    y = design.y if design.offset is None else design.y - design.offset
    X = design.X @ stats.R_x_inverse
    Y = np.column_stack([X, y - design.X @ stats.beta0]) * root[:, None]
    columns = [
        np.hstack(
            [
                Recoded(X=t.X).then(W).rows(slice(None)).T
                for t, W in zip(design.terms, stats.transforms, strict=True)
                if t.factor == f
            ]
        )
        * root[:, None]
        for f in stats.factors
    ]
    return tuple(_block(rows, columns, levels, Y, stats) for rows in groups)


def _groups(together: IntArray | None, n: int) -> list[IntArray]:
    if together is None:
        return [np.arange(n)]
    order = np.argsort(together, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(together[order])) + 1)


def _work(levels: list[IntArray], groups: list[IntArray], stats: CrossProducts) -> float:
    """Operations of an evaluation, without any matrix in hand."""
    n = np.array([len(rows) for rows in groups], dtype=float)
    q = np.zeros(len(groups))
    for place, (codes, part) in enumerate(zip(levels, stats.parts, strict=True)):
        whole = stats.basis(place) is not None or len(groups) == 1
        met = [part.levels] if whole else [len(np.unique(codes[rows])) for rows in groups]
        q += part.k * np.array(met)
    return float(np.sum(_BLOCK_WORK + 2.0 * (n + q) * (2.0 * q + stats.p + 1) ** 2))


def _block(
    rows: IntArray,
    columns: list[FloatArray],
    levels: list[IntArray],
    Y: FloatArray,
    stats: CrossProducts,
) -> RowBlock:
    Z, effects, sizes = [], [], []
    for place, (x, codes, part) in enumerate(zip(columns, levels, stats.parts, strict=True)):
        basis = stats.basis(place)
        if basis is None:
            met, own = np.unique(codes[rows], return_inverse=True)
            weights = np.zeros((len(rows), len(met)))
            weights[np.arange(len(rows)), own] = 1.0
        else:
            met, weights = np.arange(part.levels), basis[codes[rows]]
        Z.append((weights[:, :, None] * x[rows, None, :]).reshape(len(rows), -1))
        effects.append((part.rows.start + met[:, None] * part.k + np.arange(part.k)).ravel())
        sizes.append((part.k, len(met)))
    return RowBlock(
        rows=rows,
        Z=np.hstack(Z),
        Y=Y[rows],
        effects=np.concatenate(effects),
        parts=stacked_parts(sizes),
    )
