"""Single term deletions from the fixed effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_iterative
from nestedmlm.fits.reduced_fit import NONE, Flat, fit_reduced, without
from nestedmlm.fits.verbs.anova import f_frame, read_predictors
from nestedmlm.inference.effects.ddf import DfMethod, df_method
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.effects.hypotheses import droppable, marginal_contrasts
from nestedmlm.inference.means.generalized_linear import GeneralizedLinearFit
from nestedmlm.views.effect_tests import DROP1_COLUMNS, METHOD_NAMES, TestTable

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def drop1(
    fit: LmerFit,
    scope: Sequence[str] | None = None,
    *,
    ddf: str | None = None,
    test: str | None = None,
    vcov: str | ClusterRobust | None = None,
) -> TestTable:
    """Test each term of the fixed effects that can be dropped, given all others.

    Parameters
    ----------
    scope : sequence of str, optional
        Some of these terms; by default all that no other term contains.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Of the F tests, by default Satterthwaite's.
    test : {"F", "Chisq"}, optional
        F tests as lmerTest's ``drop1``, or likelihood-ratio tests of models refitted by
        maximum likelihood as lme4's; by default F tests, and likelihood-ratio tests of a
        generalized model.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom
        (of F tests).

    Returns
    -------
    TestTable
        ``.table`` has one row per term, and ``.formulas`` (of ``test="Chisq"``) the models.

    Raises
    ------
    OptionError
        For an unknown test, or one that this kind of model has not.
    ModelComparisonError
        For likelihood ratios of a fit with large crossed factors, eliminated iteratively.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    >>> fit.drop1().table["Pr(>F)"].round(4)
    recipe:temperature    0.4393
    Name: Pr(>F), dtype: float64
    >>> fit.drop1(test="Chisq").table["Pr(Chi)"].round(4)["recipe:temperature"]
    np.float64(0.3953)
    """
    if test not in (None, "F", "Chisq"):
        raise OptionError(f"test={test!r} is unknown; known: F, Chisq")
    generalized = fit.core.reference == "z"
    if generalized and test == "F":
        raise OptionError("test='F' is for linear models; a generalized one has test='Chisq'")
    if (test == "Chisq" or generalized) and vcov is not None:
        raise OptionError("likelihood-ratio tests have no vcov=; take test='F' of a linear model")
    if test == "Chisq" or generalized:
        fit.core.ddf(ddf if generalized else None)
        return drop1_likelihood(fit, scope)
    return droppable_tests(fit, df_method(fit.core, ddf, vcov), scope)


def droppable_tests(fit: LmerFit, method: DfMethod, scope: Sequence[str] | None) -> TestTable:
    """F tests of the terms that can be dropped, each given all others."""
    contrasts = marginal_contrasts(fit.design, read_predictors(fit))
    if scope is not None:
        contrasts = {label: contrasts[label] for label in droppable(fit.design, scope)}
    return TestTable(
        table=f_frame(method, contrasts),
        heading=(
            f"Single term deletions using {METHOD_NAMES[method.method]}:",
            "",
            "Model:",
            fit.formula,
        ),
        notes=method.notes,
        hypotheses=contrasts,
    )


def drop1_likelihood(fit: LmerFit, scope: Sequence[str] | None) -> TestTable:
    """lme4's ``drop1(test = "Chisq")``: each model is refitted by maximum likelihood."""
    refuse_iterative(fit, "the model")
    full = fit.refit_ml() if fit.REML else fit
    table, smaller = deletions(fit, full, droppable(fit.design, scope))
    return TestTable(
        table=table,
        heading=("Single term deletions", "", "Model:", fit.formula),
        formulas={label: without(fit, label) for label in smaller},
    )


def deletions(
    fit: LmerFit, full: LmerFit | GeneralizedLinearFit, labels: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, LmerFit | Flat]]:
    """Likelihood-ratio tests of terms of `full`, a model of `fit`'s data; models without each."""
    from scipy.special import chdtrc

    rows = {NONE: (np.nan, -2.0 * full.llf + 2.0 * full.npar, np.nan, np.nan)}
    smaller = {}
    for label in labels:
        other = smaller[label] = fit_reduced(fit, without(full, label), REML=False)
        df = full.npar - other.npar
        lrt = max(0.0, 2.0 * (full.llf - other.llf))
        p = float(chdtrc(df, lrt)) if df > 0 else np.nan
        rows[label] = (df, -2.0 * other.llf + 2.0 * other.npar, lrt, p)
    columns = list(DROP1_COLUMNS)
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float), smaller
