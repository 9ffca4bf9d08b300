"""The marginal likelihood of a model (its evidence), by importance sampling."""

from __future__ import annotations

from dataclasses import dataclass

from nestedmlm.bayes.density.collapsed_density import collapse
from nestedmlm.bayes.density.combined_normal import combined_normal
from nestedmlm.bayes.density.marginal_density import MarginalDensity, marginal_density
from nestedmlm.bayes.model.prior_set import PriorSet, require_proper
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity, weighted_density
from nestedmlm.design.design import Design


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
        If a prior is improper (the integral is then of no probability), or a function; where a
        combination has a prior, and not all priors of fixed effects are normal; of a generalized
        model with several grouping factors, or a family whose density has no derivatives.
    SamplingError
        If importance sampling does not cover the posterior.
    """
    require_proper(priors, "the marginal likelihood is not defined")
    if design.family is None:
        whole: MarginalDensity | WeightedDensity = marginal_density(design, priors)
    else:
        whole = weighted_density(design, priors, seed=seed)
    combined, density = combined_normal(whole), collapse(whole, seed)
    peak = find_peak(density)
    if isinstance(density, WeightedDensity):
        density = density.ready(peak.x)
    found = psis_sample(density, peak, draws=draws, seed=seed)
    mass = 0.0 if combined is None else combined.log_mass
    return Evidence(log=found.log_evidence - mass, mcse=found.evidence_error, khat=found.khat)
