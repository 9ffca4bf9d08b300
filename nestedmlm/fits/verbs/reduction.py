"""Smaller models: what happens when terms are left out one at a time.

Fits of reduced formulas; semantics of lmerTest's ``ranova`` and ``step`` and lme4's ``drop1``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.fits.singularity.steps import lhs_text, rewrite
from nestedmlm.fits.verbs.effects import droppable_tests
from nestedmlm.formula import Bar, parse_formula, update_formula
from nestedmlm.formula.structures import term_text
from nestedmlm.inference.effects.hypotheses import droppable, predictor_values
from nestedmlm.inference.means.linear import LinearFit, linear_fit, term_tests, without_term
from nestedmlm.views.effect_tests import (
    DROP1_COLUMNS,
    F_COLUMNS,
    LINEAR_COLUMNS,
    METHOD_NAMES,
    RANOVA_COLUMNS,
    StepResult,
    TestTable,
)

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

NONE = "<none>"
_STEP_HEADING = "Backward reduced fixed-effect table:"


def reduced_formulas(fit: LmerFit, *, reduce_terms: bool) -> dict[str, str]:
    """Each way to leave out one random effect, by the label lmerTest gives it.

    With `reduce_terms`, a term with several effects loses one of them at a time (never one that
    another effect of the term builds on); else, and for a single effect, the term goes.
    """
    formula = fit.design.formula
    return {
        label: rewrite(formula, bar, terms)
        for bar in formula.bars
        for label, terms in _reductions(bar, reduce_terms, alone=_one_slope(bar, fit))
    }


def _one_slope(bar: Bar, fit: LmerFit) -> bool:
    """Whether a term is one numeric slope and nothing else; of a factor, an intercept can stay."""
    if bar.terms.intercept or len(bar.terms.labels) != 1:
        return False
    spec = next(spec for spec in fit.design.schema.bars if spec.terms == bar.terms)
    return all(coding.levels is None for coding in spec.codings)


def _reductions(
    bar: Bar, reduce_terms: bool, *, alone: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (label, what takes the term's place)."""
    labels = bar.terms.labels
    whole = bar.call_text
    scope = [a for a in labels if not any(set(a.split(":")) < set(b.split(":")) for b in labels)]
    if not reduce_terms or not scope:
        yield whole, ()
        return
    for label in scope:
        rest = [other for other in labels if other != label]
        left: tuple[str, ...] = ()
        if rest:
            lhs = lhs_text(bar.terms.intercept, rest)
            left = (term_text(lhs, bar.group_text, bar.structure, bar.hom),)
        elif not alone:
            left = (term_text("1", bar.group_text),)
        yield f"{label} in {whole}", left


def fit_reduced(fit: LmerFit, formula: str, *, REML: bool) -> LmerFit | LinearFit:
    """Fit a reduced formula to the same data; without random effects a linear model."""
    parsed = parse_formula(formula, double_bar=fit.design.formula.double_bar)
    if parsed.bars:
        smaller: LmerFit | LinearFit = fit.model.reduced(parsed).fit(REML=REML)
    else:
        design = fit.model.source.reduced(parsed).design(parsed, require_random=False)
        smaller = linear_fit(design, partial(predictor_values, design, fit.model.data), REML=REML)
    if smaller.nobs != fit.nobs:
        raise ModelComparisonError(
            f"number of rows in use has changed from {fit.nobs} to {smaller.nobs} with the "
            f"formula {formula}: remove the rows with missing values first"
        )
    return smaller


def ranova(fit: LmerFit, *, reduce_terms: bool) -> TestTable:
    """Likelihood-ratio tests of the random effects; REML fits are compared by REML."""
    formulas = reduced_formulas(fit, reduce_terms=reduce_terms)
    smaller = {label: fit_reduced(fit, text, REML=fit.REML) for label, text in formulas.items()}
    return TestTable(
        table=_likelihood_table(fit, smaller),
        heading=(
            "ANOVA-like table for random-effects: Single term deletions",
            "",
            "Model:",
            fit.formula,
        ),
        formulas=formulas,
    )


def _likelihood_table(fit: Any, smaller: dict[str, Any]) -> pd.DataFrame:
    from scipy.special import chdtrc

    rows = {NONE: (fit.npar, fit.llf, -2.0 * fit.llf + 2.0 * fit.npar, np.nan, np.nan, np.nan)}
    for label, other in smaller.items():
        lrt, df = 2.0 * (fit.llf - other.llf), fit.npar - other.npar
        p = float(chdtrc(df, max(lrt, 0.0))) if df > 0 else np.nan
        aic = -2.0 * other.llf + 2.0 * other.npar
        rows[label] = (other.npar, other.llf, aic, lrt, df, p)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(RANOVA_COLUMNS), dtype=float)


