"""REML estimates beside posterior intervals (layer 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.bayesviews.comparison import Comparison
from nestedmlm.plots.backend import axes

_CLASSICAL, _POSTERIOR = "#d95f02", "#1b6ca8"
_GAP = 0.13  # rows between the two marks of a parameter


def draw_comparison(comparison: Comparison, ax: Any = None) -> Any:
    """Draw estimates and intervals, each parameter in units of its posterior SD.

    Zero is the posterior mean. The blue bar is the posterior interval; the orange mark the
    estimate of the other engine with its Wald interval of the same probability where it has one.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    from scipy.stats import norm

    table = comparison.table
    ax = axes(ax, figsize=(7.5, 1.2 + 0.42 * len(table)))
    unit = table["sd"].where(table["sd"] > 0, 1.0)
    place = np.arange(len(table))[::-1]

    def scaled(column: str) -> pd.Series:
        return (table[column] - table["mean"]) / unit

    share = f"{100 * comparison.prob:g} %"
    ax.axvline(0.0, color="0.85", linewidth=1.0, zorder=0)
    ax.hlines(
        place + _GAP, scaled("lower"), scaled("upper"), color=_POSTERIOR, linewidth=3.0,
        label=f"posterior mean, {share} interval",
    )  # fmt: skip
    ax.plot(np.zeros(len(table)), place + _GAP, "o", color=_POSTERIOR, markersize=6)
    wald = norm.ppf(0.5 + 0.5 * comparison.prob) * table["std_error"] / unit
    estimate = scaled("estimate")
    ax.errorbar(
        estimate, place - _GAP, xerr=wald.fillna(0.0), fmt="D", color=_CLASSICAL, markersize=5,
        linewidth=1.5, label=f"{comparison.method} estimate, Wald interval where it has one",
    )  # fmt: skip
    ax.set_yticks(place, [str(name) for name in table.index])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel("distance from the posterior mean, in posterior SDs")
    ax.set_title(comparison.formula, fontsize=10, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, frameon=False, fontsize=9)
    return ax
