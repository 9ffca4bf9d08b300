"""The predictors of a model as columns of its data, and their reference values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor, Vector, take_rows
from nestedmlm.errors import DataError, OptionError, RowsNotHereError
from nestedmlm.formula.nodes import Name, variables_in
from nestedmlm.formula.terms import Variable
from nestedmlm.statistics.cells.predictor_tally import MOST_VALUES, NumberTally, PredictorTally

_KEPT_VALUES = 2  # a covariate with no more values than this keeps them all (emmeans' cov.keep)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictorTable:
    """Columns of the data that the fixed part and the offset use.

    Attributes
    ----------
    columns : dict of str to Vector
        On the rows of the fit; of sums, in each observed combination of those with few values.
    counts : (K,) array of int, or None
        Rows of the fit behind each; None where each is one.
    numbers : mapping of str to NumberTally
        Of sums: numeric columns with many values, of which `columns` has the mean.
    """

    columns: dict[str, Vector]
    counts: np.ndarray | None = None
    numbers: Mapping[str, NumberTally] = field(default_factory=dict)

    def count(self, cells: np.ndarray, size: int, inside: np.ndarray) -> np.ndarray:
        """Rows of the fit in each of some cells."""
        weights = None if self.counts is None else self.counts[inside]
        return np.bincount(cells[inside], weights, minlength=size)


def covariate_range(design: Design, data: Any, name: str) -> float:
    """Range of a numeric predictor over the rows of the fit.

    Raises
    ------
    OptionError
        If it is no numeric predictor.
    """
    table = predictor_table(design, data)
    column = table.columns.get(name)
    if not isinstance(column, np.ndarray):
        numeric = [n for n, c in table.columns.items() if isinstance(c, np.ndarray)]
        raise OptionError(
            f"var={name!r} is no numeric predictor; these are: {', '.join(numeric) or 'none'}"
        )
    if name in table.numbers:
        # of shared sums, which hide the extremes, any step of the size of the mean will do
        return table.numbers[name].high - table.numbers[name].low or abs(column[0]) or 1.0
    return float(np.ptp(column.astype(float)))


def _variables(design: Design) -> tuple[Variable, ...]:
    return (*design.schema.fixed.terms.variables, *design.schema.offsets)


def _predictor_names(design: Design) -> list[str]:
    names = dict.fromkeys(n for v in _variables(design) for n in variables_in(v.node))
    if design.schema.offset_column is not None:
        names[design.schema.offset_column] = None
    return list(names)


def predictor_table(design: Design, data: Any) -> PredictorTable:
    """Columns that the fixed part and the offset use, of the rows of the fit or of their sums.

    Parameters
    ----------
    design : Design
    data : table or PredictorTally

    Raises
    ------
    DataError
        If the table has other rows than at the fit.
    RowsNotHereError
        If the sums do not tell which combinations of the factors occur.
    """
    names = _predictor_names(design)
    if isinstance(data, PredictorTally):
        return _table_of_tally(names, data)
    frame = Frame(data)
    if frame.n != design.kept.size:
        raise DataError(
            f"the data now have {frame.n} rows, the model was fitted to {design.kept.size}: "
            "they were changed after the fit"
        )
    read = {name: take_rows(frame.column(name), design.kept) for name in names if name in frame}
    return PredictorTable(columns={n: value for n, value in read.items() if not _is_other(value)})


def _table_of_tally(names: Sequence[str], tally: PredictorTally) -> PredictorTable:
    """A row for each combination; numeric columns of many values are their mean."""
    K = len(tally.counts)
    if not K:
        raise RowsNotHereError(
            "the factors of this model have so many combinations of levels that sums do not hold "
            "which of them occur: fit a formula with fewer factors, or data in memory"
        )
    columns, many = dict[str, Vector](), dict[str, NumberTally]()
    for name in names:
        if name in tally.values:
            columns[name] = tally.values[name]
        elif name in tally.numbers:
            many[name] = tally.numbers[name]
            columns[name] = np.full(K, many[name].mean)
    return PredictorTable(columns=columns, counts=tally.counts, numbers=many)


def _is_other(value: Vector) -> bool:
    return isinstance(value, Factor) and value.kind == "other"


def coerced_names(design: Design, columns: Mapping[str, Vector]) -> set[str]:
    """Numeric columns that the formula turns into factors."""
    out: set[str] = set()
    spec = design.schema.fixed
    for variable, coding in zip(spec.terms.variables, spec.codings, strict=True):
        if coding.levels is None or isinstance(variable.node, Name):
            continue
        if all(isinstance(level, bool | np.bool_) for level in coding.levels):
            continue  # a comparison, x > 0: x is still a covariate
        names = variables_in(variable.node)
        out |= {name for name in names if isinstance(columns.get(name), np.ndarray)}
    return out


def reference_values(
    table: PredictorTable, name: str, *, coerced: bool
) -> tuple[tuple[Any, ...], bool]:
    """Reference values of a column, and whether it counts as a factor.

    Raises
    ------
    RowsNotHereError
        For a numeric column that the formula makes a factor of, of which sums hold the mean only.
    """
    column = table.columns[name]
    if name in table.numbers:
        if coerced:
            raise RowsNotHereError(
                f"{name} has more than {MOST_VALUES} values, which sums do not hold: make the "
                "factor a column of the data, or fit data in memory"
            )
        return (table.numbers[name].mean,), False
    if isinstance(column, Factor):
        used = np.unique(column.codes[column.codes >= 0])
        return tuple(column.levels[used].tolist()), True
    values = np.asarray(column, dtype=float)
    unique = np.unique(values[~np.isnan(values)])
    if coerced or unique.size <= _KEPT_VALUES:
        return tuple(unique.tolist()), True
    return (float(np.average(values, weights=table.counts)),), False


def as_list(value: Any) -> list[Any]:
    """One value or a sequence of them, as a list."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | pd.Series):
        return [value]
    return list(value)


