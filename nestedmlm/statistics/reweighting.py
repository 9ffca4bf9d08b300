"""Sums of products at weights that change: sparse maps from weights to panels, made once.

Penalised iteratively reweighted least squares asks for ``Z'WZ`` and ``Z'WX`` at other weights in
every step. Each sum is linear in the weights, so a sparse matrix, made once for a design, gives
all panels of the chain, its crossed parts and the dense block; its transpose takes a symmetric
matrix on that pattern to the rows' quadratic forms ``z'P z``. For many rows the matrix is a product
of two (`nestedmlm.statistics.panel_maps`).

Columns are scaled as those of `nestedmlm.statistics.crossproducts`, with weights of one, and by a
unit of the linear predictor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.crossproducts import Crossed, CrossProducts, check_predictors
from nestedmlm.statistics.elimination_order import Order, elimination_order, find_entries
from nestedmlm.statistics.forest import LEVELS, Block, Entries, cut_into_blocks
from nestedmlm.statistics.memory import DenseBlock
from nestedmlm.statistics.panel_maps import Triplets, add_node_panels, add_panels, node_products
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.scaling import orthonormal, scaled_columns

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reweighting:
    """Columns of a design and the maps from weights to sums of their products.

    Attributes
    ----------
    empty : CrossProducts
        Order, parts, transforms and everything else that weights do not change.
    X : (n, p) array
        Fixed-effects columns with ``X'X / n`` the identity, times the unit's square.
    Z, Zt : sparse (n, q) and (q, n)
        Random-effects columns in the order of elimination, scaled, and their transpose.
    sums : tuple of sparse matrices
        One after another they take weights to all sums of products, flat: the panels of block
        after block without right-hand sides, the crossed parts, the dense block.
    forms : tuple of sparse matrices
        Their transposes, the last first.
    twice : (entries,) array
        2 where an entry stands for itself and its mirror image, else 1.
    blocks : mapping of int to tuple of Block
        Empty blocks by their number of right-hand sides.
    levels, columns : tuples of (n,) and (n, k) arrays
        For each factor in the order of elimination, the level of every row, and its scaled columns.
    """

    empty: CrossProducts
    X: FloatArray
    Z: Any
    Zt: Any
    sums: tuple[Any, ...]
    forms: tuple[Any, ...]
    twice: FloatArray
    blocks: Mapping[int, tuple[Block, ...]]
    levels: tuple[IntArray, ...]
    columns: tuple[FloatArray, ...]

    @property
    def parts(self) -> tuple[FactorPart, ...]:
        """Parts of the factors in stacked vectors."""
        return self.empty.parts

    def at(self, w: FloatArray, R: FloatArray, F: FloatArray | None = None) -> CrossProducts:
        """Sums of products at weights.

        Parameters
        ----------
        w : (n,) array
            May be negative.
        R : (n, r) array
            Right-hand sides, weighted already.
        F : (r, r) array, optional
            Their products with one another; zero if they do not matter.

        Returns
        -------
        CrossProducts
        """
        r = R.shape[1]
        flat, right = _applied(self.sums, w), self.Zt @ R
        chain = len(self.empty.order.chain)
        own = [part.by_level(right).transpose(1, 2, 0) for part in self.parts[:chain]]
        blocks, low = [], 0
        for template in self.blocks[r]:
            block = replace(template, panels=np.empty(int(template.shape.panel[-1])))
            for i, levels in enumerate(block.levels):
                panel = block.panel(i)
                k, width, J = panel.shape
                high = low + k * (width - r) * J
                panel[:, : width - r] = flat[low:high].reshape(k, width - r, J)
                panel[:, width - r :] = own[i][..., levels]
                low = high
            blocks.append(block)
        crossed = self.empty.crossed
        if crossed is not None:
            middle = low + len(crossed.values)
            q = len(crossed.Q)
            crossed = replace(
                crossed,
                values=flat[low:middle],
                Q=flat[middle:].reshape(q, q),
                R=right[self.parts[chain].rows.start :],
            )
        return replace(
            self.empty,
            blocks=tuple(blocks),
            crossed=crossed,
            F=np.zeros((r, r)) if F is None else F,
        )

    def row_forms(self, P: FloatArray) -> FloatArray:
        """``z_i'P z_i`` of every row, for a symmetric matrix on the pattern of the sums."""
        return _applied(self.forms, self.twice * P)