def drop1_likelihood(fit: LmerFit, scope: Sequence[str] | None) -> TestTable:
    """lme4's ``drop1(test = "Chisq")``: each model is refitted by maximum likelihood."""
    from scipy.special import chdtrc

    full = fit.refit_ml()
    rows = {NONE: (np.nan, full.aic, np.nan, np.nan)}
    formulas = {}
    for label in droppable(fit.design, scope):
        formulas[label] = without(fit, label)
        other = fit_reduced(fit, formulas[label], REML=False)
        df = full.npar - other.npar
        lrt = max(0.0, 2.0 * (full.llf - other.llf))
        p = float(chdtrc(df, lrt)) if df > 0 else np.nan
        rows[label] = (df, -2.0 * other.llf + 2.0 * other.npar, lrt, p)
    return TestTable(
        table=pd.DataFrame.from_dict(
            rows, orient="index", columns=list(DROP1_COLUMNS), dtype=float
        ),
        heading=("Single term deletions", "", "Model:", fit.formula),
        formulas=formulas,
    )


def without(fit: LmerFit, label: str) -> str:
    """The fit's formula without one term of its fixed effects."""
    return update_formula(fit.design.formula, f". ~ . - {label}")


def step(
    fit: LmerFit,
    *,
    ddf: str,
    alpha_random: float,
    alpha_fixed: float,
    keep: Sequence[str],
) -> StepResult:
    """Eliminate random effects, then fixed ones, while the largest p-value is above alpha."""
    wrong = [label for label in keep if label not in fit.design.x_terms]
    if wrong:
        raise OptionError(
            f"keep names {', '.join(wrong)}; the terms are {', '.join(fit.design.x_terms)}"
        )
    random, middle = _step_random(fit, alpha_random)
    if isinstance(middle, LinearFit):
        table, smallest = _step_linear(middle, alpha_fixed, keep)
        return StepResult(random=random, fixed=table, final=smallest, heading=(_STEP_HEADING,))
    fixed, final = _step_fixed(middle, ddf, alpha_fixed, keep)
    method = METHOD_NAMES[ddf].removesuffix("'s method")
    heading = (_STEP_HEADING, f"Degrees of freedom method: {method}", "")
    return StepResult(random=random, fixed=fixed, final=final, heading=heading)


def _step_random(fit: LmerFit, alpha: float) -> tuple[pd.DataFrame, Any]:
    here: Any = fit
    found = ranova(fit, reduce_terms=True)
    gone = [found.table.iloc[[0]].assign(Eliminated=np.nan)]
    while True:
        p = found.table["Pr(>Chisq)"].iloc[1:]
        if not (p > alpha).any():
            break
        label = str(p.idxmax())
        gone.append(found.table.loc[[label]].assign(Eliminated=float(len(gone))))
        here = fit_reduced(here, found.formulas[label], REML=fit.REML)
        if isinstance(here, LinearFit):
            found = TestTable(table=_likelihood_table(here, {}))
            break
        found = ranova(here, reduce_terms=True)
    kept = found.table.iloc[1:].assign(Eliminated=0.0)
    return _stacked([*gone, kept], RANOVA_COLUMNS), here


def _step_fixed(
    fit: LmerFit, ddf: str, alpha: float, keep: Sequence[str]
) -> tuple[pd.DataFrame, LmerFit]:
    gone: list[pd.DataFrame] = []
    while True:
        table = droppable_tests(fit, ddf, None).table
        label = _weakest(table, keep, alpha)
        if label is None:
            return _stacked([*gone, table.assign(Eliminated=0.0)], F_COLUMNS), fit
        gone.append(table.loc[[label]].assign(Eliminated=len(gone) + 1.0))
        reduced = fit_reduced(fit, without(fit, label), REML=fit.REML)
        assert not isinstance(reduced, LinearFit)
        fit = reduced


def _step_linear(
    fit: LinearFit, alpha: float, keep: Sequence[str]
) -> tuple[pd.DataFrame, LinearFit]:
    gone: list[pd.DataFrame] = []
    while True:
        table = term_tests(fit)
        label = _weakest(table, keep, alpha)
        if label is None:
            return _stacked([*gone, table.assign(Eliminated=0.0)], LINEAR_COLUMNS), fit
        gone.append(table.loc[[label]].assign(Eliminated=len(gone) + 1.0))
        fit = without_term(fit, label)


def _weakest(table: pd.DataFrame, keep: Sequence[str], alpha: float) -> str | None:
    """The term with the largest p-value, if that is above alpha."""
    p = table["Pr(>F)"].drop(index=[label for label in keep if label in table.index])
    return str(p.idxmax()) if (p > alpha).any() else None


def _stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    used = [part for part in parts if len(part)]
    wanted = ["Eliminated", *columns]
    if not used:
        return pd.DataFrame(columns=wanted, dtype=float)
    return pd.concat(used)[wanted]
