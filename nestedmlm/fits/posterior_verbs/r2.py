"""R-squared of a posterior."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.icc_r2 import r2_table
from nestedmlm.posterior.summaries import LEVEL


@checked
def r2(fit: BayesEstimates, *, level: float = LEVEL) -> pd.DataFrame:
    """R-squared: ``bayes``, ``marginal`` and ``conditional`` with intervals.

    Parameters
    ----------
    level : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    DataFrame
        Rows ``bayes``: variance of the expected values of the rows over that plus the residual
        variance (Gelman et al. 2019); ``marginal`` and ``conditional``: the share of the fixed
        effects, and of fixed and random effects, in the variance of a new row (Nakagawa &
        Schielzeth 2013; random slopes as Johnson 2014). Columns ``estimate, std_error, conf_low,
        conf_high``.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1, or a family without a variance function.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.r2().index.tolist()
    ['bayes', 'marginal', 'conditional']
    """
    return r2_table(fit.data, fit.design, level=level)
