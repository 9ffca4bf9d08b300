"""Precision of the residuals, ``K = W^1/2 R^-1 W^1/2``, and quadratic forms of rows with it.

With ``M = [X Z] C [X Z]'``, C the inverse of Henderson's equations, the matrix that turns y into
fitted values is ``M K``, and what is left of a row that is taken out, all parameters held, rests on
``K - K M K`` (without fixed effects ``V^-1 = K - K Z P Z'K``). Only entries within a block of rows
that correlate are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.inference.rows.joint import (
    ZRows,
    design_rows,
    gls_rows,
    half_solved,
    quadratic_gram,
    random_forms,
    relative_variances,
    z_rows,
)
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.solution import Solution

_ROWS_AT_ONCE = 65_536  # whose random effects are eliminated together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Precision:
    """K, block-diagonal.

    Attributes
    ----------
    diagonal : (n,) array
    blocks : tuple of ((B, k) int array, (B, k, k) array)
        Rows that correlate and K of them; none where no rows do.
    """

    diagonal: FloatArray
    blocks: tuple[tuple[IntArray, FloatArray], ...] = ()

    def times(self, values: FloatArray) -> FloatArray:
        """``K values``, for (n,) or (n, m) values."""
        wide = values.reshape(len(values), -1)
        out = np.empty_like(wide) if self.blocks else wide * self.diagonal[:, None]
        for rows, K in self.blocks:
            out[rows] = K @ wide[rows]
        return out.reshape(values.shape)

    def parts(self, own: IntArray) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Blocks that some rows touch: rows, places of ours among them, K."""
        wanted = np.zeros(len(self.diagonal), dtype=bool)
        wanted[own] = True
        for rows, K in self.blocks:
            inside = wanted[rows]
            for b in np.flatnonzero(inside.any(axis=1)):
                yield rows[b], np.flatnonzero(inside[b]), K[b]


def precision(solution: Solution, design: Design) -> Precision:
    """K of a fit."""
    w = np.ones(design.n) if design.weights is None else design.weights
    at = solution.stats.residual
    if at is None:
        return Precision(diagonal=w)
    if at.model.structure is None:
        return Precision(diagonal=w / at.model.row_sd(at.free) ** 2)
    diagonal, blocks, root = np.empty(design.n), [], np.sqrt(w)
    for rows, R in at.model.matrices(at.free):
        own = root[rows]
        K = np.linalg.inv(R) * own[:, :, None] * own[:, None, :]
        diagonal[rows] = np.einsum("bkk->bk", K)
        blocks.append((rows, K))
    return Precision(diagonal=diagonal, blocks=tuple(blocks))


def residual_variances(solution: Solution, design: Design) -> FloatArray:
    """Variance of each row's residual over sigma^2: ``R_ii / w_i``."""
    w = np.ones(design.n) if design.weights is None else design.weights
    at = solution.stats.residual
    out: FloatArray = (1.0 if at is None else at.model.row_sd(at.free) ** 2) / w
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowForms:
    """Quadratic forms of each row.

    Attributes
    ----------
    precision : (n,) array
        ``K_ii``.
    leverage : (n,) array
        ``(M K)_ii``.
    shared : (n,) array
        ``(K M K)_ii``.
    """

    precision: FloatArray
    leverage: FloatArray
    shared: FloatArray


def row_forms(solution: Solution, design: Design, *, fixed: bool = True) -> RowForms:
    """Quadratic forms of each row of the fit.

    Parameters
    ----------
    solution, design : Solution, Design
    fixed : bool
        Whether M has the fixed effects; without them it is ``Z P Z'``.
    """
    K = precision(solution, design)
    if not K.blocks:
        M = _relative(solution, design, fixed)
        return RowForms(precision=K.diagonal, leverage=K.diagonal * M, shared=K.diagonal**2 * M)
    leverage, shared = np.empty(design.n), np.empty(design.n)
    places = z_rows(solution, design_rows(design)) if design.terms else None
    for rows, own in K.blocks:
        step = max(1, _ROWS_AT_ONCE // rows.shape[1])
        for at in range(0, len(rows), step):
            some, inverse = rows[at : at + step], own[at : at + step]
            M = _grams(solution, design, places, some, fixed)
            MK = M @ inverse
            leverage[some] = np.einsum("bkk->bk", MK)
            shared[some] = np.einsum("bij,bji->bi", inverse, MK)
    return RowForms(precision=K.diagonal, leverage=leverage, shared=shared)


def _relative(solution: Solution, design: Design, fixed: bool) -> FloatArray:
    if fixed:
        return relative_variances(solution, design.X, design_rows(design))
    if not design.terms:
        return np.zeros(design.n)
    return random_forms(solution, z_rows(solution, design_rows(design)))


def _grams(
    solution: Solution, design: Design, places: ZRows | None, rows: IntArray, fixed: bool
) -> FloatArray:
    """M of some blocks of rows, (B, k, k)."""
    B, k = rows.shape
    out = np.zeros((B, k, k))
    X, p = design.X[rows.ravel()], solution.stats.p
    if places is not None:
        some = places[rows.ravel()]
        half = half_solved(solution, some)
        for b in range(B):
            out[b] = quadratic_gram(solution, half, slice(b * k, (b + 1) * k))
    if fixed and p:
        d = (
            np.linalg.solve(solution.stats.R_x.T, X.T).T
            if places is None
            else gls_rows(solution, X, some)[:, :-1]
        ).reshape(B, k, p)
        out += d @ profile(solution.state.S).inverse[:-1, :-1] @ d.transpose(0, 2, 1)
    return out
