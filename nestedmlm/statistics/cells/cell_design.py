"""`Design` of a formula whose columns were summed: names, levels and sums, no rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.checks import check_effects, check_levels
from nestedmlm.design.matrices.columns import Column, columns_of
from nestedmlm.design.matrices.grouping import learn_group
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, learn_matrix
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.design.matrices.reterms import Block, first_of_each_factor, lme4_order, make_terms
from nestedmlm.design.partitions.reading import Reading, nodes_of
from nestedmlm.design.remarks import (
    rank_message,
    remark_on_missing,
    remark_on_two_values,
    remarks_on_ids,
)
from nestedmlm.design.schema import Schema, predictor_variables
from nestedmlm.design.sums import Sums
from nestedmlm.errors import FormulaError, ResponseError
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.terms import Terms
from nestedmlm.statistics.cells.cell_plan import CellPlan
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, triangular_root


def cell_design(
    plan: CellPlan,
    cells: Cells,
    formula: Formula,
    *,
    contrasts: Mapping[str, Any] | None,
    na_action: str,
) -> Design:
    """Make the design of a formula from sums of its columns.

    Parameters
    ----------
    plan : CellPlan
    cells : Cells
        Of all rows.
    formula : Formula
        The one that was summed, or one with some of its columns and groups.
    contrasts : mapping or None
    na_action : str

    Returns
    -------
    Design
        Without rows.

    Raises
    ------
    FormulaError
        If the formula has a variable, a column or a group that was not summed.
    ResponseError
        If the response is constant.
    GroupingError
    """
    if not formula.bars:
        raise FormulaError(
            "no random-effects terms in the formula; sums are by group: keep one, for example "
            "(1 | group)",
            formula.text,
        )
    reading = reading_of(plan.reading, formula)
    _check_variables(plan, reading)
    fixed, blocks = _learned(plan, cells, reading, contrasts)
    place = {column: j for j, column in enumerate(plan.columns)}
    x = _places(fixed, place, formula)
    U = triangular_root(0.5 * (cells.total + cells.total.T))
    kept = tuple(kept_columns((U @ cells.basis)[:, list(x)]).tolist())
    groups = first_of_each_factor(blocks)
    factor_of = tuple(list(groups).index(block.factor.name) for block in blocks)
    dropped = tuple(name for j, name in enumerate(fixed.names) if j not in set(kept))
    design = Design(
        formula=formula,
        schema=_schema(reading, fixed, kept, blocks, groups.values(), factor_of),
        n=cells.tally.n,
        x_names=tuple(fixed.names[j] for j in kept),
        x_assign=tuple(fixed.assign[j] for j in kept),
        x_terms=reading.fixed.labels,
        dropped=dropped,
        factors=tuple(block.factor for block in groups.values()),
        terms=make_terms(blocks, factor_of),
        na_action=na_action,
        messages=(*rank_message(dropped), *_remarks(formula, cells.tally)),
        sums=Sums(
            cells=cells,
            x=tuple(x[j] for j in kept),
            every=x,
            terms=tuple(_places(block.spec, place, formula) for block in blocks),
            codes=tuple(block.codes for block in groups.values()),
            root=_root(cells),
            plan=replace(plan, pilot=None),  # rows, which a saved posterior would hold
        ),
    )
    _check(design, cells.tally)
    if cells.on_workers is not None:  # ids that restart are crossed, and refused with advice
        return design
    return replace(design, messages=(*design.messages, *remarks_on_ids(design)))


def _learned(
    plan: CellPlan, cells: Cells, reading: Reading, contrasts: Mapping[str, Any] | None
) -> tuple[MatrixSpec, list[Block]]:
    """Coding of the fixed effects, and the blocks of random effects, without rows."""
    fixed = learn_matrix(reading.fixed, plan.known, _those_there(contrasts, reading.fixed))
    bars = reading.formula.bars
    specs = [learn_matrix(bar.terms, plan.known, None) for bar in bars]
    every = [
        Block(bar, spec, np.zeros((0, len(spec.names))), *learn_group(bar, cells.keys, 0))
        for bar, spec in zip(bars, specs, strict=True)
        if spec.names
    ]
    return fixed, lme4_order(every)


def _root(cells: Cells) -> FloatArray:
    plain = cells.total if cells.plain is None else cells.plain
    return triangular_root(0.5 * (plain + plain.T)) @ cells.basis


def reading_of(reading: Reading, formula: Formula) -> Reading:
    """The reading of a part of the formula that was summed."""
    if formula == reading.formula:
        return reading
    fixed = formula.fixed_terms(reading.columns if formula.has_dot else ())
    return replace(reading, formula=formula, fixed=fixed)


def _check_variables(plan: CellPlan, reading: Reading) -> None:
    """Refuse a formula of which something was not summed."""
    whole, formula = plan.reading, reading.formula
    if formula.response_text != whole.formula.response_text:
        raise FormulaError(
            f"the response that was summed is {whole.formula.response_text}, not "
            f"{formula.response_text}",
            formula.text,
        )
    offsets = [sorted(v.name for v in (*r.fixed.offsets, *r.formula.offsets))
               for r in (whole, reading)]  # fmt: skip
    if offsets[0] != offsets[1]:
        raise FormulaError(
            "an offset cannot be added or taken away where there are only sums over rows",
            formula.text,
        )
    there = {*plan.known, *plan.groups, formula.response_text, *offsets[0]}
    there |= {v.name for own in _terms(whole) for v in own.mentioned}
    absent = [name for name in nodes_of(reading) if name not in there]
    if absent:
        raise FormulaError(
            f"{', '.join(absent)} was not summed; there are {', '.join(plan.known) or 'no'} "
            f"predictors and the groups {', '.join(plan.groups)}",
            formula.text,
        )


def _terms(reading: Reading) -> Iterator[Terms]:
    yield reading.fixed
    yield from (bar.terms for bar in reading.formula.bars)


def _those_there(contrasts: Mapping[str, Any] | None, terms: Terms) -> dict[str, Any]:
    there = {variable.name for variable in predictor_variables(terms)}
    return {name: how for name, how in (contrasts or {}).items() if name in there}


def _places(spec: MatrixSpec, place: Mapping[Column, int], formula: Formula) -> tuple[int, ...]:
    """Places of a matrix's columns among those that were summed."""
    columns = columns_of(spec)
    absent = [n for n, c in zip(spec.names, columns, strict=True) if c not in place]
    if absent:
        raise FormulaError(
            f"the columns {', '.join(absent[:8])} were not summed: name their term in the formula "
            "that is summarised",
            formula.text,
        )
    return tuple(place[column] for column in columns)


