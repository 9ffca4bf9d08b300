"""-2 log-likelihood of a generalized model in the coordinates of a profile.

A point is z: log sigma, which is zero and stays there, each term's coordinates as a linear model
has them, the fixed effects, and the logarithm of a dispersion that is estimated. The criterion is
that of the fit (`nestedmlm.optimum.glmm.glmm_objective`): the Laplace approximation or adaptive
quadrature with exact gradients in all of z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import NotDefinedError, OptionError
from nestedmlm.inference.profile.coordinates import (
    Coordinates,
    Criterion,
    factors_at,
    free_coordinates,
    hold_in_term,
    hold_logarithm,
    jacobian_at,
    second_derivatives_at,
)
from nestedmlm.inference.profile.deviance import covariance_directions
from nestedmlm.likelihood import elimination
from nestedmlm.optimum.glmm.glmm_objective import LEAST_CURVATURE, CriterionAt
from nestedmlm.optimum.glmm.solve_glmm import GlmmSolved

_LARGEST_LOG_DISPERSION = 300.0  # of log dispersion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneralizedDevianceAt:
    """-2 log-likelihood at one z.

    Attributes
    ----------
    z : (n,) array
    value : float
    gradient : (n,) array
    T, T_bar, M : flat arrays
        Factors, the derivative of `value` in them and in each ``T_f T_f'``.
    J : (size, n) array
        Derivative of T in z.
    gamma : (p,) array
        Fixed effects in orthonormal columns.
    dispersion : float or None
        Where one is estimated.
    found : CriterionAt
    """

    z: FloatArray
    value: float
    gradient: FloatArray
    T: FloatArray
    T_bar: FloatArray
    M: FloatArray
    J: FloatArray
    gamma: FloatArray
    dispersion: float | None
    found: CriterionAt

    @property
    def residual(self) -> None:
        """There are no residuals with parameters."""
        return None


def check_profiled(solved: GlmmSolved) -> None:
    """Refuse a model that has no maximum to profile around.

    Raises
    ------
    OptionError
        For ``nAGQ=0``, whose fixed effects are at the joint mode.
    NotDefinedError
        Where coefficients are separated: their estimates grow without bound.
    """
    if solved.nAGQ == 0:
        raise OptionError(
            "nAGQ=0 puts the fixed effects at the joint mode, so there is no likelihood of them to "
            "profile: fit with nAGQ=1, or use method='wald' or method='boot'"
        )
    if solved.separated:
        raise NotDefinedError(
            f"there is no maximum to profile around: {', '.join(solved.separated)} grows without "
            "bound (the responses are separated); fit with penalty='normal' and use "
            "method='wald', or leave the coefficient out"
        )


def generalized_coordinates(parameter: ModelParameter, solved: GlmmSolved) -> Coordinates:
    """Coordinates of a generalized model in which `parameter` is one of the entries.

    Parameters
    ----------
    parameter : ModelParameter
    solved : GlmmSolved
        The model at its maximum.

    Returns
    -------
    Coordinates
    """
    solution: Any = solved.solution  # what is written for linear models holds: its sigma is 1
    p, free = solution.stats.p, free_coordinates(solution)
    if parameter.term >= 0:
        free = hold_in_term(free, parameter, solution)
    first = len(free.start)
    gamma = solution.stats.R_x @ solution.beta
    effects = np.eye(p)
    if parameter.kind == "beta":
        effects = effects_with_first(solution.stats.R_x_inverse[parameter.i])
        gamma = np.linalg.solve(effects, gamma)
    parts = [free.start, gamma]
    if solved.model.family.has_dispersion:
        parts.append(np.log([solution.dispersion]))
    start = np.concatenate(parts)
    criterion = Criterion(
        at=partial(_at, solved=solved, first=first, effects=effects),
        hessian=partial(_hessian, solved=solved, first=first, effects=effects),
    )
    out = replace(free, start=start, still=(0,), criterion=criterion)
    if parameter.kind == "dispersion":
        return hold_logarithm(out, len(start) - 1)
    return replace(out, held=first) if parameter.kind == "beta" else out


def effects_with_first(contrast: FloatArray) -> FloatArray:
    """Columns such that ``gamma = E x`` has ``contrast'gamma = x[0]``, the others orthonormal.

    Parameters
    ----------
    contrast : (p,) array

    Returns
    -------
    (p, p) array
    """
    length = float(contrast @ contrast)
    others = np.linalg.qr(contrast[:, None], mode="complete")[0][:, 1:]
    return np.column_stack([contrast / length, others])


def _at(
    z: FloatArray,
    coordinates: Coordinates,
    *,
    solved: GlmmSolved,
    first: int,
    effects: FloatArray,
) -> GeneralizedDevianceAt:
    """Value and gradient.

    Raises
    ------
    FloatingPointError
        Where z is so far out that numbers overflow.
    """
    objective = solved.here._objective
    p, dispersion = len(effects), None
    with np.errstate(all="ignore"):
        T, J = factors_at(z, coordinates), jacobian_at(z, coordinates)
    if not (np.isfinite(T).all() and np.isfinite(J).all()):
        raise FloatingPointError("the factors have left the range of numbers")
    if solved.model.family.has_dispersion:
        if abs(z[-1]) > _LARGEST_LOG_DISPERSION:
            raise FloatingPointError("the dispersion has left the range of numbers")
        dispersion = math.exp(z[-1])
    gamma = effects @ z[first : first + p]
    found = objective.criterion_at(T, gamma, solved.model.family.value_of(dispersion))
    if not math.isfinite(found.value):
        raise FloatingPointError("the likelihood has left the range of numbers")
    gradient = found.of_T @ J
    gradient[first : first + p] = effects.T @ found.slopes.gamma
    if dispersion is not None:
        gradient[-1] = found.slopes.log_dispersion
    return GeneralizedDevianceAt(
        z=z, value=found.value, gradient=gradient, T=T, T_bar=found.of_T, M=found.slopes.M, J=J,
        gamma=gamma, dispersion=dispersion, found=found,
    )  # fmt: skip


def _hessian(
    at: GeneralizedDevianceAt,
    coordinates: Coordinates,
    *,
    solved: GlmmSolved,
    first: int,
    effects: FloatArray,
) -> FloatArray:
    """Second derivatives: average information plus what is exact, as the fit has them."""
    state, stats = at.found.approximation.state, at.found.approximation.stats
    p = len(effects)
    own = slice(first, first + p)
    F, H = covariance_directions(at, at.found.approximation.modes.B, coordinates)
    H += elimination.gram(stats, state, F)
    H += second_derivatives_at(at.z, coordinates, at.T_bar)
    H[own, own] = 2.0 * effects.T @ state.S[:p, :p] @ effects
    if at.dispersion is not None:
        H[-1, -1] = max(abs(at.found.slopes.dispersion_curvature), LEAST_CURVATURE)
    return 0.5 * (H + H.T)
