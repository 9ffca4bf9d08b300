"""Rows of the built-in families one by one, for compiled loops.

The same formulas as `nestedmlm.families.row_terms` and the densities there, by a code for the
family and one for the link: loops over rows compile, records of functions do not. They run as they
stand, and compiled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from nestedmlm._typing import FloatArray
from nestedmlm.families import exponential as e
from nestedmlm.families.family import Family
from nestedmlm.families.links import LINKS

BINOMIAL, POISSON, NEGATIVE_BINOMIAL, GAMMA, INVERSE_GAUSSIAN, GAUSSIAN = range(6)
LOGIT, PROBIT, CLOGLOG, CAUCHIT, LOG, SQRT, IDENTITY, INVERSE, INVERSE_SQUARE = range(9)
LARGEST_HAZARD, LEAST_HAZARD = 6.5, -300.0  # logarithms, as for the cloglog link
FARTHEST_PROBIT = 37.0  # as for the probit link
LARGEST_LOG = 700.0  # of an exponent
LARGEST_PRODUCT = 1e300  # of factors up to 2
FAR_OUT = -37.0  # normal quantile below which its tail is no number
# what a family is known by: its own density and a link of the table, whatever it is called
_FAMILY_CODES: dict[Any, int] = {
    e.binomial_kernel: BINOMIAL,
    e.poisson_kernel: POISSON,
    e.negative_binomial_kernel: NEGATIVE_BINOMIAL,
    e.gamma_kernel: GAMMA,
    e.inverse_gaussian_kernel: INVERSE_GAUSSIAN,
    e.gaussian_kernel: GAUSSIAN,
}
_LINK_CODES = {name: code for code, name in enumerate(LINKS)}


def row_codes(family: Family) -> tuple[int, int] | None:
    """Codes of a family and its link; None where loops do not know them."""
    code = _FAMILY_CODES.get(family.log_kernel)
    known = LINKS.get(family.link.name) == family.link
    known = known and (code == BINOMIAL or family.link.name != "logit")
    return None if code is None or not known else (code, _LINK_CODES[family.link.name])


def dispersion_constant(code: int, y: FloatArray, a: FloatArray, dispersion: float) -> float:
    """Sum of what the dispersion alone changes of the log-densities."""
    nu = a / dispersion
    if code == NEGATIVE_BINOMIAL:
        return float(np.sum(a * e.log_rising(y, dispersion)))
    if code == GAMMA:
        return float(np.sum(nu * (np.log(nu) + np.log(y)) - special.gammaln(nu)))
    return 0.5 * float(np.log(nu).sum()) if code >= INVERSE_GAUSSIAN else 0.0


def log_of(x: float) -> float:
    """Logarithm; NaN of negative numbers."""
    if x > 0.0:
        return math.log(x)
    return -np.inf if x == 0.0 else np.nan


def log_tail(x: float) -> float:
    """Logarithm of the normal distribution function."""
    if x < FAR_OUT:
        return -0.5 * x * x - math.log(-x) - 0.5 * math.log(2.0 * math.pi)
    return log_of(0.5 * math.erfc(-x / math.sqrt(2.0)))


def mean_of_row(link: int, eta: float) -> Any:
    """``mu, 1 - mu, log mu, log(1 - mu), mu', mu'', mu'''`` of one row; not of the logit link."""
    if link == PROBIT:
        seen = min(max(eta, -FARTHEST_PROBIT), FARTHEST_PROBIT)
        mu = 0.5 * math.erfc(-seen / math.sqrt(2.0))
        rest = 0.5 * math.erfc(seen / math.sqrt(2.0))
        d = math.exp(-0.5 * seen * seen) / math.sqrt(2.0 * math.pi)
        return mu, rest, log_tail(eta), log_tail(-eta), d, -seen * d, (seen * seen - 1.0) * d
    if link == CLOGLOG:
        x = math.exp(min(max(eta, LEAST_HAZARD), LARGEST_HAZARD))
        rest = math.exp(-x)
        mu, d = -math.expm1(-x), x * rest
        log_rest = -math.exp(min(eta, LARGEST_LOG))
        return mu, rest, log_of(mu), log_rest, d, d * (1.0 - x), d * (1.0 - 3.0 * x + x * x)
    if link == CAUCHIT:
        q = 1.0 + eta * eta
        d = 1.0 / (math.pi * q)
        mu, rest = math.atan2(1.0, -eta) / math.pi, math.atan2(1.0, eta) / math.pi
        third = d * (6.0 * eta * eta - 2.0) / (q * q)
        return mu, rest, log_of(mu), log_of(rest), d, -2.0 * eta * d / q, third
    if link == LOG:
        mu = math.exp(min(eta, LARGEST_LOG))
        return mu, 0.0, eta, 0.0, mu, mu, mu
    if link == SQRT:
        mu = eta * eta
        return mu, 0.0, log_of(mu), 0.0, 2.0 * eta, 2.0, 0.0
    if link == IDENTITY:
        return eta, 0.0, log_of(eta), 0.0, 1.0, 0.0, 0.0
    if eta == 0.0 or (link == INVERSE_SQUARE and eta < 0.0):
        return np.nan, 0.0, np.nan, 0.0, np.nan, np.nan, np.nan
    if link == INVERSE:
        mu = 1.0 / eta
        return mu, 0.0, log_of(mu), 0.0, -mu * mu, 2.0 * mu**3, -6.0 * mu**4
    mu = 1.0 / math.sqrt(eta)
    d = -0.5 * mu / eta
    return mu, 0.0, log_of(mu), 0.0, d, -1.5 * d / eta, 3.75 * d / (eta * eta)


def variance_of_row(family: int, mu: float, rest: float, dispersion: float) -> Any:
    """``V, V', V''``."""
    if family == BINOMIAL:
        return mu * rest, rest - mu, -2.0
    if family == POISSON:
        return mu, 1.0, 0.0
    if family == NEGATIVE_BINOMIAL:
        return mu + mu * mu / dispersion, 1.0 + 2.0 * mu / dispersion, 2.0 / dispersion
    if family == GAMMA:
        return mu * mu, 2.0 * mu, 2.0
    if family == INVERSE_GAUSSIAN:
        return mu**3, 3.0 * mu * mu, 6.0 * mu
    return 1.0, 0.0, 0.0


