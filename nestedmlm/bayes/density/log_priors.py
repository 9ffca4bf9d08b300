"""Log-densities of the prior distributions and their slopes, as PyMC has them.

A row of `LOG_DENSITIES` takes the parameters, one number for each variable that has this prior,
and gives a function of the variables' values: ``x -> (log p(x), d log p / dx)``, elementwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import lgamma, log, pi
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.distributions import Prior

Parameters = Mapping[str, FloatArray]
LogDensity = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

_LOG_2PI = log(2.0 * pi)
_lgamma = np.vectorize(lgamma, otypes=[float])


def _normal(p: Parameters) -> LogDensity:
    mu, sigma = p["mu"], p["sigma"]
    constant = -np.log(sigma) - 0.5 * _LOG_2PI

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = (x - mu) / sigma
        return constant - 0.5 * z * z, -z / sigma

    return at


def _half_normal(p: Parameters) -> LogDensity:
    return _twice(_normal({"mu": np.zeros_like(p["sigma"]), "sigma": p["sigma"]}))


def _student(p: Parameters) -> LogDensity:
    nu, mu, sigma = p["nu"], p["mu"], p["sigma"]
    constant = _lgamma(0.5 * (nu + 1.0)) - _lgamma(0.5 * nu)
    constant = constant - 0.5 * np.log(nu * pi) - np.log(sigma)

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = (x - mu) / sigma
        tail = z * z / nu
        return constant - 0.5 * (nu + 1.0) * np.log1p(tail), (
            -(nu + 1.0) * z / (nu * (1.0 + tail) * sigma)
        )

    return at


def _half_student(p: Parameters) -> LogDensity:
    return _twice(_student({**p, "mu": np.zeros_like(p["sigma"])}))


def _cauchy(p: Parameters) -> LogDensity:
    alpha, beta = p["alpha"], p["beta"]

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = (x - alpha) / beta
        tail = 1.0 + z * z
        return -np.log(pi * beta) - np.log(tail), -2.0 * z / (tail * beta)

    return at


def _half_cauchy(p: Parameters) -> LogDensity:
    return _twice(_cauchy({**p, "alpha": np.zeros_like(p["beta"])}))


def _laplace(p: Parameters) -> LogDensity:
    mu, b = p["mu"], p["b"]

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        away = x - mu
        return -np.log(2.0 * b) - np.abs(away) / b, -np.sign(away) / b

    return at


def _logistic(p: Parameters) -> LogDensity:
    mu, s = p["mu"], p["s"]

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = np.abs(x - mu) / s
        e = np.exp(-z)
        return -z - np.log(s) - 2.0 * np.log1p(e), -np.sign(x - mu) * (1.0 - e) / ((1.0 + e) * s)

    return at


def _uniform(p: Parameters) -> LogDensity:
    height = -np.log(p["upper"] - p["lower"])
    return lambda x: (height + 0.0 * x, 0.0 * x)


def _flat(p: Parameters) -> LogDensity:
    return lambda x: (0.0 * x, 0.0 * x)


def _exponential(p: Parameters) -> LogDensity:
    mean = exponential_mean(p)
    return lambda x: (-np.log(mean) - x / mean, -1.0 / mean + 0.0 * x)


def _gamma(p: Parameters) -> LogDensity:
    alpha, beta = gamma_rate(p)
    constant = alpha * np.log(beta) - _lgamma(alpha)
    return lambda x: (constant + (alpha - 1.0) * np.log(x) - beta * x, (alpha - 1.0) / x - beta)


def _inverse_gamma(p: Parameters) -> LogDensity:
    alpha, beta = inverse_gamma_scale(p)
    constant = alpha * np.log(beta) - _lgamma(alpha)
    return lambda x: (
        constant - (alpha + 1.0) * np.log(x) - beta / x,
        -(alpha + 1.0) / x + beta / (x * x),
    )


def _log_normal(p: Parameters) -> LogDensity:
    mu, sigma = p["mu"], p["sigma"]
    constant = -np.log(sigma) - 0.5 * _LOG_2PI

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        level = np.log(x)
        z = (level - mu) / sigma
        return constant - 0.5 * z * z - level, -(z / sigma + 1.0) / x

    return at


def _weibull(p: Parameters) -> LogDensity:
    alpha, beta = p["alpha"], p["beta"]
    constant = np.log(alpha) - np.log(beta)

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        power = (x / beta) ** alpha
        return constant + (alpha - 1.0) * np.log(x / beta) - power, (
            (alpha - 1.0 - alpha * power) / x
        )

    return at


def _beta(p: Parameters) -> LogDensity:
    alpha, beta = p["alpha"], p["beta"]
    constant = _lgamma(alpha + beta) - _lgamma(alpha) - _lgamma(beta)
    return lambda x: (
        constant + (alpha - 1.0) * np.log(x) + (beta - 1.0) * np.log1p(-x),
        (alpha - 1.0) / x - (beta - 1.0) / (1.0 - x),
    )


def _twice(density: LogDensity) -> LogDensity:
    """The density of an absolute value, of that of a symmetric variable."""

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, slope = density(x)
        return value + log(2.0), slope

    return at


def exponential_mean(p: Mapping[str, Any]) -> Any:
    """Mean of an exponential distribution, from either of PyMC's parameters."""
    return p["scale"] if "scale" in p else 1.0 / p["lam"]


