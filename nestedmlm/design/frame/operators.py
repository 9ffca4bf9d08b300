"""Arithmetic, comparison and logic of formula expressions; missing values stay missing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.collation import collation_key
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    level_label,
    logical,
    logical_numbers,
    object_array,
)
from nestedmlm.errors import DataError


def as_numbers(value: Any, text: str) -> Any:
    """Turn a value into floats: an array, a `Matrix` or a plain number.

    Raises
    ------
    DataError
        For categories, strings and dates.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return value.astype(np.float64, copy=False)
    if isinstance(value, Factor) and value.kind == "logical":
        return logical_numbers(value)
    if isinstance(value, Integers):
        return value.numbers()
    if isinstance(value, Matrix):
        return value
    if isinstance(value, bool | int | float | np.number):
        return float(value)
    if isinstance(value, list):
        return _listed_numbers(value, text)
    kind = "a categorical column" if isinstance(value, Factor) else type(value).__name__
    raise DataError(f"{text}: this needs numbers, but there is {kind}")


def _listed_numbers(values: list[Any], text: str) -> FloatArray:
    if not values:
        raise DataError(f"{text}: this needs numbers, but there is an empty list")
    if not all(isinstance(v, bool | int | float | np.number) or v is None for v in values):
        raise DataError(f"{text}: this needs numbers, but there is a list of other things")
    return np.array([np.nan if v is None else float(v) for v in values])


def recycled(values: list[Any], text: str) -> list[Any]:
    """Repeat shorter vectors to the length of the longest, as R does where that comes out even.

    Raises
    ------
    DataError
        Where it does not (R warns, or refuses).
    """
    sizes = [len(v) for v in values if isinstance(v, np.ndarray) and v.ndim == 1]
    size = max(sizes, default=0)
    if all(s == size for s in sizes):
        return values
    odd = [s for s in sizes if s == 0 or size % s]
    if odd:
        raise DataError(f"{text}: {odd[0]} values cannot be repeated to {size}")
    return [np.resize(v, size) if isinstance(v, np.ndarray) and v.ndim == 1 else v for v in values]


def elementwise(function: Callable[..., Any], values: list[Any], text: str) -> Any:
    """Apply a NumPy function to numbers; matrices keep their column names."""
    numbers = [as_numbers(value, text) for value in values]
    names = next((v.names for v in numbers if isinstance(v, Matrix)), None)
    is_matrix = any(isinstance(v, Matrix) for v in numbers)
    arrays = recycled([v.values if isinstance(v, Matrix) else v for v in numbers], text)
    if is_matrix:
        arrays = [a[:, None] if isinstance(a, np.ndarray) and a.ndim == 1 else a for a in arrays]
        if len({a.shape for a in arrays if isinstance(a, np.ndarray) and a.shape[1] > 1}) > 1:
            raise DataError(f"{text}: matrices of different shapes")
    with np.errstate(all="ignore"):  # log(0), 0/0: R gives -Inf and NaN, and so do we
        result = function(*arrays)
    if isinstance(result, np.ndarray) and all(isinstance(v, list | int | float) for v in values):
        return result.tolist()  # of lists a list, for an option: quantile(x, c(1, 2) / 3)
    return Matrix(result, names) if is_matrix else result


def _arithmetic(function: Callable[..., Any]) -> Callable[[Any, Any, str], Any]:
    return lambda left, right, text: elementwise(function, [left, right], text)


_EQUALITY = (operator.eq, operator.ne)


def _compare(function: Callable[..., Any]) -> Callable[[Any, Any, str], Any]:
    def run(left: Any, right: Any, text: str) -> Any:
        sides = [_plain(left), _plain(right)]
        if any(isinstance(side, Matrix) for side in sides):
            raise DataError(f"{text}: a matrix cannot be compared")
        if any(isinstance(side, Factor | str) or _is_text(side) for side in sides):
            return _compare_levels(function, sides[0], sides[1], text)
        a, b = recycled([as_numbers(side, text) for side in sides], text)
        missing = np.isnan(a) | np.isnan(b)
        result = function(a, b)
        return logical(result, missing) if isinstance(result, np.ndarray) else bool(result)

    return run


