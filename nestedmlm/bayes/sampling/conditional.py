"""Random effects given the other parameters: exact draws from their Gaussian conditional.

A marginal posterior holds beta, the covariances and sigma. Given those,

    b | y ~ N( T T' Z'V^{-1}(y - X beta),  sigma^2 T (T'Z'WZT + I)^{-1} T' )

is drawn by one downward sweep over the eliminated levels: O(groups) for each posterior draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.correlations import correlation_matrices
from nestedmlm.bayes.density.laplace_density import require_derivatives
from nestedmlm.bayes.model.names import (
    TermNames,
    dispersion_of,
    parameter_names,
    sampled_parameters,
)
from nestedmlm.bayes.sampling.correlation_roots import cholesky_roots
from nestedmlm.bayes.sampling.residual_draws import free_draws
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.elimination import Eliminated, whole_factor
from nestedmlm.likelihood.elimination.point_sweep import serves
from nestedmlm.likelihood.elimination.points import draw_effects
from nestedmlm.likelihood.elimination.sweeps import lower_times
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood
from nestedmlm.likelihood.plan import Plan, make_plan, scatters, term_columns
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

Draws = Mapping[str, np.ndarray]


def draw_random_effects(
    design: Design,
    draws: Draws,
    rng: np.random.Generator,
    *,
    stats: CrossProducts | None = None,
) -> dict[str, FloatArray]:
    """Draw the random effects once for each posterior draw.

    Parameters
    ----------
    design : Design
    draws : mapping of str to array, first axis the n draws
        Fixed effects, standard deviations, correlations and sigma by their names.
    rng : numpy.random.Generator
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.

    Returns
    -------
    dict of str to (n, J) array
        ``"1|schoolid"`` and so on, levels in the order of the factor's.
    """
    sums = None if design.residual is None else pair_sums(design)
    stats = sums.base if sums is not None else stats or cross_products(design)
    plan = make_plan(design, stats)
    sigma = np.asarray(draws[parameter_names(design).sigma], dtype=float)
    T = flat_factor_draws(design, draws, stats, plan)
    v = contrast_draws(design, draws, stats)
    noise = rng.standard_normal((len(sigma), stats.q)) * sigma[:, None]
    if sums is not None:
        free = free_draws(design, sums.model, draws)
        b = np.array(
            [
                one_draw(*own, sums.at(x))
                for own, x in zip(zip(T, v, noise, strict=True), free, strict=True)
            ]
        )
    elif serves(stats):
        b = draw_effects(T, v, noise, stats)
    else:
        b = np.array([one_draw(*own, stats) for own in zip(T, v, noise, strict=True)])
    return effects_by_name(b, design, stats, plan)


def fixed_draws(design: Design, draws: Draws) -> FloatArray:
    """The fixed effects as one (n draws, p) array."""
    names = parameter_names(design)
    n = len(next(iter(draws.values())))
    return np.column_stack([draws[f] for f in names.fixed]) if names.fixed else np.zeros((n, 0))


def covariance_factors(own: TermNames, draws: Draws) -> FloatArray:
    """Lower-triangular ``D L`` of one term for each draw: (n, k, k), user's columns."""
    k = len(own.variables)
    sds = np.column_stack([np.asarray(draws[s], dtype=float) for s in own.sds])
    sds = np.broadcast_to(sds, (len(sds), k))
    if own.correlation is None:
        return sds[:, :, None] * np.eye(k)
    R = correlation_matrices(np.asarray(draws[own.correlation], dtype=float), k)
    return sds[:, :, None] * cholesky_roots(R)


def flat_factor_draws(design: Design, draws: Draws, stats: CrossProducts, plan: Plan) -> FloatArray:
    """Flat relative factors in scaled columns, elimination order, one row for each draw."""
    names = parameter_names(design)
    first = next(iter(draws.values()))
    sigma = np.ones(len(first))  # generalized models have absolute factors
    if design.family is None:
        sigma = np.asarray(draws[names.sigma], dtype=float)
    out = np.zeros((len(sigma), sum(k * k for k in plan.widths)))
    for own, P, W in zip(names.terms, scatters(plan), stats.transforms, strict=True):
        T = np.linalg.inv(W) @ covariance_factors(own, draws)
        out += T.reshape(len(sigma), -1) @ P.T
    return out / sigma[:, None]


def contrast_draws(design: Design, draws: Draws, stats: CrossProducts) -> FloatArray:
    """``(-beta, 1)`` in scaled columns, one row for each draw."""
    scaled = (fixed_draws(design, draws) - stats.beta0) @ stats.R_x.T
    return np.column_stack([-scaled, np.ones(len(scaled))])


