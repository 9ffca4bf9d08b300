"""Draws from the priors of all parameters, by NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.coefficient_priors import ConditionalPrior
from nestedmlm.bayes.density.combined_normal import combined_normal
from nestedmlm.bayes.density.log_priors import exponential_mean, gamma_rate, inverse_gamma_scale
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.density.prior_distributions import truncation
from nestedmlm.bayes.model.distributions import Prior

Draw = Callable[[np.random.Generator, Mapping[str, float], int], FloatArray]


def draw_priors(
    density: NamedCoordinates, n: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Draw all parameters from their priors.

    Parameters
    ----------
    density : NamedCoordinates
        With proper priors.
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to array
        The named variables, n rows of each.

    Raises
    ------
    OptionError
        Where a combination has a prior, and not all priors of fixed effects are normal.
    """
    coordinates = density.coordinates
    factors = coordinates.factors
    given = {int(i) for f in factors if isinstance(f, ConditionalPrior) for i in f.at}
    none = np.full(n, np.nan)  # drawn below, given the rest
    columns = [
        none if i in given else draw_prior(c.prior, n, rng) for i, c in enumerate(coordinates.each)
    ]
    held = np.broadcast_to(coordinates.held, (n, len(coordinates.held)))
    x = np.column_stack([*columns, held])
    for factor in factors:
        if isinstance(factor, ConditionalPrior):
            x[:, factor.at] = factor.draw(x, rng)
    combined = combined_normal(density)
    if combined is not None:
        scores = rng.standard_normal((n, len(combined.at)))
        x[:, combined.at] = combined.mean + scores @ combined.root.T
    return density.named(coordinates.points(x[:, : len(coordinates)]))


def draw_prior(prior: Prior, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw n values of a variable with a proper prior."""
    if prior.constant:
        return np.full(n, prior["value"])
    if prior.truncated:
        return truncation(prior).quantile(rng.random(n))
    return DRAWS[prior.distribution](rng, dict(prior.parameters), n)


def _gamma(rng: np.random.Generator, p: Mapping[str, float], n: int) -> FloatArray:
    alpha, beta = gamma_rate(p)
    return rng.gamma(alpha, 1.0 / beta, n)


def _inverse_gamma(rng: np.random.Generator, p: Mapping[str, float], n: int) -> FloatArray:
    alpha, beta = inverse_gamma_scale(p)
    out: FloatArray = beta / rng.gamma(alpha, 1.0, n)
    return out


DRAWS: Mapping[str, Draw] = MappingProxyType(
    {
        "Normal": lambda rng, p, n: rng.normal(p["mu"], p["sigma"], n),
        "StudentT": lambda rng, p, n: p["mu"] + p["sigma"] * rng.standard_t(p["nu"], n),
        "Cauchy": lambda rng, p, n: p["alpha"] + p["beta"] * rng.standard_cauchy(n),
        "Laplace": lambda rng, p, n: rng.laplace(p["mu"], p["b"], n),
        "Logistic": lambda rng, p, n: rng.logistic(p["mu"], p["s"], n),
        "Uniform": lambda rng, p, n: rng.uniform(p["lower"], p["upper"], n),
        "HalfNormal": lambda rng, p, n: np.abs(rng.normal(0.0, p["sigma"], n)),
        "HalfStudentT": lambda rng, p, n: p["sigma"] * np.abs(rng.standard_t(p["nu"], n)),
        "HalfCauchy": lambda rng, p, n: p["beta"] * np.abs(rng.standard_cauchy(n)),
        "Exponential": lambda rng, p, n: rng.exponential(exponential_mean(p), n),
        "Gamma": _gamma,
        "InverseGamma": _inverse_gamma,
        "LogNormal": lambda rng, p, n: rng.lognormal(p["mu"], p["sigma"], n),
        "Weibull": lambda rng, p, n: p["beta"] * rng.weibull(p["alpha"], n),
        "Beta": lambda rng, p, n: rng.beta(p["alpha"], p["beta"], n),
    }
)
