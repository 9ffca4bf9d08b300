"""Observed combinations of the values of several variables, and variables put end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from nestedmlm._typing import IntArray
from nestedmlm.design.frame.values import (
    KIND_WORDS,
    Factor,
    Integers,
    Vector,
    codes_by_table,
    factor_of_objects,
)
from nestedmlm.design.matrices.modelmatrix import level_table
from nestedmlm.errors import DataError, PartitionError

_LARGEST_WHOLE = 2.0**53  # floats below it hold every integer exactly
_RUNS_PAY = 3  # rows a run of equal values must have at least, on average


def plain_codes(value: Vector) -> Any:
    """Numbers that are equal where values are, of any kind."""
    if isinstance(value, Factor):
        return value.codes
    if isinstance(value, Integers):
        return value.factor().codes
    assert isinstance(value, np.ndarray)
    return value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Rows in runs of one combination.

    Attributes
    ----------
    codes : (r,) array
        The combination of each run, 0, 1, …; of each row where there are no runs to speak of.
    starts : (r,) array or None
        The first row of each run; None where every row stands for itself.
    first : (J,) array
        A row of each combination.
    n : int
        Number of rows.
    """

    codes: IntArray
    starts: IntArray | None
    first: IntArray
    n: int

    def by_row(self) -> IntArray:
        """The combination of each row, (n,)."""
        if self.starts is None:
            return self.codes
        return np.repeat(self.codes, np.diff(self.starts, append=self.n))

    def counts(self) -> IntArray:
        """Rows of each combination, (J,)."""
        J = len(self.first)
        if self.starts is None:
            return np.bincount(self.codes, minlength=J)
        counts = np.zeros(J, dtype=np.int64)
        np.add.at(counts, self.codes, np.diff(self.starts, append=self.n))
        return counts


def runs_of(values: Sequence[IntArray]) -> Runs:
    """Number the observed combinations of several variables, by runs of rows that have one.

    Parameters
    ----------
    values : sequence of (n,) arrays
        At least one; numbers of any kind, none missing.

    Returns
    -------
    Runs
    """
    starts = run_starts(values)
    n = len(values[0])
    if len(starts) * _RUNS_PAY > n:
        codes, first = _numbered(values)
        return Runs(codes=codes, starts=None, first=first, n=n)
    codes, first = _numbered([value[starts] for value in values])
    return Runs(codes=codes, starts=starts, first=starts[first], n=n)


