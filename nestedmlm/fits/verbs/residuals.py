"""Residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference.rows import residuals as numbers

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def residuals(
    fit: LmerFit,
    type: str = "response",
    *,
    which: str = "conditional",
    scaled: bool = False,
    standardized: bool = False,
) -> pd.Series:
    """Residuals, on the caller's index.

    Parameters
    ----------
    type : {"response", "working", "pearson", "deviance", "normalized"}
        Pearson and deviance residuals are multiplied by the square root of the weights; in a
        linear model the first two are the same, and so are the next two. Where residuals differ
        (``dispersion=``, ``residual=``), Pearson residuals are divided by the row's own standard
        deviation relative to sigma. Normalized residuals are whitened, too: uncorrelated, and
        divided by sigma.
    which : {"conditional", "marginal"}
        From the fitted values ``X beta + Z b``, or from the population's mean ``X beta``.
    scaled : bool
        Divide by sigma.
    standardized : bool
        Divide by the residual's standard deviation given theta, whatever the type:
        ``sigma sqrt((1 - h) / w)`` for conditional residuals.

    Returns
    -------
    Series

    Raises
    ------
    OptionError
        For an unknown type, and for ``"partial"``, which lme4 does not have either.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> r = fit.residuals("pearson", scaled=True)
    >>> print(round(r.min(), 4), round(r.max(), 4))
    -3.9536 5.1793
    """
    values = numbers.residuals(
        fit.solution,
        fit.design,
        type,
        which=which,
        scaled=scaled,
        standardized=standardized,
    )
    return fit.design.align(values).rename("resid")


def resid(fit: LmerFit) -> pd.Series:
    """Response minus fitted values, on the caller's index."""
    return fit.residuals()


def rstudent(fit: LmerFit, *, external: bool = False) -> pd.Series:
    """Studentised residuals ``sqrt(w) e / (sigma sqrt(1 - h))``.

    Parameters
    ----------
    external : bool
        Take sigma from the fit without the row (theta held), exactly and without refitting.
        lme4's ``rstudent`` divides by the sigma of the fit.

    Returns
    -------
    Series

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.

    Notes
    -----
    lme4 1.1-31 writes ``sign(r) sqrt(r^2 + h r^2 / (1 - h)) / sigma`` with deviance and
    Pearson residuals r, which in a linear model is the same.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(round(fit.rstudent().iloc[0], 5))
    -1.45598
    """
    df = (fit.nobs - fit.design.p if fit.REML else fit.nobs) if external else None
    values = numbers.standardized_residuals(fit.solution, fit.design, df)
    return fit.design.align(values).rename("rstudent")
