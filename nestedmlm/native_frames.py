"""Frames of results as the user's kind of table: polars where the data were polars.

Inside the package a frame is pandas'. Where a public function returns to the user, and here alone,
it becomes the kind of table that was given (of dictionaries and Arrow tables: pandas').
`arguments.checked` sends results of functions and verbs through `native`, and
`views.render.view.Viewable` those of methods of results (``to_frame``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import pandas as pd

from nestedmlm.callers import PACKAGE

_FRAMES = (pd.DataFrame, pd.Series, dict)


def native(result: Any, args: Sequence[Any], kwargs: Mapping[str, Any], depth: int = 2) -> Any:
    """Return what a call returns to a user: frames as the kind of table that was given.

    Parameters
    ----------
    result : object
        A frame, a Series, a dictionary of them, a result with such methods; all else comes back.
    args, kwargs : sequence, mapping
        Of the call: its own table decides (``predict(newdata)``), else the data of the fit that
        comes first.
    depth : int
        How many Python calls lie between this one and the caller.

    Returns
    -------
    object
        pandas' where the caller is the package itself.
    """
    own = getattr(type(result), "_native", None)
    if isinstance(own, property):  # it finds the kind in its own model
        return result
    keeps = own is not None and not isinstance(result, type)
    if not keeps and not isinstance(result, _FRAMES):
        return result
    if not any(map(_kind_of_argument, (*args, *kwargs.values()))):
        return result
    kind = next((k for v in (*args[1:], *kwargs.values()) if (k := kind_of_table(v))), None)
    kind = kind or next((k for v in args if (k := _kind_of_argument(v))), None)
    if keeps:
        return _marked(result, kind)
    called_by_us = sys._getframe(depth).f_code.co_filename.startswith(PACKAGE)
    return result if called_by_us or kind != "polars" else to_native(result)


def native_method[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a method of a result: `native`."""

    @wraps(function)
    def method(*args: P.args, **kwargs: P.kwargs) -> R:
        out: R = native(function(*args, **kwargs), args, kwargs)
        return out

    return method


def kind_of_table(table: Any) -> str | None:
    """``"polars"`` or ``"pandas"``; None for what is neither's frame.

    Examples
    --------
    >>> kind_of_table(pd.DataFrame({"x": [1]})), kind_of_table({"x": [1]})
    ('pandas', None)
    """
    library = type(table).__module__.partition(".")[0]
    return library if library in ("pandas", "polars") and type(table).__name__ in _NAMES else None


_NAMES = ("DataFrame", "LazyFrame")


def _kind_of_argument(value: Any) -> str | None:
    """What a fit, a result or the first of several remembers of its data."""
    if isinstance(value, Mapping):
        value = next(iter(value.values()), None)
    elif isinstance(value, list | tuple):
        value = value[0] if value else None
    own = getattr(value, "_native", None)
    return own if isinstance(own, str) else kind_of_table(value)


def _marked(result: Any, kind: str | None) -> Any:
    """A result that remembers the kind, unless it knows one."""
    if kind == "polars" and getattr(result, "_native", None) is None:
        object.__setattr__(result, "_native", kind)
    return result


def to_native(frame: Any, index: str = "term") -> Any:
    """A frame of pandas as one of polars: the index becomes the first columns.

    Parameters
    ----------
    frame : DataFrame, Series, or dict of them
        A Series of rows stays one; a Series of named numbers becomes a frame of two columns.
    index : str
        What labels without a name are called. Row numbers are left out where they are 0, 1, …
        and called ``row`` where rows are missing.

    Returns
    -------
    polars.DataFrame, polars.Series, or dict of them
    """
    import narwhals.stable.v1 as nw

    if isinstance(frame, dict):
        return {k: to_native(v, "level") if isinstance(v, _FRAMES) else v for k, v in frame.items()}
    rows = _are_rows(frame.index)
    if isinstance(frame, pd.Series):
        if rows:
            return nw.from_native(_plain(frame), series_only=True).to_polars()
        frame = frame.to_frame(frame.name or "value")
    plain = {str(name): _plain(column.reset_index(drop=True)) for name, column in frame.items()}
    labels = (
        {} if rows and _are_all(frame.index) else _labels(frame.index, "row" if rows else index)
    )
    kept = {name: column for name, column in labels.items() if name not in plain}
    return nw.from_native(pd.DataFrame(kept | plain), eager_only=True).to_polars()


def as_series(result: Any) -> Any:
    """A frame of polars that `to_native` made of a Series of named numbers, as that again."""
    if kind_of_table(result) != "polars" or len(result.columns) != 2:
        return result
    names, values = (result[name].to_list() for name in result.columns)
    return pd.Series(values, index=names, name=result.columns[1])


def _are_rows(index: pd.Index) -> bool:
    numbered = not isinstance(index, pd.MultiIndex) and pd.api.types.is_integer_dtype(index.dtype)
    return bool(numbered and index.name is None)


def _are_all(index: pd.Index) -> bool:
    return bool(index.equals(pd.RangeIndex(len(index))))


def _labels(index: pd.Index, unnamed: str) -> dict[str, pd.Series]:
    names = [unnamed if name is None else str(name) for name in index.names]
    return {name: _plain(pd.Series(index.get_level_values(i))) for i, name in enumerate(names)}


def _plain(column: pd.Series) -> pd.Series:
    """A column that polars knows: text where objects of several types stand."""
    if column.dtype != object:
        return column
    mixed = pd.api.types.infer_dtype(column, skipna=True) not in ("string", "boolean", "empty")
    return column.map(str, na_action="ignore") if mixed else column
