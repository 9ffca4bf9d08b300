"""Coefficients of several models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.source import INTERCEPT
from nestedmlm.views.parameters import fit_names, parameter_table
from nestedmlm.views.protocols import EitherFit

SIGMA = "sigma"
_SPREAD = 0.62  # of a row's height, over which its models are spread


@checked
def forest(
    *fits: EitherFit,
    names: Sequence[str] | None = None,
    intercept: bool = False,
    random: bool = False,
    level: float = 0.95,
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
        Draw the standard deviations too.
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
    tables = [parameter_table(fit, level=level, random=random) for fit in fits]
    tables = [table[table["kind"].isin(["fixed", "sd", "sigma"])] for table in tables]
    if not intercept:
        tables = [table.drop(index=INTERCEPT, errors="ignore") for table in tables]
    rows = list(dict.fromkeys(name for table in tables for name in table.index))
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
        reach = np.abs(found[["conf_low", "conf_high"]].to_numpy(dtype=float).T - estimate)
        ax.errorbar(
            estimate, place, xerr=np.nan_to_num(reach), fmt=style.MARKS[k % len(style.MARKS)],
            color=style.CYCLE[k % len(style.CYCLE)], markersize=5.5, linewidth=1.8,
            label=f"{label} ({fit.engine})" if label else fit.engine,
        )  # fmt: skip
    style.categories(ax, [style.shorten(name, 34) for name in rows])
    style.dress(ax, x=f"estimate, {100 * level:g} % interval")
    if len(fits) > 1:
        style.legend_above(ax)
    return ax


def _kind(name: str) -> int:
    """Coefficients first, then standard deviations, sigma last."""
    return 2 if name == SIGMA else int(name.startswith("sd_"))
