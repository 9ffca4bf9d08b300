"""Log-densities, at draws, of priors of fixed effects that are more than a density of each."""

from __future__ import annotations

from math import lgamma
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.coefficient_priors import CombinationPrior
from nestedmlm.bayes.density.fixed_priors import HyperVariable, fixed_coordinates, link_fixed
from nestedmlm.bayes.density.prior_coordinates import (
    Coordinate,
    CoordinateList,
    Coordinates,
    given_prior,
    make_coordinate,
)
from nestedmlm.bayes.density.prior_distributions import density_of
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet, is_single
from nestedmlm.design.design import Design
from nestedmlm.posterior.draws import chained


def coefficient_log_priors(data: Any, design: Design, priors: PriorSet) -> dict[str, FloatArray]:
    """Log-densities of combinations, of coefficients given hyperparameters, and of these.

    Parameters
    ----------
    data : DataTree
    design : Design
    priors : PriorSet

    Returns
    -------
    dict of str to (chains, draws) array
        By the names of combinations, coefficients and hyperparameters; empty where there are none.
    """
    if all(is_single(row) for row in priors.values()):
        return {}
    names, made = parameter_names(design), CoordinateList()
    beta = made.add(*fixed_coordinates(design, priors))
    sigma = None  # where the response is not normal
    if design.family is None:
        sigma = int(made.add(make_coordinate(names.sigma, given_prior(priors, names.sigma)))[0])
    hyper = link_fixed(made, design, priors, beta, sigma)
    each = Coordinates.of(made).each
    values = np.stack([chained(data, name) for name in names.fixed], axis=-1)
    x = np.empty((*values.shape[:-1], len(each) + len(made.held)))
    x[..., beta] = values @ np.linalg.inv(centring(design).matrix()).T
    if sigma is not None:
        x[..., sigma] = chained(data, names.sigma)
    out: dict[str, FloatArray] = {}
    for own in hyper:
        drawn = chained(data, own.name).reshape(*values.shape[:-1], -1)
        x[..., own.at] = _sticks(drawn) if own.shares else drawn
        out[own.name] = _of_hyperparameter(own, each, x, drawn)
    for factor in made.factors:
        if isinstance(factor, CombinationPrior):
            out[factor.name] = factor.log_density(x)[0]
        else:
            out |= dict(zip(factor.names, np.moveaxis(factor.each(x), -1, 0), strict=True))
    return out


def _sticks(shares: FloatArray) -> FloatArray:
    """What each share but the last takes of what those before leave."""
    taken = np.cumsum(shares, axis=-1)
    left = np.concatenate([np.ones_like(taken[..., :1]), 1.0 - taken[..., :-2]], axis=-1)
    out: FloatArray = shares[..., :-1] / left
    return out


def _of_hyperparameter(
    own: HyperVariable, each: tuple[Coordinate, ...], x: FloatArray, drawn: FloatArray
) -> FloatArray:
    priors = [each[i].prior for i in own.at]
    if own.shares:  # a symmetric Dirichlet distribution, whose concentration is the last stick's
        q, a = drawn.shape[-1], float(priors[-1]["beta"])
        constant = lgamma(q * a) - q * lgamma(a)
        total: FloatArray = constant + (a - 1.0) * np.log(drawn).sum(axis=-1)
    else:
        total = density_of(priors)(x[..., own.at])[0].sum(axis=-1)
    return total
