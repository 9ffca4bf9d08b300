"""The prior density of every parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy  # its stats load on first use, which takes half a second

from nestedmlm.arguments import checked
from nestedmlm.bayes.density.prior_distributions import SCIPY, truncation
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.prior_set import PriorRow, PriorSet, is_conditional, shown
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.views.protocols import EitherFit, Specified

_COLOUR = style.BLUE
_COLUMNS = 3  # of panels
_TAIL = 0.01  # probability left out on either side that has a tail


# the distribution that a half one is, cut at zero
SYMMETRIC_TWIN: Mapping[str, Callable[[Mapping[str, float]], Any]] = MappingProxyType(
    {
        "HalfNormal": lambda p: scipy.stats.norm(0.0, p["sigma"]),
        "HalfStudentT": lambda p: scipy.stats.t(p["nu"], 0.0, p["sigma"]),
        "HalfCauchy": lambda p: scipy.stats.cauchy(0.0, p["beta"]),
    }
)
NOTES: Mapping[str, str] = MappingProxyType(
    {"LKJ": "a correlation of two columns", "Beta": "share of the admissible interval"}
)


def prior_curve(prior: Prior) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of a prior's density.

    Returns
    -------
    x, density : arrays, or None
        None for a prior without one (Flat, HalfFlat).
    """
    if prior.truncated:
        cut = truncation(prior)
        ends = np.isfinite([cut.lower, cut.upper])
        low, high = np.where(ends, (0.0, 1.0), (_TAIL, 1.0 - _TAIL))
        steep = cut.quantile(np.linspace(low, high, 200))
        x = np.union1d(np.linspace(steep[0], steep[-1], 200), steep)
        return x, np.exp(cut.log_density(x))
    parameters = dict(prior.parameters)
    if prior.distribution in SYMMETRIC_TWIN:
        twin = SYMMETRIC_TWIN[prior.distribution](parameters)
        x = np.linspace(0.0, twin.ppf(1.0 - 0.5 * _TAIL), 300)
        return x, 2.0 * twin.pdf(x)
    if prior.distribution not in SCIPY:
        return None
    found = SCIPY[prior.distribution](parameters)
    low, high = (
        end if np.isfinite(end) else found.ppf(q)
        for end, q in zip(found.support(), (_TAIL, 1.0 - _TAIL), strict=True)
    )
    # equal steps, and steps of equal probability for what is steep
    steep = found.ppf(np.linspace(_TAIL, 1.0 - _TAIL, 200))
    x = np.union1d(np.linspace(low, high, 200), steep[(steep >= low) & (steep <= high)])
    return x, found.pdf(x)


@checked
def priors(
    of: Specified | EitherFit,
    priors: Mapping[str, Any] | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Density of every prior, each in a panel of its own.

    Parameters
    ----------
    of : Model, LmerFit or BayesFit
        The default priors of a model, or those that a posterior was sampled with.
    priors : mapping of str to Prior, number or callable, optional
        In their place.
    ax : array of axes, optional
        One for each prior.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    OptionError
        If a prior's name is unknown, `ax` holds another number of axes, or the posterior is of a
        PyMC model of the user's, which has its priors itself.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> [ax.get_title(loc="left") for ax in nm.plots.priors(model)]
    ['Intercept', '1|Batch_sigma', 'sigma']
    """
    chosen = priors_of(of).replace(priors)
    cells = panels(len(chosen), ax, columns=_COLUMNS, figsize=figsize, panel=(3.4, 2.3))
    for cell, (name, row) in zip(cells, chosen.items(), strict=True):
        _panel(cell, name, row)
    return cells


def priors_of(of: Specified | EitherFit) -> PriorSet:
    """Priors of a model, of the model of a fit, or those that a posterior was sampled with.

    Raises
    ------
    OptionError
        If the posterior is of a PyMC model of the user's.
    """
    if not hasattr(of, "priors"):  # a fit by likelihood: those of its model
        return resolve_priors(of.design)
    given: PriorSet | None = of.priors
    if given is None:
        raise OptionError("this posterior is of a PyMC model of your own: its priors stand there")
    return given


def _panel(panel: Any, name: str, row: PriorRow) -> None:
    prior = row.prior
    single = isinstance(prior, Prior) and not prior.hyperpriors
    curve = prior_curve(prior) if isinstance(prior, Prior) and single else None
    panel.set_title(name, fontsize=10, loc="left")
    panel.set_yticks([])
    panel.spines[["top", "right", "left"]].set_visible(False)
    text = shown(prior)
    note = NOTES.get(prior.distribution, "") if isinstance(prior, Prior) else ""
    panel.set_xlabel(f"{text}\n{note or row.rule}", fontsize=8)
    if curve is None:
        panel.set_xticks([])
        known = ("known" if prior.constant else "flat") if isinstance(prior, Prior) else ""
        known = "given hyperparameters" if is_conditional(row) else known
        panel.text(0.5, 0.5, known or "made by a function", ha="center", va="center",
                   transform=panel.transAxes, color="0.4")  # fmt: skip
        return
    x, density = curve
    panel.fill_between(x, density, color=_COLOUR, alpha=0.25, linewidth=0.0)
    panel.plot(x, density, color=_COLOUR, linewidth=1.5)
    if np.all(np.isfinite(density)):
        panel.set_ylim(0.0, 1.05 * density.max())
