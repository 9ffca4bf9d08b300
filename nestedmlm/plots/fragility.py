"""Fragility of a conclusion: the test without each group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.views.fragility import Fragility

_TOP = 8  # groups named
_SIZE = 14.0  # square points of a mark


def fragility(
    found: Fragility,
    *,
    label: int = _TOP,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """The estimate with its interval without each group, in order; p-values of a likelihood ratio.

    Groups without which the conclusion changes are marked and named. The band is the interval with
    all rows; the broken line is the hypothesis, or the level of significance.

    Parameters
    ----------
    found : Fragility
        What `LmerFit.fragility` or `LikelihoodRatios.fragility` returned.
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
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.fragility(fit.fragility("Days", by="Subject", progress=False))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('left out: each Subject, in order', 'Days')
    """
    ax = axes(ax, figsize=figsize)
    ratio = bool(np.isnan(found.all_rows["estimate"]))
    shown = "p_value" if ratio else "estimate"
    frame = found.without[found.without["p_value"].notna()].sort_values(shown, kind="stable")
    x, y = np.arange(len(frame)), frame[shown].to_numpy(dtype=float)
    turned = frame["changes"].to_numpy(dtype=bool)
    if ratio:
        style.zero_line(ax, at=1.0 - found.level)
        ax.axhline(found.all_rows["p_value"], color=style.BLUE, linewidth=1.0, alpha=0.6)
    else:
        style.zero_line(ax, at=found.rhs)
        low, high = _limits(found.all_rows.to_frame().T, found.level)
        ax.axhspan(float(low[0]), float(high[0]), color=style.BLUE, alpha=style.BAND, linewidth=0.0)
        low, high = _limits(frame, found.level)
        ax.vlines(x, low, high, color=style.GREY, linewidth=0.7)
    for some, colour in ((~turned, style.BLUE), (turned, style.ORANGE)):
        ax.scatter(x[some], y[some], s=_SIZE, color=colour, linewidths=0.0, zorder=3)
    named = np.flatnonzero(turned)[:label]
    style.name_points(ax, x[named], y[named], frame.index[named], style.ORANGE)
    return style.dress(
        ax,
        x=f"left out: each {found.by}, in order",
        y="p-value" if ratio else found.what,
        heading=found.sentence(),
    )


def _limits(frame: pd.DataFrame, level: float) -> tuple[Any, Any]:
    """Limits of the intervals that belong to the tests."""
    from scipy.special import stdtrit

    df = frame["df"].to_numpy(dtype=float)
    finite = np.isfinite(df)
    quantile = stdtrit(np.where(finite, df, 1.0), 0.5 + 0.5 * level)
    half = np.where(finite, quantile, normal_quantile(level))
    half = half * frame["std_error"].to_numpy(dtype=float)
    estimate = frame["estimate"].to_numpy(dtype=float)
    return estimate - half, estimate + half