def _plain(value: Any) -> Any:
    """TRUE and FALSE, and integers of which some are missing, as numbers."""
    if isinstance(value, Integers):
        return value.numbers()
    is_logical = isinstance(value, Factor) and value.kind == "logical"
    return logical_numbers(value) if is_logical else value


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, str) for item in value)


def _compare_levels(function: Callable[..., Any], left: Any, right: Any, text: str) -> Any:
    """Compare categories, text or dates: by R's text of each; for an order by their own."""
    values = [_level_values(side) for side in (left, right)]
    if function in _EQUALITY:
        keys = [[None if v is None else level_label(v) for v in side] for side in values]
    else:
        keys = _ordered_keys(left, right, values, text)
    a, b = recycled([object_array(side) for side in keys], text)
    missing = np.array([x is None or y is None for x, y in np.broadcast(a, b)])
    try:
        pairs = zip(np.broadcast(a, b), missing, strict=True)
        hits = np.array([not gone and bool(function(x, y)) for (x, y), gone in pairs], dtype=bool)
    except TypeError:
        raise DataError(f"{text}: these cannot be compared") from None
    both_single = not any(isinstance(side, Factor | np.ndarray) for side in (left, right))
    return bool(hits[0]) if both_single and hits.size == 1 else logical(hits, missing)


def _level_values(value: Any) -> list[Any]:
    """Level of each row of a factor, None where missing; a single value is a list of one."""
    if isinstance(value, Factor):
        return list(np.append(value.levels, object_array([None]))[value.codes])
    if isinstance(value, np.ndarray):
        return [None if number != number else number for number in value.tolist()]
    return value if isinstance(value, list) else [value]


def _ordered_keys(left: Any, right: Any, values: list[list[Any]], text: str) -> list[list[Any]]:
    """What tells which of two values comes first: place among ordered levels, letters, value."""
    for side in (left, right):
        if not isinstance(side, Factor):
            continue
        if side.ordered:
            place = {label: j for j, label in enumerate(side.labels)}
            found = [[None if v is None else level_label(v) for v in vs] for vs in values]
            unknown = [v for vs in found for v in vs if v is not None and v not in place]
            if unknown:
                known = ", ".join(side.labels)
                raise DataError(f"{text}: {unknown[0]!r} is no level; levels: {known}")
            return [[None if v is None else place[v] for v in vs] for vs in found]
        if side.kind == "category" and any(isinstance(level, str) for level in side.levels):
            raise DataError(
                f"{text}: these categories have no order; ordered() gives them one, "
                "as.character() compares their letters"
            )
    if any(isinstance(v, str) for vs in values for v in vs):
        return [[None if v is None else collation_key(level_label(v)) for v in vs] for vs in values]
    return values


def _is_in(left: Any, right: Any, text: str) -> Any:
    """R's ``%in%``: whether each value is among others; a missing one is not."""
    if isinstance(left, Matrix) or isinstance(right, Matrix):
        raise DataError(f"{text}: a matrix cannot be compared")
    table = {level_label(_number(v)) for v in _level_values(_plain(right)) if v is not None}
    values = _level_values(_plain(left))
    hits = np.array([v is not None and level_label(_number(v)) in table for v in values])
    return logical(hits)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, bool | int | np.number) else value


def _logic(decides: float) -> Callable[[Any, Any, str], Any]:
    """Three-valued and (0 decides) and or (1 decides)."""

    def run(left: Any, right: Any, text: str) -> Factor:
        numbers = [as_numbers(side, text) for side in (left, right)]
        if any(isinstance(side, Matrix) for side in numbers):
            raise DataError(f"{text}: a matrix is neither true nor false")
        a, b = recycled([np.atleast_1d(side) for side in numbers], text)
        truth_a, truth_b = np.where(np.isnan(a), a, a != 0), np.where(np.isnan(b), b, b != 0)
        decided = (truth_a == decides) | (truth_b == decides)
        missing = ~decided & (np.isnan(truth_a) | np.isnan(truth_b))
        return logical(np.where(decided, decides, 1 - decides), missing)

    return run


