"""Sufficient statistics of a design, in the layout the elimination works on.

After `cross_products` no cost depends on the number of rows. Which factor is eliminated in which
order is decided in `nestedmlm.statistics.elimination_order`, from the codes alone: a *chain* of
grouping factors, each nested in the next, followed by one dense *trailing* block that holds every
factor crossed with the chain.

Columns are scaled first (`nestedmlm.statistics.scaling`); results are mapped back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import DataError, OptionError, ResidualStructureError
from nestedmlm.statistics.assembly import sum_crossed, sum_dense, sum_panels
from nestedmlm.statistics.elimination_order import Order, elimination_order, find_entries
from nestedmlm.statistics.forest import LEVELS, Block, Entries, cut_into_blocks
from nestedmlm.statistics.leaf_levels import LeafLevels
from nestedmlm.statistics.memory import DenseBlock
from nestedmlm.statistics.one_thread import thread_for_rows
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.scaling import least_squares, orthonormal, pieces, scaled_columns
from nestedmlm.statistics.sparse import ExactOnly, SparseCrossed, largest_first, sparse_crossed

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.pair_sums import ResidualAt

_SMALLEST, _LARGEST = 1e-140, 1e70  # sizes of responses and predictors: products are finite
_ROUNDING_SHARE_OF_SQUARES = 1e-26  # share of the sum of squares that is only rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossed:
    """The dense block of factors that are crossed with the chain.

    Attributes
    ----------
    parts : tuple of FactorPart
        Of the crossed factors; rows count from the block's first column.
    Q, R : (q, q) and (q, r) arrays
        Weighted sums of products, and with the right-hand sides.
    entries : Entries
        Which levels of the chain meet which columns.
    values : array
        Sums of products of the chain with the block, (k, E) factor after factor, flat.
    """

    parts: tuple[FactorPart, ...]
    Q: FloatArray
    R: FloatArray
    entries: Entries
    values: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossProducts:
    """Everything the likelihood needs, and how to get back to the user's units.

    Attributes
    ----------
    n, p : int
        Rows and (full-rank) fixed-effects columns.
    order : Order
        Which factor is eliminated when.
    parts : tuple of FactorPart
        Of each factor, in the order of elimination.
    blocks : tuple of Block
        The chain's panels.
    crossed : Crossed or None
        What is crossed with the chain.
    F : (p+1, p+1) array
        ``[X y]'W[X y]``.
    transforms : tuple of (k, k) arrays
        ``W_t`` of each term, in the order of ``design.terms``.
    R_x : (p, p) array
        Triangular factor of the weighted X; ``beta = beta0 + R_x^{-1} beta_scaled``.
    beta0 : (p,) array
        Weighted least-squares coefficients (offset subtracted).
    log_det_R, sum_log_w : float
        ``log|det R_x|`` and the sum of log weights.
    sparse : SparseCrossed or None
        In place of `blocks` and `crossed`, where the elimination is iterative.
    leaves : LeafLevels or None
        The same sums with a smaller dense block, while an optimum is looked for (`with_leaves`).
    residual : ResidualAt or None
        Where residuals differ or correlate: their covariance, which is in all sums.
    """

    n: int
    p: int
    order: Order
    parts: tuple[FactorPart, ...]
    blocks: tuple[Block, ...]
    crossed: Crossed | None
    F: FloatArray
    transforms: tuple[FloatArray, ...]
    R_x: FloatArray
    beta0: FloatArray
    log_det_R: float
    sum_log_w: float
    sparse: SparseCrossed | None = None
    leaves: LeafLevels | None = None
    residual: ResidualAt | None = None

    @property
    def factors(self) -> tuple[int, ...]:
        """Indices into ``design.factors`` in elimination order."""
        return self.order.chain + self.order.trailing

    @property
    def q(self) -> int:
        """Number of random effects."""
        return self.parts[-1].rows.stop if self.parts else 0

    @property
    def chain_parts(self) -> tuple[FactorPart, ...]:
        """Parts of the chain's factors, which come first."""
        return self.parts[: len(self.order.chain)]

    def level_order(self, place: int) -> IntArray:
        """Where each of the user's levels stands in the order of elimination.

        `place` is the factor's, in that order; only the chain's levels are put into another one.
        """
        nodes = self.order.node_of_level
        return nodes[place] if place < len(nodes) else np.arange(self.parts[place].levels)

    @property
    def R_x_inverse(self) -> FloatArray:
        """Inverse of `R_x`; (0, 0) without fixed effects."""
        return np.linalg.inv(self.R_x)