def asked_values(name: str, asked: list[Any], column: Vector) -> tuple[Any, ...]:
    """Reference values that `at` asks for; those of a factor must be levels.

    Raises
    ------
    OptionError
    """
    if not asked:
        raise OptionError(f"at gives no value for {name}")
    if not isinstance(column, Factor):
        try:
            return tuple(float(value) for value in asked)
        except (TypeError, ValueError):
            raise OptionError(f"at asks for {name}={asked!r}, but {name} is numeric") from None
    found = {str(level): level for level in column.levels.tolist()}
    missing = [str(value) for value in asked if str(value) not in found]
    if missing:
        raise OptionError(
            f"at asks for {name}={', '.join(missing)}; its levels are: {', '.join(found)}"
        )
    return tuple(found[str(value)] for value in asked)


def cell_columns(
    levels: Mapping[str, Sequence[Any]], codes: np.ndarray, columns: Mapping[str, Vector]
) -> pd.DataFrame:
    """Return the cells as a table that the formula can be evaluated on."""
    out: dict[str, Any] = {}
    for j, (name, values) in enumerate(levels.items()):
        column = columns[name]
        if not isinstance(column, Factor):
            out[name] = np.array(values, dtype=float)[codes[:, j]]
        elif column.kind == "logical":
            out[name] = np.array(values, dtype=bool)[codes[:, j]]
        else:
            places = {level: i for i, level in enumerate(column.levels.tolist())}
            own = np.array([places[value] for value in values])[codes[:, j]]
            out[name] = pd.Categorical.from_codes(
                own, categories=column.levels.tolist(), ordered=column.ordered
            )
    return pd.DataFrame(out, index=pd.RangeIndex(len(codes)))


def row_positions(column: Vector, values: Sequence[Any]) -> np.ndarray:
    """For each row its position among the reference values, or -1."""
    place = {value: i for i, value in enumerate(values)}
    if isinstance(column, Factor):
        table = np.array([*(place.get(level, -1) for level in column.levels.tolist()), -1])
        own: np.ndarray = table[column.codes]
        return own
    return np.array([place.get(value, -1) for value in np.asarray(column, dtype=float).tolist()])


def as_column(value: Vector) -> Any:
    """A column as pandas takes it."""
    if not isinstance(value, Factor):
        return value
    if value.kind == "logical":
        return value.codes.astype(bool)
    return pd.Categorical.from_codes(value.codes, categories=value.levels, ordered=value.ordered)
