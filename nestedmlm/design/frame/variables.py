"""`Variables`: all that a formula names, read from a table, without the incomplete rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.checks import check_offset, check_weights
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.response_kinds import (
    REAL,
    ResponseKind,
    check_values,
    read_response,
    response_kind,
)
from nestedmlm.design.frame.values import Factor, Vector, drop_unused, missing_rows, take_rows
from nestedmlm.design.schema import argument_numbers, offset_numbers, predictor_variables
from nestedmlm.errors import DataError, OptionError, WeightsError
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.terms import Terms, Variable
from nestedmlm.late import Late

if TYPE_CHECKING:
    from nestedmlm.families import Family

NA_ACTIONS = ("omit", "exclude", "raise")

learn_smooths = Late("nestedmlm.design.smooths", "learn_smooths")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Variables:
    """The variables of a formula on the complete rows: the first stage of a design.

    Attributes
    ----------
    formula : Formula
    fixed : Terms
        Of the fixed part, ``.`` written out.
    values : dict of str to Vector
        Predictors and grouping variables, by R's text.
    y : ndarray, shape (n,)
    weights, offset : ndarray, shape (n,), or None
    index, full_index : pandas.Index
        Labels of the complete rows, and of all.
    kept : ndarray of bool, shape (n_all,)
        Which of all rows are complete.
    missing : dict of str to int
        How many values each incomplete variable lacks.
    na_action : str
    offset_column : str or None
        The column given as argument ``offset``.
    offset_array : bool
        Whether an array was given as argument ``offset``.
    states : mapping
        What functions such as `poly` learned, by R's text of the call.
    env : Environment
        The caller's variables that were used.
    """

    formula: Formula
    fixed: Terms
    values: dict[str, Vector]
    y: FloatArray
    weights: FloatArray | None
    offset: FloatArray | None
    index: pd.Index
    full_index: pd.Index
    kept: npt.NDArray[np.bool_]
    missing: dict[str, int]
    na_action: str
    offset_column: str | None
    offset_array: bool
    states: Mapping[str, Any]
    env: Environment

    @property
    def n(self) -> int:
        """Number of complete rows."""
        return len(self.y)

    @property
    def offsets(self) -> tuple[Variable, ...]:
        """The formula's offsets."""
        return (*self.fixed.offsets, *self.formula.offsets)


