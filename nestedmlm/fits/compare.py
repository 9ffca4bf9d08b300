"""`compare` and `plot_compare`: the two engines side by side."""

from __future__ import annotations

from typing import Any

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.plots.compare import draw_comparison
from nestedmlm.posterior.checks import boundary_sentences, boundary_table
from nestedmlm.posterior.comparison import comparison_table
from nestedmlm.posterior.summaries import PROB
from nestedmlm.views.posterior.comparison import Comparison


def compare(lmer_fit: LmerFit, bayes_fit: BayesFit, *, prob: float = PROB) -> Comparison:
    """Put a fit and the posterior of the same model side by side; a view.

    Parameters
    ----------
    lmer_fit : LmerFit
    bayes_fit : BayesFit
    prob : float
        Probability inside the posterior intervals.

    Returns
    -------
    Comparison
        ``.table`` holds, per parameter, the estimate and its standard error, posterior mean, SD
        and interval, and the shift in standard errors. Variance components whose posterior is
        piled up at zero are noted.

    Raises
    ------
    ModelComparisonError
        If the two are not of the same model and data.
    OptionError
        If an argument is no such fit.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> nm.compare(fit, posterior).table.index.tolist()
    ['Intercept', '1|Batch_sigma', 'sigma']
    """
    for argument, kind, made in (
        (lmer_fit, LmerFit, "nm.lmer"),
        (bayes_fit, BayesFit, "nm.pymc_lmer or fit.sample"),
    ):
        if not isinstance(argument, kind):
            raise OptionError(
                f"compare takes an LmerFit and a BayesFit; {type(argument).__name__} is no "
                f"{kind.__name__} (made by {made})"
            )
    boundary = boundary_table(bayes_fit.data, bayes_fit.design)
    return Comparison(
        table=comparison_table(
            lmer_fit.solution, lmer_fit.design, bayes_fit.data, bayes_fit.design, prob=prob
        ),
        formula=lmer_fit.formula,
        method=lmer_fit.engine,
        prob=prob,
        notes=boundary_sentences(boundary),
    )


def plot_compare(
    lmer_fit: LmerFit,
    bayes_fit: BayesFit,
    *,
    prob: float = PROB,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw what `compare` tabulates.

    Parameters
    ----------
    lmer_fit : LmerFit
    bayes_fit : BayesFit
    prob : float
        Probability inside the intervals.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ModelComparisonError, OptionError
        As `compare`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> nm.plot_compare(fit, posterior).get_title(loc="left")
    'Yield ~ 1 + (1 | Batch)'
    """
    return draw_comparison(compare(lmer_fit, bayes_fit, prob=prob), ax, figsize=figsize)
