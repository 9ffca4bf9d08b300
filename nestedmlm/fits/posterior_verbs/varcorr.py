"""The variance components of a posterior."""

from __future__ import annotations

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.summaries import PROB, varcorr_table
from nestedmlm.views.posterior.varcorr import BayesVarCorr


@checked
def varcorr(fit: BayesEstimates, *, prob: float = PROB) -> BayesVarCorr:
    """Standard deviations and correlations of the random effects with intervals; a view.

    Parameters
    ----------
    prob : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    BayesVarCorr

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.varcorr().to_frame().shape
    (2, 8)
    """
    table = varcorr_table(fit.data, fit.design, prob=prob)
    return BayesVarCorr(table=table, prob=prob)
