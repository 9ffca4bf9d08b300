"""Residuals of all types and scalings, leverages, Cook's distance of single rows.

The semantics are those of lme4 (reference/lme4.md, 2.8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.late import late_imports
from nestedmlm.likelihood.solution import Solution

if TYPE_CHECKING:
    from nestedmlm.inference.rows.joint import design_rows, fixed_forms, relative_variances
    from nestedmlm.inference.rows.residual_precision import (
        RowForms,
        precision,
        residual_variances,
        row_forms,
    )
else:  # of standardized residuals only
    globals().update(
        late_imports(
            "nestedmlm.inference.rows",
            {
                "joint": "design_rows fixed_forms relative_variances",
                "residual_precision": "precision residual_variances row_forms",
            },
        )
    )

PLAIN = ("response", "working")
WEIGHTED = ("pearson", "deviance")
NORMALIZED = "normalized"
WHICH = ("conditional", "marginal")
_NONE = 1e-12  # share of a row's variance below which its residual has none


def residuals(
    solution: Solution,
    design: Design,
    type: str = "response",
    *,
    which: str = "conditional",
    scaled: bool = False,
    standardized: bool = False,
) -> FloatArray:
    """Residuals of the rows of the fit, shape (n,).

    Parameters
    ----------
    type : {"response", "working", "pearson", "deviance", "normalized"}
        The last three are multiplied by the square root of the weights. Where residuals differ,
        they are divided by the row's own standard deviation relative to sigma; the last are
        uncorrelated and divided by sigma as well.
    which : {"conditional", "marginal"}
        From ``X beta + Z b`` or from ``X beta``.
    scaled : bool
        Divide by sigma.
    standardized : bool
        Divide by the residual's own standard deviation given theta (internally studentised); NaN
        for rows that the fit goes through whatever their response is.

    Raises
    ------
    OptionError
    """
    _check_type(type, which)
    w = _weights(design)
    e = design.y - (solution.fitted if which == "conditional" else population(solution, design))
    at = solution.stats.residual
    if type == NORMALIZED:
        e = e * np.sqrt(w) / solution.sigma
        return e if at is None else at.model.whiten(at.free, e)
    if standardized:
        variance = _conditional if which == "conditional" else _marginal
        own = variance(solution, design)
        own[own < _NONE * residual_variances(solution, design)] = np.nan
        out: FloatArray = e / (solution.sigma * np.sqrt(own))
        return out
    if type in WEIGHTED:
        e = e * np.sqrt(w)
        if at is not None:
            e = e / at.model.row_sd(at.free)
    return e / solution.sigma if scaled else e


def _check_type(type: str, which: str) -> None:
    if type == "partial":
        raise OptionError(
            "partial residuals are not implemented (nor are they in lme4); add a term's "
            "contribution to residuals() yourself: its columns of model_matrix() times fixef"
        )
    if type not in (*PLAIN, *WEIGHTED, NORMALIZED):
        known = ", ".join((*PLAIN, *WEIGHTED, NORMALIZED))
        raise OptionError(f"type must be one of {known}, not {type!r}")
    if which not in WHICH:
        raise OptionError(f"which must be one of {', '.join(WHICH)}, not {which!r}")


def _weights(design: Design) -> FloatArray:
    return np.ones(design.n) if design.weights is None else design.weights


def population(solution: Solution, design: Design) -> FloatArray:
    """``X beta + offset`` for the rows of the fit."""
    eta: FloatArray = design.X @ solution.beta
    return eta if design.offset is None else eta + design.offset


def _conditional(solution: Solution, design: Design) -> FloatArray:
    """Variance over sigma^2 of ``y - X beta_hat - Z b_hat``."""
    own = residual_variances(solution, design)
    return np.clip(own - relative_variances(solution, design.X, design_rows(design)), 0.0, None)


def _marginal(solution: Solution, design: Design) -> FloatArray:
    """Variance over sigma^2 of ``y - X beta_hat``: ``V_ii - x' S_xx^{-1} x``."""
    out = residual_variances(solution, design)
    for term, T in zip(design.terms, solution.T, strict=True):
        out = out + np.sum((term.X @ T) ** 2, axis=1)
    stats = solution.stats
    if stats.p:
        out = out - fixed_forms(solution, np.linalg.solve(stats.R_x.T, design.X.T).T)
    return np.clip(out, 0.0, None)


def hat_values(solution: Solution, design: Design) -> FloatArray:
    """Diagonal of the matrix that turns y into fitted values, shape (n,)."""
    return row_forms(solution, design).leverage


def standardized_residuals(
    solution: Solution, design: Design, df: float | None = None
) -> FloatArray:
    """Residuals over their SDs, ``sqrt(w) e / (sigma sqrt(1 - h))`` where they do not correlate.

    With `df`, sigma is that of the fit without the row: the penalised sum of squares is smaller by
    ``(K e)_i^2 / (K - K M K)_ii`` then (theta held; ``w e^2 / (1 - h)`` where residuals do not
    correlate), and so are the degrees of freedom `df` by one.
    """
    out = residuals(solution, design, standardized=True)
    if df is None:
        return out
    gone, forms = _deletion(solution, design)
    rest = solution.pwrss - gone**2 * (forms.precision - forms.shared)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = out * solution.sigma / np.sqrt(np.clip(rest, 0.0, None) / (df - 1.0))
    return result


def cooks_distance(solution: Solution, design: Design) -> FloatArray:
    """Cook's distance of each row on all that is fitted, ``s^2 (K M K)_ii / (sigma^2 p)``.

    s is what `_deletion` says; lme4's ``(r / (1 - h))^2 h / (sigma^2 p)``, r Pearson, where
    residuals do not correlate.
    """
    s, forms = _deletion(solution, design)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: FloatArray = s**2 * forms.shared / (solution.sigma**2 * design.p)
    out[np.isinf(out)] = np.nan
    return out


def _deletion(solution: Solution, design: Design) -> tuple[FloatArray, RowForms]:
    """Each response minus what the other rows expect of it, theta held; and the rows' forms."""
    forms = row_forms(solution, design)
    weighed = precision(solution, design).times(design.y - solution.fitted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return weighed / (forms.precision - forms.shared), forms
