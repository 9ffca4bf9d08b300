"""Another response for a model that exists already, in either form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
from pytensor.graph.traversal import ancestors

from nestedmlm.bayes.density.laplace_density import require_derivatives
from nestedmlm.bayes.density.marginal_likelihood import contrast
from nestedmlm.bayes.model.counted import counted
from nestedmlm.bayes.model.likelihood_op import data_of
from nestedmlm.bayes.model.marginal import is_marginal
from nestedmlm.bayes.model.names import LAPLACE, LIKELIHOOD, form_of, response_data_name
from nestedmlm.bayes.model.residual_graph import observed_rows
from nestedmlm.errors import DataError
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.pair_sums import pair_sums

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def set_response(model: pm.Model, design: Design, y: Any) -> None:
    """Put another response into a model, in place; nothing has to be compiled again.

    Parameters
    ----------
    model : pymc.Model
        From `marginal_model` or `hierarchical_model`. Its priors stay as they are, also those
        that were scaled from the former response.
    design : Design
        That of the model.
    y : (n,) array

    Raises
    ------
    DataError
        If `y` has not one finite number per row of the design.

    Notes
    -----
    A hierarchical model holds the response as ``pm.Data``, so ``pm.set_data`` does the same. A
    marginal one holds sums of products, of which those with y are computed anew.
    """
    y = np.asarray(y, dtype=float)
    if y.shape != design.y.shape or not np.all(np.isfinite(y)):
        raise DataError(
            f"a response of this model is {design.n} finite numbers; got an array of shape "
            f"{y.shape}" + ("" if np.all(np.isfinite(y)) else " with missing or infinite values")
        )
    if form_of(model) == "laplace":
        likelihood = data_of(model, LAPLACE)
        own = make_model(
            design.with_response(y),
            require_derivatives(design.family),
            unit=likelihood.likelihood.model.unit,  # the graph's columns have it
        )
        likelihood.likelihood = LaplaceLikelihood(model=own)
        return
    if not is_marginal(model):
        data = {response_data_name(design): counted(design, y)}
        if design.residual is not None:
            data |= {name: y[rows] for name, rows in observed_rows(design)}
        pm.set_data(data, model=model)
        return
    of_y = design.with_response(y)
    sums = None if design.residual is None else pair_sums(of_y)
    stats = cross_products(of_y) if sums is None else sums.base
    own = data_of(model, LIKELIHOOD)
    own.stats, own.sums = stats, sums
    for variable in ancestors([model[LIKELIHOOD]]):
        if variable.name == f"{LIKELIHOOD}_c":
            variable.set_value(contrast(stats))
