"""`Design` of a large table: from sums over its rows, which are built when something asks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nestedmlm.design.build import built_design
from nestedmlm.design.design import Design
from nestedmlm.design.rows import LateRows, Rows
from nestedmlm.design.table_rows import table_rows
from nestedmlm.fits.model_source import Source
from nestedmlm.formula import Formula
from nestedmlm.statistics.cells.table_design import table_design


def summed_design(source: Source, formula: Formula) -> Design:
    """Make the design of a linear model on many rows.

    Parameters
    ----------
    source : Source
    formula : Formula
        With random-effects terms.

    Returns
    -------
    Design
        With sums, and rows that are built from `source` when something asks for them; or with its
        rows, where sums do not pay.

    Raises
    ------
    As `build_design`.
    """
    variables = source.variables(formula)
    if any(bar.smooth is not None for bar in formula.bars):  # learned from rows
        return built_design(variables, source.options.contrasts)
    design = table_design(variables, source.options.contrasts)
    if design is None:
        return built_design(variables, source.options.contrasts)
    return replace(design, rows=LateRows(design.n, partial(_built, source, design)))


def _built(source: Source, design: Design) -> Rows:
    return table_rows(source.variables(design.formula), design)
