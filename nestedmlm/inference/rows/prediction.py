"""Predictions with standard errors and intervals, for fitted rows or for new ones.

Everything is given theta: the intervals take the covariance parameters as known, as lme4's
``se.fit`` does, and use normal quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.arguments import check_level
from nestedmlm.design.design import Design, NewDesign
from nestedmlm.errors import DataError, OptionError, ResidualStructureError
from nestedmlm.families import Family, Link
from nestedmlm.inference.resampling.response_distribution import whole_terms
from nestedmlm.inference.rows.joint import relative_variances
from nestedmlm.inference.rows.new_residuals import Forecast, forecast, relative_residual_variance
from nestedmlm.inference.rows.new_response_limits import NewResponses, new_response_limits
from nestedmlm.inference.rows.new_weights import new_weights
from nestedmlm.inference.rows.re_form import Mask, chosen_columns, only_columns
from nestedmlm.likelihood.solution import Solution

TYPES = ("link", "response")
INTERVALS = ("confidence", "prediction")
NEW_LEVELS = ("error", "population", "sample")
NA_ACTIONS = ("pass", "omit", "raise")
_LEVEL = 0.95  # probability inside an interval where no other is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOptions:
    """Options of a prediction: the arguments of `LmerFit.predict`, and the family (None: none).

    `vcov` is the covariance of the fixed effects where it is another than that given theta: that of
    a generalized model, by its Hessian.
    """

    type: str = "link"
    family: Family | None = None
    dispersion: float | None = None
    vcov: FloatArray | None = None
    re_form: Any = None
    new_levels: str = "error"
    se_fit: bool = False
    interval: str | None = None
    level: float = _LEVEL
    seed: int | None = None
    offset: Any = None
    weights: Any = None
    random_only: bool = False
    na_action: str = "pass"
    use_residuals: bool = False

    def check(self, data: Any) -> None:
        """Refuse values that are unknown or contradict each other.

        Raises
        ------
        OptionError
        """
        if self.type == "prediction":
            raise OptionError(
                "type='prediction' is for posteriors, which have draws of new responses; of this "
                "fit write interval='prediction'"
            )
        _one_of("type", self.type, TYPES)
        _one_of("new_levels", self.new_levels, NEW_LEVELS)
        _one_of("interval", self.interval, (None, *INTERVALS))
        if self.use_residuals and (self.se_fit or self.interval == "confidence"):
            raise OptionError(
                "use_residuals=True has prediction intervals, no standard errors of the mean"
            )
        _one_of("na_action", self.na_action, NA_ACTIONS)
        check_level(self.level)
        if self.interval is None and self.level != _LEVEL:
            raise OptionError(
                f"level={self.level} is of an interval, and none is asked for: write "
                "interval='confidence' (of the expected value) or 'prediction' (of a new response)"
            )
        if self.random_only and self.interval == "prediction":
            raise OptionError(
                "interval='prediction' is about new responses, and random_only=True leaves out "
                "the fixed effects; ask for interval='confidence'"
            )
        if self.family is not None and self.interval == "prediction" and self.type == "link":
            raise OptionError(
                "interval='prediction' is about new responses, which are not on the scale of the "
                "link: write type='response' too"
            )
        if self.family is not None and self.random_only and self.type == "response":
            raise OptionError("random effects alone are on the scale of the link: type='link'")
        if data is None and self.offset is not None:
            raise OptionError("offset= belongs to new data; the rows of the fit have their own")


def _one_of(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise OptionError(f"{name}={value!r} is unknown; known: {', '.join(map(str, known))}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictedRows:
    """Rows to predict.

    Attributes
    ----------
    X : (m, p) array
    offset, weights : (m,) array or None
    terms : tuple of ((m, k) array, (m,) codes)
        The chosen columns of each term, the others zero; -1 is an unseen level.
    effects : tuple of (J, k) arrays and their (m,) codes
        Random effects that are added; with drawn ones for unseen levels.
    unknown, left_out : tuple of (m, k) arrays
        Columns whose random effects are those of a group that was not there: of unseen levels,
        and (for prediction intervals) those that `re_form` leaves out.
    residual : (m,) array or float
        Residual variance over sigma^2, without the weights, for prediction intervals.
    """

    X: FloatArray
    offset: FloatArray | None
    weights: FloatArray | None
    terms: tuple[tuple[FloatArray, IntArray], ...]
    effects: tuple[tuple[FloatArray, IntArray], ...]
    unknown: tuple[FloatArray, ...]
    left_out: tuple[FloatArray, ...]
    residual: FloatArray | float = 1.0


def predict(
    solution: Solution,
    design: Design,
    data: Any = None,
    *,
    options: PredictionOptions | None = None,
) -> pd.Series | pd.DataFrame:
    """``X beta + Z b + offset`` for the rows of the fit or of `data`.

    Parameters
    ----------
    solution, design : Solution, Design
    data : table, optional
        New rows; the response is not needed.
    options : PredictionOptions

    Returns
    -------
    Series or DataFrame
        ``prediction``; with standard errors or intervals a DataFrame with ``se``, ``conf_low``,
        ``conf_high`` beside it.

    Raises
    ------
    OptionError, NewLevelsError, ColumnNotFoundError, DataError
    """
    options = options or PredictionOptions()
    options.check(data)
    chosen = chosen_columns(design, options.re_form)
    if options.interval == "prediction":
        whole_terms(design, chosen)
    interval, expected = options.interval == "prediction", None
    if data is None:
        rows = _rows_of_the_fit(solution, design, chosen, options)
        if interval and options.family is None:
            rows = replace(rows, residual=relative_residual_variance(solution, design))
        if options.use_residuals:
            raise OptionError("use_residuals=True is about new rows of known blocks: give newdata")
    else:
        new = _new_design(design, data, chosen, options)
        weights = new_weights(design, data, options.weights) if interval else None
        rows = _rows_of_new_data(solution, design, new, weights, chosen, options)
        if options.use_residuals:
            expected = forecast(solution, design, data, design.y - solution.fitted)
            rows = replace(rows, residual=expected.variance)
        elif interval and options.family is None:
            rows = replace(rows, residual=relative_residual_variance(solution, design, data))
    columns = {"estimate": _mean(solution, rows, options.random_only)}
    if expected is not None:
        columns["estimate"] = columns["estimate"] + expected.expected
        rows = _less_known(rows, design, expected)
    if options.se_fit or options.interval is not None:
        columns |= _uncertainty(solution, rows, columns["estimate"], options)
    if expected is not None:
        columns.pop("std_error", None)  # of the mean alone
    if options.family is not None and options.type == "response":
        columns = _responses(columns, options.family.link, ends=not interval)
    if data is None:
        frame = pd.DataFrame({name: design.align(values) for name, values in columns.items()})
    else:
        frame = pd.DataFrame(columns, index=new.index)
    frame = _missing(frame, options.na_action)
    return frame if len(columns) > 1 else frame["estimate"]


def _less_known(rows: PredictedRows, design: Design, found: Forecast) -> PredictedRows:
    """Rows less what the residuals of their blocks tell: ``x - w'X``, ``z - w'Z``.

    Their joint variance is that of the error which a forecast makes in X beta and Z b.

    Raises
    ------
    ResidualStructureError
        If the rows of a block are in different levels of a random effect.
    """
    X, terms = rows.X.copy(), [(Z.copy(), codes) for Z, codes in rows.terms]
    for r, own, w in found.weights:
        X[r] -= w @ design.X[own]
        for (Z, codes), term in zip(terms, design.terms, strict=True):
            if (design.factors[term.factor].codes[own] != codes[r]).any():
                raise ResidualStructureError(
                    "use_residuals=True is not worked out where the rows of a block are in "
                    f"different levels of {design.factors[term.factor].name}"
                )
            Z[r] -= w @ term.X[own]
    return replace(rows, X=X, terms=tuple(terms))


def _sized(design: Design, f: int, codes: IntArray, Z: FloatArray) -> FloatArray:
    """Rows of Z times the sizes of their levels' effects, where a basis makes these differ."""
    basis = design.factors[f].basis
    if basis is None:
        return Z
    size = np.sqrt(np.einsum("ij,ij->i", basis, basis))
    return Z * np.where(codes >= 0, size[np.maximum(codes, 0)], 1.0)[:, None]