def _not(value: Any, text: str) -> Factor:
    numbers = as_numbers(value, text)
    if isinstance(numbers, Matrix):
        raise DataError(f"{text}: a matrix is neither true nor false")
    numbers = np.atleast_1d(numbers)
    return logical(numbers == 0, np.isnan(numbers))


def rounded(x: Any, digits: Any = 0) -> Any:
    """R's rounding since its version 4: the closer of the two neighbours as they are stored.

    NumPy rounds 10 x instead, and makes 0.2 of 0.15, which is stored a little below.
    """
    x = np.asarray(x, dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.float64(10.0) ** int(digits)
        whole = np.floor(power * x)
        below, above = whole / power, np.ceil(power * x) / power
        down, up = x - below, above - x
        rounded = np.where((down < up) | ((down == up) & (whole % 2 == 0)), below, above)
    return np.where(np.isfinite(rounded), rounded, x)


_MOST_DIGITS = 22  # R's; more change nothing


def significant(x: Any, digits: Any = 6) -> Any:
    """R's ``signif``: to so many significant digits, ties to even."""
    x = np.asarray(x, dtype=float)
    asked = max(int(np.rint(digits)), 1)
    if asked > _MOST_DIGITS:
        return x
    with np.errstate(all="ignore"):
        places = asked - 1 - np.floor(np.log10(np.abs(x)))
        power = np.float64(10.0) ** np.abs(places)
        rounded = np.where(places > 0, np.rint(x * power) / power, np.rint(x / power) * power)
    return np.where(np.isfinite(x) & (x != 0.0), rounded, x)


MOST_IN_SEQUENCE = 100_000  # numbers; break points and quantiles are few


def sequence(first: Any, last: Any, step: Any, text: str) -> list[float]:
    """R's ``seq`` and ``a:b``: numbers at equal steps, for breaks, knots and quantiles.

    Raises
    ------
    DataError
        For ends that are no numbers, columns among them, and steps that do not lead there.
    """
    ends = [as_numbers(value, text) for value in (first, last, step)]
    if not all(isinstance(value, float) and np.isfinite(value) for value in ends):
        raise DataError(f"{text}: a sequence goes from one number to another")
    start, stop, by = ends
    if by == 0 or (stop - start) / by < 0 or (stop - start) / by > MOST_IN_SEQUENCE:
        raise DataError(f"{text}: steps of {by:g} do not lead from {start:g} to {stop:g}")
    steps = int((stop - start) / by + 1e-10)  # R's allowance for rounding
    return [start + by * j for j in range(steps + 1)]


def _from_to(left: Any, right: Any, text: str) -> list[float]:
    first, last = (as_numbers(side, text) for side in (left, right))
    downwards = isinstance(first, float) and isinstance(last, float) and first > last
    return sequence(first, last, -1.0 if downwards else 1.0, text)


BINARY: dict[str, Callable[[Any, Any, str], Any]] = {
    ":": _from_to,
    "+": _arithmetic(np.add),
    "-": _arithmetic(np.subtract),
    "*": _arithmetic(np.multiply),
    "/": _arithmetic(np.divide),
    "^": _arithmetic(np.power),
    "%%": _arithmetic(np.mod),
    "%/%": _arithmetic(np.floor_divide),
    "==": _compare(operator.eq),
    "!=": _compare(operator.ne),
    "<": _compare(operator.lt),
    "<=": _compare(operator.le),
    ">": _compare(operator.gt),
    ">=": _compare(operator.ge),
    "%in%": _is_in,
    "&": _logic(0.0),
    "|": _logic(1.0),
    "||": _logic(1.0),
}

UNARY: dict[str, Callable[[Any, str], Any]] = {
    "-": lambda value, text: elementwise(np.negative, [value], text),
    "+": lambda value, text: elementwise(np.positive, [value], text),
    "!": _not,
}
