"""Condensed rows: as few rows as have the sums of all, and the distribution of all.

A rotation of the rows of a cell, ``Q'[Z_g X_g]`` with ``Z_g = Q [U_g; 0]``, leaves their sums of
products as they are and the residuals independent with one variance. As many rows as Z_g has rank
keep its random effects; the others of all cells, rotated once more, keep what is left of the fixed
effects, and whatever is left after that has mean zero: of the response only its sum of squares
counts, sigma^2 times a chi-squared. Responses that are drawn for such rows therefore have exactly
the sums of responses drawn for all rows: not on average, but in distribution.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.design.rows import CondensedRows
from nestedmlm.statistics.cells.cell_sums import Cells

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_NO_DIRECTION = 1e-12  # share of a column's square below which it adds nothing to those before it
_NO_COLUMN = 1e-24  # the same of all rows' squares: the column is a combination of others


def condensed(design: Design) -> Design:
    """The design with condensed rows beside its sums; as it is where it has no sums.

    Parameters
    ----------
    design : Design

    Returns
    -------
    Design
        To draw responses for and to refit; its rows are none of the data's.
    """
    sums = design.sums
    if sums is None:
        return design
    columns, cell, spread, left = _condensed_columns(sums.cells)
    raw = columns @ sums.cells.basis
    place = np.where(cell < 0, 0, cell)
    m = len(raw)
    rows = CondensedRows(
        y=raw[:, -1],
        X=np.ascontiguousarray(raw[:, list(sums.x)]),
        matrices=tuple(
            np.where(cell[:, None] < 0, 0.0, raw[:, list(places)]) for places in sums.terms
        ),
        codes=tuple(codes[place] for codes in sums.codes),
        weights=np.ones(m),
        offset=None,
        index=pd.RangeIndex(m),
        full_index=pd.RangeIndex(m),
        kept=np.ones(m, dtype=bool),
        columns=columns,
        cell=cell,
        spread=spread,
        left=left,
    )
    return replace(design, rows=rows)


def _condensed_columns(
    cells: Cells,
) -> tuple[FloatArray, npt.NDArray[np.int64], FloatArray, int]:
    """Rows in the basis, the cell of each (-1: of none), spread, and degrees of freedom left."""
    roots, kept = _roots(cells)
    d, kz = cells.d, cells.kz
    wanted = kept.copy()
    wanted[0] |= ~kept.any(axis=0)  # a cell without random effects keeps a row of zeros
    columns = np.zeros((int(wanted.sum()), d))
    cell, spread = np.empty(len(columns), dtype=np.int64), np.empty(len(columns))
    at = start = 0
    for a in range(kz):
        own = np.flatnonzero(wanted[a])
        rows = slice(at, at + len(own))
        columns[rows, a:] = roots[start : start + d - a, own].T
        cell[rows], spread[rows] = own, kept[a, own]
        at, start = rows.stop, start + d - a
    rest = _root_of_rest(cells, columns)
    used = int(kept.sum()) + len(rest) - 1
    return (
        np.vstack([columns, rest]),
        np.concatenate([cell, np.full(len(rest), -1)]),
        np.concatenate([spread, np.ones(len(rest))]),
        max(cells.tally.n - used, 0),
    )


def _roots(cells: Cells) -> tuple[FloatArray, BoolArray]:
    """Semidefinite Cholesky rows of each cell's products, packed as they are; which are not 0."""
    d, kz, J = cells.d, cells.kz, cells.size
    starts = np.concatenate([[0], np.cumsum([d - a for a in range(kz)])])
    out, kept = np.zeros_like(cells.products), np.zeros((kz, J), dtype=bool)
    least = _NO_COLUMN * cells.total.diagonal().max()
    for a in range(kz):
        left = cells.products[starts[a] : starts[a + 1]].copy()
        for b in range(a):
            before = out[starts[b] + a - b : starts[b + 1]]
            left -= before[0] * before
        # a cell of m rows has at most m: what else there seems to be is rounding
        kept[a] = left[0] > np.maximum(_NO_DIRECTION * cells.products[starts[a]], least)
        kept[a] &= kept[:a].sum(axis=0) < cells.counts
        pivot = np.sqrt(np.where(kept[a], left[0], 1.0))
        out[starts[a] : starts[a + 1]] = np.where(kept[a], left / pivot, 0.0)
    return out, kept


def _root_of_rest(cells: Cells, columns: FloatArray) -> FloatArray:
    """Rows for what the cells' rows leave of the other columns; the response's own row is last."""
    d, kz = cells.d, cells.kz
    total = 0.5 * (cells.total + cells.total.T)
    left = total - columns.T @ columns
    rows, least = [], _NO_DIRECTION * total.diagonal().max()  # the basis makes them of one size
    for j in range(kz, d):
        row = np.zeros(d)
        if j == d - 1:
            row[j] = np.sqrt(max(left[j, j], 0.0))
        elif left[j, j] > least:
            row[j:] = left[j, j:] / np.sqrt(left[j, j])
        else:
            continue
        left -= np.outer(row, row)
        rows.append(row)
    return np.vstack(rows)
