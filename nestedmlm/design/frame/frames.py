"""Tables of any kind in, one column at a time out: the only reader of the caller's data.

pandas is read directly; mappings of arrays too; everything else goes through narwhals. Columns
are read when first asked for, never written to.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.frame.arrow_columns import is_arrow, load_arrow
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    Vector,
    factor_of_objects,
    logical,
    object_array,
)
from nestedmlm.errors import DataError, NestedMLMError


class Frame:
    """Read-only access to the columns of a table.

    Parameters
    ----------
    data : DataFrame, mapping of arrays, or anything narwhals can read
        The table.

    Attributes
    ----------
    names : tuple of str
    n : int
        Number of rows.
    index : pandas.Index
        The caller's row labels (0, 1, ... where the table has none).
    """

    __slots__ = ("_cache", "_columns", "_plain", "_read", "index", "n")

    def __init__(self, data: Any) -> None:
        self._plain = data if type(data) is pd.DataFrame else None
        self._read, self._columns, self.index = _open(data)
        self.n = len(self.index)
        self._cache: dict[str, Vector] = {}

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns that are strings."""
        return tuple(name for name in self._columns if isinstance(name, str))

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def series(self, name: str) -> pd.Series:
        """Return a column (not a matrix) as a pandas Series.

        Raises
        ------
        DataError
            If several columns have this name, or its length is not that of the table.
        """
        column = self._read(name)
        return self._series(column if hasattr(column, "iloc") else column.to_pandas(), name)

    def _series(self, column: Any, name: str) -> pd.Series:
        if not isinstance(column, pd.Series):
            raise DataError(f"several columns are called {name!r}: rename them")
        if len(column) != self.n:
            sizes = f"{len(column)} values, the data have {self.n} rows"
            raise DataError(f"column {name!r} has {sizes}")
        kind = column.dtype  # pandas does not take rows of numbers in the other order of bytes
        if isinstance(kind, np.dtype) and not kind.isnative:
            return column.astype(kind.newbyteorder("="))
        return column

    def column(self, name: str) -> Vector:
        """Return a column as numbers or a factor (read once)."""
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = self._load(name)
        return found

    def _load(self, name: str) -> Vector:
        try:
            if self._plain is not None and (stored := _stored(self._plain, name)) is not None:
                return stored
            column = self._read(name)
            if isinstance(column, np.ndarray):
                return load_matrix(column, name)
            if not isinstance(column, pd.Series | pd.DataFrame):
                found = load_arrow(column)
                if found is not None:
                    return found
                column = column.to_pandas()
            return load_series(self._series(column, name), name)
        except NestedMLMError:
            raise
        except Exception as error:  # whatever a type of column that we do not know says
            kind = type(error).__name__
            raise DataError(
                f"column {name!r} cannot be read as numbers, text or categories ({kind}: {error})"
            ) from error


def _open(data: Any) -> tuple[Callable[[str], Any], Any, pd.Index]:
    """Return a reader of columns, the column names and the row labels."""
    if isinstance(data, pd.DataFrame):
        return data.__getitem__, data.columns, data.index
    if isinstance(data, Mapping):
        return _open_mapping(data)
    if is_arrow(data):
        return data.column, data.column_names, pd.RangeIndex(data.num_rows)
    return _open_narwhals(data)


def _open_mapping(data: Mapping[str, Any]) -> tuple[Callable[[str], Any], Any, pd.Index]:
    lengths = [len(values) for values in data.values() if _is_column(values)]
    if data and not lengths:
        raise DataError(
            "data must be a table, such as a dict of columns; a dict of single values is one row "
            "(of a list of rows, pandas.DataFrame(rows) makes a table)"
        )

    def read(name: str) -> Any:
        values = data[name]
        is_matrix = isinstance(values, np.ndarray) and values.ndim == 2
        series = values if is_matrix else pd.Series(values)
        if isinstance(values, list | tuple) and series.dtype.kind == "f":
            return pd.Series(values, dtype=object)  # whole numbers beside a None are no floats
        return series

    return read, list(data), pd.RangeIndex(max(lengths, default=0))


def _is_column(values: Any) -> bool:
    return (
        hasattr(values, "__len__")
        and not isinstance(values, str | bytes)
        and (getattr(values, "ndim", 1) > 0)
    )


