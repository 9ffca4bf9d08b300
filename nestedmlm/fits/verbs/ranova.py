"""Likelihood ratio tests of the random effects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.fits.plain_only import refuse_iterative
from nestedmlm.fits.reduced_fit import NONE, Flat, fit_reduced
from nestedmlm.formula import Bar, random_term
from nestedmlm.formula.nodes import Literal, Node
from nestedmlm.views.effect_tests import RANOVA_COLUMNS, TestTable

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def ranova(fit: LmerFit, *, reduce_terms: bool = True) -> TestTable:
    """Likelihood-ratio tests of the random effects, as lmerTest's ``ranova``.

    Parameters
    ----------
    reduce_terms : bool
        Take one effect at a time out of terms with several (True), or whole terms.

    Returns
    -------
    TestTable
        ``.formulas`` has the models. REML fits are compared by REML; a model without random
        effects is a (generalized) linear one.

    Notes
    -----
    The p-values are lmerTest's: chi-squared, hence conservative where a variance of zero is
    tested. `nestedmlm.anova` with ``test="boundary"`` and `nestedmlm.rlrt` do better.

    Raises
    ------
    ModelComparisonError
        If a smaller model has more rows, because of missing values; for a fit with large crossed
        factors, eliminated iteratively.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.ranova().table.round(3).iloc[1].tolist()
    [4.0, -893.233, 1794.465, 42.837, 2.0, 0.0]
    """
    refuse_iterative(fit, "the model")
    formulas = reduced_formulas(fit, reduce_terms=reduce_terms)
    smaller = {label: fit_reduced(fit, text, REML=fit.REML) for label, text in formulas.items()}
    return TestTable(
        table=likelihood_table(fit, smaller),
        heading=(
            "ANOVA-like table for random-effects: Single term deletions",
            "",
            "Model:",
            fit.formula,
        ),
        formulas=formulas,
    )


def reduced_formulas(fit: LmerFit, *, reduce_terms: bool) -> dict[str, str]:
    """Each way to leave out one random effect, by the label lmerTest gives it.

    With `reduce_terms`, a term with several effects loses one of them at a time (never one that
    another effect of the term builds on); else, and for a single effect, the term goes.
    """
    formula = fit.design.formula
    return {
        label: formula.replacing(bar, terms).text
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
) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Yield (label, what takes the term's place)."""
    labels = bar.terms.labels
    whole = bar.call_text
    scope = [a for a in labels if not any(set(a.split(":")) < set(b.split(":")) for b in labels)]
    if not reduce_terms or not scope:
        yield whole, ()
        return
    for label in scope:
        rest = [other for other in labels if other != label]
        left: tuple[Node, ...] = ()
        if rest:
            left = (bar.keeping(rest, bar.structure, bar.hom),)
        elif not alone:
            left = (random_term(Literal(1), bar.group),)
        yield f"{label} in {whole}", left


def likelihood_table(fit: LmerFit | Flat, smaller: Mapping[str, LmerFit | Flat]) -> pd.DataFrame:
    """One row per smaller model: its likelihood, and the test against that of `fit`."""
    from scipy.special import chdtrc

    rows = {NONE: (fit.npar, fit.llf, -2.0 * fit.llf + 2.0 * fit.npar, np.nan, np.nan, np.nan)}
    for label, other in smaller.items():
        lrt, df = 2.0 * (fit.llf - other.llf), fit.npar - other.npar
        p = float(chdtrc(df, max(lrt, 0.0))) if df > 0 else np.nan
        aic = -2.0 * other.llf + 2.0 * other.npar
        rows[label] = (other.npar, other.llf, aic, lrt, df, p)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(RANOVA_COLUMNS), dtype=float)
