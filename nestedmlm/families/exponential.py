"""Exponential-dispersion families: variance functions, densities, deviances and draws.

McCullagh & Nelder (1989), Generalized Linear Models, table 2.1; the negative binomial with variance
``mu + mu^2 / theta`` (Venables & Ripley 2002, section 7.4).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from nestedmlm._typing import FloatArray
from nestedmlm.families.family import Variance
from nestedmlm.families.links import Mean

_WHOLE = 1e-6  # how far from a whole number trials may be, relatively, for rounding
_LEAST_COUNT = 0.1  # in place of a zero count, to start from
_MOST_COUNTED = 1e15  # mean of counts that are drawn one by one


def _of(mean: Mean, number: float) -> FloatArray:
    return np.full_like(mean.mu, number)


def _times_log(y: FloatArray, logarithm: FloatArray) -> FloatArray:
    """``y log x``, zero where y is; NaN where x is negative."""
    out = y * logarithm
    return np.where((y == 0.0) & (logarithm == -np.inf), 0.0, out) if np.isnan(out.sum()) else out


# --- binomial: y is a share of a trials ----------------------------------------------------------


def binomial_variance(mean: Mean, _: float) -> Variance:
    """``mu (1 - mu)``."""
    assert mean.complement is not None
    return Variance(mean.mu * mean.complement, mean.complement - mean.mu, _of(mean, -2.0))


def binomial_kernel(y: FloatArray, mean: Mean, a: FloatArray, _: float) -> FloatArray:
    """``a (y log mu + (1 - y) log(1 - mu))``; sure outcomes that happen add nothing."""
    assert mean.log_complement is not None
    out = _times_log(y, mean.log_mu)
    out += _times_log(1.0 - y, mean.log_complement)
    out *= a
    return out


def binomial_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """Logarithm of the binomial coefficient."""
    k = a * y
    out: FloatArray = (
        special.gammaln(a + 1.0) - special.gammaln(k + 1.0) - special.gammaln(a - k + 1.0)
    )
    return out


def binomial_deviance(y: FloatArray, mu: FloatArray, _: float) -> FloatArray:
    """Twice what a mean of y would gain."""
    out: FloatArray = 2.0 * (special.xlogy(y, y / mu) + special.xlogy(1 - y, (1 - y) / (1 - mu)))
    return out


def binomial_draw(mu: FloatArray, a: FloatArray, _: float, rng: np.random.Generator) -> FloatArray:
    """Shares of successes among the trials."""
    trials = whole_trials(a)
    return rng.binomial(trials, mu) / trials


def whole_trials(a: FloatArray) -> npt.NDArray[np.int64]:
    """Trials of each row: the weights; one each where these are no numbers of trials."""
    return np.rint(a).astype(np.int64) if are_trials(a) else np.ones_like(a, dtype=np.int64)


def are_trials(a: FloatArray) -> bool:
    """Whether weights are numbers of trials: whole numbers from one on."""
    trials = np.rint(a)
    return bool(np.all((trials >= 1.0) & (np.abs(a - trials) <= _WHOLE * trials)))


def binomial_start(y: FloatArray, a: FloatArray) -> FloatArray:
    """R's start: half a success is added."""
    return (a * y + 0.5) / (a + 1.0)


# --- Poisson -------------------------------------------------------------------------------------


def poisson_variance(mean: Mean, _: float) -> Variance:
    """``mu``."""
    return Variance(mean.mu, _of(mean, 1.0), _of(mean, 0.0))


def poisson_kernel(y: FloatArray, mean: Mean, a: FloatArray, _: float) -> FloatArray:
    """``a (y log mu - mu)``."""
    return a * (_times_log(y, mean.log_mu) - mean.mu)


def poisson_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-a log y!``."""
    out: FloatArray = -a * special.gammaln(y + 1.0)
    return out


def poisson_deviance(y: FloatArray, mu: FloatArray, _: float) -> FloatArray:
    """Twice what a mean of y would gain."""
    out: FloatArray = 2.0 * (special.xlogy(y, y / mu) - (y - mu))
    return out


def poisson_draw(mu: FloatArray, a: FloatArray, _: float, rng: np.random.Generator) -> FloatArray:
    """Counts; weights are frequencies and do not change them."""
    return _counts(mu, rng)


def _counts(mu: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Poisson counts; of means that the generator does not take, normal to rounding."""
    far = mu > _MOST_COUNTED
    out = rng.poisson(np.where(far, 1.0, mu)).astype(float)
    if far.any():
        out[far] = np.rint(mu[far] + np.sqrt(mu[far]) * rng.standard_normal(int(far.sum())))
    return out


