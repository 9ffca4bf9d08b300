"""`emmeans` and `emtrends`: marginal means and slopes of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.data_of import predictors_of
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.imputation.pooled_fit import PooledFit
from nestedmlm.fits.means.comparisons import shown_with
from nestedmlm.fits.means.marginal_means import Emmeans
from nestedmlm.fits.means.regridded import OF_A_MEAN, OF_A_SLOPE
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call, strip_groups
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.effects.ddf import DfMethod
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.means.averaging import Cells, labels_of, marginal_cells
from nestedmlm.inference.means.predictors import covariate_range
from nestedmlm.inference.means.reference_grid import Grid, estimable, reference_grid, shifted
from nestedmlm.inference.means.response_scale import TYPES, response_scale
from nestedmlm.inference.means.simultaneous import split_rows
from nestedmlm.posterior.draws import mean_draws
from nestedmlm.posterior.icc_r2 import row_sd_draws
from nestedmlm.posterior.linear_functions import CoefficientDraws

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.lmer_fit import LmerFit

_STEP_SHARE_OF_RANGE = 1e-3  # of a covariate's range: half the distance over which a slope is taken
_INTERACTION = "NOTE: Results may be misleading due to involvement in interactions"


def emmeans(
    fit: LmerFit | BayesFit | PooledFit,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: str = "equal",
    type: str = "link",
    offset: float | None = None,
    ddf: str | None = None,
    level: float = 0.95,
    vcov: str | ClusterRobust | None = None,
    infer: bool | Sequence[bool] | None = None,
) -> Emmeans:
    """Estimate marginal means: what the model predicts for each level, averaged over the rest.

    Parameters
    ----------
    fit : LmerFit, GlmerFit, BayesFit or PooledFit
        Of a posterior, the draws of the means (nothing is adjusted, there are no degrees of
        freedom). Of a pooled one the grid is that of the first data set, as in R.
    specs : str or sequence of str
        The predictors whose levels (or combinations of levels) get a mean: ``"recipe"``,
        ``["recipe", "temperature"]``, or as in R ``"~ recipe | temperature"``. ``"1"`` is the
        mean of all.
    by : str or sequence of str, optional
        Predictors within whose levels the means are shown and compared.
    at : mapping of str to value or sequence, optional
        Reference values. By default factors have all their levels, numeric predictors their mean
        over the rows of the fit, and those with two values both.
    weights : {"equal", "proportional", "outer", "cells", "flat"}
        How the levels that are averaged over count; see
        `nestedmlm.inference.means.averaging.marginal_cells`.
    type : {"link", "response"}
        Of a generalized model: means on the scale of the link, or back-transformed
        (probabilities, rates); contrasts of these are odds ratios and rate ratios.
    offset : float, optional
        On the link scale, of every mean, in the place of the model's at the reference grid: of a
        count with ``offset(log(exposure))``, ``offset=0`` gives rates for one unit of exposure.
    ddf : {"kenward-roger", "satterthwaite", "residual", "none"}, optional
        Degrees of freedom. By default Kenward-Roger for REML fits, as R's emmeans, and
        Satterthwaite where Kenward-Roger is not there (maximum likelihood, penalties, large
        crossed factors eliminated iteratively). emmeans
        takes infinitely many above 3000 rows, because pbkrtest needs an n by n matrix; here the
        method takes seconds for 73 000 rows, and with few groups the degrees of freedom are few
        however many rows there are.
    level : float
        Confidence level.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom.
    infer : bool or pair of bool, optional
        Whether intervals and tests of zero are printed: ``True`` for both, ``(False, True)`` for
        tests alone; by default intervals.

    Returns
    -------
    Emmeans
        A view. ``.to_frame()`` has the numbers, ``.pairs()`` and ``.contrast()`` compare.

    Raises
    ------
    OptionError
        For an unknown predictor, level, kind of weights, method or kind of inference, or an offset
        that is no number.

    Notes
    -----
    Searle, Speed & Milliken (1980); Lenth's emmeans 1.8.4. Random effects count as zero, an offset
    with its mean over the rows (of ``offset(log(hours))`` the mean logarithm), or with its value at
    the reference grid where `at` gives its variables, where they are predictors too, and for sums.
    A mean that a rank-deficient model cannot tell is NaN,
    printed as ``nonEst``. The data are read again from the table the model was fitted to, which
    must not have been changed.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)",
    ...               nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "recipe")
     recipe emmean   SE df lower.CL upper.CL
     A        33.1 1.74 42     29.6     36.6
     B        31.6 1.74 42     28.1     35.1
     C        31.6 1.74 42     28.1     35.1
    <BLANKLINE>
    Results are averaged over the levels of: temperature
    Degrees-of-freedom method: kenward-roger
    Confidence level used: 0.95
    NOTE: Results may be misleading due to involvement in interactions
    """
    _check_fit(fit)
    check_choice(type, "type", TYPES)
    keep, groups = _read_specs(specs, by)
    grid = reference_grid(fit.design, predictors_of(fit), at=at, offset=offset)
    cells = marginal_cells(grid, (*keep, *groups), weights=weights)
    found = _estimates(
        fit,
        grid,
        cells,
        L=estimable(grid, cells.values[:, :-1]),
        offset=cells.values[:, -1],
        groups=groups,
        name=OF_A_MEAN,
        method=_method(fit, ddf, vcov),
        level=level,
        response=type == "response",
        notes=_notes(fit, grid, keep, groups),
    )
    return shown_with(found, infer)


def emtrends(
    fit: LmerFit | BayesFit | PooledFit,
    specs: str | Sequence[str],
    *,
    var: str,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: str = "equal",
    ddf: str | None = None,
    level: float = 0.95,
    vcov: str | ClusterRobust | None = None,
    infer: bool | Sequence[bool] | None = None,
) -> Emmeans:
    """Estimate the slope of a numeric predictor for each level of others, averaged over the rest.

    Parameters
    ----------
    fit : LmerFit or PooledFit
    specs : str or sequence of str
        Factors (or numeric predictors) of whose levels each has a slope; ``"1"`` for one slope.
    by : str or sequence of str, optional
        Predictors within whose levels slopes are compared.
    at : mapping, optional
        Values of predictors: ``{"Days": [0, 5]}``; numeric ones are otherwise at their means.
    weights : {"equal", "proportional", "cells", "outer"}
        How levels of the other factors are averaged.
    ddf : {"kenward-roger", "satterthwaite", "residual", "none"}, optional
        Degrees of freedom; by default Kenward and Roger's of a REML fit, else Satterthwaite's.
    level : float
        Confidence level.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance of the fixed effects in the place of the model's.
    infer : bool or pair of bool, optional
        Whether intervals and tests of zero are printed: ``True`` for both, ``(False, True)`` for
        tests alone; by default intervals.
    var : str
        The predictor. Where its effect is not a straight line the slope is that at its reference
        value (by central differences over 0.002 of its range; emmeans takes one-sided ones).

    Returns
    -------
    Emmeans

    Raises
    ------
    OptionError
        If `var` is no numeric predictor, or as for `emmeans`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emtrends(fit, "recipe", var="temp")
     recipe temp.trend     SE  df lower.CL upper.CL
     A           0.154 0.0282 222   0.0981    0.209
     B           0.165 0.0282 222   0.1090    0.220
     C           0.156 0.0282 222   0.1002    0.211
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger
    Confidence level used: 0.95
    """
    _check_fit(fit)
    keep, groups = _read_specs(specs, by)
    data = predictors_of(fit)
    step = _STEP_SHARE_OF_RANGE * covariate_range(fit.design, data, var)
    grid = reference_grid(fit.design, data, at=at)
    up, down = (
        marginal_cells(
            shifted(grid, fit.design, data, variable=var, by=sign * step),
            (*keep, *groups),
            weights=weights,
        )
        for sign in (1.0, -1.0)
    )
    X = (up.values[:, :-1] - down.values[:, :-1]) / (2.0 * step)
    found = _estimates(
        fit,
        grid,
        up,
        L=estimable(grid, X),
        offset=np.zeros(len(X)),
        groups=groups,
        name=f"{var}{OF_A_SLOPE}",
        method=_method(fit, ddf, vcov),
        level=level,
        notes=_notes(fit, grid, (*keep, var), groups),
    )
    return shown_with(found, infer)


def _estimates(
    fit: LmerFit | BayesFit | PooledFit,
    grid: Grid,
    cells: Cells,
    *,
    L: FloatArray,
    offset: FloatArray,
    groups: tuple[str, ...],
    name: str,
    method: DfMethod | CoefficientDraws,
    level: float,
    notes: tuple[str, ...],
    response: bool = False,
) -> Emmeans:
    labels = labels_of(grid, cells)
    around = [o for name_ in groups for o in grid.nesting.get(name_, ())]
    by = tuple(dict.fromkeys([*around, *groups]))
    blocks = split_rows(labels, by)
    return Emmeans(
        labels=labels,
        L=L,
        offset=offset,
        fitted=None if isinstance(fit, BayesEstimates) else fit.core,
        ddf=method,
        by=by,
        name=name,
        level=check_level(level),
        means=tuple(float(len(rows)) for rows in blocks),
        averaged=cells.averaged,
        notes=notes,
        scale=response_scale(_family(fit), response=response),
    )


def _family(fit: LmerFit | BayesFit | PooledFit) -> Any:
    """The family of responses; None of a linear model."""
    return fit.design.family if isinstance(fit, BayesEstimates) else fit.core.family


def _check_fit(fit: LmerFit | BayesFit | PooledFit) -> None:
    if not isinstance(fit, Estimates | BayesEstimates | PooledFit):
        raise OptionError(
            "marginal means are of an LmerFit, a GlmerFit or a BayesFit, not of a "
            f"{fit.__class__.__name__}"
        )
    if not fit.design.p:
        raise OptionError("the model has no fixed effects, so every mean it predicts is zero")


def _method(
    fit: LmerFit | BayesFit | PooledFit, ddf: str | None, vcov: str | ClusterRobust | None
) -> DfMethod | CoefficientDraws:
    if isinstance(fit, BayesEstimates):
        if ddf is not None or vcov is not None:
            raise OptionError("ddf= and vcov= are of fits by likelihood; a posterior has draws")
        linear = fit.design.family is None
        return CoefficientDraws(
            beta=mean_draws(fit.data, fit.design),
            row_sd=row_sd_draws(fit.data, fit.design) if linear else None,
        )
    return mean_method(fit.core, ddf, vcov)


def _read_specs(
    specs: str | Sequence[str], by: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Variables of the means, and those within whose levels they are compared."""
    groups = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    if isinstance(specs, str):
        specs, extra = _split_formula(specs)
        groups = tuple(dict.fromkeys([*extra, *groups]))
    keep = tuple(name for name in specs if name != "1")
    return tuple(name for name in dict.fromkeys(keep) if name not in groups), groups


