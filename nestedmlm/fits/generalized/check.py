"""Checks of a generalized fit's assumptions in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.fits.generalized.options import few_rows_of_a_group
from nestedmlm.fits.generalized.overdispersion import (
    COUNTS,
    drawn_responses,
    squares_given_modes,
    zeros_beside,
)
from nestedmlm.fits.verbs.check import (
    LEVEL,
    Notes,
    curves,
    note_collinearity,
    note_influence,
    note_linearity,
    note_outliers,
    note_random_effects,
    note_singularity,
    said_p,
    smallest_factor,
)
from nestedmlm.inference.rows.assumption_checks import weighted_bend
from nestedmlm.inference.rows.generalized_residuals import (
    DISTRIBUTIONS,
    ResponseAt,
    response_at,
    working,
)
from nestedmlm.inference.rows.residuals import population
from nestedmlm.inference.rows.uniform_tests import (
    distance_from_uniform,
    ranks_among,
    tail_by_draws,
)
from nestedmlm.inference.rows.working_model import held_changes, working_weights
from nestedmlm.optimum.glmm.separation import growing_terms
from nestedmlm.views.check import Check

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit

# ratios of the sum of squared Pearson residuals to its degrees of freedom
_MOST_ROWS = 500_000  # rows times draws of which conditional modes are looked for
_FEWEST_MODES = 39  # draws, however many rows: tests at 5 % can speak up
_FEWEST_PREDICTIONS = 4  # different linear predictors: so few cannot bend
_BEND, _FAR_BEND = 0.3, 1.0  # of the linear predictor, as for linearity
_OVERDISPERSED = 1.2  # from where standard errors are a tenth too small
_FAR_OVERDISPERSED = 1.5  # and a fifth
_ZEROS_APART = 1.1  # ratio of zeros to those expected, or its inverse, from which it is said


def check(fit: GlmerFit, *, nsim: int = 200, seed: int | None = 1) -> Check:
    """Check the assumptions of a model: sentences with what they mean and what to do; a view.

    Parameters
    ----------
    nsim : int
        Responses that are drawn from the model, with new random effects, to compare the data with.
    seed : int, optional
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
    *Distribution*: where each response stands among drawn ones is uniform if the model is right
    (DHARMa's idea); the largest distance from uniform is compared with those of the drawn responses
    themselves. *Overdispersion*: the sum of squared Pearson residuals given the conditional modes
    beside those of drawn responses (their median), each given its own modes at the fit's
    parameters: modes follow the data, which the chi-squared distribution of `overdispersion` does
    not know. *Linearity*, *link* and *influence* are those of the working linear model at the
    optimum (one step of the fit's algorithm with a squared term, with the squared linear predictor
    of the fixed effects (Pregibon 1980, Applied Statistics 29(1)), or without a group; theta held).
    Outliers are quantile residuals (Dunn and Smyth 1996). *look*: a test at 5 % and a size that
    matters;
    *act*: a size that changes conclusions.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
    ...                family="poisson")
    >>> [finding.check for finding in fit.check().findings if finding.verdict == "act"]
    ['overdispersion']
    """
    notes, own, at = Notes(), _as_fit(fit), response_at(fit.core)
    drawn = drawn_responses(fit, nsim, seed, use_u=False)
    note_distribution(notes, fit.design.y, drawn, seed)
    if fit.family.name in COUNTS and not zero_or_one(at):
        enough = min(drawn.shape[1], max(_FEWEST_MODES, _MOST_ROWS // fit.nobs))
        others = np.array([squares_given_modes(fit, y) for y in drawn[:, :enough].T])
        note_overdispersion(notes, squares_given_modes(fit, fit.design.y), others)
        note_zeros(notes, fit.design.y, drawn)
    if fit.family.name in DISTRIBUTIONS:
        z = fit.residuals("quantile", seed=seed).dropna().to_numpy(dtype=float)
        note_outliers(notes, own, z, statistic="quantile residual", unit="SDs")
    note_bends(notes, own, at, population(fit.core.solution, fit.design))
    note_collinearity(notes, own)
    note_random_effects(notes, own)
    _influence(notes, fit)
    note_singularity(notes, own)
    _separation(notes, fit)
    if zero_or_one(at) and fit.nAGQ <= 1:
        note_approximation(
            notes, fit.design, "fit.check_approximation() says how far, and nAGQ=9 is nearer"
        )
    return notes.written(own)


def _as_fit(fit: GlmerFit) -> Any:
    """The same, for verbs that linear fits share."""
    return fit


def zero_or_one(at: ResponseAt) -> bool:
    """Whether responses have no size: single trials cannot vary more than their mean says."""
    return at.family.name == "binomial" and bool(np.all(at.weights == 1.0))


def note_distribution(notes: Notes, y: FloatArray, drawn: FloatArray, seed: int | None) -> None:
    """Ranks of the responses among drawn ones, (n, draws)."""
    rng = np.random.default_rng(seed)
    u = ranks_among(np.column_stack([y, drawn]), rng)
    distances = distance_from_uniform(u)
    p = tail_by_draws(distances[0], distances[1:])
    verdict = "fine" if p >= LEVEL else "act" if distances[0] > 0.2 else "look"
    notes.number("distribution", "distance from uniform", distances[0], p=p, verdict=verdict)
    notes.say(
        "distribution",
        verdict,
        f"responses stand among {drawn.shape[1]} draws from the model "
        f"{'as those among themselves' if verdict == 'fine' else 'where draws do not'} (largest "
        f"distance from uniform {distances[0]:.2f}, {said_p(p)}).",
        "The family does not make such data: compare families (poisson, negativebinomial; gamma, "
        "inverse_gaussian) and draw fit.plot.simulated_residuals().",
    )


def note_overdispersion(notes: Notes, own: float, others: FloatArray) -> None:
    """Sum of squared Pearson residuals given random effects, beside those of drawn responses."""
    ratio, p = own / float(np.median(others)), tail_by_draws(own, others)
    real = p < LEVEL and ratio > _OVERDISPERSED
    verdict = "fine" if not real else "act" if ratio > _FAR_OVERDISPERSED else "look"
    notes.number("overdispersion", "ratio", ratio, p=p, verdict=verdict)
    notes.say(
        "overdispersion",
        verdict,
        f"squared Pearson residuals given the random effects are {ratio:.2f} times those of "
        f"{len(others)} draws ({said_p(p)}).",
        "Standard errors are too small. Try family='negativebinomial' for counts (its variance "
        "grows with the squared mean), or a random intercept of each row (1 | row), for binomial "
        "trials too, and compare by AIC.",
    )


def note_zeros(notes: Notes, y: FloatArray, drawn: FloatArray) -> None:
    """Zeros of the responses beside those of drawn ones."""
    found = zeros_beside(y, drawn)
    ratio, p = float(found["ratio"]), float(found["p_value"])
    apart = not 1.0 / _ZEROS_APART <= ratio <= _ZEROS_APART
    verdict = "look" if p < LEVEL and apart else "fine"
    notes.number("zeros", "observed / expected", ratio, p=p, verdict=verdict)
    notes.say(
        "zeros",
        verdict,
        f"{found['observed']:.0f} responses are zero, of draws {found['expected']:.1f} "
        f"({said_p(p)}).",
        "Zeros may have a cause of their own: a predictor that is missing, overdispersion, or "
        "units that cannot count at all.",
    )


def note_bends(notes: Notes, fit: Any, at: ResponseAt, eta: FloatArray) -> None:
    """Bends along predictors, and along the population's linear predictor itself.

    Along the latter another link, or a term, is missing.
    """
    z, weights = working(at), working_weights(at)
    found = [(name, *weighted_bend(x, z, weights)) for name, x in curves(fit)]
    note_linearity(notes, found, unit="units of the linear predictor")
    if len(np.unique(eta.round(8))) <= _FEWEST_PREDICTIONS:
        return
    size, p = weighted_bend(eta, z, weights)
    bent = p < LEVEL and abs(size) > _BEND
    verdict = "fine" if not bent else "act" if abs(size) > _FAR_BEND else "look"
    notes.number("link", "bend", size, p=p, verdict=verdict)
    notes.say(
        "link",
        verdict,
        f"residuals {'bend' if bent else 'do not bend'} along the linear predictor ({size:+.2f} "
        f"units of it at two SDs, {said_p(p)}).",
        f"The {at.family.link.name} link does not fit these means: look at linearity first, then "
        "compare other links by AIC (link=), or add products of predictors.",
    )


def _influence(notes: Notes, fit: GlmerFit) -> None:
    factor = smallest_factor(_as_fit(fit))
    if factor is None:
        return
    sets = [np.flatnonzero(factor.codes == level) for level in range(len(factor.levels))]
    changes = held_changes(fit.core, sets)
    inverse = np.linalg.inv(np.asarray(fit.cov_params(), dtype=float))
    distances = np.einsum("mi,ij,mj->m", changes, inverse, changes) / changes.shape[1]
    note_influence(notes, factor.name, pd.Series(distances, index=list(factor.levels)).dropna())


def _separation(notes: Notes, fit: GlmerFit) -> None:
    """Coefficients, and standard deviations of random effects, that grow without bound."""
    separated = fit.solved.separated
    if fit.family.scaled:
        return
    growing = growing_terms(fit.design, fit.family, fit.solution.T)
    verdict = "act" if separated else "fine"
    notes.number("separation", "coefficients without bound", len(separated), verdict=verdict)
    for said in growing:
        notes.say("separation", "act", f"{said}.")
    if growing and not separated:
        return
    notes.say(
        "separation",
        verdict,
        f"the data separate the outcomes by {', '.join(separated)}."
        if separated
        else "no coefficient grows without bound.",
        "Estimate and standard error say nothing. Merge cells, leave it out, or give it a weak "
        "prior: penalty='normal'.",
    )


def note_approximation(notes: Notes, design: Design, advice: str) -> None:
    """Groups too small for the Laplace approximation of a response of 0 and 1."""
    rows = few_rows_of_a_group(design)
    if rows is None:
        return
    notes.number("approximation", "median rows of a group", rows, verdict="look")
    notes.say(
        "approximation",
        "look",
        f"half of the groups have at most {rows:g} rows of 0 or 1.",
        f"The Laplace approximation may be far from the likelihood: {advice}.",
    )