def _check_magnitude(what: str, values: FloatArray) -> None:
    """Refuse numbers whose products leave the range of double precision.

    Raises
    ------
    DataError
    """
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if 0.0 < largest < _SMALLEST or largest > _LARGEST:
        raise DataError(
            f"{what} is of size {largest:.1e}: its squares and their products are too "
            f"{'large' if largest > 1.0 else 'small'} to compute with; give it in other units "
            "(divide it by its standard deviation)"
        )


def cross_products(design: Design, *, method: str = "exact") -> CrossProducts:
    """Reduce a design to its sufficient statistics in one pass over the rows.

    Parameters
    ----------
    design : Design
        From `nestedmlm.design.design.build_design`.
    method : {"exact", "iterative", "auto"}
        For which elimination; ``"auto"``: exact where the dense block of crossed factors fits.

    Raises
    ------
    DataError
        If the fixed effects leave nothing of the response, or numbers are of a size whose products
        cannot be computed.
    MemoryLimitError
        If the dense block of crossed factors would not fit in memory.
    OptionError
        If nothing is crossed that an iterative elimination could take.
    ResidualStructureError
        If the residuals have a structure: what asks for these sums does not know it.
    """
    if design.residual is not None:
        raise ResidualStructureError(
            "this is not worked out for residuals that differ or correlate (dispersion=, "
            "residual=): ask it of the model without them"
        )
    with thread_for_rows(design.n):
        return _cross_products(design, method)


def nested_cross_products(design: Design, allowed: Sequence[bool]) -> CrossProducts:
    """Sums of a design as if its residuals had no structure, in the layout for one.

    Parameters
    ----------
    design : Design
        May be without random effects.
    allowed : sequence of bool
        Which grouping factors may stand in the chain, which comes in one block.
    """
    if design.factors:
        with thread_for_rows(design.n):
            return _cross_products(design, "exact", allowed)
    y = design.y if design.offset is None else design.y - design.offset
    _check_magnitudes(design, y)
    X, R_x = orthonormal(design.X, design.weights)
    beta = least_squares(X, y, design.weights)
    x = X.rows(slice(None))
    Y = np.concatenate([x, (y - beta @ x)[None]])
    F = (Y if design.weights is None else Y * design.weights) @ Y.T
    _check_variation(F, y, design.weights)
    return CrossProducts(
        n=design.n, p=design.p, order=Order(chain=(), trailing=(), parents=(), node_of_level=()),
        parts=(), blocks=(), crossed=None, F=F, transforms=(),
        **_fixed_effects(design, R_x, beta),
    )  # fmt: skip


def _fixed_effects(design: Design, R_x: FloatArray, beta: FloatArray) -> dict[str, Any]:
    w = design.weights
    return {
        "R_x": R_x,
        "beta0": np.linalg.solve(R_x, beta) if design.p else beta,
        "log_det_R": float(np.log(np.abs(R_x.diagonal())).sum()),
        "sum_log_w": 0.0 if w is None else float(np.log(w).sum()),
    }


def _check_variation(F: FloatArray, y: FloatArray, w: FloatArray | None) -> None:
    if F[-1, -1] <= _ROUNDING_SHARE_OF_SQUARES * _sum_of_squares(y, w):
        raise DataError(
            "the fixed effects reproduce the response exactly, so there is no residual variation "
            "to share out between groups; drop fixed effects or check the response"
        )


