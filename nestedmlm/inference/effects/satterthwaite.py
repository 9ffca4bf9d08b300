"""Satterthwaite's degrees of freedom, as lmerTest has them.

Kuznetsova, Brockhoff & Christensen (2017), Journal of Statistical Software 82(13), section 2.1;
Fai & Cornelius (1996) for several contrasts at a time. lmerTest differentiates numerically in
(theta, sigma); here every derivative is exact, in the optimizer's unbounded parameters and log
sigma. At an interior optimum the result does not depend on the parametrisation.

At the boundary only the free parameters count: a parameter of a collapsed column changes the
covariance of the estimates by nothing (to first order), so it adds nothing to its uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import MemoryLimitError
from nestedmlm.inference.effects.identified_inverse import twice_inverse
from nestedmlm.inference.effects.variance_derivatives import (
    VarianceDerivatives,
    variance_derivatives,
)
from nestedmlm.inference.fitted import Fitted, once_per_fit
from nestedmlm.inference.variances.directions import parameter_directions
from nestedmlm.late import late_imports
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.plan import flat_factors, jacobian
from nestedmlm.likelihood.solution import Solution
from nestedmlm.optimum.penalty import penalty_terms

if TYPE_CHECKING:
    from nestedmlm.inference.effects.residual_movement import covariance_movement
else:  # of residuals that differ or correlate only
    globals().update(
        late_imports("nestedmlm.inference.effects", {"residual_movement": "covariance_movement"})
    )

_DIFFERENCE_STEP = 1e-5  # for second derivatives of T T', which involve no data


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curvature:
    """Second derivatives of the criterion with sigma not profiled, at the optimum.

    Attributes
    ----------
    hessian : (n_free + 1, n_free + 1) array
        Of -2 (restricted) log-likelihood in the free parameters and, last, log sigma.
    free : (n_free,) int array
        Positions of the parameters that move the covariance, among all of phi.
    derivatives : VarianceDerivatives
        Along the free parameters.
    exact : bool
        Or the average of the observed and the expected information.
    """

    hessian: FloatArray
    free: np.ndarray
    derivatives: VarianceDerivatives
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Satterthwaite:
    """Satterthwaite's method at a fit: how uncertain the covariance of the fixed effects is.

    Attributes
    ----------
    cov : (p, p) array
        Covariance of the fixed effects, user's columns.
    gradient : (n_v, p, p) array
        Its derivative in the free parameters and log sigma.
    spread : (n_v, n_v) array
        Asymptotic covariance of those parameters, ``2 H^{-1}``.
    notes : tuple of str
        What was left out.
    """

    cov: FloatArray
    gradient: FloatArray
    spread: FloatArray
    notes: tuple[str, ...]


@once_per_fit
def curvature_at(fitted: Fitted) -> Curvature:
    """Second derivatives of the criterion of a linear model with lme4's residuals.

    Parameters
    ----------
    fitted : Fitted
        A penalised fit has the penalised criterion's.

    Notes
    -----
    The average of the observed and the expected information for an iterative fit, and where the
    exact second derivatives of crossed factors would not fit in memory.
    """
    phi, exact = fitted.phi, fitted.solution.stats.sparse is None
    directions, free = parameter_directions(phi, fitted.solution.plan)
    try:
        found = variance_derivatives(fitted, directions, traces=exact)
    except MemoryLimitError:
        exact = False
        found = variance_derivatives(fitted, directions, traces=False)
    return Curvature(
        hessian=_hessian(fitted, found, phi, free, exact=exact),
        free=free,
        derivatives=found,
        exact=exact,
    )


@once_per_fit
def satterthwaite(fitted: Fitted) -> Satterthwaite:
    """Prepare Satterthwaite's method at a fit.

    Parameters
    ----------
    fitted : Fitted
        By REML or maximum likelihood; a penalised fit uses the penalised criterion's Hessian.

    Notes
    -----
    Per evaluation about the cost of one step of the optimizer. Where residuals differ or correlate,
    their parameters are among those that count.
    """
    if fitted.solution.stats.residual is not None:
        return _with_residuals(fitted)
    s, curvature = fitted.solution, curvature_at(fitted)
    H, found = curvature.hessian, curvature.derivatives
    size = np.append(np.diag(found.tr_dV_dV), 0.0)
    kept = len(H) if s.stats.sigma is None else len(H) - 1
    spread, flat = twice_inverse(H[:kept, :kept], size[:kept])
    if s.stats.sigma is not None:  # nothing of sigma is uncertain
        spread = np.pad(spread, (0, 1))
    Ri = s.stats.R_x_inverse
    moved = Ri @ (found.Phi @ found.X_dV_X @ found.Phi) @ Ri.T * s.sigma**2
    gradient = np.concatenate([moved, 2.0 * s.vcov[None]])
    left_out, known = s.plan.n_theta - len(curvature.free), s.stats.sigma is not None
    return Satterthwaite(
        cov=s.vcov,
        gradient=gradient,
        spread=spread,
        notes=(
            *_notes(left_out, flat, s.plan.n_theta, known=known),
            *(() if curvature.exact else (_average(s),)),
        ),
    )


def _with_residuals(fitted: Fitted) -> Satterthwaite:
    s, moved = fitted.solution, covariance_movement(fitted)
    Ri, Phi, p = s.stats.R_x_inverse, moved.Phi, s.stats.p
    gradient = -(Ri @ (Phi @ moved.S_dot[:, :p, :p] @ Phi) @ Ri.T) * s.sigma**2
    return Satterthwaite(
        cov=s.vcov,
        gradient=np.concatenate([gradient, 2.0 * s.vcov[None]]),
        spread=moved.spread,
        notes=_notes(moved.left_out, moved.flat, s.plan.n_theta),
    )


def row_df(method: Satterthwaite, L: FloatArray) -> FloatArray:
    """Degrees of freedom of each row of L: ``2 (l'Cl)^2 / (g'Ag)``."""
    return contrast_df(method.cov, method.gradient, method.spread, L)


def contrast_df(
    cov: FloatArray, gradient: FloatArray, spread: FloatArray, L: FloatArray
) -> FloatArray:
    """`row_df` from the method's arrays, of one fit or (axes in front) of many."""
    variance = np.einsum("...mi,...ij,...mj->...m", L, cov, L)
    g = np.einsum("...mi,...vij,...mj->...mv", L, gradient, L)
    noise = np.einsum("...mv,...vw,...mw->...m", g, spread, g)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2.0 * variance**2 / noise)