def _schema(
    reading: Reading,
    fixed: MatrixSpec,
    kept: tuple[int, ...],
    blocks: Sequence[Block],
    groups: Iterable[Block],
    factor_of: tuple[int, ...],
) -> Schema:
    return Schema(
        formula=reading.formula,
        fixed=fixed,
        kept=kept,
        bars=tuple(block.spec for block in blocks),
        groups=tuple(block.group for block in groups),
        factor_of=factor_of,
        offsets=(*reading.fixed.offsets, *reading.formula.offsets),
        offset_column=reading.offset,
        offset_array=False,
        states=reading.states,
        env=reading.env,
    )


def _remarks(formula: Formula, tally: Tally) -> Iterator[str]:
    yield from remark_on_missing(tally.rows - tally.n, tally.rows, tally.missing)
    if tally.at_low + tally.at_high == tally.n and min(tally.at_low, tally.at_high) > 1:
        yield remark_on_two_values(formula, tally.low, tally.high)


def _check(design: Design, tally: Tally) -> None:
    if tally.low == tally.high:
        raise ResponseError(
            f"the response {design.formula.response_text} is constant ({tally.low:g}): there is "
            "nothing to fit"
        )
    check_levels(design.factors, design.n)
    check_effects(design.terms, design.factors, design.n)
