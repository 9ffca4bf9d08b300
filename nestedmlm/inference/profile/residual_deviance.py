"""The deviance where residuals differ or correlate, in coordinates that hold one parameter.

A point is z: what a linear model has (log sigma, the terms' coordinates), then the residuals' own
coordinates, then a fixed effect that is held. The residuals' free parameters are coordinates of
their own but for an unstructured matrix: logarithms of its standard deviations and inverse
hyperbolic tangents of partial correlations (Lewandowski, Kurowicka & Joe 2009), whose first is the
correlation that is held. The gradient is the fit's: the elimination's adjoint, contracted with the
sums over pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.profile.coordinates import Coordinates, Criterion, hold_logarithm
from nestedmlm.inference.profile.deviance import DevianceAt, deviance_at, hessian_at
from nestedmlm.inference.variances.correlation import correlation_matrix
from nestedmlm.inference.variances.parameters import ModelParameter
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.likelihood.elimination.panel_adjoint import panel_adjoint
from nestedmlm.likelihood.plan import phi_of_theta, theta_of_phi
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.optimum.residual_optimum import descend_from
from nestedmlm.statistics.pair_sums import ResidualAt

_MAP_STEP = 1e-6  # of the derivatives of free parameters in coordinates
_HESSIAN_STEP = 1e-5  # of differences of exact gradients


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualCoordinates:
    """Coordinates of the residuals' parameters, as functions.

    Attributes
    ----------
    start : (n,) array
        At the estimate.
    held : int
        Index of the held one; -1 if it is none of them.
    free_at : callable (log_sigma, x) -> (n,) array
        Free parameters.
    curved : bool
        Whether those are others than the coordinates.
    to_natural : callable
        From the held coordinate to the parameter as it is reported.
    """

    start: FloatArray
    held: int = -1
    free_at: Callable[[float, FloatArray], FloatArray] = lambda _, x: x
    curved: bool = False
    to_natural: Callable[[float], float] = float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualDevianceAt:
    """The deviance at one z.

    Attributes
    ----------
    z, gradient : (n,) arrays
    value : float
    linear : DevianceAt
        With the residuals' parameters held.
    free : array
        Those parameters.
    residual : array
        The same as they are reported.
    """

    z: FloatArray
    value: float
    gradient: FloatArray
    linear: DevianceAt
    free: FloatArray
    residual: FloatArray

    @property
    def gamma(self) -> FloatArray:
        """Fixed effects in orthonormal columns."""
        return self.linear.gamma

    @property
    def dispersion(self) -> None:
        """A linear model's is its sigma."""
        return None


def residual_coordinates(
    parameter: ModelParameter, linear: Coordinates, solution: Solution
) -> Coordinates:
    """Add the residuals' coordinates to those of a model.

    Parameters
    ----------
    parameter : ModelParameter
        What is held.
    linear : Coordinates
        Of the model without them; in which `parameter` is held, unless it is the residuals' own.
    solution : Solution
        The model at the estimate.
    """
    at = solution.stats.residual
    assert at is not None
    own = _own_coordinates(parameter, at, math.log(solution.sigma))
    n = len(linear.start) - (linear.contrast is not None)
    places = slice(n, n + len(own.start))
    start = np.concatenate([linear.start[:n], own.start, linear.start[n:]])
    criterion = Criterion(
        at=partial(_at, residuals=at, own=own, places=places),
        hessian=partial(_hessian, residuals=at, own=own, places=places),
    )
    out = replace(linear, start=start, criterion=criterion)
    if linear.contrast is not None:
        return replace(out, held=len(start) - 1)
    if own.held < 0:
        return out
    return replace(hold_logarithm(out, n + own.held), to_natural=own.to_natural)


def refitted_residuals(
    found: Solution, design: Design, theta: FloatArray, free: FloatArray
) -> Solution:
    """The maximum-likelihood fit from a point that a profile has come to."""
    plan, stats = found.plan, found.stats
    assert stats.residual is not None
    objective = ResidualObjective(plan=plan, sums=stats.residual.sums, REML=False)
    phi = phi_of_theta(theta, plan, stats) if plan.n_theta else theta
    here = descend_from(objective, np.concatenate([phi, free]), Control()).here
    best = theta_of_phi(here.point[: plan.n_theta], plan, here.stats)
    return results_at(design, best, REML=False, stats=here.stats)


