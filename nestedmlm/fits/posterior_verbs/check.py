"""Checks of a posterior's assumptions in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.generalized.check import (
    note_approximation,
    note_bends,
    note_distribution,
    note_overdispersion,
    note_zeros,
    zero_or_one,
)
from nestedmlm.fits.generalized.overdispersion import COUNTS
from nestedmlm.fits.verbs.check import (
    Notes,
    note_collinearity,
    note_outliers,
    note_random_effects,
)
from nestedmlm.fits.verbs.check import check as check_linear
from nestedmlm.inference.rows.generalized_residuals import DISTRIBUTIONS
from nestedmlm.posterior.row_draws import replicate
from nestedmlm.posterior.squares_given_effects import squares_given_effects
from nestedmlm.posterior.standard_residuals import (
    population_at_means,
    response_at_means,
    standard_residuals,
)
from nestedmlm.views.check import Check


def check(fit: BayesEstimates, *, nsim: int = 200, seed: int | None = 1) -> Check:
    """Check the assumptions of a model: sentences with what they mean and what to do; a view.

    Parameters
    ----------
    nsim : int
        Responses that are drawn from the posterior, to compare the data with; fewer than 160
        cannot tell whether data beyond all of them are chance.
    seed : int
        Of these draws.

    Returns
    -------
    Check
        Prints as sentences; ``to_frame()`` has the numbers, ``fit.plot.check()`` is the picture.

    Raises
    ------
    OptionError
        For `nsim` or `seed` that are no whole numbers.

    Notes
    -----
    Residuals are those at the posterior means: divided by sigma, normalized ones where they differ
    or correlate, quantile residuals (Dunn and Smyth 1996) of generalized models. Of these, as for
    `GlmerFit.check`, responses are ranked among drawn ones with new random effects, zeros are
    counted, and bends are looked for along predictors and the linear predictor. *Overdispersion* is
    posterior predictive: squared Pearson residuals given the random effects of each draw, beside
    those of a response drawn there. The t family has no residuals on another scale: its responses
    are ranked.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> [finding.check for finding in posterior.check().findings if finding.verdict != "fine"]
    []
    """
    whole: Any = fit  # with the verbs that all fits share
    if fit.design.family is None:
        found: Check = check_linear(whole, nsim=nsim, seed=seed)
        return found
    design, notes = fit.design, Notes()
    at = response_at_means(fit.data, design)
    drawn = replicate(fit.data, design, nsim, new_groups=True, seed=seed)
    note_distribution(notes, design.y, drawn, seed)
    if at.family.name in COUNTS and not zero_or_one(at):
        own, others = squares_given_effects(fit.data, design, nsim, seed=seed)
        note_overdispersion(notes, float(np.median(own)), others)
        note_zeros(notes, design.y, drawn)
    if at.family.name in DISTRIBUTIONS:
        z = standard_residuals(fit.data, design, seed=seed)
        note_outliers(notes, whole, z, statistic="quantile residual", unit="SDs")
    if at.family.has_derivatives:
        note_bends(notes, whole, at, population_at_means(fit.data, design))
    note_collinearity(notes, whole)
    note_random_effects(notes, whole)
    if zero_or_one(at) and fit.run.form == "laplace":
        note_approximation(notes, design, "marginal=False samples the random effects themselves")
    return notes.written(whole)