def reweighting(design: Design, unit: float = 1.0) -> Reweighting:
    """Scale the columns of a design and make its maps.

    Parameters
    ----------
    design : Design
    unit : float
        What all columns are multiplied by: a linear predictor of that size has coefficients near 1.

    Returns
    -------
    Reweighting

    Raises
    ------
    DataError
        If predictors are of a size whose products cannot be computed.
    MemoryLimitError
        If the dense block of crossed factors would not fit in memory.
    """
    check_predictors(design)
    n, p = design.n, design.p
    recoded, R_x = orthonormal(design.X, None)
    # column after column: loops read its rows
    X = recoded.rows(slice(None)).T * (unit * math.sqrt(n))
    terms, transforms = scaled_columns(design, None, (recoded, R_x))
    columns = _columns_of_factors(design, [term.times(unit) for term in terms])
    codes = [f.codes for f in design.factors]
    sizes = [len(f.levels) for f in design.factors]
    widths = [z.shape[1] for z in columns]
    order = elimination_order(codes, sizes, widths)
    DenseBlock(
        factors=tuple(design.factors[f].name for f in order.trailing),
        columns=sum(sizes[f] * widths[f] for f in order.trailing),
    ).refuse_what_does_not_fit()
    factors = order.chain + order.trailing
    parts = stacked_parts((widths[f], sizes[f]) for f in factors)
    nodes = _nodes(order, codes)
    Z = [columns[f] for f in factors]
    places = [*nodes, *(codes[f].astype(np.int64) for f in order.trailing)]
    K = np.array([widths[f] for f in order.chain])
    J = np.array([sizes[f] for f in order.chain])
    most = int(J[0]) if order.trailing else LEVELS
    blocks = {r: cut_into_blocks(K, J, order.parents, r, most=most) for r in sorted({0, 1, p + 1})}
    maps = _maps(order, parts, nodes, places, Z, blocks[0])
    Zt = _transposed_z(n, parts, places, Z)
    return Reweighting(
        empty=CrossProducts(
            n=n,
            p=p,
            order=order,
            parts=parts,
            blocks=blocks[0],
            crossed=maps.crossed,
            F=np.zeros((0, 0)),
            transforms=tuple(W * unit for W in transforms),
            R_x=R_x / (unit * math.sqrt(n)),
            beta0=np.zeros(p),
            log_det_R=0.0,
            sum_log_w=0.0,
        ),
        X=X,
        Z=Zt.T.tocsr(),
        Zt=Zt,
        sums=maps.sums,
        forms=tuple(matrix.T.tocsr() for matrix in reversed(maps.sums)),
        twice=maps.twice,
        blocks=blocks,
        levels=tuple(places),
        columns=tuple(Z),
    )


class _Maps(NamedTuple):
    """From weights to sums, the mirrored entries among these, and the empty crossed parts."""

    sums: tuple[Any, ...]
    twice: FloatArray
    crossed: Crossed | None


def _maps(
    order: Order,
    parts: Sequence[FactorPart],
    nodes: Sequence[IntArray],
    places: Sequence[IntArray],
    Z: Sequence[FloatArray],
    blocks: tuple[Block, ...],
) -> _Maps:
    """By rows; for many rows of a chain alone by levels of its first factor, then by rows."""
    n, chain = len(nodes[0]), Z[: len(order.chain)]
    by_node = None if order.trailing else node_products(chain, n, parts[0].levels)
    if by_node is not None:
        made = Triplets(by_node.count)
        add_node_panels(made, blocks, order.parents, by_node)
        return _Maps((by_node.matrix(nodes[0]), made.matrix()), np.concatenate(made.twice), None)
    made = Triplets(n)
    add_panels(made, blocks, nodes, Z)
    crossed = _add_crossed(made, order, parts, nodes, places, Z) if order.trailing else None
    return _Maps((made.matrix(),), np.concatenate(made.twice), crossed)


def _columns_of_factors(design: Design, terms: Sequence[Any]) -> list[FloatArray]:
    """The scaled columns of each factor's terms side by side."""
    pairs = list(zip(terms, design.terms, strict=True))
    return [
        np.vstack([z.rows(slice(None)) for z, t in pairs if t.factor == f]).T
        for f in range(len(design.factors))
    ]


def _applied(maps: Sequence[Any], x: FloatArray) -> FloatArray:
    """Matrices times a vector, one after another."""
    for matrix in maps:
        x = matrix @ x
    return x


def _nodes(order: Order, codes: Sequence[IntArray]) -> list[IntArray]:
    """Level of every chain factor in each row, in the order of elimination."""
    nodes = [order.node_of_level[0][codes[order.chain[0]]]]
    for up in order.parents:
        nodes.append(up[nodes[-1]])
    return nodes


def _add_crossed(
    made: Triplets,
    order: Order,
    parts: Sequence[FactorPart],
    nodes: Sequence[IntArray],
    places: Sequence[IntArray],
    Z: Sequence[FloatArray],
) -> Crossed:
    """Products of the chain with the crossed factors, and of those with one another."""
    m = len(order.chain)
    own = stacked_parts((part.k, part.levels) for part in parts[m:])
    q = own[-1].rows.stop
    K, J = (np.array([getattr(part, name) for part in parts[:m]]) for name in ("k", "levels"))
    Kt = np.array([part.k for part in own])
    first = np.array([part.rows.start for part in own])
    tcode = np.stack(places[m:])
    entries, entry = find_entries(nodes[0], order.parents, K, J, tcode, Kt, first, q)
    counts = np.diff(entries.first).tolist()
    ups = [entries.up[low:high] for low, high in pairwise(entries.first.tolist())]
    at = [(entry[t] + c, Z[m + t][:, c]) for t in range(len(own)) for c in range(Kt[t])]
    for i in range(m):
        for there, z in at:
            for a in range(K[i]):
                made.add(made.size + a * counts[i] + there, Z[i][:, a] * z)
        made.grow(np.full(K[i] * counts[i], 2.0))
        at = [(ups[i][there], z) for there, z in at] if i + 1 < m else at
    dense = [
        (first[t] + tcode[t] * Kt[t] + c, Z[m + t][:, c])
        for t in range(len(own))
        for c in range(Kt[t])
    ]
    for row, z in dense:
        for column, other in dense:
            made.add(made.size + row * q + column, z * other)
    made.grow(np.ones(q * q))
    return Crossed(
        parts=own,
        Q=np.zeros((q, q)),
        R=np.zeros((q, 0)),
        entries=Entries(*entries),
        values=np.zeros(int(entries.value[-1])),
    )


def _transposed_z(
    n: int, parts: Sequence[FactorPart], places: Sequence[IntArray], Z: Sequence[FloatArray]
) -> Any:
    """``Z'`` with all factors stacked."""
    made = Triplets(n)
    for part, level, z in zip(parts, places, Z, strict=True):
        for a in range(part.k):
            made.add(part.rows.start + level * part.k + a, z[:, a])
    made.grow(np.ones(parts[-1].rows.stop))
    return made.matrix()
