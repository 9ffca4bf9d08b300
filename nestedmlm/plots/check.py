"""Six pictures beside the words of `fit.check()`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.inference.rows.assumption_checks import inflation
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.diagnostics import diagnostics
from nestedmlm.plots.ppc import draw_densities
from nestedmlm.views.protocols import Fit


@checked
def check(
    fit: Fit,
    *,
    nsim: int = 50,
    seed: int | None = 1,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Pictures of a model's assumptions; `LmerFit.check` says the same in words.

    Residuals along fitted values, their spread and quantiles, quantiles of the random effects, the
    response beside responses that the model draws, and variance inflation of the predictors.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or BayesFit
    nsim : int
        Responses that are drawn from the model.
    seed : int
        Of these draws.
    ax : array of six matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of six matplotlib axes
        Five without random effects.

    Raises
    ------
    OptionError
        If `ax` does not hold as many axes as there are panels.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> [axes.get_title(loc="left") for axes in nm.plots.check(fit)][-2:]
    ['Simulated responses', 'Collinearity']
    """
    count = 5 if not fit.design.terms else 6
    many = panels(count, ax, columns=3, figsize=figsize, panel=(4.2, 3.3))
    diagnostics(fit, ax=many[: count - 2])
    _simulated(many[-2], fit, nsim, seed)
    _inflation(many[-1], fit)
    return many


def _simulated(ax: Any, fit: Fit, nsim: int, seed: int | None) -> None:
    """Draw the density of the response over those of simulated ones."""
    whole: Any = fit
    drawn = whole.simulate(nsim, seed=seed).to_numpy(dtype=float)
    draw_densities(ax, fit.design.y, drawn[np.isfinite(drawn).all(axis=1)])
    style.dress(ax, x=f"data, over {nsim} draws from the model", heading="Simulated responses")


def _inflation(ax: Any, fit: Fit) -> None:
    """Draw variance inflation as dots, with the limits at which words begin."""
    design = fit.design
    found = inflation(np.asarray(fit.cov_params(), dtype=float), design.x_assign)
    names = [design.x_terms[term - 1] for term in found]
    values = list(found.values())
    for limit in (5.0, 10.0):
        ax.axvline(limit, color=style.GREY, linewidth=0.8, linestyle="--")
    ax.scatter(values, range(len(values)), color=style.BLUE, zorder=3)
    ax.set_yticks(range(len(values)), names)
    ax.set_ylim(-0.7, max(len(values), 1) - 0.3)
    ax.set_xlim(0.8, max([11.0, *[1.1 * value for value in values]]))
    if not values:
        ax.text(0.5, 0.5, "fewer than two predictors", transform=ax.transAxes, ha="center",
                color=style.GREY)  # fmt: skip
    style.dress(ax, x="variance inflation", heading="Collinearity")
