"""The variance components of a posterior."""

from __future__ import annotations

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.summaries import LEVEL, varcorr_table
from nestedmlm.views.posterior.varcorr import BayesVarCorr


@checked
def varcorr(fit: BayesEstimates, *, level: float = LEVEL) -> BayesVarCorr:
    """Standard deviations and correlations of the random effects with intervals; a view.

    Parameters
    ----------
    level : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    BayesVarCorr

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.varcorr().to_frame().shape
    (2, 9)
    """
    table = varcorr_table(fit.data, fit.design, level=level)
    return BayesVarCorr(table=table, level=level)
