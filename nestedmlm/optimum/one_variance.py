"""One variance of random effects: the optima of many responses by Newton's method at once.

With one scalar random-effects term the criterion is a function of one number, the variance tau of
the scaled random effects over that of the residuals (``T = sqrt(tau)``), and of sums over levels:

    S(tau) = F - sum_j tau / (1 + tau l_j) c_j c_j',   log|M| = sum_j log(1 + tau l_j),

with ``l_j = z_j'W z_j`` and ``c_j = z_j'W [X y]``. The first look is at a grid that all responses
share, from zero on, so that what is found is the lowest optimum; then each has Newton steps of its
own, between the neighbours of its best grid point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.plan import SINGULAR, Plan, theta_of_phi
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.responses import Responses

_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1e6, 26)])  # of tau times the mean of l
_MOST_STEPS = 60  # of Newton's method or bisection
_PROMISED = 1e-12  # deviance units that a further step promises at an optimum
_ROUNDING = 1e-12  # share of the criterion that its slope at zero may fall by


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelSums:
    """Sums over the levels of the one grouping factor, of m responses.

    Attributes
    ----------
    zz : (J,) array
        ``z'W z``.
    x : (J, p) array
        ``z'W X``.
    y : (m, J) array
        ``z'W y`` of each response's residuals.
    F_xx : (p, p) array
    F_xy : (m, p) array
    F_yy : (m,) array
    """

    zz: FloatArray
    x: FloatArray
    y: FloatArray
    F_xx: FloatArray
    F_xy: FloatArray
    F_yy: FloatArray

    def of(self, some: npt.NDArray[np.bool_]) -> LevelSums:
        """Those of some responses."""
        return LevelSums(
            zz=self.zz,
            x=self.x,
            y=self.y[some],
            F_xx=self.F_xx,
            F_xy=self.F_xy[some],
            F_yy=self.F_yy[some],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """The parts of the criterion of m responses, each at its own tau, with two derivatives.

    Attributes
    ----------
    logdet, d_logdet, d2_logdet : (m,) arrays
        ``log|M|``.
    log_sxx, d_log_sxx, d2_log_sxx : (m,) arrays
        ``log|S_xx|``.
    r2, d_r2, d2_r2 : (m,) arrays
        The penalised residual sum of squares.
    b : (m, p) array
        Fixed effects in scaled columns.
    inverse, d_inverse : (m, p, p) arrays
        ``S_xx^{-1}`` and its derivative.
    """

    logdet: FloatArray
    d_logdet: FloatArray
    d2_logdet: FloatArray
    log_sxx: FloatArray
    d_log_sxx: FloatArray
    d2_log_sxx: FloatArray
    r2: FloatArray
    d_r2: FloatArray
    d2_r2: FloatArray
    b: FloatArray
    inverse: FloatArray
    d_inverse: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OneVarianceFits:
    """The optima of m responses.

    Attributes
    ----------
    tau : (m,) array
        Relative variance in scaled columns.
    criterion : (m,) array
    converged : (m,) array of bool
    evaluations : (m,) array of int
    at : Profiles
    """

    tau: FloatArray
    criterion: FloatArray
    converged: npt.NDArray[np.bool_]
    evaluations: npt.NDArray[np.int64]
    at: Profiles


def has_one_variance(plan: Plan, stats: CrossProducts) -> bool:
    """Whether a model's covariance is one number, and sigma another that is not known."""
    return (
        plan.n_theta == 1
        and plan.linear
        and plan.widths == (1,)
        and stats.crossed is None
        and stats.sigma is None
        and stats.row_blocks is None
    )


def level_sums(given: Responses) -> LevelSums:
    """Sums over levels of responses to a design with one variance."""
    stats, p = given.stats, given.stats.p
    panel = np.concatenate([block.panel(0)[0] for block in stats.blocks], axis=1)
    return LevelSums(
        zz=panel[0],
        x=np.ascontiguousarray(panel[1 : 1 + p].T),
        y=np.ascontiguousarray(given.sums[0][:, 0]),
        F_xx=stats.F[:p, :p],
        F_xy=np.ascontiguousarray(given.products[:p].T),
        F_yy=given.products[p],
    )


def theta_of_tau(tau: FloatArray, plan: Plan, stats: CrossProducts) -> FloatArray:
    """lme4's theta, (m, 1)."""
    out: FloatArray = np.sqrt(tau)[:, None] * theta_of_phi(np.ones(1), plan, stats)
    return out


def tau_of_theta(theta: FloatArray, plan: Plan, stats: CrossProducts) -> FloatArray:
    """The inverse of `theta_of_tau`."""
    out: FloatArray = (theta[:, 0] / theta_of_phi(np.ones(1), plan, stats)[0]) ** 2
    return out


def is_singular(tau: FloatArray) -> npt.NDArray[np.bool_]:
    """Where the random effects have no variance."""
    return np.sqrt(tau) < SINGULAR


