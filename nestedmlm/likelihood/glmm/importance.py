"""Importance sampling of the likelihood, around the Laplace approximation.

With u from the normal proposal ``N(u^, M^-1)``, ``M = Lambda'Z'WZ Lambda + I``,

    L = -2 sum_c log mean_s w_cs + log|M|,
    log w_c = sum_i [l_i(eta_i) + w_i (eta_i - eta^_i)^2 / 2] - |u^_c|^2 / 2 - u^_c'(u_c - u^_c)

where c are the sets of rows that share levels: their integrals are independent, so the weights'
variance does not grow with their number (one set where factors are crossed). Draws come from the
elimination itself: with standard normal e and f, ``u^ + M^-1 (e + Lambda'Z'W^(1/2) f)`` has that
distribution (Papandreou & Yuille 2010, NeurIPS 23), for any number of factors. They come in
pairs on both sides of the modes (antithetic), and errors are those of pairs. Derivatives are
weighted means of the scores (Fisher's identity). Shephard & Pitt (1997), Biometrika 84(3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from nestedmlm._typing import FloatArray
from nestedmlm.families.row_terms import log_densities, scores
from nestedmlm.likelihood.elimination import eliminate, solve
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.modes import Modes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportanceEstimate:
    """-2 log-likelihood by importance sampling, and its derivatives.

    Attributes
    ----------
    value : float
    error : float
        Monte Carlo standard error of it.
    log_weights : (sets, draws) array
        Of the independent sets of rows.
    slope : (t + p + 1,) array
        Derivatives in the flat factors, the fixed effects in orthonormal columns and the log
        dispersion (0 without one).
    slope_covariance : (t + p + 1, t + p + 1) array
        Monte Carlo covariance of `slope`.
    worst : int
        The set whose weights vary most: among many sets the largest Pareto k is one by chance.
    """

    value: float
    error: float
    log_weights: FloatArray
    slope: FloatArray
    slope_covariance: FloatArray
    worst: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sets:
    """Sums over the independent sets: of rows, of stacked effects, of each part's levels."""

    rows: Any
    effects: Any
    levels: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draws:
    """Some draws: distances of u and eta from the modes, and ``log|M|``."""

    u: FloatArray
    eta: FloatArray
    logdet: float


def sample_likelihood(
    model: GlmmModel, T: FloatArray, modes: Modes, dispersion: float, *, draws: int, seed: int
) -> ImportanceEstimate:
    """Estimate -2 log-likelihood and its derivatives by importance sampling.

    Parameters
    ----------
    model : GlmmModel
        With any number of grouping factors.
    T : flat array
    modes : Modes
        At T.
    dispersion : float
    draws : int
        Even: pairs on both sides of the modes.
    seed : int

    Returns
    -------
    ImportanceEstimate

    Raises
    ------
    numpy.linalg.LinAlgError
        If the expected information is not finite at the modes.
    """
    sets = independent_sets(model)
    y, a = model.y[:, None], model.weights[:, None]
    w = modes.rows.h if bool((modes.rows.h >= 0.0).all()) else modes.rows.w
    at_modes, logs = -0.5 * (sets.effects @ modes.u**2)[:, None], []
    logdet = 0.0
    for some in draw_proposals(model, T, w, draws, seed):
        eta = modes.eta[:, None] + some.eta
        terms = log_densities(model.family, eta, y, a, dispersion) + 0.5 * w[:, None] * some.eta**2
        logs.append(at_modes + sets.rows @ terms - sets.effects @ (modes.u[:, None] * some.u))
        logdet = some.logdet
    log_weights = np.concatenate(logs, axis=1)
    top = log_weights.max(axis=1, keepdims=True)
    share = np.exp(log_weights - top)
    mean = share.mean(axis=1, keepdims=True)
    share /= share.sum(axis=1, keepdims=True)
    value = -2.0 * (float((top + np.log(mean)).sum()) + model.constant) + logdet
    error, first = 0.0, 0
    size = len(T) + len(modes.gamma) + 1
    center, b = (np.zeros((len(share), size)) for _ in range(2))
    A, a2 = np.zeros((size, size)), np.zeros((len(share), 1))
    for some in draw_proposals(model, T, w, draws, seed):
        h = parameter_scores(model, sets, modes, some, dispersion, size)
        p = share[:, first : first + h.shape[1]]
        first += h.shape[1]
        pairs = (p[..., None] * h).reshape(len(p), 2, -1, size).sum(axis=1)
        of_pairs = p.reshape(len(p), 2, -1).sum(axis=1)
        error += float(np.sum((of_pairs - 2.0 / draws) ** 2))
        center += pairs.sum(axis=1)
        a2 += (of_pairs**2).sum(axis=1, keepdims=True)
        b += np.einsum("cs,csd->cd", of_pairs, pairs)
        A += np.einsum("csd,cse->de", pairs, pairs, optimize=True)
    across = b.T @ center
    covariance = A - across - across.T + (center * a2).T @ center
    return ImportanceEstimate(
        value=value,
        error=2.0 * math.sqrt(error),
        log_weights=log_weights,
        slope=-2.0 * center.sum(axis=0),
        slope_covariance=4.0 * covariance,
        worst=int(np.argmax(np.sum(share**2, axis=1))),
    )


