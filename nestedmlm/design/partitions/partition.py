"""`Partition` of data, and the `Source` of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """One part of the data.

    Attributes
    ----------
    label : str
        For messages: the file and row groups, or a number.
    read : callable
        ``columns -> table``.
    path : str
        Of its file; empty where it has none.
    head : callable or None
        ``(columns, number) -> table`` of the first rows, where that takes less than reading all.
    """

    label: str
    read: Callable[[Sequence[str]], Any]
    path: str = ""
    head: Callable[[Sequence[str], int], Any] | None = None

    def some(self, columns: Sequence[str], number: int) -> Any:
        """Some rows, at least so many if there are."""
        return self.read(columns) if self.head is None else self.head(columns, number)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Data in partitions.

    Attributes
    ----------
    name : str
        For print.
    columns : tuple of str
    partitions : callable
        Yields each `Partition`, anew whenever it is called.
    count : int or None
        How many there are, if that is known.
    once : bool
        Whether the partitions can be read only once.
    first : callable or None
        Yields the first partition without using up what can be read only once.
    delayed : callable or None
        Of a Dask frame: its partitions as delayed objects.
    ahead : bool
        Whether a thread may read the next partition while one is worked on.
    """

    name: str
    columns: tuple[str, ...]
    partitions: Callable[[], Iterator[Partition]]
    count: int | None = None
    once: bool = False
    first: Callable[[], Iterator[Partition]] | None = None
    delayed: Callable[[Sequence[str]], Sequence[Any]] | None = None
    ahead: bool = False
