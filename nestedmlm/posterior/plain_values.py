"""Values as JSON and store, and back: labels, indexes, tables; nothing that could run code."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import DataError

_NUMBERS = "iufb"  # kinds of arrays that files hold as they are
_TIMES = "mM"

Writer = Callable[[Any, "Store", str], Any]
Reader = Callable[[Any, "Store"], Any]


@dataclass(slots=True, kw_only=True)
class Store:
    """Store of arrays beside a text of JSON, each held once.

    Attributes
    ----------
    writers : mapping of type to (tag, function)
        The first kind that fits a value writes it.
    readers : mapping of str to function
        By tag.
    numbers : dict of str to ndarray
        By their names in the file.
    objects : list of list
        Arrays of labels, written.
    functions : mapping of str to callable
        The caller's, for those that a file only names.
    asked : set of str
        The names that were read.
    """

    writers: Mapping[type, tuple[str, Writer]]
    readers: Mapping[str, Reader]
    numbers: dict[str, Any] = field(default_factory=dict)
    objects: list[Any] = field(default_factory=list)
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    _seen: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def place(self, array: Any, write: Callable[[], Any]) -> Any:
        """Where an array stands; `write` puts it there the first time."""
        if id(array) not in self._seen:
            self._seen[id(array)] = array, write()  # held, so that no other gets its id
        return self._seen[id(array)][1]


def write_value(value: Any, store: Store, where: str) -> Any:
    """Write a value as what JSON has.

    Parameters
    ----------
    value : object
    store : Store
        What is added to.
    where : str
        What holds the value, for the message.

    Raises
    ------
    DataError
        For a value that is no plain one, naming its place.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) in (int, float) and (type(value) is int or math.isfinite(value)):
        return value
    for kind, (tag, write) in store.writers.items():
        if isinstance(value, kind):
            return {tag: write(value, store, where)}
    raise DataError(
        f"this posterior cannot be saved: {where} is a {type(value).__name__}, which a file "
        "cannot hold as plain numbers and text; pickle the fit instead, or make it a column of "
        "the data"
    )


def read_value(plain: Any, store: Store) -> Any:
    """Read what `write_value` wrote.

    Raises
    ------
    DataError
        For what it never writes.
    """
    if not isinstance(plain, dict):
        return plain
    ((tag, content),) = plain.items() if len(plain) == 1 else (("", None),)
    if tag not in store.readers:
        raise DataError(f"this file holds a {tag!r}, which nestedmlm does not know")
    return store.readers[tag](content, store)


def _several(values: Any, store: Store, where: str) -> list[Any]:
    return [write_value(value, store, where) for value in values]


def _read_several(content: Any, store: Store) -> list[Any]:
    return [read_value(item, store) for item in content]


def _mapping(values: Mapping[Any, Any], store: Store, where: str) -> list[Any]:
    return [
        [write_value(key, store, where), write_value(value, store, f"{where}[{key!r}]")]
        for key, value in values.items()
    ]


def _read_mapping(content: Any, store: Store) -> dict[Any, Any]:
    return {read_value(key, store): read_value(value, store) for key, value in content}


# --- arrays ---------------------------------------------------------------------------------------
def _array(array: np.ndarray, store: Store, where: str) -> Any:
    return store.place(array, lambda: _write_array(array, store, where))


def _write_array(array: np.ndarray, store: Store, where: str) -> Any:
    kind, shape = array.dtype.kind, list(array.shape)
    if kind in _TIMES:
        return [array.dtype.str, shape, write_value(array.view(np.int64), store, where)]
    if kind in _NUMBERS and array.size:
        name = f"array_{len(store.numbers)}"
        store.numbers[name] = array
        return [array.dtype.str, shape, name]
    if kind not in "OUS" and array.size:
        raise DataError(f"this posterior cannot be saved: {where} is an array of {array.dtype}")
    store.objects.append(_several(array.ravel().tolist(), store, where))
    return [array.dtype.str, shape, len(store.objects) - 1]


def _read_array(content: Any, store: Store) -> Any:
    code, shape, place = content
    dtype = np.dtype(code)
    if isinstance(place, str):
        found = np.asarray(store.numbers[place], dtype=dtype).reshape(shape)
    elif isinstance(place, dict):
        found = read_value(place, store).view(dtype)
    else:
        found = np.empty(shape, dtype=dtype)
        items = _read_several(store.objects[place], store)
        found.ravel()[:] = items if dtype.kind != "O" else _objects(items)
    found.flags.writeable = False
    return found


def _objects(items: list[Any]) -> Any:
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out


def _scalar(value: np.generic, store: Store, where: str) -> Any:
    number: Any = value.view(np.int64) if value.dtype.kind in _TIMES else value
    return [value.dtype.str, write_value(number.item(), store, where)]


def _read_scalar(content: Any, store: Store) -> Any:
    dtype, value = np.dtype(content[0]), read_value(content[1], store)
    return np.int64(value).view(dtype) if dtype.kind in _TIMES else dtype.type(value)


# --- pandas ---------------------------------------------------------------------------------------
def _range(index: pd.RangeIndex, store: Store, where: str) -> Any:
    name = write_value(index.name, store, where)
    return [index.start, index.stop, index.step, name]


def _read_range(content: Any, store: Store) -> pd.RangeIndex:
    start, stop, step, name = content
    return pd.RangeIndex(start, stop, step, name=read_value(name, store))


