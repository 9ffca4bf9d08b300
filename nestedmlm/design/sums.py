"""`Sums`: sums of products in the place of a design's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import IntArray

if TYPE_CHECKING:
    from nestedmlm.design.rows import CondensedRows
    from nestedmlm.statistics.cells.cell_plan import CellPlan
    from nestedmlm.statistics.cells.cell_sums import Cells


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Sums of products over rows, and where a design's columns stand in them.

    Attributes
    ----------
    cells : Cells
        Sums by observed combination of all grouping factors.
    x : tuple of int
        Place of each column of the fixed effects among the columns of the cells.
    every : tuple of int
        The same of all columns of `Schema.fixed`, those that were dropped among them.
    terms : tuple of tuple of int
        The same of each random-effects term, in the order of `Design.terms`.
    codes : tuple of ndarray of int32, shape (cells,)
        The level of each cell, for each grouping factor in the order of `Design.factors`.
    root : (d, d) array
        A few rows whose columns have the products of the columns of all rows, without weights.
    plan : CellPlan
        What the columns are, and of which variables.
    drawn : bool
        Whether the response was drawn for condensed rows: its moments are not known.
    """

    cells: Cells
    x: tuple[int, ...]
    every: tuple[int, ...]
    terms: tuple[tuple[int, ...], ...]
    codes: tuple[IntArray, ...]
    root: npt.NDArray[np.float64]
    plan: CellPlan
    drawn: bool = False

    def same_data(self, other: Sums) -> bool:
        """Whether other sums are of the same columns of the same rows."""
        mine, theirs = self.cells, other.cells
        return mine is theirs or all(
            np.array_equal(one, two)
            for one, two in (
                (mine.basis, theirs.basis),
                (mine.total, theirs.total),
                (mine.counts, theirs.counts),
            )
        )

    def with_response(self, rows: CondensedRows, y: npt.NDArray[np.float64]) -> Sums:
        """Sums with the response of condensed rows in the place of that of the data.

        Parameters
        ----------
        rows : CondensedRows
            Of these sums.
        y : (m,) array
            Less the offset.
        """
        cells, basis, columns = self.cells, self.cells.basis, rows.columns
        own = (y - columns[:, :-1] @ basis[:-1, -1]) / basis[-1, -1]
        some, cell = rows.cell >= 0, rows.cell[rows.cell >= 0]
        products, ends = cells.products.copy(), np.cumsum(cells.d - np.arange(cells.kz)) - 1
        for a, end in enumerate(ends.tolist()):  # the last of each row of z c' is the response's
            products[end] = np.bincount(cell, columns[some, a] * own[some], cells.size)
        total = cells.total.copy()
        total[:-1, -1] = total[-1, :-1] = columns[:, :-1].T @ own
        total[-1, -1] = own @ own
        size = float(np.sqrt(y @ y / max(cells.tally.n, 1)))
        tally = replace(cells.tally, low=-size, high=size)
        return replace(
            self, cells=replace(cells, products=products, total=total, tally=tally), drawn=True
        )

    def with_columns(self, kept: Sequence[int]) -> Sums:
        """Keep some columns of the fixed effects, by their places."""
        return replace(self, x=tuple(self.x[j] for j in kept))

    def with_terms(self, kept: Sequence[int], factors: Sequence[int]) -> Sums:
        """Keep some random-effects terms, and the factors they need, by their places."""
        return replace(
            self,
            terms=tuple(self.terms[t] for t in kept),
            codes=tuple(self.codes[f] for f in factors),
        )
