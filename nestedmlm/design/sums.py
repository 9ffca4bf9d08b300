"""`Sums`: sums of products in the place of a design's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from nestedmlm.statistics.cells.cell_sums import Cells

IntArray = npt.NDArray[np.int32]


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
    """

    cells: Cells
    x: tuple[int, ...]
    every: tuple[int, ...]
    terms: tuple[tuple[int, ...], ...]
    codes: tuple[IntArray, ...]
    root: npt.NDArray[np.float64]

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
