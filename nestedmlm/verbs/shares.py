"""Shares of variance of a fit, with bootstrap intervals (layer 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference import shares
from nestedmlm.inference.levels import check_level

if TYPE_CHECKING:
    from nestedmlm.fit import LmerFit


def icc_values(fit: LmerFit) -> pd.Series:
    """Adjusted and unadjusted intraclass correlation."""
    return shares.icc_values(shares.variance_shares(fit.solution, fit.design))


def icc_by_group(fit: LmerFit) -> pd.Series:
    """Share of each grouping factor and of the residual."""
    return shares.icc_by_group(shares.variance_shares(fit.solution, fit.design), fit.design)


def r2_values(fit: LmerFit) -> pd.Series:
    """Marginal and conditional R-squared."""
    return shares.r2_values(shares.variance_shares(fit.solution, fit.design))


def r2_by_group(fit: LmerFit) -> pd.Series:
    """Variance explained at each level; fits the model without predictors."""
    from nestedmlm.verbs.nullmodel import fit_null

    null = fit_null(fit)
    before = shares.variance_shares(null.solution, null.design)
    own = shares.variance_shares(fit.solution, fit.design)
    return shares.r2_by_group(own, before, fit.design)


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