def _split_formula(text: str) -> tuple[list[str], list[str]]:
    """``"~ a * b | c"`` to its names on both sides of the bar."""
    left, tilde, right = text.partition("~")
    if not tilde:
        return [text], []
    if left.strip():
        raise OptionError(
            f"specs={text!r}: contrasts are made afterwards, with .pairs() or .contrast()"
        )
    first, _, last = right.partition("|")
    return _words(first), _words(last)


def _words(text: str) -> list[str]:
    for sign in "*+:":
        text = text.replace(sign, " ")
    return text.split()


def _notes(
    fit: LmerFit | BayesFit | PooledFit, grid: Grid, keep: tuple[str, ...], groups: tuple[str, ...]
) -> tuple[str, ...]:
    own = {*keep, *groups}
    notes = []
    response = strip_groups(fit.design.formula.response)
    transformed = isinstance(response, Call) and response.func.name != "I"
    if transformed and _family(fit) is None:
        notes.append(f"Results are given on the {deparse(response)} (not the response) scale.")
    if own and any(own < term for term in grid.terms):
        notes.append(_INTERACTION)
    return tuple(notes)


if not TYPE_CHECKING:  # classes bind both as methods: decorators hide their types in such a circle
    emmeans, emtrends = checked(emmeans), checked(emtrends)
