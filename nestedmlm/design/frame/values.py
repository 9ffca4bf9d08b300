"""Values of columns and expressions: numbers, factors, small matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.collation import sort_levels
from nestedmlm.errors import DataError
from nestedmlm.formula.deparse import format_number

_RUNS_PAY = 3  # rows a run of one level must have at least, on average
_FEW_ROWS = 10_000  # rows that are counted before runs are found


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Factor:
    """A categorical vector.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Positions in `levels`; -1 is missing.
    levels : ndarray of object, shape (J,)
        The original values, in order.
    kind : str
        ``"category"``, ``"string"``, ``"number"``, ``"logical"`` or ``"other"`` (dates, mixed
        objects: can group rows, cannot be a predictor).
    ordered : bool
    contrast : object, optional
        The contrasts that ``C()`` asked for.
    """

    codes: npt.NDArray[np.integer[Any]]
    levels: npt.NDArray[np.object_]
    kind: str
    ordered: bool = False
    contrast: Any = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The levels as R would print them."""
        return tuple([v if type(v) is str else level_label(v) for v in self.levels.tolist()])


# what values of each kind of factor are called in messages
KIND_WORDS: Mapping[str, str] = {
    "category": "categories",
    "string": "text",
    "number": "numbers",
    "logical": "TRUE and FALSE",
    "other": "dates or other objects",
}


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Several numeric columns that form one variable; `names` are R's column suffixes."""

    values: FloatArray
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """Whole numbers some of which are missing, exact beyond the 53 bits of a float.

    Attributes
    ----------
    values : ndarray of int, shape (n,)
        Anything where missing.
    missing : ndarray of bool, shape (n,)
    """

    values: npt.NDArray[np.integer[Any]]
    missing: npt.NDArray[np.bool_]

    def numbers(self) -> FloatArray:
        """Floats, NaN where missing."""
        numbers = self.values.astype(np.float64)
        numbers[self.missing] = np.nan
        return numbers

    def factor(self) -> Factor:
        """Levels in order, -1 where missing."""
        inner = factor_of_numbers(self.values[~self.missing])
        codes = np.full(self.values.size, -1, dtype=np.int32)
        codes[~self.missing] = inner.codes
        return replace(inner, codes=codes)


Vector = npt.NDArray[Any] | Factor | Matrix | Integers


def level_label(level: Any) -> str:
    """Write one level as R would: TRUE/FALSE, 15 digits, strings as they are."""
    if isinstance(level, str):
        return level
    if isinstance(level, bool | np.bool_):
        return "TRUE" if level else "FALSE"
    if isinstance(level, float | np.floating):
        return format_number(float(level))
    return str(level)


