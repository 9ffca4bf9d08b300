"""Residuals of a generalized fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.inference.rows.generalized_residuals import (
    generalized_residuals,
    response_at,
)
from nestedmlm.inference.rows.residuals import WHICH, population

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit


def residuals(
    fit: GlmerFit,
    type: str = "deviance",
    *,
    which: str = "conditional",
    scaled: bool = False,
    seed: int | None = None,
) -> pd.Series:
    """Residuals, on the caller's index.

    Parameters
    ----------
    type : {"deviance", "pearson", "working", "response", "quantile"}
        glmer's, and randomised quantile residuals, which are standard normal if the model is
        right. Of a binomial response with trials, response residuals are of the proportion.
    which : {"conditional", "marginal"}
        Given the random effects, or with random effects of zero.
    scaled : bool
        Divide Pearson residuals by the root of a dispersion that multiplies the variance.
    seed : int, optional
        Of quantile residuals of discrete responses, which are drawn within the jump of the
        distribution function.

    Returns
    -------
    Series

    Raises
    ------
    OptionError
        For an unknown type.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> round(float((fit.residuals() ** 2).sum()), 2) == round(fit.deviance, 2)
    True
    """
    check_choice(which, "which", WHICH)
    core = fit.core
    eta = population(core.solution, core.design) if which == "marginal" else None
    at = response_at(core, eta)
    return fit.design.align(generalized_residuals(at, type, scaled=scaled, seed=seed)).rename(
        "resid"
    )


def resid(fit: GlmerFit) -> pd.Series:
    """Deviance residuals, on the caller's index."""
    return fit.residuals()
