"""Tests of the fixed effects: tables made of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.parts import fit_parts
from nestedmlm.inference.effects.contrasts import read_contrasts
from nestedmlm.inference.effects.ddf import (
    JointTest,
    Prepared,
    intervals,
    joint_test,
    prepare,
    row_tests,
)
from nestedmlm.inference.effects.hypotheses import (
    Values,
    droppable,
    marginal_contrasts,
    missing_cells,
    predictor_values,
    term_contrasts,
)
from nestedmlm.views.effect_tests import CONTRAST_COLUMNS, F_COLUMNS, METHOD_NAMES, TestTable

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_ROMAN = {"1": "I", "2": "II", "3": "III"}


def prepared(fit: LmerFit, ddf: str) -> Prepared:
    """A method of degrees of freedom for a fit."""
    return prepare(fit_parts(fit), ddf)


def term_table(fit: LmerFit, *, type: str, ddf: str) -> TestTable:
    """F tests of every term of the fixed effects."""
    method = prepared(fit, ddf)
    values = _values(fit)
    contrasts = term_contrasts(fit.design, type, values)
    roman = _ROMAN.get(str(type), str(type))
    notes = method.notes
    if roman == "III" and (empty := missing_cells(fit.design, values)):
        notes += (f"no data for {', '.join(empty)}: mind what type III hypotheses then mean",)
    return TestTable(
        table=f_frame(method, contrasts),
        heading=(f"Type {roman} Analysis of Variance Table with {METHOD_NAMES[ddf]}",),
        notes=notes,
        hypotheses=contrasts,
    )


def _values(fit: LmerFit) -> Values:
    """Reads the predictors, once, when they are needed."""
    return cache(partial(predictor_values, fit.design, fit.model.data))


def droppable_tests(fit: LmerFit, ddf: str, scope: Sequence[str] | None) -> TestTable:
    """F tests of the terms that can be dropped, each given all others."""
    method = prepared(fit, ddf)
    contrasts = marginal_contrasts(fit.design, _values(fit))
    if scope is not None:
        contrasts = {label: contrasts[label] for label in droppable(fit.design, scope)}
    return TestTable(
        table=f_frame(method, contrasts),
        heading=(f"Single term deletions using {METHOD_NAMES[ddf]}:", "", "Model:", fit.formula),
        notes=method.notes,
        hypotheses=contrasts,
    )


def f_frame(method: Prepared, contrasts: Mapping[str, FloatArray], rhs: Any = 0.0) -> pd.DataFrame:
    """One row of lmerTest's F table for each contrast matrix."""
    rows = {label: f_row(joint_test(method, L, rhs=rhs)) for label, L in contrasts.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(F_COLUMNS), dtype=float)


def f_row(test: JointTest) -> tuple[float, ...]:
    """Numbers in the order of the table's columns."""
    num_df = test.num_df or float("nan")  # nothing to test: an empty row
    return (test.sum_sq, test.mean_sq, num_df, test.den_df, test.F, test.p_value)


def contest(fit: LmerFit, L: Any, rhs: Any, *, joint: bool, ddf: str, level: float) -> TestTable:
    """Test contrasts together (F) or one by one (t, with confidence intervals)."""
    given = read_contrasts(L, fit.design, rhs=rhs)
    if not len(given.L):
        raise OptionError("there is no contrast to test")
    method = prepared(fit, ddf)
    named = dict(zip(given.labels, given.L, strict=True))
    if joint:
        label = ", ".join(given.labels) if not _numbered(given.labels) else "1"
        table = pd.DataFrame(
            [f_row(joint_test(method, given.L, rhs=given.rhs))],
            index=[label], columns=list(F_COLUMNS), dtype=float,
        )  # fmt: skip
    else:
        found = row_tests(method, given.L, rhs=given.rhs)
        lower, upper = intervals(found, level)
        columns = (found.estimate, found.se, found.df, found.statistic, lower, upper, found.p_value)
        table = pd.DataFrame(
            dict(zip(CONTRAST_COLUMNS, columns, strict=True)), index=list(given.labels)
        )
    return TestTable(
        table=table,
        heading=(),
        notes=method.notes,
        hypotheses={k: v[None] for k, v in named.items()},
    )


def _numbered(labels: Sequence[str]) -> bool:
    return all(label.isdigit() for label in labels) and len(labels) > 0


def coefficient_frame(fit: LmerFit, ddf: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Table of coefficients with degrees of freedom and p-values, and notes for below it."""
    method = prepared(fit, ddf)
    found = row_tests(method, np.eye(fit.design.p))
    columns = {
        "Estimate": found.estimate,
        "Std. Error": found.se,
        "df": found.df,
        "t value": found.statistic,
        "Pr(>|t|)": found.p_value,
    }
    return pd.DataFrame(columns, index=list(fit.design.x_names)), method.notes
