"""The prior of each parameter, beside its draws: log-densities, and what they are densities of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lgamma, log
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.correlations import correlation_matrices
from nestedmlm.bayes.density.prior_coordinates import given_prior
from nestedmlm.bayes.density.prior_distributions import density_of
from nestedmlm.bayes.density.term_covariance import direction, origin
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.names import parameter_names, structured_parameters
from nestedmlm.bayes.model.prior_set import PriorSet, is_conditional, require_known
from nestedmlm.bayes.model.residual_correlations import correlation_parameters
from nestedmlm.bayes.model.scalar_parameters import Parameter, list_parameters
from nestedmlm.covariance import Parameter as StructureParameter
from nestedmlm.design.design import Design
from nestedmlm.posterior.coefficient_log_priors import coefficient_log_priors
from nestedmlm.posterior.draws import chained
from nestedmlm.posterior.summaries import parameter_draws
from nestedmlm.statistics.residual_model import residual_model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParameterPrior:
    """The prior of one parameter of `list_parameters`, by itself.

    Attributes
    ----------
    name : str
        Of the parameter.
    prior : Prior
        Of ``(value - origin) / direction``; of one correlation among k columns an LKJ of two.
    centred : bool
        Whether it is of the intercept at the means of the predictors.
    origin, direction : float
        Of a parameter of a structured correlation, whose range is another one.
    log : bool
        Whether the prior is of the logarithm (ratios of residual standard deviations).
    unit : float
        Steps of time between the rows whose correlation the prior is of.
    """

    name: str
    prior: Prior
    centred: bool = False
    origin: float = 0.0
    direction: float = 1.0
    log: bool = False
    unit: float = 1.0

    def log_density(self, values: FloatArray) -> FloatArray:
        """Log-prior of values of what the prior is of (see `draws_on_scale`)."""
        x = (values - self.origin) / self.direction
        if self.prior.distribution == "LKJ":
            eta = float(self.prior["eta"])
            twin = Prior("Beta", alpha=eta, beta=eta)
            return _log_density(twin, 0.5 * (x + 1.0)) - log(2.0)
        return _log_density(self.prior, x) - log(abs(self.direction))


def _log_density(prior: Prior, x: FloatArray) -> FloatArray:
    return density_of([prior])(x[..., None])[0][..., 0]


def parameter_priors(design: Design, priors: PriorSet) -> list[ParameterPrior | None]:
    """The priors of `list_parameters`, in its order; None where one has hyperparameters.

    Raises
    ------
    OptionError
        If one is a function.
    """
    require_known(priors)
    how = centring(design)
    ranges, units = _residual_ranges(design)
    widths: dict[str | None, int] = {
        group.correlation: len(group.visits) for group in parameter_names(design).residual.groups
    }
    for term, own in zip(design.terms, parameter_names(design).terms, strict=True):
        ranges |= dict(zip(own.parameters, structured_parameters(term), strict=True))
        widths[own.correlation] = len(own.columns)
    out: list[ParameterPrior | None] = []
    for p in list_parameters(design):
        if is_conditional(priors[p.variable]):
            out.append(None)
            continue
        prior = given_prior(priors, p.variable)
        if p.variable in ranges:
            own_range = ranges[p.variable]
            out.append(
                ParameterPrior(
                    name=p.name,
                    prior=prior,
                    origin=origin(own_range),
                    direction=direction(own_range),
                    unit=units.get(p.variable, 1.0),
                )
            )
            continue
        if prior.distribution == "LKJ":
            prior = Prior("LKJ", eta=prior["eta"] + 0.5 * (widths[p.variable] - 2))
        centred = how.intercept is not None and p.var1 == design.x_names[how.intercept]
        centred = centred and p.kind == "fixed"
        out.append(ParameterPrior(name=p.name, prior=prior, centred=centred, log=p.log))
    return out


def _residual_ranges(design: Design) -> tuple[dict[str, StructureParameter], dict[str, float]]:
    """Ranges of the residuals' correlations by name, and the steps of time of each."""
    names = parameter_names(design).residual
    if design.residual is None or not names.groups:
        return {}, {}
    every = correlation_parameters(names, residual_model(design.residual))
    flat = [own for group in every for own in group]
    return {own.name: own.parameter for own in flat}, {own.name: own.unit for own in flat}


def draws_on_scale(
    data: Any, design: Design, parameter: Parameter, own: ParameterPrior
) -> FloatArray:
    """Draws (chains, draws) of what a prior is of.

    The parameter, its logarithm, a correlation after so many steps of time, or the intercept at the
    means.
    """
    draws = parameter_draws(data, parameter)
    if not own.centred:
        draws = np.log(draws) if own.log else draws
        return draws**own.unit if own.unit != 1.0 else draws
    how, names = centring(design), parameter_names(design).fixed
    for mean, name in zip(how.means.tolist(), names, strict=True):
        if mean:
            draws = draws + mean * chained(data, name)
    return draws


def log_prior(data: Any, design: Design, priors: PriorSet) -> dict[str, FloatArray]:
    """Log-priors of the draws, (chains, draws) by the names of the priors.

    The densities are those of the parameters as they are reported (no Jacobians of a sampler's
    scale), correlation matrices by their LKJ density. Random effects are no part of the priors.
    Where a prior has hyperparameters, its density is that given them, and they have their own.

    Raises
    ------
    OptionError
        If a prior is a function.
    """
    parameters, found = list_parameters(design), parameter_priors(design, priors)
    out = coefficient_log_priors(data, design, priors)
    others = [name for name in out if name not in priors]  # hyperparameters
    for p, own in zip(parameters, found, strict=True):
        if own is None or own.prior.distribution == "LKJ":
            continue
        out[p.variable] = own.log_density(draws_on_scale(data, design, p, own))
    for name, R in _matrices(data, design, priors):
        eta = float(given_prior(priors, name)["eta"])
        logdet = np.linalg.slogdet(R)[1]
        out[name] = (eta - 1.0) * logdet - log_lkj_integral(eta, R.shape[-1])
    return {name: out[name] for name in (*priors, *others)}


def _matrices(data: Any, design: Design, priors: PriorSet) -> Iterator[tuple[str, FloatArray]]:
    """Draws of the correlation matrices that have priors, (chains, draws, k, k), by name."""
    names = parameter_names(design)
    for own in names.terms:
        if own.correlation is not None and own.correlation in priors:
            drawn = chained(data, own.correlation)
            yield own.correlation, correlation_matrices(drawn, len(own.columns))
    for group in names.residual.groups:
        if group.correlation is not None:
            yield group.correlation, chained(data, group.correlation)


def log_lkj_integral(eta: float, k: int) -> float:
    """Logarithm of the LKJ density's integral (Lewandowski, Kurowicka & Joe 2009, eq. 16)."""
    total = 0.0
    for m in range(1, k):
        b = eta + 0.5 * (k - 1 - m)
        total += (2.0 * eta - 2.0 + k - m) * (k - m) * log(2.0)
        total += (k - m) * (2.0 * lgamma(b) - lgamma(2.0 * b))
    return total