def _rows_of_the_fit(
    solution: Solution, design: Design, chosen: tuple[Mask, ...], options: PredictionOptions
) -> PredictedRows:
    codes = [design.factors[t.factor].codes for t in design.terms]
    parts = [
        (only_columns(t.X, keep), own)
        for t, keep, own in zip(design.terms, chosen, codes, strict=True)
    ]
    return PredictedRows(
        X=design.X,
        offset=design.offset,
        weights=design.weights,
        terms=tuple(parts),
        effects=tuple(zip(solution.b, codes, strict=True)),
        unknown=tuple(np.zeros_like(t.X) for t in design.terms),
        left_out=tuple(
            _sized(design, t.factor, own, only_columns(t.X, ~keep))
            for t, keep, own in zip(design.terms, chosen, codes, strict=True)
        ),
    )


def _new_design(
    design: Design, data: Any, chosen: tuple[Mask, ...], options: PredictionOptions
) -> NewDesign:
    """Columns of new data; those of random effects that do not count need not be there."""
    used = [t for t, keep in enumerate(chosen) if keep.any()]
    return design.new(
        data,
        new_levels="error" if options.new_levels == "error" else "population",
        matrices=range(len(chosen)) if options.interval == "prediction" else used,
        groups=used,
        offset=options.offset,
        fixed=not options.random_only,
    )


