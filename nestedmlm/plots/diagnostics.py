"""Four pictures of a fit's assumptions at once."""

from __future__ import annotations

from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.plots.backend import panels
from nestedmlm.plots.modes import draw_mode_quantiles
from nestedmlm.plots.residuals import qq_residuals, residuals, scale_location
from nestedmlm.views.protocols import Fit


@checked
def diagnostics(fit: Fit, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Four pictures at once: residuals, their spread, their quantiles, the random effects'.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or BayesFit
    ax : array of four matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of four matplotlib axes
        Three without random effects.

    Raises
    ------
    OptionError
        If `ax` does not hold as many axes as there are panels.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> [ax.get_ylabel() for ax in nm.plots.diagnostics(fit)]
    ['residual / σ', '√|residual / σ|', 'residual / σ', 'standardised mode']
    """
    alone = not fit.design.terms
    four = panels(3 if alone else 4, ax, columns=2, figsize=figsize, panel=(4.4, 3.3))
    residuals(fit, ax=four[0])
    scale_location(fit, ax=four[1])
    qq_residuals(fit, ax=four[2])
    if not alone:
        draw_mode_quantiles(four[3], fit)
    return four
