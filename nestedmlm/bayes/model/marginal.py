"""The marginal model: random effects integrated out exactly.

    log p(y | beta, T, sigma) = -1/2 [ n log 2 pi sigma^2 + log|M| - sum log w + v' S v / sigma^2 ]

with ``(log|M|, S) = eliminate(T)`` and ``v = (-beta, 1)`` in scaled columns: the same elimination
as the REML criterion's, under another head (Bates et al. 2015, eq. 13-20 before profiling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from nestedmlm.bayes.density.marginal_likelihood import (
    contrast,
    contrast_slopes,
    entry_places,
    likelihood_constant,
)
from nestedmlm.bayes.model.factors import TermFactor, term_factor
from nestedmlm.bayes.model.fixed import fixed_effects, residual_scale
from nestedmlm.bayes.model.likelihood import Data, MarginalLikelihood
from nestedmlm.bayes.model.likelihood_op import data_of
from nestedmlm.bayes.model.names import LIKELIHOOD, coordinates, parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.model.residual_graph import residual_variables
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestedmlm.design.design import Design


def marginal_model(
    design: Design,
    priors: PriorSet | Mapping[str, Any] | None = None,
    *,
    stats: CrossProducts | None = None,
) -> pm.Model:
    """Make the PyMC model of fixed effects, standard deviations, correlations and sigma alone.

    Parameters
    ----------
    design : Design
    priors : PriorSet or mapping, optional
        See `nestedmlm.bayes.model.priors.resolve_priors`.
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.

    Returns
    -------
    pymc.Model
        Its likelihood is one ``pm.Potential``; user names are Deterministics where the sampled
        variable is another (folded scales, the intercept at centred predictors).
    """
    from nestedmlm.bayes.model import numba_dispatch  # noqa: F401 (pm.sample and nutpie need it)

    priors = resolve_priors(design, priors)
    sums = None if design.residual is None else pair_sums(design)
    stats = sums.base if sums is not None else stats or cross_products(design)
    names = parameter_names(design)
    coords = {k: v for k, v in coordinates(design).items() if not k.endswith("__factor_dim")}
    with pm.Model(coords=coords) as model:
        sampled = fixed_effects(design, names, priors)
        factors = [
            term_factor(term, own, priors)
            for term, own in zip(design.terms, names.terms, strict=True)
        ]
        sigma = residual_scale(names, priors)
        free = pt.zeros(0)
        if sums is not None:
            free = residual_variables(design, names, priors, sigma).free
        data = Data(stats, sums)
        pm.Potential(LIKELIHOOD, log_likelihood(factors, sampled, sigma, free, design, data))
    return model


def is_marginal(model: pm.Model) -> bool:
    """Whether a model's likelihood has the random effects integrated out."""
    return any(potential.name == LIKELIHOOD for potential in model.potentials)


def statistics_of(model: pm.Model) -> CrossProducts | None:
    """The statistics that a marginal model's likelihood is made of; None for another model."""
    return data_of(model, LIKELIHOOD).stats if is_marginal(model) else None


def log_likelihood(
    factors: list[TermFactor], sampled: list[Any], sigma: Any, free: Any, design: Design, data: Data
) -> Any:
    """The marginal log-likelihood as a graph.

    Parameters
    ----------
    factors : list of TermFactor
        One for each term: the entries of ``D L``.
    sampled : list of p scalars
        From `nestedmlm.bayes.model.fixed.fixed_effects`.
    sigma : scalar
    free : vector
        Parameters of residuals that differ or correlate; none otherwise.
    design, data : Design, Data
    """
    stats = data.stats
    P = entry_places([tuple(factor.entries()) for factor in factors], design, stats)
    entries = [value for factor in factors for value in factor.entries().values()]
    beta = pt.stack(sampled) if sampled else pt.zeros(0)
    maps = {"P": P, "C": contrast_slopes(design, stats), "c": contrast(stats)}
    at = pt.stack(entries) if entries else pt.zeros(0)
    op = MarginalLikelihood(data)
    value, *_ = op(at, beta, sigma, free, *(_shared(n, v) for n, v in maps.items()))
    return value - stats.n * pt.log(sigma) + likelihood_constant(stats)


def _shared(name: str, values: np.ndarray) -> Any:
    """A writable copy that the graph refers to: Numba compiles read-only constants anew."""
    return pytensor.shared(np.array(values, order="C"), name=f"{LIKELIHOOD}_{name}")
