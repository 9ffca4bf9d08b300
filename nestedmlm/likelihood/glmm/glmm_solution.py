"""`GlmmSolution`: everything a fit of a generalized model reports, at given parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import relative_factors
from nestedmlm.design.design import Design
from nestedmlm.families.family import Family
from nestedmlm.likelihood.elimination import Eliminated, level_information
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace import Approximation
from nestedmlm.likelihood.plan import Plan, term_columns, theta_of_phi
from nestedmlm.statistics.crossproducts import CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GlmmSolution:
    """A generalized linear mixed model at one (theta, beta, dispersion).

    Covariances are absolute: `sigma` is 1 for every family, so that what is written for linear
    models (``sigma^2 T T'``) holds.

    Attributes
    ----------
    family : Family
    theta : (n_theta,) array
        Covariance parameters, in the order of ``design.terms``. All arrays are read-only.
    T : tuple of (k, k) arrays
        Lower-triangular covariance factor of each term, user's columns.
    beta : (p,) array
        Fixed effects.
    dispersion : float or None
        Where the family has one, estimated or fixed.
    vcov : (p, p) array
        Covariance of beta given theta, ``(X'V^-1X)^-1`` at the modes (lme4's
        ``vcov(use.hessian = FALSE)``).
    b : tuple of (J, k) arrays
        Conditional modes of each term, rows in the order of the factor's levels.
    covariances : tuple of (J, k, k) arrays
        Conditional covariances of the modes given the parameters (lme4's ``condVar``).
    eta, mu : (n,) arrays
        Linear predictor, with offset and random effects, and mean.
    fitted : (n,) array
        The mean again: what lme4 calls fitted.
    deviance : float
        -2 log-likelihood, by the Laplace approximation or by quadrature.
    conditional_deviance : float
        Sum of squared deviance residuals given the modes (lme4's ``deviance()``).
    u2 : float
        ``|u|^2`` of the spherical modes.
    log_determinant : float
        ``log|M|``.
    sigma : float
        1.
    n_parameters : int
        Of the likelihood: fixed effects, theta and an estimated dispersion.
    stats, plan, state
        At the weights of log|M|, for whatever needs more.
    """

    family: Family
    theta: FloatArray
    T: tuple[FloatArray, ...]
    beta: FloatArray
    dispersion: float | None
    vcov: FloatArray
    b: tuple[FloatArray, ...]
    covariances: tuple[FloatArray, ...]
    eta: FloatArray
    mu: FloatArray
    fitted: FloatArray
    deviance: float
    conditional_deviance: float
    u2: float
    log_determinant: float
    sigma: float
    n_parameters: int
    stats: CrossProducts
    plan: Plan
    state: Eliminated

    def __post_init__(self) -> None:
        arrays = (self.theta, self.beta, self.vcov, self.eta, self.mu, self.fitted)
        for array in (*arrays, *self.T, *self.b, *self.covariances):
            array.flags.writeable = False


def glmm_results_of(
    design: Design,
    model: GlmmModel,
    phi: FloatArray,
    T: FloatArray,
    at: Approximation,
    dispersion: float,
    deviance: float,
) -> GlmmSolution:
    """Report the model at a point where the approximation is known.

    Parameters
    ----------
    design, model
    phi, T : arrays
        Covariance parameters and flat factors, scaled columns.
    at : Approximation
        The Laplace approximation there.
    dispersion : float
    deviance : float
        -2 log-likelihood; that of `at`, or by quadrature.

    Returns
    -------
    GlmmSolution
    """
    stats, plan, modes, family = at.stats, model.plan, at.modes, model.family
    Ri = np.linalg.inv(stats.R_x)
    S_xx = at.state.S[: stats.p, : stats.p]
    theta = theta_of_phi(phi, plan, stats)
    mu = family.link.mu(modes.eta)
    residuals = family.deviance_residuals(model.y, mu, model.weights, dispersion)
    b, covariances = _by_term(model, T, at)
    return GlmmSolution(
        family=family,
        theta=theta,
        T=relative_factors(theta, plan.shapes),
        beta=Ri @ modes.gamma,
        dispersion=None if family.dispersion == "none" else dispersion,
        vcov=Ri @ np.linalg.pinv(S_xx, hermitian=True) @ Ri.T,
        b=b,
        covariances=covariances,
        eta=modes.eta.copy(),
        mu=mu,
        fitted=mu.copy(),
        deviance=deviance,
        conditional_deviance=float(residuals @ residuals),
        u2=float(modes.u @ modes.u),
        log_determinant=at.state.logdet,
        sigma=1.0,
        n_parameters=stats.p + plan.n_theta + family.has_dispersion,
        stats=stats,
        plan=plan,
        state=at.state,
    )


def _by_term(
    model: GlmmModel, T: FloatArray, at: Approximation
) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """Modes and their covariances ``T T' - T T' Z'V^-1Z T T'`` of each term, the user's columns."""
    stats, plan = at.stats, model.plan
    b: list[FloatArray] = [np.zeros(0)] * len(plan.shapes)
    covariances = list(b)
    information = level_information(stats, at.state)
    for place, (part, A) in enumerate(zip(stats.parts, information, strict=True)):
        t, levels = part.matrix(T), stats.level_order(place)
        modes = part.by_level(at.modes.b)[levels]
        inner = np.eye(part.k) - t.T @ A @ t
        cov = (t @ inner @ t.T)[levels]
        for term in plan.factors[place]:
            own, W = term_columns(plan)[term], stats.transforms[term]
            b[term] = modes[:, own] @ W.T
            covariances[term] = W @ cov[:, own, own] @ W.T
    return tuple(b), tuple(covariances)
