"""Sufficient statistics of a design, in the layout the elimination works on.

After `cross_products` no cost depends on the number of rows. Which factor is eliminated in which
order is decided in `nestedmlm.statistics.elimination_order`, from the codes alone: a *chain* of
grouping factors, each nested in the next, followed by one dense *trailing* block that holds every
factor crossed with the chain.

Columns are scaled first (`nestedmlm.statistics.scaling`); results are mapped back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.closed_forms import upper_inverse
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.late import late_imports
from nestedmlm.statistics.assembly import sum_crossed, sum_dense, sum_panels
from nestedmlm.statistics.elimination_order import Order, elimination_order, find_entries
from nestedmlm.statistics.forest import LEVELS, Block, cut_into_blocks
from nestedmlm.statistics.memory import DenseBlock
from nestedmlm.statistics.one_thread import thread_for_rows
from nestedmlm.statistics.parts import stacked_parts
from nestedmlm.statistics.scaling import (
    Recoded,
    gram,
    least_squares,
    orthonormal,
    pieces,
    scaled_columns,
)
from nestedmlm.statistics.sparse import ExactOnly, SparseCrossed, largest_first, sparse_crossed
from nestedmlm.statistics.sufficient_statistics import (
    Crossed,
    CrossProducts,
    check_magnitude,
    check_reproduced,
    of_usual_size,
)

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.basis_sums import sum_with_bases
    from nestedmlm.statistics.cells.cell_products import cell_products
else:  # each loads when it is first asked for
    globals().update(
        late_imports(
            "nestedmlm.statistics",
            {"basis_sums": "sum_with_bases", "cells.cell_products": "cell_products"},
        )
    )


__all__ = ["CrossProducts", "Crossed", "cross_products"]


def cross_products(design: Design, *, method: str = "exact") -> CrossProducts:
    """Reduce a design to its sufficient statistics: in one pass over the rows, or over its cells.

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
    if design.sums is not None and (design.rows is None or method != "iterative"):
        return cell_products(design, design.sums, method)
    with thread_for_rows(design.n):
        found = _cross_products(design, method)
    return found if design.sigma is None else replace(found, sigma=design.sigma)


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
    check_magnitude("the response", y)
    check_predictors(design)
    X, R_x = orthonormal(design.X, design.weights)
    x = X.rows(slice(None))
    beta = least_squares(Recoded(X=x.T), y, design.weights)
    Y = np.concatenate([x, (y - beta @ x)[None]])
    F = (Y if design.weights is None else Y * design.weights) @ Y.T
    check_reproduced(F[-1, -1], _sum_of_squares(y, design.weights))
    return CrossProducts(
        n=design.n, p=design.p, order=Order(chain=(), trailing=(), parents=(), node_of_level=()),
        parts=(), blocks=(), crossed=None, F=F, transforms=(),
        **_fixed_effects(design, R_x, beta),
    )  # fmt: skip


def _fixed_effects(design: Design, R_x: FloatArray, beta: FloatArray) -> dict[str, Any]:
    w = design.weights
    return {
        "R_x": R_x,
        "beta0": upper_inverse(R_x) @ beta if design.p else beta,
        "log_det_R": float(np.log(np.abs(R_x.diagonal())).sum()),
        "sum_log_w": 0.0 if w is None else float(np.log(w).sum()),
    }


