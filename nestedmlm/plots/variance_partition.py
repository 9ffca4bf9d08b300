"""Variance partition: how the variance splits over the levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.views.parameters import fit_names
from nestedmlm.views.protocols import EitherFit, Fit


@checked
def variance_partition(
    *fits: EitherFit,
    names: Sequence[str] | None = None,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Shares of the variance by level, one bar for each fit.

    What lies between groups of each factor, and between rows within groups. A factor with random
    slopes counts with its average over the rows, ``mean(z' Sigma z)`` (Johnson 2014).

    Parameters
    ----------
    *fits : LmerFit or BayesFit
        Shares of a posterior are posterior means.
    names : sequence of str, optional
        One for each fit; by default M1, M2, … (no label for a single one).
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `ax` is no axes of matplotlib, something is no fit, or the names do not fit.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> ax = nm.plots.variance_partition(fit)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['batch', 'cask:batch', 'Residual']
    """
    labels = fit_names(fits, names)
    tables = [shares_of_levels(fit) for fit in fits]
    levels = [name for name in dict.fromkeys(n for t in tables for n in t) if name != RESIDUAL]
    levels.sort(key=lambda name: _size(fits, name))
    ax = axes(ax, figsize=figsize or (7.0, 1.5 + 0.45 * len(fits)))
    for k, table in enumerate(tables):
        place, left = len(fits) - 1 - k, 0.0
        for i, name in enumerate([*levels, RESIDUAL]):
            share = 100.0 * table.get(name, 0.0)
            color = style.GREY if name == RESIDUAL else style.CYCLE[i % 5]
            ax.barh(place, share, left=left, height=0.62, color=color, alpha=0.85,
                    label=name if k == 0 else None)  # fmt: skip
            if share >= 4.0:
                ax.text(left + share / 2, place, f"{share:.0f} %", ha="center", va="center",
                        fontsize=style.SMALL, color="white", fontweight="bold")  # fmt: skip
            left += share
    ax.set_xlim(0.0, 100.0)
    style.categories(ax, [style.shorten(label) for label in labels])
    ax.spines["left"].set_visible(False)
    style.dress(ax, x="share of the variance, %", heading="Variance by level")
    style.legend_above(ax)
    return ax


RESIDUAL = "Residual"


def _size(fits: tuple[Fit, ...], name: str) -> int:
    """Number of levels of a factor: few stand for the top of a hierarchy."""
    return min(len(f.levels) for fit in fits for f in fit.design.factors if f.name == name)


def shares_of_levels(fit: EitherFit) -> dict[str, float]:
    """Share of each grouping factor, and of the residual, in the variance given the predictors."""
    found = fit.icc()["estimate"] if fit.engine == "posterior" else fit.icc(by_group=True)
    return {str(name): float(value) for name, value in found.items()}
