"""Arithmetic, comparison and logic of formula expressions; missing values stay missing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm.design.frame.values import Factor, Matrix, logical, logical_numbers, object_array
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
    if isinstance(value, Matrix):
        return value
    if isinstance(value, bool | int | float | np.number):
        return float(value)
    if isinstance(value, list):
        return np.asarray(value, dtype=float)
    kind = "a categorical column" if isinstance(value, Factor) else type(value).__name__
    raise DataError(f"{text}: this needs numbers, but there is {kind}")


def elementwise(function: Callable[..., Any], values: list[Any], text: str) -> Any:
    """Apply a NumPy function to numbers; matrices keep their column names."""
    numbers = [as_numbers(value, text) for value in values]
    names = next((v.names for v in numbers if isinstance(v, Matrix)), None)
    is_matrix = any(isinstance(v, Matrix) for v in numbers)
    arrays = [v.values if isinstance(v, Matrix) else v for v in numbers]
    if is_matrix:
        arrays = [a[:, None] if isinstance(a, np.ndarray) and a.ndim == 1 else a for a in arrays]
    with np.errstate(all="ignore"):  # log(0), 0/0: R gives -Inf and NaN, and so do we
        result = function(*arrays)
    return Matrix(result, names) if is_matrix else result


def _arithmetic(function: Callable[..., Any]) -> Callable[[Any, Any, str], Any]:
    return lambda left, right, text: elementwise(function, [left, right], text)


def _decoded(value: Any) -> Any:
    """Level values of a factor's rows, None where missing."""
    if isinstance(value, Factor):
        return np.append(value.levels, object_array([None]))[value.codes]
    return value


def _compare(function: Callable[..., Any]) -> Callable[[Any, Any, str], Any]:
    def run(left: Any, right: Any, text: str) -> Any:
        if isinstance(left, Factor) and left.kind == "logical" and not isinstance(right, str):
            left = logical_numbers(left)
        for side, other in ((left, right), (right, left)):
            if isinstance(side, Factor) and not isinstance(other, np.ndarray | Factor | Matrix):
                return _compare_levels(function, side, other, side is right, text)
        if isinstance(left, Factor) or isinstance(right, Factor):
            return _compare_objects(function, _decoded(left), _decoded(right), text)
        a, b = as_numbers(left, text), as_numbers(right, text)
        if isinstance(a, Matrix) or isinstance(b, Matrix):
            raise DataError(f"{text}: a matrix cannot be compared")
        missing = np.isnan(a) | np.isnan(b)
        result = function(a, b)
        return logical(result, missing) if isinstance(result, np.ndarray) else bool(result)

    return run


def _compare_levels(
    function: Callable[..., Any], factor: Factor, other: Any, swapped: bool, text: str
) -> Factor:
    """Compare a factor with one value, level by level; an ordered one by position."""
    levels: list[Any] = list(factor.levels)
    labels = list(factor.labels)
    if isinstance(other, str) and not any(isinstance(level, str) for level in levels):
        levels = labels
    if factor.ordered and function not in (operator.eq, operator.ne):
        if other not in levels:
            raise DataError(f"{text}: {other!r} is no level; levels: {', '.join(labels)}")
        other, levels = levels.index(other), list(range(len(levels)))
    try:
        hits = [function(other, lev) if swapped else function(lev, other) for lev in levels]
    except TypeError:
        raise DataError(f"{text}: the levels cannot be compared with {other!r}") from None
    table = np.array([*hits, False], dtype=bool)
    return logical(table[factor.codes], factor.codes < 0)


def _compare_objects(function: Callable[..., Any], left: Any, right: Any, text: str) -> Factor:
    missing = np.array([a is None or b is None for a, b in zip(left, right, strict=True)])
    try:
        pairs = zip(left, right, missing, strict=True)
        hits = np.array([not gone and bool(function(a, b)) for a, b, gone in pairs])
    except TypeError:
        raise DataError(f"{text}: these cannot be compared") from None
    return logical(hits, missing)


def _logic(decides: float) -> Callable[[Any, Any, str], Any]:
    """Three-valued and (0 decides) and or (1 decides)."""

    def run(left: Any, right: Any, text: str) -> Factor:
        a, b = as_numbers(left, text), as_numbers(right, text)
        truth_a, truth_b = np.where(np.isnan(a), a, a != 0), np.where(np.isnan(b), b, b != 0)
        decided = (truth_a == decides) | (truth_b == decides)
        missing = ~decided & (np.isnan(truth_a) | np.isnan(truth_b))
        return logical(np.where(decided, decides, 1 - decides), missing)

    return run


def _not(value: Any, text: str) -> Factor:
    numbers: npt.NDArray[Any] = np.atleast_1d(as_numbers(value, text))
    return logical(numbers == 0, np.isnan(numbers))


BINARY: dict[str, Callable[[Any, Any, str], Any]] = {
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
    "&": _logic(0.0),
    "|": _logic(1.0),
    "||": _logic(1.0),
}

UNARY: dict[str, Callable[[Any, str], Any]] = {
    "-": lambda value, text: elementwise(np.negative, [value], text),
    "+": lambda value, text: elementwise(np.positive, [value], text),
    "!": _not,
}