def _index(index: pd.Index, store: Store, where: str) -> Any:
    plain = isinstance(index.dtype, np.dtype) and index.dtype.kind in _NUMBERS
    values = write_value(index.to_numpy() if plain else list(index), store, where)
    return [str(index.dtype), write_value(index.name, store, where), values]


def _read_index(content: Any, store: Store) -> pd.Index:
    dtype, name, values = content
    return pd.Index(read_value(values, store), dtype=dtype, name=read_value(name, store))


def _multi(index: pd.MultiIndex, store: Store, where: str) -> Any:
    columns = [index.get_level_values(i) for i in range(index.nlevels)]
    return _several(columns, store, where)


def _read_multi(content: Any, store: Store) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays(_read_several(content, store))


def _categories(values: Any, store: Store, where: str) -> Any:
    name = write_value(getattr(values, "name", None), store, where)
    codes = write_value(np.asarray(values.codes), store, where)
    return [write_value(values.categories, store, where), codes, bool(values.ordered), name]


def _read_categorical(content: Any, store: Store) -> pd.Categorical:
    categories, codes = _read_several(content[:2], store)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=content[2])


def _read_category_index(content: Any, store: Store) -> pd.CategoricalIndex:
    return pd.CategoricalIndex(
        _read_categorical(content, store), name=read_value(content[3], store)
    )


def _series(series: pd.Series, store: Store, where: str) -> Any:
    own = isinstance(series.dtype, pd.CategoricalDtype)
    values = series.array if own else pd.Index(series.array)
    return _several([values, series.index, series.name], store, where)


def _read_series(content: Any, store: Store) -> pd.Series:
    values, index, name = _read_several(content, store)
    return pd.Series(values, index=index, name=name)


def _frame(frame: pd.DataFrame, store: Store, where: str) -> Any:
    columns = [frame.iloc[:, j] for j in range(frame.shape[1])]
    return _several([frame.index, columns], store, where)


def _read_frame(content: Any, store: Store) -> pd.DataFrame:
    index, columns = _read_several(content, store)
    return pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)


# --- labels ---------------------------------------------------------------------------------------
def _text[T](read: Callable[[str], T]) -> Callable[[Any, Store], T]:
    return lambda content, store: read(str(content))


def _written(write: Callable[[Any], Any]) -> Callable[[Any, Store, str], Any]:
    return lambda value, store, where: write(value)


# The first kind that fits: what is narrower stands before what is wider.
WRITERS: Mapping[type, tuple[str, Writer]] = {
    np.ndarray: ("array", _array),
    np.generic: ("scalar", _scalar),
    float: ("float", _written(str)),
    tuple: ("tuple", _several),
    list: ("list", _several),
    Mapping: ("mapping", _mapping),
    pd.RangeIndex: ("range", _range),
    pd.MultiIndex: ("levels", _multi),
    pd.CategoricalIndex: ("category index", _categories),
    pd.Categorical: ("categorical", _categories),
    pd.Index: ("index", _index),
    pd.Series: ("series", _series),
    pd.DataFrame: ("frame", _frame),
    type(pd.NaT): ("missing time", _written(lambda value: None)),
    type(pd.NA): ("missing", _written(lambda value: None)),
    pd.Timestamp: ("time", _written(lambda t: [t.isoformat(), t.tz and str(t.tz), t.unit])),
    pd.Timedelta: ("duration", _written(lambda t: [t.isoformat(), t.unit])),
    pd.Period: ("period", _written(lambda t: [t.ordinal, t.freqstr])),
    pd.Interval: ("interval", lambda t, store, where: [
        *_several([t.left, t.right], store, where), t.closed]),
    dt.datetime: ("datetime", _written(dt.datetime.isoformat)),
    dt.date: ("date", _written(dt.date.isoformat)),
    dt.time: ("clock", _written(dt.time.isoformat)),
    Decimal: ("decimal", _written(str)),
    Fraction: ("fraction", _written(str)),
    bytes: ("bytes", _written(bytes.hex)),
}  # fmt: skip


def _read_time(content: Any, store: Store) -> pd.Timestamp:
    text, zone, unit = content
    found = pd.Timestamp(text)
    return (found.tz_convert(zone) if zone else found).as_unit(unit)


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "array": _read_array,
        "scalar": _read_scalar,
        "float": _text(float),
        "tuple": lambda content, store: tuple(_read_several(content, store)),
        "list": _read_several,
        "mapping": _read_mapping,
        "range": _read_range,
        "levels": _read_multi,
        "category index": _read_category_index,
        "categorical": _read_categorical,
        "index": _read_index,
        "series": _read_series,
        "frame": _read_frame,
        "missing time": lambda content, store: pd.NaT,
        "missing": lambda content, store: pd.NA,
        "time": _read_time,
        "duration": lambda content, store: pd.Timedelta(content[0]).as_unit(content[1]),
        "period": lambda content, store: pd.Period(ordinal=content[0], freq=content[1]),
        "interval": lambda content, store: pd.Interval(
            *_read_several(content[:2], store), closed=content[2]
        ),
        "datetime": _text(dt.datetime.fromisoformat),
        "date": _text(dt.date.fromisoformat),
        "clock": _text(dt.time.fromisoformat),
        "decimal": _text(Decimal),
        "fraction": _text(Fraction),
        "bytes": _text(bytes.fromhex),
    }
)
