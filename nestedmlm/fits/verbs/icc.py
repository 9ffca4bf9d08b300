"""Intraclass correlations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.errors import ResidualStructureError
from nestedmlm.fits.verbs.bootstrap import with_interval
from nestedmlm.inference.variances import icc_r2

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def icc(
    fit: LmerFit,
    *,
    by_group: bool = False,
    scale: str = "latent",
    level: float | None = None,
    nsim: int = 500,
    seed: int | None = None,
    progress: bool = True,
) -> pd.Series | pd.DataFrame:
    """Intraclass correlation: the share of the random effects in the variance of a row.

    Parameters
    ----------
    by_group : bool
        One share for each grouping factor, and one for the residual.
    scale : {"latent", "observation"}
        Of the residual variance of a generalized model: of the distribution behind the link
        (logit: pi^2 / 3), or of a response by the delta method (Nakagawa, Johnson & Schielzeth
        2017); a linear model has one.
    level : float, optional
        Level of bootstrap intervals (percentiles of the parametric bootstrap).
    nsim, seed
        Of the bootstrap.
    progress : bool
        False: bootstrap without a progress bar.

    Returns
    -------
    Series, with `level` a DataFrame ``estimate, conf_low, conf_high``
        ``adjusted`` (in the variance given the predictors) and ``unadjusted`` (in the variance
        that the fixed effects contribute to); with `by_group` indexed by grouping factor, parts
        of the adjusted whole.

    Notes
    -----
    Random slopes count with their average over the rows, ``mean(z' Sigma z)`` (Johnson 2014).
    With `by_group` too, so that the parts add up; R's performance counts only intercepts
    there. With weights the residual variance is ``sigma^2 mean(1 / w)``; performance takes
    ``sigma^2``. Where residuals differ it is their average over the rows, and where they
    correlate, two rows of a block have more in common than this share says:
    ``fit.residual_cov(kind="cor")``.

    Raises
    ------
    ResidualStructureError
        If the model has no random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.icc().round(3).to_dict()
    {'adjusted': 0.722, 'unadjusted': 0.521}
    """
    if not fit.design.terms:
        raise ResidualStructureError(
            "the model has no random effects, whose share of the variance the ICC is: "
            "fit.residual_cov(kind='cor') has the correlations of the residuals"
        )
    fun = partial(icc_by_group if by_group else icc_values, scale=scale)
    return with_interval(fit, fun, level=level, nsim=nsim, seed=seed, progress=progress)


def icc_values(fit: LmerFit, *, scale: str) -> pd.Series:
    """Adjusted and unadjusted intraclass correlation."""
    return icc_r2.icc_values(icc_r2.variance_shares(fit.core, scale=scale))


def icc_by_group(fit: LmerFit, *, scale: str) -> pd.Series:
    """Share of each grouping factor and of the residual."""
    return icc_r2.icc_by_group(icc_r2.variance_shares(fit.core, scale=scale), fit.design)