def count_start(y: FloatArray, a: FloatArray) -> FloatArray:
    """Positive counts."""
    return np.maximum(y, _LEAST_COUNT)


# --- negative binomial: the dispersion is theta, the variance mu + mu^2 / theta ------------------


def negative_binomial_variance(mean: Mean, theta: float) -> Variance:
    """``mu + mu^2 / theta``."""
    mu = mean.mu
    return Variance(mu + mu * mu / theta, 1.0 + 2.0 * mu / theta, _of(mean, 2.0 / theta))


def negative_binomial_slope(mean: Mean, theta: float) -> tuple[FloatArray, FloatArray]:
    """Derivatives of V and V' in ``log theta``."""
    share = mean.mu / theta
    return -mean.mu * share, -2.0 * share


def negative_binomial_kernel(y: FloatArray, mean: Mean, a: FloatArray, theta: float) -> FloatArray:
    """Log-density up to ``-a log y!``."""
    mu = mean.mu
    # a share's logarithm: of predictors whose exponential is cut off it would be positive
    won = _times_log(y, np.minimum(mean.log_mu - np.log(theta + mu), 0.0))
    return a * (log_rising(y, theta) - theta * np.log1p(mu / theta) + won)


def log_rising(y: FloatArray, theta: float) -> FloatArray:
    """``log Gamma(y + theta) / Gamma(theta)``, at large theta without cancellation."""
    if np.all(np.less_equal(theta, 1e4)):
        return special.gammaln(y + theta) - special.gammaln(theta)  # type: ignore[no-any-return]
    # log of the rising factorial: log B(theta, y) has it to full precision
    safe = np.where(y > 0.0, y, 1.0)
    out: FloatArray = np.where(y > 0.0, special.gammaln(safe) - special.betaln(theta, safe), 0.0)
    return out


def negative_binomial_score(y: FloatArray, mean: Mean, a: FloatArray, theta: float) -> FloatArray:
    """Derivative of the log-density in ``log theta``."""
    mu = mean.mu
    out: FloatArray = (
        special.psi(y + theta) - special.psi(theta) - np.log1p(mu / theta) + (mu - y) / (theta + mu)
    )
    return a * theta * out


def negative_binomial_deviance(y: FloatArray, mu: FloatArray, theta: float) -> FloatArray:
    """Twice what a mean of y would gain at the same theta."""
    out: FloatArray = 2.0 * (
        special.xlogy(y, y / mu) - (y + theta) * np.log((y + theta) / (mu + theta))
    )
    return out


def negative_binomial_draw(
    mu: FloatArray, a: FloatArray, theta: float, rng: np.random.Generator
) -> FloatArray:
    """Counts; weights are frequencies and do not change them."""
    far = mu > _MOST_COUNTED
    if not np.any(far):
        return rng.negative_binomial(theta, theta / (theta + mu)).astype(float)
    return _counts(rng.gamma(theta, mu / theta), rng)


def negative_binomial_start(y: FloatArray, mu: FloatArray, a: FloatArray) -> float:
    """Theta from the mean of the squared residuals."""
    excess = np.average((y - mu) ** 2 - mu, weights=a)
    theta = np.average(mu * mu, weights=a) / max(float(excess), 1e-12)
    return float(np.clip(theta, 0.1, 10.0))


# --- Gamma: the dispersion is 1 / shape at weight one --------------------------------------------


def gamma_variance(mean: Mean, _: float) -> Variance:
    """``mu^2``."""
    return Variance(mean.mu * mean.mu, 2.0 * mean.mu, _of(mean, 2.0))


