"""`PartitionFrame`: the table of one partition, its columns as all partitions have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import KIND_WORDS, Factor, Integers, Matrix, Vector
from nestedmlm.design.matrices.modelmatrix import level_table
from nestedmlm.errors import NewLevelsError, PartitionError

MOST_LEVELS = 10  # named in one message


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Kind of a column in all partitions: numbers, or a factor with these levels.

    Attributes
    ----------
    levels : Factor or None
        Without rows, with the levels of all partitions; None for numbers.
    """

    levels: Factor | None = None


class PartitionFrame(Frame):
    """Read-only access to the columns of a partition.

    Parameters
    ----------
    data : table
    label : str
        Of the partition, for messages.
    kinds : mapping of str to Kind
        Columns that must be the same in all partitions.
    """

    __slots__ = ("kinds", "label")

    def __init__(self, data: Any, label: str, kinds: Mapping[str, Kind]) -> None:
        super().__init__(data)
        self.label, self.kinds = label, kinds

    def column(self, name: str) -> Vector:
        """Return a column as numbers or a factor (read once)."""
        if name not in self:
            there = ", ".join(self.column_names[:MOST_LEVELS])
            raise PartitionError(
                f"{self.label}: the column {name} is not there; its columns are {there}", self.label
            )
        return super().column(name)

    def _load(self, name: str) -> Vector:
        value = super()._load(name)
        kind = self.kinds.get(name)
        if kind is None:
            return value
        return (
            self._numbers(value, name)
            if kind.levels is None
            else (self._recoded(value, kind.levels, name))
        )

    def _numbers(self, value: Vector, name: str) -> Vector:
        if not isinstance(value, Factor):
            return value
        if (value.codes < 0).all():
            return np.full(len(value.codes), np.nan)
        self._refuse(name, "numbers", described(value))

    def _recoded(self, value: Vector, known: Factor, name: str) -> Vector:
        if not isinstance(value, Factor):
            if all_missing(value):
                missing = np.full(self.n, -1, dtype=np.int32)
                return Factor(codes=missing, levels=known.levels, kind=known.kind)
            self._refuse(name, described(known), described(value))
        table = level_table(value.levels, known.levels)
        if np.array_equal(table[:-1], np.arange(len(known.levels))):
            return replace(known, codes=value.codes)
        codes = table[value.codes]
        new = np.unique(value.codes[(codes < 0) & (value.codes >= 0)])
        if new.size:
            labels = ", ".join(value.labels[j] for j in new[:MOST_LEVELS])
            raise NewLevelsError(
                f"{self.label}: {name} has levels that were not there when the partitions were "
                f"first read: {labels}; the data have changed, or are others than those of "
                "like=: summarise all of them anew"
            )
        return replace(known, codes=codes)

    def _refuse(self, name: str, wanted: str, found: str) -> NoReturn:
        raise PartitionError(
            f"{self.label}: the column {name} holds {found} here and {wanted} in other "
            "partitions; make it one type in all of them",
            self.label,
        )


class ValuesFrame(Frame):
    """Columns that are vectors already.

    Parameters
    ----------
    values : mapping of str to Vector
    n : int
    """

    def __init__(self, values: Mapping[str, Vector], n: int) -> None:
        self._columns, self.index, self.n = list(values), pd.RangeIndex(n), n
        self._cache = dict(values)


def all_missing(value: Vector) -> bool:
    """Whether numbers are none at all, so that they may be of any kind."""
    if isinstance(value, Integers):
        return bool(value.missing.all())
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isnan(value).all())


def described(value: Vector) -> str:
    """The kind of a column, for messages."""
    if isinstance(value, Factor):
        return KIND_WORDS[value.kind]
    if isinstance(value, Matrix):
        return "a matrix"
    kind = np.asarray(value.values if isinstance(value, Integers) else value).dtype
    return f"numbers ({kind})"
