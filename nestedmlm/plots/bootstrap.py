"""Densities of bootstrap replicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.source import named


@checked
def bootstrap_densities(
    boot: Any,
    names: str | Sequence[str] | None = None,
    *,
    kind: str = "perc",
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Distribution of each statistic over the replicates, with estimate and interval.

    Parameters
    ----------
    boot : Bootstrap
        From ``fit.bootstrap``.
    names : str or sequence of str, optional
        Which statistics; by default all.
    kind : {"perc", "basic", "norm", "bca"}
        Of the interval.
    level : float
        Coverage of the interval.
    ax : axes or array of axes, optional
        One for each statistic.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    OptionError
        If a statistic is unknown.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> many = nm.plots.bootstrap_densities(fit.bootstrap(50, seed=1, progress=False))
    >>> [ax.get_title(loc="left") for ax in many]
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    """
    chosen = named(names, [str(name) for name in boot.t.columns], "statistic")
    limits = boot.conf_int(kind, level)
    many = panels(len(chosen), ax, figsize=figsize, panel=(3.4, 2.4))
    for cell, name in zip(many, chosen, strict=True):
        values = boot.t[name].to_numpy(dtype=float)
        _density(cell, values[np.isfinite(values)])
        low, high = limits.loc[name].to_numpy(dtype=float)
        _marks(cell, float(boot.t0[name]), low, high)
        cell.set_yticks([])
        cell.spines["left"].set_visible(False)
        style.dress(cell)
        style.title(cell, name)
    many[0].figure.supxlabel(
        f"{len(boot.t):,} replicates; line: estimate, bar: {100 * level:g} % interval ({kind})",
        fontsize=style.SMALL,
    )
    return many


def _density(ax: Any, values: FloatArray) -> None:
    """A kernel density, cut at the data's ends; what is piled up at zero is a bar of its own."""
    piled = float(np.mean(np.abs(values) < 1e-8)) if len(values) else 0.0
    spread = values[np.abs(values) >= 1e-8] if piled > 0.02 else values
    if len(np.unique(spread)) > 2:
        from scipy.stats import gaussian_kde

        x = np.linspace(spread.min(), spread.max(), 300)
        y = (1.0 - piled) * gaussian_kde(spread)(x)
        ax.fill_between(x, y, color=style.BLUE, alpha=style.BAND, linewidth=0.0)
        ax.plot(x, y, color=style.BLUE, linewidth=1.6)
    if piled > 0.02:
        ax.axvline(0.0, ymax=0.75, color=style.BLUE, linewidth=5.0)
        text = f"{100 * piled:.0f} % at 0"
        ax.annotate(text, (0.0, 0.8), xycoords=("data", "axes fraction"), xytext=(3, 0),
                    textcoords="offset points", fontsize=style.SMALL - 1)  # fmt: skip
    ax.set_ylim(bottom=0.0)


def _marks(ax: Any, estimate: float, low: float, high: float) -> None:
    top = ax.get_ylim()[1]
    ax.axvline(estimate, color=style.ORANGE, linewidth=1.8)
    if np.isfinite(low) and np.isfinite(high):
        ax.plot([low, high], [0.0, 0.0], color=style.ORANGE, linewidth=5.0,
                solid_capstyle="butt", clip_on=False, zorder=4)  # fmt: skip
    ax.set_ylim(0.0, top)