def _own_coordinates(
    parameter: ModelParameter, at: ResidualAt, log_sigma: float
) -> ResidualCoordinates:
    if parameter.kind != "residual":
        return ResidualCoordinates(start=at.free)
    model, i = at.model, parameter.i
    structure = model.structure
    if i < model.q or structure is None or not structure.is_root:

        def natural(x: float) -> float:
            free = at.free.copy()
            free[i] = x
            with np.errstate(over="ignore"):
                return float(model.natural(free)[i])

        return ResidualCoordinates(start=at.free, held=i, to_natural=natural)
    k = model.levels
    group, place = divmod(i - model.q, (k - 1) * (k + 2) // 2)
    return _unstructured(at, log_sigma, group, place)


def _unstructured(at: ResidualAt, log_sigma: float, group: int, place: int) -> ResidualCoordinates:
    """Coordinates of one unstructured matrix in which a reported parameter of it is held."""
    model = at.model
    own, k = model.cuts[group], model.levels
    pair = (0, 1)
    if place >= k - 1:
        pair = [(j, i) for j in range(k) for i in range(j + 1, k)][place - (k - 1)]
    order = np.array([*pair, *(v for v in range(k) if v not in pair)], dtype=int)
    ratio = 0 if group == 0 else model.q - len(model.correlations) + group

    def log_scale(x: FloatArray) -> float:
        """Log of the group's standard deviation in the first visit, over sigma."""
        return 0.0 if group == 0 else math.log(float(model.natural(x)[ratio]))

    sd_held = place < k - 1

    def free_at(log_sigma: float, x: FloatArray) -> FloatArray:
        out, mine = x.copy(), x[own].copy()
        if sd_held:
            mine[place] -= log_sigma + log_scale(x)
        out[own] = _root_of(mine, k, order)
        return out

    start = at.free.copy()
    assert model.structure is not None
    start[own] = _coordinates_of(model.structure.matrix(at.free[own], k), order)
    held = own.start + (place if sd_held else k - 1)
    if sd_held:
        start[held] += log_sigma + log_scale(at.free)
    return ResidualCoordinates(
        start=start, held=held, free_at=free_at, curved=True,
        to_natural=math.exp if sd_held else math.tanh,
    )  # fmt: skip


def _coordinates_of(cov: FloatArray, order: np.ndarray) -> FloatArray:
    """Log standard deviations over the first, and the transformed partial correlations."""
    L = np.linalg.cholesky(correlation_matrix(cov)[np.ix_(order, order)])
    rows, columns = np.tril_indices(len(L), -1)
    left = np.sqrt(
        1.0 - np.cumsum(np.square(L), axis=1) + np.square(L)
    )  # what columns before leave
    sd = np.sqrt(np.diag(cov))
    return np.concatenate(
        [np.log(sd[1:] / sd[0]), np.arctanh(L[rows, columns] / left[rows, columns])]
    )


def _root_of(x: FloatArray, k: int, order: np.ndarray) -> FloatArray:
    """The lower triangle of the Cholesky factor, without its first entry."""
    partials, L = np.zeros((k, k)), np.eye(k)
    partials[np.tril_indices(k, -1)] = np.tanh(x[k - 1 :])
    left = np.cumprod(np.sqrt(1.0 - np.square(partials)), axis=1)
    L[:, 0], L[:, 1:] = partials[:, 0], partials[:, 1:] * left[:, :-1]
    L[0, 0] = 1.0
    for i in range(1, k):
        L[i, i] = left[i, i - 1]
    sd, back = np.exp(np.concatenate([[0.0], x[: k - 1]])), np.argsort(order)
    corr = (L @ L.T)[np.ix_(back, back)]
    root = np.linalg.cholesky(sd[:, None] * corr * sd)
    return np.asarray(root[np.tril_indices(k)][1:], dtype=float)


def _at(
    z: FloatArray,
    coordinates: Coordinates,
    *,
    residuals: ResidualAt,
    own: ResidualCoordinates,
    places: slice,
) -> ResidualDevianceAt:
    """Value and gradient.

    Raises
    ------
    numpy.linalg.LinAlgError, FloatingPointError
        Where z is so far out that there is no covariance, or numbers overflow.
    """
    with np.errstate(all="ignore"):
        free = own.free_at(float(z[0]), z[places])
        stats = residuals.sums.at(free)
    found = deviance_at(z, replace(coordinates, stats=stats))
    at = stats.residual
    assert at is not None
    S_bar = math.exp(-2.0 * z[0]) * np.outer(found.fixed.v, found.fixed.v)
    c_bar = residuals.sums.pull(panel_adjoint(stats, found.state, 1.0, S_bar))
    J, L = at.model.jacobian(free, at.c)
    of_free, gradient = c_bar @ J + L, found.gradient.copy()
    if own.curved:
        moves = _moves(own, float(z[0]), z[places])
        gradient[0] += of_free @ moves[0]
        gradient[places] = moves[1:] @ of_free
    else:
        gradient[places] = of_free
    return ResidualDevianceAt(
        z=z, value=found.value, gradient=gradient, linear=found, free=free,
        residual=residual_values(at, math.exp(z[0]), free),
    )  # fmt: skip


def _moves(own: ResidualCoordinates, log_sigma: float, x: FloatArray) -> FloatArray:
    """Derivatives of the free parameters in log sigma and in each coordinate."""
    point = np.append(log_sigma, x)
    out = np.empty((len(point), len(x)))
    for i, e in enumerate(_MAP_STEP * np.eye(len(point))):
        up, down = point + e, point - e
        out[i] = (own.free_at(up[0], up[1:]) - own.free_at(down[0], down[1:])) / (2.0 * _MAP_STEP)
    return out


def _hessian(
    at: ResidualDevianceAt,
    coordinates: Coordinates,
    *,
    residuals: ResidualAt,
    own: ResidualCoordinates,
    places: slice,
) -> FloatArray:
    """Second derivatives: the linear model's, and differences of gradients for the residuals'."""
    stats = residuals.sums.at(at.free)
    H = hessian_at(at.linear, replace(coordinates, stats=stats))
    for i in [*([0] if own.curved else []), *range(places.start, places.stop)]:
        step = np.zeros(len(at.z))
        step[i] = _HESSIAN_STEP
        up, down = (
            _at(at.z + s * step, coordinates, residuals=residuals, own=own, places=places)
            for s in (1.0, -1.0)
        )
        H[i] = H[:, i] = (up.gradient - down.gradient) / (2.0 * _HESSIAN_STEP)
    return 0.5 * (H + H.T)
