"""Random effects: caterpillars with intervals, and their quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.quantiles import draw_quantiles
from nestedmlm.plots.source import modes, unit_of
from nestedmlm.views.protocols import EitherFit, Fit

MAX_LABELS = 60  # more levels than this go without labels
_BARS = 120  # more levels than this are an area instead of bars
_ROW = 0.19  # inches per labelled level


@checked
def caterpillar(
    fit: EitherFit,
    *,
    group: str | None = None,
    term: str | None = None,
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Random effects of every level, sorted, with intervals.

    Levels whose interval leaves out zero are in colour. Up to 60 levels are labelled; thousands
    are shown as a band.

    Parameters
    ----------
    fit : LmerFit or BayesFit
        Conditional modes with intervals given the parameters, or posterior means with quantiles.
    group, term : str, optional
        A grouping factor and a column (``"(Intercept)"``, ``"Days"``); by default all.
    level : float
        Probability inside the intervals.
    ax : axes or array of axes, optional
        One for each term that is drawn.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes, or an array of them where several terms are drawn

    Raises
    ------
    OptionError
        If there is no such group or term.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> left, right = nm.plots.caterpillar(fit)
    >>> left.get_title(loc="left"), right.get_title(loc="left")
    ('(Intercept) | Subject', 'Days | Subject')
    """
    chosen = list(_chosen(modes(fit, level), group, term))
    labelled = max(len(part) for _, part in chosen) <= MAX_LABELS
    height = max(2.6, 0.9 + _ROW * max(len(part) for _, part in chosen)) if labelled else 4.6
    many = panels(
        len(chosen), ax, columns=3, figsize=figsize, panel=(4.0 if len(chosen) > 1 else 6.0, height)
    )
    for cell, ((factor, column), part) in zip(many, chosen, strict=True):
        _caterpillar(cell, part.sort_values("estimate", kind="stable"), factor)
        style.dress(cell, x=f"random effect, {100 * level:g} % interval")
        style.title(cell, f"{column} | {factor}")
    return many if len(many) > 1 else many[0]


def _chosen(
    frame: pd.DataFrame, group: str | None, term: str | None
) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for name, wanted, column in (("group", group, "group"), ("term", term, "term")):
        known = list(dict.fromkeys(frame[column]))
        if wanted is not None and wanted not in known:
            raise OptionError(f"{name}={wanted!r} is unknown; there are: {', '.join(known)}")
    found = frame
    if group is not None:
        found = found[found["group"] == group]
    if term is not None:
        found = found[found["term"] == term]
    if not len(found):
        raise OptionError(f"{group!r} has no random effect {term!r}")
    yield from found.groupby(["group", "term"], sort=False)


def _caterpillar(ax: Any, part: pd.DataFrame, factor: str) -> None:
    """Draw sorted levels from the lowest at the bottom to the highest on top."""
    place = np.arange(len(part), dtype=float)
    mode, lower, upper = (
        part[c].to_numpy(dtype=float) for c in ("estimate", "conf_low", "conf_high")
    )
    clear = (lower > 0) | (upper < 0)
    style.zero_line(ax, vertical=True)
    if len(part) > _BARS:
        ax.fill_betweenx(place, lower, upper, color=style.GREY, alpha=0.35, linewidth=0.0)
    size = float(np.clip(700.0 / len(part), 4.0, 26.0))
    width = float(np.clip(90.0 / len(part), 0.8, 1.6))
    for mask, color in ((~clear, style.GREY), (clear, style.BLUE)):
        if len(part) <= _BARS:
            ax.hlines(place[mask], lower[mask], upper[mask], color=color, linewidth=width)
        ax.scatter(mode[mask], place[mask], s=size, color=color, linewidths=0.0, zorder=3)
    ax.set_ylim(-0.6, len(part) - 0.4)
    if len(part) <= MAX_LABELS:
        ax.set_yticks(place, [style.shorten(str(one)) for one in part["level"]])
        ax.tick_params(axis="y", length=0, labelsize=min(style.SMALL, 10.0))
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{factor}: {len(part):,} levels, sorted")


@checked
def qq_random_effects(
    fit: Fit,
    *,
    group: str | None = None,
    term: str | None = None,
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Quantiles of the random effects against those of a normal distribution.

    Each mode is divided by its standard deviation under the model, the square root of the
    variance of the random effect minus the conditional variance of the level, so that levels with
    few and with many rows can be compared and the points of a true model lie along the line.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    group, term : str, optional
        A grouping factor and a column; by default all. What has variance zero is left out.
    level : float
        The band holds all points of a normal sample with this probability.
    ax : axes or array of axes, optional
        One for each term that is drawn.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes, or an array of them where several terms are drawn

    Raises
    ------
    OptionError
        If there is no such group or term, or no random effect varies.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.qq_random_effects(fit, term="Days")
    >>> ax.get_title(loc="left"), len(ax.collections[-1].get_offsets())
    ('Days | Subject', 18)
    """
    scaled = standardised_modes(fit)
    known = {(g, t): z for g, t, z in scaled if group in (None, g) and term in (None, t)}
    if not known:
        there = ", ".join(f"{t} | {g}" for g, t, _ in scaled) or "none"
        raise OptionError(f"no random effect to draw; those with a variance above zero: {there}")
    many = panels(len(known), ax, figsize=figsize, panel=(3.6, 3.2))
    for cell, ((factor, column), z) in zip(many, known.items(), strict=True):
        draw_quantiles(cell, z, level=level)
        style.dress(cell, x="normal quantile", y="standardised mode")
        style.title(cell, f"{column} | {factor}")
    return many if len(many) > 1 else many[0]


def standardised_modes(fit: Fit) -> list[tuple[str, str, FloatArray]]:
    """Group, column and modes in units of their standard deviation, of terms that vary."""
    variances = _variances(fit)
    out = []
    for (factor, column), part in fit.ranef().groupby(["group", "term"], sort=False):
        total = variances.get((factor, column), 0.0)
        own = total - part["std_error"].to_numpy(dtype=float) ** 2
        known = own > 1e-8 * max(total, unit_of(fit) ** 2)
        if np.any(known):
            z = part["estimate"].to_numpy(dtype=float)[known] / np.sqrt(own[known])
            out.append((str(factor), str(column), z))
    return out


def _variances(fit: Fit) -> dict[tuple[str, str], float]:
    """Variance of each random effect, by factor and column."""
    frame = fit.varcorr().to_frame()
    factor_of = {t.name: fit.design.factors[t.factor].name for t in fit.design.terms}
    single = frame[frame["var2"].isna() & frame["group"].isin(list(factor_of))]
    found = {
        (factor_of[row.group], row.var1): float(row.vcov) for row in single.itertuples(index=False)
    }
    for term in fit.design.terms:  # a common variance is listed under the first column
        name = factor_of[term.name]
        for column in term.columns:
            found.setdefault((name, column), found.get((name, term.columns[0]), 0.0))
    return found


def draw_mode_quantiles(ax: Any, fit: Fit) -> Any:
    """Draw the quantiles of all random effects into one panel, each term in its colour."""
    scaled = standardised_modes(fit)
    for i, (factor, column, z) in enumerate(scaled):
        color = style.CYCLE[i % len(style.CYCLE)]
        draw_quantiles(ax, z, color=color, label=f"{column} | {factor}")
    if len(scaled) > 1:
        style.legend(ax, loc="upper left")
    return style.dress(
        ax, x="normal quantile", y="standardised mode", heading="Quantiles of the random effects"
    )
