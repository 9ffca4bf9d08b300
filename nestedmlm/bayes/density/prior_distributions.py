"""Prior distributions, whole, cut or constant: densities, draws, typical values.

SciPy's distributions load on first use, which takes half a second: truncated priors and pictures
ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.log_priors import (
    LOG_DENSITIES,
    LogDensity,
    exponential_mean,
    gamma_rate,
    inverse_gamma_scale,
    typical_value,
)
from nestedmlm.bayes.model.distributions import Prior, uncut
from nestedmlm.errors import OptionError

_LEAST_MASS = 1e-280  # of what is left of a distribution, near the smallest number there is

# SciPy's distribution for each of PyMC's that has a density by itself
SCIPY: Mapping[str, Callable[[Mapping[str, float]], Any]] = MappingProxyType(
    {
        "Normal": lambda p: scipy.stats.norm(p["mu"], p["sigma"]),
        "StudentT": lambda p: scipy.stats.t(p["nu"], p["mu"], p["sigma"]),
        "Cauchy": lambda p: scipy.stats.cauchy(p["alpha"], p["beta"]),
        "Laplace": lambda p: scipy.stats.laplace(p["mu"], p["b"]),
        "Logistic": lambda p: scipy.stats.logistic(p["mu"], p["s"]),
        "Uniform": lambda p: scipy.stats.uniform(p["lower"], p["upper"] - p["lower"]),
        "Exponential": lambda p: scipy.stats.expon(scale=exponential_mean(p)),
        "Gamma": lambda p: scipy.stats.gamma(gamma_rate(p)[0], scale=1.0 / gamma_rate(p)[1]),
        "InverseGamma": lambda p: scipy.stats.invgamma(
            inverse_gamma_scale(p)[0], scale=inverse_gamma_scale(p)[1]
        ),
        "LogNormal": lambda p: scipy.stats.lognorm(p["sigma"], scale=np.exp(p["mu"])),
        "Weibull": lambda p: scipy.stats.weibull_min(p["alpha"], scale=p["beta"]),
        "Beta": lambda p: scipy.stats.beta(p["alpha"], p["beta"]),
        "LKJ": lambda p: scipy.stats.beta(p["eta"], p["eta"], loc=-1.0, scale=2.0),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truncation:
    """A truncated prior: the distribution it is cut from, the ends, and what is left.

    Attributes
    ----------
    whole : Prior
    lower, upper : float
    tail : bool
        Whether both ends lie in the upper half, so that probabilities are counted from above.
    mass : float
        Probability between the ends.
    """

    whole: Prior
    lower: float
    upper: float
    tail: bool
    mass: float

    @property
    def log_mass(self) -> float:
        """Its logarithm."""
        return float(np.log(self.mass))

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log-density between the ends."""
        out: FloatArray = _frozen(self.whole).logpdf(x) - self.log_mass
        return out

    def quantile(self, p: FloatArray | float) -> FloatArray:
        """Values below which a share p of the probability lies."""
        own, share = _frozen(self.whole), np.asarray(p, dtype=float)
        if self.tail:
            found = own.isf(own.sf(self.upper) + (1.0 - share) * self.mass)
        else:
            found = own.ppf(own.cdf(self.lower) + share * self.mass)
        out: FloatArray = np.clip(found, self.lower, self.upper)
        return out


def truncation(prior: Prior) -> Truncation:
    """Cut a truncated prior from its distribution.

    Raises
    ------
    OptionError
        If nothing is left that numbers can hold.
    """
    whole, (lower, upper) = uncut(prior)
    own = _frozen(whole)
    tail = bool(own.cdf(lower) > 0.5)
    mass = float(own.sf(lower) - own.sf(upper) if tail else own.cdf(upper) - own.cdf(lower))
    if not mass > _LEAST_MASS:
        raise OptionError(f"{prior}: next to none of the distribution lies between its ends")
    return Truncation(whole=whole, lower=lower, upper=upper, tail=tail, mass=mass)


def _frozen(prior: Prior) -> Any:
    return SCIPY[prior.distribution](dict(prior.parameters))


def density_of(priors: Sequence[Prior]) -> LogDensity:
    """Log-density, and its slope, of variables with priors of one kind.

    Parameters
    ----------
    priors : sequence of Prior
        One for each variable, of one distribution and with the same parameters' names. Of a
        constant the density is one.
    """
    if priors[0].constant:
        return lambda x: (0.0 * x, 0.0 * x)
    if not priors[0].truncated:
        return _of_whole(priors)
    cuts = [truncation(prior) for prior in priors]
    whole = _of_whole([cut.whole for cut in cuts])
    log_mass = np.array([cut.log_mass for cut in cuts])

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, slope = whole(x)
        return value - log_mass, slope

    return at


def _of_whole(priors: Sequence[Prior]) -> LogDensity:
    names = [name for name, _ in priors[0].parameters]
    values = {name: np.array([prior[name] for prior in priors]) for name in names}
    return LOG_DENSITIES[priors[0].distribution](values)


def start_of(prior: Prior) -> float:
    """A value where a sampler may start: in the middle of a prior."""
    if prior.constant:
        return float(prior["value"])
    return float(truncation(prior).quantile(0.5)) if prior.truncated else typical_value(prior)
