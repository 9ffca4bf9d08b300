"""Numbers behind checks of a model's assumptions: pure functions of residuals and designs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its distributions load on first use

from nestedmlm._typing import FloatArray

MOST_SHAPIRO = 5000  # beyond this the p-values of Shapiro and Wilk's test are not known to hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Shape of a sample beside the normal distribution's.

    Attributes
    ----------
    W, p_value : float
        Shapiro and Wilk's test, of 5,000 equally spaced order statistics where there are more.
    skewness, kurtosis : float
        The normal distribution's are 0 and 0.
    """

    W: float
    p_value: float
    skewness: float
    kurtosis: float


def shape_of(values: FloatArray) -> Shape | None:
    """Describe a sample's shape; None below five values or without spread.

    Parameters
    ----------
    values : (n,) array
    """
    x = np.sort(values[np.isfinite(values)])
    if x.size < 5 or x[0] == x[-1]:
        return None
    places = np.linspace(0, x.size - 1, min(x.size, MOST_SHAPIRO)).astype(int)
    W, p = scipy.stats.shapiro(x[places])
    return Shape(
        W=float(W),
        p_value=float(p),
        skewness=float(scipy.stats.skew(x)),
        kurtosis=float(scipy.stats.kurtosis(x)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Spread of residuals along the fitted values.

    Attributes
    ----------
    ratio : float
        SD of the residuals in the upper third of the fitted values over that in the lower third.
    p_value : float
        Koenker's studentised Breusch-Pagan test on the fitted values.
    """

    ratio: float
    p_value: float


def spread_along(fitted: FloatArray, z: FloatArray) -> Spread | None:
    """Compare the spread of residuals along fitted values; None where these do not vary.

    Parameters
    ----------
    fitted, z : (n,) arrays
    """
    if len(z) < 12 or np.ptp(fitted) == 0.0:
        return None
    order = np.argsort(fitted, kind="stable")
    third = len(z) // 3
    low, high = z[order[:third]], z[order[-third:]]
    if low.std() == 0.0:
        return None
    correlation = float(np.corrcoef(fitted, z**2)[0, 1])
    return Spread(
        ratio=float(high.std() / low.std()),
        p_value=float(scipy.stats.chi2.sf(len(z) * correlation**2, 1)),
    )


def outlier_limit(n: int, level: float = 0.95) -> float:
    """Size that the largest of n standard normal values stays below with probability `level`."""
    return float(scipy.stats.norm.ppf(0.5 + 0.5 * level ** (1.0 / n)))


def bend(x: FloatArray, z: FloatArray) -> tuple[float, float]:
    """Curvature that is left in residuals along a predictor, and its p-value.

    Parameters
    ----------
    x, z : (n,) arrays

    Returns
    -------
    size : float
        Change of the residual, in its own SDs, from the middle of x to two SDs from it.
    p_value : float
        Of the squared term beside the straight one, by least squares.
    """
    size, p_value = weighted_bend(x, z, np.ones_like(z))
    return size / float(z.std()), p_value


def weighted_bend(x: FloatArray, z: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Curvature by weighted least squares, in the unit of z, and its p-value.

    Of working residuals with the working weights of a generalized model it is in units of the
    linear predictor: one step of the fit's own algorithm towards a squared term.

    Parameters
    ----------
    x, z, weights : (n,) arrays
    """
    u = (x - x.mean()) / x.std()
    root = np.sqrt(weights)
    A = root[:, None] * np.column_stack([np.ones_like(u), u, u**2])
    coefficients, *_ = np.linalg.lstsq(A, root * z, rcond=None)
    rest = root * z - A @ coefficients
    df = len(z) - 3
    variance = float(rest @ rest) / df * np.linalg.inv(A.T @ A)[2, 2]
    t = float(coefficients[2] / np.sqrt(variance))
    return float(4.0 * coefficients[2]), float(2.0 * scipy.stats.t.sf(abs(t), df))


def inflation(vcov: FloatArray, assign: Sequence[int]) -> dict[int, float]:
    """Variance inflation of each term: Fox and Monette's, per degree of freedom, squared.

    Parameters
    ----------
    vcov : (p, p) array
        Covariance of the fixed effects.
    assign : sequence of int
        The term of each column; 0 is the intercept.

    Returns
    -------
    dict of int to float
        Term to ``GVIF^(1/df)``, which for one column is its VIF; empty below two terms.

    Notes
    -----
    R's ``car::vif``: determinants of the correlation matrix of the estimates.
    """
    own = [j for j, term in enumerate(assign) if term > 0]
    terms = sorted({assign[j] for j in own})
    if len(terms) < 2:
        return {}
    sd = np.sqrt(np.diag(vcov)[own])
    R = vcov[np.ix_(own, own)] / np.outer(sd, sd)
    which = np.array([assign[j] for j in own])
    whole = np.linalg.slogdet(R)[1]
    out = {}
    for term in terms:
        inside = which == term
        log_gvif = (
            np.linalg.slogdet(R[np.ix_(inside, inside)])[1]
            + np.linalg.slogdet(R[np.ix_(~inside, ~inside)])[1]
            - whole
        )
        out[term] = float(np.exp(log_gvif / inside.sum()))
    return out


# what responses that the model draws are compared by
SIMULATED: Mapping[str, Callable[[FloatArray], Any]] = {
    "SD": lambda y: y.std(axis=0),
    "skewness": lambda y: scipy.stats.skew(y, axis=0),
    "smallest": lambda y: y.min(axis=0),
    "largest": lambda y: y.max(axis=0),
}


def simulated_tails(y: FloatArray, drawn: FloatArray) -> dict[str, tuple[float, float, float]]:
    """Where the data stand among responses that the model draws.

    Parameters
    ----------
    y : (n,) array
    drawn : (n, m) array

    Returns
    -------
    dict of str to (value, middle of the draws, two-sided tail probability)
    """
    out = {}
    for name, statistic in SIMULATED.items():
        values = np.asarray(statistic(drawn), dtype=float)
        value = float(statistic(y))
        above = (1 + np.sum(values >= value)) / (1 + len(values))
        below = (1 + np.sum(values <= value)) / (1 + len(values))
        out[name] = value, float(np.median(values)), float(min(1.0, 2.0 * min(above, below)))
    return out
