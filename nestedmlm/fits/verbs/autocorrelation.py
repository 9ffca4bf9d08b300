"""Autocorrelation of residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.arguments import check_count, check_level
from nestedmlm.inference.rows import autocorrelation as numbers

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def autocorrelation(
    fit: LmerFit, within: str | None = None, *, lags: int | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Autocorrelation of residuals within groups; nlme's ``ACF``.

    Pearson residuals show what correlation there is, normalized ones what a structure
    (``residual=``) leaves of it; without a structure the two are the same.

    Parameters
    ----------
    within : str, optional
        A grouping factor, or the blocks of ``residual=``; by default these, or the first factor.
    lags : int, optional
        The largest; by default all that at least ten pairs of rows have.
    level : float
        Of `limit`, which uncorrelated residuals exceed with the probability ``1 - level``.

    Returns
    -------
    DataFrame
        Index ``lag``: rows of a group in the order of time (of the data, without a structure).
        Columns ``pairs, pearson, normalized, limit``.

    Raises
    ------
    OptionError
        If there are no such groups, or none has two rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"),
    ...               residual="ar1(Days | Subject)")
    >>> fit.autocorrelation(lags=2).round(3)
         pairs  pearson  normalized  limit
    lag
    0      180    1.000       1.000  0.146
    1      162    0.505      -0.107  0.154
    2      144    0.267       0.046  0.163
    """
    most = None if lags is None else check_count(lags, "lags", least=1)
    check_level(level, "level")
    return numbers.autocorrelation(fit.solution, fit.design, within=within, lags=most, level=level)
