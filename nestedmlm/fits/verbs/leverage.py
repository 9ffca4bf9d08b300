"""Leverages of the rows, and Cook's distances made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference.rows import residuals as numbers

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def hatvalues(fit: LmerFit) -> pd.Series:
    """Leverages given theta: how much each fitted value moves with its own response.

    Returns
    -------
    Series
        The diagonal of H in ``fitted - offset = H (y - offset)``; its sum is the effective
        number of parameters.

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(round(fit.hatvalues().sum(), 3))
    17.892
    """
    values = numbers.hat_values(fit.solution, fit.design)
    return fit.design.align(values).rename("hat")


def cooks_distance(fit: LmerFit) -> pd.Series:
    """Cook's distance of each row on all that is fitted, given theta (lme4's).

    Returns
    -------
    Series
        ``(r / (1 - h))^2 h / (sigma^2 p)`` with r the Pearson residual and h the leverage,
        which counts the random effects too (NaN without fixed effects).
        ``influence().cooks_distance()`` is about the fixed effects.

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(round(fit.cooks_distance().iloc[0], 5))
    0.12765
    """
    values = numbers.cooks_distance(fit.solution, fit.design)
    return fit.design.align(values).rename("cooks_distance")
