"""Fragment of an Arrow data set: its rows, and whether its file is the one that was opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestedmlm.errors import PartitionError

PARTITION_ROWS = 500_000  # rows read at a time, where the data leave the choice to us


def file_state(fragment: Any) -> tuple[Any, ...] | None:
    """Size and time of a file, wherever it is; None of what is no file."""
    path = getattr(fragment, "path", "")
    if not path:
        return None
    try:
        about = fragment.filesystem.get_file_info(path)
    except OSError:
        return None
    return (about.type.name, about.size, about.mtime_ns)


def _check_unchanged(fragment: Any, state: tuple[Any, ...] | None, label: str) -> None:
    """Refuse a file that is another one than when the partitions were found."""
    if state is not None and file_state(fragment) != state:
        raise PartitionError(
            f"{label}: the file {fragment.path} has changed since the data were opened (its size "
            "or its time), so what was learned of it no longer holds: wait until it is written, "
            "and read all of the data anew",
            label,
        )


def read_fragment(
    fragment: Any,
    schema: Any,
    label: str,
    state: tuple[Any, ...] | None,
    columns: Sequence[str],
    first: int | None = None,
) -> Any:
    """Read columns of a fragment.

    Parameters
    ----------
    fragment : pyarrow.dataset.Fragment
    schema : pyarrow.Schema
        Of the whole data set.
    label : str
        For messages.
    state : tuple or None
        `file_state` when the data were opened.
    columns : sequence of str
    first : int, optional
        Read so many rows only.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    PartitionError
        If the file cannot be read, has other columns, or has changed.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    _check_unchanged(fragment, state, label)
    physical = fragment.physical_schema
    keys = ds.get_partition_keys(fragment.partition_expression)
    for name in columns:
        if name not in physical.names and name not in keys:
            raise PartitionError(
                f"{label}: the column {name} is not there; its columns are "
                f"{', '.join(physical.names[:20])}",
                label,
            )
    for name in keys:  # of directories such as year=2024
        if name in columns and name not in physical.names:
            physical = physical.append(schema.field(name))
    try:
        if first is not None and hasattr(fragment, "row_groups") and not keys:
            table = _first_rows(fragment, columns, first)
        elif first is not None:
            some = fragment.scanner(schema=physical, columns=list(columns), batch_size=first)
            table = some.head(first)
        else:  # in one piece: pieces would be copied into one; threads of Arrow's cost a fifth more
            table = fragment.to_table(
                schema=physical,
                columns=list(columns),
                batch_size=2 * PARTITION_ROWS,
                use_threads=False,
            )
    except (OSError, pa.ArrowException) as error:
        _check_unchanged(fragment, state, label)
        raise PartitionError(f"{label} cannot be read: {error}", label) from error
    _check_unchanged(fragment, state, label)
    return table


def _first_rows(fragment: Any, columns: Sequence[str], number: int) -> Any:
    """First rows of some row groups, without decoding the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with fragment.open() as file:
        groups = [group.id for group in fragment.row_groups]
        batches = pq.ParquetFile(file).iter_batches(number, row_groups=groups, columns=columns)
        found = next(batches, None)
        empty = fragment.physical_schema.empty_table().select(list(columns))
        return empty if found is None else pa.Table.from_batches([found]).select(list(columns))