def one_draw(T: FloatArray, v: FloatArray, noise: FloatArray, stats: CrossProducts) -> FloatArray:
    """One draw of all effects, in elimination order."""
    e = elimination.eliminate(T, stats)
    cut = stats.q - (0 if e.dense is None else len(e.dense.Q))
    trailing = np.zeros(0)
    if e.dense is not None and stats.crossed is not None:
        trailing = e.dense.b @ v + _trailing_noise(T, e.dense.Q, noise[cut:], stats)
    chain = _draw_chain(stats, e, v, trailing, noise[:cut]) if cut else np.zeros(0)
    return np.concatenate([chain, trailing])


def _draw_chain(
    stats: CrossProducts,
    e: Eliminated,
    v: FloatArray,
    trailing: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Draw from the top down, given the ancestors: ``b = N'(H [-b_above, v] + noise)``."""
    drawn: list[FloatArray] = []
    chain = stats.chain_parts
    above = np.zeros((0, chain[-1].levels))
    for i, part in reversed(list(enumerate(chain))):
        f = whole_factor(stats, e, i)
        z = part.by_level(noise).T + np.einsum("arj,r->aj", f.right, v)
        for x in range(len(above)):
            z -= f.H[:, x] * above[x]
        if len(trailing):
            starts = f.ptr[:-1]
            z -= np.add.reduceat(f.Hc * trailing[f.col], starts, axis=1)
        b = np.empty((part.k, 1, part.levels))
        lower_times(f.N, z[:, None], b)
        drawn.insert(0, b[:, 0].T.ravel())
        if i > 0:
            above = np.concatenate([b[:, 0], above])[:, stats.order.parents[i - 1]]
    return np.concatenate(drawn)


def _trailing_noise(
    T: FloatArray, Q: FloatArray, noise: FloatArray, stats: CrossProducts
) -> FloatArray:
    """``Lambda H^{-T/2} noise`` with ``H = Lambda'Q Lambda + I``."""
    crossed = stats.crossed
    assert crossed is not None
    Lambda = np.zeros_like(Q)
    for part, own in zip(stats.parts[len(stats.order.chain) :], crossed.parts, strict=True):
        Lambda[own.rows, own.rows] = np.kron(np.eye(own.levels), part.matrix(T))
    H = Lambda.T @ Q @ Lambda
    H[np.diag_indices_from(H)] += 1.0
    u = solve_triangular(cholesky(H, lower=True), noise, lower=True, trans="T")
    out: FloatArray = Lambda @ u
    return out


def draw_laplace_effects(
    design: Design, draws: Draws, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Draw the random effects of a generalized model once for each draw, by their approximation.

    Normal around the conditional modes, with the curvature there.

    Parameters
    ----------
    design : Design
        With a family.
    draws : mapping of str to array, first axis the n draws
        Fixed effects, standard deviations, correlation matrices and what the family has beside its
        mean, by their names.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to (n, J) array
    """
    family = require_derivatives(design.family)
    model = make_model(design, family)
    likelihood, stats, plan = LaplaceLikelihood(model=model), model.products.empty, model.plan
    beta = fixed_draws(design, draws) @ stats.R_x.T
    T = flat_factor_draws(design, draws, stats, plan)
    beside = {p.name: np.asarray(draws[p.name]) for p in sampled_parameters(family)}
    dispersion = np.broadcast_to(dispersion_of(family, beside), len(beta))
    v = np.append(np.zeros(stats.p), 1.0)
    b = np.empty((len(beta), stats.q))
    with np.errstate(all="ignore"):
        for s, (own, gamma, value) in enumerate(zip(T, beta, dispersion, strict=True)):
            found = likelihood.value(own, gamma, float(value))
            b[s] = one_draw(own, v, rng.standard_normal(stats.q), found.stats)
    return effects_by_name(b, design, stats, plan)


def effects_by_name(
    b: FloatArray, design: Design, stats: CrossProducts, plan: Plan
) -> dict[str, FloatArray]:
    """Split draws in elimination order into named random effects in the user's columns."""
    found: dict[str, FloatArray] = {}
    names = parameter_names(design).terms
    for place, part in enumerate(stats.parts):
        effects = b[:, part.rows].reshape(len(b), part.levels, part.k)
        effects = stats.of_levels(place, effects.swapaxes(0, 1)).swapaxes(0, 1)
        for t in plan.factors[place]:
            own = effects[:, :, term_columns(plan)[t]] @ stats.transforms[t].T
            found |= {name: own[:, :, j] for j, name in enumerate(names[t].variables)}
    return {name: found[name] for own in names for name in own.variables}
