"""Leave-one-out cross-validation of a posterior."""

from __future__ import annotations

import warnings
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.callers import PACKAGE
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.loglik import loo_groups, loo_rows

UNITS = ("row", "group")


@checked
def loo(
    fit: BayesEstimates,
    unit: str = "row",
    *,
    group: str | None = None,
    max_draws: int | None = None,
) -> Any:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

    Parameters
    ----------
    unit : {"row", "group"}
        ``row``: each row given its random effects (what ``az.loo(fit.data)`` does).
        ``group``: all rows of one group at once, ``p(y_j | y_-j)``, the random effects
        integrated out: the log-density of the group's rows given the other rows at each draw
        of (beta, covariances, sigma) is exact, and these draws are importance-weighted. If no
        other group shares a random effect with group j, that density is the group's own
        marginal likelihood; for classes within schools it conditions on the school's other
        classes.
    group : str, optional
        Which grouping factor; by default the one that contains all others.
    max_draws : int, optional
        Use so many evenly spaced draws (crossed factors: the cost per draw is cubic in the
        number of random effects that hang together).

    Returns
    -------
    arviz ELPDData

    Raises
    ------
    OptionError
        For an unknown unit or grouping factor.

    Warns
    -----
    SamplingWarning
        If a Pareto k is too large for the estimate to be trusted.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=1000, seed=1)
    >>> int(posterior.loo().n_data_points)
    30
    """
    if unit not in UNITS:
        raise OptionError(f"unit={unit!r} is unknown; known: {', '.join(UNITS)}")
    with warnings.catch_warnings(record=True) as caught:  # ArviZ's name a line of ArviZ
        warnings.simplefilter("always")
        found = (
            loo_rows(fit.data, fit.design)
            if unit == "row"
            else loo_groups(fit.data, fit.design, group, max_draws=max_draws)
        )
    for one in caught:
        kind = SamplingWarning if one.category is UserWarning else one.category
        warnings.warn(str(one.message), kind, skip_file_prefixes=PACKAGE)
    return found
