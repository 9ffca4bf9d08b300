"""`Design` of a large table in memory, from sums by cell of its rows.

Sums take a tenth of the memory that the matrices of all rows take, and are quicker to make. They
pay where groups are nested in one another, so that cells are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations as pairs
from typing import Any

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.design.build import check_contrasts
from nestedmlm.design.design import Design
from nestedmlm.design.frame.values import take_rows
from nestedmlm.design.frame.variables import Variables
from nestedmlm.design.matrices.grouping import is_nested, learn_group
from nestedmlm.design.partitions.learning import PILOT_ROWS
from nestedmlm.design.partitions.reading import CompleteRows, Reading
from nestedmlm.design.schema import predictor_variables
from nestedmlm.design.sums import Sums
from nestedmlm.errors import PartitionError
from nestedmlm.statistics.cells.cell_design import cell_design
from nestedmlm.statistics.cells.cell_plan import CellPlan, keys_of, learn_specs, plan_of
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.cells.combinations import Runs, plain_codes, runs_of
from nestedmlm.statistics.sufficient_statistics import LARGEST, SMALLEST

FEW_ROWS = 5  # rows of a cell, on average, below which sums are hardly smaller than the rows
_MOST_TURNS = 3  # until the basis fits
_MARGIN = 1e10  # of columns' sizes to those whose squares cannot be computed


def table_design(variables: Variables, contrasts: Mapping[str, Any] | None) -> Design | None:
    """Make the design of a formula from sums of its variables.

    Parameters
    ----------
    variables : Variables
        Of a linear model.
    contrasts : mapping or None

    Returns
    -------
    Design or None
        Without rows. None where rows serve better: where groups cross or have few rows each, and
        where numbers are infinite or of a size whose squares cannot be computed, which the rows
        tell more of.

    Raises
    ------
    FormulaError
        If no random-effects term has columns.
    OptionError
        For contrasts of what is no factor of the fixed part.
    GroupingError
    """
    check_contrasts(contrasts, variables)
    reading = _reading(variables)
    groups = list(dict.fromkeys(p.name for bar in variables.formula.bars for p in bar.parts))
    rows = CompleteRows(
        values=variables.values,
        y=variables.y,
        weights=variables.weights,
        offset=variables.offset,
        rows=variables.kept.size,
        missing=variables.missing,
    )
    keys = keys_of(rows, groups)
    runs = runs_of([plain_codes(value) for value in keys.values()])
    if len(runs.first) * FEW_ROWS > variables.n or not all_nested(variables, runs.first):
        return None
    found = _cells(rows, reading, groups, contrasts, runs)
    if found is None:
        return None
    plan, cells = found
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # `_extreme` looks for it
        design = cell_design(
            plan, cells, variables.formula, contrasts=contrasts, na_action=variables.na_action
        )
    if _extreme(design.sums, variables.n):
        return None
    schema = replace(design.schema, offset_array=variables.offset_array)
    return replace(design, schema=schema)


def _extreme(sums: Sums | None, n: int) -> bool:
    """Whether a column is of a size whose squares cannot be computed, or nearly so."""
    assert sums is not None
    size = np.hypot.reduce(sums.root / np.sqrt(n), axis=0)
    return bool(((size > 0) & ((size < _MARGIN * SMALLEST) | (size > LARGEST / _MARGIN))).any())


def _reading(variables: Variables) -> Reading:
    return Reading(
        formula=variables.formula,
        fixed=variables.fixed,
        weights=None,
        offset=variables.offset_column,
        env=variables.env,
        columns=(),
        states=variables.states,
    )


def all_nested(variables: Variables, first: IntArray) -> bool:
    """Whether of any two grouping factors one is nested in the other, from a row of each cell."""
    values = {
        part.name: take_rows(variables.values[part.name], first)
        for bar in variables.formula.bars
        for part in bar.parts
    }
    factors = {
        bar.group_text: learn_group(bar, values, len(first))[1:] for bar in variables.formula.bars
    }
    ordered = sorted(factors.values(), key=lambda own: -len(own[0].levels))
    return all(
        is_nested(codes, len(factor.levels), above)
        for (factor, codes), (_, above) in pairs(ordered, 2)
    )


def _cells(
    rows: CompleteRows,
    reading: Reading,
    groups: list[str],
    contrasts: Mapping[str, Any] | None,
    runs: Runs,
) -> tuple[CellPlan, Cells] | None:
    """Sums in a basis that fits the data; None where a number is infinite, or no basis fits."""
    terms = [reading.fixed, *(bar.terms for bar in reading.formula.bars)]
    known = {
        variable.name: take_rows(rows.values[variable.name], slice(0, 0))
        for own in terms
        for variable in predictor_variables(own)
    }
    n = len(rows.y)
    some = np.sort(np.random.default_rng(n).integers(0, n, size=min(PILOT_ROWS, n)))
    specs = learn_specs(reading, known, contrasts)
    plan = plan_of(reading, known, specs, groups, rows.some(some))
    for _ in range(_MOST_TURNS):
        try:
            cells = plan.of_rows(rows, "the data", runs)
        except PartitionError:
            return None
        better = plan.fitted_to(cells)
        if better is None:
            return plan, cells
        plan = better
    return None