def _cross_products(
    design: Design, method: str, allowed: Sequence[bool] | None = None
) -> CrossProducts:
    w = design.weights
    y = design.y if design.offset is None else design.y - design.offset
    _check_magnitudes(design, y)
    X, R_x = orthonormal(design.X, w)
    beta = least_squares(X, y, w)
    terms, transforms = scaled_columns(design, w, (X, R_x))
    of_factor = [
        [z for z, t in zip(terms, design.terms, strict=True) if t.factor == f]
        for f in range(len(design.factors))
    ]
    widths = [sum(z.X.shape[1] for z in own) for own in of_factor]
    codes = [f.codes for f in design.factors]
    sizes = [len(f.levels) for f in design.factors]
    names = [f.name for f in design.factors]
    order, iterative = _chosen_order(method, codes, sizes, widths, names, allowed)
    K = np.array([widths[f] for f in order.chain])
    J = np.array([sizes[f] for f in order.chain])
    chain = [z for f in order.chain for z in of_factor[f]]

    def columns(rows: Any) -> FloatArray:
        x = X.rows(rows)
        own = [z.size * x if z.is_multiple_of(X) else z.rows(rows) for z in chain]
        return np.concatenate([*own, x, (y[rows] - beta @ x)[None]])

    nodes = order.node_of_level[0].astype(np.int32)[codes[order.chain[0]]]
    most = int(J[0]) if order.trailing or allowed is not None else LEVELS
    blocks = cut_into_blocks(K, J, order.parents, len(beta) + 1, most=most)
    F = sum_panels(nodes, order.parents, blocks, columns, w)
    _check_variation(F, y, w)
    crossed = others = None
    if order.trailing:
        whole = slice(None)
        Z, Zt = (
            [np.vstack([z.rows(whole) for z in of_factor[f]]).T for f in some]
            for some in (order.chain, order.trailing)
        )
        Y = columns(whole)[-len(beta) - 1 :].T
        tcode = np.stack([codes[f] for f in order.trailing])
        levels = [sizes[f] for f in order.trailing]
        all_w = np.ones(design.n) if w is None else w
        if iterative:
            own = blocks[0].panel(0)
            others = sparse_crossed(own, nodes, Z[0], tcode, levels, Zt, Y, all_w)
            blocks = crossed = cast(Any, ExactOnly())
        else:
            crossed = _crossed(nodes, order.parents, J, Z, tcode, levels, Zt, Y, all_w)
    return CrossProducts(
        n=design.n,
        p=design.p,
        order=order,
        parts=stacked_parts((widths[f], sizes[f]) for f in order.chain + order.trailing),
        blocks=blocks,
        crossed=crossed,
        F=F,
        transforms=transforms,
        **_fixed_effects(design, R_x, beta),
        sparse=others,
    )


def _chosen_order(
    method: str,
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    widths: Sequence[int],
    names: Sequence[str],
    allowed: Sequence[bool] | None = None,
) -> tuple[Order, bool]:
    """Order of elimination, and whether it is an iterative one."""
    order = elimination_order(codes, sizes, widths, allowed)
    dense = DenseBlock(
        factors=tuple(names[f] for f in order.trailing),
        columns=sum(sizes[f] * widths[f] for f in order.trailing),
    )
    if method == "exact":
        dense.refuse_what_does_not_fit()
    if method == "exact" or (method == "auto" and dense.fits()):
        return order, False
    if not order.trailing:
        raise OptionError(
            'method="iterative" is for crossed grouping factors; these are nested in one '
            "another, and the exact elimination takes time and memory in proportion to their "
            "levels"
        )
    return largest_first(codes, sizes, widths), True


def _check_magnitudes(design: Design, y: FloatArray) -> None:
    """Refuse a response and predictors of a size whose products cannot be computed."""
    _check_magnitude("the response", y)
    for name, column in zip(design.x_names, design.X.T, strict=True):
        _check_magnitude(f"the predictor {name}", column)
    for term in design.terms:
        for name, column in zip(term.columns, term.X.T, strict=True):
            _check_magnitude(f"{name} of ({term.text})", column)


def _sum_of_squares(y: FloatArray, w: FloatArray | None) -> float:
    return sum(
        float(np.dot(y[piece] if w is None else w[piece] * y[piece], y[piece]))
        for piece in pieces(0, len(y))
    )


def _crossed(
    nodes: IntArray,
    parents: Sequence[IntArray],
    J: IntArray,
    Z: Sequence[FloatArray],
    tcode: IntArray,
    levels: Sequence[int],
    Zt: Sequence[FloatArray],
    Y: FloatArray,
    w: FloatArray,
) -> Crossed:
    K = np.array([z.shape[1] for z in Z])
    Kt = np.array([z.shape[1] for z in Zt])
    parts = stacked_parts(zip(Kt.tolist(), levels, strict=True))
    first, q = np.array([part.rows.start for part in parts]), parts[-1].rows.stop
    entries, entry = find_entries(nodes, parents, K, J, tcode, Kt, first, q)
    cuts = entries.first.tolist()
    ups = [entries.up[a:b] for a, b in pairwise(cuts)]
    Q, R = sum_dense(tcode, Kt, first, q, Zt, Y, w)
    values = sum_crossed(entry, ups, np.diff(cuts).tolist(), Z, Zt, w)
    return Crossed(parts=parts, Q=Q, R=R, entries=entries, values=values)
