"""Coefficients that a population mean is made of: fixed effects and those of smooth curves.

A curve of all data belongs to the mean, though its penalised coefficients are random effects. Their
covariance with the fixed effects' estimates is a block of the inverse of Henderson's equations, the
Bayesian covariance of Wahba (1983) and Nychka (1988); without random effects it is mgcv's ``Vp``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.matrices.grouping import refuse_curves
from nestedmlm.design.matrices.modelmatrix import build_matrix
from nestedmlm.design.schema import matrix_values
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.ddf import df_method, most_exact_ddf
from nestedmlm.inference.effects.df_methods import by_constant_df, by_satterthwaite
from nestedmlm.inference.effects.df_record import ClusterRobust, DfMethod
from nestedmlm.inference.effects.satterthwaite import Satterthwaite, satterthwaite
from nestedmlm.inference.effects.smooths import residual_df, smooth_terms
from nestedmlm.inference.fitted import Fitted, PooledFitted, once_per_fit
from nestedmlm.inference.rows.joint import TermRows, relative_covariances
from nestedmlm.inference.rows.working_model import working_solution
from nestedmlm.inference.variances.directions import parameter_directions
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.plan import flat_factors
from nestedmlm.likelihood.solution import Solution
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.statistics.crossproducts import CrossProducts

_DIFFERENCE_SHARE = 1e-3  # of a parameter: step of differences, whose error is its 4th power
_LEAST_PARAMETER = 1e-3  # whose own size is a measure of a step


def curve_columns(design: Design, evaluator: Evaluator, m: int) -> FloatArray:
    """Penalised functions of all curves at other rows, (m, q).

    Parameters
    ----------
    design : Design
    evaluator : Evaluator
        Of the rows.
    m : int
        Their number.
    """
    specs = [design.schema.bars[t] for t in smooth_terms(design)]
    values = matrix_values(tuple(specs), evaluator)
    return np.hstack([np.zeros((m, 0)), *(build_matrix(spec, values, m) for spec in specs)])


def mean_coefficients(solution: Any, design: Design) -> FloatArray:
    """Fixed effects, then the penalised coefficients of the curves, (p + q,)."""
    curves = [solution.b[t][0] for t in smooth_terms(design)]
    return np.concatenate([solution.beta, *curves])


def mean_method(
    fitted: Fitted | PooledFitted,
    method: str | None = None,
    vcov: str | ClusterRobust | None = None,
) -> DfMethod:
    """Make a method of degrees of freedom for means: `df_method`, with the curves' coefficients.

    Parameters
    ----------
    fitted : Fitted or PooledFitted
    method : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        By default the most exact that the model has. With curves ``residual`` is rows less the
        sum of the leverages, as in mgcv, and Kenward and Roger's is not there.
    vcov : str or ClusterRobust, optional
        Not with curves.

    Raises
    ------
    OptionError
        For a method that does not apply.
    NotDefinedError
        For curves of pooled fits, each of which has learned other functions, and for a
        cluster-robust covariance beside curves.

    Notes
    -----
    With curves all is given theta, as mgcv's ``vcov(unconditional = FALSE)``; of a generalized
    model it is the working linear model's. Satterthwaite's method differentiates the covariance,
    as SAS does for estimates with random effects.
    """
    if not smooth_terms(fitted.design):
        if method is None and vcov is None:
            method = most_exact_ddf(fitted)
        return df_method(fitted, method, vcov)
    if isinstance(fitted, PooledFitted):
        refuse_curves(fitted.design.factors, "a mean of pooled fits")
    if vcov is not None:
        refuse_curves(fitted.design.factors, "a cluster-robust covariance")
    assert isinstance(fitted, Fitted)
    name = fitted.ddf(method)
    if name not in _METHODS:
        raise OptionError(
            f"ddf={name!r} is not there for means with smooth curves: {', '.join(_METHODS)} are"
        )
    with blas_threads(fitted.solution.stats):
        return _METHODS[name](fitted)


def mean_covariance(fitted: Fitted) -> FloatArray:
    """Covariance of `mean_coefficients` given theta, (p + q, p + q)."""
    solution, design = working_solution(fitted)
    return solution.sigma**2 * _relative(solution, design)


def _relative(solution: Solution, design: Design) -> FloatArray:
    units = _unit_rows(design)
    return relative_covariances(solution, units, units)


def _unit_rows(design: Design) -> tuple[FloatArray, TermRows]:
    """A row for each coefficient, which is that coefficient."""
    curves, at = smooth_terms(design), design.p
    size = at + sum(len(design.terms[t].columns) for t in curves)
    rows: list[Any] = []
    for t, term in enumerate(design.terms):
        k = len(term.columns)
        Z, codes = np.zeros((size, k)), np.full(size, -1, dtype=np.int32)
        if t in curves:
            Z[at : at + k], codes[at : at + k] = np.eye(k), 0
            at += k
        rows.append((Z, codes))
    return np.eye(size)[:, : design.p], rows


@once_per_fit
def curve_satterthwaite(fitted: Fitted) -> Satterthwaite:
    """Satterthwaite's method of all coefficients of a mean.

    Parameters
    ----------
    fitted : Fitted
        A linear model.

    Notes
    -----
    Derivatives of the covariance are differences of the fourth order in the parameters of
    `satterthwaite`: of what touches no curve the degrees of freedom are the same.
    """
    s, known = fitted.solution, satterthwaite(fitted)
    slopes = [_slope(at, x, fitted) for at, x in _moves(fitted)]
    cov = s.sigma**2 * _relative(s, fitted.design)
    gradient = [s.sigma**2 * slope for slope in slopes]
    return replace(known, cov=cov, gradient=np.array([*gradient, 2.0 * cov]))


def _moves(fitted: Fitted) -> list[tuple[Callable[[float], Solution], float]]:
    """For each free parameter: the model where it has another value, and its own."""
    s, phi = fitted.solution, fitted.phi
    _, free = parameter_directions(phi, s.plan)

    def at_theta(k: int, value: float) -> Solution:
        return _moved(s, np.where(np.arange(len(phi)) == k, value, phi), s.stats)

    moves: list[Any] = [(partial(at_theta, int(k)), float(phi[k])) for k in free]
    residual = s.stats.residual
    if residual is None:
        return moves

    def at_residual(k: int, value: float) -> Solution:
        own = np.where(np.arange(len(residual.free)) == k, value, residual.free)
        return _moved(s, phi, residual.sums.at(own))

    return [*moves, *((partial(at_residual, k), float(x)) for k, x in enumerate(residual.free))]


def _moved(solution: Solution, phi: FloatArray, stats: CrossProducts) -> Solution:
    flat = flat_factors(np, phi, solution.plan)
    return replace(solution, stats=stats, state=elimination.eliminate(flat, stats))


def _slope(at: Callable[[float], Solution], x: float, fitted: Fitted) -> FloatArray:
    """Derivative of the relative covariance."""
    h = _DIFFERENCE_SHARE * max(abs(x), _LEAST_PARAMETER)
    far, near, close, off = (
        _relative(at(x + step * h), fitted.design) for step in (-2.0, -1.0, 1.0, 2.0)
    )
    out: FloatArray = (8.0 * (close - near) - (off - far)) / (12.0 * h)
    return out


def _satterthwaite(fitted: Fitted) -> DfMethod:
    beta = mean_coefficients(fitted.solution, fitted.design)
    return by_satterthwaite(curve_satterthwaite(fitted), beta, fitted.solution.sigma)


def _residual(fitted: Fitted) -> DfMethod:
    return _constant(fitted, "residual", residual_df(fitted.solution, fitted.design))


def _constant(fitted: Fitted, name: str, df: float) -> DfMethod:
    return by_constant_df(
        name,
        df,
        beta=mean_coefficients(fitted.solution, fitted.design),
        cov=mean_covariance(fitted),
        sigma=fitted.solution.sigma,
        reference=fitted.reference,
    )


_METHODS: MappingProxyType[str, Callable[[Fitted], DfMethod]] = MappingProxyType(
    {
        "satterthwaite": _satterthwaite,
        "residual": _residual,
        "none": partial(_constant, name="none", df=float("inf")),
    }
)
