"""Marginal means: what the model predicts along a predictor, and means that were estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import level_label
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.means.averaging import marginal_cells
from nestedmlm.inference.means.reference_grid import Grid, estimable, reference_grid
from nestedmlm.inference.means.response_scale import ResponseScale, response_scale
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.posterior.draws import mean_draws
from nestedmlm.posterior.summaries import estimates
from nestedmlm.views.protocols import EitherFit, Fit

_POINTS = 60  # along a numeric predictor
_DASHES = ("-", "--", "-.", ":")  # beside the colours, for those who do not tell them apart
_FAINT = 3.0  # times fainter a band is where there are several
_ROW = 0.42  # inches that a row of means is high
_DODGE = 0.5  # of the distance between two levels, over which the lines of `by` are spread


@checked
def effect(
    fit: EitherFit,
    variable: str,
    *,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    data: Any = None,
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Marginal means along a predictor with intervals, for an average group.

    A numeric predictor is a line over its range, a factor a point for each level. Other factors
    are averaged over, other numeric predictors stay at their means (as in `nestedmlm.emmeans`),
    random effects count as zero.

    Parameters
    ----------
    fit : LmerFit or BayesFit
        Normal intervals, or quantiles of the posterior.
    variable : str
        A predictor of the fixed effects.
    by : str, optional
        Another one, each of whose levels has a line of its own; of a numeric one the quartiles.
    at : mapping of str to value, optional
        Values at which other predictors are held.
    data : table, optional
        What the model was fitted to; needed for a `BayesFit` that was loaded from a file.
    level : float
        Probability inside the intervals.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If there is no such predictor, or `data` is missing.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> ax = nm.plots.effect(fit, "temp", by="recipe")
    >>> ax.get_xlabel(), [line.get_label() for line in ax.lines]
    ('temp', ['A', 'B', 'C'])
    """
    source = _data(fit, data)
    keep = (variable,) if by is None else (variable, by)
    first = reference_grid(fit.design, source, at=at)
    asked = {**dict(at or {}), **_places(fit, source, first, variable, by)}
    grid = reference_grid(fit.design, source, at=asked)
    cells = marginal_cells(grid, keep)
    numbers = _means(fit, grid, cells.values, level)
    frame = numbers.assign(
        **{
            name: [grid.levels[name][code] for code in cells.codes[:, j]]
            for j, name in enumerate(cells.names)
        }
    )
    ax = axes(ax, figsize=figsize)
    groups = [("", frame)] if by is None else [(k, g) for k, g in frame.groupby(by, sort=False)]
    numeric = len(first.levels[variable]) == 1 and _is_number(first.levels[variable][0])
    draw = _line if numeric else _points
    for k, (value, part) in enumerate(groups):
        label = f"{value:.3g}" if _is_number(value) else str(value)
        draw(ax, part, variable, k, label, len(groups))
    if not numeric:
        levels = list(grid.levels[variable])
        ax.set_xticks(range(len(levels)), [style.shorten(str(one), 16) for one in levels])
        ax.set_xlim(-0.6, len(levels) - 0.4)
    if by is not None:
        style.legend(ax, title=by, title_fontsize=style.SMALL, loc="center left",
                     bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    scale = _scale(fit)
    y = fit.design.formula.response_text if scale is None else scale.mean
    return style.dress(ax, x=variable, y=y, heading=_heading(variable, cells.averaged, level))


def marginal_means(
    found: Any, *, ax: Any = None, figsize: tuple[float, float] | None = None
) -> Any:
    """Estimated means or contrasts with their intervals, one below the other.

    Parameters
    ----------
    found : Emmeans, EffectSizes or LetterDisplay
        From `nestedmlm.emmeans` and what it compares. Families (``by``) have a colour and a mark
        each; contrasts a line at nothing; a letter display its letters.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure; by default as high as its rows need.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `ax` is no axes of matplotlib.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> ax = nm.plots.marginal_means(nm.emmeans(fit, "recipe"))
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['A', 'B', 'C']
    """
    table = found.table
    frame = table.frame
    own = [name for name in table.labels if name not in table.by]
    words = (
        frame[own].map(level_label).agg(", ".join, axis=1) if own else frame["estimate"].map(str)
    )
    rows = list(dict.fromkeys(words))
    size = figsize or (6.4, 1.2 + _ROW * len(rows) * max(1.0, 0.6 * len(table.blocks)))
    ax = axes(ax, figsize=size)
    for k, block in enumerate(table.blocks):
        part = frame.iloc[block]
        shift = 0.0 if len(table.blocks) == 1 else _DODGE * (0.5 - (k + 0.5) / len(table.blocks))
        place = np.array([len(rows) - 1 - rows.index(word) for word in words.iloc[block]]) + shift
        first = part.iloc[0]
        label = ", ".join(f"{name} = {level_label(first[name])}" for name in table.by)
        _interval_points(ax, part, place, k, label)
        if table.letters is not None:
            for text, high, y in zip(part["letters"], part["conf_high"], place, strict=True):
                ax.annotate(text, (high, y), xytext=(5, 0), textcoords="offset points",
                            va="center", fontsize=style.SMALL)  # fmt: skip
    style.categories(ax, [style.shorten(row, 32) for row in rows])
    if table.contrasts:
        same = table.null is not None and len(set(table.null)) == 1
        style.zero_line(ax, vertical=True, at=table.null[0] if same else float(table.ratios))
    if table.ratios:
        _ratio_axis(ax)
    if table.by:
        style.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    heading = f"{100 * table.level:g} % intervals"
    if table.averaged:
        heading += f", averaged over {', '.join(table.averaged)}"
    y = "" if table.contrasts else ", ".join(own)
    return style.dress(ax, x=table.name, y=y, heading=heading)


def _ratio_axis(ax: Any) -> None:
    """A logarithmic axis with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _interval_points(ax: Any, part: pd.DataFrame, place: FloatArray, k: int, label: str) -> None:
    estimate = part["estimate"].to_numpy(dtype=float)
    reach = np.abs(part[["conf_low", "conf_high"]].to_numpy(dtype=float).T - estimate)
    reach = np.where(np.isinf(reach), 0.0, reach)  # one-sided: the other end is open
    color, mark = style.CYCLE[k % len(style.CYCLE)], style.MARKS[k % len(style.MARKS)]
    ax.errorbar(
        estimate, place, xerr=reach, fmt=mark, color=color, markersize=6, linewidth=1.8, label=label
    )


def _data(fit: EitherFit, data: Any) -> Any:
    if data is not None:
        return data
    if fit.engine != "posterior":
        return fit.model.data
    if fit.source is None:
        raise OptionError("a BayesFit that was loaded does not hold its data: give them with data=")
    return fit.source.data


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _places(
    fit: Fit, data: Any, grid: Grid, variable: str, by: str | None
) -> dict[str, list[float]]:
    """Where numeric predictors are evaluated: all along `variable`, at the quartiles of `by`."""
    out: dict[str, list[float]] = {}
    for name in (variable, by):
        if name is None:
            continue
        if name not in grid.levels:
            known = ", ".join(grid.levels) or "none"
            raise OptionError(f"{name!r} is no predictor; there are: {known}")
        if len(grid.levels[name]) > 1 or not _is_number(grid.levels[name][0]):
            continue
        values = np.asarray(Frame(data).column(name), dtype=float)[fit.design.kept]
        if name == variable:
            out[name] = np.linspace(values.min(), values.max(), _POINTS).tolist()
        else:
            out[name] = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return out


def _means(fit: EitherFit, grid: Grid, values: FloatArray, level: float) -> pd.DataFrame:
    """``estimate, conf_low, conf_high`` of linear functions of the mean's coefficients."""
    L, offset = estimable(grid, values[:, :-1]), values[:, -1]
    if fit.engine == "posterior":
        draws = mean_draws(fit.data, fit.design) @ L.T + offset
        own = _scale(fit)
        draws = draws if own is None else own.shown(draws)
        return estimates(draws, level=level)[["estimate", "conf_low", "conf_high"]]
    from scipy.special import ndtri

    method = mean_method(fit.core, "none")
    estimate = L @ method.beta + offset
    se = np.sqrt(np.einsum("ij,jk,ik->i", L, method.cov, L))
    reach = float(ndtri(0.5 + 0.5 * level)) * se
    frame = pd.DataFrame(
        {
            "estimate": estimate,
            "std_error": se,
            "conf_low": estimate - reach,
            "conf_high": estimate + reach,
        }
    )
    scale = _scale(fit)
    return frame if scale is None else scale.transformed(frame)


def _scale(fit: EitherFit) -> ResponseScale | None:
    """Scale of the response of a generalized model, on which its means are drawn."""
    family = fit.design.family if fit.engine == "posterior" else fit.core.family
    return response_scale(family, response=True)


def _line(ax: Any, part: pd.DataFrame, variable: str, k: int, label: str, count: int) -> None:
    """A line in its band; of several, which lie on one another, the bands' edges are drawn."""
    part, color = part.sort_values(variable), style.CYCLE[k % len(style.CYCLE)]
    x, dashes = part[variable].to_numpy(dtype=float), _DASHES[k % len(_DASHES)]
    several = count > 1
    ax.fill_between(
        x, part["conf_low"], part["conf_high"], color=color, linewidth=0.0,
        alpha=style.BAND / _FAINT if several else style.BAND,
    )  # fmt: skip
    if several:
        from matplotlib.collections import LineCollection

        limits = [np.column_stack([x, part[name]]) for name in ("conf_low", "conf_high")]
        edges = LineCollection(limits, colors=color, linestyles=dashes, linewidths=0.9, alpha=0.8)
        ax.add_collection(edges)
    ax.plot(x, part["estimate"], dashes, color=color, linewidth=2.2, label=label)


def _points(ax: Any, part: pd.DataFrame, variable: str, k: int, label: str, count: int) -> None:
    shift = 0.0 if count == 1 else _DODGE * ((k + 0.5) / count - 0.5)
    levels = list(dict.fromkeys(part[variable]))
    place = np.array([levels.index(value) for value in part[variable]]) + shift
    estimate = part["estimate"].to_numpy(dtype=float)
    reach = np.abs(part[["conf_low", "conf_high"]].to_numpy(dtype=float).T - estimate)
    color, mark = style.CYCLE[k % len(style.CYCLE)], style.MARKS[k % len(style.MARKS)]
    ax.errorbar(
        place, estimate, yerr=reach, fmt=mark, color=color, markersize=6, linewidth=1.8, label=label
    )


def _heading(variable: str, averaged: tuple[str, ...], level: float) -> str:
    text = f"Effect of {variable}, {100 * level:g} % interval"
    return f"{text}, averaged over {', '.join(averaged)}" if averaged else text
