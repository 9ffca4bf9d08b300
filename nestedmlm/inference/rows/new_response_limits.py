"""Limits of new responses of generalized models: quantiles of their predictive distribution.

The linear predictor of a new row is normal, as confidence intervals have it, and the response has
the family's distribution given it: ``P(Y <= y) = E F(y; mu(eta))``. The expectation is an integral
over eta, done by Gauss-Legendre rules on three pieces: F falls from one to nothing where the mean
passes y, and the middle piece is as wide as that fall, however steep it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.families.exponential import whole_trials
from nestedmlm.inference.rows.generalized_residuals import DISTRIBUTIONS

_REACH = 8.5  # standard deviations of eta on each side: beyond them is 2e-17 of the probability
_FALL = 8.0  # standard deviations of a response on each side, over which F falls
_POINTS = (16, 64, 16)  # of the rules on the three pieces
_HALVINGS = 60  # of intervals around continuous responses, to rounding
_ROWS_AT_ONCE = 4096  # whose integrals are held in memory together
_MOST = 2.0**50  # counts beyond which one more is rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewResponses:
    """New rows with normal linear predictors.

    Attributes
    ----------
    family : Family
    dispersion : float or None
    eta, sd : (m,) arrays
        Means and standard deviations of the linear predictors.
    weights : (m,) array
        Trials of a binomial response, else prior weights.
    """

    family: Family
    dispersion: float | None
    eta: FloatArray
    sd: FloatArray
    weights: FloatArray

    def take(self, rows: BoolArray | slice) -> NewResponses:
        """Some of the rows."""
        return NewResponses(
            family=self.family, dispersion=self.dispersion, eta=self.eta[rows], sd=self.sd[rows],
            weights=self.weights[rows],
        )  # fmt: skip

    def probability(self, y: FloatArray) -> FloatArray:
        """``P(Y <= y)`` of each row, (m,)."""
        family, link = self.family, self.family.link
        phi, a = family.value_of(self.dispersion), self.weights
        with np.errstate(all="ignore"):  # where y is no mean, F falls beyond the last node
            at = np.clip((link.eta(y) - self.eta) / self.sd, -_REACH, _REACH)
            at = np.where(np.isfinite(at), at, 0.0)
            near = self.eta + at * self.sd
            slope = np.abs(link.derivatives(near)[0]) * self.sd
            width = np.sqrt(_variance(family, link.mu(near), a, phi)) / slope
        width = _FALL * np.where(np.isfinite(width), width, _REACH)
        ends = np.clip([at - width, at + width], -_REACH, _REACH)
        edges = np.stack([np.full_like(at, -_REACH), *ends, np.full_like(at, _REACH)])
        x, w = _nodes(edges)
        with np.errstate(all="ignore"):  # means that the link does not reach: not counted
            mu = link.mu(self.eta[:, None] + self.sd[:, None] * x)
            upto = DISTRIBUTIONS[family.name](
                np.broadcast_to(y[:, None], mu.shape), mu,
                np.broadcast_to(a[:, None], mu.shape), phi,
            )[1]  # fmt: skip
        known = np.isfinite(upto)
        w = np.where(known, w, 0.0)
        out: FloatArray = np.sum(np.where(known, upto, 0.0) * w, axis=1) / w.sum(axis=1)
        return out


def _nodes(edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard normal abscissae and weights, (m, points), of pieces between (4, m) edges."""
    x, w = [], []
    for low, high, points in zip(edges[:-1], edges[1:], _POINTS, strict=True):
        t, own = np.polynomial.legendre.leggauss(points)
        half = 0.5 * (high - low)[:, None]
        x.append(low[:, None] + half * (t + 1.0))
        w.append(half * own)
    places = np.hstack(x)
    return places, np.hstack(w) * np.exp(-0.5 * places**2)


