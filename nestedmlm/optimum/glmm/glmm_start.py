"""Starts for generalized models: iteratively reweighted least squares without random effects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import real_array
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.plan import start_phi
from nestedmlm.optimum.starts import scaled_sds, starting_point

_START_STEPS = 25  # of reweighted least squares
_CLOSE = 1e-8  # change of coefficients at which the search for a start ends
_GAIN = 1e-4  # of log-likelihood, below which it ends, too: of separated rows it always rises
_LEAST_WEIGHT = 1e-10  # share of the largest weight below which one is lifted
_SHARE_OF_SD = 0.5  # of a row's standard deviation on the predictor's scale, to start from
_SUBSETS = 12  # of rows that a first fit of the fixed effects goes through
_OTHER = 5e-3  # of log-likelihood by which fits without random effects differ
_MOST_OTHERS = 3  # such fits to start from
_SMALLER = (1.0, 0.1, 1e-2)  # times the standard deviations, where the criterion does not exist


def least_squares_start(model: GlmmModel) -> tuple[FloatArray, float]:
    """Fixed effects (orthonormal columns) and dispersion of the model without random effects.

    Parameters
    ----------
    model : GlmmModel

    Returns
    -------
    gamma : (p,) array
    dispersion : float
    """
    family, X = model.family, model.products.X
    with np.errstate(all="ignore"):
        mu = family.start_mean(model.y, model.weights)
        eta = family.link.eta(mu)
        eta = np.where(np.isfinite(eta), eta, 0.0)
        dispersion = family.value_of(None)
        if family.scaled and family.has_dispersion and family.start_dispersion is not None:
            around_mean = np.full(len(mu), np.mean(mu))  # beside which residuals have a size
            dispersion = _positive(family.start_dispersion(model.y, around_mean, model.weights))
        one = np.ones(len(eta))
        level = float(family.link.eta(np.atleast_1d(np.mean(mu)))[0])
        # rows' own predictors are a better start than their mean's, where they are near the data
        value, gamma = -np.inf, np.zeros(X.shape[1])
        for z in (eta, np.full(len(eta), level)):
            tried = _fitted(X, z - model.offset, one)
            found = model.loglik(model.predictor(tried), dispersion)
            if found > value:
                value, gamma = found, tried
        gamma, value = _reweighted(model, gamma, dispersion, value)
        dispersion = _dispersion_at(model, gamma, dispersion)
    return gamma, dispersion


def _reweighted(
    model: GlmmModel, gamma: FloatArray, dispersion: float, value: float
) -> tuple[FloatArray, float]:
    """Where iteratively reweighted least squares lead from gamma, and the log-likelihood there."""
    before = gamma
    for _ in range(_START_STEPS):
        terms = model.rows(model.predictor(gamma), dispersion)
        w = np.maximum(terms.w, _LEAST_WEIGHT * np.max(terms.w))
        step = _fitted(model.products.X, terms.g / w, w)
        if not np.isfinite(step).all():  # rows without a score: the place before had one
            return before, value
        before = gamma
        share, found = 1.0, -np.inf
        while share > 1e-6 and not found >= value:
            found = model.loglik(model.predictor(gamma + share * step), dispersion)
            share *= 0.5
        if not found >= value:
            break
        gain = found - value
        gamma, value = gamma + 2.0 * share * step, found
        if gain < _GAIN or np.max(np.abs(step), initial=0.0) < _CLOSE:
            break
    return gamma, value


def _dispersion_at(model: GlmmModel, gamma: FloatArray, otherwise: float) -> float:
    """A first dispersion where the means are those of gamma."""
    family = model.family
    if family.has_dispersion and family.start_dispersion is not None:
        mu = family.link.mu(model.predictor(gamma))
        return _positive(family.start_dispersion(model.y, mu, model.weights))
    return _positive(otherwise)


def other_least_squares(model: GlmmModel) -> list[tuple[FloatArray, float]]:
    """Other optima of the model without random effects, the best first.

    Log-likelihoods that are not concave in the predictor have several. They are looked for from
    fits that go through a few rows exactly, as robust regression looks for its optima (Rousseeuw
    1984, Journal of the American Statistical Association 79(388)).

    Parameters
    ----------
    model : GlmmModel

    Returns
    -------
    list of (gamma, dispersion)
        At most three.
    """
    family, X = model.family, model.products.X
    n, p = X.shape
    if not p or family.is_canonical:
        return []
    rng = np.random.default_rng(0)  # the same rows each time
    with np.errstate(all="ignore"):
        eta = family.link.eta(family.start_mean(model.y, model.weights)) - model.offset
        gamma, dispersion = least_squares_start(model)
        seen = [model.loglik(model.predictor(gamma), dispersion)]
        found = []
        for _ in range(_SUBSETS):
            rows = rng.choice(n, p, replace=False)
            begin = _fitted(X[rows], eta[rows], np.ones(p))
            value = model.loglik(model.predictor(begin), dispersion)
            if not np.isfinite(value):
                continue
            gamma, _ = _reweighted(model, begin, dispersion, value)
            own = _dispersion_at(model, gamma, dispersion)
            value = model.loglik(model.predictor(gamma), own)
            if np.isfinite(value) and min(abs(value - one) for one in seen) > _OTHER:
                seen.append(value)
                found.append((value, gamma, own))
    found.sort(key=lambda one: -one[0])
    return [(gamma, own) for _, gamma, own in found[:_MOST_OTHERS]]


def _positive(dispersion: float) -> float:
    """A dispersion that can be computed with; 1 for one that cannot."""
    return dispersion if np.isfinite(dispersion) and dispersion > 0.0 else 1.0


def _fitted(X: FloatArray, z: FloatArray, w: FloatArray) -> FloatArray:
    """Weighted least squares in well-scaled columns; NaN where there is no solution."""
    weighted = X * w[:, None]
    try:
        return np.linalg.solve(weighted.T @ X, weighted.T @ z)
    except np.linalg.LinAlgError:
        return np.full(X.shape[1], np.nan)


def starting_points(
    model: GlmmModel, start: object, *, joint: bool
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Fixed effects and points to start from: the given or default one, then others.

    Others have smaller standard deviations, for where there is no criterion.

    Parameters
    ----------
    model : GlmmModel
    start : array or mapping or None
        Theta, or a mapping with any of ``theta``, ``beta`` and ``dispersion``.
    joint : bool
        Whether points are without fixed effects.

    Raises
    ------
    OptionError
        If `start` is nothing of the kind.
    """
    given = dict(start) if isinstance(start, Mapping) else {"theta": start}
    others = sorted(set(given) - {"theta", "beta", "dispersion"})
    if others:
        raise OptionError(
            f"start has theta, beta and dispersion, not {', '.join(map(str, others))}"
        )
    gamma, dispersion = least_squares_start(model)
    empty = model.products.empty
    if given.get("beta") is not None:
        gamma = empty.R_x @ _numbers(given["beta"], "beta", empty.p)
    if given.get("dispersion") is not None:
        dispersion = float(_numbers([given["dispersion"]], "dispersion", 1)[0])
        if dispersion <= 0.0:
            raise OptionError(f"start: a positive dispersion, not {dispersion}")
    theta = given.get("theta")
    # there are no sums yet from which moments could be had
    phi = start_phi(model.plan) if theta is None else starting_point(model.plan, empty, theta)
    if theta is None and model.family.scaled:
        phi = scaled_sds(
            phi, model.plan, _SHARE_OF_SD * _row_sd(model, gamma, dispersion) / model.unit
        )
    for share in _SMALLER:
        own = [scaled_sds(phi, model.plan, share)] + ([] if joint else [gamma])
        if model.family.has_dispersion:
            own.append(np.array([np.log(dispersion)]))
        yield gamma, np.concatenate(own)


def _row_sd(model: GlmmModel, gamma: FloatArray, dispersion: float) -> float:
    """Standard deviation of what one row says of its linear predictor."""
    with np.errstate(all="ignore"):
        w = float(np.mean(model.rows(model.predictor(gamma), dispersion).w))
    return 1.0 / np.sqrt(w) if 0.0 < w < np.inf else np.sqrt(dispersion)


def _numbers(values: object, name: str, count: int) -> FloatArray:
    try:
        out = real_array(values)
    except (TypeError, ValueError):
        out = np.full(0, np.nan)
    if out.shape != (count,) or not np.isfinite(out).all():
        raise OptionError(f"start: {name} must hold {count} finite numbers, not {values!r:.60}")
    return out
