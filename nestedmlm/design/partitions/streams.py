"""Streams of Arrow's as partitions; some can be read only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

from nestedmlm.design.partitions.fragments import PARTITION_ROWS
from nestedmlm.design.partitions.partition import Partition, Source
from nestedmlm.errors import DataError, PartitionError


def open_stream(data: Any) -> Source:
    """Find the partitions of a stream.

    Parameters
    ----------
    data : object with ``__arrow_c_stream__``, or function that opens one

    Returns
    -------
    Source

    Raises
    ------
    DataError
        If there is no stream.
    """
    stream = _Stream(data)
    return Source(
        name="a stream",
        columns=stream.names,
        partitions=stream.partitions,
        once=stream.once,
        first=stream.first,
    )


class _Stream:
    """A stream of Arrow's whose first tables can be looked at before it is read."""

    def __init__(self, data: Any) -> None:
        self._data, reader = data, _reader(data)
        self.names = tuple(reader.schema.names)
        self.once = not callable(data) and type(data).__name__ == "RecordBatchReader"
        self._tables: Iterator[Any] | None = _batches(reader)
        self._seen: list[Any] = []

    def first(self) -> Iterator[Partition]:
        """The first table."""
        if not self._seen and self._tables is not None:
            self._seen = [table for table in [_following(self._tables, 1)] if table is not None]
        yield from self._numbered(iter(self._seen))

    def partitions(self) -> Iterator[Partition]:
        """All tables; a stream that can be opened again is."""
        if self._tables is None and self.once:
            raise DataError(
                "this stream can be read only once, and it must be read again; give a function "
                "that opens it: nm.lmer(formula, lambda: reader())"
            )
        again = self._tables is None
        rest, seen = self._tables or _batches(_reader(self._data)), self._seen
        self._tables, self._seen = None, []
        none = True
        for part in self._numbered(chain(seen, rest)):
            none = False
            yield part
        if none and again:
            raise DataError(
                "the stream was opened once more, as it must be read again, and there is nothing "
                "in it now: give a function that makes a new reader each time it is called"
            )

    @staticmethod
    def _numbered(tables: Iterator[Any]) -> Iterator[Partition]:
        for number in count(1):
            table = _following(tables, number)
            if table is None:
                return
            yield Partition(_label(number), partial(_selected, table))


def _label(number: int) -> str:
    return f"part {number} of the stream"


def _following(tables: Iterator[Any], number: int) -> Any:
    """The next table, or None; `number` is for the message where it cannot be read."""
    import pyarrow as pa

    try:
        return next(tables, None)
    except (OSError, pa.ArrowException) as error:
        label = _label(number)
        raise PartitionError(f"{label} cannot be read: {error}", label) from error


def _selected(table: Any, columns: Sequence[str]) -> Any:
    return table.select(list(columns))


def _reader(data: Any) -> Any:
    import pyarrow as pa

    opened = data() if callable(data) and not hasattr(data, "__arrow_c_stream__") else data
    if not hasattr(opened, "__arrow_c_stream__"):
        raise DataError(
            f"data must be a table, a path, a stream of Arrow's, or a function that opens one, "
            f"not {type(opened).__name__}"
        )
    try:
        return pa.RecordBatchReader.from_stream(opened)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"the stream cannot be read, was it read before? ({type(error).__name__}: {error}); "
            "give a function that opens a new one each time: nm.lmer(formula, lambda: reader())"
        ) from error


def _batches(reader: Any) -> Iterator[Any]:
    """Tables of some batches each, together about as many rows as are read at a time."""
    import pyarrow as pa

    some: list[Any] = []
    for batch in reader:
        some.append(batch)
        if sum(len(b) for b in some) >= PARTITION_ROWS:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some, reader.schema)
