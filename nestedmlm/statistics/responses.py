"""Other responses for the same design: only the y columns of the statistics change.

Simulated and bootstrapped responses share everything else, so a thousand refits pass over the
rows of the design once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import DataError
from nestedmlm.statistics.crossproducts import CrossProducts, Sums
from nestedmlm.statistics.kernels.responses import sum_by_level
from nestedmlm.statistics.layout import Tree
from nestedmlm.statistics.scaling import scaled_columns

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_NOTHING_LEFT = 1e-26  # share of the sum of squares that is only rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Responses:
    """The statistics that belong to each of m responses.

    Attributes
    ----------
    stats : CrossProducts
        Of the design, with any response.
    sums : (q, m) array
        ``Z'W (y - X beta0)`` in elimination order: nodes of the chain, then trailing columns.
    products : (p+1, m) array
        The last column of ``[X y]'W[X y]`` for each response.
    beta0 : (p, m) array
        Weighted least-squares coefficients.
    """

    stats: CrossProducts
    sums: FloatArray
    products: FloatArray
    beta0: FloatArray

    @property
    def m(self) -> int:
        """Number of responses."""
        return int(self.products.shape[1])

    def statistics(self, j: int) -> CrossProducts:
        """Return the statistics of the design with response `j`."""
        s = self.stats
        where = response_places(s.tree)
        panels, Qtr, F = s.sums.panels.copy(), s.sums.Qtr.copy(), s.sums.F.copy()
        panels[where] = self.sums[: len(where), j]
        Qtr[:, -1] = self.sums[len(where) :, j]
        F[:, -1] = F[-1, :] = self.products[:, j]
        sums = Sums(panels=panels, Qtt=s.sums.Qtt, Qtr=Qtr, F=F)
        return replace(s, sums=sums, beta0=self.beta0[:, j])


def responses(design: Design, stats: CrossProducts, Y: FloatArray) -> Responses:
    """Reduce m responses to what the likelihood needs of them, in one pass over the rows.

    Parameters
    ----------
    design : Design
    stats : CrossProducts
        ``cross_products(design)``.
    Y : (n, m) array

    Raises
    ------
    DataError
        If the fixed effects reproduce one of the responses exactly.
    """
    w = np.ones(design.n) if design.weights is None else design.weights
    Y = Y if design.offset is None else Y - design.offset[:, None]
    Ri = stats.R_x_inverse
    X = design.X @ Ri
    WX = X * w[:, None]
    beta, resid = np.zeros((stats.p, Y.shape[1])), Y
    for _ in range(2):  # the second round removes the rounding of the first
        step = WX.T @ resid
        beta, resid = beta + step, resid - X @ step
    products = np.vstack([WX.T @ resid, np.einsum("ij,ij,i->j", resid, resid, w)])
    exact = products[-1] <= _NOTHING_LEFT * np.einsum("ij,ij,i->j", Y, Y, w)
    if exact.any():
        raise DataError(
            f"the fixed effects reproduce {int(exact.sum())} of the {Y.shape[1]} responses "
            f"exactly (the first is number {int(np.argmax(exact)) + 1}), so there is no residual "
            "variation to share out between groups"
        )
    return Responses(
        stats=stats, sums=_sums(design, stats, resid, w), products=products, beta0=Ri @ beta
    )


def in_chunks(
    design: Design, stats: CrossProducts, Y: FloatArray, size: int
) -> Iterator[Responses]:
    """Yield `responses` for at most `size` columns at a time, so that memory stays bounded."""
    for at in range(0, Y.shape[1], size):
        yield responses(design, stats, np.ascontiguousarray(Y[:, at : at + size]))


def response_places(tree: Tree) -> IntArray:
    """Where the y column of each chain row stands in the flat panels, in node order."""
    k = np.repeat(tree.K, np.diff(tree.first))
    width = np.diff(tree.pptr) // k
    row_width = np.repeat(width, k)
    out: IntArray = np.cumsum(row_width) - 1
    return out


def _sums(design: Design, stats: CrossProducts, resid: FloatArray, w: FloatArray) -> FloatArray:
    columns, _ = scaled_columns(design, w)
    sizes = np.diff(stats.tree.first)
    rows = [int(k * size) for k, size in zip(stats.tree.K, sizes, strict=True)]
    starts, at = [], 0
    for i, k in enumerate(stats.tree.K.tolist()):
        starts.append(at + k * (stats.node_of_level[i] - stats.tree.first[i]))
        at += rows[i]
    for t, k in enumerate(stats.tree.Kt.tolist()):
        J = len(design.factors[stats.trailing[t]].levels)
        starts.append(at + stats.tree.tfirst[t] + k * np.arange(J))
    out = np.zeros((at + stats.sums.Qtt.shape[0], resid.shape[1]))
    resid = np.ascontiguousarray(resid)
    for f, start in zip(stats.order, starts, strict=True):
        X = np.ascontiguousarray(columns[f])
        sum_by_level(start.astype(np.int64), design.factors[f].codes, X, w, resid, out)
    return out
