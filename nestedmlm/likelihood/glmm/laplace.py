"""The Laplace approximation of the likelihood and its exact derivatives.

    L = -2 sum log f(y; eta) + |u|^2 + log|M|,     M = Lambda'Z'WZ Lambda + I

at the conditional modes, with W the expected or the observed information. With P the selected
inverse ``Lambda M^-1 Lambda'``, ``d_i = z_i'P z_i``, ``c = W' d`` and a, B_c the solution for the
right-hand side ``Z'c`` with the observed information (the derivative of the modes),

    M_f = dL / d(T_f T_f') = sum [Z'V^-1Z - BB' + (B_c B' + B B_c') / 2]
    dL / d beta = -2 X'g + X'(c - h Za)

so M_f is symmetric and means what it means for linear models. Tierney & Kadane (1986) for the
approximation; Kristensen et al. (2016), Journal of Statistical Software 70(5), for the implicit
derivative through the modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.families.row_terms import dispersion_rows
from nestedmlm.likelihood.elimination import (
    Eliminated,
    eliminate,
    inverse_on_pattern,
    solve,
)
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.modes import Modes
from nestedmlm.statistics.crossproducts import CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Approximation:
    """An approximate -2 log-likelihood at given parameters.

    Attributes
    ----------
    value : float
    modes : Modes
    stats : CrossProducts
        At the weights of log|M|, with ``[X, working response]`` as right-hand sides, or the
        working response alone.
    state : Eliminated
    """

    value: float
    modes: Modes
    stats: CrossProducts
    state: Eliminated


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slopes:
    """First derivatives of an approximate -2 log-likelihood.

    Attributes
    ----------
    M : flat array
        ``dL / d(T_f T_f')``, symmetric, in the order of elimination.
    gamma : (p,) array
        In the fixed effects, orthonormal columns; zero where they are at the joint mode.
    log_dispersion : float
        0 without a dispersion.
    dispersion_curvature : float
        ``-2 sum`` of the log-density's second derivatives in the logarithm of the dispersion.
    """

    M: FloatArray
    gamma: FloatArray
    log_dispersion: float
    dispersion_curvature: float


class Answer(NamedTuple):
    """The rows' variances ``d = z'P z``, their effect c, the modes' answer ``Za`` and ``B_c``."""

    d: FloatArray
    c: FloatArray
    change: FloatArray
    B_c: FloatArray


def laplace(
    model: GlmmModel, T: FloatArray, modes: Modes, *, effects: bool = True
) -> Approximation:
    """The Laplace approximation at conditional modes.

    Parameters
    ----------
    model : GlmmModel
    T : flat array
    modes : Modes
    effects : bool
        Whether X is among the right-hand sides: first derivatives do without.

    Returns
    -------
    Approximation

    Raises
    ------
    numpy.linalg.LinAlgError
        If the information is not positive definite at the modes.
    """
    weights = modes.rows.h if model.one_information else modes.rows.w
    X = model.products.X
    working = weights * (modes.eta - model.predictor(modes.gamma)) + modes.rows.g
    right, F = working[:, None], None
    if effects:
        right = np.column_stack([X * weights[:, None], working])
        F = np.zeros((right.shape[1],) * 2)
        F[:-1] = X.T @ right
    stats = model.products.at(weights, right, F)
    state = eliminate(T, stats)
    if not math.isfinite(state.logdet):
        raise np.linalg.LinAlgError("the information at the modes is not positive definite")
    value = float(modes.penalised - 2.0 * model.constant + state.logdet)
    return Approximation(value=value, modes=modes, stats=stats, state=state)


def laplace_slopes(
    model: GlmmModel, T: FloatArray, at: Approximation, dispersion: float, *, joint: bool = False
) -> Slopes:
    """Exact first derivatives of the Laplace approximation.

    Parameters
    ----------
    model : GlmmModel
    T : flat array
    at : Approximation
    dispersion : float
    joint : bool
        Whether the fixed effects are at the joint mode, and follow the other parameters.

    Returns
    -------
    Slopes

    Raises
    ------
    numpy.linalg.LinAlgError
        If the observed information is not positive definite at the modes.
    """
    terms = at.modes.rows
    d = model.products.row_forms(inverse_on_pattern(at.stats, at.state))
    c = (terms.h1 if model.one_information else terms.w1) * d
    if model.one_information and not joint:  # the elimination at the modes is that of the answer
        R = model.products.Zt @ c
        B_c = model.solve_other(T, (at.stats, at.state), terms.h, R)
        change = model.products.Z @ model.effects(T, model.spherical(T, B_c))
    else:
        change, B_c = _mode_change(model, T, terms.h, c, joint=joint)
    answer = Answer(d=d, c=c, change=change, B_c=B_c)
    return slopes_of(model, at, answer, dispersion, joint=joint)


def slopes_of(
    model: GlmmModel, at: Approximation, answer: Answer, dispersion: float, *, joint: bool = False
) -> Slopes:
    """Derivatives where the modes' answer is known.

    Parameters
    ----------
    model, at, dispersion, joint
        As of `laplace_slopes`.
    answer : Answer

    Returns
    -------
    Slopes
    """
    X, terms, modes = model.products.X, at.modes.rows, at.modes
    d, c, change, B_c = answer
    M = at.state.info.copy()
    for part in model.parts:
        B, C = part.by_level(modes.B), part.by_level(B_c)
        across = C.T @ B
        part.matrix(M)[...] += 0.5 * (across + across.T) - B.T @ B
    gamma = np.zeros(X.shape[1]) if joint else X.T @ (c - terms.h * change - 2.0 * terms.g)
    slope, curvature = dispersion_slopes(model, modes, dispersion, d, change)
    return Slopes(M=M, gamma=gamma, log_dispersion=slope, dispersion_curvature=curvature)


def dispersion_slopes(
    model: GlmmModel, modes: Modes, dispersion: float, d: FloatArray, change: FloatArray
) -> tuple[float, float]:
    """Derivative in the log dispersion, and its curvature; zeros where there is none.

    Parameters
    ----------
    model : GlmmModel
    modes : Modes
    dispersion : float
    d, change : (n,) arrays
        As in `Answer`.
    """
    if not model.family.has_dispersion:
        return 0.0, 0.0
    own = dispersion_rows(model.family, modes.eta, model.y, model.weights, dispersion)
    weights = own.h if model.one_information else own.w
    slope = float(-2.0 * own.score.sum() + d @ weights + change @ own.g)
    return slope, float(-2.0 * own.curvature.sum())


def _mode_change(
    model: GlmmModel, T: FloatArray, h: FloatArray, c: FloatArray, *, joint: bool
) -> tuple[FloatArray, FloatArray]:
    """``Za`` (with X alpha if joint) and ``B_c``: the modes' answer to a change of the score."""
    products, X = model.products, model.products.X
    if not joint:
        stats = products.at(h, c[:, None])
        found = eliminate(T, stats)
        if not math.isfinite(found.logdet):
            raise np.linalg.LinAlgError("the observed information is not positive definite")
        a, B = solve(stats, found)
        return products.Z @ a[:, 0], B[:, 0]
    right = np.column_stack([X * h[:, None], c])
    F = np.zeros((right.shape[1],) * 2)
    F[:-1] = X.T @ right
    stats = products.at(h, right, F)
    found = eliminate(T, stats)
    if not math.isfinite(found.logdet):
        raise np.linalg.LinAlgError("the observed information is not positive definite")
    alpha = np.linalg.solve(found.S[:-1, :-1], found.S[:-1, -1])
    a, B = solve(stats, found)
    change = X @ alpha + products.Z @ (a[:, -1] - a[:, :-1] @ alpha)
    return change, B[:, -1] - B[:, :-1] @ alpha
