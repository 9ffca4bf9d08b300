"""Sensitivity of a posterior to its priors."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.known_priors import known_priors
from nestedmlm.posterior.prior_sensitivity import prior_sensitivity


@checked
def sensitivity(fit: BayesEstimates) -> pd.DataFrame:
    """How far each posterior moves when the priors, or one of them, count a little more or less.

    Nothing is sampled again: draws are reweighted by the prior's density to a small power.

    Returns
    -------
    DataFrame
        By parameter: sensitivity to all priors together (``prior``), to the ``likelihood``, and to
        each prior, by its name. Above 0.05 a posterior moves noticeably: with the prior and the
        likelihood both, they may be in conflict; with the prior alone, the likelihood is weak.

    Raises
    ------
    OptionError
        If a prior is a function, or the priors are not known (a PyMC model of the user's).

    Notes
    -----
    Power-scaling by 0.99 and 1.01 and the cumulative Jensen-Shannon distance (Kallioinen, Paananen,
    Bürkner & Vehtari 2024, Stat. Comput. 34: 57), by ``arviz.psense``; the likelihood is that of
    the rows given the random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=500, seed=1)
    >>> posterior.sensitivity().columns.tolist()
    ['prior', 'likelihood', 'Intercept', '1|Batch_sigma', 'sigma']
    """
    return prior_sensitivity(fit.data, fit.design, known_priors(fit))
