"""Priors of other widths, and the width at which a conclusion changes.

Draws are reweighted by the ratio of the priors while Pareto's k allows it and drawn anew where it
does not; the end of a search is always a new draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.laplace_density import LaplaceDensity, laplace_density
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.density.prior_coordinates import given_prior
from nestedmlm.bayes.density.prior_distributions import truncation
from nestedmlm.bayes.model.distributions import BOUNDS, COMBINATION, Prior
from nestedmlm.bayes.model.prior_set import PriorSet, is_held
from nestedmlm.bayes.model.scalar_parameters import Parameter
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.pareto import smooth_weights
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity, weighted_density
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, SamplingError
from nestedmlm.posterior.parameter_priors import log_prior
from nestedmlm.posterior.summaries import parameter_draws
from nestedmlm.statistics.crossproducts import cross_products

_DOUBLINGS = 0.25  # of the search, in doublings of the prior's width
WIDEST = 7.0  # doublings searched in each direction: 1/128 to 128 times
_GOOD_K = 0.5  # Pareto k up to which reweighted quantiles are used
_BISECTIONS = 12  # of the last step: to a thousandth of it


def _times(*names: str) -> Callable[[Prior, float], Prior]:
    """Multiply parameters of scale."""

    def scaled(prior: Prior, factor: float) -> Prior:
        given = {k: v * factor if k in names else v for k, v in prior.parameters}
        return Prior(prior.distribution, **given)

    return scaled


def _concentration(prior: Prior, factor: float) -> Prior | None:
    """A correlation's prior whose standard deviation is `factor` times as large, if there is one.

    That of LKJ(eta) of two columns is ``1 / sqrt(2 eta + 1)``, as that of a Beta(eta, eta).
    """
    given = dict(prior.parameters)
    total = 2.0 * given["eta"] if "eta" in given else given["alpha"] + given["beta"]
    ratio = ((total + 1.0) / factor**2 - 1.0) / total
    return _times(*given)(prior, ratio) if ratio > 0.0 else None


def _rate(prior: Prior, factor: float) -> Prior:
    """Multiply a mean or a scale, or divide a rate."""
    given = {
        k: v / factor if k in ("lam", "beta") else v if k in ("alpha", *BOUNDS) else v * factor
        for k, v in prior.parameters
    }
    return Prior(prior.distribution, **given)


SCALED: Mapping[str, Callable[[Prior, float], Prior | None]] = MappingProxyType(
    {
        "Normal": _times("sigma"),
        "StudentT": _times("sigma"),
        "Cauchy": _times("beta"),
        "Laplace": _times("b"),
        "Logistic": _times("s"),
        "HalfNormal": _times("sigma"),
        "HalfStudentT": _times("sigma"),
        "HalfCauchy": _times("beta"),
        "Exponential": _rate,
        "Gamma": _rate,
        "InverseGamma": _times("mu", "sigma", "beta"),
        "Weibull": _times("beta"),
        "LKJ": _concentration,
        "Beta": _concentration,
    }
)
_FLAT = MappingProxyType(
    {
        "fixed effect": Prior("Flat"),
        "standard deviation": Prior("HalfFlat"),
        "correlation matrix": Prior("LKJ", eta=1.0),
        "common correlation": Prior("Beta", alpha=1.0, beta=1.0),
    }
)


def scaled_prior(prior: Prior, factor: float) -> Prior | None:
    """The same prior, `factor` times as wide; None where there is no such prior.

    Of a truncated one the distribution that it is cut from gets wider; the ends stay.

    Parameters
    ----------
    prior : Prior
    factor : float

    Examples
    --------
    >>> scaled_prior(Prior("HalfNormal", sigma=10.0), 0.5)
    HalfNormal(sigma=5)
    >>> scaled_prior(Prior("LKJ", eta=2.0), 2.0)
    LKJ(eta=0.125)
    """
    known = SCALED.get(prior.distribution)
    found = None if known is None else known(prior, factor)
    if found is not None and found.truncated:
        try:
            truncation(found)
        except OptionError:  # next to nothing lies between its ends
            return None
    return found


def flat_priors(priors: PriorSet) -> PriorSet:
    """The same parameters with priors that say nothing on the scale of each parameter."""
    alone = {name: row for name, row in priors.items() if row.role != COMBINATION}
    flat = {
        name: _FLAT[row.role]
        for name, row in priors.items()
        if row.role in _FLAT and not is_held(row)
    }
    return PriorSet(alone).replace(flat)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Redraws:
    """Posteriors of the same data and model with other priors, by importance sampling.

    Attributes
    ----------
    design : Design
    priors : PriorSet
    draws : int
    seed : int or None
        The same for all, so that they differ by the priors.
    density : callable
        ``priors -> density`` of the parameters, without random effects; see `density_maker`.
    """

    design: Design
    priors: PriorSet
    draws: int
    seed: int | None
    density: Callable[[PriorSet], Any]

    def __call__(self, priors: PriorSet) -> Any:
        """Draw anew; a mapping with the group ``posterior``.

        Raises
        ------
        SamplingError
            If importance sampling does not cover the posterior.
        """
        from nestedmlm.bayes.sampling.posterior_dataset import posterior_dataset  # xarray

        density = self.density(priors)
        peak = find_peak(density)
        weighted = isinstance(density, WeightedDensity)
        target = density.ready(peak.x) if weighted else density
        found = psis_sample(target, peak, draws=self.draws, seed=self.seed)
        # the parameters only: random effects would take the weights of every point once more
        named = density.parameters_only() if weighted else density
        return {"posterior": posterior_dataset(named, found.points[None])}

    def widened(self, name: str, doublings: float) -> PriorSet | None:
        """The priors, one of them ``2 ** doublings`` times as wide; None if it cannot be."""
        prior = scaled_prior(given_prior(self.priors, name), 2.0**doublings)
        return None if prior is None else self.priors.replace({name: prior})


def density_maker(
    design: Design, form: str, seed: int | None
) -> Callable[[PriorSet], NamedCoordinates]:
    """The density that draws a design's posterior anew, for any priors.

    Parameters
    ----------
    design : Design
    form : str
        Of the posterior: ``"laplace"`` where it is one of the Laplace approximation.
    seed : int, optional
        Of importance weights.

    Returns
    -------
    callable
        ``priors -> density``: of a linear model the marginal one; of a generalized model the
        Laplace approximation, corrected by importance weights unless the posterior is not.

    Raises
    ------
    OptionError
        For exact posteriors of generalized models with several grouping factors.
    """
    if design.family is None:
        return partial(marginal_density, design, stats=cross_products(design))
    if form == LaplaceDensity.form:
        return partial(laplace_density, design)
    if len(design.factors) > 1:
        raise OptionError(
            "exact posteriors of generalized models with several grouping factors cannot be drawn "
            "anew by importance sampling, which is what why() does: ask it of the approximate one, "
            "fit.sample(marginal='laplace')"
        )
    own = int(np.random.default_rng(seed).integers(2**32))  # one for all: they differ by priors
    return partial(weighted_density, design, seed=own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """Tipping point: how far a prior was made narrower or wider, and what came of it.

    Attributes
    ----------
    width : float
        Multiple of its width at which a conclusion changes; NaN where it does not.
    reached : float
        The last multiple that was tried.
    """

    width: float
    reached: float


def where_interval_lies(
    values: FloatArray, weights: FloatArray, reference: float, level: float
) -> int:
    """Whether an interval lies above (1), below (-1) or around a value (0).

    Parameters
    ----------
    values, weights : (m,) arrays
        Draws; weights of any sum.
    reference : float
    level : float
        Probability inside the interval.
    """
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    ends = 0.5 * (1.0 - level), 0.5 * (1.0 + level)
    low, high = values[order][np.minimum(np.searchsorted(share, ends), len(values) - 1)]
    return int(low > reference) - int(high < reference)


def tipping_width(
    redraws: Redraws,
    data: Any,
    parameter: Parameter,
    reference: float,
    *,
    direction: int,
    level: float,
) -> Tip:
    """The width of a parameter's prior, as a multiple, at which its interval moves over a value.

    Parameters
    ----------
    redraws : Redraws
    data : mapping
        Draws with the priors as they are.
    parameter : Parameter
        The prior of its variable is made narrower or wider.
    reference : float
    direction : {-1, 1}
        Narrower or wider.
    level : float

    Returns
    -------
    Tip
        The draws beyond its width are new ones, in which the interval has moved. The search ends
        after 7 doublings, and where no such prior can be made or drawn from.
    """
    name = parameter.variable
    values = parameter_draws(data, parameter).ravel()
    before, reached = where_interval_lies(values, np.ones(len(values)), reference, level), 0.0
    own = log_prior(data, redraws.design, redraws.priors)[name].ravel()
    for t in direction * np.arange(_DOUBLINGS, WIDEST + _DOUBLINGS, _DOUBLINGS):
        priors = redraws.widened(name, t)
        if priors is None:
            break
        there = log_prior(data, redraws.design, priors)[name].ravel()
        log_weights, k = smooth_weights(there - own)
        weighted = where_interval_lies(values, np.exp(log_weights), reference, level)
        if k <= _GOOD_K and weighted == before:
            reached = t
            continue
        try:  # what reweighting cannot tell, or what it says has changed
            data = redraws(priors)
        except SamplingError:
            break
        own = log_prior(data, redraws.design, priors)[name].ravel()
        values = parameter_draws(data, parameter).ravel()
        reached = t
        if where_interval_lies(values, np.ones(len(values)), reference, level) != before:
            break
    else:
        return Tip(width=np.nan, reached=2.0**reached)
    if where_interval_lies(values, np.ones(len(values)), reference, level) == before:
        return Tip(width=np.nan, reached=2.0**reached)
    near, far = reached - direction * _DOUBLINGS, reached
    for _ in range(_BISECTIONS):  # the draws at the end of the last step, weighted
        middle = 0.5 * (near + far)
        priors = redraws.widened(name, middle)
        assert priors is not None  # it is between two that can be made
        there = log_prior(data, redraws.design, priors)[name].ravel()
        weights = np.exp(smooth_weights(there - own)[0])
        same = where_interval_lies(values, weights, reference, level) == before
        near, far = (middle, far) if same else (near, middle)
    return Tip(width=float(2.0 ** (0.5 * (near + far))), reached=2.0**reached)
