"""The marginal model: random effects integrated out exactly (layer 4).

    log p(y | beta, T, sigma) = -1/2 [ n log 2 pi sigma^2 + log|M| - sum log w + v' S v / sigma^2 ]

with ``(log|M|, S) = eliminate(T)`` and ``v = (-beta, 1)`` in scaled columns: the same Op as the
REML criterion, under another head (Bates et al. 2015, eq. 13-20 before profiling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.factors import TermFactor, scale, term_factor
from nestedmlm.bayes.fixed import centring, fixed_effects
from nestedmlm.bayes.names import LIKELIHOOD, coordinates, parameter_names
from nestedmlm.bayes.priors import PriorSet, resolve_priors
from nestedmlm.crossproducts import CrossProducts, cross_products
from nestedmlm.ops import eliminate
from nestedmlm.parameters import Plan, make_plan, scatters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestedmlm.design import Design


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
        See `nestedmlm.bayes.priors.resolve_priors`.
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.

    Returns
    -------
    pymc.Model
        Its likelihood is one ``pm.Potential``; user names are Deterministics where the sampled
        variable is another (folded scales, the intercept at centred predictors).
    """
    priors = resolve_priors(design, priors)
    stats = stats or cross_products(design)
    plan = make_plan(design, stats)
    names = parameter_names(design)
    coords = {k: v for k, v in coordinates(design).items() if not k.endswith("__factor_dim")}
    with pm.Model(coords=coords) as model:
        sampled = fixed_effects(design, names, priors)
        factors = [
            term_factor(term, own, priors)
            for term, own in zip(design.terms, names.terms, strict=True)
        ]
        sigma = scale(names.sigma, priors[names.sigma].prior, folded=False)
        T = flat_relative_factors(factors, sigma, plan, stats)
        v = contrast_vector(sampled, design, stats)
        pm.Potential(LIKELIHOOD, marginal_likelihood(T, v, sigma, stats))
    return model


def is_marginal(model: pm.Model) -> bool:
    """Whether a model's likelihood has the random effects integrated out."""
    return any(potential.name == LIKELIHOOD for potential in model.potentials)


def marginal_likelihood(T: Any, v: Any, sigma: Any, stats: CrossProducts) -> Any:
    """The marginal log-likelihood as a graph.

    Parameters
    ----------
    T : vector
        Flat relative factors (scaled columns, elimination order).
    v : vector (p+1,)
        ``(-beta, 1)`` in scaled columns.
    sigma : scalar
    stats : CrossProducts
    """
    logdet, S, *_ = eliminate(T, *(pt.constant(a) for a in stats.arrays))
    constant = stats.n * np.log(2.0 * np.pi) - stats.sum_log_w
    quadratic = pt.dot(v, pt.dot(S, v))
    return -0.5 * (constant + 2.0 * stats.n * pt.log(sigma) + logdet + quadratic / sigma**2)


def flat_relative_factors(
    factors: list[TermFactor], sigma: Any, plan: Plan, stats: CrossProducts
) -> Any:
    """All ``T_t = W_t^{-1} D L / sigma`` as the flat vector the elimination takes.

    One constant matrix does the scaling and the scattering, so that the graph has three nodes.
    """
    entries, columns = [], []
    for factor, P, W in zip(factors, scatters(plan), stats.transforms, strict=True):
        inverse = np.linalg.inv(W)
        for (i, j), value in factor.entries().items():
            unit = np.zeros_like(W)
            unit[:, j] = inverse[:, i]
            columns.append(P @ unit.ravel())
            entries.append(value)
    return pt.dot(pt.constant(np.column_stack(columns)), pt.stack(entries)) / sigma


def contrast_vector(sampled: list[Any], design: Design, stats: CrossProducts) -> Any:
    """``v = (-beta_scaled, 1)`` from the sampled coefficients; linear, so one product."""
    constant: FloatArray = np.append(stats.R_x @ stats.beta0, 1.0)
    if not sampled:
        return pt.constant(constant)
    slope = np.vstack([-stats.R_x @ centring(design).matrix(), np.zeros(design.p)])
    return pt.constant(constant) + pt.dot(pt.constant(slope), pt.stack(sampled))
