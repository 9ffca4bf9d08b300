"""Ratio of a generalized model's likelihood to its Laplace approximation, by importance weights.

At parameters z the ratio is the mean, over draws of all random effects u from a mixture, of

    p(y | u) p(u) / [q(u) p_Laplace(y | z)].

Most are from N(mode, M^-1), with M the curvature whose determinant the approximation takes, in an
antithetic pair; some from the prior, which bounds the weights. The estimate has no bias, for
several grouping factors, too, whose effects hang together. Its mean over draws from the approximate
posterior is the ratio of the marginal likelihoods.
"""

from __future__ import annotations

import math

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.laplace_density import NO_DENSITY, LaplaceDensity
from nestedmlm.bayes.sampling.conditional import one_draw

_OF_PRIOR = 1.0 / 3.0  # share of the draws: one beside a pair from the approximation


def log_corrections(density: LaplaceDensity, points: FloatArray, *, seed: int | None) -> FloatArray:
    """Logarithms of the likelihood over its approximation, estimated, (n,).

    Parameters
    ----------
    density : LaplaceDensity
    points : (n, ndim) array
    seed : int, optional
    """
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        return np.array([_log_correction(density, z, rng) for z in points])


def _log_correction(density: LaplaceDensity, z: FloatArray, rng: np.random.Generator) -> float:
    model = density.likelihood.model
    try:
        T, found = density.approximation(z)
    except NO_DENSITY:
        return -np.inf
    x = density.coordinates.variables(z)
    dispersion, modes = float(density.dispersion(x)), found.modes
    fixed, Z = model.predictor(density.G @ x[density.beta]), model.products.Z
    W = modes.rows.h if model.observed else modes.rows.w
    middle, log_det = model.effects(T, modes.u), found.state.logdet

    def height(u: FloatArray, b: FloatArray) -> float:
        return model.loglik(fixed + Z @ b, dispersion) - 0.5 * float(u @ u)

    last = np.append(np.zeros(found.stats.p), 1.0)
    near = one_draw(T, last, rng.standard_normal(len(middle)), found.stats)
    of_prior = rng.standard_normal(len(middle))
    drawn = [(_spherical(density, T, b), b) for b in (near, 2.0 * middle - near)]
    drawn.append((of_prior, model.effects(T, of_prior)))
    top, logs = height(modes.u, middle) - 0.5 * log_det, []
    for u, b in drawn:
        away, moved = u - modes.u, Z @ (b - middle)
        square = float(away @ away) + float(W @ moved**2)
        log_q = np.logaddexp(
            math.log1p(-_OF_PRIOR) + 0.5 * (log_det - square),
            math.log(_OF_PRIOR) - 0.5 * float(u @ u),
        )
        logs.append(height(u, b) - log_q - top)
    known = np.where(np.isnan(logs), -np.inf, logs)
    return float(np.logaddexp.reduce(known) - np.log(len(known)))


def _spherical(density: LaplaceDensity, T: FloatArray, b: FloatArray) -> FloatArray:
    """The u of effects ``b = Lambda u``."""
    parts = density.likelihood.model.parts
    return np.concatenate([np.linalg.solve(p.matrix(T), p.by_level(b).T).T.ravel() for p in parts])