def combinations(values: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """Number the observed combinations of several variables.

    Parameters
    ----------
    values : sequence of (n,) arrays
        At least one; numbers of any kind, none missing.

    Returns
    -------
    codes : (n,) array
        Of each row, 0, 1, …
    first : (J,) array
        A row of each combination.
    """
    runs = runs_of(values)
    return runs.by_row(), runs.first


def run_starts(values: Sequence[IntArray]) -> IntArray:
    """Rows where some variable differs from the row before, the first among them."""
    change = np.ones(len(values[0]), dtype=bool)
    change[1:] = False
    for value in values:
        change[1:] |= value[1:] != value[:-1]
    return np.flatnonzero(change)


def _numbered(values: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    codes, size = _codes_of(values[0])
    for value in values[1:]:
        own, own_size = _codes_of(value)
        codes, size = _codes_of(codes.astype(np.int64) * own_size + own)
    first = np.empty(size, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, first


def _codes_of(value: IntArray) -> tuple[IntArray, int]:
    if value.dtype.kind in "iu" and value.size and (found := codes_by_table(value)) is not None:
        return found[1], len(found[0])
    codes, levels = pd.factorize(value)
    return codes, len(levels)


def joined(values: Sequence[Vector], name: str, labels: Sequence[str] | None = None) -> Vector:
    """Put a variable's values in several parts of the data end to end.

    Parameters
    ----------
    values : sequence of Vector
        None missing.
    name : str
        For messages.
    labels : sequence of str, optional
        The parts, for messages; not given for values that need not be told apart.

    Returns
    -------
    Vector
        Whole floats count as integers, as they do in a table that has both; levels that are
        declared in one order everywhere keep it.

    Raises
    ------
    DataError
        If it is text in one part and numbers in another.
    """
    parts: list[Any] = [_unmasked(value) for value in values]
    factors = [part for part in parts if isinstance(part, Factor)]
    if not factors:
        numbers = [np.asarray(part) for part in parts]
        return _joined_numbers(numbers, name, labels)  # type: ignore[no-any-return]
    if len(factors) < len(parts):
        kinds = [_kind(part) for part in parts]
        other = next(k for k, part in enumerate(parts) if type(part) is not type(parts[0]))
        _refuse(name, labels, kinds, other, "308 and '308' may be two groups or one")
    first = factors[0]
    if all(_same_levels(first, other) for other in factors[1:]):
        codes = np.concatenate([f.codes for f in factors])
        return Factor(codes=codes, levels=first.levels, kind=first.kind, ordered=first.ordered)
    levels = list(dict.fromkeys(level for f in factors for level in _used_levels(f)))
    if len({type(level) for level in levels if not isinstance(level, str)}) and any(
        isinstance(level, str) for level in levels
    ):
        own = [{type(level).__name__ for level in _used_levels(f)} for f in factors]
        other = next((k for k, one in enumerate(own) if one != own[0]), 0)
        named = [" and ".join(sorted(one)) for one in own]
        _refuse(name, labels, named, other, "levels of two types have no order")
    known = np.empty(len(levels), dtype=object)
    known[:] = levels
    tables = [level_table(f.levels, known) for f in factors]
    codes = np.concatenate([t[f.codes] for t, f in zip(tables, factors, strict=True)])
    return factor_of_objects(codes, levels, first.kind)


def _used_levels(factor: Factor) -> list[Any]:
    return list(factor.levels[np.unique(factor.codes)])


def _unmasked(value: Vector) -> Vector:
    return value.values if isinstance(value, Integers) else value


def _kind(value: Vector) -> str:
    if not isinstance(value, Factor):
        return f"numbers ({np.asarray(value).dtype})"
    return KIND_WORDS.get(value.kind, value.kind)


def _same_levels(one: Factor, other: Factor) -> bool:
    if one.levels is other.levels:
        return True
    return one.levels.size == other.levels.size and bool((one.levels == other.levels).all())


def _refuse(
    name: str, labels: Sequence[str] | None, kinds: Sequence[str], other: int, why: str
) -> NoReturn:
    """Say where a variable is something else than in the first part."""
    if labels and all(labels):
        where = f"{labels[other]}: {name} holds {kinds[other]} here and {kinds[0]} in {labels[0]}"
        raise PartitionError(f"{where}; {why}: make it one type first", labels[other])
    raise DataError(
        f"{name} is of several types in different parts of the data: "
        f"{', '.join(sorted(set(kinds)))}; {why}: make it one type first"
    )


def _joined_numbers(parts: Sequence[Any], name: str, labels: Sequence[str] | None) -> Any:
    kinds = {part.dtype.kind for part in parts}
    if "f" in kinds and len(kinds) > 1:
        floats = [k for k, part in enumerate(parts) if part.dtype.kind == "f"]
        large = next((k for k in floats if (np.abs(parts[k]) >= _LARGEST_WHOLE).any()), None)
        if large is not None and labels is not None:
            like = next(k for k, part in enumerate(parts) if part.dtype.kind != "f")
            order = [like, *(k for k in range(len(parts)) if k != like)]
            _refuse(
                name,
                [labels[k] for k in order],
                [_kind(parts[k]) for k in order],
                order.index(large),
                "numbers of 2^53 and more are not exact as floats, so groups would be mixed up",
            )
        whole = large is None and all((parts[k] == np.trunc(parts[k])).all() for k in floats)
        kind = np.int64 if whole else np.float64
        return np.concatenate([part.astype(kind) for part in parts])
    return np.concatenate(parts)
