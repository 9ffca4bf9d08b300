"""Prior and posterior density of each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.bayes.density.prior_coordinates import make_coordinate
from nestedmlm.bayes.model.scalar_parameters import named_parameters
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.priors import prior_curve, priors_of
from nestedmlm.plots.source import named_parameter
from nestedmlm.posterior.parameter_priors import ParameterPrior, draws_on_scale, parameter_priors
from nestedmlm.views.protocols import EitherFit

_PRIOR, _POSTERIOR = style.ORANGE, style.BLUE
_GRID = 200  # places at which a posterior's density is drawn


@checked
def prior_posterior(
    fit: EitherFit,
    names: str | Sequence[str] | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Density of each parameter before and after the data.

    The posterior is smoothed by a normal kernel, mirrored where values end: it would seem to fall
    towards a standard deviation of zero otherwise. The prior is its exact density: of the
    intercept, where there are predictors, that of the intercept at their means, whose posterior is
    drawn; of one of several correlations its own. Priors of combinations, which are factors besides
    these, are not drawn.

    Parameters
    ----------
    fit : BayesFit
    names : str or sequence of str, optional
        Parameters as ``fit.parameters()`` and ``conf_int()`` name them, or as ArviZ does
        (``variable``); by default all of these but for those whose priors have hyperparameters.
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
        If the fit has no draws, a name is unknown, the priors are not known or one is a function.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit = model.sample(sampler="psis", draws=100, seed=1)
    >>> [ax.get_title(loc="left") for ax in nm.plots.prior_posterior(fit)]
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    """
    if fit.engine != "posterior":
        raise OptionError("only a BayesFit has a posterior; make one with fit.sample()")
    named = named_parameters(fit.design)
    priors = parameter_priors(fit.design, priors_of(fit))
    both = zip(named.items(), priors, strict=True)
    # a prior that has hyperparameters has no density in closed form
    found = {name: (p, own) for (name, p), own in both if own is not None}
    chosen = named_parameter(names, {name: p for name, (p, _) in found.items()})
    cells = panels(len(chosen), ax, columns=3, figsize=figsize, panel=(3.4, 2.3))
    for cell, name in zip(cells, chosen, strict=True):
        parameter, own = found[name]
        draws = draws_on_scale(fit.data, fit.design, parameter, own).ravel()
        _panel(cell, name, own, draws)
        cell.set_xlabel(_scale(own), fontsize=style.SMALL)
    cells[0].legend(frameon=False, fontsize=style.SMALL)
    return cells


def _scale(own: ParameterPrior) -> str:
    """What a prior is of, where it is not the parameter that the panel is headed by."""
    if own.centred:
        return "at the means of the predictors"
    return "logarithm" if own.log else "at the median gap" if own.unit != 1.0 else ""


def _panel(panel: Any, name: str, own: ParameterPrior, draws: np.ndarray) -> None:
    curve = prior_curve(own.prior)
    if curve is not None:
        x, density = own.origin + own.direction * curve[0], curve[1] / abs(own.direction)
        panel.fill_between(x, density, color=_PRIOR, alpha=style.BAND, linewidth=0.0)
        panel.plot(x, density, color=_PRIOR, linewidth=1.2, label="prior")
    if np.ptp(draws) > 0.0:
        grid = np.linspace(draws.min(), draws.max(), _GRID)
        density = smoothed(draws, grid, *_support(own))
        panel.plot(grid, density, color=_POSTERIOR, linewidth=1.8, label="posterior")
        panel.set_ylim(0.0, 1.08 * density.max())
    panel.set_title(name, fontsize=10, loc="left")
    panel.set_yticks([])
    panel.tick_params(labelsize=style.SMALL)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _support(own: ParameterPrior) -> tuple[float, float]:
    """Between what the values of a parameter lie."""
    ends = (-1.0, 1.0)
    if own.prior.distribution != "LKJ":
        ends = make_coordinate(own.name, own.prior).support
    low, high = sorted(own.origin + own.direction * end for end in ends)
    return low, high


def smoothed(draws: FloatArray, grid: FloatArray, low: float, high: float) -> FloatArray:
    """Kernel density of draws at some places, mirrored at the ends of their values."""
    from scipy.stats import gaussian_kde

    kernel = gaussian_kde(draws)
    density: FloatArray = kernel(grid)
    for end in (low, high):
        if np.isfinite(end):
            density = density + kernel(2.0 * end - grid)
    return density