def independent_sets(model: GlmmModel) -> _Sets:
    """Rows that share levels, directly or over others, are one set."""
    levels, parts, n = model.products.levels, model.parts, len(model.y)
    first = np.cumsum([0, *(part.levels for part in parts)])
    nodes = np.concatenate([code + low for code, low in zip(levels, first[:-1], strict=True)])
    links = sparse.coo_matrix(
        (np.ones(len(nodes)), (np.tile(np.arange(n), len(parts)), n + nodes)),
        shape=(n + first[-1],) * 2,
    )
    count, label = connected_components(links, directed=False)

    def summing(of: Any) -> Any:
        places = (of, np.arange(len(of)))
        return sparse.csr_matrix((np.ones(len(of)), places), shape=(count, len(of)))

    of_level = [label[n + low : n + high] for low, high in pairwise(first)]
    stacked = [np.repeat(own, part.k) for own, part in zip(of_level, parts, strict=True)]
    return _Sets(
        rows=summing(label[:n]),
        effects=summing(np.concatenate(stacked)),
        levels=tuple(summing(own) for own in of_level),
    )


def draw_proposals(
    model: GlmmModel, T: FloatArray, w: FloatArray, draws: int, seed: int
) -> Iterator[_Draws]:
    """Pairs of draws of the proposal, as many as the elimination has right-hand sides."""
    rng, width = np.random.default_rng(seed), model.products.X.shape[1] + 1
    q, n = model.parts[-1].rows.stop, len(model.y)
    for done in range(0, draws // 2, width):
        e, f = rng.standard_normal((q, width)), rng.standard_normal((n, width))
        right = np.sqrt(w)[:, None] * f - w[:, None] * (model.products.Z @ _effects(model, T, e))
        stats = model.products.at(w, right)
        found = eliminate(T, stats)
        if not np.isfinite(found.logdet):
            raise np.linalg.LinAlgError("the information at the modes is not positive definite")
        B = solve(stats, found)[1]
        u = e + np.concatenate(
            [
                np.einsum("jas,ab->jbs", part.by_level(B), part.matrix(T)).reshape(-1, width)
                for part in model.parts
            ]
        )
        u = u[:, : draws // 2 - done]
        u = np.hstack([u, -u])
        yield _Draws(u=u, eta=model.products.Z @ _effects(model, T, u), logdet=found.logdet)


def _effects(model: GlmmModel, T: FloatArray, u: FloatArray) -> FloatArray:
    """``Lambda u`` of columns u."""
    return np.concatenate(
        [
            np.einsum("ab,jbs->jas", part.matrix(T), part.by_level(u)).reshape(-1, u.shape[1])
            for part in model.parts
        ]
    )


def parameter_scores(
    model: GlmmModel, sets: _Sets, modes: Modes, some: _Draws, dispersion: float, size: int
) -> FloatArray:
    """Derivatives of each set's joint log-density at each draw, (sets, draws, parameters)."""
    y, a = model.y[:, None], model.weights[:, None]
    eta = modes.eta[:, None] + some.eta
    g = scores(model.family, eta, y, a, dispersion)[1]
    u, Zg = modes.u[:, None] + some.u, model.products.Zt @ g
    h = np.zeros((sets.rows.shape[0], g.shape[1], size))
    for part, over in zip(model.parts, sets.levels, strict=True):
        mine, theirs = part.by_level(Zg), part.by_level(u)
        for i, (a_, b_) in enumerate(np.ndindex(part.k, part.k)):
            h[..., part.flat.start + i] = over @ (mine[:, a_] * theirs[:, b_])
    X, nt = model.products.X, size - 1 - len(modes.gamma)
    for j in range(X.shape[1]):
        h[..., nt + j] = sets.rows @ (X[:, j, None] * g)
    if model.family.has_dispersion:
        assert model.family.dispersion_score is not None
        mean = model.family.link.mean(eta)
        h[..., -1] = sets.rows @ model.family.dispersion_score(y, mean, a, dispersion)
    return h
