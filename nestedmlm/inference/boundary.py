"""The boundary's null distribution for two nested mixed models (layer 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import echelon, lower_indices
from nestedmlm.criterion import degrees
from nestedmlm.design import Design
from nestedmlm.errors import ModelComparisonError
from nestedmlm.inference.addedeffects import (
    Difference,
    Entry,
    added_effects,
    embedded_covariances,
    same_fixed_effects,
)
from nestedmlm.inference.chibar import ChiBar, mixture
from nestedmlm.parameters import Plan, phi_of_theta
from nestedmlm.reml.curvature import average_information, free_entries
from nestedmlm.reml.evaluation import evaluate
from nestedmlm.results import Solution

_NSIM = 10_000
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
    if any(shape.structure not in ("us", "diag") for shape in plan.shapes):
        raise ModelComparisonError(
            "weights for several new variances are not available beside structured covariances "
            "(cs, ar1): use test='bootstrap'"
        )
    covariances = embedded_covariances(difference, large, small.T)
    theta = np.concatenate(
        [
            np.sqrt(np.diag(G)) if shape.structure == "diag" else _lower(G)
            for G, shape in zip(covariances, plan.shapes, strict=True)
        ]
    )
    ev = evaluate(phi_of_theta(theta, plan, stats), plan, stats, REML)
    scaled = average_information(ev, plan, stats, degrees(stats, REML)[0])
    wanted = [entry for block in difference.variances for entry in block]
    others = [*difference.shared, *difference.covariances]
    L = _to_users_columns([*wanted, *others], large, stats.transforms, plan)
    full = L.T @ scaled @ L
    m = len(wanted)
    out: FloatArray = full[:m, :m] - full[:m, m:] @ np.linalg.pinv(full[m:, m:]) @ full[m:, :m]
    return 0.5 * (out + out.T)


def _lower(G: FloatArray) -> FloatArray:
    """Parameters of an unstructured relative covariance, which may be singular."""
    values, vectors = np.linalg.eigh(G)
    T = echelon(vectors * np.sqrt(np.maximum(values, 0.0)))
    out: FloatArray = T[lower_indices(len(G))]
    return out


def _to_users_columns(
    entries: Sequence[Entry], design: Design, transforms: tuple[FloatArray, ...], plan: Plan
) -> FloatArray:
    """Derivative of the scaled free entries in entries of the user's covariances."""
    known = free_entries(plan)
    L = np.zeros((len(known.flat), len(entries)))
    for column, (t, a, b) in enumerate(entries):
        inverse = np.linalg.inv(transforms[t])
        E = np.zeros_like(inverse)
        E[a, b] = E[b, a] = 1.0
        rows, places = known.of_term[t]
        L[rows, column] = (inverse @ E @ inverse.T).ravel()[places]
    return L
