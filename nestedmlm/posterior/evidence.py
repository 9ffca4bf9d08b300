"""The marginal likelihood of a model (its evidence), by importance sampling."""

from __future__ import annotations

from dataclasses import dataclass

from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.priors import PriorSet
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError

_IMPROPER = ("Flat", "HalfFlat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The marginal likelihood of a model.

    Attributes
    ----------
    log : float
        ``log p(y)``, parameters and random effects integrated out.
    mcse : float
        Its Monte-Carlo standard error.
    khat : float
        Pareto k of the weights; above 0.7 there is an error in place of a number.
    """

    log: float
    mcse: float
    khat: float


def evidence(design: Design, priors: PriorSet, *, draws: int, seed: int | None) -> Evidence:
    """Integrate the density of a marginal posterior.

    Raises
    ------
    OptionError
        If a prior is improper (the integral is then of no probability), or a function.
    SamplingError
        If importance sampling does not cover the posterior.
    """
    for name, row in priors.items():
        if not isinstance(row.prior, Prior):
            raise OptionError(f"the prior of {name!r} is a function: its density is not known here")
        if row.prior.distribution in _IMPROPER:
            raise OptionError(
                f"the prior of {name!r} is {row.prior}, which is no probability: the marginal "
                "likelihood is not defined; give a proper prior"
            )
    density = marginal_density(design, priors)
    found = psis_sample(density, find_peak(density), draws=draws, seed=seed)
    return Evidence(log=found.log_evidence, mcse=found.evidence_error, khat=found.khat)
