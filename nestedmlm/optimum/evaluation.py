"""The criterion and its derivatives at one phi."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import degrees, profile, residual_part
from nestedmlm.likelihood.elimination import Eliminated, eliminate, factor_adjoint
from nestedmlm.likelihood.plan import Plan, flat_factors, jacobian, linear_map
from nestedmlm.statistics.crossproducts import CrossProducts

_ERROR_GROWTH = 4.0  # of the last digit, at most, on the designs tried


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The criterion and its derivatives at one phi.

    Attributes
    ----------
    phi : (n_theta,) array
    criterion : float
    gradient : (n_theta,) array
        d criterion / d phi.
    T, M : flat arrays
        Relative factors and ``M_f = d criterion / d(T_f T_f')``, in elimination order.
    r2 : float
        Penalised weighted residual sum of squares.
    v : (p+1,) array
        ``(-beta, 1)`` in scaled columns.
    S_inverse : (p+1, p+1) array
        ``S_xx^{-1}``, padded with zeros.
    state : Eliminated
        The elimination's results.
    """

    phi: FloatArray
    criterion: float
    gradient: FloatArray
    T: FloatArray
    M: FloatArray
    r2: float
    v: FloatArray
    S_inverse: FloatArray
    state: Eliminated


def evaluate(phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> Evaluation:
    """Evaluate the criterion, its gradient and what second-order methods need.

    ``criterion = log|M| + reml log|S_xx| + df log r^2`` (``r^2 / sigma^2`` in the place of the last
    where sigma is known), and the elimination pulls the adjoints of
    log|M| and S back to each ``T_f T_f'``: exact also where T is singular.

    Raises
    ------
    numpy.linalg.LinAlgError
        If S_xx is not positive definite to rounding.
    """
    df, reml, constant = degrees(stats, REML)
    T, J = _factors(phi, plan)
    state = eliminate(T, stats)
    log_sxx, r2, v, inverse = profile(state.S)
    rest = residual_part(r2, df, stats.sigma)
    S_bar = reml * inverse + v[:, None] * v * rest.slope
    M, MT = factor_adjoint(T, stats, state, 1.0, S_bar)
    return Evaluation(
        phi=phi,
        criterion=state.logdet + reml * log_sxx + rest.value + constant,
        gradient=J.T @ MT,
        T=T,
        M=M,
        r2=r2,
        v=v,
        S_inverse=inverse,
        state=state,
    )


def _factors(phi: FloatArray, plan: Plan) -> tuple[FloatArray, FloatArray]:
    if plan.linear:
        return linear_map(plan) @ phi, linear_map(plan)
    with np.errstate(all="ignore"):  # a factor that does not exist is refused by the elimination
        return flat_factors(np, phi, plan), jacobian(phi, plan)


def digits_lost(ev: Evaluation, stats: CrossProducts, REML: bool) -> float:
    """Rounding of the criterion where the residual sum of squares is a tiny share of the response.

    The sweeps leave it of the response's squares, whose last digit is then that share larger in
    the logarithm; an elimination from the rows leaves residuals of the response.

    Parameters
    ----------
    ev : Evaluation
    stats : CrossProducts
        What it was made from.
    REML : bool

    Returns
    -------
    float
        Deviance units.
    """
    if not ev.r2 > 0.0:
        return 0.0
    squares, eps = float(stats.F[-1, -1]), float(np.finfo(float).eps)
    left = squares if stats.row_blocks is None else math.sqrt(squares * ev.r2)
    slope = residual_part(ev.r2, degrees(stats, REML).df, stats.sigma).slope
    return _ERROR_GROWTH * eps * left * slope