def _cross_products(
    design: Design, method: str, allowed: Sequence[bool] | None = None
) -> CrossProducts:
    w = design.weights
    y = design.y if design.offset is None else design.y - design.offset
    check_magnitude("the response", y)
    check_predictors(design)
    X, R_x = orthonormal(design.X, w)
    beta = least_squares(X, y, w)
    terms, transforms = scaled_columns(design, w, (X, R_x))
    of_factor = [
        [z for z, t in zip(terms, design.terms, strict=True) if t.factor == f]
        for f in range(len(design.factors))
    ]
    widths = [sum(z.X.shape[1] for z in own) for own in of_factor]
    codes = [f.codes for f in design.factors]
    sizes = [f.effects for f in design.factors]
    bases = [f.basis for f in design.factors]
    with_basis = any(basis is not None for basis in bases)
    order, iterative = _chosen_order(design, codes, sizes, widths, method, allowed)
    K = np.array([widths[f] for f in order.chain])
    J = np.array([sizes[f] for f in order.chain])
    chain = [z for f in order.chain for z in of_factor[f]]

    def columns(rows: Any) -> FloatArray:
        x = X.rows(rows)
        own = [z.size * x if z.is_multiple_of(X) else z.rows(rows) for z in chain]
        return np.concatenate([*own, x, (y[rows] - beta @ x)[None]])

    blocks: tuple[Block, ...] = ()
    nodes = np.zeros(0, dtype=np.int32)
    if order.chain:
        nodes = order.node_of_level[0].astype(np.int32)[codes[order.chain[0]]]
        most = int(J[0]) if order.trailing or allowed is not None else LEVELS
        blocks = cut_into_blocks(K, J, order.parents, len(beta) + 1, most=most)
        F = sum_panels(nodes, order.parents, blocks, columns, w)
    else:
        F = gram(Recoded(X=columns(slice(None)).T), w)
    check_reproduced(F[-1, -1], _sum_of_squares(y, w))
    crossed = others = None
    if order.trailing:
        Y = columns(slice(None))[-len(beta) - 1 :].T
        own = blocks[0].panel(0) if iterative else None
        alone = allowed is None  # rows that do not share a level have nothing in common
        crossed, others = _sum_trailing(design, order, of_factor, Y, nodes, own, alone)
    if others is not None:
        blocks = crossed = cast(Any, ExactOnly())
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
        bases=tuple(bases[f] for f in order.chain + order.trailing) if with_basis else (),
    )


def _sum_trailing(
    design: Design,
    order: Order,
    of_factor: Sequence[Sequence[Any]],
    Y: FloatArray,
    nodes: IntArray,
    own: FloatArray | None,
    alone: bool,
) -> tuple[Crossed | None, SparseCrossed | None]:
    """Sums of what is crossed with the chain: dense, or sparse beside the chain's own panel."""
    factors, w = design.factors, design.weights
    codes, sizes = [f.codes for f in factors], [f.effects for f in factors]
    Z, Zt = (
        [np.vstack([z.rows(slice(None)) for z in of_factor[f]]).T for f in some]
        for some in (order.chain, order.trailing)
    )
    bases = [f.basis for f in factors]
    if any(basis is not None for basis in bases):
        return sum_with_bases(order, codes, sizes, bases, (*Z, *Zt), Y, w, split=alone), None
    tcode = np.stack([codes[f] for f in order.trailing])
    levels = [sizes[f] for f in order.trailing]
    all_w = np.ones(design.n) if w is None else w
    if own is not None:
        return None, sparse_crossed(own, nodes, Z[0], tcode, levels, Zt, Y, all_w)
    J = np.array([sizes[f] for f in order.chain])
    return _crossed(nodes, order.parents, J, Z, tcode, levels, Zt, Y, all_w), None


def _exact_method(method: str) -> str:
    """The exact elimination, which is the only one for factors with a basis."""
    if method == "iterative":
        raise OptionError(
            'method="iterative" is for crossed grouping factors whose levels are independent; '
            "effects of relatives and smooths are eliminated exactly: leave method= out"
        )
    return "exact"


def _chosen_order(
    design: Design,
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    widths: Sequence[int],
    method: str,
    allowed: Sequence[bool] | None,
) -> tuple[Order, bool]:
    """Order of elimination, and whether it is an iterative one."""
    factors = design.factors
    related = any(f.basis is not None for f in factors)
    if related:  # a row meets all columns of a basis: its factor stands in the dense block
        method = _exact_method(method)
        free = [True] * len(factors) if allowed is None else allowed
        allowed = [own and f.basis is None for own, f in zip(free, factors, strict=True)]
    order = elimination_order(codes, sizes, widths, allowed)
    if not order.trailing and method != "iterative":
        return order, False
    dense = DenseBlock(
        factors=tuple(factors[f].name for f in order.trailing),
        columns=sum(sizes[f] * widths[f] for f in order.trailing),
        related=related,
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


def check_predictors(design: Design) -> None:
    """Refuse predictors of a size whose products cannot be computed.

    Parameters
    ----------
    design : Design

    Raises
    ------
    DataError
        If there is one; it names it.
    """
    X = design.X
    if not of_usual_size(X):
        for name, column in zip(design.x_names, X.T, strict=True):
            check_magnitude(f"the predictor {name}", column)
    for term in design.terms:
        if (Z := term.X) is X or of_usual_size(Z):
            continue
        for name, column in zip(term.columns, Z.T, strict=True):
            check_magnitude(f"{name} of ({term.text})", column)


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
