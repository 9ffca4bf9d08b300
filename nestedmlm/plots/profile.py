"""Profiles: zeta curves, and pairs of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.inference.profile.regions import region_boundary
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.source import named, require_likelihood
from nestedmlm.views.profile import Profile
from nestedmlm.views.protocols import EitherFit

LEVELS = (0.5, 0.8, 0.95, 0.99)  # of the intervals and regions
MAX_PAIRS = 6  # parameters shown in pairs unless they are named


@checked
def profile_zeta(
    of: Profile | EitherFit,
    names: str | Sequence[str] | None = None,
    *,
    progress: bool = True,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Profile zeta of each parameter: a straight line where the likelihood is quadratic.

    zeta is the signed square root of the rise of the deviance. Vertical lines bound the 50, 80, 95
    (orange) and 99 % intervals; unequal distances from the estimate show skewness.

    Parameters
    ----------
    of : Profile or LmerFit
        What ``fit.profile()`` returned, or a fit, which is profiled first.
    names : str or sequence of str, optional
        Which parameters; by default all. Of a fit only these are profiled, and ``"theta_"`` and
        ``"beta_"`` name all of a kind.
    progress : bool
        With a fit: show a bar of progress while it is profiled.
    ax : axes or array of axes, optional
        One for each parameter.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    OptionError
        If there is no such parameter, or `of` is a posterior, which has no profile.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> many = nm.plots.profile_zeta(fit)
    >>> [ax.get_xlabel() for ax in many]
    ['sd_(Intercept)|Batch', 'sigma', '(Intercept)']
    """
    profile, chosen = _profiled(of, names, progress)
    many = panels(len(chosen), ax, figsize=figsize, panel=(3.0, 2.5), sharey=ax is None)
    for k, (cell, i) in enumerate(zip(many, chosen, strict=True)):
        _zeta(cell, profile, i)
        style.dress(cell, x=profile.names[i])
        if k == 0:
            cell.set_ylabel("ζ")
    return many


def _profiled(
    of: Profile | EitherFit, names: str | Sequence[str] | None, progress: bool
) -> tuple[Profile, list[int]]:
    """The profile, and which of its parameters to draw."""
    if isinstance(of, Profile):
        return of, [of.names.index(name) for name in named(names, of.names, "profile of")]
    found = require_likelihood(of, "a profile").profile(names, progress=progress)
    return found, list(range(len(found.names)))


def _zeta(ax: Any, profile: Profile, i: int) -> None:
    from scipy.special import ndtri

    curve = profile.curve(i)
    value, zeta = (curve[c].to_numpy(dtype=float) for c in ("value", "zeta"))
    if not len(value):
        ax.text(0.5, 0.5, "not defined", ha="center", va="center", transform=ax.transAxes)
        return
    ax.axhline(0.0, color=style.GREY, linewidth=0.9)
    limits = profile.curves[i]
    for level in LEVELS:
        color = style.ORANGE if level == 0.95 else style.GREY
        for side in (-1.0, 1.0):
            at = side * float(ndtri(0.5 + 0.5 * level))
            place = limits.limit(at)
            if np.isfinite(place):
                # a profile that ends at a bound does not reach so far
                top = np.clip(at, zeta.min(), zeta.max())
                ax.plot([place, place], [0.0, top], color=color, linewidth=1.1)
    ax.plot(value, zeta, color=style.BLUE, linewidth=2.0)
    ax.set_ylim(-3.2, 3.2)
    inside = np.abs(zeta) <= 3.2
    ax.set_xlim(*_padded(value[inside]))


def _padded(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low or 1.0)
    return low - margin, high + margin


