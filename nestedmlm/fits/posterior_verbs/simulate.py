"""Replicated data of a posterior."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.datatree import add_posterior_predictive
from nestedmlm.posterior.row_draws import replicate


@checked
def simulate(
    fit: BayesEstimates, nsim: int = 1, *, seed: int | None = None, new_groups: bool = False
) -> pd.DataFrame:
    """Draw new responses for the rows of the fit, each from another draw of the posterior.

    Parameters
    ----------
    nsim : int
        Number of replicates.
    seed : int, optional
    new_groups : bool
        Draw the random effects anew too, as lme4's ``simulate`` does; otherwise the groups
        are those of the data.

    Returns
    -------
    DataFrame
        Columns ``sim_1``, ``sim_2``, …, on the caller's index.

    Raises
    ------
    OptionError
        If `nsim` is no positive whole number.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.simulate(3, seed=1).shape
    (30, 3)
    """
    y = replicate(fit.data, fit.design, nsim, new_groups=new_groups, seed=seed)
    return pd.DataFrame({f"sim_{i + 1}": fit.design.align(column) for i, column in enumerate(y.T)})


@checked
def with_posterior_predictive[F: BayesEstimates](fit: F, *, seed: int | None = None) -> F:
    """Make the same fit with a group ``posterior_predictive``: one replicate per draw.

    Parameters
    ----------
    seed : int, optional

    Returns
    -------
    BayesFit

    Raises
    ------
    OptionError
        For a seed that is no whole number.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> "posterior_predictive" in posterior.with_posterior_predictive(seed=1).data
    True
    """
    return replace(fit, data=add_posterior_predictive(fit.data, fit.design, seed=seed))
