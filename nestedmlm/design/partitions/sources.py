"""`Source` of partitions: Parquet files, Arrow data sets and streams, tables, Dask's frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from nestedmlm.design.frame.arrow_columns import is_arrow
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.partitions.fragments import PARTITION_ROWS, file_state, read_fragment
from nestedmlm.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """One part of the data.

    Attributes
    ----------
    label : str
        For messages: the file and row groups, or a number.
    read : callable
        ``columns -> table``.
    identity : str
        Tells it from all others, wherever they are read; empty where nothing does.
    head : callable or None
        ``(columns, number) -> table`` of the first rows, where that takes less than reading all.
    """

    label: str
    read: Callable[[Sequence[str]], Any]
    identity: str = ""
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


def is_source(data: Any) -> bool:
    """Whether data are read partition by partition, and not as one table in memory.

    Parameters
    ----------
    data : object
        Text and paths are; data sets and streams of Arrow's; functions that open one; Dask's
        frames; Polars' lazy frames. Tables in memory are not.

    Returns
    -------
    bool
    """
    if isinstance(data, str | Path | Source) or is_dask(data) or _is_dataset(data):
        return True
    if isinstance(data, pd.DataFrame) or is_arrow(data) or _is_polars(data, "DataFrame"):
        return False
    if isinstance(data, list | tuple):
        return bool(data) and all(isinstance(part, str | Path) for part in data)
    streams = hasattr(data, "__arrow_c_stream__") or _is_polars(data, "LazyFrame")
    return streams or (callable(data) and not hasattr(data, "items"))


def open_source(data: Any) -> Source:
    """Find the partitions of data of any kind.

    Parameters
    ----------
    data : str, Path, list of them, pyarrow Dataset, Table or stream, Dask DataFrame, table
        A path may have wildcards, or be a directory; folders such as ``year=2024`` are columns.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        If there is no such file, or no table in it.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | Path | list | tuple):
        return _open_paths(data)
    if _is_dataset(data):
        return _open_dataset(data, "an Arrow data set")
    if is_dask(data):
        return _open_dask(data)
    if _is_polars(data, "LazyFrame"):
        data = _collected(data)
    if isinstance(data, pd.DataFrame) or is_arrow(data) or hasattr(data, "items"):
        return _open_table(data)
    if hasattr(data, "__arrow_c_stream__") or callable(data):
        return _open_stream(data)
    return _open_table(data)


def is_dask(data: Any) -> bool:
    """Whether `data` is a DataFrame of Dask's."""
    return type(data).__module__.partition(".")[0] in ("dask", "dask_expr") and hasattr(
        data, "to_delayed"
    )


def _is_dataset(data: Any) -> bool:
    return type(data).__module__.startswith("pyarrow") and hasattr(data, "get_fragments")


def _is_polars(data: Any, kind: str) -> bool:
    return type(data).__module__.startswith("polars") and type(data).__name__ == kind


def _collected(frame: Any) -> Any:
    """A lazy frame's rows; categories that have no order of their own as text."""
    import polars as pl
    import polars.selectors as cs

    return frame.with_columns(cs.by_dtype(pl.Categorical).cast(pl.String)).collect(
        engine="streaming"
    )


# how files that are no Parquet are read, by the end of their name
_READERS = {
    ".csv": "read_csv", ".dta": "read_stata", ".feather": "read_feather", ".ods": "read_excel",
    ".sas7bdat": "read_sas", ".sav": "read_spss", ".tsv": "read_table",
    ".txt": "read_csv", ".xls": "read_excel", ".xlsx": "read_excel",
}  # fmt: skip


def _open_paths(given: Any) -> Source:
    import pyarrow as pa
    import pyarrow.dataset as ds

    parts = given if isinstance(given, list | tuple) else [given]
    if other := [type(part).__name__ for part in parts if not isinstance(part, str | Path)]:
        raise DataError(
            f"data is a list with a {other[0]} in it, not of paths of files: make one table of "
            "tables in memory (pandas.concat), or sum one by one (nm.summarise, like=)"
        )
    paths, found = [str(path) for path in parts], list[str]()
    for path in paths:
        if any(sign in path for sign in "*?["):
            found += sorted(glob(path, recursive=True))  # noqa: PTH207
        elif "://" in path or Path(path).exists():
            found.append(path)
        else:
            raise DataError(
                f"data={path!r} is text, so it is a path, and there is no such file (a path may "
                "have wildcards, 'pupils/*.parquet')"
            )
    if not found:
        raise DataError(f"no file matches {', '.join(paths)}")
    files = found if len(found) > 1 else found[0]
    try:
        data = ds.dataset(files, format="parquet")
        if folders := _folders(data):
            keys = ds.partitioning(folders, flavor="hive")
            schema = pa.schema([*data.schema, *folders])
            data = ds.dataset(files, schema=schema, format="parquet", partitioning=keys)
    except Exception as error:  # whatever Arrow says of what is no Parquet
        if reader := _READERS.get(Path(found[0]).suffix.lower()):
            how = f'it is no Parquet file: read it first, data = pandas.{reader}("{found[0]}")'
            raise DataError(f"{found[0]} cannot be read as Parquet: {how}") from None
        raise DataError(f"{found[0]} cannot be read as Parquet ({error})") from error
    return _open_dataset(data, ", ".join(paths))


