"""Other responses for the same design: only the y columns of the statistics change.

Simulated and bootstrapped responses share everything else, so a thousand refits pass over the
rows of the design once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.rows import CondensedRows
from nestedmlm.errors import DataError, ResidualStructureError
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.scaling import Recoded, scaled_columns
from nestedmlm.statistics.sufficient_statistics import ROUNDING_SHARE_OF_SQUARES, check_magnitude

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_CHUNK_BYTES = 2**26  # of the responses' sums that are held at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Responses:
    """The statistics that belong to each of m responses.

    Attributes
    ----------
    stats : CrossProducts
        Of the design, with any response.
    sums : tuple of (m, k, J) arrays
        ``Z'W (y - X beta0)`` of each factor, in elimination order.
    products : (p+1, m) array
        The last column of ``[X y]'W[X y]`` for each response.
    beta0 : (p, m) array
        Weighted least-squares coefficients.
    rest : (n, m) array
        ``W^{1/2} (y - X beta0)``, for statistics with their rows.
    """

    stats: CrossProducts
    sums: tuple[FloatArray, ...]
    products: FloatArray
    beta0: FloatArray
    rest: FloatArray

    @property
    def m(self) -> int:
        """Number of responses."""
        return int(self.products.shape[1])

    def statistics(self, j: int) -> CrossProducts:
        """Return the statistics of the design with response `j`."""
        s, chain = self.stats, len(self.stats.order.chain)
        blocks = tuple(b.with_response([x[j] for x in self.sums[:chain]]) for b in s.blocks)
        crossed = s.crossed
        if crossed is not None:
            R = crossed.R.copy()
            R[:, -1] = np.concatenate([x[j].T.ravel() for x in self.sums[chain:]])
            crossed = replace(crossed, R=R)
        F = s.F.copy()
        F[:, -1] = F[-1, :] = self.products[:, j]
        rows = s.row_blocks
        if rows is not None:
            rows = tuple(block.with_response(self.rest[:, j]) for block in rows)
        return replace(
            s, blocks=blocks, crossed=crossed, F=F, beta0=self.beta0[:, j], row_blocks=rows
        )


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
        If the fixed effects reproduce one of the responses exactly, or squares cannot be computed.
    ResidualStructureError
        If the statistics are of residuals that differ or correlate.
    """
    if stats.residual is not None:
        raise ResidualStructureError(
            "many responses at once are not worked out for residuals that differ or correlate: "
            "refit them one by one (fit.refit)"
        )
    check_magnitude("the response", Y)
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
    exact = products[-1] <= ROUNDING_SHARE_OF_SQUARES * np.einsum("ij,ij,i->j", Y, Y, w)
    if exact.any():
        raise DataError(
            f"the fixed effects reproduce {int(exact.sum())} of the {Y.shape[1]} responses "
            f"exactly (the first is number {int(np.argmax(exact)) + 1}), so there is no residual "
            "variation to share out between groups"
        )
    return Responses(
        stats=stats,
        sums=_sums(design, stats, resid, w),
        products=products,
        beta0=Ri @ beta,
        rest=np.sqrt(w)[:, None] * resid if stats.row_blocks is not None else resid[:0],
    )


def in_chunks(
    design: Design, stats: CrossProducts, Y: FloatArray, *, at_once: int = _CHUNK_BYTES
) -> Iterator[Responses]:
    """Yield `responses` for some columns at a time, whose sums take `at_once` bytes at most."""
    size = max(1, at_once // (8 * max(stats.q, len(Y))))
    for at in range(0, Y.shape[1], size):
        yield responses(design, stats, np.ascontiguousarray(Y[:, at : at + size]))


def each_response(design: Design, stats: CrossProducts, Y: FloatArray) -> Iterator[CrossProducts]:
    """Yield the statistics of the design with each column of Y, from one pass over the rows."""
    for some in in_chunks(design, stats, Y):
        yield from map(some.statistics, range(some.m))


def _sums(
    design: Design, stats: CrossProducts, resid: FloatArray, w: FloatArray
) -> tuple[FloatArray, ...]:
    if isinstance(design.rows, CondensedRows):  # scaled as the sums of all rows are
        terms = tuple(
            Recoded(X=t.X).then(W) for t, W in zip(design.terms, stats.transforms, strict=True)
        )
    else:
        terms, _ = scaled_columns(design, w)
    out = []
    for i, f in enumerate(stats.factors):
        codes, basis = design.factors[f].codes, stats.basis(i)
        if basis is None:
            codes = stats.level_order(i)[codes]
        rows = np.argsort(codes, kind="stable")
        met, starts = np.unique(codes[rows], return_index=True)  # of a basis some may have no rows
        Z = np.vstack(
            [z.rows(rows) for z, t in zip(terms, design.terms, strict=True) if t.factor == f]
        )
        R = np.ascontiguousarray(resid[rows].T)
        parts = [np.add.reduceat(R * z, starts, axis=1) for z in Z * w[rows]]
        if basis is not None:
            parts = [part @ basis[met] for part in parts]
        out.append(np.stack(parts, axis=1))
    return tuple(out)
