"""Marginal means and contrasts in the layout of R's emmeans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.frame.values import level_label
from nestedmlm.inference.means.adjustments import ADJUSTMENTS, of_tail
from nestedmlm.inference.means.null_hypothesis import ZERO, NullHypothesis
from nestedmlm.views.posterior.cells import level_names
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers, justify, round_r, zapsmall
from nestedmlm.views.render.view import View, blank, note

_POSTERIOR = "posterior"  # in the place of a method of degrees of freedom
_LEAST_DIGITS = 3  # significant, as emmeans prints
_STEPWISE = frozenset(["holm", "hochberg", "fdr"])  # intervals are Bonferroni's


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalTable:
    """Means or contrasts with labels, numbers and notes, as they are printed.

    Attributes
    ----------
    frame : DataFrame
        Labels and numbers.
    labels : tuple of str
        The label columns.
    by : tuple of str
        Those that become headings.
    blocks : tuple of arrays of int
        Rows under each heading.
    means : tuple of float
        Number of means compared in each block.
    name, level, adjust, ddf, rank, intervals, tests, averaged, notes
        See `nestedmlm.fits.means.marginal_means.Emmeans`.
    null : tuple of float or None
        What the test of each row is of, where not all are of zero.
    ratios : bool
        Whether estimates are ratios.
    hypothesis : NullHypothesis
        What the tests are of.
    letters : tuple of str or None
        Of a compact letter display: the letters of each row.
    contrasts : bool
        Whether the rows are contrasts.
    """

    frame: pd.DataFrame
    labels: tuple[str, ...]
    by: tuple[str, ...]
    blocks: tuple[np.ndarray, ...]
    means: tuple[float, ...]
    name: str
    level: float
    adjust: str
    ddf: str
    rank: int
    intervals: bool
    tests: bool
    averaged: tuple[str, ...]
    notes: tuple[str, ...]
    null: tuple[float, ...] | None = None
    ratios: bool = False
    hypothesis: NullHypothesis = ZERO
    letters: tuple[str, ...] | None = None
    contrasts: bool = False


def marginal_view(table: MarginalTable) -> View:
    """Build the document: one table for each block, then how the numbers were made."""
    shown = [name for name in table.labels if name not in table.by]
    cells, headings, numeric = _columns(table, shown)
    blocks: list[Block] = []
    for number, rows in enumerate(table.blocks):
        if table.by:
            blocks.append(Text((_heading(table, int(rows[0])),), role="heading"))
        frame = table.frame if number == 0 else table.frame.iloc[rows]
        blocks.append(
            Table(
                name="" if number else "estimates",
                frame=frame,
                cells=tuple(tuple(column[row] for column in cells) for row in rows.tolist()),
                rows=("",) * len(rows),
                columns=headings,
                numeric=numeric,
            )
        )
        blocks.append(blank())
    return View((*blocks, note(*_footer(table))))


def _columns(
    table: MarginalTable, shown: Sequence[str]
) -> tuple[list[list[str]], tuple[str, ...], tuple[int, ...]]:
    """Cells column by column, headings, and which columns hold numbers."""
    frame = table.frame
    digits = _digits(frame)
    cells, headings, numeric = [], [], []
    for name in shown:
        texts, is_number = _label_cells(frame[name], digits)
        heading = name if is_number else justify([name, *texts], right=False)[0]
        cells.append(texts if is_number else justify([*texts, name], right=False)[:-1])
        headings.append(heading)
        numeric += [len(cells) - 1] if is_number else []
    for heading, texts in _number_cells(table, digits):
        cells.append(texts)
        headings.append(heading)
        numeric.append(len(cells) - 1)
    if table.letters is not None:
        heading, *texts = justify([".group", *table.letters], right=False)
        cells.append(texts)
        headings.append(heading)
    return cells, tuple(headings), tuple(numeric)


def _label_cells(column: pd.Series, digits: int) -> tuple[list[str], bool]:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return format_numbers(zapsmall(column), digits=digits), True
    return [level_label(value) for value in column], False


def _number_cells(table: MarginalTable, digits: int) -> list[tuple[str, list[str]]]:
    frame = table.frame
    known = ~frame["estimate"].isna().to_numpy()
    posterior = table.ddf == _POSTERIOR
    endless = not posterior and bool(np.all(np.isinf(frame["df"][known])))

    def plain(name: str, values: Any = None) -> list[str]:
        numbers = zapsmall(frame[name] if values is None else values)
        return format_numbers(numbers, digits=digits, na="NA")

    estimates = plain("estimate")
    estimates = [text if ok else "nonEst" for text, ok in zip(estimates, known, strict=True)]
    if posterior:
        out = [(table.name, estimates), ("Post.SD", plain("std_error"))]
        if table.intervals:
            names = level_names(table.level)
            out += [(names[0], plain("conf_low")), (names[1], plain("conf_high"))]
        if not table.tests:
            return out
        tested = table.hypothesis
        if len(tested.null) > 1 and table.null is not None:
            out.append(("null", plain("null", np.array(table.null))))
        return [*out, (tested.event, fixed_decimals(frame["probability"], 3))]
    out = [
        (table.name, estimates),
        ("SE", plain("std_error")),
        ("df", plain("df", round_r(zapsmall(frame["df"]), 2))),
    ]
    if table.intervals:
        low, high = ("asymp.LCL", "asymp.UCL") if endless else ("lower.CL", "upper.CL")
        out += [(low, plain("conf_low")), (high, plain("conf_high"))]
    if table.tests:
        ratio = "z.ratio" if endless else "t.ratio"
        if table.null is not None:
            out.append(("null", plain("null", np.array(table.null))))
        out += [
            (ratio, fixed_decimals(frame["statistic"], 3)),
            ("p.value", p_value_texts(frame["p_value"])),
        ]
    return out


def fixed_decimals(values: pd.Series, decimals: int) -> list[str]:
    """Write with so many decimals, never in scientific notation."""
    rounded = round_r(zapsmall(values), decimals)
    texts = ["NA" if math.isnan(x) else f"{x + 0.0:.{decimals}f}" for x in rounded.tolist()]
    return justify(texts, right=True)


def p_value_texts(values: pd.Series) -> list[str]:
    """Write p-values with four decimals, as emmeans."""
    return [" <.0001" if text.strip() == "0.0000" else text for text in fixed_decimals(values, 4)]


def _digits(frame: pd.DataFrame) -> int:
    """Significant digits with which the ends of estimate -+ 2 SE can be told apart."""
    digits = _LEAST_DIGITS
    known = frame[["estimate", "std_error"]].dropna()
    for estimate, se in zip(zapsmall(known["estimate"]), zapsmall(known["std_error"]), strict=True):
        ends = estimate + se * np.array([-2.0, 0.0, 2.0])
        largest = float(np.abs(ends).max())
        width = float(np.ptp(ends)) / largest if largest > 0 else 0.0
        if width > 1e-8:
            digits = max(digits, round(1.51 - math.log10(width)))
    return digits


def _heading(table: MarginalTable, row: int) -> str:
    parts = []
    for name in table.by:
        texts, _ = _label_cells(table.frame[name], _digits(table.frame))
        parts.append(f"{name} = {texts[row].strip()}")
    return ", ".join(parts) + ":"


def _footer(table: MarginalTable) -> list[str]:
    lines = []
    if table.averaged:
        lines.append(f"Results are averaged over the levels of: {', '.join(table.averaged)}")
    if table.ddf == _POSTERIOR:
        lines.append("Posterior means, standard deviations and equal-tailed intervals")
        return [*lines, *table.notes]
    method = "asymptotic" if table.ddf == "none" else table.ddf
    lines.append(f"Degrees-of-freedom method: {method}")
    if table.intervals:
        lines.append(f"Confidence level used: {table.level:g}")
        side = table.hypothesis.side
        lines += _says(table, of_tail(table.adjust, side), "Conf-level adjustment", "estimates")
    if table.tests:
        lines += adjustment_note(table)
    return [*lines, *table.notes]


def adjustment_note(table: MarginalTable) -> list[str]:
    """The line about adjusted p-values; none where there is nothing to adjust."""
    tail = table.hypothesis.tail
    return _says(table, of_tail(table.adjust, tail), "P value adjustment", "tests")


def _says(table: MarginalTable, adjust: str, what: str, of: str) -> list[str]:
    """The line about the adjustment; none where it changes nothing."""
    sizes = {len(rows) for rows in table.blocks}
    if adjust == "none" or max(sizes, default=0) < 2:
        return []
    if of == "estimates" and adjust in _STEPWISE:
        adjust = "bonferroni"
    words = {
        "size": next(iter(sizes)) if len(sizes) == 1 else "(varies)",
        "means": f"{table.means[0]:g}" if len(set(table.means)) == 1 else "(varies)",
        "rank": table.rank if len(table.blocks) == 1 else "(varies)",
    }
    text = ADJUSTMENTS[adjust].says.format(**words).replace("tests", of)
    return [f"{what}: {adjust} method{text}"]
