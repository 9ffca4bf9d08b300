"""The parameters of a posterior in one table."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.summaries import LEVEL, parameter_table


@checked
def parameters(fit: BayesEstimates, *, level: float = LEVEL) -> pd.DataFrame:
    """Fixed effects, standard deviations, correlations and sigma in one table.

    Parameters
    ----------
    level : float
        Probability inside the equal-tailed intervals.

    Returns
    -------
    DataFrame
        Indexed by the names that a fit's ``conf_int`` uses (``term``), the posterior's own in
        ``variable``; then ``group``, ``effect`` (``fixed``, ``ran_pars``), ``kind`` (``fixed``,
        ``sd``, ``cor``, ``par``, ``sigma``), ``var1, var2, estimate, std_error`` (the posterior's
        standard deviation), ``conf_low, conf_high, r_hat, ess_bulk, ess_tail``. Importance sampling
        has no R-hat; its effective draws are those of the weights, for each parameter its own: of
        the mean, and of the probabilities in the tails.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.parameters().columns[6:10].tolist()
    ['estimate', 'std_error', 'conf_low', 'conf_high']
    """
    return parameter_table(fit.data, fit.design, level=level)
