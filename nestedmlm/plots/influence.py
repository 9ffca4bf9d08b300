"""Leverages, residuals and Cook's distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.source import require_likelihood
from nestedmlm.views.influence import Influence
from nestedmlm.views.protocols import EitherFit

_CONTOURS = (0.5, 1.0)  # of Cook's distance
_TOP = 5  # rows or groups named
_LABELLED, _LEVEL = 30, 12  # most groups with labels, and with labels that need not be turned
_REFITS = {"full": "each by a full refit", "one-step": "each by one step", "none": "theta held"}


@checked
def leverage(
    fit: EitherFit, *, label: int = _TOP, ax: Any = None, figsize: tuple[float, float] | None = None
) -> Any:
    """Standardised residuals against leverages, with contours of Cook's distance.

    The rows with the largest Cook's distances are named. Contours at 0.5 and 1 are drawn where
    they lie within the picture.

    Parameters
    ----------
    fit : LmerFit
    label : int
        How many rows to name.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `fit` is a posterior: leverages are those of the fit by likelihood.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.leverage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('leverage', 'standardised residual')
    """
    fit = require_likelihood(fit, "leverage")
    ax = axes(ax, figsize=figsize)
    hat = fit.hatvalues()
    frame = hat.to_frame("hat").assign(
        residual=fit.rstudent(), cook=fit.cooks_distance() if fit.design.p else np.nan
    )
    frame = frame[np.isfinite(frame["hat"]) & np.isfinite(frame["residual"])]
    h, r = frame["hat"].to_numpy(dtype=float), frame["residual"].to_numpy(dtype=float)
    cook = frame["cook"].fillna(0.0).to_numpy(dtype=float)
    style.zero_line(ax)
    size = float(np.clip(300.0 / np.sqrt(len(h)), 6.0, 24.0))
    ax.scatter(h, r, s=size, color=style.BLUE, alpha=0.6, linewidths=0.0)
    top = np.argsort(cook, kind="stable")[::-1][: min(label, len(cook))]
    _name(ax, h[top], r[top], [str(index) for index in frame.index[top]])
    reach = 1.12 * float(np.abs(r).max(initial=1.0))
    ax.set_xlim(0.0, 1.06 * float(h.max(initial=0.1)))
    ax.set_ylim(-reach, reach)
    if fit.design.p:
        _contours(ax, fit.design.p, reach)
    return style.dress(
        ax, x="leverage", y="standardised residual", heading="Leverage and Cook's distance"
    )


def _contours(ax: Any, p: int, reach: float) -> None:
    """Curves on which ``r^2 h / ((1 - h) p)`` has a given value."""
    right = ax.get_xlim()[1]
    h = np.linspace(1e-4, min(right, 1.0 - 1e-6), 400)
    for value in _CONTOURS:
        r = np.sqrt(value * p * (1.0 - h) / h)
        if r[-1] > reach:
            continue
        for sign in (1.0, -1.0):
            ax.plot(h, sign * r, color=style.ORANGE, linewidth=1.0, linestyle="--")
        ax.annotate(f"{value:g}", (right, r[-1]), xytext=(2, 0), textcoords="offset points",
                    color=style.ORANGE, fontsize=style.SMALL - 1, va="center")  # fmt: skip


def _name(ax: Any, x: FloatArray, y: FloatArray, labels: list[str]) -> None:
    for place, label in zip(zip(x, y, strict=True), labels, strict=True):
        ax.scatter(*place, s=42, facecolors="none", edgecolors=style.ORANGE, linewidths=1.2)
        ax.annotate(label, place, xytext=(5, 3), textcoords="offset points",
                    fontsize=style.SMALL - 1)  # fmt: skip


@checked
def cooks_distance(
    of: EitherFit | Influence,
    *,
    label: int = _TOP,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Cook's distances as stems, of the rows of a fit or of groups left out.

    Parameters
    ----------
    of : LmerFit or Influence
        A fit (its rows), or what ``fit.influence("schoolid")`` returns.
    label : int
        How many of the largest to name.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `of` is a posterior: Cook's distances are those of the fit by likelihood.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.cooks_distance(fit.influence("Subject"))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Subject', "Cook's distance")
    """
    if not isinstance(of, Influence):
        of = require_likelihood(of, "Cook's distance")
    ax = axes(ax, figsize=figsize)
    found = of.cooks_distance()
    values = found.to_numpy(dtype=float)
    place = np.arange(len(values))
    known = np.isfinite(values)
    ax.vlines(place[known], 0.0, values[known], color=style.BLUE,
              linewidth=float(np.clip(300.0 / max(len(values), 1), 0.6, 2.5)))  # fmt: skip
    top = np.argsort(np.where(known, values, -1.0), kind="stable")[::-1][:label]
    top = top[known[top]]
    ax.scatter(place[top], values[top], s=16, color=style.ORANGE, linewidths=0.0, zorder=3)
    for i in top:
        ax.annotate(str(found.index[i]), (place[i], values[i]), xytext=(0, 4), ha="center",
                    textcoords="offset points", fontsize=style.SMALL - 1)  # fmt: skip
    ax.set_ylim(0.0, 1.12 * float(np.max(values[known], initial=1e-12)))
    ax.set_xlim(-0.5 - 0.01 * len(values), len(values) - 0.5 + 0.01 * len(values))
    by = getattr(of, "by", "case")
    groups = by != "case"
    if groups and len(values) <= _LABELLED:
        labels = [style.shorten(str(level), 10) for level in found.index]
        turned = 0 if len(values) <= _LEVEL else 60
        ax.set_xticks(place, labels, rotation=turned, fontsize=style.SMALL)
    elif groups:
        ax.set_xticks([])
    x = str(by) if groups else "row"
    named = not groups or len(values) <= _LABELLED
    refit = getattr(of, "refit", None)  # a method of fits
    how = f", {_REFITS[refit]}" if isinstance(refit, str) else ""
    return style.dress(
        ax,
        x=x if named else f"{x}, {len(values):,} levels",
        y="Cook's distance",
        heading=f"Cook's distance{how}",
    )