@checked
def profile_pairs(
    of: Profile | EitherFit,
    names: str | Sequence[str] | None = None,
    *,
    progress: bool = True,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Joint regions of every pair of parameters, with the traces of their profiles.

    Contours bound the joint 50, 80, 95 and 99 % regions. Along a parameter's trace (orange: of
    the horizontal one, green: of the vertical one) all others are at their best; traces at right
    angles mean that the two do not depend on each other. The diagonal holds the zeta curves.

    Parameters
    ----------
    of : Profile or LmerFit
        What ``fit.profile()`` returned, or a fit, which is profiled first.
    names : str or sequence of str, optional
        Which parameters; by default the first six. Of a fit only these are profiled, and
        ``"theta_"`` and ``"beta_"`` name all of a kind.
    progress : bool
        With a fit: show a bar of progress while it is profiled.
    ax : array of axes, optional
        m (m + 1) / 2 of them, the rows of the lower triangle.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes
        The lower triangle, row by row.

    Raises
    ------
    OptionError
        If there is no such parameter, fewer than two are asked for, or `of` is a posterior,
        which has no profile.

    Notes
    -----
    The contours are interpolated from the profiles (see `nestedmlm.inference.profile.regions`), as
    in lme4's ``splom``, not computed by further fits.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> many = nm.plots.profile_pairs(fit.profile())
    >>> len(many), many[1].get_ylabel(), many[-1].get_xlabel()
    (6, 'sigma', '(Intercept)')
    """
    profile, chosen = _profiled(of, names, progress)
    chosen = chosen if names is not None else chosen[:MAX_PAIRS]
    m = len(chosen)
    if m < 2:
        raise OptionError("pairs need the profiles of two parameters or more")
    cells = _triangle(m, ax, figsize)
    frame = profile.to_frame()
    for row, i in enumerate(chosen):
        for column, j in enumerate(chosen[: row + 1]):
            cell = cells[row * (row + 1) // 2 + column]
            if i == j:
                _zeta(cell, profile, i)
                cell.set_ylabel("ζ" if row == 0 else "")
            else:
                _pair(cell, profile, frame, j, i)
            style.dress(cell)
            cell.tick_params(labelsize=style.SMALL - 1.5)
            if row == m - 1:
                cell.set_xlabel(_two_lines(profile.names[j]), fontsize=style.SMALL)
            if column == 0 and row > 0:
                cell.set_ylabel(_two_lines(profile.names[i]), fontsize=style.SMALL)
    return cells


def _two_lines(name: str) -> str:
    """The group of a random effect on a line of its own."""
    head, bar, group = name.partition("|")
    return f"{style.shorten(head)}\n| {style.shorten(group)}" if bar else style.shorten(name)


def _triangle(m: int, ax: Any, figsize: tuple[float, float] | None) -> np.ndarray:
    if ax is not None:
        return panels(m * (m + 1) // 2, ax)
    size = figsize or (min(2.3 * m, 11.0), min(2.0 * m, 9.5))
    grid = panels(m * m, columns=m, figsize=size).reshape(m, m)
    upper = np.triu_indices(m, 1)
    for cell in grid[upper]:
        cell.figure.delaxes(cell)
    return np.asarray(grid[np.tril_indices(m)], dtype=object)


def _pair(ax: Any, profile: Profile, frame: Any, first: int, second: int) -> None:
    """Draw contours and traces, the first parameter to the right, the second one up."""
    from scipy.stats import chi2

    curves = [profile.curve(i) for i in (first, second)]
    if any(len(curve) < 2 for curve in curves):
        ax.text(0.5, 0.5, "not defined", ha="center", va="center", transform=ax.transAxes)
        return
    names = profile.names[first], profile.names[second]
    traces = [_trace(frame, names[k], names[1 - k], curves[1 - k]) for k in (0, 1)]
    for level in LEVELS:
        radius = float(np.sqrt(chi2.ppf(level, 2)))
        zetas = region_boundary(traces[0], traces[1], radius)
        points = [_values(curve, z) for curve, z in zip(curves, zetas, strict=True)]
        ax.plot(*points, color=style.BLUE, linewidth=1.2 if level == 0.95 else 0.8)
    reach = float(np.sqrt(chi2.ppf(LEVELS[-1], 2)))
    for k, color in ((0, style.ORANGE), (1, style.GREEN)):
        own, other = (np.clip(z, -reach, reach) for z in traces[k])
        inside = np.abs(traces[k][0]) <= reach
        line = [_values(curves[k], own[inside]), _values(curves[1 - k], other[inside])]
        ax.plot(*(line if k == 0 else line[::-1]), color=color, linewidth=1.0)
    ax.plot(*(_values(curve, np.zeros(1)) for curve in curves), "+", color=style.ORANGE)


def _trace(frame: Any, own: str, other: str, curve: Any) -> tuple[FloatArray, FloatArray]:
    """Zeta of a profile, ascending, and that of another parameter along it."""
    rows = frame[frame["term"] == own].sort_values("zeta")
    value, zeta = (curve[c].to_numpy(dtype=float) for c in ("value", "zeta"))
    order = np.argsort(value, kind="stable")
    along = np.interp(rows[other].to_numpy(dtype=float), value[order], zeta[order])
    return rows["zeta"].to_numpy(dtype=float), along


def _values(curve: Any, zeta: FloatArray) -> FloatArray:
    """Values at some zetas; beyond its end a profile stays where it is."""
    out: FloatArray = np.interp(
        zeta, curve["zeta"].to_numpy(dtype=float), curve["value"].to_numpy(dtype=float)
    )
    return out
