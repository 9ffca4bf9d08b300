"""Power along the size of a study."""

from __future__ import annotations

from typing import Any

from nestedmlm.plots import style
from nestedmlm.plots.backend import axes

_WANTED = 0.8  # power that studies are usually planned for


def power_curve(found: Any, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Power by size, with the intervals of the simulation; a line at a power of 80 %.

    Parameters
    ----------
    found : PowerCurve
        From `nestedmlm.power_curve`.
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
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> found = nm.power_curve(fit, "Days", along="Subject", breaks=[5, 10], nsim=20,
    ...                        effect_size=1.5, seed=1, progress=False)
    >>> nm.plots.power_curve(found).get_xlabel()
    'Subject'
    """
    ax = axes(ax, figsize=figsize)
    table = found.to_frame()
    ax.fill_between(
        table.index, table["conf_low"], table["conf_high"],
        color=style.BLUE, alpha=0.2, linewidth=0.0,
    )  # fmt: skip
    ax.plot(table.index, table["power"], color=style.BLUE, marker="o", linewidth=1.8)
    style.zero_line(ax, at=_WANTED)
    ax.set_ylim(0.0, 1.02)
    effect = next(iter(found.results.values())).effect
    return style.dress(ax, x=found.along, y="power", heading=f"Power for {effect}")
