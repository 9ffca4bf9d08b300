"""Sufficient statistics of a design, in the layout the elimination works on.

After `cross_products` no cost depends on the number of rows. Which factor is eliminated in which
order is decided in `nestedmlm.statistics.layout`, from the codes alone: a *chain* of grouping
factors, each nested in the next, followed by one dense *trailing* block that holds every factor
crossed with the chain.

Columns are scaled first (`nestedmlm.statistics.scaling`); results are mapped back exactly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import DataError, MemoryLimitError
from nestedmlm.statistics.kernels.assembly import accumulate
from nestedmlm.statistics.layout import Layout, Tree, elimination_order, lay_out
from nestedmlm.statistics.scaling import least_squares, orthonormal, scaled_columns

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_NOTHING_LEFT = 1e-26  # share of the sum of squares that is only rounding


class Sums(NamedTuple):
    """Weighted sums of products: float64, in the order in which compiled code takes them.

    Attributes
    ----------
    panels : flat array
        Per node ``[Q | ancestors | trailing | X y]``, row-major, from `Tree.pptr` on.
    Qtt, Qtr : (q_t, q_t) and (q_t, p+1) arrays
        The trailing block and its right-hand sides.
    F : (p+1, p+1) array
        ``[X y]'W[X y]``.
    """

    panels: FloatArray
    Qtt: FloatArray
    Qtr: FloatArray
    F: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossProducts:
    """Everything the likelihood needs, and how to get back to the user's units.

    Attributes
    ----------
    n, p : int
        Rows and (full-rank) fixed-effects columns.
    chain, trailing : tuple of int
        Indices into ``design.factors`` in elimination order.
    tree : Tree
        Structure of the elimination.
    sums : Sums
        Sums of products, laid out by it.
    transforms : tuple of (k, k) arrays
        ``W_t`` of each term, in the order of ``design.terms``.
    R_x : (p, p) array
        Triangular factor of the weighted X; ``beta = beta0 + R_x^{-1} beta_scaled``.
    beta0 : (p,) array
        Weighted least-squares coefficients (offset subtracted).
    log_det_R, sum_log_w : float
        ``log|det R_x|`` and the sum of log weights.
    node_of_level : tuple of int64 arrays
        For each chain factor, the node of each of its levels.
    """

    n: int
    p: int
    chain: tuple[int, ...]
    trailing: tuple[int, ...]
    tree: Tree
    sums: Sums
    transforms: tuple[FloatArray, ...]
    R_x: FloatArray
    beta0: FloatArray
    log_det_R: float
    sum_log_w: float
    node_of_level: tuple[IntArray, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Indices into ``design.factors`` in elimination order."""
        return self.chain + self.trailing

    @property
    def R_x_inverse(self) -> FloatArray:
        """Inverse of `R_x`; (0, 0) without fixed effects."""
        return np.linalg.inv(self.R_x)


def cross_products(design: Design) -> CrossProducts:
    """Reduce a design to its sufficient statistics in one pass over the rows.

    Parameters
    ----------
    design : Design
        From `nestedmlm.design.design.build_design`.

    Raises
    ------
    DataError
        If the fixed effects leave nothing of the response.
    MemoryLimitError
        If the dense block of crossed factors would not fit in memory.
    """
    n, p = design.X.shape
    w = np.ones(n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    X, R_x = orthonormal(design.X, w)
    beta_scaled, resid = least_squares(X, y, w)
    if float(np.sum(w * resid**2)) <= _NOTHING_LEFT * float(np.sum(w * y**2)):
        raise DataError(
            "the fixed effects reproduce the response exactly, so there is no residual variation "
            "to share out between groups; drop fixed effects or check the response"
        )
    beta0 = np.linalg.solve(R_x, beta_scaled) if p else np.zeros(0)
    columns, transforms = scaled_columns(design, w)
    codes = [f.codes for f in design.factors]
    sizes = [len(f.levels) for f in design.factors]
    chain, trailing, parents = elimination_order(codes, sizes, [c.shape[1] for c in columns])
    _refuse_what_does_not_fit(design, trailing, columns)
    Y = np.column_stack([X, resid])
    layout = lay_out(codes, sizes, columns, chain, trailing, parents, p + 1)
    panels, Qtt, Qtr = _accumulate(layout, columns, chain, trailing, Y, w)
    return CrossProducts(
        n=n,
        p=p,
        chain=chain,
        trailing=trailing,
        tree=layout.tree,
        sums=Sums(panels=panels, Qtt=Qtt, Qtr=Qtr, F=(Y.T * w) @ Y),
        transforms=transforms,
        R_x=R_x,
        beta0=beta0,
        log_det_R=float(np.sum(np.log(np.abs(np.diag(R_x))))),
        sum_log_w=0.0 if design.weights is None else float(np.sum(np.log(w))),
        node_of_level=layout.node_of_level,
    )


def _refuse_what_does_not_fit(
    design: Design, trailing: Sequence[int], columns: Sequence[FloatArray]
) -> None:
    q = sum(len(design.factors[f].levels) * columns[f].shape[1] for f in trailing)
    if q == 0:
        return
    needed = 5 * 8 * q * q  # the block, its factor, inverse and two products live at once
    free = available_memory()
    if needed > free:
        names = ", ".join(design.factors[f].name for f in trailing)
        raise MemoryLimitError(
            f"the crossed grouping factors ({names}) need a dense block of {q:,} x {q:,} numbers, "
            f"about {needed / 2**30:,.1f} GiB in all, and {free / 2**30:,.1f} GiB are free. Drop a "
            "crossed factor or its slopes, or group its rare levels together."
        )


def available_memory() -> int:
    """Bytes of memory that can still be used, as far as the operating system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as info:  # noqa: PTH123
            for line in info:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return 2**62


def _accumulate(
    layout: Layout,
    columns: Sequence[FloatArray],
    chain: Sequence[int],
    trailing: Sequence[int],
    Y: FloatArray,
    w: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, r = Y.shape
    tree = layout.tree
    panels = np.zeros(int(tree.pptr[-1]))
    Qtt = np.zeros((layout.q_t, layout.q_t))
    Qtr = np.zeros((layout.q_t, r))
    Z = _side_by_side([columns[f] for f in chain], n)
    Zt = _side_by_side([columns[f] for f in trailing], n)
    xoff = (np.cumsum(tree.K) - tree.K).astype(np.int64)
    toff = (np.cumsum(tree.Kt) - tree.Kt).astype(np.int64)
    accumulate(
        tree.K, layout.node, tree.pptr, layout.width, layout.entry, layout.tcode, tree.Kt,
        xoff, toff, Z, Zt, np.ascontiguousarray(Y), w, panels, Qtt, Qtr, tree.tfirst,
    )  # fmt: skip
    return panels, Qtt, Qtr


def _side_by_side(parts: Sequence[FloatArray], n: int) -> FloatArray:
    return np.ascontiguousarray(np.hstack(parts)) if parts else np.zeros((n, 0))
