"""Cells that the views of posteriors share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.views.render.blocks import Table
from nestedmlm.views.render.rformat import format_numbers

DIGITS = 4  # significant digits
_MAX_DECIMALS = 8  # of an estimate; where its spread needs more it is written with an exponent

Formatter = Callable[[Any], list[str]]


def significant(values: Any) -> list[str]:
    """Write numbers with four significant digits, blank where missing."""
    numbers = np.asarray(values, dtype=float)
    known = np.isfinite(numbers)
    texts = iter(format_numbers(numbers[known], digits=DIGITS) if known.any() else [])
    return [next(texts) if ok else "" for ok in known]


def by_spread(
    frame: pd.DataFrame, columns: Sequence[str], spread: str = "std_error", otherwise: str = ""
) -> pd.DataFrame:
    """Write columns to the decimal that the row's spread deserves: three digits of it.

    Where `spread` is missing or 0 the column named by `otherwise` is the spread, and without one
    the row's largest number, to two decimals at least.
    Numbers that would need more than eight decimals have an exponent: ``1.047e-09``.
    """
    numbers = frame[list(columns)].to_numpy(dtype=float)
    size = np.max(np.abs(numbers), axis=1, initial=0.0, where=np.isfinite(numbers))
    sd = np.where(size > 0, np.minimum(size, 1.0), 1.0)
    for name in filter(None, (otherwise, spread)):
        given = frame[name].to_numpy(dtype=float)
        sd = np.where(np.isfinite(given) & (given > 0), given, sd)
    decimals = np.maximum(2 - np.floor(np.log10(sd)), 0).astype(int)
    out = {
        name: [
            to_decimal(x, d)
            for x, d in zip(frame[name].to_numpy(dtype=float), decimals, strict=True)
        ]
        for name in columns
    }
    return frame.assign(**out)


def to_decimal(number: float, decimals: int) -> str:
    """Write a number to so many decimals, with an exponent if they are many; blank for NaN."""
    if np.isnan(number):
        return ""
    if decimals <= _MAX_DECIMALS:
        return f"{number:.{decimals}f}"
    first = int(np.floor(np.log10(abs(number)))) if number else -decimals
    return f"{number:.{max(first + decimals, 0)}e}"


def fixed_point(decimals: int) -> Formatter:
    """Make a formatter with so many decimals."""

    def write(values: Any) -> list[str]:
        return ["" if np.isnan(x) else f"{x:.{decimals}f}" for x in np.asarray(values, float)]

    return write


def whole(values: Any) -> list[str]:
    """Write whole numbers."""
    return ["" if np.isnan(x) else f"{x:.0f}" for x in np.asarray(values, dtype=float)]


def text(values: Any) -> list[str]:
    """Write values as text."""
    return ["" if value is None else str(value) for value in values]


def as_is(values: Any) -> list[str]:
    """Pass on what is formatted already, to be aligned as numbers."""
    return list(values)


def level_names(level: float) -> tuple[str, str]:
    """Headings of the ends of an equal-tailed interval: ``2.5 %``, ``97.5 %``."""
    low = 50.0 * (1.0 - level)
    return f"{low:.6g} %", f"{100.0 - low:.6g} %"


def frame_table(
    name: str,
    frame: pd.DataFrame,
    columns: Mapping[str, tuple[str, Formatter]],
    *,
    rows: Sequence[str] | None = None,
    shown: pd.DataFrame | None = None,
) -> Table:
    """Lay out some columns of a data frame.

    Parameters
    ----------
    name : str
        Key in ``.tables``.
    frame : DataFrame
        The numbers behind the table.
    columns : mapping of str to (str, callable)
        Column of the frame -> heading and formatter; a column without a cell is left out.
    rows : sequence of str, optional
        Row labels.
    shown : DataFrame, optional
        What is formatted, where that is not the frame itself.
    """
    source = frame if shown is None else shown
    written = [(head, write, write(source[name])) for name, (head, write) in columns.items()]
    written = [column for column in written if any(column[2])]
    labels = tuple(rows) if rows is not None else ("",) * len(source)
    left = [i for i, (_, write, _) in enumerate(written) if write is text]
    padded = [_left([h, *c]) if i in left else [h, *c] for i, (h, _, c) in enumerate(written)]
    lines = list(zip(*padded, strict=True))  # headings of text stand on the left, too
    return Table(
        name=name,
        frame=frame,
        cells=tuple(lines[1:]),
        rows=labels,
        columns=lines[0] if lines else (),
        numeric=tuple(i for i in range(len(written)) if i not in left),
    )


def _left(cells: list[str]) -> list[str]:
    """Pad text on the right, so that it stays on the left of a right-aligned column."""
    width = max(map(len, cells), default=0)
    return [cell.ljust(width) for cell in cells]
