"""Quantile-quantile plots with a line and a simultaneous band."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.plots import style

_POINTS = 2000  # more than this are thinned in the middle


def draw_quantiles(
    ax: Any, values: FloatArray, *, level: float = 0.95, color: str = style.BLUE, label: str = ""
) -> None:
    """Draw sorted values against normal quantiles, with the line ``y = x`` and its band.

    Parameters
    ----------
    ax : matplotlib axes
    values : (n,) array
        Standardised: of variance one.
    level : float
        All points of a normal sample lie in the band with this probability.
    color, label : str
    """
    from scipy.stats import norm

    y = np.sort(values[np.isfinite(values)])
    if not len(y):
        return
    lower, upper = normal_band(len(y), level)
    x = norm.ppf(plotting_positions(len(y)))
    shown = _thinned(len(y))
    ax.fill_between(
        x[shown], lower[shown], upper[shown], color=style.GREY, alpha=style.BAND, linewidth=0.0
    )
    ends = x[[0, -1]]
    ax.plot(ends, ends, color=style.GREY, linewidth=1.2)
    size = float(np.clip(60.0 / np.sqrt(len(y)) * 4.0, 6.0, 22.0))
    ax.scatter(x[shown], y[shown], s=size, color=color, linewidths=0.0, label=label, zorder=3)


def plotting_positions(n: int) -> FloatArray:
    """Probabilities at which the n sorted values are plotted: ``(i - 1/2) / n``."""
    out: FloatArray = (np.arange(n) + 0.5) / n
    return out


def normal_band(n: int, level: float) -> tuple[FloatArray, FloatArray]:
    """Simultaneous band of the order statistics of n standard normal values.

    Notes
    -----
    The i-th of n uniform order statistics is Beta(i, n + 1 - i); the band is made of equal-tailed
    Beta intervals whose common level is such that all hold at once with probability `level`
    (Aldor-Noiman et al. 2013, "tail-sensitive" band). The level is found by simulation with a
    fixed seed.
    """
    from scipy.stats import beta, norm

    i = np.arange(1, n + 1)
    tail = 0.5 * _pointwise(min(n, 1000), level)
    return (
        norm.ppf(beta.ppf(tail, i, n + 1 - i)),
        norm.ppf(beta.ppf(1.0 - tail, i, n + 1 - i)),
    )


@lru_cache(maxsize=64)
def _pointwise(n: int, level: float) -> float:
    """Level of the intervals of single points that holds for all n together.

    It changes little beyond a thousand points, where n is cut off.
    """
    from scipy.special import betainc

    rng = np.random.default_rng(7)
    u = np.sort(rng.random((400, n)), axis=1)
    i = np.arange(1, n + 1)
    p = betainc(i, n + 1 - i, u)
    smallest = 2.0 * np.minimum(p, 1.0 - p).min(axis=1)
    return float(np.quantile(smallest, 1.0 - level))


def _thinned(n: int) -> np.ndarray:
    """Which of n sorted points to draw: all in the tails, some in the middle."""
    if n <= _POINTS:
        return np.arange(n)
    tail = _POINTS // 4
    middle = np.linspace(tail, n - tail - 1, _POINTS // 2).astype(int)
    return np.unique(np.concatenate([np.arange(tail), middle, np.arange(n - tail, n)]))
