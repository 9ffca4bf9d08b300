"""The random effects of a posterior, alone and with the fixed effects."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.summaries import LEVEL, coef_tables, effects_table


@checked
def ranef(fit: BayesEstimates, condvar: bool = True, *, level: float = LEVEL) -> pd.DataFrame:
    """Random effects in long form.

    Parameters
    ----------
    condvar : bool
        Add their spread and intervals.
    level : float
        Probability inside the intervals.

    Returns
    -------
    DataFrame
        ``group, term, level, estimate`` (posterior mean), ``std_error`` (posterior SD, which unlike
        a `LmerFit`'s counts the uncertainty of all parameters), ``conf_low, conf_high``.

    Raises
    ------
    ResidualStructureError
        If the model has no random effects.
    OptionError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.ranef().columns.tolist()
    ['group', 'term', 'level', 'estimate', 'std_error', 'conf_low', 'conf_high']
    """
    frame = effects_table(fit.data, fit.design, level=level)
    return frame if condvar else frame[["group", "term", "level", "estimate"]]


@checked
def coef(fit: BayesEstimates) -> dict[str, pd.DataFrame]:
    """Fixed plus random effects of each level (posterior means), one table per factor.

    Returns
    -------
    dict of str to DataFrame

    Raises
    ------
    ResidualStructureError
        If the model has no random effects.
    OptionError
        For an unknown grouping factor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.coef()["Batch"].shape
    (6, 1)
    """
    return coef_tables(fit.data, fit.design)
