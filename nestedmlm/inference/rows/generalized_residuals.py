"""Residuals of generalized models: deviance, Pearson, working, response, quantile.

The first four are glmer's. Quantile residuals: Dunn & Smyth (1996), Journal of Computational and
Graphical Statistics 5(3): standard normal if the model is right, for discrete responses too, where
they are drawn within the jump of the distribution function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.families.exponential import whole_trials
from nestedmlm.inference.fitted import Fitted

_LEAST = 1e-15  # how near 0 and 1 a probability may be before its normal quantile is taken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseAt:
    """Responses with their family at given linear predictors.

    Attributes
    ----------
    family : Family
    dispersion : float or None
    y, weights, eta : (n,) arrays
        Of a binomial family `y` is the proportion and `weights` are the trials.
    """

    family: Family
    dispersion: float | None
    y: FloatArray
    weights: FloatArray
    eta: FloatArray

    @property
    def mu(self) -> FloatArray:
        """Expected responses."""
        return self.family.link.mu(self.eta)


def response_at(fitted: Fitted, eta: FloatArray | None = None) -> ResponseAt:
    """Responses of a generalized fit with their family, at its linear predictors or others.

    Parameters
    ----------
    fitted : Fitted
        With a family.
    eta : (n,) array, optional
    """
    design, family = fitted.design, fitted.family
    assert family is not None
    return ResponseAt(
        family=family,
        dispersion=fitted.dispersion,
        y=design.y,
        weights=np.ones(design.n) if design.weights is None else design.weights,
        eta=fitted.solution.eta if eta is None else eta,
    )


def deviance(at: ResponseAt) -> FloatArray:
    """Signed roots of the rows' deviances."""
    return at.family.deviance_residuals(at.y, at.mu, at.weights, at.dispersion)


def pearson(at: ResponseAt, *, scaled: bool = False) -> FloatArray:
    """Residuals over the square root of the variance function; `scaled`: of the variance."""
    family, mu = at.family, at.mu
    variance = family.variance_at(mu, at.dispersion) / at.weights
    if scaled and family.scaled:
        variance = variance * family.value_of(at.dispersion)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (at.y - mu) / np.sqrt(variance)
    out: FloatArray = np.where(at.y == mu, 0.0, found)  # also where the variance is 0 to rounding
    return out


def working(at: ResponseAt) -> FloatArray:
    """Residuals on the scale of the linear predictor."""
    out: FloatArray = (at.y - at.mu) / at.family.link.derivatives(at.eta)[0]
    return out


def response(at: ResponseAt) -> FloatArray:
    """Response minus expected response."""
    return at.y - at.mu


def quantile(at: ResponseAt, *, rng: np.random.Generator) -> FloatArray:
    """Normal quantiles of the distribution function at the responses.

    Raises
    ------
    OptionError
        For a family whose distribution function is not known here.
    """
    from scipy.special import ndtri

    if at.family.name not in DISTRIBUTIONS:
        raise OptionError(
            f"the {at.family.name} family has no distribution function here; "
            "fit.simulated_residuals() needs none"
        )
    below, upto = DISTRIBUTIONS[at.family.name](
        at.y, at.mu, at.weights, at.family.value_of(at.dispersion)
    )
    u = below + (upto - below) * rng.uniform(size=len(at.y))
    out: FloatArray = ndtri(np.clip(u, _LEAST, 1.0 - _LEAST))
    return out


def _binomial(
    y: FloatArray, mu: FloatArray, a: FloatArray, _: float
) -> tuple[FloatArray, FloatArray]:
    from scipy.special import bdtr

    n = whole_trials(a)
    k = np.round(n * y)
    return np.where(k > 0, bdtr(np.maximum(k - 1, 0), n, mu), 0.0), bdtr(k, n, mu)


def _poisson(
    y: FloatArray, mu: FloatArray, a: FloatArray, _: float
) -> tuple[FloatArray, FloatArray]:
    from scipy.special import pdtr

    return np.where(y > 0, pdtr(np.maximum(y - 1, 0), mu), 0.0), pdtr(y, mu)


def _negative_binomial(
    y: FloatArray, mu: FloatArray, a: FloatArray, theta: float
) -> tuple[FloatArray, FloatArray]:
    from scipy.special import betainc

    p = theta / (theta + mu)
    below = np.where(y > 0, betainc(theta, np.maximum(y, 1.0), p), 0.0)
    return below, betainc(theta, y + 1.0, p)


def _continuous(
    F: Callable[[FloatArray, FloatArray, FloatArray, float], FloatArray],
    y: FloatArray,
    mu: FloatArray,
    a: FloatArray,
    phi: float,
) -> tuple[FloatArray, FloatArray]:
    value = F(y, mu, a, phi)
    return value, value


def _gamma(y: FloatArray, mu: FloatArray, a: FloatArray, phi: float) -> FloatArray:
    from scipy.special import gammainc

    shape = a / phi
    out: FloatArray = gammainc(shape, shape * y / mu)
    return out


def _beta(y: FloatArray, mu: FloatArray, a: FloatArray, phi: float) -> FloatArray:
    from scipy.special import betainc

    out: FloatArray = betainc(mu * phi, (1.0 - mu) * phi, y)
    return out


def _gaussian(y: FloatArray, mu: FloatArray, a: FloatArray, phi: float) -> FloatArray:
    from scipy.special import ndtr

    out: FloatArray = ndtr((y - mu) * np.sqrt(a / phi))
    return out


def _inverse_gaussian(y: FloatArray, mu: FloatArray, a: FloatArray, phi: float) -> FloatArray:
    from scipy.special import log_ndtr, ndtr

    root = np.sqrt(a / (phi * y))
    last = np.exp(2.0 * a / (phi * mu) + log_ndtr(-root * (y / mu + 1.0)))
    out: FloatArray = ndtr(root * (y / mu - 1.0)) + last
    return out


Distribution = Callable[[FloatArray, FloatArray, FloatArray, float], tuple[FloatArray, FloatArray]]

# by family: the distribution function just below a response, and at it
DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType(
    {
        "binomial": _binomial,
        "poisson": _poisson,
        "negativebinomial": _negative_binomial,
        "gamma": partial(_continuous, _gamma),
        "beta": partial(_continuous, _beta),
        "gaussian": partial(_continuous, _gaussian),
        "inverse_gaussian": partial(_continuous, _inverse_gaussian),
    }
)

TYPES: Mapping[str, Callable[[ResponseAt], FloatArray]] = MappingProxyType(
    {"deviance": deviance, "pearson": pearson, "working": working, "response": response}
)


def generalized_residuals(
    at: ResponseAt, type: str = "deviance", *, scaled: bool = False, seed: int | None = None
) -> FloatArray:
    """Residuals of the rows, shape (n,).

    Parameters
    ----------
    at : ResponseAt
    type : {"deviance", "pearson", "working", "response", "quantile"}
    scaled : bool
        Divide Pearson residuals by the root of a dispersion that multiplies the variance.
    seed : int, optional
        Of quantile residuals of discrete responses.

    Raises
    ------
    OptionError
    """
    if type == "quantile":
        return quantile(at, rng=np.random.default_rng(seed))
    if type == "pearson":
        return pearson(at, scaled=scaled)
    if type not in TYPES:
        known = ", ".join((*TYPES, "quantile"))
        raise OptionError(f"type must be one of {known}, not {type!r}")
    return TYPES[type](at)