def object_array(items: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Make a one-dimensional object array of Python values."""
    if isinstance(items, np.ndarray) and items.dtype != object:
        items = items.tolist()
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


_LOGICAL_LEVELS = object_array([False, True])


def logical(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None) -> Factor:
    """Make a two-level factor FALSE, TRUE."""
    codes = values.astype(np.int32)
    if missing is not None and missing.any():
        codes[missing] = -1
    return Factor(codes=codes, levels=_LOGICAL_LEVELS, kind="logical")


def logical_numbers(factor: Factor) -> FloatArray:
    """Turn a logical factor into 0, 1 and NaN."""
    numbers = factor.codes.astype(np.float64)
    numbers[factor.codes < 0] = np.nan
    return numbers


def _unique_integers(
    values: npt.NDArray[np.integer[Any]],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.integer[Any]]]:
    found = codes_by_table(values)
    return np.unique(values, return_inverse=True) if found is None else found


def codes_by_table(
    values: npt.NDArray[np.integer[Any]],
) -> tuple[npt.NDArray[Any], IntArray] | None:
    """Sorted unique values and codes by a look-up table; None where the range is large."""
    low, high = int(values.min()), int(values.max())
    if high - low > 4 * values.size + 1024 or high > np.iinfo(np.int64).max:
        return None
    wide = values.astype(np.int64, copy=False)  # int8 would overflow in the next line
    shifted = wide - low if low else wide
    present = np.zeros(high - low + 1, dtype=bool)
    present[shifted] = True
    levels = np.flatnonzero(present)
    table = np.empty(present.size, dtype=np.int32)
    table[levels] = np.arange(levels.size, dtype=np.int32)
    return levels + low, table[shifted]


def _unique_floats(
    values: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.integer[Any]]]:
    return np.unique(values, return_inverse=True)


def _all_whole(values: npt.NDArray[Any]) -> bool:
    return bool(np.all(np.abs(values) < np.float64(2.0**53)) and np.all(values == np.trunc(values)))


def factor_of_numbers(values: npt.NDArray[Any]) -> Factor:
    """Make a factor of a numeric vector: levels sorted, NaN missing, labels keep their type."""
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    if missing is not None and missing.any():
        inner = factor_of_numbers(values[~missing])
        all_codes = np.full(values.size, -1, dtype=np.int32)
        all_codes[~missing] = inner.codes
        return replace(inner, codes=all_codes)
    if values.size == 0:
        return Factor(codes=np.empty(0, np.int32), levels=object_array([]), kind="number")
    if values.dtype.kind == "f" and _all_whole(values):
        values = values.astype(np.int64)  # 308 and not 308.0, as R prints it
    unique = _unique_integers if values.dtype.kind in "iu" else _unique_floats
    levels, codes = unique(values)
    codes32 = codes.astype(np.int32, copy=False)
    return Factor(codes=codes32, levels=object_array(levels), kind="number")


def factor_of_objects(codes: npt.NDArray[Any], levels: Sequence[Any], kind: str) -> Factor:
    """Make a factor of codes into unsorted `levels`: sort the levels, recode."""
    order = sort_levels(levels)
    rank = np.empty(len(order) + 1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    rank[-1] = -1  # code -1 picks the last entry: missing stays missing
    ordered_levels = object_array([levels[i] for i in order])
    return Factor(codes=rank[codes], levels=ordered_levels, kind=kind)


def as_factor(value: Any, *, name: str) -> Factor:
    """Coerce to a factor, as R's `factor()`.

    Raises
    ------
    DataError
        If `value` is a matrix, or no vector at all.
    """
    if isinstance(value, Factor):
        return value
    if isinstance(value, Integers):
        return value.factor()
    if not isinstance(value, np.ndarray | Matrix):
        kind = "a list" if isinstance(value, list) else level_label(value)
        raise DataError(f"{name}: this needs a column, but there is {kind}")
    if isinstance(value, Matrix) or value.ndim != 1:
        raise DataError(f"{name} is a matrix and cannot be used as a factor")
    if value.dtype.kind in "iuf":
        return factor_of_numbers(value)
    raise DataError(f"{name} (dtype {value.dtype}) cannot be used as a factor")


def factor_with_labels(factor: Factor, labels: Any, text: str) -> Factor:
    """Give levels other labels, as R does: equal labels are one level, one label is numbered.

    Raises
    ------
    DataError
        Unless there is one label, or one for each level.
    """
    size = factor.levels.size
    given = labels if isinstance(labels, list) else [labels]
    if any(isinstance(label, np.ndarray | Factor | Matrix | Integers) for label in given):
        raise DataError(f'{text}: labels are a list, such as c("a", "b")')
    if len(given) == 1 and size != 1:
        given = [f"{level_label(given[0])}{j + 1}" for j in range(size)]
    if len(given) != size:
        raise DataError(f"{text}: {len(given)} labels for {size} levels; R takes 1 or {size}")
    new = [label if isinstance(label, str) else level_label(label) for label in given]
    merged = list(dict.fromkeys(new))
    table = np.array([merged.index(label) for label in new] + [-1], np.int32)
    return replace(factor, codes=table[factor.codes], levels=object_array(merged), kind="category")


def flat_list(values: Sequence[Any], text: str) -> list[Any]:
    """Put single values and lists into one list, as R's `c()`: with any text, all become text.

    Raises
    ------
    DataError
        For columns.
    """
    flat: list[Any] = []
    for value in values:
        if isinstance(value, np.ndarray | Factor | Matrix | Integers):
            raise DataError(f"{text}: this takes single values, but there is a column")
        flat += value if isinstance(value, list) else [value]
    if any(isinstance(value, str) for value in flat):
        return [None if value is None else level_label(value) for value in flat]
    return flat


def drop_unused(factor: Factor) -> Factor:
    """Remove the levels that no row has."""
    counts = level_counts(factor.codes, factor.levels.size)
    if counts.all():
        return factor
    used = np.flatnonzero(counts)
    table = np.full(counts.size + 1, -1, dtype=np.int32)
    table[used] = np.arange(used.size, dtype=np.int32)
    return replace(factor, codes=table[factor.codes], levels=factor.levels[used])


def level_counts(codes: npt.NDArray[Any], size: int) -> npt.NDArray[np.int64]:
    """Return the rows of each level; missing ones (-1) count nowhere."""
    n = len(codes)
    if n <= _FEW_ROWS:
        return np.bincount(np.add(codes, 1, dtype=np.intp), minlength=size + 1)[1:]
    after = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(after) * _RUNS_PAY >= n:
        return np.bincount(codes[codes >= 0], minlength=size)
    starts = np.append(0, after)  # runs: to add 1 to one number for every row takes longer
    own, lengths = codes[starts], np.diff(starts, append=n)
    there = own >= 0
    return np.bincount(own[there], lengths[there], size).astype(np.int64)


def vector_length(value: Vector) -> int:
    """Return the number of rows."""
    return (
        len(value.codes)
        if isinstance(value, Factor)
        else len(value if isinstance(value, np.ndarray) else value.values)
    )


def missing_rows(value: Vector) -> npt.NDArray[np.bool_] | None:
    """Return the rows where `value` is missing, or None when there is none."""
    if isinstance(value, Factor):
        missing = value.codes < 0
    elif isinstance(value, Matrix):
        missing = np.isnan(value.values).any(axis=1)
    elif isinstance(value, Integers):
        missing = value.missing
    elif value.dtype.kind == "f":
        missing = np.isnan(value)
    else:
        return None
    return missing if missing.any() else None


def take_rows(value: Vector, kept: npt.NDArray[Any] | slice) -> Vector:
    """Keep some rows: those of a mask or a slice, or by their numbers."""
    if isinstance(value, Factor):
        return replace(value, codes=value.codes[kept])
    if isinstance(value, Matrix):
        return Matrix(value.values[kept], value.names)
    if isinstance(value, Integers):
        left = Integers(value.values[kept], value.missing[kept])
        return left if left.missing.any() else left.values
    rows: npt.NDArray[Any] = value[kept]
    return rows
