"""Reading all variables of a model and leaving out the incomplete rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm.design.frame.checks import response_numbers
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.values import Factor, Vector, drop_unused, missing_rows, take_rows
from nestedmlm.design.schema import argument_numbers, offset_numbers, predictor_variables
from nestedmlm.errors import DataError, OptionError
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.terms import Terms, Variable

FloatArray = npt.NDArray[np.float64]
NA_ACTIONS = ("omit", "exclude", "raise")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rows:
    """The values of all variables on the complete rows.

    Attributes
    ----------
    values : dict of str to Vector
        Predictors and grouping variables, by R's text.
    y : ndarray, shape (n,)
    offset : ndarray, shape (n,), or None
    kept : ndarray of bool, shape (n_all,)
    complete : bool
        Whether all rows are kept.
    """

    values: dict[str, Vector]
    y: FloatArray
    offset: FloatArray | None
    kept: npt.NDArray[np.bool_]
    complete: bool


def read_rows(
    formula: Formula, fixed: Terms, evaluator: Evaluator, *, offset: Any, na_action: str
) -> Rows:
    """Evaluate everything on all rows (as R does), then leave out the incomplete ones.

    Parameters
    ----------
    formula : Formula
    fixed : Terms
    evaluator : Evaluator
    offset : str, array or None
        The argument, on top of the formula's offsets.
    na_action : {"omit", "exclude", "raise"}

    Returns
    -------
    Rows

    Raises
    ------
    DataError
        If no row is complete, or one is not and `na_action` is "raise".
    """
    if na_action not in NA_ACTIONS:
        raise OptionError(f"na_action={na_action!r} is unknown; known: {', '.join(NA_ACTIONS)}")
    frame = evaluator.frame
    y = response_numbers(evaluator.vector(formula.response), formula.response_text)
    values: dict[str, Vector] = {}
    for variable in _used(formula, fixed):
        if variable.name not in values:
            values[variable.name] = evaluator.vector(variable.node)
    total = offset_numbers((*fixed.offsets, *formula.offsets), evaluator)
    if offset is not None:
        given = argument_numbers(offset, evaluator, "offset")
        total = given if total is None else total + given
    everything: dict[str, Vector] = {formula.response_text: y, **values}
    for variable in _mentioned(formula, fixed):
        everything.setdefault(variable.name, evaluator.vector(variable.node))
    if total is not None:
        everything["offset"] = total
    masks = {name: mask for name, v in everything.items() if (mask := missing_rows(v)) is not None}
    if not masks:
        every = np.ones(frame.n, dtype=bool)
        trimmed = {name: _trim(value) for name, value in values.items()}
        return Rows(values=trimmed, y=y, offset=total, kept=every, complete=True)
    kept = _complete_rows(masks, na_action)
    trimmed = {name: _trim(take_rows(value, kept)) for name, value in values.items()}
    used_offset = None if total is None else total[kept]
    return Rows(values=trimmed, y=y[kept], offset=used_offset, kept=kept, complete=False)


def _used(formula: Formula, fixed: Terms) -> Iterable[Variable]:
    yield from predictor_variables(fixed)
    for bar in formula.bars:
        yield from predictor_variables(bar.terms)
        yield from bar.parts


def _mentioned(formula: Formula, fixed: Terms) -> Iterable[Variable]:
    """Variables taken out with a minus: as in R, their missing rows still count."""
    yield from fixed.mentioned
    for bar in formula.bars:
        yield from bar.terms.mentioned


def _complete_rows(
    masks: dict[str, npt.NDArray[np.bool_]], na_action: str
) -> npt.NDArray[np.bool_]:
    if na_action == "raise":
        counts = ", ".join(f"{name} ({int(mask.sum())})" for name, mask in masks.items())
        raise DataError(f"missing values in {counts}; na_action='omit' leaves those rows out")
    kept: npt.NDArray[np.bool_] = ~np.logical_or.reduce(list(masks.values()))
    if not kept.any():
        names = ", ".join(name for name, mask in masks.items() if mask.all())
        hint = f"{names} has no value at all" if names else "every row has a missing value"
        raise DataError(f"0 (non-NA) cases: {hint}")
    return kept


def _trim(value: Vector) -> Vector:
    """Drop unused levels, except of logicals (R keeps both)."""
    if isinstance(value, Factor) and value.kind != "logical":
        return drop_unused(value)
    return value
