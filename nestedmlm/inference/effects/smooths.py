"""Smooth terms of a fit: effective degrees of freedom, tests, curves with bands.

A smooth is fixed effects (what is not penalised) and random effects with one SD. Given theta, both
have the joint covariance ``sigma^2 C`` of Henderson's equations, which is the Bayesian covariance
of Wahba (1983) and Nychka (1988); bands made of it cover the curve, on average over x, as often as
they say (Marra & Wood 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.special

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_level
from nestedmlm.design.design import Design
from nestedmlm.design.frame.values import Factor, Vector, object_array
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, build_matrix
from nestedmlm.design.matrices.reterms import Curve, ReTerm
from nestedmlm.inference.effects.weighted_chi2 import f_like_tail
from nestedmlm.inference.rows.joint import (
    TermRows,
    design_rows,
    relative_covariances,
    relative_variances,
)
from nestedmlm.inference.rows.residual_precision import Precision, precision
from nestedmlm.inference.rows.residuals import hat_values
from nestedmlm.likelihood.solution import Solution

_WHOLE = 1e-9  # of a rank, below which its fractional part is none
_ROWS_AT_ONCE = 65_536  # of the data, whose covariances with a curve's coefficients are held
_KEPT = 1e-14  # share of the largest eigenvalue of a covariance, above which one counts


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothTest:
    """A smooth term: its size and the test that it is zero.

    Attributes
    ----------
    edf : float
        Effective degrees of freedom: trace of its block of the matrix that turns least-squares
        coefficients into penalised ones; 1 is a straight line.
    ref_df : float
        Degrees of freedom of the test.
    statistic : float
        F; NaN where nothing of the curve is the term's own.
    p_value : float
    """

    edf: float
    ref_df: float
    statistic: float
    p_value: float


def smooth_terms(design: Design) -> tuple[int, ...]:
    """Numbers of the terms that are curves of all data."""
    return tuple(
        t
        for t, term in enumerate(design.terms)
        if term.smooth is not None and design.factors[term.factor].is_whole
    )


def _curve(term: ReTerm) -> Curve:
    assert term.smooth is not None
    return term.smooth


def _rows(design: Design, t: int, Z: FloatArray) -> TermRows:
    """Rows that meet the coefficients of one curve only."""
    nothing = np.full(len(Z), -1, dtype=np.int32)
    return [
        (Z, np.zeros(len(Z), dtype=np.int32)) if i == t
        else (np.zeros((len(Z), len(term.columns))), nothing)
        for i, term in enumerate(design.terms)
    ]  # fmt: skip


def effective_df(solution: Solution, design: Design, t: int) -> float:
    """Effective degrees of freedom of a smooth term, with its straight line.

    Parameters
    ----------
    solution, design : Solution, Design
    t : int
        Number of the term; also of one with a curve for each level of a grouping factor.

    Notes
    -----
    ``trace((X'X + S)^{-1} X'X)`` over its coefficients (Wood 2017, section 6.1.2): each
    unpenalised one counts 1, and v_j with variance tau^2 counts ``1 - C_jj / tau^2``.
    """
    term, tau = design.terms[t], float(solution.T[t][0, 0])
    # a line that other columns already hold is theirs
    lines = float(len(_unpenalised(design, t))) if _curve(term).lines else 0.0
    if tau == 0.0:
        return lines
    levels, q = len(design.factors[term.factor].levels), len(term.columns)
    rows = [
        (np.tile(np.eye(q), (levels, 1)), np.repeat(np.arange(levels, dtype=np.int32), q)) if i == t
        else (np.zeros((levels * q, len(other.columns))), np.full(levels * q, -1, np.int32))
        for i, other in enumerate(design.terms)
    ]  # fmt: skip
    C = relative_variances(solution, None, rows)
    return lines + float(np.sum(1.0 - C / tau**2))


def smooth_test(solution: Solution, design: Design, t: int, df: float) -> SmoothTest:
    """Test that a curve of all data is zero.

    Parameters
    ----------
    solution, design : Solution, Design
    t : int
        Number of the term.
    df : float
        Residual degrees of freedom: rows less the sum of the leverages; infinite where the
        residual variance is known.

    Notes
    -----
    Wood (2013), Biometrika 100(1), 221-228, with the rank-``r`` pseudoinverse of the covariance
    of the curve at the data (rows by the roots of their weights, and whitened), r the sum of
    ``2 F - F F`` over its coefficients: the test of mgcv's ``summary``. Given theta.
    """
    edf = effective_df(solution, design, t)
    X, Z = _unpenalised(design, t), np.eye(len(design.terms[t].columns))
    k0 = X.shape[0]
    unit_X = np.vstack([X, np.zeros((len(Z), design.p))])
    units = (unit_X, _rows(design, t, np.vstack([np.zeros((k0, Z.shape[1])), Z])))
    tau = float(solution.T[t][0, 0])
    V = relative_covariances(solution, units, units) * solution.sigma**2
    K = precision(solution, design)
    C = np.diag(V)[k0:] / solution.sigma**2
    # of a penalised one 2 F - F F is 1 - (C S C S), and CSC = C - C X'KX C
    rank = float(k0)
    if tau > 0.0:
        rank += float(np.sum(1.0 - (C - _squares(solution, design, units, K)[k0:]) / tau**2))
    columns = np.hstack([_data_lines(design, t, X), design.terms[t].X])
    p = np.concatenate([X @ solution.beta, solution.b[t][0]])
    return _wood_test(_whitened(solution, design, columns), p, V, edf, rank, df)


def _whitened(solution: Solution, design: Design, columns: FloatArray) -> FloatArray:
    """Rows whose residuals are independent with one variance."""
    at = solution.stats.residual
    scaled = columns if design.weights is None else np.sqrt(design.weights)[:, None] * columns
    return scaled if at is None else at.model.whiten(at.free, scaled)


def _squares(
    solution: Solution, design: Design, units: tuple[FloatArray, TermRows], K: Precision
) -> FloatArray:
    """Diagonal of ``C [X Z]'K[X Z] C`` at some coefficients."""
    rows, out = design_rows(design), np.zeros(len(units[0]))
    step = design.n if K.blocks else _ROWS_AT_ONCE
    for low in range(0, design.n, step):
        own = slice(low, low + step)
        some = (design.X[own], [(Z[own], codes[own]) for Z, codes in rows])
        C = relative_covariances(solution, some, units)
        out += np.sum(C * K.times(C), axis=0) if K.blocks else K.diagonal[own] @ C**2
    return out


def _wood_test(
    X: FloatArray, p: FloatArray, V: FloatArray, edf: float, rank: float, df: float
) -> SmoothTest:
    R = np.linalg.qr(X, mode="r")
    values, vectors = np.linalg.eigh(R @ V @ R.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    if not values[0] > 0.0:  # its line is other columns', and its curve has no variance
        return SmoothTest(edf=edf, ref_df=0.0, statistic=np.nan, p_value=np.nan)
    g = vectors.T @ (R @ p)
    rank = min(rank, float(np.sum(values > _KEPT * values[0])))
    k, nu = int(rank), rank - int(rank)
    if nu < _WHOLE or k == 0:
        k = max(k, 1)
        statistic = float(np.sum(g[:k] ** 2 / values[:k]))
        tail = f_like_tail(statistic, np.ones(k), df)
        return SmoothTest(edf=edf, ref_df=float(k), statistic=statistic / k, p_value=tail)
    # a pseudoinverse of fractional rank: the last two directions count nu + 1 together, by a 2 x 2
    # weight whose off-diagonal may have either sign; mgcv shows the statistic of one of them
    half = np.sqrt(max(0.5 * nu * (1.0 - nu), 0.0))
    scale = np.diag(values[k - 1 : k + 1] ** -0.5)
    head = float(np.sum(g[: k - 1] ** 2 / values[: k - 1]))
    last = g[k - 1 : k + 1]
    found = []
    for sign in (1.0, -1.0):
        B = scale @ np.array([[1.0, sign * half], [sign * half, nu]]) @ scale
        found.append(head + float(last @ B @ last))
    total = nu + 1.0
    big = 0.5 * (total + np.sqrt(total * (2.0 - total)))
    weights = np.concatenate([np.ones(k - 1), [big, total - big]])
    tail = float(np.mean([f_like_tail(d, weights, df) for d in found]))
    return SmoothTest(edf=edf, ref_df=rank, statistic=float(np.mean(found)) / rank, p_value=tail)


def residual_df(solution: Solution, design: Design) -> float:
    """Rows less the sum of the leverages."""
    return design.n - float(hat_values(solution, design).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveBand:
    """A curve at some values, with its pointwise band.

    Attributes
    ----------
    x, estimate, std_error, conf_low, conf_high : (m,) arrays
    """

    x: FloatArray
    estimate: FloatArray
    std_error: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray


def curve_band(
    solution: Solution,
    design: Design,
    t: int,
    *,
    points: int,
    level: float,
    critical: Callable[[FloatArray], float] | None = None,
) -> CurveBand:
    """A curve of all data over the range of its variable, with its band.

    Parameters
    ----------
    solution, design : Solution, Design
    t : int
        Number of the term.
    points : int
        Evenly spaced values, from the smallest to the largest of the fit.
    level : float
        Of the band.
    critical : callable (correlations) -> float, optional
        Half width of the band in standard errors, from the correlations of its points; by default
        the band is pointwise.

    Notes
    -----
    The curve sums to zero over the data, unless numbers multiply it. Standard errors are those of
    the centred curve, given theta, as mgcv's with ``unconditional = FALSE``.
    """
    check_level(level)
    curve = _curve(design.terms[t])
    x = np.linspace(curve.low, curve.high, points)
    Z = _functions(design, t, x)
    X = _lines(design, curve, x)
    if curve.lines == 1:  # centred
        X = X - _lines(design, curve, np.array([curve.mean]))
    estimate = X @ solution.beta + Z @ solution.b[t][0]
    rows = X, _rows(design, t, Z)
    error = solution.sigma * np.sqrt(relative_variances(solution, *rows))
    width = float(scipy.special.ndtri(0.5 + 0.5 * level))
    if critical is not None:
        cov, size = relative_covariances(solution, rows, rows), error / solution.sigma
        scale = np.where(size > 0.0, size, 1.0)
        width = critical(cov / np.outer(scale, scale))
    half = width * error
    return CurveBand(
        x=x,
        estimate=estimate,
        std_error=error,
        conf_low=estimate - half,
        conf_high=estimate + half,
    )


def _functions(design: Design, t: int, x: FloatArray) -> FloatArray:
    """Penalised functions of a curve at values of its variable."""
    name = design.schema.bars[t].terms.variables[0].name
    out: FloatArray = design.schema.states[name](x)
    return out


def _unpenalised(design: Design, t: int) -> FloatArray:
    """Rows of X that a curve's unpenalised coefficients are: of x at 1, and of `by` at x = 0."""
    curve = _curve(design.terms[t])
    zero, one = _lines(design, curve, np.array([0.0])), _lines(design, curve, np.array([1.0]))
    rows = one - zero if curve.lines == 1 else np.vstack([zero, one - zero])
    return rows[np.abs(rows).max(axis=1) > 0.0]


def _data_lines(design: Design, t: int, rows: FloatArray) -> FloatArray:
    """Columns of the data that a curve's unpenalised coefficients multiply, (n, len(rows))."""
    term = design.terms[t]
    curve = _curve(term)
    own: FloatArray = design.X @ rows.T / np.sum(rows**2, axis=1)
    if curve.lines == 1:  # centred, and of the level's own rows
        own = np.where((term.X != 0.0).any(axis=1)[:, None], own - curve.mean, 0.0)
    return own


def _lines(design: Design, curve: Curve, x: FloatArray) -> FloatArray:
    """Rows of X with the columns of a curve's unpenalised part only, shape (m, p)."""
    spec = design.schema.fixed
    names = [v.name for v in spec.terms.variables]
    own = {curve.x} | ({curve.by} if curve.by is not None else set())
    needed = curve.by if curve.lines == 2 else curve.x
    found = [{names[v] for v in term} for term in spec.terms.terms]
    chosen = [j for j, term in enumerate(found) if needed in term and term <= own]
    part = _only_terms(spec, chosen)
    values: dict[str, Vector] = {curve.x: x}
    if curve.by is not None:
        values[curve.by] = _by_values(spec, names.index(curve.by), curve.level, len(x))
    columns = [j for j, a in enumerate(spec.assign) if a - 1 in chosen]
    full = np.zeros((len(x), len(spec.names)))
    full[:, columns] = build_matrix(part, values, len(x))
    return full[:, list(design.schema.kept)]


def _only_terms(spec: MatrixSpec, chosen: list[int]) -> MatrixSpec:
    columns = [j for j, a in enumerate(spec.assign) if a - 1 in chosen]
    return replace(
        spec,
        terms=replace(
            spec.terms, intercept=False, terms=tuple(spec.terms.terms[j] for j in chosen)
        ),
        full=tuple(spec.full[j] for j in chosen),
        names=tuple(spec.names[j] for j in columns),
        assign=tuple(spec.assign[j] for j in columns),
    )


def _by_values(spec: MatrixSpec, place: int, level: str | None, m: int) -> Vector:
    coding = spec.codings[place]
    if coding.levels is None or level is None:
        return np.ones(m)
    at = coding.labels.index(level)
    level_only = object_array([coding.levels[at]])
    return Factor(codes=np.zeros(m, dtype=np.int32), levels=level_only, kind="category")