def combined_df(nu: FloatArray, tol: float = 1e-8) -> float:
    """Denominator of an F test from those of its independent parts (Fai & Cornelius)."""
    if np.all(np.abs(np.diff(nu)) < tol):
        return float(np.mean(nu))
    if np.any(nu <= 2.0):
        return 2.0
    E = float(np.sum(nu / (nu - 2.0)))
    return 2.0 * E / (E - len(nu))


def _hessian(
    fitted: Fitted, found: VarianceDerivatives, phi: FloatArray, free: np.ndarray, *, exact: bool
) -> FloatArray:
    """Second derivatives of -2 (restricted) log-likelihood in (free parameters, log sigma)."""
    s = fitted.solution
    reml = fitted.REML and s.stats.p > 0
    n_d = len(free)
    H = np.empty((n_d + 1, n_d + 1))
    if exact:
        H[:n_d, :n_d] = found.d2_rss / s.sigma**2 - found.tr_dV_dV
    else:  # average information: the mean of the observed and the expected
        H[:n_d, :n_d] = 0.5 * found.d2_rss / s.sigma**2
    if reml and exact:
        H[:n_d, :n_d] += 2.0 * found.tr_Phi_Q
        half = found.Phi @ found.X_dV_X
        H[:n_d, :n_d] -= np.einsum("rij,sji->rs", half, half)
    H[:n_d, :n_d] += _curvature_of_covariance(fitted, phi, reml)[np.ix_(free, free)]
    H[n_d, :n_d] = H[:n_d, n_d] = -2.0 * found.d_rss / s.sigma**2
    H[n_d, n_d] = 4.0 * s.pwrss / s.sigma**2
    if fitted.penalty is not None:
        curvature = penalty_terms(phi, s.plan, fitted.penalty).curvature
        H[np.arange(n_d), np.arange(n_d)] += curvature[free]
    return H


def _curvature_of_covariance(fitted: Fitted, phi: FloatArray, reml: bool) -> FloatArray:
    """``<d criterion / d(T T'), d^2 (T T') / d phi^2>``: exact where T is linear in phi."""
    s = fitted.solution
    _, _, v, inverse = profile(s.state.S)
    S_bar = np.outer(v, v) / s.sigma**2 + (inverse if reml else 0.0)
    M = elimination.adjoint(s.state, 1.0, S_bar)

    def gradient_at(at: FloatArray) -> FloatArray:
        T_at, J = flat_factors(np, at, s.plan), jacobian(at, s.plan)
        out = np.zeros(len(at))
        for part in s.stats.parts:
            MT = part.matrix(M) @ part.matrix(T_at)
            out += 2.0 * J[part.flat].T @ MT.ravel()
        return out

    if s.plan.linear:  # the gradient is linear in phi
        columns = [gradient_at(e) for e in np.eye(len(phi))]
    else:
        h = _DIFFERENCE_STEP
        moved = [(gradient_at(phi + h * e), gradient_at(phi - h * e)) for e in np.eye(len(phi))]
        columns = [(up - down) / (2 * h) for up, down in moved]
    out = np.column_stack(columns)
    return np.asarray(0.5 * (out + out.T))


def _average(solution: Solution) -> str:
    reason = "iterative fit" if solution.stats.sparse is not None else "memory"
    return f"Satterthwaite's method by average information ({reason})"


def _notes(collapsed: int, flat: int, total: int, *, known: bool = False) -> tuple[str, ...]:
    notes = []
    if collapsed:
        notes.append(
            f"free parameters in Satterthwaite's method: {'' if known else 'sigma and '}"
            f"{total - collapsed} of {total} in theta"
        )
    if flat:
        notes.append(
            f"Satterthwaite's method is without {flat} direction(s) of theta that the data do not "
            "identify"
        )
    return tuple(notes)
