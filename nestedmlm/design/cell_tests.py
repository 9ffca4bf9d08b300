"""F tests of the effects of ids and of cells by least squares, from rows or from their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.rows import rows_here
from nestedmlm.design.sums import Sums

IntArray = npt.NDArray[Any]

RANK_TOL = 1e-12  # of squares, relative to the length of a column around its mean
ROUNDING = 1e-14  # share of a column's square that varies, below which it is constant
CONSTANT_TOL = 1e-9  # share of rows by which a combination of columns may miss to be 1 in all


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """Rows, or means of cells and products within them: all that regressions on cells ask.

    Attributes
    ----------
    columns : (m, p + 1) array
        Of the fixed effects, and the response.
    weights : (m,) array
    within : (p + 1, p + 1) array
        Sums of products around the pieces' means; zero of rows.
    n : int
        Number of rows.
    """

    columns: FloatArray
    weights: FloatArray
    within: FloatArray
    n: int


def pieces_of(design: Design) -> Pieces | None:
    """Pieces of a design: its cells where it has sums, else its rows.

    Parameters
    ----------
    design : Design

    Returns
    -------
    Pieces or None
        None of sums that do not count rows, without an intercept in any random-effects term, or
        whose response the fixed effects explain to the last digit.
    """
    return _pieces_of_rows(design) if design.sums is None else _pieces_of_sums(design.sums)


def _pieces_of_rows(design: Design) -> Pieces:
    rows = rows_here(design.rows, "the test of ids that restart")
    w = np.ones(rows.n) if rows.weights is None else rows.weights
    y = rows.y if rows.offset is None else rows.y - rows.offset
    columns = np.column_stack([rows.X, y])
    d = columns.shape[1]
    return Pieces(columns=columns, weights=w, within=np.zeros((d, d)), n=rows.n)


def _pieces_of_sums(sums: Sums) -> Pieces | None:
    cells, some = sums.cells, [*sums.x, -1]
    plain = (cells.total if cells.plain is None else cells.plain)[: cells.kz, : cells.kz]
    ones = np.linalg.lstsq(plain, cells.sums[: cells.kz], rcond=RANK_TOL)[0]
    if abs(ones @ cells.sums[: cells.kz] - cells.tally.n) > CONSTANT_TOL * cells.tally.n:
        return None
    R = np.linalg.qr(sums.root[:, some], mode="r")  # columns of one size, the response without X
    if np.abs(R[-1, -1]) <= RANK_TOL * np.linalg.norm(R[:, -1]):
        return None
    turn = np.linalg.solve(R.T, cells.basis[:, some].T).T
    of_cells = np.tensordot(ones, cells.unpacked(slice(None)), 1)  # sum w c of each cell
    w = ones @ of_cells[: cells.kz]
    columns = (of_cells / w).T @ turn
    within = turn.T @ cells.total @ turn - _products(columns, w)
    return Pieces(columns=columns, weights=w, within=0.5 * (within + within.T), n=cells.tally.n)


def effect_tests(outer: IntArray, inner: IntArray, pieces: Pieces) -> tuple[float, float]:
    """p-values of two F tests by least squares: of ids against cells, of cells against rows.

    The models: fixed effects and parents; and ids; and cells.

    Parameters
    ----------
    outer, inner : (m,) arrays of int
        Parent and id of each piece.
    pieces : Pieces

    Returns
    -------
    own, differ : float
    """
    from scipy.special import fdtrc  # a plain fit does not wait for it

    w, within = pieces.weights, pieces.within
    columns = pieces.columns - np.average(pieces.columns, axis=0, weights=w)
    whole = _squares(pieces.columns, w) + within.diagonal()
    around = _squares(columns, w) + within.diagonal()
    size = np.sqrt(np.where(around > ROUNDING * whole, around, np.where(whole > 0, whole, 1.0)))
    columns, within = columns / size, within / np.outer(size, size)
    ids = int(inner.max()) + 1
    occupied, cell = np.unique(outer.astype(np.int64) * ids + inner, return_inverse=True)
    around_parents = columns - _means(columns, outer, w)[outer]
    around_cells = columns - _means(columns, cell, w)[cell]
    products = _products(around_parents, w) + within
    with_ids = _with_ids(products, around_parents, outer, inner, w)
    rss_parents, rank_parents = _residual(products)
    rss_ids, rank_ids = _residual(with_ids)
    rss_cells, rank_cells = _residual(_products(around_cells, w) + within)
    df_ids = rank_ids - rank_parents
    df_cells = occupied.size + rank_cells - rank_ids - (int(outer.max()) + 1)
    df_rows = pieces.n - occupied.size - rank_cells
    if min(df_ids, df_cells, df_rows) < 1 or rss_cells <= 0.0:
        return 0.0, 1.0
    between = max(rss_ids - rss_cells, RANK_TOL * rss_cells) / df_cells
    own = fdtrc(df_ids, df_cells, max(rss_parents - rss_ids, 0.0) / df_ids / between)
    differ = fdtrc(df_cells, df_rows, between / (rss_cells / df_rows))
    return float(own), float(differ)


def _squares(columns: FloatArray, w: FloatArray) -> FloatArray:
    squares: FloatArray = np.einsum("ij,ij,i->j", columns, columns, w)
    return squares


def _sums(values: FloatArray, group: IntArray) -> FloatArray:
    """Sums of each column over groups, shape (groups, columns)."""
    return np.column_stack([np.bincount(group, weights=column) for column in values.T])


def _means(columns: FloatArray, group: IntArray, w: FloatArray) -> FloatArray:
    return _sums(columns * w[:, None], group) / np.bincount(group, weights=w)[:, None]


def _products(columns: FloatArray, w: FloatArray) -> FloatArray:
    return columns.T @ (columns * w[:, None])


def _with_ids(
    products: FloatArray, centred: FloatArray, outer: IntArray, inner: IntArray, w: FloatArray
) -> FloatArray:
    """Products bordered by those of the ids' indicators, both centred in their parents."""
    ids = int(inner.max()) + 1
    weight = sums_by_cell(outer, inner, ids, w)
    own = np.diag(weight.sum(axis=0)) - (weight.T / weight.sum(axis=1)) @ weight
    size = np.sqrt(weight.sum(axis=0))
    cross = _sums(centred * w[:, None], inner)
    return np.block(
        [[own / np.outer(size, size), cross / size[:, None]], [(cross / size[:, None]).T, products]]
    )


def sums_by_cell(outer: IntArray, inner: IntArray, ids: int, w: npt.NDArray[Any]) -> FloatArray:
    """Sums of weights in each cell, shape (parents, ids)."""
    parents = int(outer.max()) + 1
    cell = outer.astype(np.int64) * ids + inner
    return np.bincount(cell, weights=w, minlength=parents * ids).reshape(parents, ids)


def _residual(products: FloatArray) -> tuple[float, int]:
    """Residual sum of squares of the last column on the others, and their rank."""
    A, b, c = products[:-1, :-1], products[:-1, -1], float(products[-1, -1])
    values, vectors = np.linalg.eigh(A)
    kept = values > RANK_TOL
    explained = (vectors[:, kept].T @ b) ** 2 / values[kept]
    return c - float(explained.sum()), int(kept.sum())
