"""`SummaryPlan`: the sums of one table at a time, for engines and loops of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nestedmlm.arguments import checked
from nestedmlm.design.partitions.on_partitions import on_partition
from nestedmlm.errors import DataError
from nestedmlm.fits.summaries.compatibility import check_no_overlap
from nestedmlm.fits.summaries.data_summary import Summary
from nestedmlm.fits.summaries.saved import from_arrow, to_arrow
from nestedmlm.fits.summaries.summarise import empty_summary, labelled, planned
from nestedmlm.formula import Formula
from nestedmlm.statistics.cells.merge import merge

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 10  # named in one message
COLUMN = "summary"  # of the tables that pass through an engine: one value of bytes a row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SummaryPlan:
    """Plan of a summary: makes the sums of any table of the data, wherever it is.

    Made by `plan`. It can be pickled (cloudpickle where the formula uses functions), and holds no
    data but some rows.

    Attributes
    ----------
    like : Summary
        Of no rows.

    Examples
    --------
    >>> import nestedmlm as nm, pyarrow as pa
    >>> data = nm.load_dataset("sleepstudy")
    >>> plan = nm.plan("Reaction ~ Days + (Days | Subject)", data)
    >>> tables = [pa.Table.from_pandas(data[:90]), pa.Table.from_pandas(data[90:])]
    >>> sums = [plan.summarise(table) for table in tables]
    >>> sums[0].schema.names, round(plan.merge(sums).fit().criterion, 3)
    (['summary'], 1743.628)
    """

    like: Summary

    def __repr__(self) -> str:
        return f"SummaryPlan: {self.like.formula}\nColumns: {', '.join(self.columns)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that are read."""
        return self.like.plan.reading.columns

    @checked
    def summarise(self, table: Any, *, label: str = "a table") -> pa.Table:
        """Sum over the rows of a table.

        Parameters
        ----------
        table : table
            A part of the data.
        label : str
            For messages.

        Returns
        -------
        pyarrow.Table
            One column of bytes, ``summary``: what an engine passes on, and `merge` reads.

        Raises
        ------
        ColumnNotFoundError
            If the table has no such column, with its label.
        PartitionError
            For anything else that went wrong in summing it, with its label.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> nm.plan("Reaction ~ Days + (1 | Subject)", data).summarise(data).num_rows
        1
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = on_partition(self.like.plan.summarise, table, label)
        out = BytesIO()
        pq.write_table(to_arrow(replace(self.like, cells=cells)), out)
        return pa.table({COLUMN: pa.array([out.getvalue()], type=pa.binary())})

    @checked
    def merge(
        self, tables: Iterable[Any], *, label: str | None = None, allow_overlap: bool = False
    ) -> Summary:
        """Add up what `summarise` made of parts of the data.

        Parameters
        ----------
        tables : iterable of Arrow tables
            In any order, of any number of rows each.
        label : str, optional
            Name of these data.
        allow_overlap : bool
            Whether the same rows may come twice, as those of a task that was run again do.

        Returns
        -------
        Summary

        Raises
        ------
        DataError
            If there is none, or a table is none of `summarise`'s.
        OverlapError
            If the same rows may not come twice, and do.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> plan = nm.plan("Reaction ~ Days + (1 | Subject)", data)
        >>> plan.merge([plan.summarise(data)], label="sleep").sources
        ('sleep',)
        """
        import pyarrow.parquet as pq

        found = [
            from_arrow(pq.read_table(BytesIO(value)))
            for table in tables
            for value in _column(table).to_pylist()
        ]
        if not found:
            raise DataError("there are no sums to add up")
        parts = [summary.cells for summary in found]
        if not allow_overlap:
            check_no_overlap(parts)
        cells = merge(parts)
        return replace(
            self.like,
            cells=cells if label is None else labelled(cells, label),
            source_name=label or "tables",
            parts=len(found),
        )


def _column(table: Any) -> Any:
    names = getattr(table, "column_names", None)
    if names is None or COLUMN not in names:
        found = f"a {type(table).__name__}" if names is None else ", ".join(names[:MOST_COLUMNS])
        raise DataError(
            "merge takes a list of the tables that plan.summarise made, which have a column "
            f"{COLUMN!r}; here is {found}"
        )
    return table.column(COLUMN)


@checked
def plan(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    like: Summary | None = None,
    progress: bool = False,
) -> SummaryPlan:
    """Plan the sums of a formula: learn levels and transforms of all data, sum nothing yet.

    Parameters
    ----------
    formula : str or Formula
        The largest model of interest: any part of it is fitted from the sums.
    data : str, Path, list of them, pyarrow Dataset or stream, Dask DataFrame, or table
        Only what columns depend on is read: a sample of the rows will do where nothing is learned
        and no factor has levels that it lacks.
    weights, offset : str, optional
        Columns. (Arrays have no partitions.)
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column; by
        default data and functions written by the caller.
    like : Summary, optional
        Whose levels and transforms are taken over, so that the two add up.
    progress : bool
        Whether a line of progress is shown.

    Returns
    -------
    SummaryPlan
        ``plan.summarise(table)`` for Spark's ``mapInArrow``, for Ray, for a loop of one's own.

    Raises
    ------
    FormulaError
        If the formula cannot be read, or has no random effects.
    OptionError
        For an unknown `na_action`.
    DataError
        If `like` is a summary of another formula, or weights are an array and no column.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> plan = nm.plan("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> plan.columns
    ('Reaction', 'Days', 'Subject')
    """
    found, source, chosen = planned(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, env=env, like=like, progress=progress,
    )  # fmt: skip
    return SummaryPlan(like=empty_summary(found, source, chosen))