def _instead_of(data: Any) -> str:
    """What to write in the place of data that are no table in memory."""
    ways = [way for way in ("collect", "compute") if hasattr(data, way)]
    if ways:
        return f"; {ways[0]}() it first: its rows are needed in memory"
    if hasattr(data, "n_cells"):  # a `Summary`, of a room above
        return "; sums are fitted by their own methods: s.fit(formula), s.sample(formula)"
    if isinstance(data, str | Path):
        return (
            "; here the rows are needed in memory: read the files first (files are read part by "
            "part by nm.lmer, and for a posterior by nm.summarise(formula, path).sample())"
        )
    return ""


def _open_narwhals(data: Any) -> tuple[Callable[[str], Any], Any, pd.Index]:
    import narwhals.stable.v1 as nw

    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        kind = f"{type(data).__module__.partition('.')[0]}'s {type(data).__name__}"
        raise DataError(
            f"data must be a table (pandas, polars, pyarrow, dict of arrays), not {kind}"
            f"{_instead_of(data)}"
        ) from None

    def read(name: str) -> pd.Series:
        column = frame.get_column(name)
        honoured = column.dtype == nw.Enum or frame.implementation.is_pyarrow()
        if column.dtype in (nw.Enum, nw.Categorical):
            text = column.cast(nw.String)
            if honoured:
                levels = column.cat.get_categories().to_list()
                return pd.Series(pd.Categorical(text.to_list(), categories=levels))
            return pd.Series(text.to_list(), dtype=object)
        if column.dtype == nw.Boolean and column.null_count():
            return pd.Series(column.to_list(), dtype=object)
        if column.dtype.is_integer() and column.null_count():
            present = column.fill_null(0).to_numpy()
            return pd.Series(pd.arrays.IntegerArray(present, column.is_null().to_numpy()))
        if column.dtype.is_nested() or column.dtype in (nw.Object, nw.Unknown):
            return pd.Series(column.to_list(), dtype=object)
        return pd.Series(column.to_numpy())

    return read, frame.columns, pd.RangeIndex(len(frame))


def _doubles(values: np.ndarray) -> np.ndarray:
    """Numbers longer than double precision as doubles, those out of reach infinite; others stay."""
    if values.dtype.kind != "f" or values.dtype.itemsize <= np.dtype(np.float64).itemsize:
        return values
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float64)


