"""The marginal likelihood of a posterior's model."""

from __future__ import annotations

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.known_priors import known_priors
from nestedmlm.posterior.evidence import Evidence, evidence


@checked
def log_evidence(fit: BayesEstimates, *, draws: int = 4000, seed: int | None = None) -> Evidence:
    """Logarithm of the marginal likelihood ``p(y)``, for Bayes factors; with its error.

    It depends on the priors, also where the posterior does not: compare models whose priors are
    meant. The logarithm of a Bayes factor is the difference of two.

    Parameters
    ----------
    draws : int
        Of importance sampling, by whatever sampler the posterior was drawn.
    seed : int, optional

    Returns
    -------
    Evidence
        ``.log``, its Monte-Carlo standard error ``.mcse`` and the Pareto ``.khat`` of the weights.

    Raises
    ------
    OptionError
        If a prior is improper, a function, or not known (a PyMC model of the user's); for a
        generalized model of the t family.
    SamplingError
        If importance sampling does not cover the posterior, or the random effects of a generalized
        model with several grouping factors.

    Notes
    -----
    The mean importance weight (Vehtari et al. 2024 smooth its tail) times the constants of the
    proposal; random effects are integrated out exactly, in a generalized model by importance
    weights of each group's, which are unbiased. With several grouping factors, whose effects hang
    together, it is that of the Laplace approximation times the mean, over draws from the
    approximate posterior, of the likelihood over it, by weights of all effects: with a hundred
    effects and more the Pareto k may refuse, in seconds.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> round(posterior.log_evidence(seed=1).log, 1)  # by quadrature -174.488
    -174.5
    """
    return evidence(fit.design, known_priors(fit), draws=draws, seed=seed)
