"""Influence of the priors as a picture: what averaging and what priors do to each parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.views.posterior.prior_influence import PriorInfluence

_HEIGHT = 0.34  # of a bar


def prior_influence(
    found: PriorInfluence,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """How far each posterior mean lies from the estimate, in posterior SDs, and by what.

    One bar for what averaging over the other parameters does, one for what the priors do. The
    names carry the priors' share of the curvature; parameters whose priors and data disagree are
    marked with an exclamation mark.

    Parameters
    ----------
    found : PriorInfluence
        What ``nestedmlm.compare(fit, posterior).why()`` returned.
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
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=1000, seed=1)
    >>> why = nm.compare(fit, posterior).why(draws=1000, seed=1, tips=False)
    >>> nm.plots.prior_influence(why).get_xlabel()
    'posterior mean minus REML estimate, in posterior SDs'
    """
    ax = axes(ax, figsize=figsize)
    table = found.table[found.table["sd"] > 0.0]  # not what is held at a value
    at = np.arange(len(table))[::-1].astype(float)
    style.zero_line(ax, vertical=True)
    for name, label, colour, shift in (
        ("from_averaging", "by averaging over what is open", style.BLUE, 0.5),
        ("from_priors", "by the priors", style.ORANGE, -0.5),
    ):
        width = (table[name] / table["sd"]).fillna(0.0)
        ax.barh(at + shift * _HEIGHT, width, height=_HEIGHT, color=colour, label=label)
    labels = [
        f"{row.Index}{' !' if row.conflict < found.conflicting else ''} "
        f"({100.0 * row.prior_share:.2g} %)"
        for row in table.itertuples()
    ]
    style.categories(ax, labels)
    style.dress(
        ax,
        x=f"posterior mean minus {found.method} estimate, in posterior SDs",
        heading="Where they part, and the priors' share of the curvature",
    )
    style.legend_above(ax)
    return ax