def _rows_of_new_data(
    solution: Solution,
    design: Design,
    new: NewDesign,
    weights: FloatArray | None,
    chosen: tuple[Mask, ...],
    options: PredictionOptions,
) -> PredictedRows:
    rng = np.random.default_rng(options.seed)
    drawn = options.new_levels == "sample"
    terms, effects, unknown = [], [], []
    for t, ((X, codes), unseen, keep) in enumerate(zip(new.terms, new.unseen, chosen, strict=True)):
        b, own = solution.b[t], codes
        if drawn and (unseen >= 0).any():
            z = rng.standard_normal((int(unseen.max()) + 1, b.shape[1]))
            own = np.where(unseen >= 0, unseen + len(b), codes)
            b = np.vstack([b, solution.sigma * z @ solution.T[t].T])
        terms.append((only_columns(X, keep), codes))
        effects.append((b, own))
        unknown.append(np.where((unseen >= 0)[:, None] & (not drawn), terms[-1][0], 0.0))
    return PredictedRows(
        X=new.X,
        offset=new.offset,
        weights=weights,
        terms=tuple(terms),
        effects=tuple(effects),
        unknown=tuple(unknown),
        left_out=tuple(
            _sized(design, term.factor, codes, only_columns(X, ~keep))
            for term, (X, codes), keep in zip(design.terms, new.terms, chosen, strict=True)
        ),
    )


def _mean(solution: Solution, rows: PredictedRows, random_only: bool) -> FloatArray:
    out = np.zeros(len(rows.X)) if random_only else rows.X @ solution.beta
    if rows.offset is not None and not random_only:
        out = out + rows.offset
    for (X, _), (b, codes) in zip(rows.terms, rows.effects, strict=True):
        known = codes >= 0
        effect = np.einsum("ij,ij->i", X, b[np.where(known, codes, 0)])
        out = out + np.where(known, effect, 0.0)
    return out


def _uncertainty(
    solution: Solution, rows: PredictedRows, mean: FloatArray, options: PredictionOptions
) -> dict[str, FloatArray]:
    """Standard errors and the ends of the interval."""
    X = None if options.random_only else rows.X
    known = relative_variances(solution, X, rows.terms)
    if X is not None and options.vcov is not None:  # rows without random effects, as `emmeans`
        alone = np.ones(len(X), dtype=bool)
        for Z, codes in rows.terms:
            alone &= (codes < 0) | ~Z.any(axis=1)
        of_means = np.einsum("ij,jk,ik->i", X, options.vcov, X) / solution.sigma**2
        known = np.where(alone, of_means, known)
    spread = relative = known + _between(solution, rows.unknown)
    if options.interval == "prediction":
        both = tuple(a + b for a, b in zip(rows.unknown, rows.left_out, strict=True))
        spread = known + _between(solution, both)
        if options.family is None:
            spread += rows.residual if rows.weights is None else rows.residual / rows.weights
    out = {"std_error": solution.sigma * np.sqrt(relative)}
    if options.interval is not None:
        low, high = _limits(mean, solution.sigma * np.sqrt(spread), rows, options)
        out |= {"conf_low": low, "conf_high": high}
    return out


def _limits(
    mean: FloatArray, sd: FloatArray, rows: PredictedRows, options: PredictionOptions
) -> tuple[FloatArray, FloatArray]:
    """Ends of a normal interval, or of one for a new response of a family."""
    if options.family is None or options.interval == "confidence":
        from scipy.special import ndtri

        half = float(ndtri(0.5 + 0.5 * options.level)) * sd
        return mean - half, mean + half
    new = NewResponses(
        family=options.family, dispersion=options.dispersion, eta=mean, sd=sd,
        weights=np.ones(len(mean)) if rows.weights is None else rows.weights,
    )  # fmt: skip
    return new_response_limits(new, options.level)


def _responses(columns: dict[str, FloatArray], link: Link, *, ends: bool) -> dict[str, FloatArray]:
    """Predictions on the scale of the response: errors by the delta method, `ends` transformed."""
    eta = columns["estimate"]
    out = {"estimate": link.mu(eta)}
    if "std_error" in columns:
        out["std_error"] = np.abs(link.derivatives(eta)[0]) * columns["std_error"]
    if "conf_low" in columns:
        limits = np.array([columns["conf_low"], columns["conf_high"]])
        low, high = np.sort(link.mu(limits), axis=0) if ends else limits
        out |= {"conf_low": low, "conf_high": high}
    return out


def _between(solution: Solution, columns: tuple[FloatArray, ...]) -> FloatArray:
    """Variance over sigma^2 of ``z b`` for groups that were not there."""
    parts = [np.sum((Z @ T) ** 2, axis=1) for Z, T in zip(columns, solution.T, strict=True)]
    out: FloatArray = np.sum(parts, axis=0)
    return out


def _missing(frame: pd.DataFrame, na_action: str) -> pd.DataFrame:
    gone = frame["estimate"].isna()
    if na_action == "pass" or not gone.any():
        return frame
    if na_action == "omit":
        return frame[~gone]
    labels = ", ".join(map(str, frame.index[gone][:10]))
    raise DataError(
        f"missing values in the rows {labels}: fill or drop them, or give na_action='pass' "
        "(missing predictions) or 'omit'"
    )
