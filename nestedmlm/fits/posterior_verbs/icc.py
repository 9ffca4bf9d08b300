"""Intraclass correlations of a posterior."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.icc_r2 import icc_table
from nestedmlm.posterior.summaries import LEVEL


@checked
def icc(fit: BayesEstimates, *, level: float = LEVEL) -> pd.DataFrame:
    """Share of each grouping factor in the variance given the predictors, with intervals.

    Parameters
    ----------
    level : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    DataFrame
        One row per factor and ``Residual``; ``estimate, std_error, conf_low, conf_high``. A factor
        with random slopes counts with its average over the rows, ``mean(z' Sigma z)`` (Johnson
        2014).

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1, or a family without a variance function.
    ResidualStructureError
        For residuals that differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.icc().columns.tolist()
    ['estimate', 'std_error', 'conf_low', 'conf_high']
    """
    return icc_table(fit.data, fit.design, level=level)
