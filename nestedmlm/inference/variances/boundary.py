"""Null distribution of the likelihood ratio of two mixed models where variances are zero."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import echelon, split_parameters
from nestedmlm.design.design import Design
from nestedmlm.errors import ModelComparisonError
from nestedmlm.inference.effects.variance_derivatives import variance_derivatives
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.added_effects import (
    Difference,
    Entry,
    added_effects,
    embedded_covariances,
    same_fixed_effects,
)
from nestedmlm.inference.variances.chibar import ChiBar, mixture
from nestedmlm.inference.variances.directions import Directions, parameter_directions
from nestedmlm.inference.variances.expected_information import expected_information
from nestedmlm.likelihood.plan import Plan, phi_of_theta
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.statistics.crossproducts import CrossProducts

_NSIM = 10_000  # draws for the weights of a chi-bar-squared mixture
_SEED = 20_040_701  # the weights are numbers of the models: the same ones every time


def null_distribution(
    small: Design,
    small_solution: Solution,
    large: Design,
    large_solution: Solution,
    *,
    REML: bool,
    nsim: int = _NSIM,
    seed: int = _SEED,
) -> ChiBar:
    """Distribution of the likelihood ratio statistic if the smaller model is true.

    Parameters
    ----------
    small, small_solution, large, large_solution
        The models, fitted to the same response.
    REML : bool
        Whether REML criteria are compared.
    nsim, seed : int
        Draws for weights that are not known exactly (several new variances).

    Raises
    ------
    ModelComparisonError
        If the fixed effects differ, or the random effects are not nested.
    """
    if not same_fixed_effects(small, large):
        raise ModelComparisonError(
            "the models differ in their fixed effects: the boundary test compares random effects; "
            "use test='bootstrap' for both at once, or test='chisq' for fixed effects"
        )
    difference = added_effects(small, large)
    free, sizes = len(difference.covariances), difference.sizes
    information = np.eye(1)
    if len(sizes) > 1 or max(sizes, default=0) > 1:
        information = _profiled_information(difference, large, large_solution, small_solution, REML)
    rng = np.random.default_rng(seed)
    return mixture(free, sizes, information, nsim=nsim, rng=rng)


def _profiled_information(
    difference: Difference, large: Design, solution: Solution, small: Solution, REML: bool
) -> FloatArray:
    """Information on the new variances at the smaller model's estimates, the rest profiled out."""
    stats, plan = solution.stats, solution.plan
    covariances = embedded_covariances(difference, large, small.T)
    theta = np.concatenate(
        [_own_theta(G, t, plan, difference, small) for t, G in enumerate(covariances)]
    )
    null = results_at(large, theta, REML=REML, stats=stats)
    wanted = [entry for block in difference.variances for entry in block]
    rest = [*difference.shared, *difference.covariances]
    found = [_moved(entry, plan, stats) for entry in (*wanted, *rest)]
    found += _structured(phi_of_theta(theta, plan, stats), plan)
    order = sorted(range(len(found)), key=lambda i: found[i][0])  # directions ascend by factor
    directions = Directions(
        factor=np.array([found[i][0] for i in order], dtype=np.int64),
        matrices=tuple(np.ascontiguousarray(found[i][1]) for i in order),
    )
    fitted = Fitted(design=large, solution=null, REML=REML)
    IE = expected_information(
        variance_derivatives(fitted, directions), large.n, large.p, REML=REML and large.p > 0
    )
    new = 1 + np.array([order.index(i) for i in range(len(wanted))])
    old = np.setdiff1d(np.arange(len(IE)), new)
    out: FloatArray = (
        IE[np.ix_(new, new)]
        - IE[np.ix_(new, old)] @ np.linalg.pinv(IE[np.ix_(old, old)]) @ IE[np.ix_(old, new)]
    )
    return 0.5 * (out + out.T)


def _own_theta(
    G: FloatArray, t: int, plan: Plan, difference: Difference, small: Solution
) -> FloatArray:
    """Parameters of one term of the larger model where it says what the smaller one says."""
    shape = plan.shapes[t]
    if shape.structure.free_entries(shape.k, shape.hom):
        return shape.structure.theta_of_factor(_root(G), shape.hom)
    source = difference.source[t, 0][0]  # such a term is in both models as it is
    return split_parameters(small.theta, small.plan.shapes)[source]


def _moved(entry: Entry, plan: Plan, stats: CrossProducts) -> tuple[int, FloatArray]:
    """Factor and derivative of its covariance in one entry of the user's, in scaled columns."""
    t, a, b = entry
    factor = next(f for f, terms in enumerate(plan.factors) if t in terms)
    start = sum(plan.shapes[s].k for s in plan.factors[factor] if s < t)
    inverse = np.linalg.inv(stats.transforms[t])
    E = np.zeros_like(inverse)
    E[a, b] = E[b, a] = 1.0
    out = np.zeros((plan.widths[factor], plan.widths[factor]))
    own = slice(start, start + len(E))
    out[own, own] = inverse @ E @ inverse.T
    return factor, out


def _structured(phi: FloatArray, plan: Plan) -> list[tuple[int, FloatArray]]:
    """Directions of the parameters of structured terms, which are no entries."""
    directions, free = parameter_directions(phi, plan)
    ends = np.cumsum([s.count for s in plan.shapes])
    terms = np.searchsorted(ends, free, side="right")
    return [
        (int(f), E)
        for f, E, t in zip(directions.factor, directions.matrices, terms.tolist(), strict=True)
        if not plan.shapes[t].structure.free_entries(plan.shapes[t].k, plan.shapes[t].hom)
    ]


def _root(G: FloatArray) -> FloatArray:
    """Lower-triangular root of a relative covariance, which may be singular."""
    values, vectors = np.linalg.eigh(G)
    return echelon(vectors * np.sqrt(np.maximum(values, 0.0)))
