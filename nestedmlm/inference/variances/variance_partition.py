"""Variance partition: the variance of a row by level, component and predictor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.moments import group_codes, term_means, term_products, term_quantiles
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.icc_r2 import Shares, level_variances, variance_shares
from nestedmlm.likelihood.solution import Solution

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a predictor, where a slope's variance is shown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """The numbers of a variance partition.

    Attributes
    ----------
    levels : DataFrame
        Indexed by grouping factor, then ``Residual``: ``groups`` (number of levels), ``variance``,
        ``sd``, ``share`` of the variance given the predictors, ``to_residual`` (ratio to the
        residual variance), ``correlation`` of two rows that share a level.
    components : DataFrame
        ``group, term, var1, var2, variance, share``: what each variance and covariance adds to
        its level, averaged over the rows; `var2` is None for variances.
    slopes : DataFrame
        ``group, column, quantile, x, variance, sd``: the variance between the groups where the
        random slope's column has the value `x` and the level's other columns are at their means.
        NaN for quantiles that sums in the place of rows do not tell.
    fixed : float
        Variance over the rows of the fixed effects.
    average : bool
        Whether residuals differ or correlate: their variance is the average of the rows', and
        correlations count the average covariance of the residuals of two rows of a group.
    """

    levels: pd.DataFrame
    components: pd.DataFrame
    slopes: pd.DataFrame
    fixed: float
    average: bool = False


def partition_variance(fitted: Fitted) -> Partition:
    """Split the variance given the predictors by level; see `Partition`."""
    solution, design = fitted.solution, fitted.design
    shares = variance_shares(fitted)
    total = shares.random + shares.residual
    return Partition(
        levels=_levels(shares, solution, design, total),
        components=_components(solution, design, total),
        slopes=_slopes(solution, design),
        fixed=shares.fixed,
        average=solution.stats.residual is not None,
    )


def _levels(shares: Shares, solution: Solution, design: Design, total: float) -> pd.DataFrame:
    by_level = level_variances(shares, design)
    variance = np.array([*by_level.values(), shares.residual])
    groups = [float(len(factor.levels)) for factor in design.factors]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variance / shares.residual
    within = _constant_within(design)
    residuals = _shared_by_residuals(solution, design)
    correlation = [
        float((variance[:-1][row].sum() + more) / total)
        for row, more in zip(within, residuals, strict=True)
    ]
    return pd.DataFrame(
        {
            "groups": [*groups, np.nan],
            "variance": variance,
            "sd": np.sqrt(variance),
            "share": variance / total,
            "to_residual": ratio,
            "correlation": [*correlation, np.nan],
        },
        index=pd.Index([*by_level, "Residual"], name="group"),
    )


def _shared_by_residuals(solution: Solution, design: Design) -> FloatArray:
    """Average covariance of the residuals of two rows of a group, for each factor."""
    at, out = solution.stats.residual, np.zeros(len(design.factors))
    if at is None or at.model.structure is None:
        return out
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    for f, codes in enumerate(group_codes(design)):
        sizes = np.bincount(codes).astype(float)
        for rows, R in at.model.matrices(at.free):
            own, scale = codes[rows], 1.0 / root[rows]
            same = (own[:, :, None] == own[:, None, :]) & ~np.eye(rows.shape[1], dtype=bool)
            out[f] += np.einsum("bij,bi,bj->", R * same, scale, scale)
        out[f] /= max(float(sizes @ (sizes - 1.0)), 1.0)
    shared: FloatArray = solution.sigma**2 * out
    return shared


def _constant_within(design: Design) -> np.ndarray:
    """[f, g]: whether rows that share a level of factor f also share one of factor g."""
    F = len(design.factors)
    out = np.eye(F, dtype=bool)
    codes = group_codes(design)
    for f, inner in enumerate(codes):
        first = np.zeros(len(design.factors[f].levels), dtype=np.int64)
        for g, outer in enumerate(codes):
            first[inner] = outer
            out[f, g] = bool(np.all(first[inner] == outer))
    return out


def _components(solution: Solution, design: Design, total: float) -> pd.DataFrame:
    rows: list[tuple[str, str, str, str | None, float]] = []
    for term, T in zip(design.terms, solution.T, strict=True):
        parts = (solution.sigma**2 * (T @ T.T)) * term_products(term)
        k, name = len(term.columns), design.factors[term.factor].name
        for i in range(k):
            rows.append((name, term.name, term.columns[i], None, float(parts[i, i])))
        rows += [
            (name, term.name, term.columns[j], term.columns[i], 2.0 * float(parts[i, j]))
            for j in range(k)
            for i in range(j + 1, k)
            if term.structure.correlated
        ]
    frame = pd.DataFrame(rows, columns=["group", "term", "var1", "var2", "variance"])
    order = {factor.name: f for f, factor in enumerate(design.factors)}
    frame = frame.sort_values("group", key=lambda names: names.map(order), kind="stable")
    frame = frame.reset_index(drop=True)
    frame["var2"] = frame["var2"].astype(object).where(frame["var2"].notna(), None)
    return frame.assign(share=frame["variance"] / total)


def _slopes(solution: Solution, design: Design) -> pd.DataFrame:
    pieces = []
    for f, factor in enumerate(design.factors):
        if all(t.columns == ("(Intercept)",) for t in design.terms if t.factor == f):
            continue
        names, means, cov = _factor_columns(solution, design, f)
        own = [(t, k) for t in design.terms if t.factor == f for k in range(len(t.columns))]
        for j, (name, (term, k)) in enumerate(zip(names, own, strict=True)):
            x = term_quantiles(term, k, QUANTILES)
            if x is None:
                continue  # an intercept: the variance does not depend on it
            at = np.tile(means, (len(x), 1))
            at[:, j] = x
            variance = np.einsum("ri,ij,rj->r", at, cov, at)
            piece = {"group": factor.name, "column": name, "quantile": QUANTILES, "x": x}
            pieces.append(pd.DataFrame({**piece, "variance": variance, "sd": np.sqrt(variance)}))
    if not pieces:
        return pd.DataFrame(columns=["group", "column", "quantile", "x", "variance", "sd"])
    return pd.concat(pieces, ignore_index=True)


def _factor_columns(
    solution: Solution, design: Design, f: int
) -> tuple[list[str], FloatArray, FloatArray]:
    """Names, means and covariance of the columns of all terms of a factor, side by side."""
    own = [(t, T) for t, T in zip(design.terms, solution.T, strict=True) if t.factor == f]
    names = [column for term, _ in own for column in term.columns]
    cov = np.zeros((len(names), len(names)))
    start = 0
    for _, T in own:
        stop = start + len(T)
        cov[start:stop, start:stop] = solution.sigma**2 * (T @ T.T)
        start = stop
    return names, np.hstack([term_means(term) for term, _ in own]), cov