def _folders(data: Any) -> Any:
    """Columns of folders such as ``year=2024`` (Hive's), unless the files have them; or None."""
    import pyarrow as pa

    named = [
        dict(part.split("=", 1) for part in Path(file).parts[:-1] if "=" in part)
        for file in data.files
    ]
    names = [name for name in named[0] if all(name in keys for keys in named)] if named else []
    fields = []
    for name in names:
        if name in data.schema.names:
            continue
        values = {keys[name] for keys in named} - {"__HIVE_DEFAULT_PARTITION__"}
        whole = all(re.fullmatch(r"-?\d{1,18}", value) for value in values)
        fields.append(pa.field(name, pa.int64() if whole else pa.string()))
    return pa.schema(fields) if fields else None


def _open_dataset(data: Any, name: str) -> Source:
    partitions = list(_fragments(data))
    return Source(
        name=name,
        columns=tuple(data.schema.names),
        partitions=lambda: iter(partitions),
        count=len(partitions),
        ahead=True,
    )


def _fragments(data: Any) -> Iterator[Partition]:
    """Fragments, those of Parquet cut into groups of rows of a good size."""
    for number, fragment in enumerate(data.get_fragments()):
        path = getattr(fragment, "path", "")
        label, identity = path or f"fragment {number + 1}", _identity(path)
        state = file_state(fragment)
        if not hasattr(fragment, "row_groups"):
            read = partial(read_fragment, fragment, data.schema, label, state)
            yield Partition(label, read, identity)
            continue
        for ids in _grouped([(group.id, group.num_rows) for group in fragment.row_groups]):
            own = f"{label}, row groups {ids[0]}-{ids[-1]}"
            part = fragment.subset(row_group_ids=ids)
            yield Partition(
                own,
                partial(read_fragment, part, data.schema, own, state),
                f"{identity}#{ids[0]}-{ids[-1]}" if identity else "",
                partial(read_fragment, part, data.schema, own, state),
            )


def _grouped(groups: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Neighbouring row groups, together about as many rows as are read at a time."""
    some: list[int] = []
    total = 0
    for number, rows in groups:
        if some and total + rows > PARTITION_ROWS:
            yield some
            some, total = [], 0
        some.append(number)
        total += rows
    if some:
        yield some


def _identity(path: str) -> str:
    """The file, its size and when it was written: enough to know it again."""
    try:
        about = Path(path).stat()
    except OSError:
        return path
    return f"{Path(path).resolve()}@{about.st_size}:{about.st_mtime_ns}"


def _open_table(data: Any) -> Source:
    """A table in memory, cut into slices."""
    frame = Frame(data)
    if not (isinstance(data, pd.DataFrame) or is_arrow(data)):
        data = frame
    starts = range(0, max(frame.n, 1), PARTITION_ROWS)
    return Source(
        name="a table",
        columns=frame.column_names,
        partitions=lambda: (
            Partition(f"rows {low} to {low + PARTITION_ROWS}", partial(_slice, data, low))
            for low in starts
        ),
        count=len(starts),
    )


def _slice(data: Any, low: int, columns: Sequence[str]) -> Any:
    if isinstance(data, pd.DataFrame):
        return data[list(columns)].iloc[low : low + PARTITION_ROWS]
    if is_arrow(data):
        return data.select(list(columns)).slice(low, PARTITION_ROWS)
    return {name: data.series(name).iloc[low : low + PARTITION_ROWS] for name in columns}


def _open_stream(data: Any) -> Source:
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
            self._seen = [next(self._tables)]
        yield from self._numbered(iter(self._seen))

    def partitions(self) -> Iterator[Partition]:
        """All tables; a stream that can be opened again is."""
        if self._tables is None and self.once:
            raise DataError(
                "this stream can be read only once, and it must be read again; give a function "
                "that opens it: nm.lmer(formula, lambda: reader())"
            )
        rest, seen = self._tables or _batches(_reader(self._data)), self._seen
        self._tables, self._seen = None, []
        yield from self._numbered(chain(seen, rest))

    @staticmethod
    def _numbered(tables: Iterator[Any]) -> Iterator[Partition]:
        for number, table in enumerate(tables, start=1):
            yield Partition(f"part {number} of the stream", partial(_selected, table))


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
    return pa.RecordBatchReader.from_stream(opened)


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


def _open_dask(data: Any) -> Source:
    def delayed(columns: Sequence[str]) -> Sequence[Any]:
        parts: Sequence[Any] = data[list(columns)].to_delayed()
        return parts

    return Source(
        name=f"a Dask DataFrame of {data.npartitions} partitions",
        columns=tuple(str(name) for name in data.columns),
        partitions=lambda: (
            Partition(f"partition {k}", partial(_computed, data, k))
            for k in range(data.npartitions)
        ),
        count=data.npartitions,
        delayed=delayed,
    )


def _computed(data: Any, number: int, columns: Sequence[str]) -> Any:
    return data[list(columns)].partitions[number].compute()
