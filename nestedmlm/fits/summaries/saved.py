"""Saved summaries: a Parquet file of one row per cell, and all else as plain text; no pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.design.frame.values import Factor, Vector
from nestedmlm.errors import DataError
from nestedmlm.fits.model_source import ModelOptions
from nestedmlm.fits.summaries.data_summary import Summary
from nestedmlm.posterior.records import read_records, write_records
from nestedmlm.statistics.cells.cell_sums import packed_places

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2  # of the file
_KEY = b"nestedmlm"
_OPTIONS = ("weights", "offset", "contrasts", "na_action", "double_bar")


def to_arrow(summary: Summary) -> pa.Table:
    """Turn a summary into an Arrow table.

    Parameters
    ----------
    summary : Summary

    Returns
    -------
    pyarrow.Table
        One row a cell: keys, number of rows, sums of products. All else is in its metadata.
    """
    import pyarrow as pa

    cells = summary.cells
    names, columns = [], []
    empty: dict[str, Any] = {}
    for name, value in cells.keys.items():
        names.append(f"key {name}")
        if isinstance(value, Factor):
            columns.append(pa.array(np.asarray(value.codes)))
            empty[name] = replace(value, codes=np.zeros(0, dtype=np.int32))
        else:
            columns.append(pa.array(np.asarray(value)))
            empty[name] = np.asarray(value)[:0]
    names.append("rows")
    columns.append(pa.array(cells.counts))
    for row, (a, c) in zip(cells.products, packed_places(cells.kz, cells.d), strict=True):
        names.append(f"product {a} {c}")
        columns.append(pa.array(row))
    bare = replace(cells, keys=empty, products=np.zeros((0, 0)), counts=np.zeros(0, np.int64))
    text, arrays = write_records(
        {
            "format": FORMAT,
            "plan": replace(summary.plan, pilot=None),
            "cells": bare,
            "options": {name: getattr(summary.options, name) for name in _OPTIONS},
            "source_name": summary.source_name,
            "parts": summary.parts,
        }
    )
    packed = BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    metadata = {_KEY: text.encode(), _KEY + b" arrays": packed.getvalue()}
    return pa.table(columns, names=names).replace_schema_metadata(metadata)


def from_arrow(
    table: pa.Table, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Summary:
    """Turn what `to_arrow` made into a summary.

    Parameters
    ----------
    table : pyarrow.Table
    functions : mapping of str to callable, optional
        The caller's functions that the formula uses.

    Returns
    -------
    Summary

    Raises
    ------
    DataError
        If it is another table.
    """
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise DataError("this Parquet file holds no summary of nestedmlm's (nm.summarise, save)")
    with np.load(BytesIO(metadata[_KEY + b" arrays"]), allow_pickle=False) as arrays:
        found = read_records(metadata[_KEY].decode(), dict(arrays), functions or {})
    if found["format"] != FORMAT:
        raise DataError(
            f"this summary is of format {found['format']}, and this version of nestedmlm reads "
            f"{FORMAT}: read it with the version that wrote it"
        )
    bare = found["cells"]
    keys: dict[str, Vector] = {}
    for name, value in bare.keys.items():
        column = table.column(f"key {name}").to_numpy()
        keys[name] = replace(value, codes=column) if isinstance(value, Factor) else column
    places = packed_places(bare.kz, len(bare.sums))
    products = np.empty((len(places), table.num_rows))
    for row, (a, c) in zip(products, places, strict=True):
        row[:] = table.column(f"product {a} {c}").to_numpy()
    cells = replace(bare, keys=keys, products=products, counts=table.column("rows").to_numpy())
    return Summary(
        plan=found["plan"],
        cells=cells,
        options=ModelOptions(**found["options"]),
        source_name=found["source_name"],
        parts=found["parts"],
    )


def save(summary: Summary, path: str | Path) -> None:
    """Write a summary to a Parquet file.

    Parameters
    ----------
    path : str or Path
        Written whole or not at all.

    Raises
    ------
    DataError
        If the formula uses a value of the caller's that a file cannot hold, or there is no such
        directory.

    Examples
    --------
    >>> import nestedmlm as nm, tempfile, pathlib
    >>> s = nm.summarise("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dyestuff.nms"
    >>> s.save(path)
    >>> nm.load_summary(path).fit().criterion == s.fit().criterion
    True
    """
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.parent.is_dir():
        raise DataError(f"there is no directory {str(path.parent)!r} to save in")
    beside = path.with_name(path.name + ".part")
    try:
        pq.write_table(to_arrow(summary), beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@checked
def load_summary(
    path: str | Path, *, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Summary:
    """Read a summary that `Summary.save` wrote.

    Parameters
    ----------
    path : str or Path
    functions : mapping of str to callable, optional
        The caller's functions that the formula uses, by name: they are asked for where other rows
        are read (predictions, ``like=``), not for fits.

    Returns
    -------
    Summary

    Raises
    ------
    DataError
        If there is no such file, or it holds something else.

    Examples
    --------
    >>> import nestedmlm as nm, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sleep.nms"
    >>> nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy")).save(path)
    >>> nm.load_summary(path).nobs
    180
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no Parquet file ({error})") from error
    return from_arrow(table, functions)
