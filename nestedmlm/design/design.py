"""`Design`: what a formula makes of data: names, levels, columns, and rows where it has them.

Z is never built. `nestedmlm.design.build` makes designs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked, real_array
from nestedmlm.design.matrices.grouping import GroupingFactor
from nestedmlm.design.matrices.newdesign import NewDesign, make_new_design
from nestedmlm.design.matrices.reterms import ReTerm
from nestedmlm.design.rows import CondensedRows, LateRows, Rows, rows_here
from nestedmlm.design.schema import Schema
from nestedmlm.design.sums import Sums
from nestedmlm.errors import OptionError, WeightsError
from nestedmlm.formula.formula import Formula

if TYPE_CHECKING:
    from nestedmlm.design.residual import ResidualRows
    from nestedmlm.families.family import Family

__all__ = ["Design", "GroupingFactor", "NewDesign", "ReTerm", "Rows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """A mixed model's data: frozen, picklable, its arrays read-only.

    Everything the numerics need. What has one entry per row is in `rows`, and a design may have
    none, if it was made of sums over rows: names, levels and columns are there all the same, and
    whatever needs the rows (``y``, ``X``, a term's ``X``, a factor's ``codes``, …) raises
    `RowsNotHereError`.

    Attributes
    ----------
    formula : Formula
    schema : Schema
        What was learned; used by `new`.
    n : int
        Number of rows used.
    x_names, x_assign, x_terms : tuple
        R's column names, the term number of each column (0 is the intercept), term labels.
    dropped : tuple of str
        Columns dropped because X was rank deficient.
    factors : tuple of GroupingFactor
        lme4's order.
    terms : tuple of ReTerm
        lme4's order.
    na_action : str
    messages : tuple of str
    rows : Rows, LateRows or None
        Of a large table they are built when something first asks for them.
    sums : Sums or None
        What there is in the place of rows, or beside rows that are not built; if anything.
    family : Family or None
        Of a generalized model; None: any numbers, taken for normal.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
    >>> design.X.shape, design.terms[0].columns
    ((180, 2), ('(Intercept)', 'Days'))
    >>> design.with_rows(None).n
    180
    """

    formula: Formula
    schema: Schema
    n: int
    x_names: tuple[str, ...]
    x_assign: tuple[int, ...]
    x_terms: tuple[str, ...]
    dropped: tuple[str, ...]
    factors: tuple[GroupingFactor, ...]
    terms: tuple[ReTerm, ...]
    na_action: str
    messages: tuple[str, ...]
    rows: Rows | LateRows | None = None
    sums: Sums | None = None
    family: Family | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rows, Rows) and not isinstance(self.rows, CondensedRows):
            # whoever has rows in hand may have changed them
            object.__setattr__(self, "sums", None)
        # factors and terms find their own rows, whichever way this design was made
        for name in ("factors", "terms"):
            parts: tuple[Any, ...] = getattr(self, name)
            own = (
                replace(part, number=i, rows=self.rows, sums=self.sums)
                for i, part in enumerate(parts)
            )
            object.__setattr__(self, name, tuple(own))

    @property
    def p(self) -> int:
        """Number of fixed-effect columns."""
        return len(self.x_names)

    @property
    def y(self) -> FloatArray:
        """Response, shape (n,)."""
        return rows_here(self.rows, "the response").y

    @property
    def X(self) -> FloatArray:
        """Matrix of the fixed effects, shape (n, p), full column rank."""
        return rows_here(self.rows, "the matrix of the fixed effects").X

    @property
    def weights(self) -> FloatArray | None:
        """Prior weights, shape (n,), or None where there are none."""
        return rows_here(self.rows, "the weights").weights

    @property
    def offset(self) -> FloatArray | None:
        """Sum of all offsets, shape (n,), or None where there are none."""
        return rows_here(self.rows, "the offset").offset

    @property
    def residual(self) -> ResidualRows | None:
        """Blocks, times and strata of residuals that differ or correlate, where they do."""
        return None if self.rows is None else self.rows.residual

    @property
    def sigma(self) -> float | None:
        """The residual standard deviation where it is known and not estimated."""
        return None if self.rows is None else self.rows.sigma

    @property
    def index(self) -> pd.Index:
        """Labels of the rows used."""
        return rows_here(self.rows, "the index").index

    @property
    def full_index(self) -> pd.Index:
        """Labels of all rows of the data."""
        return rows_here(self.rows, "the index").full_index

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which of all rows of the data are used."""
        return rows_here(self.rows, "which rows are used").kept

    def with_rows(self, rows: Rows | LateRows | None) -> Design:
        """The same columns with other rows, or with none.

        Parameters
        ----------
        rows : Rows or None

        Returns
        -------
        Design

        Raises
        ------
        OptionError
            If they are no rows.
        """
        if rows is not None and not isinstance(rows, Rows | LateRows | CondensedRows):
            raise OptionError(f"rows must be the rows of a design or None, not {rows!r:.60}")
        return replace(self, rows=rows, n=self.n if rows is None else rows.n)

    def with_response(self, y: Any) -> Design:
        """The same rows with another response.

        Parameters
        ----------
        y : array, shape (n,)

        Returns
        -------
        Design

        Raises
        ------
        RowsNotHereError
            If the design has no rows.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> (design.with_response(2 * design.y).y / design.y).mean()
        np.float64(2.0)
        """
        rows = rows_here(self.rows, "the response")
        sums = self.sums
        if sums is not None and isinstance(rows, CondensedRows):
            sums = sums.with_response(rows, y)
        return replace(self, rows=replace(rows, y=y), sums=sums)

    def with_weights(self, weights: Any) -> Design:
        """The same rows with other prior weights.

        Parameters
        ----------
        weights : array, shape (n,)
            Positive.

        Returns
        -------
        Design

        Raises
        ------
        RowsNotHereError
            If the design has no rows.
        WeightsError
            If they are no numbers.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> design = nm.build_design("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> float(design.with_weights([2.0] * 30).weights.sum())
        60.0
        """
        rows = rows_here(self.rows, "the weights")
        try:
            own = real_array(weights)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"weights must be a number for each row ({error})") from None
        own.setflags(write=False)
        return replace(self, rows=replace(rows, weights=own))

    def with_columns(self, kept: Sequence[int]) -> Design:
        """Keep some columns of the fixed effects, by their places in X.

        Parameters
        ----------
        kept : sequence of int

        Returns
        -------
        Design

        Raises
        ------
        OptionError
            For what is no number of one of them.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> design.with_columns([0]).x_names
        ('(Intercept)',)
        """
        kept = _positions(kept, len(self.x_names), "columns")
        return replace(
            self,
            x_names=tuple(self.x_names[j] for j in kept),
            x_assign=tuple(self.x_assign[j] for j in kept),
            rows=None if self.rows is None else self.rows.with_columns(kept),
            sums=None if self.sums is None else self.sums.with_columns(kept),
        )

    def with_terms(self, kept: Sequence[int]) -> Design:
        """Keep some random-effects terms, by their places, and the factors they need.

        Parameters
        ----------
        kept : sequence of int

        Returns
        -------
        Design

        Raises
        ------
        OptionError
            For what is no number of one of them.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> design = nm.build_design(
        ...     "diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin")
        ... )
        >>> [factor.name for factor in design.with_terms([1]).factors]
        ['sample']
        """
        kept = _positions(kept, len(self.terms), "terms")
        terms = [self.terms[t] for t in kept]
        used = sorted({term.factor for term in terms})
        return replace(
            self,
            terms=tuple(replace(term, factor=used.index(term.factor)) for term in terms),
            factors=tuple(self.factors[f] for f in used),
            rows=None if self.rows is None else self.rows.with_terms(kept, used),
            sums=None if self.sums is None else self.sums.with_terms(kept, used),
        )

    def align(self, values: Any) -> pd.Series:
        """Put per-row values onto the caller's index.

        Parameters
        ----------
        values : array, shape (n,)

        Returns
        -------
        Series
            On the rows used; with ``na_action="exclude"`` on all rows, NaN where one was left out.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> design.align(design.y).head(2).round(2).tolist()
        [249.56, 258.7]
        """
        values = np.asarray(values)
        if self.na_action != "exclude" or self.kept.all():
            return pd.Series(values, index=self.index)
        padded = np.full(self.kept.size, np.nan)
        padded[self.kept] = values
        return pd.Series(padded, index=self.full_index)

    @checked
    def new(
        self,
        data: Any,
        *,
        new_levels: str = "error",
        matrices: Collection[int] | None = None,
        groups: Collection[int] | None = None,
        offset: Any = None,
        fixed: bool = True,
    ) -> NewDesign:
        """Make the same columns of other data, with everything learned at the fit.

        Parameters
        ----------
        data : table
            The response need not be there. Missing values give missing rows.
        new_levels : {"error", "population"}
            What to do with groups that were not there (or are missing): refuse, or code -1.
        matrices, groups : collections of int, optional
            Numbers of the terms whose matrix, or whose levels, are wanted (default: all); the
            columns of the others need not be there, their matrix is zero and their codes -1.
        offset : str or array, optional
            A column name or one number per row, in place of the argument ``offset`` of the fit.
        fixed : bool
            False: leave out the fixed effects and offsets (X is zero).

        Returns
        -------
        NewDesign

        Raises
        ------
        NewLevelsError
            For unseen levels of a fixed factor, or of a grouping factor unless "population".
        DataError
            If the model was fitted with an offset array and `offset` is not given.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> new = design.new({"Days": [3, 4], "Subject": ["308", "309"]})
        >>> new.X
        array([[1., 3.],
               [1., 4.]])
        """
        return make_new_design(
            self.schema, data, new_levels, matrices=matrices, groups=groups, offset=offset,
            fixed=fixed,
        )  # fmt: skip


def _positions(kept: Any, count: int, what: str) -> list[int]:
    """Positions among so many columns or terms, as whole numbers from 0 on."""
    try:
        return [range(count)[place] for place in kept]
    except (TypeError, IndexError):
        raise OptionError(
            f"{what} are kept by their numbers from 0 to {count - 1}, not {kept!r:.60}"
        ) from None
