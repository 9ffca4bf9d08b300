"""`summarise`: data of any size to a `Summary`, partition by partition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm.arguments import check_choice, check_instance, checked
from nestedmlm.callers import Caller
from nestedmlm.design.frame.environment import Environment, plain_variables
from nestedmlm.design.frame.snapshots import snapshot
from nestedmlm.design.frame.values import Factor
from nestedmlm.design.frame.variables import NA_ACTIONS
from nestedmlm.design.partitions.learning import Learned, learn_schema
from nestedmlm.design.partitions.on_partitions import merged_partitions
from nestedmlm.design.partitions.partition import Source
from nestedmlm.design.partitions.reading import Reading
from nestedmlm.design.partitions.sources import open_source
from nestedmlm.errors import DataError, FormulaError, OptionError
from nestedmlm.fits.model_source import ModelOptions
from nestedmlm.fits.summaries.compatibility import MOST_NAMED
from nestedmlm.fits.summaries.data_summary import Summary
from nestedmlm.formula import Formula, as_formula
from nestedmlm.statistics.cells.cell_memory import check_cells, hint_at_many
from nestedmlm.statistics.cells.cell_plan import CellPlan, learn_specs, plan_cells
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.cells.fingerprint import alike
from nestedmlm.statistics.cells.merge import Pool, merge
from nestedmlm.statistics.cells.worker_cells import cells_on_workers

_MOST_TURNS = 3  # passes over the data until levels and basis fit them
_log = logging.getLogger("nestedmlm")


@checked
def summarise(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    like: Summary | None = None,
    label: str | None = None,
    cells: str = "here",
    progress: bool = False,
) -> Summary:
    """Sum over the rows of data what any fit of a formula needs of them.

    Parameters
    ----------
    formula : str or Formula
        The largest model of interest: any part of it is fitted from the summary.
    data : str, Path, list of them, pyarrow Dataset or stream, Dask DataFrame, or table
        A Parquet file, a directory or a pattern (``"pupils/*.parquet"``); anything with
        ``__arrow_c_stream__`` (a DuckDB relation), or a function that opens it; a Dask DataFrame is
        summed by the current client's workers; a table in memory.
    weights, offset : str, optional
        Columns. (Arrays have no partitions.)
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column; by
        default data and functions written by the caller. Give functions of packages here:
        ``env={"rank": scipy.stats.rankdata}``.
    like : Summary, optional
        Whose levels and transforms are taken over, so that the two add up.
    label : str, optional
        Name of these data: two summaries of one label do not add up. Nor do two with the same
        rows, so none is needed; it is what messages say.
    cells : {"here", "workers"}
        Where the sums of the groups are kept: in this process, or, of a Dask DataFrame with more
        groups than fit here, on the workers. These then evaluate the criterion share by share;
        ids of the groups and a number for each random effect still come here.
    progress : bool
        Whether a line of progress is shown.

    Returns
    -------
    Summary

    Raises
    ------
    FormulaError
        For a formula that cannot be read, with its place.
    DataError
        If there is no such file, or the data cannot be summed.
    ColumnNotFoundError
        If the data have no such column.
    OptionError
        For an option that sums do not know, a `like` that is no summary, or cells that are to stay
        on workers that are not Dask's.
    SumsNotHereError
        If cells stay on workers and those are gone.

    Notes
    -----
    One number per row never leaves its partition. What is kept of the rows is their sums of
    products by observed combination of all grouping factors; see *What a summary holds*.

    Cells on workers fit nested factors. Estimates, standard errors, tests (Satterthwaite,
    Kenward-Roger), profiles and conditional modes are those of cells here; what needs the cells
    themselves (saving, merging, sampling, the bootstrap) raises `SumsNotHereError`. The numbers
    depend on the partitions, and not on how many workers there are.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> s = nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(round(s.fit().criterion, 3), s.fit("Reaction ~ Days + (1 | Subject)").npar)
    1743.628 4
    """
    check_choice(cells, "cells", PASSES)
    plan, source, options = planned(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, env=env, like=like, progress=progress,
    )  # fmt: skip
    plan, found = _summed(
        plan, source, options, PASSES[cells], fixed=like is not None, show=progress
    )
    _check_missing(found, na_action)
    _say_if_alike(found)
    return Summary(
        plan=plan,
        cells=found if label is None else labelled(found, label),
        options=options,
        source_name=source.name if label is None else label,
        parts=source.count or 1,
    )


def planned(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    like: Summary | None = None,
    progress: bool = False,
) -> tuple[CellPlan, Source, ModelOptions]:
    """Plan the sums of a formula: levels, transforms and a basis. See `summarise`."""
    caller = Caller.here()
    formula = as_formula(formula, double_bar)
    if not formula.bars:
        raise FormulaError(
            "no random-effects terms in the formula; add one, for example (1 | group)", formula.text
        )
    if na_action not in NA_ACTIONS:
        raise OptionError(f"na_action={na_action!r:.60} is unknown; known: {', '.join(NA_ACTIONS)}")
    for name, given in (("weights", weights), ("offset", offset)):
        if given is not None and not isinstance(given, str):
            raise DataError(
                f"{name} must be the name of a column: an array has no partitions; make it one"
            )
    source = open_source(data)
    if like is not None:
        check_instance(like, Summary, "like")
        if like.plan.reading.formula != formula:
            raise DataError(f"like= is a summary of {like.formula}, not of {formula.display}")
        return like.plan, source, like.options
    used = plain_variables(caller.values(formula.names)) if env is None else dict(env)
    names = set(formula.names)
    environment = Environment({k: snapshot(v) if k in names else v for k, v in used.items()})
    options = ModelOptions(
        weights=weights,
        offset=offset,
        contrasts=snapshot(contrasts),
        na_action=na_action,
        double_bar=double_bar,
    )
    fixed = formula.fixed_terms(source.columns if formula.has_dot else ())
    wanted = {*formula.names, *(v.name for v in fixed.variables), weights, offset}
    reading = Reading(
        formula=formula,
        fixed=fixed,
        weights=weights,
        offset=offset,
        env=environment,
        columns=tuple(name for name in source.columns if name in wanted),
    )
    learned = learn_schema(source, reading, show=progress)
    return _plan_of(learned, contrasts), source, options


def empty_summary(plan: CellPlan, source: Source, options: ModelOptions) -> Summary:
    """The summary of no rows."""
    return Summary(plan=plan, cells=plan.empty(), options=options, source_name=source.name, parts=0)


def _plan_of(learned: Learned, contrasts: Mapping[str, Any] | None) -> CellPlan:
    formula = learned.reading.formula
    specs = learn_specs(learned.reading, learned.known, contrasts)
    groups = list(dict.fromkeys(part.name for bar in formula.bars for part in bar.parts))
    return plan_cells(learned, specs, groups)


def _cells_here(plan: CellPlan, source: Source, show: bool) -> Cells:
    pool, columns = Pool(), plan.reading.columns
    for cells in merged_partitions(source, columns, plan.summarise, merge, "rows", show=show):
        check_cells(pool.add(cells))
    return pool.result()


def _cells_on_workers(plan: CellPlan, source: Source, _show: bool) -> Cells:
    if source.delayed is None:
        raise OptionError(
            f'cells="workers" is for a Dask DataFrame, whose workers keep the sums; {source.name} '
            "has none. Leave it out"
        )
    return cells_on_workers(source, plan.reading.columns, plan.summarise)


PASSES: Mapping[str, Callable[[CellPlan, Source, bool], Cells]] = MappingProxyType(
    {"here": _cells_here, "workers": _cells_on_workers}
)


def _summed(
    plan: CellPlan,
    source: Source,
    options: ModelOptions,
    run: Callable[[CellPlan, Source, bool], Cells],
    *,
    fixed: bool,
    show: bool,
) -> tuple[CellPlan, Cells]:
    """Pass 2, and once more where levels have no row or the basis does not fit."""
    for _ in range(_MOST_TURNS):
        cells = run(plan, source, show)
        if not cells.tally.n:
            raise DataError(
                "0 (non-NA) cases: every row has a missing value"
                if cells.tally.rows
                else "the data are empty (0 rows)"
            )
        hint_at_many(cells)
        if source.once:
            return plan, cells
        better = None if fixed else _without_unused(plan, cells, options)
        if better is None:
            better = plan.fitted_to(cells)
            if better is not None:
                _log.warning(
                    "the first rows looked at are unlike the others (are the partitions in order "
                    "of time?), so the data are summed again in a better basis"
                )
        if better is None:
            return plan, cells
        plan = better
    return plan, cells


def _without_unused(plan: CellPlan, cells: Cells, options: ModelOptions) -> CellPlan | None:
    """The plan without levels that no complete row has; None where all have some."""
    known = dict(plan.known)
    for name, counts in cells.tally.used.items():
        factor = known[name]
        assert isinstance(factor, Factor)
        if factor.kind != "logical" and not counts.all():
            kept = np.flatnonzero(counts)
            known[name] = replace(factor, levels=factor.levels[kept])
    if all(known[name] is plan.known[name] for name in known):
        return None
    learned = Learned(reading=plan.reading, known=known, pilot=plan.pilot)
    return _plan_of(learned, options.contrasts)


def _check_missing(cells: Cells, na_action: str) -> None:
    tally = cells.tally
    if na_action == "raise" and tally.rows > tally.n:
        counts = ", ".join(f"{name} ({count})" for name, count in tally.missing.items())
        raise DataError(f"missing values in {counts}; na_action='omit' leaves those rows out")


def _say_if_alike(cells: Cells) -> None:
    """Parts of one source are summed whatever their rows are: it is said that some are alike."""
    marks = cells.tally.marks
    if twice := alike([mark] for mark in marks):
        _log.warning(
            "%d part(s) of the data have the rows of another and count twice; are they copies? %s",
            len(twice),
            ", ".join(twice[:MOST_NAMED]),
        )


def labelled(cells: Cells, label: str) -> Cells:
    """Cells whose parts have the name of all of the data, which is known by it, too.

    Parameters
    ----------
    cells : Cells
    label : str
    """
    marks = ((f"label {label}", label), *((mark, label) for mark, _ in cells.tally.marks))
    return replace(cells, tally=replace(cells.tally, marks=marks))
