"""The groups of a posterior that belong to its priors, and the rows' log-likelihood."""

from __future__ import annotations

from dataclasses import replace

from nestedmlm.arguments import check_count, checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.posterior_verbs.known_priors import known_priors
from nestedmlm.posterior.datatree import add_log_likelihood, add_log_prior, merge
from nestedmlm.posterior.prior_groups import prior_groups


@checked
def with_prior[F: BayesEstimates](fit: F, *, draws: int = 1000, seed: int | None = None) -> F:
    """Make the same fit with the groups ``prior``, ``prior_predictive`` and ``log_prior``.

    They are what ``az.plot_prior_posterior``, ``az.plot_bf``, ``az.psense_summary`` and
    ``az.plot_ppc_dist(..., group="prior_predictive")`` look for.

    Parameters
    ----------
    draws : int
        From the prior.
    seed : int, optional

    Returns
    -------
    BayesFit
        ``log_prior`` has a variable for each prior of `BayesFit.priors`, for every draw of the
        posterior: that of ``Intercept`` is the density of the intercept at the means of the
        predictors, as its prior is.

    Raises
    ------
    OptionError
        If a prior is improper, a function, or not known (a PyMC model of the user's).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1).with_prior(seed=1)
    >>> sorted(posterior.data["log_prior"].data_vars)
    ['1|Batch_sigma', 'Intercept', 'sigma']
    """
    priors = known_priors(fit)
    more = prior_groups(fit.design, priors, draws=check_count(draws, "draws"), seed=seed)
    data = add_log_prior(fit.data, fit.design, priors)
    kept = {name: more[name] for name in ("prior", "prior_predictive")}
    return replace(fit, data=merge(data, type(more).from_dict(kept), replace=True))


@checked
def with_log_likelihood[F: BayesEstimates](fit: F) -> F:
    """Make the same fit with the group ``log_likelihood``, however much memory it takes.

    Posteriors have it from the start unless it would take more than half a gigabyte.

    Returns
    -------
    BayesFit

    Raises
    ------
    ResidualStructureError
        For residuals that correlate.
    OptionError
        If the posterior is of a PyMC model of one's own.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1).with_log_likelihood()
    >>> posterior.data["log_likelihood"]["Yield"].shape
    (4, 250, 30)
    """
    own = fit.design.residual
    if own is not None and own.block is not None:
        refuse_residuals(fit, "with_log_likelihood of rows that depend on others", "loo() is")
    known_priors(fit)
    return replace(fit, data=add_log_likelihood(fit.data, fit.design))
