"""Standard errors of standard deviations, correlations and sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference.variances import wald

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def variance_parameters(fit: LmerFit, level: float = 0.95) -> pd.DataFrame:
    """Standard errors and Wald intervals of standard deviations, correlations and sigma.

    Parameters
    ----------
    level : float

    Returns
    -------
    DataFrame
        ``kind, group, var1, var2, estimate, std_error, conf_low, conf_high``, indexed by parameter;
        NaN on the boundary, where ``attrs["messages"]`` says so.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.

    Notes
    -----
    Delta method with the observed information of this fit's criterion, on the log and atanh
    scales. lme4 leaves these out because such intervals are poor in small samples: prefer
    `conf_int`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.variance_parameters()[["estimate", "std_error", "conf_low", "conf_high"]].round(2)
                          estimate  std_error  conf_low  conf_high
    term
    sd_(Intercept)|Batch     42.00      17.06     18.95      93.09
    sigma                    49.51       7.15     37.31      65.70
    """
    return wald.variance_parameters(fit.core, level=level)
