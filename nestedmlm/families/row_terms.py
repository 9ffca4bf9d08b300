"""`RowTerms`: derivatives of each row's log-density in its linear predictor.

With ``q = mu' / V``, its derivative ``q'`` and second derivative ``q''`` in eta, and s the weight
over the scaling dispersion, the rows of an exponential-dispersion family have

    g = s (y - mu) q       h = s (mu' q - (y - mu) q')     w = s mu' q
    h' = s (mu'' q + 2 mu' q' - (y - mu) q'')              w' = s (mu'' q + mu' q')

g is the score, h the observed and w the expected information.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.families.family import Family, MeanDerivatives
from nestedmlm.families.links import Mean

_DIFFERENCE = 1e-4  # in log dispersion, of the score: its derivative only guides steps


class RowTerms(NamedTuple):
    """Terms of each row: log-density, score g, observed information h and expected w, with slopes.

    The log-density is without the constant of `Family.log_constant`.
    """

    loglik: FloatArray
    g: FloatArray
    h: FloatArray
    h1: FloatArray
    w: FloatArray
    w1: FloatArray


class DispersionTerms(NamedTuple):
    """Derivatives of the log-density, g, h and w in the logarithm of the dispersion.

    `curvature` is the second derivative of the log-density, from differences of the first.
    """

    score: FloatArray
    curvature: FloatArray
    g: FloatArray
    h: FloatArray
    w: FloatArray


def log_densities(
    family: Family, eta: FloatArray, y: FloatArray, weights: FloatArray, dispersion: float
) -> FloatArray:
    """Log-density of each row, without its constant; NaN where there is none."""
    return family.log_kernel(y, family.link.mean(eta), weights, dispersion)


def scores(
    family: Family, eta: FloatArray, y: FloatArray, weights: FloatArray, dispersion: float
) -> tuple[FloatArray, FloatArray]:
    """Log-density of each row without its constant, and its derivative in eta."""
    mean = family.link.mean(eta)
    loglik = family.log_kernel(y, mean, weights, dispersion)
    if family.mean_derivatives is not None:
        first = family.mean_derivatives(y, mean, weights, dispersion).first
        return loglik, first * family.link.derivatives(eta)[0]
    s = weights / dispersion if family.scaled else weights
    if _has_score_of_residual(family):
        return loglik, s * (y - mean.mu)
    assert family.variance is not None
    q = family.link.derivatives(eta)[0] / family.variance(mean, dispersion).V
    return loglik, s * (y - mean.mu) * q


def _has_score_of_residual(family: Family) -> bool:
    """Whether mu' is the variance function, so that the score is the weighted residual."""
    return family.is_canonical and family.link.name in ("logit", "log")


def rows(
    family: Family, eta: FloatArray, y: FloatArray, weights: FloatArray, dispersion: float = 1.0
) -> RowTerms:
    """Log-density of each row and its derivatives in the linear predictor.

    Parameters
    ----------
    family : Family
    eta, y, weights : (n,) arrays
        Linear predictors, responses, and trials or prior weights.
    dispersion : float
        ``family.value_of(...)``.

    Returns
    -------
    RowTerms
    """
    mean, (m1, m2, m3) = family.link.mean_and_derivatives(eta)
    loglik = family.log_kernel(y, mean, weights, dispersion)
    s = weights / dispersion if family.scaled else weights
    if family.mean_derivatives is not None:
        at = family.mean_derivatives(y, mean, weights, dispersion)
        return RowTerms(loglik, *_through_link(at, m1, m2, m3))
    assert family.variance is not None
    rest = y - mean.mu
    if _has_score_of_residual(family):
        w, w1 = s * m1, s * m2
        return RowTerms(loglik, s * rest, w, w1, w, w1)
    V, V1, V2 = family.variance(mean, dispersion)
    q = m1 / V
    c = V1 / V
    q1 = m2 / V - m1 * q * c
    q2 = m3 / V - 3.0 * m2 * q * c - m1 * m1 * q * (V2 / V) + 2.0 * m1 * m1 * q * c * c
    information, slope = m1 * q, m2 * q + m1 * q1
    w, w1 = s * information, s * slope
    if family.is_canonical:  # q' vanishes; what is left of it is rounding
        return RowTerms(loglik, s * rest * q, w, w1, w, w1)
    return RowTerms(
        loglik,
        s * rest * q,
        s * (information - rest * q1),
        s * (slope + m1 * q1 - rest * q2),
        w,
        w1,
    )


def _through_link(
    at: MeanDerivatives, m1: FloatArray, m2: FloatArray, m3: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    square = m1 * m1
    return (
        at.first * m1,
        -(at.second * square + at.first * m2),
        -(at.third * square * m1 + 3.0 * at.second * m1 * m2 + at.first * m3),
        at.information * square,
        at.information_slope * square * m1 + 2.0 * at.information * m1 * m2,
    )


def dispersion_rows(
    family: Family, eta: FloatArray, y: FloatArray, weights: FloatArray, dispersion: float
) -> DispersionTerms:
    """Derivatives of `rows` in the logarithm of the dispersion, at fixed linear predictors.

    Parameters
    ----------
    family, eta, y, weights, dispersion
        As of `rows`.

    Returns
    -------
    DispersionTerms
    """
    assert family.dispersion_score is not None
    mean = family.link.mean(eta)
    score = family.dispersion_score(y, mean, weights, dispersion)
    up, down = (
        family.dispersion_score(y, mean, weights, dispersion * np.exp(step))
        for step in (_DIFFERENCE, -_DIFFERENCE)
    )
    curvature = (up - down) / (2.0 * _DIFFERENCE)
    if family.scaled:  # g, h and w are multiples of 1 / phi
        terms = rows(family, eta, y, weights, dispersion)
        return DispersionTerms(score, curvature, -terms.g, -terms.h, -terms.w)
    m1, m2, _ = family.link.derivatives(eta)
    if family.mean_derivatives is not None:
        at = family.mean_derivatives(y, mean, weights, dispersion)
        square = m1 * m1
        return DispersionTerms(
            score,
            curvature,
            at.first_dispersion * m1,
            -(at.second_dispersion * square + at.first_dispersion * m2),
            at.information_dispersion * square,
        )
    return DispersionTerms(
        score, curvature, *_through_variance(family, mean, y, weights, dispersion, m1, m2)
    )


def _through_variance(
    family: Family,
    mean: Mean,
    y: FloatArray,
    s: FloatArray,
    dispersion: float,
    m1: FloatArray,
    m2: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Derivatives of g, h and w where the dispersion is a parameter of the variance function."""
    assert family.variance is not None
    assert family.variance_slope is not None
    V, V1, _ = family.variance(mean, dispersion)
    dV, dV1 = family.variance_slope(mean, dispersion)
    rest, square = y - mean.mu, m1 * m1
    dq = -m1 * dV / V**2
    dq1 = -m2 * dV / V**2 - square * dV1 / V**2 + 2.0 * square * V1 * dV / V**3
    return s * rest * dq, s * (m1 * dq - rest * dq1), s * m1 * dq
