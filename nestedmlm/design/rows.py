"""`Rows`: what a design holds for each row of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import ResidualStructureError, RowsNotHereError

if TYPE_CHECKING:
    from nestedmlm.design.residual import ResidualRows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The rows of a design: frozen, its arrays read-only.

    Attributes
    ----------
    y : ndarray, shape (n,)
    X : ndarray, shape (n, p)
        Of the fixed effects, full column rank.
    matrices : tuple of ndarray, shape (n, k)
        Of each random-effects term, in the order of `Design.terms`.
    codes : tuple of ndarray of int32, shape (n,)
        The level of each row, for each grouping factor in the order of `Design.factors`.
    weights, offset : ndarray, shape (n,), or None
    index, full_index : pandas.Index
        Labels of the rows used, and of all rows of the data.
    kept : ndarray of bool
        Which of all rows are used.
    residual : ResidualRows or None
        Where residuals differ or correlate.
    sigma : float or None
        The residual standard deviation (of a row of weight 1), where it is known.
    """

    y: FloatArray
    X: FloatArray
    matrices: tuple[FloatArray, ...]
    codes: tuple[IntArray, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    index: pd.Index
    full_index: pd.Index
    kept: npt.NDArray[np.bool_]
    residual: ResidualRows | None = None
    sigma: float | None = None

    @property
    def n(self) -> int:
        """Number of rows used."""
        return len(self.y)

    def with_columns(self, kept: Sequence[int]) -> Rows:
        """Keep some columns of the fixed effects, by their places."""
        return replace(self, X=np.ascontiguousarray(self.X[:, list(kept)]))

    def with_terms(self, kept: Sequence[int], factors: Sequence[int]) -> Rows:
        """Keep some random-effects terms, and the factors they need, by their places."""
        return replace(
            self,
            matrices=tuple(self.matrices[t] for t in kept),
            codes=tuple(self.codes[f] for f in factors),
        )

    def take(self, rows: npt.NDArray[Any], codes: Sequence[IntArray]) -> Rows:
        """Take some rows, in any order and repeated or not, with group codes given for them.

        Raises
        ------
        ResidualStructureError
            If residuals differ or correlate: rows are then no units by themselves.
        """
        if self.residual is not None:
            raise ResidualStructureError(
                "rows cannot be taken out of a model whose residuals differ or correlate "
                "(dispersion=, residual=): fit the model to the data without them"
            )
        return Rows(
            y=self.y[rows],
            X=np.ascontiguousarray(self.X[rows]),
            matrices=tuple(np.ascontiguousarray(X[rows]) for X in self.matrices),
            codes=tuple(codes),
            weights=None if self.weights is None else self.weights[rows],
            offset=None if self.offset is None else self.offset[rows],
            index=self.index[rows],
            full_index=self.index[rows],
            kept=np.ones(len(rows), dtype=bool),
            sigma=self.sigma,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CondensedRows(Rows):
    """A few rows with the sums of all rows, to draw responses for; none of the data's.

    Attributes
    ----------
    columns : (m, d) array
        All columns that were summed, in the basis of the sums.
    cell : (m,) array of int
        The cell of each row; -1 where the random effects are zero.
    spread : (m,) array
        1, or 0 of a row without residual.
    left : int
        Degrees of freedom of the last row, whose square stands for those of all other rows.
    """

    columns: FloatArray
    cell: npt.NDArray[np.int64]
    spread: FloatArray
    left: int


@dataclass(frozen=True, slots=True, eq=False)
class LateRows:
    """The rows of a design that are built when something first asks for them.

    They are those that the design's sums were made of.

    Attributes
    ----------
    n : int
        Number of rows used.
    build : callable
        Makes the `Rows`.
    """

    n: int
    build: Callable[[], Rows]
    _built: dict[str, Rows] = field(default_factory=dict, init=False, repr=False)

    @property
    def residual(self) -> None:
        """No structure of residuals."""
        return

    @property
    def sigma(self) -> None:
        """No known standard deviation."""
        return

    def here(self) -> Rows:
        """The rows, built once."""
        if not self._built:
            self._built["rows"] = self.build()
        return self._built["rows"]

    def with_columns(self, kept: Sequence[int]) -> LateRows:
        """Keep some columns of the fixed effects, by their places."""
        return LateRows(self.n, partial(_some_columns, self, tuple(kept)))

    def with_terms(self, kept: Sequence[int], factors: Sequence[int]) -> LateRows:
        """Keep some random-effects terms, and the factors they need, by their places."""
        return LateRows(self.n, partial(_some_terms, self, tuple(kept), tuple(factors)))


def _some_columns(late: LateRows, kept: Sequence[int]) -> Rows:
    return late.here().with_columns(kept)


def _some_terms(late: LateRows, kept: Sequence[int], factors: Sequence[int]) -> Rows:
    return late.here().with_terms(kept, factors)


def rows_here(rows: Rows | LateRows | None, wanted: str) -> Rows:
    """Return the rows, where there are any.

    Raises
    ------
    RowsNotHereError
        If there are none; `wanted` is what was asked of them.
    """
    if rows is None:
        raise RowsNotHereError(
            f"{wanted}: a matter of rows, and this design has none; it was made of sums over them. "
            "Fit data that are in memory with nm.lmer; or give the rows: fit.predict(data) "
            "and fit.augment(data) go through data of any size, and a design takes them by "
            "design.with_rows(nm.build_design(formula, data).rows)"
        )
    return rows.here() if isinstance(rows, LateRows) else rows


def frozen(array: Any) -> Any:
    """Make an array of our own read-only."""
    array.flags.writeable = False
    return array
