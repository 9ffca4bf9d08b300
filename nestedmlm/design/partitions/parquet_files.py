"""Parquet files and Arrow data sets as partitions: row groups of a good size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from nestedmlm.design.partitions.fragments import PARTITION_ROWS, file_state, read_fragment
from nestedmlm.design.partitions.partition import Partition, Source
from nestedmlm.errors import DataError, PartitionError

MOST_FILES = 3  # named in one message
# how files that are no Parquet are read, by the end of their name
_READERS = {
    ".csv": "read_csv", ".dta": "read_stata", ".feather": "read_feather", ".json": "read_json",
    ".jsonl": "read_json", ".ods": "read_excel", ".orc": "read_orc",
    ".sas7bdat": "read_sas", ".sav": "read_spss", ".tsv": "read_table",
    ".txt": "read_csv", ".xls": "read_excel", ".xlsx": "read_excel",
}  # fmt: skip
_PACKED = (".bz2", ".gz", ".xz", ".zip", ".zst")  # which pandas unpacks itself


def open_paths(given: Any) -> Source:
    """Find the partitions of Parquet files.

    Parameters
    ----------
    given : str, Path, or list of them
        A path may have wildcards, or be a directory; folders such as ``year=2024`` are columns.

    Returns
    -------
    Source
        Its columns are those of all files: one that a file lacks is an error where it is used.

    Raises
    ------
    DataError
        If there is no such file, the first is no Parquet, or one is named twice.
    PartitionError
        If another is no Parquet.
    """
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
        if any(sign in path for sign in "*?[") and not Path(path).exists():
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
        if reader := _reader(found[0]):
            how = f'it is no Parquet file: read it first, data = pandas.{reader}("{found[0]}")'
            raise DataError(f"{found[0]} cannot be read as Parquet: {how}") from None
        raise DataError(f"{found[0]} cannot be read as Parquet ({error})") from error
    if not data.files:
        raise DataError(f"there is no Parquet file in {', '.join(paths)}")
    _refuse_twice(data.files)
    source, names = _opened(data, ", ".join(paths))
    return replace(source, columns=tuple(dict.fromkeys((*source.columns, *names))))


def _reader(path: str) -> str | None:
    """Name of the function of pandas that reads a file of another kind."""
    ends = [end.lower() for end in Path(path).suffixes]
    if len(ends) > 1 and ends[-1] in _PACKED:
        ends.pop()
    return _READERS.get(ends[-1]) if ends else None


def _refuse_twice(files: Sequence[str]) -> None:
    places = [file if "://" in file else str(Path(file).resolve()) for file in files]
    twice = [file for file, count in Counter(places).items() if count > 1]
    if twice:
        raise DataError(
            f"{', '.join(twice[:MOST_FILES])}: named twice, so its rows would count twice; "
            "name each file once"
        )


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


def open_dataset(data: Any) -> Source:
    """Find the partitions of an Arrow data set.

    Parameters
    ----------
    data : pyarrow.dataset.Dataset

    Returns
    -------
    Source

    Raises
    ------
    PartitionError
        If a file is no Parquet.
    """
    return _opened(data, "an Arrow data set")[0]


def _opened(data: Any, name: str) -> tuple[Source, list[str]]:
    """The partitions, and the names of the columns that any Parquet file has."""
    names: list[str] = []
    partitions = list(_fragments(data, names))
    source = Source(
        name=name,
        columns=tuple(data.schema.names),
        partitions=lambda: iter(partitions),
        count=len(partitions),
        ahead=True,
    )
    return source, names


def _fragments(data: Any, names: list[str]) -> Iterator[Partition]:
    """Fragments, those of Parquet cut into groups of rows of a good size."""
    for number, fragment in enumerate(data.get_fragments()):
        path = getattr(fragment, "path", "")
        label = path or f"fragment {number + 1}"
        state = file_state(fragment)
        if not hasattr(type(fragment), "row_groups"):  # the property reads the file
            read = partial(read_fragment, fragment, data.schema, label, state)
            yield Partition(label, read, path)
            continue
        groups = _row_groups(fragment, label)
        names += fragment.physical_schema.names
        for ids in _grouped(groups):
            own = f"{label}, row groups {ids[0]}-{ids[-1]}"
            part = fragment.subset(row_group_ids=ids)
            yield Partition(
                own,
                partial(read_fragment, part, data.schema, own, state),
                path,
                partial(read_fragment, part, data.schema, own, state),
            )


def _row_groups(fragment: Any, label: str) -> list[tuple[int, int]]:
    """Number and rows of each; the end of the file is read for it."""
    import pyarrow as pa

    try:
        return [(group.id, group.num_rows) for group in fragment.row_groups]
    except (OSError, pa.ArrowException) as error:
        raise PartitionError(
            f"{label} cannot be read as Parquet: is it whole, and does it belong to the data? "
            f"({error})",
            label,
        ) from error


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
