"""The groups of a posterior that ArviZ's functions look for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.counted import counted
from nestedmlm.bayes.model.names import (
    FIXED_DIM,
    OBS_DIM,
    is_auxiliary,
    is_mean,
    parameter_names,
    response_name,
    without_slash,
)
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.design.design import Design
from nestedmlm.errors import NotDefinedError, OptionError
from nestedmlm.posterior.draws import draw_shape
from nestedmlm.posterior.loglik import fits_in_memory, row_log_likelihood
from nestedmlm.posterior.parameter_priors import log_prior
from nestedmlm.posterior.row_draws import all_draws, fitted_rows

STACKED = "data_sets"  # attribute of stacked draws: how many data sets they are of
_OF_DATA = ("observed_data", "constant_data")


def check_parameters(data: Any, design: Design) -> None:
    """Refuse draws that lack a parameter of a design.

    Raises
    ------
    OptionError
    """
    if "posterior" not in data:
        raise OptionError("draws are a DataTree with a group 'posterior', as pymc.sample returns")
    names = parameter_names(design).parameters
    missing = [name for name in names if name not in data["posterior"].data_vars]
    if missing:
        raise OptionError(
            f"the draws lack {', '.join(map(repr, missing))}; a fit of this formula needs "
            f"{', '.join(names)}"
        )


def refuse_stacked(data: Any, what: str) -> None:
    """Refuse a question about the likelihood of draws that are of several data sets.

    Raises
    ------
    NotDefinedError
    """
    count = data["posterior"].attrs.get(STACKED)
    if count is not None:
        raise NotDefinedError(
            f"{what} of a stacked posterior is not defined: its draws are of {count} imputed data "
            "sets, and a likelihood is of one; ask each of the posteriors that were pooled"
        )


def without_auxiliary(data: Any) -> Any:
    """Copy a tree without variables that only make sampling easy, and without the long mean."""
    posterior = data["posterior"].to_dataset()
    names = [
        name
        for name, variable in posterior.data_vars.items()
        if is_auxiliary(str(name)) or is_mean(str(name), variable.dims)
    ]
    out = data.copy()
    out["posterior"] = type(data)(posterior.drop_vars(names))
    return out


def row_labels(design: Design) -> list[Any]:
    """Labels of the rows: the caller's if they are distinct numbers or texts, else 0, 1, …."""
    labels = design.index.tolist()
    plain = all(type(x) is int for x in labels) or all(type(x) is str for x in labels)
    return labels if plain and len(set(labels)) == design.n else list(range(design.n))


def complete(data: Any, design: Design, *, log_likelihood: bool = True) -> Any:
    """Add observed data, constant data and the rows' log-likelihood where they are missing.

    Parameters
    ----------
    data : DataTree
        With ``posterior``; never changed.
    log_likelihood : bool
        Add it, unless it would take more than half a gigabyte, or residuals correlate.

    Returns
    -------
    DataTree
    """
    if design.rows is None:
        return data.copy()
    groups: dict[str, dict[str, Any]] = {
        "observed_data": {response_name(design): counted(design)},
        "constant_data": constant_data(design),
    }
    # rows of a block are dependent: their log-densities do not add up to the likelihood
    dependent = design.residual is not None and design.residual.block is not None
    if log_likelihood and not dependent and fits_in_memory(data, design):
        groups["log_likelihood"] = _deferred_log_likelihood(data, design)
    return merge(data, row_tree(groups, design))


def _deferred_log_likelihood(data: Any, design: Design) -> dict[str, Any]:
    from nestedmlm.posterior.deferred_arrays import deferred_arrays

    shapes = {response_name(design): (*draw_shape(data), design.n)}
    return deferred_arrays(shapes, partial(_log_likelihood, data, design))


def _log_likelihood(data: Any, design: Design) -> dict[str, FloatArray]:
    return {response_name(design): row_log_likelihood(data, design)}


def row_tree(groups: Mapping[str, Mapping[str, Any]], design: Design) -> Any:
    """Groups of variables with a value for each row (and draw), as a DataTree.

    Parameters
    ----------
    groups : mapping of str to mapping of str to array
        Arrays of groups other than the data's begin with chains and draws.
    design : Design
    """
    from xarray import Dataset, DataTree

    dims, coords = row_dims(design), row_coords(design)
    trees = {}
    for group, variables in groups.items():
        first = () if group in _OF_DATA else ("chain", "draw")
        arrays = {n: ((*first, *dims[n]), v) for n, v in variables.items()}
        own = Dataset(arrays)
        trees[group] = own.assign_coords(
            {str(d): coords.get(str(d), np.arange(size)) for d, size in own.sizes.items()}
        )
    return DataTree.from_dict(trees)


def merge(data: Any, more: Any, *, replace: bool = False) -> Any:
    """Copy a tree with the groups of another one that it lacks (or all of them)."""
    out = data.copy()
    for name, group in more.children.items():
        if replace or name not in out.children:
            out[name] = group.copy()
    return out


def add_log_likelihood(data: Any, design: Design) -> Any:
    """Copy a tree with the rows' log-likelihood."""
    return merge(data, row_tree({"log_likelihood": _log_likelihood(data, design)}, design))


def add_log_prior(data: Any, design: Design, priors: PriorSet) -> Any:
    """Copy a tree with the log-prior of every draw, a variable for each prior."""
    from xarray import Dataset, DataTree

    values = log_prior(data, design, priors)
    coords = {d: data["posterior"].coords[d].values for d in ("chain", "draw")}
    own = Dataset({k: (("chain", "draw"), v) for k, v in values.items()}, coords=coords)
    return merge(data, DataTree.from_dict({"log_prior": own}), replace=True)


def constant_data(design: Design) -> dict[str, Any]:
    """The predictors: fixed-effects matrix, codes of the groups, weights, offset."""
    out: dict[str, Any] = {"X": design.X}
    for factor in design.factors:
        out[code_name(factor.name)] = factor.codes
    if design.weights is not None:
        out["weights"] = design.weights
    if design.offset is not None:
        out["offset"] = design.offset
    return out


def code_name(factor: str) -> str:
    """Name of the variable with a factor's codes."""
    return f"{without_slash(factor)}_code"


def row_dims(design: Design) -> dict[str, list[str]]:
    """Dimensions of everything that has one value per row."""
    names = (response_name(design), "weights", "offset")
    dims = {name: [OBS_DIM] for name in names}
    dims |= {code_name(factor.name): [OBS_DIM] for factor in design.factors}
    return {**dims, "X": [OBS_DIM, FIXED_DIM]}


def row_coords(design: Design) -> dict[str, list[Any]]:
    """Labels of the rows and of the fixed effects."""
    return {OBS_DIM: row_labels(design), FIXED_DIM: list(design.x_names)}


def add_posterior_predictive(data: Any, design: Design, *, seed: int | None) -> Any:
    """Copy a tree with one replicated response per draw in ``posterior_predictive``."""
    rng = np.random.default_rng(seed)
    draws = all_draws(fitted_rows(data, design), type="prediction", rng=rng)
    values: FloatArray = counted(design, draws.reshape(*draw_shape(data), design.n))
    more = row_tree({"posterior_predictive": {response_name(design): values}}, design)
    return merge(data, more, replace=True)
