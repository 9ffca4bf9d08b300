"""R's ``printCoefmat``: the cells of a table of coefficients or of an analysis of variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.views.render.rformat import (
    format_numbers,
    format_pvalues,
    justify,
    round_r,
    significance_stars,
    zapsmall,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoefmatLayout:
    """Kinds of a table's columns: estimates, statistics, p-values; others are plain numbers.

    Attributes
    ----------
    estimates : tuple of int
        Estimates and standard errors: formatted together.
    tests : tuple of int
        Test statistics: rounded to `digits` - 1 decimals.
    zapped : tuple of int
        Columns whose rounding noise is set to zero first.
    pvalue : int or None
        The column with p-values; stars follow it when one is below 0.1.
    digits : int
        Significant digits.
    na : str
        What to write for NaN.
    """

    estimates: tuple[int, ...] = ()
    tests: tuple[int, ...] = ()
    zapped: tuple[int, ...] = ()
    pvalue: int | None = None
    digits: int = field(default=4)
    na: str = "NA"


def coefmat_cells(values: FloatArray, layout: CoefmatLayout) -> tuple[list[list[str]], bool]:
    """Format a numeric table as R's ``printCoefmat`` does.

    Parameters
    ----------
    values : array, shape (rows, columns)
    layout : CoefmatLayout

    Returns
    -------
    cells : list of rows of str
        With one more column for the stars when there are any.
    starred : bool
        Whether the stars were added.
    """
    x = np.array(values, dtype=float)
    for j in layout.zapped:
        x[:, j] = zapsmall(x[:, j], layout.digits)
    cells = np.full(x.shape, "", dtype=object)
    _put(cells, layout.estimates, _estimates(x[:, list(layout.estimates)], layout.digits))
    _put(cells, layout.tests, _tests(x[:, list(layout.tests)], layout.digits))
    special = {*layout.estimates, *layout.tests, layout.pvalue}
    for j in set(range(x.shape[1])) - special:
        _put(cells, (j,), format_numbers(x[:, j], digits=layout.digits, na="NA"))
    _show_small(cells, x, layout)
    cells[np.isnan(x)] = layout.na
    starred = _add_pvalues(cells, x, layout)
    rows: list[list[str]] = [[str(cell) for cell in row] for row in cells]
    if layout.pvalue is not None and starred:
        stars = justify(significance_stars(x[:, layout.pvalue]), right=False)
        rows = [[*row, star] for row, star in zip(rows, stars, strict=True)]
    return rows, starred


def _put(cells: np.ndarray, columns: Sequence[int], texts: Sequence[str]) -> None:
    """Write texts, row by row, into the given columns."""
    for place, text in enumerate(texts):
        row, column = divmod(place, len(columns))
        cells[row, columns[column]] = text


def _estimates(x: FloatArray, digits: int) -> list[str]:
    if x.size == 0:
        return []
    sizes = np.abs(x[np.isfinite(x) & (x != 0)])
    leading = 1 + int(np.floor(np.log10(sizes.min()))) if sizes.size else 1
    return format_numbers(round_r(x, max(1, digits - leading)), digits=digits)


def _tests(x: FloatArray, digits: int) -> list[str]:
    if x.size == 0:
        return []
    return format_numbers(round_r(x, statistic_digits(digits)), digits=digits)


def statistic_digits(digits: int) -> int:
    """Digits of test statistics and p-values, given those of estimates."""
    return max(1, min(5, digits - 1))


def _show_small(cells: np.ndarray, x: FloatArray, layout: CoefmatLayout) -> None:
    """Give non-zero numbers that came out as ``0.000`` a format in which they show."""
    left_out = {*layout.tests, layout.pvalue}
    places = [
        (i, j)
        for j in range(x.shape[1])
        if j not in left_out
        for i in range(x.shape[0])
        if np.isfinite(x[i, j]) and (x[i, j] == 0) != (float(cells[i, j]) == 0)
    ]
    texts = format_numbers([x[place] for place in places], digits=max(1, layout.digits - 1))
    for place, text in zip(places, texts, strict=True):
        cells[place] = text


def _add_pvalues(cells: np.ndarray, x: FloatArray, layout: CoefmatLayout) -> bool:
    """Write the p-values; tell whether any deserves a star."""
    if layout.pvalue is None:
        return False
    p = x[:, layout.pvalue]
    known = np.flatnonzero(~np.isnan(p))
    texts = format_pvalues(p[known], digits=statistic_digits(layout.digits))
    for row, text in zip(known, texts, strict=True):
        cells[row, layout.pvalue] = text
    return bool(np.any(p[known] < 0.1))
