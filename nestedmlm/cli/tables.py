"""Files in and out: reading a CSV file, saving the tables of a fit as JSON."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import math
import sys
import zipfile
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import ColumnNotFoundError, DataError, DatasetError

STDIN = "-"
WORKBOOKS = (".xlsx", ".xls", ".ods")
_LARGEST = 2.0**63  # of whole numbers that pandas reads as such where some are missing
_EXACT = 2.0**53  # floats from here on are not all the whole numbers


def table_name(path: Path) -> str:
    """How a table is called in print: the file's name."""
    return "standard input" if str(path) == STDIN else path.name


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file or a workbook (compressed files by their suffix; ``-``: standard input).

    Columns may be separated by commas, or by semicolons or tabs, where the header has no comma;
    with semicolons, as Excel writes them in much of Europe, numbers have decimal commas (points are
    read too, where the file has those).

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    pandas.DataFrame
        Its columns as pandas reads them.

    Raises
    ------
    DatasetError
        When the file cannot be opened.
    DataError
        When it is neither, or is empty.
    """
    workbook = path.suffix.lower() in WORKBOOKS
    try:
        if workbook:
            return pd.read_excel(path)
        source = io.StringIO(sys.stdin.read()) if str(path) == STDIN else path
        frame = _read_csv(source)
        header = str(frame.columns[0])
        sep = next((sign for sign in (";", "\t") if sign in header), None)
        if len(frame.columns) > 1 or sep is None:
            return frame
        frames = [
            _read_csv(source, sep=sep, decimal=decimal) for decimal in (",.", ".")[sep == "\t"]
        ]
        return max(frames, key=lambda frame: frame.select_dtypes("number").shape[1])
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError, ImportError, zipfile.BadZipFile, zlib.error, LZMAError) as error:
        # pandas' own errors are ValueErrors, as is a file of another encoding
        kind = "a workbook" if workbook else "CSV"
        raise DataError(f"{table_name(path)} cannot be read as {kind}: {error}") from error


def _read_csv(source: io.StringIO | Path, **how: Any) -> pd.DataFrame:
    """Read a CSV file; whole numbers beyond 2^53 with missing ones among them are no floats."""
    frame = _from_the_start(source, **how)
    for column in frame.select_dtypes("float"):
        if _EXACT <= frame[column].abs().max() < _LARGEST:
            with contextlib.suppress(ValueError, TypeError):  # no whole numbers
                kind = {column: "Int64"}
                frame[column] = _from_the_start(source, usecols=[column], dtype=kind, **how)[column]
    for column in frame.select_dtypes(["object", "string"]):
        # pandas leaves whole numbers beyond 2^63 as text where one is missing, and that one empty
        frame[column] = frame[column].mask(frame[column] == "")
    return frame


def _from_the_start(source: io.StringIO | Path, **how: Any) -> pd.DataFrame:
    if isinstance(source, io.StringIO):
        source.seek(0)
    return pd.read_csv(source, **how)


def with_factors(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Turn columns into factors, for numbers that are codes.

    Parameters
    ----------
    frame : pandas.DataFrame
        Data as read.
    columns : sequence of str
        Columns to turn into categories, their levels sorted.

    Returns
    -------
    pandas.DataFrame
        A copy with categories.

    Raises
    ------
    ColumnNotFoundError
        When a column does not exist; names the nearest one.
    """
    known = [str(name) for name in frame.columns]
    for name in columns:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3) or known
            raise ColumnNotFoundError(
                f"--factor {name}: no such column; near it: {', '.join(close)}."
            )
    return frame.astype(dict.fromkeys(columns, "category"))


def save_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record of numbers, text and data frames as JSON; missing values become null.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    record : dict
        Values; a frame becomes a list of rows with its index as first columns.

    Raises
    ------
    DatasetError
        When the file cannot be written.
    """
    text = json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"Cannot write {path}: {error.strerror or error}.") from error


def _plain(value: Any) -> Any:
    """Values as JSON knows them."""
    if isinstance(value, pd.DataFrame):
        rows = value if isinstance(value.index, pd.RangeIndex) else value.reset_index(names="name")
        return _plain(rows.to_dict("records"))
    if isinstance(value, pd.Series):
        return _plain(value.to_dict())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
