"""Kenward and Roger's tests for many responses of a design with one variance, all at once.

Of a response the method knows theta and sigma alone: the adjusted covariance over sigma^2, the
degrees of freedom and the scaling are smooth functions of theta. They are computed at Chebyshev's
points and interpolated (Trefethen 2013, Approximation Theory and Approximation Practice, ch. 5),
with twice as many points until those in between are met to nine digits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.effects.kenward_roger import approximate, kenward_roger
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.crossproducts import CrossProducts

LEAST = 100  # responses from which points in common are fewer
_FIRST, _MOST = 9, 65  # points
_CLOSE = 1e-9  # relative, at points in between


def many_kenward_roger(
    design: Design,
    stats: CrossProducts,
    beta: FloatArray,
    theta: FloatArray,
    sigma: FloatArray,
    L: FloatArray,
) -> FloatArray | None:
    """p-values of F tests that all rows of ``L beta`` are zero.

    Parameters
    ----------
    design : Design
        Of one variance of random effects. Its response does not count, but must not be constant.
    stats : CrossProducts
        Its own.
    beta : (m, p) array
        Estimates by REML of m responses.
    theta, sigma : (m,) arrays
    L : (q, p) array
        Of full rank.

    Returns
    -------
    (m,) array or None
        None where the functions of theta are not smooth enough.
    """
    from scipy.special import fdtrc

    found = interpolated(partial(_at, design, stats, L), theta)
    if found is None:
        return None
    q = len(L)
    estimate = beta @ L.T / sigma[:, None]
    inverse = found[:, 1:].reshape(-1, q, q)
    F = np.einsum("ia,iab,ib->i", estimate, inverse, estimate)
    return np.asarray(fdtrc(q, found[:, 0], F))


def _at(design: Design, stats: CrossProducts, L: FloatArray, theta: float) -> FloatArray:
    """Degrees of freedom, and what ``(L beta / sigma)`` has as the matrix of its F."""
    solution = results_at(design, np.array([theta]), REML=True, stats=stats)
    method = kenward_roger(Fitted(design=design, solution=solution, REML=True))
    test = approximate(method, L)
    inverse = np.linalg.inv(L @ method.cov @ L.T) * solution.sigma**2
    return np.concatenate([[test.df], (test.scaling / len(L) * inverse).ravel()])


def interpolated(function: Callable[[float], FloatArray], theta: FloatArray) -> FloatArray | None:
    """Values of a function of one standard deviation at many places.

    Parameters
    ----------
    function : callable
        ``theta -> (k,) array``, smooth in the square of theta.
    theta : (m,) array
        Not negative.

    Returns
    -------
    (m, k) array or None
        None where sixty-five points do not do.
    """
    square = theta**2
    middle = float(np.median(square[square > 0])) if (square > 0).any() else 1.0
    place = square / (square + middle)  # in [0, 1): large ones matter by their inverse
    low, high = float(place.min()), float(place.max())
    if high - low < _CLOSE:
        return np.tile(function(float(np.sqrt(square.mean()))), (len(theta), 1))
    known: dict[float, FloatArray] = {}

    def values(n: int) -> tuple[FloatArray, FloatArray]:
        points = 0.5 * (1.0 - np.cos(np.pi * np.arange(n) / (n - 1)))
        for u in points:
            if round(u, 12) not in known:
                t = low + (high - low) * u
                known[round(u, 12)] = function(float(np.sqrt(middle * t / (1.0 - t))))
        return points, np.array([known[round(u, 12)] for u in points])

    n = _FIRST
    points, at = values(n)
    while 2 * n - 1 <= _MOST:
        finer, finer_at = values(2 * n - 1)
        error = np.abs(_barycentric(points, at, finer) - finer_at).max(axis=0)
        points, at, n = finer, finer_at, 2 * n - 1
        if (error <= _CLOSE * np.abs(at).max(axis=0)).all():
            return _barycentric(points, at, (place - low) / (high - low))
    return None


def _barycentric(points: FloatArray, at: FloatArray, u: FloatArray) -> FloatArray:
    """The polynomial through values at Chebyshev's points, (m, k)."""
    weights = (-1.0) ** np.arange(len(points))
    weights[[0, -1]] *= 0.5
    away = u[:, None] - points
    same = away == 0.0
    shares = weights / np.where(same, 1.0, away)
    shares = np.where(same.any(axis=1, keepdims=True), same, shares)
    out: FloatArray = shares @ at / shares.sum(axis=1, keepdims=True)
    return out
