"""Rows of data in partitions: predictions, and tables of fitted values, one partition at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.partitions.on_partitions import each_partition
from nestedmlm.design.partitions.sources import is_dask, open_source
from nestedmlm.errors import OptionError

Predict = Callable[[Any], Any]


def predicted(data: Any, predict: Predict) -> Any:
    """Predictions of every partition.

    Parameters
    ----------
    data : source
    predict : callable
        ``table -> Series or DataFrame``.

    Returns
    -------
    Dask Series or DataFrame, or iterator
        Dask's are lazy; of all other data one Series or DataFrame a partition.
    """
    if is_dask(data):
        return _lazily(data, predict)
    return _iterated(data, predict)


def lazily_augmented(data: Any, columns: Callable[[Any], pd.DataFrame]) -> Any:
    """A Dask DataFrame with columns of the fit beside its own, not computed yet.

    Parameters
    ----------
    data : Dask DataFrame
    columns : callable
        ``table -> DataFrame`` of as many rows.
    """
    return _lazily(data, partial(beside_frame, columns))


def _lazily(data: Any, make: Callable[[Any], Any]) -> Any:
    # no rows: Dask's made-up ones would have levels that were not there at the fit
    return data.map_partitions(partial(_of_frame, make), meta=make(data._meta))


def _of_frame(make: Callable[[Any], Any], frame: pd.DataFrame) -> Any:
    return make(frame)


def beside_frame(columns: Callable[[Any], pd.DataFrame], frame: pd.DataFrame) -> pd.DataFrame:
    """A table with columns of the fit beside its own."""
    numbers = columns(frame)
    return frame.assign(
        **{_free_name(name, frame.columns): numbers[name].to_numpy(dtype=float) for name in numbers}
    )


def _free_name(name: str, taken: Any) -> str:
    return f".{name}" if name in taken else name


def _iterated(data: Any, predict: Predict) -> Iterator[Any]:
    source = open_source(data)
    yield from each_partition(source, source.columns, partial(_on_table, predict), "predictions")


def _on_table(predict: Predict, table: Any, label: str) -> Any:
    return predict(table)


def write_augmented(data: Any, columns: Callable[[Any], pd.DataFrame], sink: str | Path) -> Path:
    """Write data with columns of the fit beside them to a Parquet file.

    Parameters
    ----------
    data : source
    columns : callable
        ``table -> DataFrame`` of as many rows.
    sink : str or Path
        Written whole or not at all.

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        If the file is among the data.
    """
    import pyarrow.parquet as pq

    source, target = open_source(data), Path(sink)
    if target.exists() and any(_is_file(target, part.path) for part in source.partitions()):
        raise OptionError(f"sink={str(sink)!r} is one of the files that are read")
    beside, writer = target.with_name(target.name + ".part"), None
    try:
        for table in each_partition(
            source, source.columns, partial(_augmented, columns), "partitions"
        ):
            if not table.num_rows and writer is not None:
                continue
            writer = writer or pq.ParquetWriter(beside, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()
            beside.replace(target)
    finally:
        if writer is not None:
            writer.close()
        beside.unlink(missing_ok=True)
    return target


def _is_file(target: Path, path: str) -> bool:
    """Whether a partition's path, if it has one on this machine, is that file."""
    return bool(path) and Path(path).exists() and target.samefile(path)


def _augmented(columns: Callable[[Any], pd.DataFrame], table: Any, label: str) -> Any:
    import pyarrow as pa

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(as_frame(table), preserve_index=False)
    numbers = columns(table)
    for name in numbers.columns:
        own = pa.array(numbers[name].to_numpy(dtype=float))
        table = table.append_column(_free_name(name, table.column_names), own)
    return table


def as_frame(table: Any) -> pd.DataFrame:
    """A partition as a DataFrame."""
    if isinstance(table, pd.DataFrame):
        return table
    frame = Frame(table)
    return pd.DataFrame({name: frame.series(name) for name in frame.column_names})
