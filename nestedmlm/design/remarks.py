"""Remarks on a design: what was done to the data in silence, and what looks like a slip."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nestedmlm.design.design import Design
from nestedmlm.design.restarting_ids import restarting_ids
from nestedmlm.design.rows import rows_here
from nestedmlm.formula.formula import Formula

RANK_DEFICIENT = "fixed-effect model matrix is rank deficient"  # how lme4's warning begins
EXACT_WHOLE = 2.0**53  # up to which floats hold all whole numbers
MOST_NAMES = 8  # of dropped columns in one message
_log = logging.getLogger("nestedmlm")


def rank_message(dropped: Sequence[str]) -> tuple[str, ...]:
    """lme4's warning about columns that others explain, with their names; logged, too."""
    if not dropped:
        return ()
    plural = "column / coefficient" if len(dropped) == 1 else "columns / coefficients"
    more = len(dropped) - MOST_NAMES
    names = ", ".join(dropped[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    message = f"{RANK_DEFICIENT} so dropping {len(dropped)} {plural}: {names}"
    _log.warning(message)
    return (message,)


def remarks(design: Design, missing: Mapping[str, int], *, normal: bool = True) -> tuple[str, ...]:
    """Say what a reader of the summary should know of the data, a line for each.

    Parameters
    ----------
    design : Design
        With its rows.
    missing : mapping of str to int
        How many values each variable lacks.
    normal : bool
        Whether the response is taken as normal.

    Returns
    -------
    tuple of str
        Rows left out, a response of two values, ids that restart in each parent or
        were merged as floats.
    """
    return tuple(_remarks(design, missing, normal))


def _remarks(design: Design, missing: Mapping[str, int], normal: bool) -> Iterator[str]:
    rows = rows_here(design.rows, "what there is to say of the data")
    yield from remark_on_missing(rows.kept.size - rows.n, rows.kept.size, missing)
    if normal and two_valued(rows.y):
        yield remark_on_two_values(design.formula, float(rows.y.min()), float(rows.y.max()))
    yield from remarks_on_ids(design)


def remarks_on_ids(design: Design) -> Iterator[str]:
    """Say which ids restart in each parent, and which were merged as floats."""
    for ids in restarting_ids(design):
        yield ids.message(design.formula)
    for factor in design.factors:
        yield from _remark_on_merged_ids(factor.name, factor.levels)


def _remark_on_merged_ids(name: str, levels: npt.NDArray[np.object_]) -> Iterator[str]:
    """Say that whole numbers were read as floats that cannot hold them; levels are sorted."""
    ends = [level for level in (*levels[:1], *levels[-1:]) if isinstance(level, float)]
    if any(abs(level) >= EXACT_WHOLE for level in ends):
        yield (
            f"{name} has ids beyond 2^53 as floating-point numbers, in which neighbouring ids are "
            "one: read them as text or as whole numbers (Int64)"
        )


def remark_on_missing(out: int, rows: int, missing: Mapping[str, int]) -> Iterator[str]:
    """Say how many rows were left out, and for which variables."""
    if out:
        counts = ", ".join(f"{name} ({count})" for name, count in missing.items())
        yield f"{out} of {rows} rows left out for missing values: {counts}"


def remark_on_two_values(formula: Formula, low: float, high: float) -> str:
    """Say that the response is not what a linear model is made for."""
    return (
        f"the response has only two values, {low:g} and {high:g}: a logistic model would be "
        f"usual, {_logistic(formula, low, high)}; this one fits their mean as if it were normal"
    )


def _logistic(formula: Formula, low: float, high: float) -> str:
    """How the same model is written with a binomial family."""
    response, _, terms = formula.display.partition(" ~ ")
    success = response if (low, high) == (0.0, 1.0) else f"I({response} == {high:g})"
    return f'nm.glmer("{success} ~ {terms}", data, family="binomial")'


def two_valued(y: npt.NDArray[np.float64]) -> bool:
    """Whether a response has two values, each more than once."""
    low, high = y == y.min(), y == y.max()
    return bool((low | high).all() and min(low.sum(), high.sum()) > 1)
