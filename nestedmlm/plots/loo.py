"""Predictions of new groups: how well each group is predicted by the others, model by model."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.views.loo import GroupLoo
from nestedmlm.views.loo_comparison import LooComparison

_NAMED = 5  # groups named
_SIZE = 14.0  # square points of a mark


def loo(
    found: GroupLoo | LooComparison,
    *,
    label: int = _NAMED,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Log predictive density of each group by the fit to the others, in order.

    Of one model: per row of the group, the worst predicted groups named. Of several: each group's
    difference to the best model, so that one sees whether a few groups decide; above zero a group
    is predicted better than by the best model. The legend has the sums with their standard errors.

    Parameters
    ----------
    found : GroupLoo or LooComparison
        What `LmerFit.loo` or `nestedmlm.compare` returned.
    label : int
        How many groups to name at most.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

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
    >>> data = nm.load_dataset("sleepstudy")
    >>> slopes = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> intercepts = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> ax = nm.plots.loo(nm.compare(intercepts, slopes))
    >>> ax.get_ylabel()
    'elpd: difference to slopes'
    """
    ax = axes(ax, figsize=figsize)
    if isinstance(found, GroupLoo):
        return _one(ax, found, label)
    return _several(ax, found, label)


def _one(ax: Any, found: GroupLoo, label: int) -> Any:
    frame = found.to_frame()
    values = frame["elpd"].div(frame["rows"]).sort_values(kind="stable")
    x, y = np.arange(len(values)), values.to_numpy()
    ax.scatter(x, y, s=_SIZE, color=style.BLUE, linewidths=0.0)
    style.name_points(ax, x[:label], y[:label], values.index[:label], style.GREY)
    return style.dress(
        ax,
        x=f"each {found.group}, predicted by the others, in order",
        y="elpd per row",
        heading=f"elpd {found.elpd:.1f} (SE {found.se:.1f}), RMSE {found.rmse:.3g}",
    )


def _several(ax: Any, found: LooComparison, label: int) -> Any:
    best, others = found.groups.columns[0], list(found.groups.columns[1:])
    away = found.groups[others].sub(found.groups[best], axis=0)
    away = away.loc[away[others[0]].sort_values(kind="stable").index]
    x = np.arange(len(away))
    style.zero_line(ax)
    for k, name in enumerate(others):
        row, y = found.table.loc[name], away[name].to_numpy()
        ax.scatter(
            x, y, s=_SIZE, color=style.CYCLE[k % len(style.CYCLE)], linewidths=0.0,
            marker=style.MARKS[k % len(style.MARKS)],
            label=f"{name}: {row['elpd_diff']:.1f} (SE {row['diff_std_error']:.1f})",
        )  # fmt: skip
    values = away.abs().max(axis=1)
    top = np.argsort(-values.to_numpy(), kind="stable")[:label]
    heights = [away.iloc[i][away.iloc[i].abs().idxmax()] for i in top]
    style.name_points(ax, x[top], heights, away.index[top], style.GREY)
    style.dress(
        ax,
        x=f"each {found.group}, predicted by the others, in order",
        y=f"elpd: difference to {best}",
        heading=f"{best} predicts new groups of {found.group} best",
    )
    style.legend_above(ax)
    return ax
