"""Scenarios with more or fewer groups than a posterior's data, or rows per group."""

from __future__ import annotations

import numpy as np

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.scenario import Scenario
from nestedmlm.fits.simulation.supposed_parameters import theta_of_covariances
from nestedmlm.inference.fitted import Approximation
from nestedmlm.posterior.draws import covariance_draws
from nestedmlm.posterior.row_residuals import mean_residuals
from nestedmlm.posterior.row_responses import dispersion_draws
from nestedmlm.statistics.pair_sums import ResidualAt, pair_sums


def extend(
    fit: BayesEstimates, *, along: str | None = None, within: str | None = None, n: int
) -> Scenario:
    """Suppose data with more (or fewer) groups, or rows per group.

    Parameters
    ----------
    along : str
        A column: there will be `n` levels of it, the first ones copied with new labels.
        Factors nested in it get new levels too. ``"classid within schoolid"``: `n` classes
        in each school. A numeric predictor is continued at its mean step.
    within : str
        A column or several (``"a + b"``): there will be `n` rows in each combination.
    n : int

    Returns
    -------
    Scenario
        With the posterior means of fixed effects, covariances, sigma and the residuals'
        parameters as truth; its
        ``assurance(posterior, effect)`` takes all that the posterior holds possible.

    Raises
    ------
    OptionError
        If both or neither of along and within are given, or n is no number of levels or rows.
    ColumnNotFoundError
        If the data have no such column.
    DataError
        If the column cannot be continued.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = model.sample(sampler="psis", draws=100, seed=1)
    >>> posterior.extend(along="Subject", n=30).design.n
    300
    """
    refuse_known_sigma(fit, "extend")
    if fit.source is None:
        raise OptionError("a posterior that was loaded from a file does not hold its data")
    family = fit.family
    sigma = fit.sigma if family is None else 1.0
    relative = [cov.mean(axis=0) / sigma**2 for cov in covariance_draws(fit.data, fit.design)]
    study = Scenario(
        model=fit.source,
        design=fit.design,
        beta=fit.params.to_numpy(dtype=float),
        theta=theta_of_covariances(fit.design, relative),
        sigma=sigma,
        family=family,
        dispersion=(None if family is None else float(np.mean(dispersion_draws(fit.data, family)))),
        approximation=None if family is None else Approximation(),
        residual=None if fit.design.residual is None else _mean_residuals(fit),
    )
    return study.extend(along=along, within=within, n=n)


def _mean_residuals(fit: BayesEstimates) -> ResidualAt | None:
    sums = pair_sums(fit.design)
    return sums.at(mean_residuals(fit.data, fit.design, sums.model)).residual
