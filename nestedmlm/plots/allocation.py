"""Power of the designs that a budget pays for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.plots import style
from nestedmlm.plots.backend import axes

_LINES = 5  # choices of the levels between that are drawn


def allocation(found: Any, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Power by rows per group, a line for each choice of the levels between; the best is marked.

    Parameters
    ----------
    found : Allocation
        From `nestedmlm.allocation`.
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
    >>> found = nm.allocation("y ~ arm + (1 | school)", "arm", budget=6000,
    ...                       costs={"school": 100, "pupil": 5}, varies={"arm": "school"},
    ...                       beta={"arm": 0.4}, icc={"school": 0.1})
    >>> nm.plots.allocation(found).get_ylabel()
    'power'
    """
    ax = axes(ax, figsize=figsize)
    table, units = found.to_frame(), list(found.units)
    between, rows = units[1:-1], units[-1]
    best = table.iloc[0]
    lines = _lines(table, between)
    for k, part in enumerate(lines):
        part = part.sort_values(rows)
        label = ", ".join(f"{int(part[unit].iloc[0])}" for unit in between)
        shade = (k + 1) / len(lines)
        color = style.BLUE if len(lines) == 1 else _shaded(shade)
        ax.plot(part[rows], part["power"], color=color, marker=".", linewidth=1.6, label=label)
        if not between:  # a second scale in words: how many groups each design has
            for x, y, groups in zip(part[rows], part["power"], part[units[0]], strict=True):
                ax.annotate(f"{int(groups)}", (x, y), xytext=(0, 6), textcoords="offset points",
                            ha="center", fontsize=style.SMALL - 2, color=style.GREY)  # fmt: skip
    ax.plot(best[rows], best["power"], "o", color=style.ORANGE, markersize=8, zorder=5)
    size = " × ".join(f"{int(best[unit])}" for unit in units)
    ax.annotate(f"{size}: {100 * best['power']:.0f} %", (best[rows], best["power"]),
                xytext=(0, 12 + 6 * (not between)), textcoords="offset points", ha="center",
                fontsize=style.SMALL, color=style.ORANGE)  # fmt: skip
    ax.set_ylim(0.0, 1.08)
    ax.set_yticks(np.linspace(0.0, 1.0, 6))
    inner = units[-2]
    heading = f"Power for {found.effect} within a budget of {found.budget:,.0f}"
    style.dress(ax, x=f"{rows} per {inner}", y="power", heading=heading)
    if between:
        title = ", ".join(f"{u} per {o}" for u, o in zip(between, units, strict=False))
        style.legend(ax, title=title, title_fontsize=style.SMALL, loc="center left",
                     bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    else:
        ax.annotate(f"small numbers: {units[0]}s", (0.0, 0.02), xycoords="axes fraction",
                    fontsize=style.SMALL - 1, color=style.GREY)  # fmt: skip
    return ax


def _lines(table: pd.DataFrame, between: list[str]) -> list[pd.DataFrame]:
    """Designs by the levels between: a spread of those there are, the best among them."""
    if not between:
        return [table]
    parts = [part for _, part in table.groupby(between)]
    best = next(i for i, part in enumerate(parts) if table.index[0] in part.index)
    spread = np.linspace(0, len(parts) - 1, min(_LINES, len(parts))).round().astype(int)
    spread[np.argmin(np.abs(spread - best))] = best
    return [parts[i] for i in spread]


def _shaded(share: float) -> tuple[float, ...]:
    """The blue of all pictures, paler for small shares."""
    blue = np.array([int(style.BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    weight = 0.25 + 0.75 * share
    return tuple(1.0 - weight * (1.0 - blue))
