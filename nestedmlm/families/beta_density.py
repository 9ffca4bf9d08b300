"""Beta family: shares strictly between 0 and 1, with mean mu and precision phi.

Ferrari & Cribari-Neto (2004), Journal of Applied Statistics 31(7): ``y ~ Beta(mu phi, (1 - mu)
phi)``, whose variance is ``mu (1 - mu) / (1 + phi)``. No exponential-dispersion family: it gives
its derivatives in the mean.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from nestedmlm._typing import FloatArray
from nestedmlm.families.family import MeanDerivatives, Variance
from nestedmlm.families.links import Mean

_LEAST_SHARE = 1e-10  # of means to start from


def _shapes(mean: Mean, phi: float) -> tuple[FloatArray, FloatArray]:
    assert mean.complement is not None
    return mean.mu * phi, mean.complement * phi


def beta_variance(mean: Mean, phi: float) -> Variance:
    """``mu (1 - mu) / (1 + phi)``."""
    assert mean.complement is not None
    scale = 1.0 / (1.0 + phi)
    return Variance(
        scale * mean.mu * mean.complement,
        scale * (mean.complement - mean.mu),
        np.full_like(mean.mu, -2.0 * scale),
    )


def beta_kernel(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Log-density up to ``-a log(y (1 - y))``."""
    p, r = _shapes(mean, phi)
    out: FloatArray = a * (p * np.log(y) + r * np.log1p(-y) - special.betaln(p, r))
    return out


def beta_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-a log(y (1 - y))``."""
    out: FloatArray = -a * (np.log(y) + np.log1p(-y))
    return out


def beta_derivatives(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> MeanDerivatives:
    """Derivatives in the mean; the second holds no response, so it is its own expectation."""
    p, r = _shapes(mean, phi)
    two_p, two_r = special.polygamma(1, p), special.polygamma(1, r)
    three_p, three_r = special.polygamma(2, p), special.polygamma(2, r)
    first = a * phi * (special.logit(y) - special.psi(p) + special.psi(r))
    second = -a * phi**2 * (two_p + two_r)
    third = -a * phi**3 * (three_p - three_r)
    first_dispersion = first - a * phi * (two_p * p - two_r * r)
    second_dispersion = 2.0 * second - a * phi**2 * (three_p * p + three_r * r)
    return MeanDerivatives(
        first=first,
        second=second,
        third=third,
        information=-second,
        information_slope=-third,
        first_dispersion=first_dispersion,
        second_dispersion=second_dispersion,
        information_dispersion=-second_dispersion,
    )


def beta_score(y: FloatArray, mean: Mean, a: FloatArray, phi: float) -> FloatArray:
    """Derivative of the log-density in ``log phi``."""
    p, r = _shapes(mean, phi)
    out: FloatArray = (
        p * (np.log(y) - special.psi(p))
        + r * (np.log1p(-y) - special.psi(r))
        + phi * special.psi(phi)
    )
    return a * out


def beta_deviance(y: FloatArray, mu: FloatArray, phi: float) -> FloatArray:
    """Twice what a mean of y would gain."""

    def value(m: FloatArray) -> FloatArray:
        p, r = m * phi, (1.0 - m) * phi
        out: FloatArray = p * np.log(y) + r * np.log1p(-y) - special.betaln(p, r)
        return out

    return 2.0 * (value(y) - value(mu))


def beta_draw(mu: FloatArray, a: FloatArray, phi: float, rng: np.random.Generator) -> FloatArray:
    """Shares; weights are frequencies and do not change them."""
    return rng.beta(mu * phi, (1.0 - mu) * phi)


def share_start(y: FloatArray, a: FloatArray) -> FloatArray:
    """The response itself."""
    return np.clip(y, _LEAST_SHARE, 1.0 - _LEAST_SHARE)


def beta_start(y: FloatArray, mu: FloatArray, a: FloatArray) -> float:
    """Precision from the mean squared residual."""
    ratio = float(np.mean(mu * (1.0 - mu)) / max(float(np.mean((y - mu) ** 2)), 1e-12))
    return max(ratio - 1.0, 0.5)
