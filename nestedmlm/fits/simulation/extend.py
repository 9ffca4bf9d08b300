"""Extended data: more (or fewer) groups, or rows per group.

As simr's ``extend``, except that factors nested in the one that is extended get levels of their
own: a copied school has classes of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.design.matrices.newdesign import NewDesign
from nestedmlm.design.rows import rows_here
from nestedmlm.errors import ColumnNotFoundError, DataError, DataWarning, OptionError
from nestedmlm.fits.changed_rows import changed_of
from nestedmlm.inference.resampling.resampling import nested_in
from nestedmlm.inference.rows.new_residuals import NewRows
from nestedmlm.statistics.pair_sums import ResidualAt

if TYPE_CHECKING:
    from nestedmlm.fits.model import Model

_WITHIN = " within "


def as_pandas(data: Any) -> pd.DataFrame:
    """Return the caller's table as a DataFrame (a copy where it is none)."""
    if isinstance(data, pd.DataFrame):
        swapped = {
            name: dtype.newbyteorder("=")  # pandas takes no rows of numbers in another order
            for name, dtype in data.dtypes.items()
            if isinstance(dtype, np.dtype) and not dtype.isnative
        }
        return data.astype(swapped) if swapped else data
    if isinstance(data, Mapping):
        try:
            return as_pandas(pd.DataFrame(dict(data)))
        except ValueError as error:
            raise DataError(
                f"data must be a dict of columns, one-dimensional and of one length ({error})"
            ) from None
    import narwhals.stable.v1 as nw

    try:
        return nw.from_native(data, eager_only=True).to_pandas()
    except TypeError:
        raise DataError(
            f"data must be a table (pandas, polars, pyarrow, dict of arrays), not {data!r:.40}"
        ) from None


