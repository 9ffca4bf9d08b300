"""Log-density of a new group's responses, its random effects and fixed effects integrated out.

With ``eta = eta0 + A v``, v standard normal, importance sampling of

    log p(y) = log E exp(sum_i l_i(eta_i)).

Draws come from the normal approximation around the mode of v and, one in eight, from the
distribution of v itself: with both densities in the denominator no weight is above eight times the
largest likelihood (the defensive mixture of Hesterberg 1995, Technometrics 37(2); the balance
heuristic of Veach & Guibas 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.families.family import Family
from nestedmlm.families.row_terms import RowTerms, log_densities, rows

_DEFENSIVE = 8  # one in so many draws is of the distribution of v itself
_RANK = 1e-12  # relative size of a direction of v that moves no linear predictor
_STEPS = 100  # towards the mode, and of halving
_NEAR = 1e-10  # length of the last step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewGroup:
    """Responses of a new group and what is known of their linear predictors.

    Attributes
    ----------
    family : Family
    y, weights : (n,) arrays
        Responses, and trials or prior weights.
    center : (n,) array
        Linear predictors where all that is unknown is zero.
    root : (n, d) array
        ``A``: linear predictors are ``center + A v`` with v standard normal.
    dispersion : float
        ``family.value_of(...)``.
    """

    family: Family
    y: FloatArray
    weights: FloatArray
    center: FloatArray
    root: FloatArray
    dispersion: float


def new_group_density(group: NewGroup, *, draws: int, seed: int) -> tuple[float, float]:
    """Log-density of a new group's responses, and its Monte Carlo standard error.

    Parameters
    ----------
    group : NewGroup
    draws : int
    seed : int

    Returns
    -------
    value, error : float

    Raises
    ------
    numpy.linalg.LinAlgError
        If the mode is not found, or no draw has a density.
    """
    constant = float(group.family.log_constant(group.y, group.weights).sum())
    U, size, _ = np.linalg.svd(group.root, full_matrices=False)
    kept = size > _RANK * max(1.0, float(size.max(initial=0.0)))
    A = U[:, kept] * size[kept]  # v is rotated: what moves nothing is gone
    d = A.shape[1]
    mode, terms = _mode(group, A)
    information = terms.h if bool((terms.h >= 0.0).all()) else terms.w
    L = np.linalg.cholesky(np.eye(d) + A.T @ (information[:, None] * A))
    rng, prior = np.random.default_rng(seed), draws // _DEFENSIVE
    around = np.linalg.solve(L.T, rng.standard_normal((d, draws - prior)))
    v = np.hstack([mode[:, None] + around, rng.standard_normal((d, prior))])
    with np.errstate(all="ignore"):
        eta = group.center[:, None] + A @ v
        y, a = group.y[:, None], group.weights[:, None]
        loglik = log_densities(group.family, eta, y, a, group.dispersion).sum(axis=0)
    own = -0.5 * np.sum(v**2, axis=0)
    near = -0.5 * np.sum((L.T @ (v - mode[:, None])) ** 2, axis=0)
    near += float(np.log(L.diagonal()).sum())
    share = prior / draws
    log_weights = loglik + own - np.logaddexp(np.log(share) + own, np.log1p(-share) + near)
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    top = float(log_weights.max())
    if not np.isfinite(top):
        raise np.linalg.LinAlgError("no draw of a new group has a density")
    weights = np.exp(log_weights - top)
    parts = weights[: draws - prior], weights[draws - prior :]
    spread = sum(len(part) * float(part.var()) for part in parts)  # draws are stratified
    mean = float(weights.mean())
    return constant + top + float(np.log(mean)), float(np.sqrt(spread)) / (draws * mean)


def expected_responses(group: NewGroup, nodes: int = 41) -> FloatArray:
    """Expected responses of a new group, (n,), by Gauss-Hermite quadrature of each row."""
    x, mass = np.polynomial.hermite_e.hermegauss(nodes)
    sd = np.sqrt(np.sum(group.root**2, axis=1))
    mu: FloatArray = group.family.link.mu(group.center[:, None] + sd[:, None] * x)
    return mu @ (mass / mass.sum())


def _mode(group: NewGroup, A: FloatArray) -> tuple[FloatArray, RowTerms]:
    """Mode of v given the responses, and the rows' terms there: Fisher scoring, halved."""

    def at(v: FloatArray) -> tuple[float, RowTerms]:
        eta = group.center + A @ v
        with np.errstate(all="ignore"):
            terms = rows(group.family, eta, group.y, group.weights, group.dispersion)
        return float(terms.loglik.sum()) - 0.5 * float(v @ v), terms

    v = np.zeros(A.shape[1])
    value, terms = at(v)
    for _ in range(_STEPS):
        M = np.eye(len(v)) + A.T @ (terms.w[:, None] * A)
        step = np.linalg.solve(M, A.T @ terms.g - v)
        for _ in range(_STEPS):
            tried, there = at(v + step)
            if tried >= value or float(step @ step) < _NEAR**2:
                break
            step = 0.5 * step
        v, value, terms = v + step, tried, there
        if float(step @ step) < _NEAR**2 * (1.0 + float(v @ v)):
            return v, terms
    raise np.linalg.LinAlgError("the mode of a new group's effects was not found")
