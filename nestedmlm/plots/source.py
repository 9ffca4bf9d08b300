"""Numbers of a fit that pictures draw, for either engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.scalar_parameters import Parameter
from nestedmlm.errors import OptionError
from nestedmlm.inference.fitted import require_linear
from nestedmlm.inference.rows.modes import require_effects
from nestedmlm.posterior.standard_residuals import standard_residuals
from nestedmlm.views.protocols import EitherFit, Fit, LikelihoodFit

INTERCEPT = "(Intercept)"
_SEED = 1  # of residuals that are drawn within the jumps of a distribution function


def require_likelihood(fit: EitherFit, what: str) -> LikelihoodFit:
    """Refuse a posterior where a picture is of the likelihood's optimum; return the fit.

    Raises
    ------
    OptionError
    """
    if fit.engine == "posterior":
        raise OptionError(f"{what} belongs to the fit by likelihood: give an LmerFit")
    return fit


def unit_of(fit: Fit) -> float:
    """Residual SD; 1 in a generalized model."""
    likely: Any = fit
    if fit.engine == "posterior":
        return 1.0 if fit.design.family is not None else float(fit.sigma)
    return float(likely.core.scale)


def require_normal(fit: EitherFit, what: str) -> None:
    """Refuse a generalized model where lines and responses are drawn on one scale.

    Raises
    ------
    OptionError
    """
    family = fit.design.family if fit.engine == "posterior" else fit.core.family
    require_linear(family, what)


def named(names: str | Sequence[str] | None, known: Sequence[str], what: str) -> list[str]:
    """Names that are asked for: all where none are, one where it is a str.

    Raises
    ------
    OptionError
        If one is unknown.
    """
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    missing = [str(name) for name in chosen if name not in known]
    if missing:
        raise OptionError(f"no {what} {', '.join(missing)}; there are: {', '.join(known)}")
    return chosen


def named_parameter(names: str | Sequence[str] | None, known: Mapping[str, Parameter]) -> list[str]:
    """The names that `conf_int` has, of parameters asked for by these or by the posterior's own.

    Raises
    ------
    OptionError
        If one is unknown.
    """
    ours = {p.name: name for name, p in known.items()} | {name: name for name in known}
    asked = [names] if isinstance(names, str) else names
    translated = None if asked is None else [ours.get(name, name) for name in asked]
    return named(translated, list(known), "parameter")


def rows_of(fit: Fit) -> tuple[FloatArray, FloatArray]:
    """Fitted values and Pearson residuals in units of sigma, rows used only, shapes (n,).

    Normalized residuals where they differ or correlate; quantile residuals of a generalized model,
    which are standard normal, too.
    """
    fitted = _used(fit, fit.fittedvalues)
    generalized: Any = fit
    if fit.engine == "posterior" and not _is_plain(fit):
        return fitted, standard_residuals(generalized.data, fit.design, seed=_SEED)
    if fit.engine != "posterior" and generalized.core.family is not None:
        return fitted, _used(fit, generalized.residuals("quantile", seed=_SEED))
    if fit.design.residual is not None:
        likely: Any = fit
        return fitted, _used(fit, likely.residuals("normalized"))
    residual = fit.design.y - fitted
    if fit.design.weights is not None:
        residual = residual * np.sqrt(fit.design.weights)
    return fitted, residual / fit.sigma


def _is_plain(fit: Fit) -> bool:
    """Whether responses are normal with equal residual variances."""
    return fit.design.family is None and fit.design.residual is None


def residual_label(fit: Fit) -> str:
    """What the residuals of `rows_of` are called on an axis."""
    likely: Any = fit
    family = fit.design.family if fit.engine == "posterior" else likely.core.family
    generalized = family is not None
    return "quantile residual" if generalized else "residual / σ"


def _used(fit: Fit, values: pd.Series) -> FloatArray:
    found = values.to_numpy(dtype=float)
    out: FloatArray = found[fit.design.kept] if len(found) == len(fit.design.kept) else found
    return out


def grouping(fit: Fit, group: str | None) -> int:
    """Number of a grouping factor; by default the one with the most random effects, then levels.

    Raises
    ------
    OptionError
        If there is no such factor.
    """
    require_effects(fit.design)
    factors = fit.design.factors
    names = [factor.name for factor in factors]
    curves = {term.factor for term in fit.design.terms if term.smooth is not None}
    if group is None:
        width = [-1 if f in curves else 0 for f in range(len(names))]
        for term in fit.design.terms:
            width[term.factor] += len(term.columns) if term.smooth is None else 0
        return max(range(len(names)), key=lambda f: (width[f], -len(factors[f].levels)))
    if group not in names:
        raise OptionError(f"{group!r} is no grouping factor; there are: {', '.join(names)}")
    return names.index(group)


def variable(fit: Fit, x: str | None) -> tuple[str, FloatArray]:
    """Values of a numeric predictor in the rows used, from the columns of the design.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    x : str, optional
        By default the first random slope, else the first numeric fixed effect.

    Raises
    ------
    OptionError
        If there is no such column.
    """
    design = fit.design
    columns = {
        name: np.asarray(values)
        for X, names in [(design.X, design.x_names), *((t.X, t.columns) for t in design.terms)]
        for name, values in zip(names, X.T, strict=True)
        if name != "(Intercept)"
    }
    slopes = [name for t in design.terms for name in t.columns if name in columns]
    if x is None:
        names = [*slopes, *columns]
        if not names:
            raise OptionError("the model has no predictor to put on the x axis")
        x = names[0]
    if x not in columns:
        known = ", ".join(columns) or "none"
        raise OptionError(f"{x!r} is no column of the model; there are: {known}")
    return x, columns[x]


def mode_arrays(fit: EitherFit) -> tuple[FloatArray, ...]:
    """Random effects of each term, shapes (J, k), in the order of ``design.terms``."""
    if fit.engine != "posterior":
        found: tuple[FloatArray, ...] = fit.solution.b
        return found
    design = fit.design
    values = fit.ranef(condvar=False)["estimate"].to_numpy(dtype=float)
    out: list[FloatArray] = [np.zeros((0, 0))] * len(design.terms)
    at = 0
    for f, factor in enumerate(design.factors):  # the order of the rows of `ranef`
        for t, term in enumerate(design.terms):
            if term.factor == f:
                size = len(factor.levels) * len(term.columns)
                out[t] = values[at : at + size].reshape(len(term.columns), -1).T
                at += size
    return tuple(out)


def lines_over(fit: EitherFit, x: str, factor: int) -> tuple[FloatArray, FloatArray]:
    """Population's mean, and mean of the row's group, as x moves; shapes (n,).

    Columns of the fixed effects and random slopes in which x does not appear stay at their mean,
    and so do the random effects of other grouping factors (at zero).
    """
    design = fit.design
    beta = np.asarray(fit.params, dtype=float)
    labels = ("", *design.x_terms)
    moving = [
        name == INTERCEPT or mentions(labels[k], x)
        for name, k in zip(design.x_names, design.x_assign, strict=True)
    ]
    fixed = _held(design.X, moving) @ beta
    if design.offset is not None:
        fixed = fixed + float(np.mean(design.offset))
    own = fixed.copy()
    codes = design.factors[factor].codes
    for term, b in zip(design.terms, mode_arrays(fit), strict=True):
        if term.factor == factor:
            moving = [name == INTERCEPT or mentions(name, x) for name in term.columns]
            own = own + np.einsum("ij,ij->i", _held(term.X, moving), b[codes])
    return fixed, own


def _held(X: FloatArray, moving: list[bool]) -> FloatArray:
    """Columns that move as they are, the others at their mean."""
    out: FloatArray = np.where(moving, X, X.mean(axis=0))
    return out


def mentions(label: str, name: str) -> bool:
    """Whether a name stands in the label of a term as a word."""
    return label == name or re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", label) is not None


def modes(fit: EitherFit, level: float) -> pd.DataFrame:
    """Random effects: ``group, term, level, estimate, std_error, conf_low, conf_high``.

    Those of a posterior are its quantiles; those of a fit are normal ones around the conditional
    mode, given the parameters.
    """
    from scipy.stats import norm

    if fit.engine == "posterior":
        found: pd.DataFrame = fit.ranef(level=level)
        return found
    frame = fit.ranef()
    reach = norm.ppf(0.5 + 0.5 * level) * frame["std_error"]
    return frame.assign(conf_low=frame["estimate"] - reach, conf_high=frame["estimate"] + reach)
