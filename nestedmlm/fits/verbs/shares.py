"""Shares of variance of a fit, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.arguments import check_level
from nestedmlm.fits.verbs.nullmodel import fit_null
from nestedmlm.inference.variances import icc_r2

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def icc_values(fit: LmerFit) -> pd.Series:
    """Adjusted and unadjusted intraclass correlation."""
    return icc_r2.icc_values(icc_r2.variance_shares(fit.solution, fit.design))


def icc_by_group(fit: LmerFit) -> pd.Series:
    """Share of each grouping factor and of the residual."""
    return icc_r2.icc_by_group(icc_r2.variance_shares(fit.solution, fit.design), fit.design)


def r2_values(fit: LmerFit) -> pd.Series:
    """Marginal and conditional R-squared."""
    return icc_r2.r2_values(icc_r2.variance_shares(fit.solution, fit.design))


def r2_by_group(fit: LmerFit) -> pd.Series:
    """Variance explained at each level; fits the model without predictors."""
    null = fit_null(fit)
    before = icc_r2.variance_shares(null.solution, null.design)
    own = icc_r2.variance_shares(fit.solution, fit.design)
    return icc_r2.r2_by_group(own, before, fit.design)


def with_interval(
    fit: LmerFit,
    fun: Callable[[LmerFit], pd.Series],
    *,
    ci: float | None,
    nsim: int,
    seed: int | None,
    progress: bool,
) -> pd.Series | pd.DataFrame:
    """Values of `fun`, and the percentiles of its parametric bootstrap when `ci` is given."""
    found = fun(fit)
    if ci is None:
        return found
    check_level(ci, "ci")
    drawn = fit.bootstrap(nsim, fun, seed=seed, progress=progress)
    limits = drawn.conf_int(level=ci).to_numpy()
    return pd.DataFrame(
        {"estimate": found, "lower": limits[:, 0], "upper": limits[:, 1]}, index=found.index
    )
