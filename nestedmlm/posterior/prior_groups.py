"""Draws from the priors and of the responses that they predict, as groups of a DataTree."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.bayes.density.laplace_density import family_fields
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.density.prior_draws import draw_priors
from nestedmlm.bayes.model.counted import counted
from nestedmlm.bayes.model.names import coordinates as names_of_coordinates
from nestedmlm.bayes.model.names import dimensions, parameter_names, response_name
from nestedmlm.bayes.model.prior_set import PriorSet, require_proper
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.posterior.datatree import constant_data, row_tree
from nestedmlm.posterior.draws import covariance_draws
from nestedmlm.posterior.loglik import LARGEST
from nestedmlm.posterior.row_draws import all_draws, fitted_rows, of_basis, sample_levels


def prior_groups(design: Design, priors: PriorSet, *, draws: int, seed: int | None) -> Any:
    """Draw parameters, random effects and responses before the data are seen.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    draws : int
    seed : int or None

    Returns
    -------
    DataTree
        Groups ``prior``, ``prior_predictive``, ``observed_data``, ``constant_data``.

    Raises
    ------
    OptionError
        If a prior is improper or a function, or for more draws than fit in memory.
    """
    from nestedmlm.bayes.sampling.posterior_dataset import named_dataset  # xarray

    require_proper(priors, "nothing can be drawn from it")
    if design.sigma is not None:
        raise ResidualStructureError("draws from the priors are not worked out for a known sigma")
    if draws * design.n > LARGEST:
        raise OptionError(
            f"{draws} responses of {design.n} rows take more than half a gigabyte: ask for at most "
            f"draws={LARGEST // design.n}"
        )
    rng = np.random.default_rng(seed)
    density = prior_coordinates(design, priors)
    own = named_dataset(density, draw_priors(density, draws, rng), (1, draws))
    dims, coords = dimensions(design), names_of_coordinates(design)
    effects: dict[str, Any] = {}
    covs = covariance_draws({"posterior": own}, design)
    for term, names, cov in zip(design.terms, parameter_names(design).terms, covs, strict=True):
        factor = design.factors[term.factor]
        b = of_basis(sample_levels(cov, factor.effects, rng), factor.basis)
        for j, name in enumerate(names.variables):
            effects[name] = (("chain", "draw", *dims[name]), b[None, :, :, j])
    own = own.assign(effects).assign_coords(
        {d: coords[d] for name in effects for d in dims[name] if d not in own.coords}
    )
    y = all_draws(fitted_rows({"posterior": own}, design), type="prediction", rng=rng)
    tree = row_tree(
        {
            "prior_predictive": {response_name(design): counted(design, y[None])},
            "observed_data": {response_name(design): counted(design)},
            "constant_data": constant_data(design),
        },
        design,
    )
    tree["prior"] = type(tree)(own)
    return tree


def prior_coordinates(design: Design, priors: PriorSet) -> NamedCoordinates:
    """The coordinates that parameters have their priors on."""
    if design.family is None:
        return marginal_density(design, priors)
    return NamedCoordinates(**family_fields(design, priors))
