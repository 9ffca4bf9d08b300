"""Standard errors and Wald intervals of variance parameters.

Delta method on the scale where the likelihood is most nearly quadratic: log for standard
deviations, atanh for correlations. The Hessian is the observed one, from differences of the exact
gradient. What lies on the boundary is held there and has no standard error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import normal_quantile
from nestedmlm.covariance import STRUCTURES, TermShape, lower_indices, split_parameters
from nestedmlm.covariance.parameters import term_places, theta_of_phi
from nestedmlm.design.design import Design
from nestedmlm.inference.profile.coordinates import Chart, factors_at, free_chart
from nestedmlm.inference.profile.deviance import place_at
from nestedmlm.inference.variances.parameters import (
    ModelParameter,
    model_parameters,
    parameter_values,
    values_at,
)
from nestedmlm.likelihood.solution import Solution
from nestedmlm.optimum.penalty import Penalty, penalty_terms

_STEP = 1e-4
_BOUNDARY = 1e-4  # relative standard deviations and distances to a bound below this are zero


def variance_parameters(
    solution: Solution,
    design: Design,
    *,
    REML: bool,
    level: float = 0.95,
    penalty: Penalty | None = None,
) -> pd.DataFrame:
    """Estimates, standard errors and Wald intervals of SDs, correlations and sigma.

    Parameters
    ----------
    solution : Solution
        The model at the optimum.
    design : Design
    REML : bool
        Which criterion was minimised.
    level : float
        Coverage of the intervals.
    penalty : Penalty, optional
        What the fit was penalised by; its curvature counts.

    Returns
    -------
    DataFrame
        Index: ``sd_Days|Subject`` and so on, the last row ``sigma``. Columns ``kind`` (``sd``,
        ``cor``, ``par``, ``sigma``), ``grp, var1, var2`` (as ``VarCorr.to_frame()`` has them; for
        ``par`` the parameter's name), ``estimate, se, lower, upper``. On the boundary ``se`` and
        the limits are NaN, and ``attrs["messages"]`` says so.

    Notes
    -----
    ``se`` is on the scale of the estimate: ``se = estimate * se(log)`` for standard deviations.
    """
    z = normal_quantile(level)
    chosen = tuple(p for p in model_parameters(design) if p.kind != "beta")
    estimate = parameter_values(chosen, solution)
    se = _standard_errors(chosen, estimate, solution, REML, penalty)
    limits = np.array(
        [_interval(p, e, s, z) for p, e, s in zip(chosen, estimate, se, strict=True)]
    ).reshape(-1, 2)
    rows = [(p.kind, *_labels(p, design)) for p in chosen]
    frame = pd.DataFrame(
        {
            **{
                column: pd.Series(values, dtype=object)
                for column, values in zip(
                    ("kind", "grp", "var1", "var2"), zip(*rows, strict=True), strict=True
                )
            },
            "estimate": estimate,
            "se": se,
            "lower": limits[:, 0],
            "upper": limits[:, 1],
        }
    )
    frame.index = pd.Index([p.name for p in chosen])
    frame.attrs["messages"] = _messages(chosen, se)
    return frame


def _standard_errors(
    chosen: Sequence[ModelParameter],
    estimate: FloatArray,
    solution: Solution,
    REML: bool,
    penalty: Penalty | None,
) -> FloatArray:
    plan, stats = solution.plan, solution.stats
    chart = free_chart(solution)
    z = chart.start
    free = np.flatnonzero(~np.concatenate([[False], _on_boundary(solution, chart)]))

    def gradient(at: FloatArray) -> FloatArray:
        slope = place_at(at, chart, plan, stats, REML=REML).gradient
        if penalty is not None:
            slope[1:] += penalty_terms(at[1:], plan, penalty)[1]
        return slope[free]

    def values(at: FloatArray) -> FloatArray:
        T = factors_at(at, chart)
        factors = [
            W @ T[e].reshape(W.shape)
            for W, e in zip(stats.transforms, term_places(plan), strict=True)
        ]
        theta = theta_of_phi(at[1:], plan, stats)
        return values_at(
            chosen, plan.shapes, theta=theta, T=factors, sigma=np.exp(at[0]), beta=solution.beta
        )

    H = _derivative(gradient, z, free)
    roots, vectors = np.linalg.eigh(0.5 * (H + H.T))
    if roots[0] <= 1e-10 * max(roots[-1], 1e-300):
        return np.full(len(chosen), np.nan)
    slopes = _derivative(values, z, free) @ (vectors / np.sqrt(roots))
    se = np.sqrt(2.0 * np.sum(slopes**2, axis=1))
    se[[_at_end(p, e, solution.sigma) for p, e in zip(chosen, estimate, strict=True)]] = np.nan
    return se


def _derivative(f: object, z: FloatArray, free: np.ndarray) -> FloatArray:
    """Central differences of a vector function in some of its arguments."""
    columns = []
    for at in free:
        step = _STEP * max(1.0, abs(float(z[at])))
        e = np.where(np.arange(len(z)) == at, step, 0.0)
        columns.append((f(z + e) - f(z - e)) / (2.0 * step))  # type: ignore[operator]
    return np.column_stack(columns)


def _on_boundary(solution: Solution, chart: Chart) -> np.ndarray:
    """Which of the optimizer's coordinates stand on the boundary of the covariances."""
    marks = []
    thetas = split_parameters(solution.theta, solution.plan.shapes)
    for shape, piece, theta in zip(solution.plan.shapes, chart.pieces, thetas, strict=True):
        phi = piece.start
        mark = _MARKS.get(shape.structure, _structured_marks)(shape, phi, theta)
        marks.append(mark)
    return np.concatenate(marks)


def _unstructured_marks(shape: TermShape, phi: FloatArray, theta: FloatArray) -> np.ndarray:
    rows, cols = lower_indices(shape.k)
    L = np.zeros((shape.k, shape.k))
    L[rows, cols] = phi
    empty = np.linalg.norm(L, axis=0) < _BOUNDARY * max(1.0, float(np.abs(L).max()))
    out: np.ndarray = empty[cols]
    return out


def _structured_marks(shape: TermShape, phi: FloatArray, theta: FloatArray) -> np.ndarray:
    parameters = STRUCTURES[shape.structure].parameters(shape.k)
    n_sd = len(phi) - len(parameters)
    mark = np.abs(phi) < _BOUNDARY
    absent = bool(mark[:n_sd].all())
    for i, p in enumerate(parameters, start=n_sd):
        near = min(theta[i] - p.lower, p.upper - theta[i]) < _BOUNDARY
        mark[i] = near or absent
    return mark


_MARKS = {"us": _unstructured_marks}


def _at_end(p: ModelParameter, estimate: float, sigma: float) -> bool:
    if p.kind == "sd":
        return bool(estimate <= _BOUNDARY * 1e-4 * sigma)
    room = min(estimate - p.lower, p.upper - estimate)
    return not room > (1e-8 if p.kind in ("cor", "par") else 0.0)


def _interval(p: ModelParameter, estimate: float, se: float, z: float) -> tuple[float, float]:
    """Symmetric on the log scale (one end) or the atanh scale (two ends), mapped back."""
    if not np.isfinite(se):
        return np.nan, np.nan
    if np.isfinite(p.upper):
        half = 0.5 * (p.upper - p.lower)
        unit = (estimate - p.lower) / half - 1.0
        width = z * se / half / (1.0 - unit**2)
        low, high = np.tanh(np.arctanh(unit) + np.array([-width, width]))
        return p.lower + half * (low + 1.0), p.lower + half * (high + 1.0)
    if np.isfinite(p.lower):
        ratio = np.exp(z * se / (estimate - p.lower))
        return p.lower + (estimate - p.lower) / ratio, p.lower + (estimate - p.lower) * ratio
    return estimate - z * se, estimate + z * se


def _labels(p: ModelParameter, design: Design) -> tuple[str, str | None, str | None]:
    if p.kind == "sigma":
        return "Residual", None, None
    term = design.terms[p.term]
    if p.kind == "par":
        return term.name, p.name.rpartition("|")[0], None
    return (
        term.name,
        term.columns[p.j if p.kind == "cor" else p.i],
        (term.columns[p.i] if p.kind == "cor" else None),
    )


def _messages(chosen: Sequence[ModelParameter], se: FloatArray) -> tuple[str, ...]:
    missing = [p.name for p, s in zip(chosen, se, strict=True) if not np.isfinite(s)]
    if not missing:
        return ()
    if len(missing) == len(chosen):
        return ("no standard errors: the Hessian is singular, some parameters are not identified",)
    return (
        f"no standard error for {', '.join(missing)}: on the boundary or undefined there; the "
        "others are computed with these held",
    )
