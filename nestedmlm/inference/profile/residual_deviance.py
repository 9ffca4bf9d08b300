"""The deviance where residuals differ or correlate, in coordinates that hold one parameter.

A point is z: what a linear model has (log sigma, the terms' coordinates), then the residuals' own
coordinates, then a fixed effect that is held. The residuals' free parameters are coordinates of
their own but for an unstructured matrix in which one is held (see `HeldRoot`). The gradient is
the fit's: the elimination's adjoint, contracted with the sums over pairs. Second derivatives are
exact without random effects, else differences of gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.inference.profile.coordinates import Coordinates, Criterion, hold_logarithm
from nestedmlm.inference.profile.deviance import DevianceAt, deviance_at, hessian_at
from nestedmlm.inference.profile.held_root import HeldRoot, partial_coordinates
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.likelihood.elimination.panel_adjoint import panel_adjoint
from nestedmlm.likelihood.plan import phi_of_theta, theta_of_phi
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.optimum.residual_optimum import descend_from
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.pair_sums import ResidualAt

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
    root : HeldRoot or None
        The unstructured matrix in which it is; the free parameters of all else are coordinates.
    to_natural : callable
        From the held coordinate to the parameter as it is reported.
    """

    start: FloatArray
    held: int = -1
    root: HeldRoot | None = None
    to_natural: Callable[[float], float] = float

    def free_at(self, log_sigma: float, x: FloatArray) -> FloatArray:
        """Free parameters."""
        return x if self.root is None else self.root.free_at(log_sigma, x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _InFree:
    """The deviance where the residuals' free parameters are given.

    Attributes
    ----------
    free, gradient : arrays
        Those parameters, and the deviance's gradient in them.
    linear : DevianceAt
        With these parameters held.
    stats : CrossProducts
        With their residuals.
    """

    free: FloatArray
    gradient: FloatArray
    linear: DevianceAt
    stats: CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualDevianceAt:
    """The deviance at one z.

    Attributes
    ----------
    z, gradient : (n,) arrays
    value : float
    in_free : _InFree
        The same in the residuals' free parameters.
    residual : array
        The same as they are reported.
    """

    z: FloatArray
    value: float
    gradient: FloatArray
    in_free: _InFree
    residual: FloatArray

    @property
    def gamma(self) -> FloatArray:
        """Fixed effects in orthonormal columns."""
        return self.in_free.linear.gamma

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
    sd_held = place < k - 1
    ratio = -1 if group == 0 else model.q - len(model.correlations) + group
    root = HeldRoot(
        own=own, k=k, order=order, place=place if sd_held else -1, ratio=ratio,
        unit=1.0 if ratio < 0 else float(model.unit[ratio]),
    )  # fmt: skip
    start = at.free.copy()
    assert model.structure is not None
    start[own] = partial_coordinates(model.structure.matrix(at.free[own], k), order)
    held = own.start + (place if sd_held else k - 1)
    if sd_held:
        start[held] += log_sigma + root.log_scale(at.free)
    to_natural = math.exp if sd_held else math.tanh
    return ResidualCoordinates(start=start, held=held, root=root, to_natural=to_natural)


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
        found = _in_free(z, free, coordinates, residuals)
    gradient = found.linear.gradient.copy()
    if own.root is None:
        gradient[places] = found.gradient
    else:
        moves = own.root.moves(float(z[0]), z[places])
        gradient[0] += found.gradient @ moves[0]
        gradient[places] = moves[1:] @ found.gradient
    return ResidualDevianceAt(
        z=z, value=found.linear.value, gradient=gradient, in_free=found,
        residual=residual_values(residuals, math.exp(z[0]), free),
    )  # fmt: skip


def _in_free(
    z: FloatArray, free: FloatArray, coordinates: Coordinates, residuals: ResidualAt
) -> _InFree:
    stats = residuals.sums.at(free)
    found = deviance_at(z, replace(coordinates, stats=stats))
    at = stats.residual
    assert at is not None
    S_bar = math.exp(-2.0 * z[0]) * np.outer(found.fixed.v, found.fixed.v)
    c_bar = residuals.sums.pull(panel_adjoint(stats, found.state, 1.0, S_bar))
    J, L = at.model.jacobian(free, at.c)
    return _InFree(free=free, gradient=c_bar @ J + L, linear=found, stats=stats)


def _hessian(
    at: ResidualDevianceAt,
    coordinates: Coordinates,
    *,
    residuals: ResidualAt,
    own: ResidualCoordinates,
    places: slice,
) -> FloatArray:
    """Second derivatives: the linear model's, the residuals', and the bend of the coordinates."""
    here = at.in_free
    H = hessian_at(here.linear, replace(coordinates, stats=here.stats))
    if here.stats.parts:
        _fill_by_differences(H, at, coordinates, residuals, places)
    else:
        _fill_exactly(H, here, places)
    if own.root is not None:
        log_sigma, x, rows = float(at.z[0]), at.z[places], [0, *range(places.start, places.stop)]
        moves = np.eye(len(H))
        moves[rows, places] = own.root.moves(log_sigma, x)
        H = moves @ H @ moves.T
        H[np.ix_(rows, rows)] += own.root.bend(log_sigma, x, here.gradient)
    return 0.5 * (H + H.T)


def _fill_by_differences(
    H: FloatArray,
    at: ResidualDevianceAt,
    coordinates: Coordinates,
    residuals: ResidualAt,
    places: slice,
) -> None:
    """Rows of free parameters beside random effects: differences of exact gradients."""
    free = at.in_free.free
    for i, e in zip(range(places.start, places.stop), np.eye(len(free)), strict=True):
        up, down = (
            _in_free(at.z, free + s * _HESSIAN_STEP * e, coordinates, residuals)
            for s in (1.0, -1.0)
        )
        H[i] = (up.linear.gradient - down.linear.gradient) / (2.0 * _HESSIAN_STEP)
        H[i, places] = (up.gradient - down.gradient) / (2.0 * _HESSIAN_STEP)
        H[:, i] = H[i]


def _fill_exactly(H: FloatArray, here: _InFree, places: slice) -> None:
    """Rows of free parameters without random effects, where S is linear in the coefficients."""
    found, at, fixed = here.linear, here.stats.residual, here.linear.fixed
    assert at is not None
    precision = math.exp(-2.0 * found.z[0])
    J, _ = at.model.jacobian(here.free, at.c)
    S_bar = precision * np.outer(fixed.v, fixed.v)
    c_bar = at.sums.pull(panel_adjoint(here.stats, found.state, 1.0, S_bar))
    moved = at.sums.slopes(J) @ fixed.v
    own = at.model.bend(here.free, c_bar, at.c, J)
    H[places, places] = own - 2.0 * precision * (moved @ fixed.inverse @ moved.T)
    H[0, places] = H[places, 0] = -2.0 * c_bar @ J
    if len(H) > places.stop:
        H[-1, places] = H[places, -1] = -2.0 * precision * (moved @ fixed.d_beta)
