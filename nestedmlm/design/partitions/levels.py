"""Levels of a factor over partitions: declared in one order everywhere, or sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm.design.frame.collation import sort_levels
from nestedmlm.design.frame.values import (
    KIND_WORDS,
    Factor,
    Vector,
    level_counts,
    object_array,
    vector_length,
)
from nestedmlm.design.partitions.partition_frame import Kind, all_missing, described
from nestedmlm.errors import PartitionError


@dataclass(frozen=True, slots=True, eq=False)
class SeenLevels:
    """Levels of one column in some partitions.

    Attributes
    ----------
    declared : tuple
        All levels, in their order, where all partitions have the same.
    used : tuple
        Levels that some row has.
    kind : str
    ordered : bool
    same : bool
        Whether all partitions declare the same.
    label : str
        The first of the partitions.
    """

    declared: tuple[Any, ...]
    used: tuple[Any, ...]
    kind: str
    ordered: bool
    same: bool
    label: str

    @classmethod
    def of(cls, value: Vector, label: str) -> SeenLevels | None:
        """Of a partition; None where it has no row, or nothing but missing values."""
        if not isinstance(value, Factor):
            return None
        used = np.flatnonzero(level_counts(value.codes, value.levels.size))
        if not used.size:
            return None
        return cls(
            declared=tuple(value.levels),
            used=tuple(value.levels[used]),
            kind=value.kind,
            ordered=value.ordered,
            same=value.kind in ("category", "logical"),
            label=label,
        )

    def __add__(self, other: SeenLevels) -> SeenLevels:
        same = self.same and other.same and self.declared == other.declared
        return SeenLevels(
            declared=self.declared,
            used=tuple(dict.fromkeys((*self.used, *other.used))),
            kind=self.kind if self.kind == other.kind else "string",
            ordered=self.ordered and other.ordered,
            same=same,
            label=self.label,
        )

    @property
    def is_text(self) -> bool:
        """Whether all levels are text."""
        return all(isinstance(level, str) for level in self.used)

    @property
    def words(self) -> str:
        """What such values are called in messages."""
        return KIND_WORDS[self.kind]

    def factor(self, name: str) -> Factor:
        """A factor without rows that has the levels.

        Raises
        ------
        PartitionError
            If they are of types that cannot be put in one order.
        """
        levels = list(self.declared)
        if not self.same:
            kinds = {str if isinstance(level, str) else type(level) for level in self.used}
            if str in kinds and len(kinds) > 1:
                named = ", ".join(sorted(kind.__name__ for kind in kinds))
                raise PartitionError(
                    f"the column {name} holds values of several types in different partitions "
                    f"({named}); make it one type in all of them",
                    self.label,
                )
            levels = [self.used[k] for k in sort_levels(self.used)]
        return Factor(
            codes=np.empty(0, dtype=np.int32),
            levels=object_array(levels),
            kind=self.kind,
            ordered=self.ordered and self.same,
        )


@dataclass(frozen=True, slots=True)
class SeenNumbers:
    """Numbers of one column in a partition: what they are called."""

    words: str
    label: str


def seen_in(value: Vector, label: str) -> SeenLevels | SeenNumbers | None:
    """What a partition has of a column; None where it has no value."""
    if isinstance(value, Factor):
        return SeenLevels.of(value, label)
    return (
        None
        if all_missing(value) or not vector_length(value)
        else (SeenNumbers(described(value), label))
    )


def kind_of(seen: Sequence[SeenLevels | SeenNumbers], name: str) -> Kind:
    """Put together what partitions have of a column.

    Parameters
    ----------
    seen : sequence of SeenLevels or SeenNumbers
        Of partitions that have any value.
    name : str
        For messages.

    Returns
    -------
    Kind

    Raises
    ------
    PartitionError
        If they are of types that cannot be put together; it names two partitions.
    """
    total: SeenLevels | None = None
    for one in seen:
        _check_alike(one, seen[0], name)
        if isinstance(one, SeenLevels):
            total = one if total is None else total + one
    return Kind() if total is None else Kind(total.factor(name))


def _check_alike(one: SeenLevels | SeenNumbers, first: SeenLevels | SeenNumbers, name: str) -> None:
    if isinstance(one, SeenLevels) and isinstance(first, SeenLevels):
        same = one.declared == first.declared or one.is_text == first.is_text
    else:
        same = type(one) is type(first)
    if not same:
        raise PartitionError(
            f"{one.label}: the column {name} holds {one.words} here and {first.words} in "
            f"{first.label}; make it one type in all of them",
            one.label,
        )
