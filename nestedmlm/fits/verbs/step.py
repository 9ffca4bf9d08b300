"""Backward elimination of random and fixed effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.reduced_fit import NONE, fit_reduced, without
from nestedmlm.fits.verbs.drop1 import deletions, droppable_tests
from nestedmlm.fits.verbs.ranova import likelihood_table
from nestedmlm.fits.verbs.step_by_elpd import step_by_elpd
from nestedmlm.inference.effects.ddf import df_method
from nestedmlm.inference.effects.hypotheses import droppable
from nestedmlm.inference.means.generalized_linear import GeneralizedLinearFit
from nestedmlm.inference.means.linear import LinearFit, term_tests, without_term
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

_HEADING = "Backward reduced fixed-effect table:"


def step(
    fit: LmerFit,
    *,
    criterion: str = "p",
    group: str | None = None,
    ddf: str | None = None,
    alpha_random: float = 0.1,
    alpha_fixed: float = 0.05,
    reduce_random: bool = True,
    reduce_fixed: bool = True,
    keep: Sequence[str] = (),
) -> StepResult:
    """Backward elimination of random, then of fixed effects, as lmerTest's ``step``.

    Parameters
    ----------
    criterion : {"p", "elpd"}
        What decides: p-values, or predictions of new groups. Then the term goes without which each
        group is best predicted by the fit to the others, while that is no worse than with it.
    group : str, optional
        Of ``"elpd"``: the grouping factor, or another column, whose groups are predicted; by
        default the factor that contains all others.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Degrees of freedom; by default Satterthwaite's. Fixed effects of a generalized model have
        likelihood-ratio tests of models refitted without each term.
    alpha_random, alpha_fixed : float
        Terms go while the largest p-value is above these.
    reduce_random, reduce_fixed : bool
        Whether to eliminate anything of that kind.
    keep : sequence of str
        Terms of the fixed effects that stay.

    Returns
    -------
    StepResult
        ``.random``, ``.fixed``: what went, in order, and what stayed; ``.final``: the model.

    Raises
    ------
    OptionError
        For an unknown criterion, a term in `keep` that is not there, and where new groups are
        predicted if no factor contains all others.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    >>> fit.step().final.formula
    'angle ~ temperature + (1 | recipe:replicate)'
    >>> fit.step(criterion="elpd", group="replicate").final.formula
    'angle ~ temperature + (1 | recipe:replicate)'
    >>> ticks = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
    ...                  nm.load_dataset("grouseticks"), family="poisson")
    >>> ticks.step(alpha_random=0.05).final.formula
    'TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)'
    """
    check_choice(criterion, "criterion", ("p", "elpd"))
    fixed_limit = alpha_fixed if reduce_fixed else 1.0
    ddf = fit.core.ddf(ddf)
    wrong = [label for label in keep if label not in fit.design.x_terms]
    if wrong:
        raise OptionError(
            f"keep names {', '.join(wrong)}; the terms are {', '.join(fit.design.x_terms)}"
        )
    if criterion == "elpd":
        refuse_residuals(fit, "step with criterion='elpd'", "criterion='p' is")
        return step_by_elpd(
            fit,
            group=group,
            reduce_random=reduce_random,
            reduce_fixed=reduce_fixed,
            keep=keep,
        )
    random, middle = _step_random(fit, alpha_random if reduce_random else 1.0)
    if isinstance(middle, LinearFit):
        table, smallest = _step_linear(middle, fixed_limit, keep)
        return StepResult(random=random, fixed=table, final=smallest, heading=(_HEADING,))
    if fit.core.family is not None:
        fixed, final = _step_likelihood(fit, middle, fixed_limit, keep)
        heading = (_HEADING, "Likelihood-ratio tests", "")
        return StepResult(random=random, fixed=fixed, final=final, heading=heading)
    fixed, final = _step_fixed(middle, ddf, fixed_limit, keep)
    method = METHOD_NAMES[ddf].removesuffix("'s method")
    heading = (_HEADING, f"Degrees of freedom method: {method}", "")
    return StepResult(random=random, fixed=fixed, final=final, heading=heading)


def _step_random(fit: LmerFit, alpha: float) -> tuple[pd.DataFrame, Any]:
    here: Any = fit
    found = fit.ranova()
    gone = [found.table.iloc[[0]].assign(Eliminated=np.nan)]
    while True:
        p = found.table["Pr(>Chisq)"].iloc[1:]
        if not (p > alpha).any():
            break
        label = str(p.idxmax())
        gone.append(found.table.loc[[label]].assign(Eliminated=float(len(gone))))
        here = fit_reduced(here, found.formulas[label], REML=fit.REML)
        if isinstance(here, LinearFit | GeneralizedLinearFit):
            found = TestTable(table=likelihood_table(here, {}))
            break
        found = here.ranova()
    kept = found.table.iloc[1:].assign(Eliminated=0.0)
    return _stacked([*gone, kept], RANOVA_COLUMNS), here


def _step_fixed(
    fit: LmerFit, ddf: str, alpha: float, keep: Sequence[str]
) -> tuple[pd.DataFrame, LmerFit]:
    gone: list[pd.DataFrame] = []
    while True:
        table = droppable_tests(fit, df_method(fit.core, ddf), None).table
        label = _weakest(table, keep, alpha)
        if label is None:
            return _stacked([*gone, table.assign(Eliminated=0.0)], F_COLUMNS), fit
        gone.append(table.loc[[label]].assign(Eliminated=len(gone) + 1.0))
        reduced = fit_reduced(fit, without(fit, label), REML=fit.REML)
        assert not isinstance(reduced, LinearFit | GeneralizedLinearFit)
        fit = reduced


def _step_likelihood(
    fit: LmerFit, here: Any, alpha: float, keep: Sequence[str]
) -> tuple[pd.DataFrame, Any]:
    """Terms of a generalized model `here` of `fit`'s data, with random effects or without."""
    gone: list[pd.DataFrame] = []
    while True:
        table, smaller = deletions(fit, here, droppable(here.design, None))
        table = table.drop(index=NONE)
        label = _weakest(table, keep, alpha)
        if label is None:
            return _stacked([*gone, table.assign(Eliminated=0.0)], DROP1_COLUMNS), here
        gone.append(table.loc[[label]].assign(Eliminated=len(gone) + 1.0))
        here = smaller[label]


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
    p = table.iloc[:, -1].drop(index=[label for label in keep if label in table.index])
    return str(p.idxmax()) if (p > alpha).any() else None


def _stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    used = [part for part in parts if len(part)]
    wanted = ["Eliminated", *columns]
    if not used:
        return pd.DataFrame(columns=wanted, dtype=float)
    return pd.concat(used)[wanted]
