"""Snapshots: the caller's tables and arrays, out of reach of later edits in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pandas as pd

_UNCHANGING = (str, bytes, int, float, complex, tuple, frozenset, np.generic, ModuleType)

# of a table that is copied; a larger one shares its memory with the caller's, if that can be
FEW_CELLS = 1_000_000

# before pandas 3 a shallow copy sees what is written to the original
_COPY_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


# whose objects are copied; methods of others that a formula names are not for it to call
_COPIED = frozenset(("builtins", "collections", "cudf", "modin", "numpy", "polars", "xarray"))

# rows of tables that NumPy's memory may stand behind: polars and Arrow take it over uncopied
_TAKE: Mapping[str, Callable[[Any, np.ndarray], Any]] = MappingProxyType(
    {"polars": lambda table, rows: table[rows], "pyarrow": lambda table, rows: _take(table, rows)}
)


def snapshot(value: Any) -> Any:
    """Return what `value` holds now, whatever is done to it in place later.

    Parameters
    ----------
    value : object
        A table, an array, a mapping or list of such; anything else comes back as it is.

    Returns
    -------
    object
        Of the same type (a mapping: a dict). Tables of up to a million cells are copied; larger
        ones of pandas 3 and polars share their memory with the caller's until either is written to
        (copy on write), and Arrow's, which never change.

    Notes
    -----
    What is written past a large table reaches it: to a NumPy array of which a polars or Arrow
    table, or a DataFrame with ``copy=False``, was made without a copy, or to the ``.array`` of an
    extension column.

    Examples
    --------
    >>> data = pd.DataFrame({"x": [1.0, 2.0]})
    >>> before = snapshot(data)
    >>> data.loc[0, "x"] = 99.0
    >>> before["x"].tolist()
    [1.0, 2.0]
    """
    if value is None or callable(value) or isinstance(value, _UNCHANGING):
        return value
    if isinstance(value, pd.DataFrame | pd.Series):
        few = value.size <= FEW_CELLS
        return _own_arrow(value) if few else value.copy(deep=not _COPY_ON_WRITE)
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    package = type(value).__module__.partition(".")[0]
    if package in _TAKE and hasattr(value, "__len__"):  # a lazy frame has none
        few = np.prod(getattr(value, "shape", len(value))) <= FEW_CELLS
        if few:
            return _TAKE[package](value, np.arange(len(value)))
    if isinstance(value, np.ndarray) or package in _COPIED:
        for method in ("clone", "copy"):  # polars' copy on write, NumPy's and others' own
            if hasattr(value, method):
                return getattr(value, method)()
    return value  # Arrow's tables and arrays never change


def _own_arrow(value: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Copy a pandas table; its Arrow columns by their rows, which pandas itself never copies."""
    own = value.copy(deep=True)
    rows = np.arange(len(own))
    if isinstance(own, pd.Series):
        arrow = isinstance(own.dtype, pd.ArrowDtype)
        return pd.Series(_take(own.array, rows), own.index, name=own.name) if arrow else own
    for i, dtype in enumerate(own.dtypes):
        if isinstance(dtype, pd.ArrowDtype):
            own.isetitem(i, _take(own.iloc[:, i].array, rows))
    return own


def _take(values: Any, rows: np.ndarray) -> Any:
    """Copy an Arrow table or column; kinds that Arrow cannot take rows of are no numbers."""
    if hasattr(values, "columns") and hasattr(values, "schema"):
        columns = [_take(column, rows) for column in values.columns]
        return type(values).from_arrays(columns, schema=values.schema)
    try:
        return values.take(rows)
    except NotImplementedError:
        return values
