"""Posterior draws as arrays in the shapes of the design.

Every function takes the DataTree that a fit holds; chains are laid end to end, so that S is
chains times draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.correlations import correlation_matrices
from nestedmlm.bayes.model.names import TermNames, parameter_names
from nestedmlm.design.design import Design


def chained(data: Any, name: str) -> FloatArray:
    """Draws of one variable with chains apart, shape (chains, draws, ...)."""
    variable = data["posterior"][name]
    return np.asarray(variable.transpose("chain", "draw", ...).values, dtype=np.float64)


def stacked(data: Any, name: str) -> FloatArray:
    """Draws of one variable, shape (S, ...)."""
    values = chained(data, name)
    return values.reshape(-1, *values.shape[2:])


def draw_shape(data: Any) -> tuple[int, int]:
    """Numbers of chains and of draws in each."""
    sizes = data["posterior"].sizes
    return int(sizes["chain"]), int(sizes["draw"])


def fixed_draws(data: Any, design: Design) -> FloatArray:
    """Fixed effects, shape (S, p)."""
    names = parameter_names(design).fixed
    if not names:
        chains, draws = draw_shape(data)
        return np.zeros((chains * draws, 0))
    return np.column_stack([stacked(data, name) for name in names])


def sigma_draws(data: Any, design: Design) -> FloatArray:
    """Residual standard deviation, shape (S,)."""
    return stacked(data, parameter_names(design).sigma)


def effect_draws(data: Any, design: Design) -> tuple[FloatArray, ...]:
    """Random effects of each term, shapes (S, J, k)."""
    return tuple(
        np.stack([stacked(data, name) for name in term.variables], axis=-1)
        for term in parameter_names(design).terms
    )


def sd_draws(data: Any, term: TermNames) -> FloatArray:
    """Standard deviations of one term, shape (S, k); a common one is repeated."""
    sd = np.column_stack([stacked(data, name) for name in term.sds])
    return np.broadcast_to(sd, (len(sd), len(term.variables)))


def mean_draws(data: Any, design: Design) -> FloatArray:
    """Fixed effects, then the penalised coefficients of the smooth curves of all data, (S, p + q).

    What a population mean is made of.
    """
    beta = fixed_draws(data, design)
    if not any(factor.is_whole for factor in design.factors):
        return beta
    effects = zip(design.terms, effect_draws(data, design), strict=True)
    curves = [b[:, 0] for term, b in effects if design.factors[term.factor].is_whole]
    return np.hstack([beta, *curves])


def covariance_draws(data: Any, design: Design) -> tuple[FloatArray, ...]:
    """Covariance matrices of each term, shapes (S, k, k), in the user's units."""
    return tuple(_covariance(data, term) for term in parameter_names(design).terms)


def _covariance(data: Any, term: TermNames) -> FloatArray:
    sd = sd_draws(data, term)
    if term.correlation is None:
        return sd[:, :, None] ** 2 * np.eye(sd.shape[1])
    R = correlation_matrices(stacked(data, term.correlation), sd.shape[1])
    cov: FloatArray = R * sd[:, :, None] * sd[:, None, :]
    return cov


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalDraws:
    """Draws of all but the random effects.

    Attributes
    ----------
    beta : (S, p) array
    sigma : (S,) array
    covariances : tuple of (S, k, k) arrays
        Of each term, in the user's units.
    """

    beta: FloatArray
    sigma: FloatArray
    covariances: tuple[FloatArray, ...]


def marginal_draws(data: Any, design: Design, chosen: IntArray | None = None) -> MarginalDraws:
    """Read the draws of all but the random effects off a posterior.

    Parameters
    ----------
    data : DataTree
    design : Design
    chosen : array of int, optional
        Which draws, by default all.
    """
    kept: Any = slice(None) if chosen is None else chosen
    return MarginalDraws(
        beta=fixed_draws(data, design)[kept],
        sigma=sigma_draws(data, design)[kept],
        covariances=tuple(cov[kept] for cov in covariance_draws(data, design)),
    )


def roots(cov: FloatArray) -> FloatArray:
    """Symmetric square roots of covariance matrices (S, k, k), singular ones included."""
    values, vectors = np.linalg.eigh(cov)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    out: FloatArray = scaled @ np.swapaxes(vectors, 1, 2)
    return out