def extended(
    model: Model,
    design: Design,
    *,
    along: str | None,
    within: str | None,
    n: int,
    residual: ResidualAt | None = None,
) -> tuple[Model, Design]:
    """Make model and design of extended data.

    Parameters
    ----------
    model, design
        What is extended; the new columns are made as the old ones were (a spline keeps its
        knots), so coefficients keep their meaning.
    along : str, optional
        Column whose levels become `n`; ``"classid within schoolid"``: `n` in each school.
    within : str, optional
        Columns (``"a + b"``) in each combination of which there are to be `n` rows.
    n : int
    residual : ResidualAt, optional
        Where residuals differ or correlate.

    Raises
    ------
    OptionError
        Unless exactly one of `along` and `within` is given and `n` is a positive integer.
    ColumnNotFoundError
    DataError
        If weights or offset were given as arrays, or the new rows do not identify all fixed
        effects.
    NewLevelsError
        For visits that residuals have no variance for.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise OptionError(f"n must be a positive integer, not {n!r}")
    if (along is None) == (within is None):
        raise OptionError("give either along= (more levels) or within= (more rows per group)")
    changed_rows = changed_of(model)
    if changed_rows is not None and changed_rows.weights is not None:
        raise DataError(
            "the weights were given to refit() and belong to its rows: make them a column of the "
            "data and fit with the column's name"
        )
    own = None if design.residual is None else design.residual.arguments.term
    blocks = () if own is None else (part.name for part in own.bar.parts)
    data = as_pandas(model.data).loc[design.kept].reset_index(drop=True)
    groups = list(dict.fromkeys([*(v for f in design.factors for v in f.variables), *blocks]))
    table = (
        _more_rows(data, within, int(n))
        if along is None
        else _more_levels(data, along, int(n), groups)
    )
    return _same_columns(model, design, table, residual)


def _same_columns(
    model: Model, design: Design, table: pd.DataFrame, residual: ResidualAt | None
) -> tuple[Model, Design]:
    """Design of new rows in the columns, and with the order of terms, of the old one."""
    changed = model.with_data(table)
    own = changed.design
    with warnings.catch_warnings():  # of copies all rows are there: their means are their own
        warnings.filterwarnings("ignore", "(within|between)", DataWarning)
        new = design.new(table, new_levels="population")
    _refuse_holes(design, new, own.n)
    if design.p and np.linalg.matrix_rank(new.X) < design.p:  # NumPy 2.2 has no rank of nothing
        raise DataError(
            "the extended data do not identify all fixed effects: too few levels are left"
        )
    place = {f.name: i for i, f in enumerate(own.factors)}
    terms = tuple(
        replace(term, factor=place[design.factors[term.factor].name]) for term in design.terms
    )
    rows = rows_here(own.rows, "extending them")
    if design.residual is not None and own.residual is not None and residual is not None:
        known = NewRows(design.residual, residual.model, design, table).rows_in_blocks()
        learned = own.residual
        known = replace(known, block=learned.block, block_levels=learned.block_levels)
        rows = replace(rows, residual=known)
    return changed, replace(
        own,
        schema=design.schema,
        rows=replace(rows, X=new.X, matrices=tuple(X for X, _ in new.terms)),
        x_names=design.x_names,
        x_assign=design.x_assign,
        x_terms=design.x_terms,
        dropped=design.dropped,
        terms=terms,
    )


def _refuse_holes(design: Design, new: NewDesign, n: int) -> None:
    """Refuse columns that look at other rows, and find none in a copied group."""
    tables = [(design.x_names, new.X)]
    tables += [(t.columns, X) for t, (X, _) in zip(design.terms, new.terms, strict=True)]
    missing = {
        name: int(count)
        for names, X in tables
        for name, count in zip(names, np.isnan(X).sum(axis=0), strict=True)
        if count
    }
    if missing or len(new.X) != n:
        said = ", ".join(f"{name} ({count})" for name, count in missing.items()) or "a predictor"
        raise DataError(
            f"the extended data have rows without a value of {said}, which the formula takes from "
            "other rows (lag()): make it a column of the data first, and fit again"
        )


def _more_rows(data: pd.DataFrame, within: str | None, n: int) -> pd.DataFrame:
    assert within is not None
    columns = [part.strip() for part in within.replace(",", "+").split("+")]
    for column in columns:
        _check_column(data, column)
    rows = [
        np.resize(np.asarray(index), n)
        for index in data.groupby(columns, sort=False, observed=True).indices.values()
    ]
    return data.iloc[np.concatenate(rows)].reset_index(drop=True)


def _more_levels(data: pd.DataFrame, along: str, n: int, groups: Sequence[str]) -> pd.DataFrame:
    column, _, outer = (part.strip() for part in along.partition(_WITHIN))
    for name in (column, outer):
        if name:
            _check_column(data, name)
    blocks = (
        data.groupby(outer, sort=False, observed=True).indices.values()
        if outer
        else [np.arange(len(data))]
    )
    picked = [_copies(data[column].iloc[rows], np.asarray(rows), n) for rows in blocks]
    rows, copy = (np.concatenate(parts) for parts in zip(*picked, strict=True))
    table = data.iloc[rows].reset_index(drop=True)
    if column not in groups and pd.api.types.is_numeric_dtype(data[column]):
        return table.assign(**{column: _continued(data[column], table[column], copy)})
    codes = pd.factorize(data[column])[0]
    nested = [
        name
        for name in (column, *groups)
        if name in data and nested_in(pd.factorize(data[name])[0], codes)
    ]
    return table.assign(**{name: _fresh(data[name], table[name], copy) for name in nested})


def _copies(values: pd.Series, rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the first n levels, starting over when there are no more; and the round of each."""
    numeric = pd.api.types.is_numeric_dtype(values)
    codes, levels = pd.factorize(values, sort=bool(numeric))
    own = [rows[codes == level] for level in range(len(levels))]
    chosen = [own[j % len(own)] for j in range(n)]
    rounds = [np.full(len(one), j // len(own)) for j, one in enumerate(chosen)]
    return np.concatenate(chosen), np.concatenate(rounds)


def _continued(old: pd.Series, new: pd.Series, copy: np.ndarray) -> pd.Series:
    """Values of a numeric predictor, each round carrying on where the one before ended."""
    values = np.sort(old.unique())
    if len(values) < 2:
        raise DataError(f"{old.name!r} has a single value: there is nothing to continue")
    step = (values[-1] - values[0]) / (len(values) - 1)
    moved = new + copy * (values[-1] - values[0] + step)
    return moved.astype(old.dtype) if float(step).is_integer() else moved


def _fresh(old: pd.Series, new: pd.Series, copy: np.ndarray) -> pd.Series:
    """Labels, those of later rounds made new."""
    if pd.api.types.is_numeric_dtype(old) and not pd.api.types.is_bool_dtype(old):
        return new + copy * (old.max() - old.min() + 1)
    taken, mark = {str(v) for v in old.unique()}, "."
    texts = new.astype(str)
    while taken & {f"{v}{mark}{c}" for v in taken for c in (2, int(copy.max()) + 1)}:
        mark += "_"
    labels = [
        value if c == 0 else f"{text}{mark}{c + 1}"
        for value, text, c in zip(new.astype(object), texts, copy.tolist(), strict=True)
    ]
    out = pd.Series(labels, index=new.index, dtype=object)
    return out.astype("category") if isinstance(old.dtype, pd.CategoricalDtype) else out


def _check_column(data: pd.DataFrame, name: str) -> None:
    if name not in data.columns:
        raise ColumnNotFoundError(
            f"the data have no column {name!r}; they have {', '.join(map(str, data.columns))}"
        )
    if isinstance(data[name], pd.DataFrame):
        raise DataError(f"several columns are called {name!r}: rename them")
