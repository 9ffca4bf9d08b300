"""Satterthwaite's method for many responses of a design with one variance, all at once.

The numbers are those of `nestedmlm.inference.effects.satterthwaite`, in the parameters (tau, log
sigma), tau of `nestedmlm.optimum.one_variance`: at an optimum inside they do not depend on the
parametrisation, and on the boundary only sigma counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.effects.identified_inverse import twice_inverse
from nestedmlm.inference.effects.satterthwaite import combined_df, contrast_df
from nestedmlm.inference.variances.directions import SHORTEST
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.optimum.one_variance import level_sums, profiles, tau_of_theta
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.responses import Responses, in_chunks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ManySatterthwaite:
    """Satterthwaite's method at the fits of m responses.

    Attributes
    ----------
    beta : (m, p) array
    cov : (m, p, p) array
        Covariance of the fixed effects, user's columns.
    gradient : (m, 2, p, p) array
        Its derivative in tau and log sigma.
    spread : (m, 2, 2) array
        Asymptotic covariance of these two.
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


def many_satterthwaite(
    design: Design, stats: CrossProducts, Y: FloatArray, theta: FloatArray, *, REML: bool
) -> ManySatterthwaite:
    """Prepare Satterthwaite's method at the fits of many responses.

    Parameters
    ----------
    design, stats : Design, CrossProducts
        With one variance: `nestedmlm.optimum.one_variance.has_one_variance`.
    Y : (n, m) array
    theta : (m, 1) array
        The optima.
    REML : bool
    """
    tau = tau_of_theta(theta, make_plan(design, stats), stats)
    parts, at = [], 0
    for chunk in in_chunks(design, stats, Y):
        parts.append(_of_chunk(chunk, tau[at : at + chunk.m], REML))
        at += chunk.m
    names = ("beta", "cov", "gradient", "spread")
    return ManySatterthwaite(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _of_chunk(chunk: Responses, tau: FloatArray, REML: bool) -> ManySatterthwaite:
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
    return ManySatterthwaite(
        beta=chunk.beta0.T + at.b @ Ri.T,
        cov=cov,
        gradient=np.stack([moved, 2.0 * cov], axis=1),
        spread=spread,
    )
