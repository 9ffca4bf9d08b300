"""Residuals against fitted values, their spread, their quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.quantiles import draw_quantiles
from nestedmlm.plots.smoother import smoother
from nestedmlm.plots.source import residual_label, rows_of
from nestedmlm.views.protocols import Fit

_DENSE = 3000  # more points than this are drawn as a density


@checked
def residuals(fit: Fit, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Residuals against fitted values with a smoother.

    Pearson residuals in units of sigma; of a generalized model quantile residuals, which are
    standard normal if the model is right. Where the curve bends, the model misses a relation; a
    slight rise is normal, because groups are pulled towards the mean. Thousands of rows are shown
    as a density.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or BayesFit
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
    ResidualStructureError
        For posteriors of models whose residuals differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.residuals(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('fitted value', 'residual / σ')
    """
    ax = axes(ax, figsize=figsize)
    fitted, z = rows_of(fit)
    style.zero_line(ax)
    _cloud(ax, fitted, z)
    reach = 1.05 * float(np.max(np.abs(z), initial=1.0))
    ax.set_ylim(-reach, reach)
    return style.dress(
        ax, x="fitted value", y=residual_label(fit), heading="Residuals and fitted values"
    )


@checked
def scale_location(fit: Fit, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Spread of the residuals against fitted values, with a smoother.

    Square roots of absolute Pearson residuals in units of sigma; a rising curve means that the
    spread grows with the mean. The dashed line is the expectation for normal residuals, 0.82.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or BayesFit
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
    ResidualStructureError
        For posteriors of models whose residuals differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> nm.plots.scale_location(fit).get_ylabel()
    '√|residual / σ|'
    """
    ax = axes(ax, figsize=figsize)
    fitted, z = rows_of(fit)
    style.zero_line(ax, at=ROOT_MEAN)
    _cloud(ax, fitted, np.sqrt(np.abs(z)))
    ax.set_ylim(bottom=0.0)
    return style.dress(
        ax, x="fitted value", y=f"√|{residual_label(fit)}|", heading="Spread of the residuals"
    )


ROOT_MEAN = 0.822179  # mean of sqrt|z| of a standard normal z: 2^(1/4) Gamma(3/4) / sqrt(pi)


@checked
def qq_residuals(
    fit: Fit,
    *,
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Quantiles of the residuals against those of a normal distribution.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or BayesFit
    level : float
        The band holds all points of a sample of independent normal residuals with this
        probability.
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
    ResidualStructureError
        For posteriors of models whose residuals differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> nm.plots.qq_residuals(fit).get_xlabel()
    'normal quantile'
    """
    ax = axes(ax, figsize=figsize)
    draw_quantiles(ax, rows_of(fit)[1], level=level)
    return style.dress(
        ax, x="normal quantile", y=residual_label(fit), heading="Quantiles of the residuals"
    )


def _cloud(ax: Any, x: FloatArray, y: FloatArray) -> None:
    """Points, or their density where there are too many, and the smoother."""
    if len(x) > _DENSE:
        ax.hexbin(x, y, gridsize=60, mincnt=1, bins="log", cmap=_blues(), linewidths=0.0)
    else:
        size = float(np.clip(900.0 / np.sqrt(len(x)) / 3.0, 8.0, 24.0))
        ax.scatter(x, y, s=size, color=style.BLUE, alpha=0.55, linewidths=0.0)
    curve = smoother(x, y)
    if curve is not None:
        ax.plot(*curve, color=style.ORANGE, linewidth=2.0)


def _blues() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    # from transparent, so that it fades into a page of any colour
    return LinearSegmentedColormap.from_list("nestedmlm", [(*_rgb(0.18),), (*_rgb(1.0),)])


def _rgb(alpha: float) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    return tuple(to_rgba(style.BLUE, alpha))  # type: ignore[return-value]
