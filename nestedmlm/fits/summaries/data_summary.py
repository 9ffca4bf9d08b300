"""`Summary`: sums over the rows of data, which add up, are saved, shared and fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import DataError
from nestedmlm.fits.model import Model
from nestedmlm.fits.model_source import ModelOptions
from nestedmlm.fits.summaries.compatibility import MOST_NAMED, check_no_overlap, check_same_columns
from nestedmlm.fits.summaries.summary_source import SummarySource
from nestedmlm.formula import Formula, parse_formula, update_formula
from nestedmlm.late import late_imports
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.statistics.cells.cell_plan import CellPlan
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.cells.merge import merge
from nestedmlm.statistics.memory import written_bytes

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.summaries.sample_summary import sample
    from nestedmlm.fits.summaries.saved import save
    from nestedmlm.fits.summaries.share import share
else:  # each loads when it is first asked for
    globals().update(
        late_imports(
            "nestedmlm.fits.summaries",
            {"saved": "save", "share": "share", "sample_summary": "sample"},
            wrap=checked,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Summary:
    """Sums over the rows of data, from which any part of their formula is fitted.

    Made by `summarise`. Two summaries of the same formula add up: ``s + nm.summarise(formula,
    today, like=s)``.

    Attributes
    ----------
    formula : str
    nobs : int
        Number of complete rows.
    n_cells : int
        Observed combinations of all grouping factors.
    sources : tuple of str
        Names of the parts of the data that were summed: files and row groups, or labels.
    source_name : str
        For print.
    plan : CellPlan
        The columns that were summed.
    cells : Cells
    options : ModelOptions

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> s = nm.summarise("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> s.nobs, s.n_cells
    (180, 18)
    >>> s.fit().fixef.round(2).to_dict()
    {'(Intercept)': 251.41, 'Days': 10.47}
    """

    plan: CellPlan
    cells: Cells
    options: ModelOptions
    source_name: str
    parts: int = 1

    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.plan.reading.formula.display

    @property
    def nobs(self) -> int:
        """Number of complete rows."""
        return self.cells.tally.n

    @property
    def n_cells(self) -> int:
        """Number of observed combinations of all grouping factors."""
        return self.cells.size

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the parts of the data that were summed: files and row groups, or labels."""
        return tuple(dict.fromkeys(name for _, name in self.cells.tally.marks))

    def __str__(self) -> str:
        parts = f" in {self.parts} partitions" if self.parts > 1 else ""
        return f"{self.source_name} ({self.nobs:,} rows{parts}, from sums)"

    def __repr__(self) -> str:
        columns, size = self.cells.d, written_bytes(self.cells.nbytes)
        if self.cells.on_workers is not None:
            size += " on Dask's workers"
        return (
            f"Summary: {self.formula}\n   Data: {self}\n{self.n_cells:,} cells of "
            f"{', '.join(self.plan.groups)}; {columns} columns; {size}"
        )

    def __add__(self, other: Summary) -> Summary:
        return self.merge(other)

    @checked
    def merge(self, *others: Summary, allow_overlap: bool = False) -> Summary:
        """Add up summaries of the same formula.

        Parameters
        ----------
        *others : Summary
            Made with ``like=`` this one, or from data with the same levels.
        allow_overlap : bool
            Whether the same part of the data may be in two of them; it then counts twice. A part
            is known by its rows, not by its file's path or time.

        Returns
        -------
        Summary

        Raises
        ------
        OverlapError
            If it may not, and is.
        DataError
            If they hold other columns.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> monday = nm.summarise("Reaction ~ Days + (Days | Subject)", data[:90])
        >>> tuesday = nm.summarise("Reaction ~ Days + (Days | Subject)", data[90:], like=monday)
        >>> (monday + tuesday).nobs
        180
        """
        every = [self, *others]
        for other in others:
            if not isinstance(other, Summary):
                raise DataError(f"a Summary adds to another, not to {type(other).__name__}")
            check_same_columns(self, other)
        if not allow_overlap:
            check_no_overlap([summary.cells for summary in every])
        names = list(dict.fromkeys(summary.source_name for summary in every))
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return replace(
            self,
            cells=merge([summary.cells for summary in every]),
            source_name=", ".join(names[:MOST_NAMED]) + more,
            parts=sum(summary.parts for summary in every),
        )

    save = save
    share = share
    sample = sample

    @checked
    def model(self, formula: str | Formula | None = None) -> Model:
        """Make the model of the whole formula, or of one with fewer terms.

        Parameters
        ----------
        formula : str or Formula, optional
            Some of the columns and groups of this summary's; ``. ~ . - x`` changes it.

        Returns
        -------
        Model
            Whose design has no rows.

        Raises
        ------
        FormulaError
            If it has a variable, a column or a group that was not summed.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> s = nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> s.model("Reaction ~ Days + (1 | Subject)").formula.display
        'Reaction ~ Days + (1 | Subject)'
        """
        parsed = self.plan.reading.formula
        if isinstance(formula, Formula):
            parsed = formula
        elif formula is not None and _changes(formula):
            formula = update_formula(parsed, formula)
        if isinstance(formula, str):
            parsed = parse_formula(formula, double_bar=self.options.double_bar)
        return Model._of(parsed, SummarySource(summary=self, options=self.options))

    @checked
    def fit(
        self,
        formula: str | Formula | None = None,
        REML: bool = True,
        *,
        start: FloatArray | None = None,
        control: Control | None = None,
        penalty: Penalty | str | None = None,
    ) -> LmerFit:
        """Fit the whole formula, or one with fewer terms.

        Parameters
        ----------
        formula : str or Formula, optional
            Some of the columns and groups of this summary's.
        REML, start, control, penalty
            As `lmer` takes them.

        Returns
        -------
        LmerFit
            The same numbers as from the rows; what is a matter of rows raises `RowsNotHereError`.

        Raises
        ------
        FormulaError
            If the formula cannot be read, or names what was not summed.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> s = nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> small = s.fit("Reaction ~ 1 + (1 | Subject)")
        >>> print(round(s.fit().criterion, 3), round(small.sigma, 3))
        1743.628 44.259
        """
        model = self.model(formula)
        return model.fit(REML, start=start, control=control, penalty=penalty)


def _changes(formula: str) -> bool:
    """Whether a formula has the ``.`` of `update`."""
    return any(name == "." for name in formula.replace("~", " ").replace("+", " ").split())