def gamma_rate(p: Mapping[str, Any]) -> tuple[Any, Any]:
    """Shape and rate of a gamma distribution, from either of PyMC's parametrisations."""
    if "alpha" in p:
        return p["alpha"], p["beta"]
    return (p["mu"] / p["sigma"]) ** 2, p["mu"] / p["sigma"] ** 2


def inverse_gamma_scale(p: Mapping[str, Any]) -> tuple[Any, Any]:
    """Shape and scale of an inverse gamma distribution, from either of PyMC's parametrisations."""
    if "alpha" in p:
        return p["alpha"], p["beta"]
    ratio = (p["mu"] / p["sigma"]) ** 2
    return ratio + 2.0, p["mu"] * (ratio + 1.0)


LOG_DENSITIES: Mapping[str, Callable[[Parameters], LogDensity]] = MappingProxyType(
    {
        "Normal": _normal,
        "StudentT": _student,
        "Cauchy": _cauchy,
        "Laplace": _laplace,
        "Logistic": _logistic,
        "Uniform": _uniform,
        "Flat": _flat,
        "HalfNormal": _half_normal,
        "HalfStudentT": _half_student,
        "HalfCauchy": _half_cauchy,
        "Exponential": _exponential,
        "Gamma": _gamma,
        "InverseGamma": _inverse_gamma,
        "LogNormal": _log_normal,
        "Weibull": _weibull,
        "HalfFlat": _flat,
        "Beta": _beta,
    }
)


_TYPICAL: Mapping[str, Callable[[Mapping[str, float]], float]] = MappingProxyType(
    {
        "Uniform": lambda given: 0.5 * (given["lower"] + given["upper"]),
        "Exponential": lambda given: given["scale"] if "scale" in given else 1.0 / given["lam"],
        "LogNormal": lambda given: float(np.exp(given["mu"])),
        "Beta": lambda given: given["alpha"] / (given["alpha"] + given["beta"]),
        "Gamma": lambda given: given["mu"] if "mu" in given else given["alpha"] / given["beta"],
        "InverseGamma": lambda given: (
            given["mu"] if "mu" in given else given["beta"] / (given["alpha"] + 1.0)
        ),
        "Flat": lambda _: 0.0,
        "HalfFlat": lambda _: 1.0,
        "Weibull": lambda given: given["beta"],
        "HalfCauchy": lambda given: given["beta"],
    }
)


def typical_value(prior: Prior) -> float:
    """A value in the middle of a prior that is not cut: where a sampler may start."""
    given = dict(prior.parameters)
    if prior.distribution in _TYPICAL:
        return _TYPICAL[prior.distribution](given)
    return next(given[key] for key in ("mu", "alpha", "sigma") if key in given)
