"""From least squares of each group to the model's coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.source import INTERCEPT, grouping
from nestedmlm.views.protocols import Fit

_FAR = 6.0  # interquartile ranges beyond which least squares of a group is cut off the picture


@checked
def shrinkage(
    fit: Fit,
    x: str | None = None,
    *,
    group: str | None = None,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Least squares of each group alone, and where the model moves it.

    An arrow leads from the intercept and slope that a group's own rows give to the group's
    coefficients in the model; the diamond is the population's estimate. With a single random
    effect the picture has one dimension: group means and intercepts.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    x : str, optional
        The random slope; by default the first one of the grouping factor.
    group : str, optional
        Grouping factor; by default the one with the most random effects.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If the grouping factor has no such random slope, or the model has smooths alone.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.shrinkage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('(Intercept)', 'Days')
    """
    return _draw_shrinkage(fit, grouping(fit, group), x, axes(ax, figsize=figsize))


def _draw_shrinkage(fit: Fit, factor: int, x: str | None, ax: Any) -> Any:
    """Draw arrows in two dimensions where there is a random slope, else in one."""
    grouping = fit.design.factors[factor]
    own = [t for t in fit.design.terms if t.factor == factor]
    if any(t.smooth is not None for t in own):
        raise OptionError(f"{grouping.name} is a smooth, whose coefficients are of no groups")
    names = [c for t in own for c in t.columns]
    slopes = [c for c in names if c != INTERCEPT]
    if x is not None and x not in slopes:
        known = ", ".join(slopes) or "none"
        raise OptionError(f"{grouping.name} has no random slope of {x!r}; there are: {known}")
    slope = x or (slopes[0] if slopes else None)
    modelled = fit.coef()[grouping.name]
    fixed = dict(fit.params)
    if slope is None:
        return _means(fit, grouping, modelled[INTERCEPT].to_numpy(dtype=float), ax)
    values = next(t.X[:, t.columns.index(slope)] for t in own if slope in t.columns)
    alone = group_lines(grouping.codes, values, _partial(fit, slope), len(grouping.levels))
    to = np.column_stack([_column(modelled, c, len(grouping.levels)) for c in (INTERCEPT, slope)])
    centre = (fixed.get(INTERCEPT, 0.0), fixed.get(slope, 0.0))
    _arrows(ax, alone, to, centre)
    missing = int(np.sum(~np.isfinite(alone[:, 0])))
    note = f"; {missing} without a line of their own" if missing else ""
    heading = f"Shrinkage of the {len(grouping.levels):,} levels of {grouping.name}{note}"
    return style.dress(ax, x=INTERCEPT, y=slope, heading=heading)


def _column(frame: Any, name: str, size: int) -> FloatArray:
    return frame[name].to_numpy(dtype=float) if name in frame else np.zeros(size)


def _partial(fit: Fit, slope: str) -> FloatArray:
    """Response without the fixed effects of everything but the intercept and the slope."""
    design = fit.design
    beta = np.asarray(fit.params, dtype=float)
    other = [j for j, name in enumerate(design.x_names) if name not in (INTERCEPT, slope)]
    y: FloatArray = design.y - design.X[:, other] @ beta[other]
    return y if design.offset is None else y - design.offset


def group_lines(codes: np.ndarray, x: FloatArray, y: FloatArray, count: int) -> FloatArray:
    """Intercept and slope of each group's own regression, shape (J, 2); NaN where there is none."""
    size = np.bincount(codes, minlength=count).astype(float)
    safe = np.maximum(size, 1.0)
    mx, my = (np.bincount(codes, weights=v, minlength=count) / safe for v in (x, y))
    dx, dy = x - mx[codes], y - my[codes]
    sxx = np.bincount(codes, weights=dx * dx, minlength=count)
    sxy = np.bincount(codes, weights=dx * dy, minlength=count)
    known = (size > 2) & (sxx > 1e-12 * max(float(np.sum(dx * dx)), 1e-300))
    slope = np.where(known, sxy / np.where(known, sxx, 1.0), np.nan)
    return np.column_stack([my - slope * mx, slope])


def _arrows(ax: Any, start: FloatArray, end: FloatArray, centre: tuple[float, float]) -> None:
    known = np.isfinite(start).all(axis=1)
    a, b = start[known], end[known]
    many = len(b) > 60
    ax.quiver(
        *a.T, *(b - a).T, angles="xy", scale_units="xy", scale=1.0, color=style.GREY,
        width=0.0018 if many else 0.003, alpha=0.5 if many else 0.8, headwidth=4, headlength=5,
        headaxislength=4.5, zorder=1,
    )  # fmt: skip
    size = 12 if many else 26
    ax.scatter(*a.T, s=size, facecolors="none", edgecolors=style.ORANGE, linewidths=1.0,
               label="each group alone", zorder=2)  # fmt: skip
    ax.scatter(*end.T, s=size, color=style.BLUE, linewidths=0.0, label="model", zorder=3)
    ax.scatter(*centre, s=70, marker="D", color=style.PURPLE, label="population", zorder=4)
    for axis, k in (("x", 0), ("y", 1)):
        getattr(ax, f"set_{axis}lim")(*_limits(a[:, k], np.append(end[:, k], centre[k])))
    style.legend(ax)


def _limits(alone: FloatArray, modelled: FloatArray) -> tuple[float, float]:
    """Everything of the model, and what is not far off of the groups alone."""
    low, high = float(modelled.min()), float(modelled.max())
    if len(alone):
        q1, q3 = np.quantile(alone, [0.25, 0.75])
        reach = _FAR / 2.0 * (q3 - q1)
        near = alone[(alone >= q1 - reach) & (alone <= q3 + reach)]
        low, high = min(low, float(near.min())), max(high, float(near.max()))
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def _means(fit: Fit, grouping: Any, intercepts: FloatArray, ax: Any) -> Any:
    """One dimension: a group's mean residual from the fixed part, and its random intercept."""
    count = len(grouping.levels)
    size = np.maximum(np.bincount(grouping.codes, minlength=count), 1)
    fixed = fit.params.get(INTERCEPT, 0.0)
    away = _partial(fit, INTERCEPT)
    alone = np.bincount(grouping.codes, weights=away, minlength=count) / size
    order = np.argsort(alone, kind="stable")
    place = np.arange(count)
    ax.axvline(fixed, color=style.PURPLE, linewidth=1.6, label="population", zorder=0)
    dense = count > 60
    ax.hlines(place, alone[order], intercepts[order], color=style.GREY,
              linewidth=0.5 if dense else 0.9, alpha=0.45 if dense else 0.8)  # fmt: skip
    dot = float(np.clip(900.0 / count, 5.0, 26.0))
    ax.scatter(alone[order], place, s=dot, facecolors="none", edgecolors=style.ORANGE,
               label="each group alone")  # fmt: skip
    ax.scatter(intercepts[order], place, s=dot, color=style.BLUE, linewidths=0.0, label="model")
    if count <= 40:
        ax.set_yticks(place, [style.shorten(str(grouping.levels[i])) for i in order])
        ax.tick_params(axis="y", length=0, labelsize=style.SMALL)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{grouping.name}, sorted")
    style.legend(ax, loc="lower right")
    return style.dress(
        ax, x=INTERCEPT, heading=f"Shrinkage of the {count:,} levels of {grouping.name}"
    )