def _variance(family: Family, mu: FloatArray, a: FloatArray, phi: float) -> FloatArray:
    """Variance of a response; of a family without a variance function that of a beta's."""
    if family.variance is None:
        return mu * (1.0 - mu) / (1.0 + phi)
    variance = family.variance_at(mu, phi) / a
    return variance * phi if family.scaled else variance


Scale = tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]


def _expit(t: FloatArray) -> FloatArray:
    out: FloatArray = 1.0 / (1.0 + np.exp(-t))
    return out


# continuous responses: from the line to their range, and back
_RANGES: Mapping[str, Scale] = MappingProxyType(
    {
        "gamma": (np.exp, np.log),
        "inverse_gaussian": (np.exp, np.log),
        "beta": (_expit, lambda y: np.log(y) - np.log1p(-y)),
        "gaussian": (np.positive, np.positive),
    }
)
_COUNTS = frozenset(["binomial", "poisson", "negativebinomial"])


def new_response_limits(new: NewResponses, level: float) -> tuple[FloatArray, FloatArray]:
    """Limits between which a new response of each row is with probability `level`.

    Parameters
    ----------
    new : NewResponses
    level : float

    Returns
    -------
    low, high : (m,) arrays
        Of discrete responses the smallest values that are not exceeded with probability
        ``(1 - level) / 2`` and ``(1 + level) / 2`` at least; NaN where the predictor is.

    Raises
    ------
    OptionError
        For a family whose distribution function is not known here.
    """
    name = new.family.name
    if name not in DISTRIBUTIONS or name not in (*_RANGES, *_COUNTS):
        raise OptionError(
            f"the {name} family has no distribution function here: draw new responses, "
            "fit.simulate(1000, newdata=...).quantile([0.025, 0.975], axis=1)"
        )
    if name == "binomial":  # weights that are no trials are of single ones
        new = replace(new, weights=whole_trials(new.weights).astype(float))
    find = _discrete if name in _COUNTS else _continuous
    known = np.isfinite(new.eta) & np.isfinite(new.sd)
    limits = np.full((2, len(new.eta)), np.nan)
    for low in range(0, len(known), _ROWS_AT_ONCE):
        rows = np.zeros_like(known)
        rows[low : low + _ROWS_AT_ONCE] = known[low : low + _ROWS_AT_ONCE]
        if rows.any():
            own = new.take(rows)
            limits[:, rows] = [find(own, 0.5 * (1.0 - level)), find(own, 0.5 * (1.0 + level))]
    return limits[0], limits[1]


def _discrete(new: NewResponses, p: float) -> FloatArray:
    """The smallest count (of trials: share) with ``P(Y <= y) >= p``."""
    unit = new.weights if new.family.name == "binomial" else np.ones(len(new.eta))
    low = np.full(len(new.eta), -1.0)
    high = np.minimum(np.ceil(1.0 + new.family.link.mu(new.eta)), _MOST)
    if new.family.name == "binomial":
        high = unit
    while (short := (new.probability(high / unit) < p) & (high < _MOST)).any():
        low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
    while (open_ := high - low > 1.0).any():
        middle = np.where(open_, np.floor(0.5 * (low + high)), high)
        enough = new.probability(middle / unit) >= p
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    out: FloatArray = np.where(high >= _MOST, np.inf, high / unit)
    return out


def _continuous(new: NewResponses, p: float) -> FloatArray:
    """The p-quantile, by halving."""
    respond, back = _RANGES[new.family.name]
    centre, step = back(new.family.link.mu(new.eta)), np.ones(len(new.eta))
    low, high = centre - step, centre + step
    while (above := new.probability(respond(low)) >= p).any():
        low, step = np.where(above, low - step, low), np.where(above, 2.0 * step, step)
    while (below := new.probability(respond(high)) < p).any():
        high, step = np.where(below, high + step, high), np.where(below, 2.0 * step, step)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        enough = new.probability(respond(middle)) >= p
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return respond(high)
