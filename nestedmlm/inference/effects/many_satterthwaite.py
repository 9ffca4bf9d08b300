"""Satterthwaite's method for many responses of a small design, all at once.

The numbers are those of `nestedmlm.inference.effects.satterthwaite`. With one variance they are in
the parameters (tau, log sigma), tau of `nestedmlm.optimum.one_variance`: at an optimum inside they
do not depend on the parametrisation, and on the boundary only sigma counts. With more they are
differences of exact gradients, in the optimizer's parameters and log sigma; a parameter of a
collapsed column moves no covariance, and so adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.effects.identified_inverse import twice_inverse
from nestedmlm.inference.effects.satterthwaite import combined_df, contrast_df
from nestedmlm.inference.variances.directions import SHORTEST
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination.point_sweep import stacks
from nestedmlm.likelihood.elimination.response_points import response_data
from nestedmlm.likelihood.plan import Plan, make_plan, phi_of_theta, term_parameters
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.batch import on_arrays
from nestedmlm.optimum.one_variance import (
    has_one_variance,
    level_sums,
    profiles,
    tau_of_theta,
)
from nestedmlm.optimum.response_objective import ResponseObjective
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.responses import Responses, in_chunks

_DIFFERENCE_STEP = 1e-5  # on both sides, relative to the term's largest parameter
_LEAST_STEP = 1e-8  # in phi, of a term without variance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ManySatterthwaite:
    """Satterthwaite's method at the fits of m responses.

    Attributes
    ----------
    beta : (m, p) array
    cov : (m, p, p) array
        Covariance of the fixed effects, user's columns.
    gradient : (m, v, p, p) array
        Its derivative in the parameters of the covariance and log sigma.
    spread : (m, v, v) array
        Asymptotic covariance of those.
    """

    beta: FloatArray
    cov: FloatArray
    gradient: FloatArray
    spread: FloatArray

    def row_df(self, L: FloatArray) -> FloatArray:
        """Degrees of freedom of rows of contrasts, (m, q).

        Parameters
        ----------
        L : (q, p) or (m, q, p) array
            The same for all responses, or each one's own.
        """
        return contrast_df(self.cov, self.gradient, self.spread, L)

    def p_values(self, L: FloatArray) -> FloatArray:
        """p-values of F tests that all rows of ``L beta`` are zero, (m,).

        Parameters
        ----------
        L : (q, p) array
            Of full rank.
        """
        from scipy.special import fdtrc

        d, P = np.linalg.eigh(L @ self.cov @ L.T)
        rows = np.swapaxes(P, 1, 2) @ L
        F = np.mean(np.einsum("iqa,ia->iq", rows, self.beta) ** 2 / d, axis=1)
        df = [combined_df(nu) for nu in self.row_df(rows)]
        return np.asarray(fdtrc(len(L), df, F))


def serves(design: Design, stats: CrossProducts, theta: FloatArray, *, REML: bool) -> bool:
    """Whether Satterthwaite's method is here for responses to a design.

    Parameters
    ----------
    design, stats : Design, CrossProducts
    theta : (n_theta,) array
        Some point: the data must tell the random effects apart there.
    REML : bool
    """
    if has_one_variance(make_plan(design, stats), stats):
        return True
    if not on_arrays(design, stats):
        return False
    at = results_at(design, theta, REML=REML, stats=stats)
    return not confoundings(design, at, REML=REML)


def many_satterthwaite(
    design: Design, stats: CrossProducts, Y: FloatArray, theta: FloatArray, *, REML: bool
) -> ManySatterthwaite:
    """Prepare Satterthwaite's method at the fits of many responses.

    Parameters
    ----------
    design, stats : Design, CrossProducts
        For which `serves`.
    Y : (n, m) array
    theta : (m, n_theta) array
        The optima.
    REML : bool
    """
    plan = make_plan(design, stats)
    if has_one_variance(plan, stats):
        where, of_chunk = tau_of_theta(theta, plan, stats), _of_one_variance
    else:
        where = np.array([phi_of_theta(row, plan, stats) for row in theta])
        of_chunk = partial(_by_differences, plan)
    parts, at = [], 0
    for chunk in in_chunks(design, stats, Y):
        parts += of_chunk(chunk, where[at : at + chunk.m], REML)
        at += chunk.m
    names = ("beta", "cov", "gradient", "spread")
    return ManySatterthwaite(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _of_one_variance(chunk: Responses, tau: FloatArray, REML: bool) -> list[ManySatterthwaite]:
    stats, Ri = chunk.stats, chunk.stats.R_x_inverse
    at, (df, reml, _) = profiles(level_sums(chunk), tau), degrees(stats, REML)
    sigma = np.sqrt(at.r2 / df)
    cov = (Ri @ at.inverse @ Ri.T) * sigma[:, None, None] ** 2
    moved = (Ri @ at.d_inverse @ Ri.T) * sigma[:, None, None] ** 2
    H = np.empty((len(tau), 2, 2))
    H[:, 0, 0] = at.d2_logdet + reml * at.d2_log_sxx + at.d2_r2 / sigma**2
    H[:, 0, 1] = H[:, 1, 0] = -2.0 * at.d_r2 / sigma**2
    H[:, 1, 1] = 4.0 * at.r2 / sigma**2
    collapsed = 2.0 * np.sqrt(tau) <= SHORTEST  # tau moves the covariance by nothing
    H[collapsed, 0], H[collapsed, :, 0] = 0.0, 0.0
    spread, _ = twice_inverse(H)
    beta = chunk.beta0.T + at.b @ Ri.T
    gradient = np.stack([moved, 2.0 * cov], axis=1)
    return [ManySatterthwaite(beta=beta, cov=cov, gradient=gradient, spread=spread)]


def _by_differences(
    plan: Plan, chunk: Responses, phi: FloatArray, REML: bool
) -> list[ManySatterthwaite]:
    """The method at each response's phi, (m, n_theta), by differences of exact gradients."""
    stats, out = chunk.stats, []
    for lanes in stacks(chunk.m, stats, tables=False):
        own = np.arange(chunk.m)[lanes]
        data, of_criterion = response_data(chunk, own), degrees(stats, REML)
        objective = ResponseObjective(plan=plan, stats=stats, data=data, degrees=of_criterion)
        out.append(_of_objective(objective, phi[lanes], chunk.beta0[:, lanes].T))
    return out


