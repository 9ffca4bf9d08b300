"""Groups of rows: spaghetti and trellis."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes, panels
from nestedmlm.plots.source import grouping, lines_over, require_normal, variable
from nestedmlm.views.protocols import EitherFit, Fit

MAX_PANELS = 24  # groups shown one by one; of more, some spread over their order
_MANY = 150  # more groups than this are drawn thin


@checked
def spaghetti(
    fit: EitherFit,
    x: str | None = None,
    *,
    group: str | None = None,
    points: bool = False,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Fitted line of every group over a predictor, and the population's line.

    A group's line runs through the places of its rows: the fixed effects plus the group's own
    random effects. Predictors other than `x` are held at their means, and the random effects of
    other grouping factors at zero.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    x : str, optional
        A column of the model; by default the first random slope.
    group : str, optional
        Grouping factor; by default the one with the most random effects.
    points : bool
        Draw the observations too.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `ax` is no axes of matplotlib, or the model has no such grouping factor or predictor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.spaghetti(fit)
    >>> ax.get_xlabel(), ax.get_ylabel(), len(ax.collections[0].get_segments())
    ('Days', 'Reaction', 18)
    """
    from matplotlib.collections import LineCollection

    require_normal(fit, "spaghetti")
    ax = axes(ax, figsize=figsize)
    name, values = variable(fit, x)
    f = grouping(fit, group)
    factor = fit.design.factors[f]
    fixed, own = lines_over(fit, name, f)
    order = np.lexsort((values, factor.codes))
    cuts = np.flatnonzero(np.diff(factor.codes[order])) + 1
    lines = np.split(np.column_stack([values, own])[order], cuts)
    thin = len(lines) > _MANY
    ax.add_collection(
        LineCollection(lines, colors=style.BLUE, alpha=0.25 if thin else 0.55,
                       linewidths=0.6 if thin else 1.1)
    )  # fmt: skip
    single = np.array([line[0] for line in lines if len(line) == 1]).reshape(-1, 2)
    ax.scatter(single[:, 0], single[:, 1], s=6, color=style.BLUE, alpha=0.5, linewidths=0.0)
    if points:
        ax.scatter(values, fit.design.y, s=8, color=style.GREY, alpha=0.5, linewidths=0.0, zorder=0)
    along = np.argsort(values, kind="stable")
    ax.plot(values[along], fixed[along], color=style.ORANGE, linewidth=2.6, label="population")
    ax.autoscale_view()
    heading = f"Lines of the {len(lines):,} levels of {factor.name}"
    style.dress(ax, x=name, y=fit.design.formula.response_text, heading=heading)
    style.legend_above(ax)
    return ax


@checked
def trellis(
    fit: EitherFit,
    x: str | None = None,
    *,
    group: str | None = None,
    levels: Any = None,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """One panel for each group: its rows, its line and the population's line.

    The lines are those of `spaghetti`.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    x : str, optional
        A column of the model; by default the first random slope.
    group : str, optional
        Grouping factor; by default the one with the most random effects.
    levels : sequence, optional
        Which levels, in this order. By default all, or, if there are more than 24, 24 spread
        evenly from the lowest to the highest mean.
    ax : array of axes, optional
        One for each level.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    OptionError
        If a level is unknown.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> many = nm.plots.trellis(fit, levels=["308", "309", "310"])
    >>> [ax.get_title(loc="left") for ax in many]
    ['308', '309', '310']
    """
    require_normal(fit, "trellis")
    name, values = variable(fit, x)
    f = grouping(fit, group)
    factor = fit.design.factors[f]
    codes = _levels(fit, factor, levels)
    fixed, own = lines_over(fit, name, f)
    columns = min(6, int(np.ceil(np.sqrt(1.5 * len(codes)))))
    many = panels(
        len(codes), ax, columns=columns, figsize=figsize, panel=(1.75, 1.6),
        sharex=True, sharey=True,
    )  # fmt: skip
    for cell, code in zip(many, codes, strict=True):
        rows = np.flatnonzero(factor.codes == code)
        rows = rows[np.argsort(values[rows], kind="stable")]
        cell.plot(values[rows], fixed[rows], color=style.ORANGE, linewidth=1.1, alpha=0.9)
        cell.plot(values[rows], own[rows], color=style.BLUE, linewidth=1.6)
        cell.scatter(values[rows], fit.design.y[rows], s=9, color=style.GREY, linewidths=0.0)
        cell.set_title(
            style.shorten(str(factor.levels[code]), 18), loc="left", fontsize=style.SMALL
        )
        style.dress(cell)
    figure = many[0].figure
    if ax is None:
        figure.supxlabel(name, fontsize=10)
        figure.supylabel(fit.design.formula.response_text, fontsize=10)
        if len(codes) < len(factor.levels):
            said = f"{len(codes)} of the {len(factor.levels):,} levels of {factor.name}"
            spread = "" if levels is not None else ", spread over the order of their means"
            figure.suptitle(f"{said}{spread}", fontsize=style.SMALL, x=0.01, ha="left")
    return many


def _levels(fit: Fit, factor: Any, levels: Any) -> np.ndarray:
    """Codes of the levels to draw."""
    if levels is not None:
        known = {str(level): code for code, level in enumerate(factor.levels)}
        levels = [levels] if isinstance(levels, str) or not np.iterable(levels) else list(levels)
        missing = [str(level) for level in levels if str(level) not in known]
        if missing:
            raise OptionError(f"{factor.name} has no level {', '.join(missing)}")
        return np.array([known[str(level)] for level in levels])
    count = len(factor.levels)
    if count <= MAX_PANELS:
        return np.arange(count)
    sizes = np.bincount(factor.codes, minlength=count)
    means = np.bincount(factor.codes, weights=fit.design.y, minlength=count) / np.maximum(sizes, 1)
    order = np.argsort(means, kind="stable")
    chosen: np.ndarray = order[np.linspace(0, count - 1, MAX_PANELS).round().astype(int)]
    return chosen
