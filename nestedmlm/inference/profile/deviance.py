"""The deviance at any (beta_j, T, sigma) with its derivatives in a chart's coordinates.

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

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.profile.coordinates import Chart, bend_at, factors_at, jacobian_at
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import degrees, profile
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.likelihood.plan import Plan
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

_LARGEST = 300.0  # of log sigma


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
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
    Q : float
        The quadratic form that is divided by ``sigma^2``.
    v : (p+1,) array
        ``(-beta, 1)``, scaled columns.
    inverse : (p+1, p+1) array
        ``S_xx^{-1}`` (over the fixed effects that are free), padded.
    tilt : (p+1,) array
        Derivative of ``-v`` in the held fixed effect; zero where none is held.
    stiffness : float
        ``1 / (c'S_xx^{-1}c)`` of the held fixed effect.
    state : Eliminated
    """

    z: FloatArray
    value: float
    gradient: FloatArray
    T: FloatArray
    T_bar: FloatArray
    M: FloatArray
    J: FloatArray
    Q: float
    v: FloatArray
    inverse: FloatArray
    tilt: FloatArray
    stiffness: float
    state: Eliminated


def place_at(
    z: FloatArray, chart: Chart, plan: Plan, stats: CrossProducts, *, REML: bool = False
) -> Place:
    """Evaluate the deviance (``REML=False``) or REML criterion and its gradient.

    A held fixed effect goes with ML only.
    """
    with np.errstate(all="ignore"):
        T = factors_at(z, chart)
    if not np.all(np.isfinite(T)):
        raise FloatingPointError("the factors have left the range of numbers")
    state = elimination.eliminate(T, stats)
    log_sxx, r2, v, inverse = profile(state.S)
    tilt, stiffness, off = np.zeros_like(v), 0.0, 0.0
    if chart.contrast is not None:
        r2, v, inverse, tilt, stiffness, off = _held_effect(z[-1], chart, r2, v, inverse)
    df, reml, constant = degrees(stats, REML)
    if abs(z[0]) > _LARGEST:
        raise FloatingPointError("log sigma has left the range of numbers")
    precision = math.exp(-2.0 * z[0])
    S_bar = precision * np.outer(v, v) + reml * inverse
    M = elimination.adjoint(state, 1.0, S_bar)
    T_bar = twice_products(M, T, stats.parts)
    J = jacobian_at(z, chart)
    if not np.all(np.isfinite(J)):
        raise FloatingPointError("the factors' derivatives have left the range of numbers")
    gradient = T_bar @ J
    gradient[0] += 2.0 * df - 2.0 * precision * r2
    if chart.contrast is not None:
        gradient[-1] += 2.0 * precision * stiffness * off
    constant += df * (math.log(df) - 1.0)  # sigma is not profiled
    value = state.logdet + reml * log_sxx + precision * r2 + 2.0 * df * float(z[0]) + constant
    return Place(
        z=z,
        value=value,
        gradient=gradient,
        T=T,
        T_bar=T_bar,
        M=M,
        J=J,
        Q=r2,
        v=v,
        inverse=inverse,
        tilt=tilt,
        stiffness=stiffness,
        state=state,
    )


def _held_effect(
    d: float, chart: Chart, r2: float, v: FloatArray, inverse: FloatArray
) -> tuple[float, FloatArray, FloatArray, FloatArray, float, float]:
    """Solve for the other fixed effects: least squares under one linear constraint."""
    c = np.append(chart.contrast, 0.0)  # type: ignore[arg-type]
    along = inverse @ c
    stiffness = 1.0 / float(c @ along)
    off = (d - chart.beta0) + float(c @ v)  # v holds -beta
    tilt = stiffness * along
    inner = inverse - stiffness * np.outer(along, along)
    return r2 + stiffness * off**2, v - tilt * off, inner, tilt, stiffness, off


def hessian_at(place: Place, chart: Chart, plan: Plan, stats: CrossProducts) -> FloatArray:
    """Second derivatives in z: average information plus what is exact."""
    precision = math.exp(-2.0 * place.z[0])
    n = len(place.z)
    _, B = elimination.solve(stats, place.state)
    w = B @ place.v
    F, exact = _directions(place, w, stats)
    BF = B.T @ F
    H = precision * (elimination.gram(stats, place.state, F) - BF.T @ place.inverse @ BF)
    H += exact + bend_at(place.z, chart, place.T_bar)
    cross = 2.0 * precision * (F.T @ w)
    unit = (np.arange(n) == 0).astype(float)
    H += np.outer(unit, cross) + np.outer(cross, unit)
    H[0, 0] += 4.0 * precision * place.Q
    if chart.contrast is not None:
        along = 2.0 * precision * (place.tilt @ BF)
        along[0] -= 2.0 * place.gradient[-1]
        H[-1, :] += along
        H[:, -1] += along
        H[-1, -1] += 2.0 * precision * place.stiffness
    return 0.5 * (H + H.T)


def _directions(place: Place, w: FloatArray, stats: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """Working variates' coefficients ``dG w`` for each coordinate, and the exact part ``2 M``."""
    n = len(place.z)
    F, exact = np.zeros((n, len(w))), np.zeros((n, n))
    for part in stats.parts:
        k, T, M, J = part.k, part.matrix(place.T), part.matrix(place.M), place.J[part.flat]
        own = np.flatnonzero(np.any(J != 0.0, axis=0))
        dT = J[:, own].T.reshape(-1, k, k)
        half = dT @ T.T
        dG = half + half.transpose(0, 2, 1)
        F[own, part.rows] = (part.by_level(w) @ dG).reshape(len(own), -1)
        exact[np.ix_(own, own)] += 2.0 * dT.reshape(-1, k * k) @ (M @ dT).reshape(-1, k * k).T
    return np.ascontiguousarray(F.T), exact
