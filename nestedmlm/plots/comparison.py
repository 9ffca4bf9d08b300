"""REML estimates beside posterior intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.posterior.summaries import LEVEL
from nestedmlm.views.posterior.comparison import compare_engines
from nestedmlm.views.protocols import EitherFit

_CLASSICAL, _POSTERIOR = style.ORANGE, style.BLUE
_GAP = 0.13  # rows between the two marks of a parameter


@checked
def comparison(
    lmer_fit: EitherFit,
    bayes_fit: EitherFit,
    *,
    level: float = LEVEL,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """REML estimates beside posterior intervals, each parameter in units of its posterior SD.

    Draws what `nestedmlm.compare` tabulates. Zero is the posterior mean. The blue bar is the
    posterior interval; the orange mark the estimate of the other engine with its Wald interval of
    the same probability where it has one.

    Parameters
    ----------
    lmer_fit : LmerFit
    bayes_fit : BayesFit
        Of the same model and data.
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
    ModelComparisonError, OptionError
        As `nestedmlm.compare`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> nm.plots.comparison(fit, posterior).get_title(loc="left")
    'Yield ~ 1 + (1 | Batch)'
    """
    from scipy.stats import norm

    compared = compare_engines(lmer_fit, bayes_fit, level=level)
    table = compared.table
    ax = axes(ax, figsize=figsize or (7.5, 1.2 + 0.42 * len(table)))
    unit = table["sd"].where(table["sd"] > 0, 1.0)
    place = np.arange(len(table))[::-1]

    def scaled(column: str) -> pd.Series:
        return (table[column] - table["mean"]) / unit

    share = f"{100 * level:g} %"
    style.zero_line(ax, vertical=True)
    ax.hlines(
        place + _GAP, scaled("conf_low"), scaled("conf_high"), color=_POSTERIOR, linewidth=3.0,
        label=f"posterior mean, {share} interval",
    )  # fmt: skip
    ax.plot(np.zeros(len(table)), place + _GAP, "o", color=_POSTERIOR, markersize=6)
    wald = norm.ppf(0.5 + 0.5 * level) * table["std_error"] / unit
    estimate = scaled("estimate")
    ax.errorbar(
        estimate, place - _GAP, xerr=wald.fillna(0.0), fmt="D", color=_CLASSICAL, markersize=5,
        linewidth=1.5, label=f"{compared.method} estimate, Wald interval where it has one",
    )  # fmt: skip
    style.categories(ax, list(table.index))
    gap = 0.5 / ax.figure.get_size_inches()[1]  # half an inch: below the label of the axis
    style.legend(ax, loc="upper right", bbox_to_anchor=(1.0, -1.4 * gap), ncols=2)
    x = "distance from the posterior mean, in posterior SDs"
    return style.dress(ax, x=x, heading=compared.formula)