def read_variables(
    formula: Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na_action: str = "omit",
    env: Mapping[str, Any] | None = None,
    family: Family | None = None,
    others: Sequence[Formula] = (),
) -> Variables:
    """Evaluate everything on all rows (as R does), then leave out the incomplete ones.

    Parameters
    ----------
    formula : Formula
    data : table
    weights, offset : str, array or None
        The arguments; an offset comes on top of the formula's.
    na_action : {"omit", "exclude", "raise"}
    env : mapping, optional
        The caller's variables.
    family : Family, optional
        Of a generalized model: says what the response may be.
    others : sequence of Formula
        Their predictors and grouping variables are read too.

    Returns
    -------
    Variables
        Of a binomial response `y` is the proportion and `weights` the numbers of trials.

    Raises
    ------
    DataError
        If the data are empty, no row is complete, or one is not and `na_action` is "raise"; if
        the response is constant, or it, weights or offset are not finite numbers.
    """
    frame = Frame(data)
    if frame.n == 0:
        raise DataError("the data are empty (0 rows)")
    fixed = formula.fixed_terms(frame.column_names if formula.has_dot else ())
    evaluator = Evaluator(frame, Environment(env or {}), {}, learning=True, text=formula.text)
    if na_action not in NA_ACTIONS:
        raise OptionError(f"na_action={na_action!r:.60} is unknown; known: {', '.join(NA_ACTIONS)}")
    name = formula.response_text
    kind = response_kind(family)
    found = evaluate_variables(
        formula, fixed, evaluator, weights=weights, offset=offset, response=kind, others=others
    )
    y, trials, values, total, prior = (
        found.y, found.trials, found.values, found.offset, found.weights,
    )  # fmt: skip
    absent = found.missing
    kept = _complete_rows(absent, frame.n, na_action)
    some = not kept.all()
    trimmed = {k: _trim(take_rows(v, kept) if some else v) for k, v in values.items()}
    used_y = y[kept] if some else y
    index = frame.index[kept] if some else frame.index
    used_weights = None if prior is None else _checked_weights(prior[kept], index)
    used_trials = trials[kept] if trials is not None else None
    check_values(used_y, used_weights, used_trials, kind=kind, name=name, index=index)
    if used_trials is not None:
        used_weights = used_trials if used_weights is None else used_trials * used_weights
    if any(bar.smooth is not None for bar in formula.bars):
        learn_smooths(formula, trimmed, evaluator.states)
    used_offset = total[kept] if some and total is not None else total
    if used_offset is not None:
        check_offset(used_offset, index)
    return Variables(
        formula=formula,
        fixed=fixed,
        values=trimmed,
        y=used_y,
        weights=used_weights,
        offset=used_offset,
        index=index,
        full_index=frame.index,
        kept=kept,
        missing={name: int(mask.sum()) for name, mask in absent.items()},
        na_action=na_action,
        offset_column=offset if isinstance(offset, str) else None,
        offset_array=offset is not None and not isinstance(offset, str),
        states=evaluator.states,
        env=evaluator.env.restricted(evaluator.used),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evaluated:
    """The variables of a formula on all rows.

    Attributes
    ----------
    y : ndarray, shape (n_all,)
    trials : ndarray, shape (n_all,), or None
        Of a binomial response.
    values : dict of str to Vector
        Predictors and grouping variables, by R's text.
    offset, weights : ndarray, shape (n_all,), or None
    missing : dict of str to ndarray of bool
        The rows where each incomplete variable is missing.
    """

    y: FloatArray
    trials: FloatArray | None
    values: dict[str, Vector]
    offset: FloatArray | None
    weights: FloatArray | None
    missing: dict[str, npt.NDArray[np.bool_]]


def evaluate_variables(
    formula: Formula,
    fixed: Terms,
    evaluator: Evaluator,
    *,
    weights: Any,
    offset: Any,
    response: ResponseKind = REAL,
    others: Sequence[Formula] = (),
) -> Evaluated:
    """Evaluate everything that a formula names on all rows of a table.

    Parameters
    ----------
    formula : Formula
    fixed : Terms
        Of the fixed part, ``.`` written out.
    evaluator : Evaluator
    weights, offset : str, array or None
    response : ResponseKind
    others : sequence of Formula
        Whose variables are wanted, too.

    Returns
    -------
    Evaluated
    """
    answer = read_response(formula.response, evaluator, response)
    y = answer.y
    values: dict[str, Vector] = {}
    own = [(formula, fixed), *((other, other.fixed_terms()) for other in others)]
    for variable in (v for pair in own for v in _used(*pair)):
        if variable.name not in values:
            values[variable.name] = evaluator.vector(variable.node)
    total = _total_offset(formula, fixed, offset, evaluator)
    everything: dict[str, Vector] = {formula.response_text: y, **values}
    for variable in _mentioned(formula, fixed):
        everything.setdefault(variable.name, evaluator.vector(variable.node))
    if total is not None:
        everything["the offset"] = total
    prior: FloatArray | None = None
    if weights is not None:
        prior = argument_numbers(weights, evaluator, "weights", error=WeightsError)
        everything["the weights"] = prior
    return Evaluated(
        y=y,
        trials=answer.trials,
        values=values,
        offset=total,
        weights=prior,
        missing=_missing(everything),
    )


def _total_offset(
    formula: Formula, fixed: Terms, offset: Any, evaluator: Evaluator
) -> FloatArray | None:
    total = offset_numbers((*fixed.offsets, *formula.offsets), evaluator)
    if offset is None:
        return total
    given = argument_numbers(offset, evaluator, "offset")
    return given if total is None else total + given


def _checked_weights(weights: FloatArray, index: pd.Index) -> FloatArray:
    check_weights(weights, index)
    return weights


def _used(formula: Formula, fixed: Terms) -> Iterable[Variable]:
    yield from predictor_variables(fixed)
    for bar in formula.bars:
        smooth = bar.smooth  # learned later, of the complete rows
        yield from predictor_variables(bar.terms) if smooth is None else smooth.variables
        yield from bar.parts


def _mentioned(formula: Formula, fixed: Terms) -> Iterable[Variable]:
    """Variables taken out with a minus: as in R, their missing rows still count."""
    yield from fixed.mentioned
    for bar in formula.bars:
        yield from bar.terms.mentioned


def _missing(values: Mapping[str, Vector]) -> dict[str, npt.NDArray[np.bool_]]:
    return {name: mask for name, v in values.items() if (mask := missing_rows(v)) is not None}


def _complete_rows(
    missing: Mapping[str, npt.NDArray[np.bool_]], n: int, na_action: str
) -> npt.NDArray[np.bool_]:
    if not missing:
        return np.ones(n, dtype=bool)
    if na_action == "raise":
        counts = ", ".join(f"{name} ({int(mask.sum())})" for name, mask in missing.items())
        raise DataError(f"missing values in {counts}; na_action='omit' leaves those rows out")
    kept: npt.NDArray[np.bool_] = ~np.logical_or.reduce(list(missing.values()))
    if not kept.any():
        names = ", ".join(name for name, mask in missing.items() if mask.all())
        hint = f"{names} has no value at all" if names else "every row has a missing value"
        raise DataError(f"0 (non-NA) cases: {hint}")
    return kept


def _trim(value: Vector) -> Vector:
    """Drop unused levels, except of logicals (R keeps both)."""
    if isinstance(value, Factor) and value.kind != "logical":
        return drop_unused(value)
    return value
