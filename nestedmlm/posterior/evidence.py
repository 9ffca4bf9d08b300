"""The marginal likelihood of a model (its evidence), by importance sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm.bayes.density.collapsed_density import collapse
from nestedmlm.bayes.density.combined_normal import combined_normal
from nestedmlm.bayes.density.laplace_density import laplace_density
from nestedmlm.bayes.density.marginal_density import MarginalDensity, marginal_density
from nestedmlm.bayes.model.prior_set import PriorSet, require_proper
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.pareto import smooth_weights
from nestedmlm.bayes.sampling.psis import MAX_KHAT, psis_sample
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity, weighted_density
from nestedmlm.design.design import Design
from nestedmlm.errors import SamplingError
from nestedmlm.posterior.laplace_correction import log_corrections

_CORRECTED = 1000  # draws of the approximate posterior, at each of which the ratio is estimated


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
        combination has a prior, and not all priors of fixed effects are normal; of a family whose
        density has no derivatives.
    SamplingError
        If importance sampling does not cover the posterior.
    """
    require_proper(priors, "the marginal likelihood is not defined")
    if design.family is not None and len(design.factors) > 1:
        return _corrected(design, priors, draws=draws, seed=seed)
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


def _corrected(design: Design, priors: PriorSet, *, draws: int, seed: int | None) -> Evidence:
    """That of the Laplace approximation, times the mean ratio to it over its posterior."""
    density = laplace_density(design, priors)
    combined = combined_normal(density)
    found = psis_sample(density, find_peak(density), draws=draws, seed=seed)
    some = found.points[:_CORRECTED]  # in random order
    ratios = log_corrections(density, some, seed=seed)
    smoothed, khat = smooth_weights(ratios)
    if khat > MAX_KHAT:
        raise SamplingError(
            "the Laplace approximation is too far from this likelihood to be corrected by "
            f"importance weights of all random effects: their Pareto k is {khat:.2f}, above "
            f"{MAX_KHAT}. Compare models by kfold(), which samples the effects"
        )
    w = np.exp(smoothed)
    error = float(np.std(w) / np.mean(w) / np.sqrt(len(w)))
    mass = 0.0 if combined is None else combined.log_mass
    return Evidence(
        log=found.log_evidence - mass + float(ratios.max() + np.log(np.mean(w))),
        mcse=float(np.hypot(found.evidence_error, error)),
        khat=max(found.khat, khat),
    )
