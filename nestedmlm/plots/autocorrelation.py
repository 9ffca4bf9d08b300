"""Autocorrelation of residuals: before and after a structure."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.source import require_likelihood
from nestedmlm.views.protocols import EitherFit

_APART = 0.12  # of a lag, between the two kinds of residuals
_LOOKS = (("pearson", style.GREY), ("normalized", style.BLUE))


@checked
def acf(
    fit: EitherFit,
    within: str | None = None,
    *,
    lags: int | None = None,
    level: float = 0.95,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Autocorrelation of residuals within groups, by lag.

    Where residuals correlate (``residual=``), Pearson residuals are drawn in grey and normalized
    ones, which are uncorrelated if the structure is right, in blue. The band holds uncorrelated
    residuals with the probability `level`.

    Parameters
    ----------
    fit : LmerFit
    within : str, optional
        A grouping factor, or the blocks of ``residual=``; by default these, or the first factor.
    lags : int, optional
        The largest; by default all that at least ten pairs of rows have.
    level : float
        Of the band.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If `fit` is a posterior, or there are no such groups.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"),
    ...               residual="ar1(Days | Subject)")
    >>> ax = nm.plots.acf(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('lag', 'autocorrelation')
    """
    likely: Any = require_likelihood(fit, "acf")
    frame = likely.autocorrelation(within, lags=lags, level=level).iloc[1:]
    ax = axes(ax, figsize=figsize)
    structured = fit.design.residual is not None
    lag = frame.index.to_numpy(dtype=float)
    style.zero_line(ax)
    ax.fill_between(
        lag, -frame["limit"], frame["limit"], color=style.BLUE, alpha=style.BAND, linewidth=0.0
    )
    for side, (kind, colour) in zip((-1, 1), _LOOKS, strict=True):
        if not structured and kind == "pearson":
            continue
        x, y = lag + (side * _APART if structured else 0.0), frame[kind].to_numpy()
        ax.vlines(x, 0.0, y, color=colour, linewidth=2.0, label=kind)
        ax.plot(x, y, "o", color=colour, markersize=4.0)
    ax.set_xticks(np.unique(lag.astype(int)))
    if structured:
        ax.legend(frameon=False, fontsize=style.SMALL)
    return style.dress(ax, x="lag", y="autocorrelation", heading="Residuals within groups")
