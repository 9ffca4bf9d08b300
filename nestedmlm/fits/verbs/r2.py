"""R-squared."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.design.rows import rows_here
from nestedmlm.fits.verbs.bootstrap import with_interval
from nestedmlm.inference.variances import icc_r2

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def r2(
    fit: LmerFit,
    *,
    by_group: bool = False,
    scale: str = "latent",
    level: float | None = None,
    nsim: int = 500,
    seed: int | None = None,
    progress: bool = True,
) -> pd.Series | pd.DataFrame:
    """R-squared of Nakagawa & Schielzeth.

    Parameters
    ----------
    by_group : bool
        Instead, the proportion of variance explained at each level: one minus its ratio to
        the variance in the model without predictors (which is fitted; same rows, same random
        effects, same criterion).
    scale : {"latent", "observation"}
        Of the residual variance of a generalized model: of the distribution behind the link
        (logit: pi^2 / 3), or of a response by the delta method (Nakagawa, Johnson & Schielzeth
        2017); a linear model has one.
    level : float, optional
        Level of bootstrap intervals (percentiles of the parametric bootstrap).
    nsim, seed
        Replicates and seed of the bootstrap.
    progress : bool
        False: bootstrap without a progress bar.

    Returns
    -------
    Series, with `level` a DataFrame ``estimate, conf_low, conf_high``
        ``marginal``: share of the fixed effects in the variance of a row; ``conditional``:
        share of fixed and random effects. With `by_group` indexed by grouping factor, with
        ``Residual`` (performance's "Level 1") last; a negative value is no error: a predictor
        can uncover variance at another level.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.
    NotDefinedError
        For models with smooth curves.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.r2().round(3).to_dict()
    {'marginal': 0.279, 'conditional': 0.799}
    """
    fun = partial(r2_by_group if by_group else r2_values, scale=scale)
    return with_interval(fit, fun, level=level, nsim=nsim, seed=seed, progress=progress)


def r2_values(fit: LmerFit, *, scale: str) -> pd.Series:
    """Marginal and conditional R-squared."""
    return icc_r2.r2_values(icc_r2.variance_shares(fit.core, scale=scale))


def r2_by_group(fit: LmerFit, *, scale: str) -> pd.Series:
    """Variance explained at each level; fits the model without predictors."""
    null = fit.refitted(null_design(fit.design))
    before = icc_r2.variance_shares(null.core, scale=scale)
    own = icc_r2.variance_shares(fit.core, scale=scale)
    return icc_r2.r2_by_group(own, before, fit.design)


def null_design(design: Design) -> Design:
    """The same rows, weights, offset and random effects with an intercept for the fixed effects.

    The rows are the same even where predictors have missing values, so that the two models can be
    compared.
    """
    if design.sums is not None and "(Intercept)" in design.x_names:
        only = design.with_columns([design.x_names.index("(Intercept)")])
        return replace(only, x_assign=(0,), x_terms=(), dropped=(), messages=())
    rows = rows_here(design.rows, "the model without predictors")
    return replace(
        design,
        rows=replace(rows, X=np.ones((design.n, 1))),
        x_names=("(Intercept)",),
        x_assign=(0,),
        x_terms=(),
        dropped=(),
        messages=(),
    )
