"""F tests of the terms of the fixed effects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.fits.model_comparison import sequential_anova
from nestedmlm.inference.effects.ddf import DfMethod, JointTest, df_method, joint_test
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.effects.hypotheses import (
    Values,
    missing_cells,
    predictor_values,
    term_contrasts,
)
from nestedmlm.views.anova import AnovaResult
from nestedmlm.views.effect_tests import (
    CHISQ_COLUMNS,
    F_COLUMNS,
    JOINT_COLUMNS,
    METHOD_NAMES,
    TestTable,
)

if TYPE_CHECKING:
    from nestedmlm.fits.imputation.pooled_fit import PooledFit
    from nestedmlm.fits.lmer_fit import LmerFit

_HEADINGS = {
    "t": "Type {} Analysis of Variance Table with {}",
    "z": "Type {} Analysis of Deviance Table (Wald chi-squared tests)",
}
_ROMAN = {"1": "I", "2": "II", "3": "III"}


def anova(
    fit: LmerFit,
    *,
    type: str | int = "III",
    ddf: str | None = None,
    vcov: str | ClusterRobust | None = None,
) -> TestTable | AnovaResult:
    """F tests of the terms of the fixed effects, as lmerTest's ``anova``.

    Parameters
    ----------
    type : {"III", "II", "I", 3, 2, 1}
        Hypotheses: marginal, each given all that do not contain it, sequential (SAS's types).
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        By default Satterthwaite's; ``none`` gives lme4's sequential sums of squares, without
        tests. A generalized model has Wald's chi-squared tests, as ``car::Anova``.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom.

    Returns
    -------
    TestTable
        ``.table``: Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F) (of a generalized model Chisq,
        Df, Pr(>Chisq)); ``.hypotheses``: the contrast matrices.

    Raises
    ------
    OptionError
        For an unknown type of hypotheses or method of degrees of freedom.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake).anova()
    Type III Analysis of Variance Table with Satterthwaite's method
                         Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
    recipe                10.19    5.09     2    42  0.2488 0.7809
    temperature         2100.30  420.06     5   210 20.5199 <2e-16 ***
    recipe:temperature   205.98   20.60    10   210  1.0062 0.4393
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    if ddf == "none" and vcov is None and fit.core.reference == "t":
        return sequential_anova(fit)
    return term_table(fit, df_method(fit.core, ddf, vcov), type=str(type))


def term_table(fit: LmerFit | PooledFit, method: DfMethod, *, type: str) -> TestTable:
    """F tests (chi-squared ones of a generalized model) of every term of the fixed effects."""
    values = read_predictors(fit)
    contrasts = term_contrasts(fit.design, type, values)
    roman = _ROMAN.get(str(type), str(type))
    notes = method.notes
    if roman == "III" and (empty := missing_cells(fit.design, values)):
        notes += (f"no data for {', '.join(empty)}: mind what type III hypotheses then mean",)
    return TestTable(
        table=f_frame(method, contrasts),
        heading=(_HEADINGS[method.reference].format(roman, METHOD_NAMES[method.method]),),
        notes=notes,
        hypotheses=contrasts,
    )


def read_predictors(fit: LmerFit | PooledFit) -> Values:
    """Make a function that reads the predictors, once, when they are needed."""
    return cache(lambda: predictor_values(fit.design, fit.model.source.predictors))


def f_frame(method: DfMethod, contrasts: Mapping[str, FloatArray], rhs: Any = 0.0) -> pd.DataFrame:
    """One row for each contrast matrix: lmerTest's F table, or one of chi-squared tests."""
    columns = list(JOINT_COLUMNS[method.reference])
    rows = {
        label: [numbers[name] for name in columns]
        for label, L in contrasts.items()
        for numbers in (joint_numbers(joint_test(method, L, rhs=rhs)),)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)


def joint_numbers(test: JointTest) -> dict[str, float]:
    """Numbers of a joint test by the columns of the tables that show them."""
    num_df = test.num_df or float("nan")  # nothing to test: an empty row
    numbers = (test.sum_sq, test.mean_sq, num_df, test.den_df, test.F, test.p_value)
    chisq = (num_df * test.F, num_df, test.p_value)
    return dict(zip((*F_COLUMNS, *CHISQ_COLUMNS), (*numbers, *chisq), strict=True))