def density_of_row(
    family: int, y: float, a: float, mu: float, log_mu: float, log_rest: float, dispersion: float
) -> float:
    """What the mean changes of a row's log-density."""
    if family == BINOMIAL:
        won = y * log_mu if y > 0.0 else 0.0
        return a * (won + ((1.0 - y) * log_rest if y < 1.0 else 0.0))
    if family != GAUSSIAN and mu < 0.0:
        return np.nan
    if family == POISSON:
        return a * ((y * log_mu if y > 0.0 else 0.0) - mu)
    if family == NEGATIVE_BINOMIAL:
        won = y * min(log_mu - log_of(dispersion + mu), 0.0) if y > 0.0 else 0.0
        return a * (won - dispersion * log_of(1.0 + mu / dispersion))
    nu = a / dispersion
    if family == GAMMA:
        return -nu * (log_mu + y / mu)
    if family == INVERSE_GAUSSIAN:
        return -0.5 * nu * (y - mu) ** 2 / (y * mu * mu)
    return -0.5 * nu * (y - mu) ** 2


def fill_rows(
    family: int, link: int, dispersion: float, y: Any, a: Any, eta: Any, out: Any
) -> float:
    """Fill (5, n) g, h, h', w, w' of all rows; return the sum of what means change of densities."""
    if family == BINOMIAL and link == LOGIT:
        return fill_logistic_rows(y, a, eta, out)
    total, residual = 0.0, family == POISSON and link == LOG
    for i in range(y.shape[0]):
        mu, rest, log_mu, log_rest, m1, m2, m3 = mean_of_row(link, eta[i])
        total += density_of_row(family, y[i], a[i], mu, log_mu, log_rest, dispersion)
        s = a[i] if family <= NEGATIVE_BINOMIAL else a[i] / dispersion
        e = y[i] - mu
        if residual:
            out[0, i], out[1, i], out[2, i] = s * e, s * m1, s * m2
            out[3, i], out[4, i] = s * m1, s * m2
            continue
        V, V1, V2 = variance_of_row(family, mu, rest, dispersion)
        q, c = m1 / V, V1 / V
        q1 = m2 / V - m1 * q * c
        q2 = m3 / V - 3.0 * m2 * q * c - m1 * m1 * q * (V2 / V) + 2.0 * m1 * m1 * q * c * c
        information, slope = m1 * q, m2 * q + m1 * q1
        out[0, i] = s * e * q
        out[1, i] = s * (information - e * q1)
        out[2, i] = s * (slope + m1 * q1 - e * q2)
        out[3, i], out[4, i] = s * information, s * slope
    return total


def fill_logistic_rows(y: Any, a: Any, eta: Any, out: Any) -> float:
    """`fill_rows` of the logit link; logarithms of rows of one trial are one of their product."""
    total, product = 0.0, 1.0
    for i in range(y.shape[0]):
        small = math.exp(-abs(eta[i]))
        larger = 1.0 / (1.0 + small)
        smaller = small * larger
        mu, rest = (larger, smaller) if eta[i] >= 0.0 else (smaller, larger)
        total += a[i] * (y[i] * eta[i] - max(eta[i], 0.0))
        if a[i] == 1.0:
            product *= 1.0 + small
            if product > LARGEST_PRODUCT:
                total -= math.log(product)
                product = 1.0
        else:
            total -= a[i] * math.log1p(small)
        d = a[i] * larger * smaller
        out[0, i], out[1, i], out[2, i] = a[i] * (y[i] - mu), d, d * (rest - mu)
        out[3, i], out[4, i] = out[1, i], out[2, i]
    return total - math.log(product)
