"""The likelihood over two standard deviations."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.design.model_parameters import ModelParameter, model_parameters
from nestedmlm.errors import OptionError
from nestedmlm.inference.fitted import require_linear
from nestedmlm.inference.profile.surface import criterion_surface
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.source import require_likelihood
from nestedmlm.views.protocols import EitherFit, Fit

_LEVELS = (0.5, 0.8, 0.95, 0.99)  # of the regions


@checked
def likelihood_surface(
    fit: EitherFit,
    parameters: tuple[str, str] | None = None,
    *,
    size: int = 33,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """The criterion over two standard deviations of random effects, near the optimum.

    The contours hold 50, 80, 95 and 99 % by the chi-squared distribution with two degrees of
    freedom. Fixed effects and sigma are profiled out at every place; correlations and the other
    relative standard deviations stay at their estimates (a slice, not a profile). A contour that
    runs into an axis says that the standard deviation may be zero.

    Parameters
    ----------
    fit : LmerFit
    parameters : tuple of two str, optional
        Names as in ``conf_int()``: ``("sd_(Intercept)|batch", "sd_(Intercept)|cask:batch")``. By
        default the first standard deviations of the first two terms, or the first two of one.
    size : int
        Places along each side.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        If a name is unknown, the model has only one standard deviation besides sigma, or `fit` is
        a posterior (draw it with `nestedmlm.plots.posterior`, ``kind="pair"``).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> ax = nm.plots.likelihood_surface(fit, size=9)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('sd_(Intercept)|cask:batch / σ', 'sd_(Intercept)|batch / σ')
    """
    from scipy.stats import chi2

    fit = require_likelihood(fit, "the likelihood surface")
    require_linear(fit.core.family, "the likelihood surface")
    pair = chosen_pair(fit, parameters)
    surface = criterion_surface(fit.solution, pair, REML=fit.REML, size=size)
    ax = axes(ax, figsize=figsize or (6.0, 4.6))
    levels = chi2.ppf(_LEVELS, 2)
    shades = _shades(len(levels))
    ax.contourf(surface.x, surface.y, surface.rise, levels=[-np.inf, *levels], colors=shades)
    lines = ax.contour(
        surface.x, surface.y, surface.rise, levels=levels, colors=style.BLUE, linewidths=1.0
    )
    names = {level: f"{100 * p:g} %" for level, p in zip(lines.levels, _LEVELS, strict=True)}
    ax.clabel(lines, fmt=names, fontsize=style.SMALL - 1)
    ax.plot(*surface.at, marker="+", color=style.ORANGE, markersize=13, markeredgewidth=2.2,
            linestyle="none", clip_on=False, zorder=5)  # fmt: skip
    first, second = surface.names
    heading = f"{'REML criterion' if fit.REML else 'Deviance'} near the optimum"
    return style.dress(ax, x=f"{first} / σ", y=f"{second} / σ", heading=heading)


def _shades(count: int) -> list[tuple[float, ...]]:
    from matplotlib.colors import to_rgba

    return [to_rgba(style.BLUE, alpha) for alpha in np.linspace(0.55, 0.08, count)]


def chosen_pair(fit: Fit, names: tuple[str, str] | None) -> tuple[ModelParameter, ModelParameter]:
    """Two standard deviations of random effects."""
    found = {p.name: p for p in model_parameters(fit.design) if p.kind == "sd"}
    known = ", ".join(found)
    if names is None:
        if len(found) < 2:
            raise OptionError(f"a surface needs two standard deviations; there is only {known}")
        first = {p.term: p for p in reversed(found.values())}  # the first one of each term
        pair = [first[t] for t in sorted(first)]
        pair = pair[:2] if len(pair) > 1 else list(found.values())[:2]
        return pair[0], pair[1]
    for name in names:
        if name not in found:
            raise OptionError(f"{name!r} is no standard deviation here; there are: {known}")
    if len(names) != 2:
        raise OptionError(f"a surface needs two parameters, not {len(names)}")
    return found[names[0]], found[names[1]]