def _of_objective(
    objective: ResponseObjective, phi: FloatArray, beta0: FloatArray
) -> ManySatterthwaite:
    at, moved, stats = objective.at(phi), _derivatives(objective, phi), objective.stats
    m, n = phi.shape
    variance, Ri = at.r2 / objective.degrees.df, stats.R_x_inverse
    H = np.empty((m, n + 1, n + 1))
    H[:, n, :n] = H[:, :n, n] = -2.0 * moved.r2 / variance[:, None]
    H[:, n, n] = 4.0 * objective.degrees.df
    # the gradients are those of the criterion with sigma at its best
    H[:, :n, :n] = moved.gradient + H[:, :n, n, None] * H[:, n, None, :n] / H[:, n, n, None, None]
    scale = variance[:, None, None]
    cov = Ri @ at.inverse @ Ri.T * scale
    of_phi = Ri @ moved.inverse @ Ri.T * scale[:, None]
    return ManySatterthwaite(
        beta=beta0 - at.v[:, :-1] @ Ri.T,
        cov=cov,
        gradient=np.concatenate([of_phi, 2.0 * cov[:, None]], axis=1),
        spread=twice_inverse(H)[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Derivatives:
    """Derivatives in phi: (m, n, n) of gradients, (m, n) of r2, (m, n, p, p) of the inverse."""

    gradient: FloatArray
    r2: FloatArray
    inverse: FloatArray


def _derivatives(objective: ResponseObjective, phi: FloatArray) -> _Derivatives:
    steps, found = _steps(objective.plan, phi), list[tuple[FloatArray, ...]]()
    for k, unit in enumerate(np.eye(phi.shape[1])):
        move, width = steps[:, k, None] * unit, 2.0 * steps[:, k]
        up, down = objective.at(phi + move), objective.at(phi - move)
        pairs = ((up.gradient, down.gradient), (up.r2, down.r2), (up.inverse, down.inverse))
        found.append(tuple(((high - low).T / width).T for high, low in pairs))
    gradient, r2, inverse = (np.stack(each, axis=1) for each in zip(*found, strict=True))
    return _Derivatives(
        gradient=0.5 * (gradient + gradient.transpose(0, 2, 1)), r2=r2, inverse=inverse
    )


def _steps(plan: Plan, phi: FloatArray) -> FloatArray:
    """Steps of differences, (m, n_theta): small beside what a term's parameters are."""
    out = np.empty(phi.shape)
    for own in term_parameters(plan):
        out[:, own] = _DIFFERENCE_STEP * np.abs(phi[:, own]).max(axis=1, keepdims=True)
    return np.maximum(out, _LEAST_STEP)