def _stored(data: pd.DataFrame, name: str) -> Vector | None:
    """A column of numbers or categories as pandas stores it; None: ask for the Series.

    Making a Series takes longer than all that is done with a short column.
    """
    place, stored = data.columns.get_loc(name), getattr(data, "_get_column_array", None)
    values = stored(place) if stored is not None and isinstance(place, int) else None
    if isinstance(values, pd.Categorical):
        return _categories(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf" and values.dtype.isnative:
        return _doubles(_read_only(values))
    return None


def _read_only(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.flags.writeable = False
    return view


def load_series(series: pd.Series, name: str) -> Vector:
    """Turn a pandas Series into numbers or a factor.

    Numbers keep their dtype, so that integer group labels stay integers.

    Raises
    ------
    DataError
        For a type that can be neither (complex, lists).
    """
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "iuf":
            return _doubles(np.asarray(series.to_numpy()))
        if dtype.kind == "b":
            return logical(series.to_numpy())
        if dtype.kind == "O":
            return _load_objects(series, name)
        if dtype.kind in "Mm":
            return _factor_by_hash(series, "other")
        raise DataError(f"column {name!r} has the type {dtype}, which cannot be used in a model")
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(series.array)
    return _load_extension(series, name)


def _categories(values: Any) -> Factor:
    return Factor(
        codes=values.codes,
        levels=_levels_of(values.categories),
        kind="category",
        ordered=bool(values.ordered),
    )


def _levels_of(categories: pd.Index) -> np.ndarray:
    """Categories as Python's objects, once for each index: it never changes."""
    key = id(categories)
    index, levels = _LEVELS.get(key, (None, None))
    if levels is None or index is None or index() is not categories:
        levels = object_array(categories.to_numpy(dtype=object))
        levels.flags.writeable = False
        _LEVELS[key] = (weakref.ref(categories, lambda _: _LEVELS.pop(key, None)), levels)
    return levels


# by the id of an index that is still there
_LEVELS: dict[int, tuple[weakref.ref[pd.Index], np.ndarray]] = {}


def _factor_by_hash(series: pd.Series, kind: str) -> Factor:
    codes, levels = pd.factorize(series)
    return factor_of_objects(codes, list(levels), kind)


def _load_objects(series: pd.Series, name: str) -> Vector:
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind == "string":
        return _factor_by_hash(series, "string")
    if kind == "boolean":
        missing = series.isna().to_numpy()
        return logical(series.where(~missing, False).to_numpy().astype(bool), missing)
    if kind in ("integer", "integer-na"):
        return _load_integers(series)
    if kind == "decimal":
        return _load_decimals(series)
    if kind in ("floating", "mixed-integer-float", "empty"):
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    try:
        return _factor_by_hash(series, "other")
    except TypeError:
        raise DataError(f"column {name!r} holds {kind} objects, which cannot be used") from None


def _load_integers(series: pd.Series) -> Vector:
    """Exact integers: of 64 bits, and larger ones as labels of groups."""
    missing = series.isna().to_numpy()
    present = series[~missing].tolist()
    largest, smallest = max(present, default=0), min(present, default=0)
    if not -(2**63) <= smallest <= largest < 2**64 or (smallest < 0 and largest >= 2**63):
        return _factor_by_hash(series, "other")
    values = np.zeros(missing.size, dtype=np.int64 if largest < 2**63 else np.uint64)
    values[~missing] = present
    return Integers(values, missing) if missing.any() else values


def _load_decimals(series: pd.Series) -> Vector:
    """Exact integers where all are whole, as ids of databases are; else floats."""
    objects = series.astype(object)
    values = [None if gone else v for v, gone in zip(objects, objects.isna(), strict=True)]
    if all(v is None or (v.is_finite() and v == v.to_integral_value()) for v in values):
        whole = [None if v is None else int(v) for v in values]
        return _load_integers(pd.Series(whole, dtype=object))
    return np.asarray(objects.to_numpy(dtype=np.float64, na_value=np.nan))


def _load_extension(series: pd.Series, name: str) -> Vector:
    types = pd.api.types
    dtype = series.dtype
    if str(dtype).startswith("dictionary"):  # pandas shows an arrow dictionary under this name
        return _categories(_arrow_dictionary(series).array)
    if types.is_bool_dtype(dtype):
        missing = series.isna().to_numpy()
        return logical(series.to_numpy(dtype=bool, na_value=False), missing)
    if types.is_numeric_dtype(dtype):
        if types.is_integer_dtype(dtype):
            return _load_integers(series)
        if str(dtype).startswith("decimal"):
            return _load_decimals(series)
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if types.is_string_dtype(dtype):
        return _factor_by_hash(series, "string")
    return _factor_by_hash(series, "other")


def _arrow_dictionary(series: pd.Series) -> pd.Series:
    import pyarrow as pa

    array = pa.array(series.array)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    converted: pd.Series = array.to_pandas()
    return converted


def check_row_labels(given: pd.Series | pd.DataFrame, index: pd.Index, what: str) -> None:
    """Refuse a table of one row per row of the data that has other row labels.

    Raises
    ------
    DataError
    """
    if len(given) == len(index) and not given.index.equals(index):
        raise DataError(
            f"{what} is a {type(given).__name__} whose index is not that of the data; "
            "reindex it, or pass its .to_numpy() to go by position"
        )


def load_matrix(values: Any, name: str) -> Matrix:
    """Turn a DataFrame or a two-dimensional array into a matrix of numbers.

    Raises
    ------
    DataError
        If it holds anything else.
    """
    is_table = isinstance(values, pd.DataFrame)
    names = tuple(str(column) for column in values.columns) if is_table else None
    try:
        return Matrix(_doubles(np.asarray(values)).astype(np.float64, copy=False), names)
    except (TypeError, ValueError):
        raise DataError(f"{name} is a table that does not hold numbers only") from None


def load_array(values: Any, name: str) -> Vector:
    """Turn an array, list, Series or Categorical from outside the table into a vector."""
    if isinstance(values, pd.Series):
        return load_series(values, name)
    return load_series(pd.Series(values), name)
