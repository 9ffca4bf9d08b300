"""Cluster-robust covariance of a generalized model's fixed effects: the sandwich of its likelihood.

All parameters count, ``psi = (phi, gamma, log dispersion)``: with H the Hessian of the negative
marginal log-likelihood and s_g the gradient of cluster g's own log-likelihood, both of the
approximation the model was fitted with (Laplace, or quadrature),

    V = H^{-1} (sum_g s_g s_g') H^{-1},

of which the block of the fixed effects is taken (Huber 1967; White 1982). CR1 multiplies it by
``m / (m - 1)``. Clusters hold whole random effects, so that the likelihood is their product.

CR2 and CR3 adjust residuals for what the fixed effects have taken of them, which needs a linear
model: that of the algorithm at the optimum, with working responses, the working weights and
``V = W^{-1} + Z Sigma Z'`` (`nestedmlm.inference.rows.working_model`). They are those of
generalized estimating equations: CR2 Kauermann & Carroll (2001), Journal of the American
Statistical Association 96(456); CR3 Mancl & DeRouen (2001), Biometrics 57(1), which is the
jackknife of clusters with covariances and weights held. Without random effects they are what
clubSandwich makes of a ``glm``. Covariances count as known there, as in those of linear models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, OptionError
from nestedmlm.inference.effects.cluster_robust import find_clusters, robust_covariance
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.resampling.resampling import Groups, row_sets, take_rows
from nestedmlm.inference.rows.working_model import working_design
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.quadrature import make_grid
from nestedmlm.likelihood.glmm.warm_start import cold_start
from nestedmlm.likelihood.plan import flat_factors, phi_of_theta, theta_of_phi
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.glmm.glmm_objective import GlmmObjective

_STEP_OF_SCORE = 1e-4  # of central differences, in standard errors of a parameter


def generalized_sandwich(
    fitted: Fitted, asked: ClusterRobust
) -> tuple[FloatArray, tuple[str, ...]]:
    """Compute the sandwich covariance at a generalized fit.

    Parameters
    ----------
    fitted : Fitted
        With a family.
    asked : ClusterRobust

    Returns
    -------
    cov : (p, p) array
    notes : tuple of str
        Line for below a table.

    Raises
    ------
    OptionError
        For ``nAGQ=0``, penalised fits, models without fixed effects, and clusters that share
        random effects.
    DataError
        For clusters of fewer rows than a term has random effects.
    """
    solved, design = fitted.solved, fitted.design
    assert solved is not None
    if solved.nAGQ == 0:
        raise OptionError("vcov= needs a likelihood of the fixed effects: fit with nAGQ=1 or more")
    if solved.penalty is not None or solved.coefficient_penalty is not None:
        raise OptionError("vcov= is of the likelihood, and this fit is penalised")
    if not design.p:
        raise OptionError("the model has no fixed effects, whose covariance this is")
    if asked.type not in _FACTORS:
        return _working_sandwich(fitted, asked)
    cluster = find_clusters(design, asked.cluster)
    count = cluster.count
    if count < 2:
        raise OptionError(f"cluster-robust covariances need two clusters; {cluster.name} has one")
    scores = cluster_scores(fitted, row_sets(cluster.codes.astype(np.int64), count))
    nt, p = solved.model.plan.n_theta, design.p
    half = 2.0 * solved.covariance[nt : nt + p] @ scores.T  # H is half the Hessian of -2 log L
    back = np.linalg.inv(solved.solution.stats.R_x)
    cov = _FACTORS[asked.type](count) * (back @ half) @ (back @ half).T
    return cov, (f"{asked.type} covariance, clusters: {cluster.name}, {count}",)


def _working_sandwich(fitted: Fitted, asked: ClusterRobust) -> tuple[FloatArray, tuple[str, ...]]:
    """Sandwich with adjusted residuals, of the working linear model at the optimum."""
    design = working_design(fitted)
    solution = results_at(design, fitted.solution.theta, REML=False)
    found = robust_covariance(Fitted(design=design, solution=solution, REML=False), asked)
    return found.cov, (*found.notes, "residuals adjusted in the working linear model")


def cluster_scores(fitted: Fitted, sets: list[IntArray]) -> FloatArray:
    """Gradient of each cluster's log-likelihood in (phi, gamma, log dispersion), (m, n).

    Parameters
    ----------
    fitted : Fitted
    sets : list of int arrays
        Rows of each cluster.

    Notes
    -----
    Central differences of the cluster's likelihood, whose fixed part is an offset there: a cluster
    may know nothing of some columns.
    """
    solved = fitted.solved
    assert solved is not None
    point = solved.here.point
    size = 2.0 * np.sqrt(np.diag(solved.covariance))
    back = np.linalg.inv(solved.solution.stats.R_x)
    out = np.zeros((len(sets), len(point)))
    for g, own in enumerate(sets):
        likelihood = _cluster_likelihood(fitted, own, back)
        for i in np.flatnonzero(size > 0.0):  # a covariance on its bound stays there
            e = np.zeros(len(point))
            e[i] = _STEP_OF_SCORE * size[i]
            out[g, i] = (likelihood(point + e) - likelihood(point - e)) / (2.0 * e[i])
    return out


def _cluster_likelihood(
    fitted: Fitted, own: IntArray, back: FloatArray
) -> Callable[[FloatArray], float]:
    """The log-likelihood of some rows as a function of the model's point."""
    solved = fitted.solved
    assert solved is not None
    here, nt, p = solved.here, solved.model.plan.n_theta, fitted.design.p
    whole = here._objective
    X = fitted.design.X[own]
    offset = np.zeros(len(own)) if fitted.design.offset is None else fitted.design.offset[own]
    part = _rows_alone(fitted.design, own)
    for term in part.terms:
        if len(own) < len(term.columns):  # its columns cannot be told apart in so few rows
            raise DataError(
                f"a cluster has {len(own)} row(s), fewer than the {len(term.columns)} random "
                f"effects of ({term.text}), so that its likelihood is not computed alone: leave "
                "such clusters out, join them, or take coarser ones for vcov="
            )
    model = make_model(part, solved.model.family, information=solved.information)

    def at(point: FloatArray) -> float:
        phi, gamma, dispersion = whole.split(point)
        theta = theta_of_phi(phi, solved.model.plan, solved.solution.stats)
        moved = replace(model, offset=offset + X @ (back @ gamma))
        objective = GlmmObjective(
            plan=moved.plan, stats=moved.products.empty, REML=False, penalty=None, model=moved,
            nAGQ=solved.nAGQ, grid=make_grid(moved, solved.nAGQ) if solved.nAGQ > 1 else None,
            warm=[cold_start(np.zeros(0), moved.parts[-1].rows.stop)],
        )  # fmt: skip
        own_phi = phi_of_theta(theta, moved.plan, moved.products.empty)
        T = flat_factors(np, own_phi, moved.plan)
        return -0.5 * objective.criterion_at(T, np.zeros(0), dispersion).value

    assert nt + p <= len(here.point)
    return at


def _rows_alone(design: Design, own: IntArray) -> Design:
    """The design of some rows without its fixed effects."""
    groups = []
    for factor in design.factors:
        observed, codes = np.unique(factor.codes[own], return_inverse=True)
        groups.append(Groups(kept=observed, codes=codes.astype(np.int32)))
    return take_rows(design.with_columns([]), own, groups)


_FACTORS: Mapping[str, Callable[[int], float]] = MappingProxyType(
    {"CR0": lambda m: 1.0, "CR1": lambda m: m / (m - 1.0)}
)
