"""`Source` of partitions: Parquet files, Arrow data sets and streams, tables, Dask's frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nestedmlm.design.frame.arrow_columns import is_arrow
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.partitions.fragments import PARTITION_ROWS
from nestedmlm.design.partitions.parquet_files import open_dataset, open_paths
from nestedmlm.design.partitions.partition import Partition, Source
from nestedmlm.design.partitions.streams import open_stream
from nestedmlm.errors import ColumnNotFoundError, DataError


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
        return any(isinstance(part, str | Path) for part in data)  # also if others are none
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
        return open_paths(data)
    if _is_dataset(data):
        return open_dataset(data)
    if is_dask(data):
        return _open_dask(data)
    if _is_polars(data, "LazyFrame"):
        data = _collected(data)
    if isinstance(data, pd.DataFrame) or is_arrow(data) or hasattr(data, "items"):
        return _open_table(data)
    if hasattr(data, "__arrow_c_stream__") or callable(data):
        return open_stream(data)
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
            Partition(
                f"rows {low} to {min(low + PARTITION_ROWS, frame.n)}", partial(_slice, data, low)
            )
            for low in starts
        ),
        count=len(starts),
    )


def _slice(data: Any, low: int, columns: Sequence[str]) -> Any:
    there = data.columns if isinstance(data, pd.DataFrame) else data.column_names
    for name in columns:
        if name not in there:
            raise ColumnNotFoundError(
                f"the table has no column {name}; its columns are {', '.join(map(str, there))}"
            )
    if isinstance(data, pd.DataFrame):
        return data[list(columns)].iloc[low : low + PARTITION_ROWS]
    if is_arrow(data):
        return data.select(list(columns)).slice(low, PARTITION_ROWS)
    return {name: data.series(name).iloc[low : low + PARTITION_ROWS] for name in columns}


def _open_dask(data: Any) -> Source:
    if not hasattr(data, "columns") or data.ndim != 2:
        raise DataError(f"data must be a Dask DataFrame, not a {type(data).__name__} of Dask's")

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
