"""The summary of a posterior."""

from __future__ import annotations

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.parameters import parameters
from nestedmlm.posterior.summaries import LEVEL
from nestedmlm.views.posterior.summary import summary_view
from nestedmlm.views.render.view import View


@checked
def summary(fit: BayesEstimates, *, level: float = LEVEL) -> View:
    """Estimates, intervals and diagnostics in lme4's layout; a view.

    Parameters
    ----------
    level : float
        Probability inside the intervals.

    Returns
    -------
    View
        With tables ``varcorr`` and ``coefficients``.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.summary().to_frame().columns[:2].tolist()
    ['variable', 'group']
    """
    return summary_view(fit, parameters(fit, level=level), level)
