"""The deviance at any (beta_j, T, sigma) with its derivatives in any coordinates.

The same sweep and the same adjoint as the criterion that `nestedmlm.optimum` minimises, with sigma
(and one fixed effect) not profiled out but given:

    ML:    log|M| + Q / sigma^2 + n log(2 pi sigma^2) - sum log w
    REML:  log|M| + log|X'V^{-1}X| + Q / sigma^2 + (n - p) log(2 pi sigma^2) - sum log w

with ``Q = r^2 + (d - d_hat)^2 / (c'S_xx^{-1}c)`` where the fixed effect ``c'beta`` is held at d.
The second derivatives are the average information (Gilmour, Thompson & Cullis 1995) plus the
exact part that comes with the gradient, as in `nestedmlm.optimum.curvature`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.coordinates import (
    Coordinates,
    Criterion,
    factors_at,
    jacobian_at,
    second_derivatives_at,
)
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import degrees, profile
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.statistics.parts import twice_products

_LARGEST_LOG_SIGMA = 300.0  # of log sigma


class FactorsAt(Protocol):
    """Factors at a point, with their derivatives and the criterion's in ``T T'``."""

    @property
    def z(self) -> FloatArray:
        """The point."""

    @property
    def T(self) -> FloatArray:
        """Flat factors."""

    @property
    def M(self) -> FloatArray:
        """The criterion's derivative in each ``T_f T_f'``."""

    @property
    def J(self) -> FloatArray:
        """Derivative of T in z."""


class FixedEffectsAt(NamedTuple):
    """Generalised least squares at given factors, with one fixed effect held or none.

    Attributes
    ----------
    Q : float
        The quadratic form that is divided by ``sigma^2``.
    v : (p+1,) array
        ``(-beta, 1)``, scaled columns.
    inverse : (p+1, p+1) array
        ``S_xx^{-1}`` (over the fixed effects that are free), padded.
    d_beta : (p+1,) array
        Derivative of ``-v`` in the held fixed effect; zero where none is held.
    information : float
        ``1 / (c'S_xx^{-1}c)``: what the data tell of the held fixed effect, relative to sigma^2.
    off : float
        Distance of the held fixed effect from its estimate at these factors.
    """

    Q: float
    v: FloatArray
    inverse: FloatArray
    d_beta: FloatArray
    information: float
    off: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DevianceAt:
    """The deviance at one z.

    Attributes
    ----------
    z : (n,) array
    value : float
    gradient : (n,) array
    T, T_bar : flat arrays
        Factors and the derivative of `value` in them.
    M : flat array
        Derivative in each ``T_f T_f'``.
    J : (size, n) array
        Derivative of T in z.
    fixed : FixedEffectsAt
    state : Eliminated
    """

    z: FloatArray
    value: float
    gradient: FloatArray
    T: FloatArray
    T_bar: FloatArray
    M: FloatArray
    J: FloatArray
    fixed: FixedEffectsAt
    state: Eliminated

    @property
    def gamma(self) -> FloatArray:
        """Fixed effects in orthonormal columns."""
        return -self.fixed.v[:-1]

    @property
    def dispersion(self) -> None:
        """A linear model's is its sigma."""
        return None

    @property
    def residual(self) -> None:
        """Its residuals have no parameters but sigma."""
        return None


def deviance_at(z: FloatArray, coordinates: Coordinates, *, REML: bool = False) -> DevianceAt:
    """Evaluate the deviance (``REML=False``) or REML criterion and its gradient.

    A held fixed effect goes with ML only.

    Raises
    ------
    FloatingPointError
        Where z is so far out that numbers overflow.
    """
    with np.errstate(all="ignore"):
        T = factors_at(z, coordinates)
    if not np.all(np.isfinite(T)):
        raise FloatingPointError("the factors have left the range of numbers")
    state = elimination.eliminate(T, coordinates.stats)
    log_sxx, r2, v, inverse = profile(state.S)
    fixed = FixedEffectsAt(r2, v, inverse, np.zeros_like(v), 0.0, 0.0)
    if coordinates.contrast is not None:
        fixed = _with_effect_held(fixed, z[-1], coordinates.contrast, coordinates.beta0)
    df, reml, constant = degrees(coordinates.stats, REML)
    if abs(z[0]) > _LARGEST_LOG_SIGMA:
        raise FloatingPointError("log sigma has left the range of numbers")
    precision = math.exp(-2.0 * z[0])
    S_bar = precision * np.outer(fixed.v, fixed.v) + reml * fixed.inverse
    M = elimination.adjoint(state, 1.0, S_bar)
    T_bar = twice_products(M, T, coordinates.stats.parts)
    J = jacobian_at(z, coordinates)
    if not np.all(np.isfinite(J)):
        raise FloatingPointError("the factors' derivatives have left the range of numbers")
    gradient = T_bar @ J
    gradient[0] += 2.0 * df - 2.0 * precision * fixed.Q
    if coordinates.contrast is not None:
        gradient[-1] += 2.0 * precision * fixed.information * fixed.off
    constant += df * (math.log(df) - 1.0)  # sigma is not profiled
    value = state.logdet + reml * log_sxx + precision * fixed.Q + 2.0 * df * float(z[0]) + constant
    return DevianceAt(
        z=z, value=value, gradient=gradient, T=T, T_bar=T_bar, M=M, J=J, fixed=fixed, state=state
    )


def _with_effect_held(
    free: FixedEffectsAt, value: float, contrast: FloatArray, beta0: float
) -> FixedEffectsAt:
    """Solve for the other fixed effects: least squares under one linear constraint."""
    c = np.append(contrast, 0.0)
    along = free.inverse @ c
    information = 1.0 / float(c @ along)
    off = (value - beta0) + float(c @ free.v)  # v holds -beta
    d_beta = information * along
    return FixedEffectsAt(
        Q=free.Q + information * off**2,
        v=free.v - d_beta * off,
        inverse=free.inverse - information * np.outer(along, along),
        d_beta=d_beta,
        information=information,
        off=off,
    )


@np.errstate(over="ignore", invalid="ignore")  # so far out there is no step
def hessian_at(at: DevianceAt, coordinates: Coordinates) -> FloatArray:
    """Second derivatives of the deviance in z: average information plus what is exact."""
    stats, fixed = coordinates.stats, at.fixed
    precision = math.exp(-2.0 * at.z[0])
    n = len(at.z)
    _, B = elimination.solve(stats, at.state)
    w = B @ fixed.v
    F, exact = covariance_directions(at, w, coordinates)
    BF = B.T @ F
    H = precision * (elimination.gram(stats, at.state, F) - BF.T @ fixed.inverse @ BF)
    H += exact + second_derivatives_at(at.z, coordinates, at.T_bar)
    cross = 2.0 * precision * (F.T @ w)
    unit = (np.arange(n) == 0).astype(float)
    H += np.outer(unit, cross) + np.outer(cross, unit)
    H[0, 0] += 4.0 * precision * fixed.Q
    if coordinates.contrast is not None:
        along = 2.0 * precision * (fixed.d_beta @ BF)
        along[0] -= 2.0 * at.gradient[-1]
        H[-1, :] += along
        H[:, -1] += along
        H[-1, -1] += 2.0 * precision * fixed.information
    return 0.5 * (H + H.T)


def covariance_directions(
    at: FactorsAt, w: FloatArray, coordinates: Coordinates
) -> tuple[FloatArray, FloatArray]:
    """Working variates' coefficients ``dG w`` for each coordinate, and the exact part ``2 M``."""
    n = len(at.z)
    F, exact = np.zeros((n, len(w))), np.zeros((n, n))
    for part in coordinates.stats.parts:
        k, T, M, J = part.k, part.matrix(at.T), part.matrix(at.M), at.J[part.flat]
        own = np.flatnonzero(np.any(J != 0.0, axis=0))
        dT = J[:, own].T.reshape(-1, k, k)
        half = dT @ T.T
        dG = half + half.transpose(0, 2, 1)
        F[own, part.rows] = (part.by_level(w) @ dG).reshape(len(own), -1)
        exact[np.ix_(own, own)] += 2.0 * dT.reshape(-1, k * k) @ (M @ dT).reshape(-1, k * k).T
    return np.ascontiguousarray(F.T), exact


LINEAR = Criterion(at=deviance_at, hessian=hessian_at)
