"""The rows of a generalized model as PyMC variables, by the likelihood that its family brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from nestedmlm.bayes.model.counted import has_trials
from nestedmlm.bayes.model.factors import scale
from nestedmlm.bayes.model.inverse_links import inverse_link
from nestedmlm.bayes.model.names import OBS_DIM, response_name, sampled_parameters
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.errors import OptionError
from nestedmlm.families import Family, PymcLikelihood, PymcRows

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def observe_rows(
    design: Design, family: Family, priors: PriorSet, eta: Any, data: Mapping[Any, Any]
) -> None:
    """Make the parameters beside the mean and the observed rows, in the model being built.

    Prior weights of families whose density they multiply (counts, beta) make a ``pm.Potential`` in
    the place of an observed variable.

    Parameters
    ----------
    design : Design
    family : Family
    priors : PriorSet
    eta : symbolic (n,) vector
        Linear predictor.
    data : mapping of str to ``pm.Data``
        ``y`` and, where there are any, ``weights``.

    Raises
    ------
    OptionError
        If the family has no PyMC likelihood, or its link none in PyTensor.
    """
    likelihood = require_likelihood(family)
    mu = pm.Deterministic(likelihood.mean, inverse_link(family.link)(eta), dims=OBS_DIM)
    values = beside(design, family, priors)
    if family.dispersion == "fixed":
        values |= likelihood.at_dispersion(family.dispersion_value)
    weights = data.get("weights")
    apart = weights is not None and not (family.scaled or has_trials(design))
    rows = PymcRows(
        link=family.link.name, eta=eta, mu=mu, weights=None if apart else weights,
        parameters=values,
    )  # fmt: skip
    found, arguments = likelihood.distribution(rows)
    distribution = getattr(pm, found) if isinstance(found, str) else found
    name = response_name(design)
    if not apart or np.all(design.weights == 1.0):
        distribution(name, **arguments, observed=data["y"], dims=OBS_DIM)
        return
    log_density = pm.logp(distribution.dist(**arguments), data["y"])
    pm.Potential(name, weights * log_density, dims=OBS_DIM)


def beside(design: Design, family: Family, priors: PriorSet) -> dict[str, Any]:
    """What a family samples beside the mean, as PyMC variables."""
    return {
        p.name: scale(p.name, priors[p.name].prior, folded=False)
        for p in sampled_parameters(family)
    }


def require_likelihood(family: Family) -> PymcLikelihood:
    """The family's PyMC likelihood.

    Raises
    ------
    OptionError
        If it has none.
    """
    if family.pymc is None:
        raise OptionError(
            f"the {family.name} family does not say how it is written in PyMC: give "
            "nestedmlm.families.Family(..., pymc=nestedmlm.families.PymcLikelihood(...)), or "
            "sample with marginal='laplace'"
        )
    return family.pymc
