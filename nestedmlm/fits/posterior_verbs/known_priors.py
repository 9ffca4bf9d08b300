"""The priors of a posterior, for verbs that need them."""

from __future__ import annotations

from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.posterior.datatree import refuse_stacked


def known_priors(fit: BayesEstimates) -> PriorSet:
    """The priors that a posterior was sampled with.

    Parameters
    ----------
    fit : BayesFit

    Raises
    ------
    OptionError
        If they are not known (a PyMC model of the user's).
    ResidualStructureError
        For a known sigma.
    NotDefinedError
        Of a stacked posterior.
    """
    refuse_stacked(fit.data, "what needs the likelihood and the priors")
    if fit.priors is None:
        raise OptionError("this posterior is of a PyMC model of yours, whose priors are not known")
    refuse_known_sigma(fit, "what needs the priors of a posterior")
    return fit.priors
