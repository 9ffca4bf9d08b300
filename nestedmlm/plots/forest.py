"""Coefficients of several models side by side (layer 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.shares import fit_names
from nestedmlm.plots.source import INTERCEPT, engine, is_posterior

SIGMA = "sigma"
_SPREAD = 0.62  # of a row's height, over which its models are spread
_MARKS = ("o", "D", "s", "^", "v", "P")


def forest(
    *fits: Any,
    names: Sequence[str] | None = None,
    intercept: bool = False,
    random: bool = False,
    prob: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Coefficients with intervals, those of several models side by side.

    Parameters
    ----------
    *fits : LmerFit or BayesFit
        Wald intervals of a fit, quantiles of a posterior.
    names : sequence of str, optional
        One for each fit; by default M1, M2, …
    intercept : bool
        Draw the intercept too (it is often far from the rest).
    random : bool
        Draw the standard deviations of the random effects too; those of a fit are points.
    prob : float
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
        If there is nothing to draw.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> one = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> two = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> ax = nm.plots.forest(one, two, names=["intercepts", "slopes"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Days']
    """
    labels = fit_names(fits, names)
    tables = [estimate_table(fit, prob=prob, random=random) for fit in fits]
    if not intercept:
        tables = [table.drop(index=INTERCEPT, errors="ignore") for table in tables]
    rows = list(dict.fromkeys(name for table in tables for name in table.index))
    rows = [name for name in rows if not name.startswith("cor(")]  # on a scale of their own
    rows.sort(key=_kind)
    if not rows:
        raise OptionError("nothing to draw: the models have no such coefficients")
    ax = axes(ax, figsize=figsize or (7.0, 1.5 + (0.3 + 0.14 * len(fits)) * len(rows)))
    step = _SPREAD / max(len(fits), 1)
    style.zero_line(ax, vertical=True)
    for k, (table, label, fit) in enumerate(zip(tables, labels, fits, strict=True)):
        found = table.reindex(rows)
        place = np.arange(len(rows))[::-1] + step * (0.5 * (len(fits) - 1) - k)
        estimate = found["estimate"].to_numpy(dtype=float)
        reach = np.abs(found[["lower", "upper"]].to_numpy(dtype=float).T - estimate)
        ax.errorbar(
            estimate, place, xerr=np.nan_to_num(reach), fmt=_MARKS[k % len(_MARKS)],
            color=style.CYCLE[k % len(style.CYCLE)], markersize=5.5, linewidth=1.8,
            label=f"{label} ({engine(fit)})" if label else engine(fit),
        )  # fmt: skip
    style.categories(ax, [style.shorten(name, 34) for name in rows])
    if len(fits) > 1:
        handles, texts = ax.get_legend_handles_labels()
        style.legend_above(ax, handles=handles, labels=texts, ncols=min(3, len(fits)))
    return style.dress(ax, x=f"estimate, {100 * prob:g} % interval")


def _kind(name: str) -> int:
    """Coefficients first, then standard deviations, sigma last."""
    return 2 if name == SIGMA else int(name.startswith("sd("))


def estimate_table(fit: Any, *, prob: float = 0.95, random: bool = False) -> pd.DataFrame:
    """Estimates with intervals under R's names: ``estimate, sd, lower, upper``.

    Standard deviations are called ``sd((Intercept) | schoolid)``, correlations
    ``cor(ses, (Intercept) | schoolid)``, the residual's ``sigma``; those of an `LmerFit` have no
    interval here.
    """
    if is_posterior(fit):
        table = fit.parameters(prob=prob)
        table = table if random else table[table["kind"] == "fixed"]
        names = [
            row.var1 if row.kind == "fixed" else component_name(row.group, row.var1, row.var2)
            for row in table.itertuples()
        ]
        found = table[["estimate", "sd", "lower", "upper"]]
        return found.set_index(pd.Index(names))
    from scipy.stats import norm

    reach = norm.ppf(0.5 + 0.5 * prob) * fit.bse
    fixed = pd.DataFrame(
        {"estimate": fit.params, "sd": fit.bse, "lower": fit.params - reach,
         "upper": fit.params + reach}
    )  # fmt: skip
    if not random:
        return fixed
    frame = fit.varcorr().to_frame()
    names = [component_name(row.grp, row.var1, row.var2) for row in frame.itertuples()]
    parts = pd.DataFrame({"estimate": frame["sdcor"].to_numpy()}, index=names)
    return pd.concat([fixed, parts.reindex(columns=fixed.columns)])


def component_name(group: str, var1: str | None, var2: str | None) -> str:
    """Name of a standard deviation or correlation in pictures and tables of several models."""
    if not isinstance(var1, str):
        return SIGMA
    if isinstance(var2, str):
        return f"cor({var1}, {var2} | {group})"
    return f"sd({var1} | {group})"