def profiles(sums: LevelSums, tau: FloatArray) -> Profiles:
    """Evaluate each response at its own tau.

    Parameters
    ----------
    sums : LevelSums
    tau : (m,) array
        Not negative.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the fixed effects are collinear.
    """
    zz, x, y, p = sums.zz, sums.x, sums.y, sums.x.shape[1]
    d = 1.0 / (1.0 + tau[:, None] * zz)
    outer = (x[:, :, None] * x[:, None, :]).reshape(len(zz), p * p)

    def products(weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        wy = weights * y
        return (weights @ outer).reshape(len(y), p, p), wy @ x, np.einsum("ij,ij->i", wy, y)

    (xx, xy, yy), (xx1, xy1, yy1), (xx2, xy2, yy2) = (
        products(weights) for weights in (tau[:, None] * d, d**2, 2.0 * zz * d**3)
    )
    S_xx, S_xy = sums.F_xx - xx, sums.F_xy - xy
    inverse = np.linalg.inv(S_xx)
    b = np.einsum("iab,ib->ia", inverse, S_xy)
    toward = np.einsum("iab,ib->ia", xx1, b) - xy1  # S'v among the fixed effects, v = (-b, 1)
    PS = inverse @ -xx1
    return Profiles(
        logdet=np.log1p(tau[:, None] * zz).sum(axis=1),
        d_logdet=d @ zz,
        d2_logdet=-(d**2) @ zz**2,
        log_sxx=np.linalg.slogdet(S_xx)[1],
        d_log_sxx=np.einsum("iaa->i", PS),
        d2_log_sxx=np.einsum("iab,iba->i", inverse, xx2) - np.einsum("iab,iba->i", PS, PS),
        r2=sums.F_yy - yy - np.einsum("ia,ia->i", S_xy, b),
        d_r2=-_squares(xx1, xy1, yy1, b),
        d2_r2=_squares(xx2, xy2, yy2, b) - 2.0 * np.einsum("ia,iab,ib->i", toward, inverse, toward),
        b=b,
        inverse=inverse,
        d_inverse=-PS @ inverse,
    )


def _squares(xx: FloatArray, xy: FloatArray, yy: FloatArray, b: FloatArray) -> FloatArray:
    """``v' [xx xy; yx yy] v`` with ``v = (-b, 1)``."""
    out: FloatArray = yy - 2.0 * np.einsum("ia,ia->i", xy, b)
    return out + np.einsum("ia,iab,ib->i", b, xx, b)


def fit_one_variance(sums: LevelSums, stats: CrossProducts, REML: bool) -> OneVarianceFits:
    """Find the lowest optimum of each response.

    Parameters
    ----------
    sums : LevelSums
    stats : CrossProducts
        Of the design.
    REML : bool

    Returns
    -------
    OneVarianceFits
        Not converged where the criterion cannot be computed, or falls at the end of the grid.
    """
    df, reml, constant = degrees(stats, REML)

    def values(at: Profiles) -> tuple[FloatArray, FloatArray, FloatArray]:
        ratio = at.d_r2 / at.r2
        value = at.logdet + reml * at.log_sxx + df * np.log(at.r2)
        slope = at.d_logdet + reml * at.d_log_sxx + df * ratio
        curvature = at.d2_logdet + reml * at.d2_log_sxx + df * (at.d2_r2 / at.r2 - ratio**2)
        return value, slope, curvature

    with np.errstate(invalid="ignore", divide="ignore"):  # not converged where it cannot be done
        tau, low, high = _best_of_grid(sums, df, reml)
        active, steps = np.ones(len(tau), dtype=bool), np.zeros(len(tau), dtype=np.int64)
        for _ in range(_MOST_STEPS):
            value, slope, curvature = values(profiles(sums.of(active), tau[active]))
            at, step = tau[active], -slope / curvature
            low[active] = np.where(slope < 0.0, at, low[active])
            high[active] = np.where(slope < 0.0, high[active], at)
            inside = (at + step > low[active]) & (at + step < high[active]) & (curvature > 0.0)
            middle = 0.5 * (low[active] + high[active])
            at_zero = (at == 0.0) & (slope >= -_ROUNDING * np.abs(value))
            tau[active] = np.where(at_zero, 0.0, np.where(inside, at + step, middle))
            steps[active] += 1
            done = at_zero | ((curvature > 0.0) & (slope**2 < 2.0 * _PROMISED * curvature))
            active[np.flatnonzero(active)[done | ~np.isfinite(value)]] = False
            if not active.any():
                break
        found = profiles(sums, tau)
        value, slope, curvature = values(found)
        flat = (curvature > 0.0) & (slope**2 < 2.0 * _PROMISED * curvature)
        at_zero = (tau == 0.0) & (slope >= -_ROUNDING * np.abs(value))
    return OneVarianceFits(
        tau=tau,
        criterion=value + constant,
        converged=np.isfinite(value) & (flat | at_zero),
        evaluations=steps + len(_GRID),
        at=found,
    )


def _best_of_grid(
    sums: LevelSums, df: float, reml: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The best point of the grid for each response, and its neighbours."""
    grid = _GRID / sums.zz.mean()
    found = np.empty((len(grid), len(sums.y)))
    for row, tau in zip(found, grid.tolist(), strict=True):
        w = tau / (1.0 + tau * sums.zz)
        S_xx = sums.F_xx - (sums.x.T * w) @ sums.x
        S_xy = sums.F_xy - (sums.y * w) @ sums.x
        b = np.linalg.solve(S_xx, S_xy.T).T
        r2 = sums.F_yy - sums.y**2 @ w - np.einsum("ia,ia->i", S_xy, b)
        row[:] = np.log1p(tau * sums.zz).sum() + df * np.log(r2)
        row += reml * np.linalg.slogdet(S_xx)[1]
    best = np.argmin(np.where(np.isfinite(found), found, np.inf), axis=0)
    last = len(grid) - 1
    return grid[best], grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, last)]
