"""Summary of a fit, and the table of its coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.ddf import DfMethod, RowTests, df_method, row_tests
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.late import Late
from nestedmlm.views.effect_tests import COEFFICIENT_COLUMNS
from nestedmlm.views.render.view import View
from nestedmlm.views.summary import summary_view

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit

smooth_table = Late("nestedmlm.fits.verbs.smooths", "smooth_table")
smooth_statistic = Late("nestedmlm.fits.verbs.smooths", "smooth_statistic")


def summary(
    fit: LmerFit,
    ddf: str | None = None,
    *,
    correlation: bool | None = None,
    vcov: str | ClusterRobust | None = None,
) -> View:
    """Summary in lmerTest's layout as a view; ``.tables`` holds the numbers as DataFrames.

    Parameters
    ----------
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Method of the t tests, by default Satterthwaite's; ``none`` gives lme4's own summary,
        without p-values. A generalized model has z tests, as glmer's summary.
    correlation : bool, optional
        Whether to show the correlations of the fixed effects; by default up to 12 of them.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom.

    Returns
    -------
    View
        Prints as lmerTest's summary; ``.tables`` are DataFrames.

    Raises
    ------
    OptionError
        For an unknown `ddf`; for ``kenward-roger`` with a fit by maximum likelihood.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.summary().tables["coefficients"].round(3)
                 estimate  std_error    df  statistic  p_value
    term
    (Intercept)   251.405      6.825  17.0     36.838      0.0
    Days           10.467      1.546  17.0      6.771      0.0
    """
    plain = fit.core.ddf(ddf) == "none" and vcov is None and fit.core.reference == "t"
    tested = _has_tested_smooths(fit)
    smooths, named = (smooth_table(fit), smooth_statistic(fit)) if tested else (None, "F")
    if plain or not fit.design.p:
        return summary_view(fit, correlation=correlation, smooths=smooths, statistic=named)
    method = df_method(fit.core, ddf, vcov)
    names = list(fit.design.x_names)
    return summary_view(
        fit,
        correlation=correlation,
        coefficients=coefficient_frame(fit, method),
        cov=None if vcov is None else pd.DataFrame(method.cov, names, names),
        method=fit.core.ddf(ddf),
        smooths=smooths,
        statistic=named,
        notes=(*method.notes, *_lines_of_curves(fit.design)),
    )


def _lines_of_curves(design: Design) -> tuple[str, ...]:
    """What the tests of coefficients that are a curve's straight part do not say."""
    whole = [t for t in design.terms if t.smooth is not None and design.factors[t.factor].is_whole]
    return tuple(
        f"{curve.x}: the straight part of {curve.label} on its own; the test of the whole curve is "
        "that under Smooth terms"
        for curve in {t.smooth.label: t.smooth for t in whole if t.smooth is not None}.values()
    )


def _has_tested_smooths(fit: LmerFit) -> bool:
    """Whether there are curves, and `LmerFit.smooths` answers for them."""
    design = fit.design
    tested = design.rows is not None and design.sigma is None
    return tested and any(term.smooth is not None for term in design.terms)


def pvalues(fit: LmerFit) -> pd.Series:
    """p-values of the fixed effects, those of `summary`."""
    return coefficient_frame(fit, df_method(fit.core)).iloc[:, -1].rename("p_value")


def coefficient_frame(fit: LmerFit, method: DfMethod) -> pd.DataFrame:
    """Table of coefficients with their tests."""
    numbers = row_numbers(row_tests(method, np.eye(fit.design.p)))
    columns = COEFFICIENT_COLUMNS[method.reference]
    index = pd.Index(list(fit.design.x_names))
    return pd.DataFrame({name: numbers[name] for name in columns}, index=index)


def row_numbers(found: RowTests) -> dict[str, FloatArray]:
    """Numbers of tests row by row, by the columns of the tables that show them."""
    return {
        "Estimate": found.estimate,
        "Std. Error": found.se,
        "df": found.df,
        "t value": found.statistic,
        "z value": found.statistic,
        "Pr(>|t|)": found.p_value,
        "Pr(>|z|)": found.p_value,
    }