def gamma_kernel(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Log-density up to ``-log y``."""
    nu = a / phi
    ratio = np.log(y) - mean.log_mu
    out: FloatArray = nu * (np.log(nu) + ratio - y / mean.mu) - special.gammaln(nu)
    return out


def gamma_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-log y``."""
    out: FloatArray = -np.log(y)
    return out


def gamma_score(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Derivative of the log-density in ``log phi``."""
    nu = a / phi
    ratio = np.log(y) - mean.log_mu
    out: FloatArray = -nu * (np.log(nu) + 1.0 + ratio - y / mean.mu - special.psi(nu))
    return out


def gamma_deviance(y: FloatArray, mu: FloatArray, _: float) -> FloatArray:
    """Twice what a mean of y would gain, without the dispersion."""
    out: FloatArray = 2.0 * ((y - mu) / mu - np.log(y / mu))
    return out


def gamma_draw(mu: FloatArray, a: FloatArray, phi: float, rng: np.random.Generator) -> FloatArray:
    """Positive numbers."""
    return rng.gamma(a / phi, mu * phi / a)


def positive_start(y: FloatArray, a: FloatArray) -> FloatArray:
    """The response itself."""
    return np.array(y, dtype=float)


def gamma_start(y: FloatArray, mu: FloatArray, a: FloatArray) -> float:
    """Mean squared relative residual."""
    return max(float(np.mean(a * ((y - mu) / mu) ** 2)), 1e-6)


# --- inverse Gaussian ----------------------------------------------------------------------------


def inverse_gaussian_variance(mean: Mean, _: float) -> Variance:
    """``mu^3``."""
    square = mean.mu * mean.mu
    return Variance(square * mean.mu, 3.0 * square, 6.0 * mean.mu)


def inverse_gaussian_kernel(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Log-density up to ``-(log 2 pi + 3 log y) / 2``; NaN of means that are not positive."""
    nu = a / phi
    mu = np.where(mean.mu > 0.0, mean.mu, np.nan)
    out: FloatArray = 0.5 * np.log(nu) - 0.5 * nu * (y - mu) ** 2 / (y * mu**2)
    return out


def inverse_gaussian_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-(log 2 pi + 3 log y) / 2``."""
    out: FloatArray = -0.5 * np.log(2.0 * np.pi) - 1.5 * np.log(y)
    return out


def inverse_gaussian_score(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Derivative of the log-density in ``log phi``."""
    out: FloatArray = 0.5 * (a / phi) * (y - mean.mu) ** 2 / (y * mean.mu**2) - 0.5
    return out


def inverse_gaussian_deviance(y: FloatArray, mu: FloatArray, _: float) -> FloatArray:
    """Twice what a mean of y would gain, without the dispersion."""
    out: FloatArray = (y - mu) ** 2 / (y * mu * mu)
    return out


def inverse_gaussian_draw(
    mu: FloatArray, a: FloatArray, phi: float, rng: np.random.Generator
) -> FloatArray:
    """Positive numbers."""
    return rng.wald(mu, a / phi)


def inverse_gaussian_start(y: FloatArray, mu: FloatArray, a: FloatArray) -> float:
    """Mean deviance."""
    return max(float(np.mean(a * inverse_gaussian_deviance(y, mu, 1.0))), 1e-6 / float(np.mean(mu)))


# --- Gaussian ------------------------------------------------------------------------------------


def gaussian_variance(mean: Mean, _: float) -> Variance:
    """One."""
    return Variance(_of(mean, 1.0), _of(mean, 0.0), _of(mean, 0.0))


def gaussian_kernel(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Log-density up to ``-log(2 pi) / 2``."""
    nu = a / phi
    out: FloatArray = 0.5 * (np.log(nu) - nu * (y - mean.mu) ** 2)
    return out


def gaussian_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-log(2 pi) / 2``."""
    return np.full_like(y, -0.5 * np.log(2.0 * np.pi))


def gaussian_score(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Derivative of the log-density in ``log phi``."""
    out: FloatArray = 0.5 * ((a / phi) * (y - mean.mu) ** 2 - 1.0)
    return out


def gaussian_deviance(y: FloatArray, mu: FloatArray, _: float) -> FloatArray:
    """Squared residual."""
    out: FloatArray = (y - mu) ** 2
    return out


def gaussian_draw(
    mu: FloatArray, a: FloatArray, phi: float, rng: np.random.Generator
) -> FloatArray:
    """Normal numbers."""
    return rng.normal(mu, np.sqrt(phi / a))


def gaussian_start(y: FloatArray, mu: FloatArray, a: FloatArray) -> float:
    """Mean squared residual."""
    return max(float(np.mean(a * (y - mu) ** 2)), 1e-12 * float(np.mean(y * y)))
