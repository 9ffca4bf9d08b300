"""Residuals by simulation: their quantiles, and along the predictions, with their tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.uniform_tests import uniform_tests
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.quantiles import plotting_positions
from nestedmlm.plots.smoother import smoother


@checked
def simulated_residuals(
    fit: Any,
    *,
    nsim: int = 250,
    seed: int | None = 1,
    use_u: bool = False,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Residuals by simulation of a generalized fit, uniform if it is right, with their tests.

    On the left their quantiles, with the p-values of tests of uniformity and of responses beyond
    all that the model draws; on the right the residuals by the rank of the predictions, with the
    p-value of a slope or bend. If the model is right, points lie on the line and spread evenly.

    Parameters
    ----------
    fit : GlmerFit
    nsim : int
        Responses drawn.
    seed : int
        Of the draws.
    use_u : bool
        Condition on the random effects (True), or draw them anew.
    ax : array of two matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of two matplotlib axes

    Raises
    ------
    OptionError
        For other fits.

    Notes
    -----
    DHARMa's plot (Hartig). Residuals of rows in one group are not independent when their effects
    are drawn anew, so the p-values are rough with few groups.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)",
    ...                nm.load_dataset("grouseticks"), family="poisson")
    >>> [ax.get_xlabel() for ax in nm.plots.simulated_residuals(fit, nsim=100)]
    ['expected', 'predicted (rank)']
    """
    if getattr(fit, "engine", "") == "posterior":
        raise OptionError(
            "residuals by simulation belong to the fit by likelihood (nm.glmer); a posterior has "
            "plot.ppc()"
        )
    if not hasattr(type(fit), "simulated_residuals"):
        raise OptionError(
            "residuals by simulation are of generalized fits (nm.glmer); a linear one has "
            "plot.qq_residuals() and plot.residuals()"
        )
    u = fit.simulated_residuals(nsim=nsim, seed=seed, use_u=use_u).dropna().to_numpy()
    design = fit.design
    predicted = design.X @ fit.fixef.to_numpy()
    if design.offset is not None:
        predicted = predicted + design.offset
    tests = uniform_tests(u, predicted, nsim)
    left, right = both = panels(2, ax, columns=2, figsize=figsize, panel=(4.4, 3.3))
    size = float(np.clip(240.0 / np.sqrt(len(u)), 6.0, 22.0))
    left.plot([0, 1], [0, 1], color=style.GREY, linewidth=1.2)
    left.scatter(plotting_positions(len(u)), np.sort(u), s=size, color=style.BLUE, linewidths=0.0)
    style.dress(
        left,
        x="expected",
        y="simulated residual",
        heading=f"Uniform p = {tests.uniform_p:.3f}, outliers p = {tests.outlier_p:.3f}",
    )
    for share in (0.25, 0.5, 0.75):
        style.zero_line(right, at=share)
    right.scatter(tests.rank, u, s=size, color=style.BLUE, alpha=0.55, linewidths=0.0)
    curve = smoother(tests.rank, u)
    if curve is not None:
        right.plot(*curve, color=style.ORANGE, linewidth=2.0)
    right.set_ylim(-0.03, 1.03)
    said = "they do not vary" if np.isnan(tests.trend_p) else f"p = {tests.trend_p:.3f}"
    style.dress(
        right,
        x="predicted (rank)",
        y="simulated residual",
        heading=f"Along the predictions: {said}",
    )
    return both
