"""Assurance: the powers that a pilot's posterior holds possible."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.plots import style
from nestedmlm.plots.backend import axes

_BINS = np.linspace(0.0, 1.0, 26)


def assurance(found: Any, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Distribution of the power over the draws; marked are its mean, and the power as supposed.

    Where a pilot says little the distribution has two heaps, near the level of the test and near
    one, and no single power describes the study.

    Parameters
    ----------
    found : Assurance
        From `Scenario.assurance`.
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
    >>> pilot = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = pilot.sample(sampler="psis", draws=100, seed=1)
    >>> study = pilot.extend(along="Subject", n=9).extend(along="Days", n=4)
    >>> nm.plots.assurance(study.assurance(posterior, "Days", draws=50)).get_ylabel()
    'share of the draws'
    """
    ax = axes(ax, figsize=figsize)
    powers = found.powers.to_numpy(dtype=float)
    weights = np.full(len(powers), 1.0 / len(powers))
    ax.hist(powers, bins=_BINS, weights=weights, color=style.BLUE, alpha=0.55, linewidth=0.0)
    ax.axvline(
        found.estimate, color=style.ORANGE, linewidth=2.0,
        label=f"assurance {100 * found.estimate:.0f} %",
    )  # fmt: skip
    ax.axvline(
        found.supposed, color=style.GREY, linewidth=1.4, linestyle=(0, (4, 3)),
        label=f"power as supposed {100 * found.supposed:.0f} %",
    )  # fmt: skip
    ax.set_xlim(0.0, 1.0)
    heading = f"Assurance for {found.effect}"
    style.dress(ax, x="power", y="share of the draws", heading=heading)
    style.legend_above(ax)
    return ax
