"""The PyMC model of a design in the form asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pymc as pm

from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.laplace_model import laplace_model
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.prior_set import PriorSet

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def build_model(
    design: Design,
    priors: PriorSet | Mapping[str, Any] | None,
    *,
    marginal: bool | str,
    noncentered: bool | str = "auto",
) -> pm.Model:
    """Build the PyMC model of a design in one of its two forms.

    Parameters
    ----------
    design : Design
    priors : PriorSet or mapping, optional
        See `nestedmlm.bayes.model.priors.resolve_priors`.
    marginal : {"auto", True, False, "laplace"}
        Integrate the random effects out; "auto" does in a linear model. Of a generalized one,
        "laplace" does, approximately.
    noncentered : "auto" or bool
        Parameterisation of the random effects of the other form.

    Returns
    -------
    pymc.Model

    Raises
    ------
    OptionError
        For unknown priors, or priors that do not suit their parameter.
    """
    if design.family is None and marginal:
        return marginal_model(design, priors)
    if marginal == "laplace":
        return laplace_model(design, priors)
    return hierarchical_model(design, priors, noncentered=noncentered)
