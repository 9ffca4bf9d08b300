"""Partial R-squared of the terms of the fixed effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.anova import read_predictors
from nestedmlm.inference.effects.ddf import df_method, joint_test, most_exact_ddf
from nestedmlm.inference.effects.hypotheses import term_contrasts
from nestedmlm.inference.effects.partial_r2 import partial_r2 as shares_of_test

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def partial_r2(
    fit: LmerFit, *, type: str = "III", ddf: str | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Partial R-squared (partial eta squared) of the terms of the fixed effects, with intervals.

    Parameters
    ----------
    type : {"III", "II", "I"}
        Hypotheses: marginal, each given all that do not contain it, sequential (SAS's types).
    ddf : {"satterthwaite", "kenward-roger", "residual"}, optional
        Denominator degrees of freedom, which set the scale; by default Kenward and Roger's of a
        REML fit, as in the source, else (and of iterative fits) Satterthwaite's.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        By term: ``estimate``, ``num_df, den_df, statistic, p_value`` of its F test, ``conf_low,
        conf_high``.

    Raises
    ------
    OptionError
        For ``ddf="none"``, and where there are no fixed effects.

    Notes
    -----
    ``q F / (q F + nu)`` of the term's F test: Edwards et al. (2008), Statistics in Medicine 27,
    6137-6157, which R's ``r2glmm::r2beta(method = "kr")`` has, and ``effectsize::F_to_eta2``.
    Intervals by inverting the noncentral F distribution (Steiger 2004), as effectsize's two-sided
    ones. It measures an effect by what it is tested against: an effect between schools by schools.
    Terms do not add up; `r2` and `variance_partition` have shares of the variance of a row.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", cake)
    >>> fit.partial_r2()[["estimate", "conf_low", "conf_high"]].round(3)
                 estimate  conf_low  conf_high
    term
    recipe          0.012     0.000      0.105
    temperature     0.318     0.213      0.400
    """
    if ddf == "none":
        raise OptionError(
            'ddf="none": a partial R-squared is measured by the denominator degrees of freedom'
        )
    if not fit.design.p:
        raise OptionError("the model has no fixed effects, of whose terms there is R-squared")
    method = df_method(fit.core, most_exact_ddf(fit.core) if ddf is None else ddf)
    rows = {}
    for label, L in term_contrasts(fit.design, type, read_predictors(fit)).items():
        test = joint_test(method, L)
        share = shares_of_test(test, level=level)
        rows[label] = {
            "estimate": share.estimate,
            "num_df": test.num_df or np.nan,
            "den_df": test.den_df,
            "statistic": test.F,
            "p_value": test.p_value,
            "conf_low": share.low,
            "conf_high": share.high,
        }
    columns = ["estimate", "num_df", "den_df", "statistic", "p_value", "conf_low", "conf_high"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
    return frame.rename_axis("term")
