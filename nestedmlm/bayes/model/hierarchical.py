"""The hierarchical model: every random effect a variable, for people to edit; any family.

The same priors, names and posterior as the marginal model. The graph is kept small: one vector
for each column of each term, Cholesky factors element by element, nothing per group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm.bayes.model.counted import counted
from nestedmlm.bayes.model.factors import TermFactor, term_factor
from nestedmlm.bayes.model.family_rows import observe_rows
from nestedmlm.bayes.model.fixed import fixed_effects, residual_scale
from nestedmlm.bayes.model.names import (
    FIXED_DIM,
    INTERCEPT,
    MU,
    OBS_DIM,
    OFFSET,
    ParameterNames,
    TermNames,
    coordinates,
    parameter_names,
    response_data_name,
    response_name,
    without_slash,
)
from nestedmlm.bayes.model.parameterisation import parameterisation
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.model.residual_graph import observe, residual_variables
from nestedmlm.design.matrices.grouping import refuse_related

if TYPE_CHECKING:
    from nestedmlm.design.design import Design, ReTerm


def hierarchical_model(
    design: Design,
    priors: PriorSet | Mapping[str, Any] | None = None,
    *,
    noncentered: bool | str | Mapping[str, bool] = "auto",
) -> pm.Model:
    """Make the PyMC model with explicit random effects.

    Parameters
    ----------
    design : Design
    priors : PriorSet or mapping, optional
        See `nestedmlm.bayes.model.priors.resolve_priors`.
    noncentered : "auto", bool, or mapping of term label to bool
        See `nestedmlm.bayes.model.parameterisation.parameterisation`, which also tells what "auto"
        decides.

    Returns
    -------
    pymc.Model
        Response (``y_data`` for a response y), matrices, codes, weights and offset are
        ``pm.Data``, so new data can be set. The expected response, ``mu`` (``p`` of a binomial
        one), is a Deterministic of one number per row. A binomial response with trials is in
        successes. Where residuals correlate, the response is the rows given those before them in
        their blocks (``ar1``, ``car1``), or one `pymc.MvNormal` for each pattern of visits.

    Raises
    ------
    OptionError
        For unknown priors or terms, and for a family that has no PyMC likelihood.
    RelationshipError
        If levels of a factor are related.
    """
    refuse_related(design.factors, "the hierarchical form (marginal=True knows relatives)")
    priors = resolve_priors(design, priors)
    names = parameter_names(design)
    choices = parameterisation(design, noncentered)
    with pm.Model(coords=_coordinates(design)) as model:
        data = _data(design, {*names.parameters, *names.effects})
        fixed_effects(design, names, priors)
        mu: Any = 0.0
        if design.p:
            # the user's intercept: X is as the user knows it, also when new data are set
            columns = [data["X"][:, j] * model[name] if name != INTERCEPT else model[name]
                       for j, name in enumerate(names.fixed)]  # fmt: skip
            mu = sum(columns[1:], columns[0])
        for i, (term, own) in enumerate(zip(design.terms, names.terms, strict=True)):
            effects = _effects(term, own, priors, centred=choices[i].centred)
            codes = data["codes", term.factor]
            for j, b in enumerate(effects):
                mu = mu + (b[codes] if _is_one(term, j) else b[codes] * data["Z", i][:, j])
        if "offset" in data:
            mu = mu + data["offset"]
        if design.family is None:
            _normal_rows(design, names, priors, mu, data)
        else:
            observe_rows(design, design.family, priors, mu, data)
    return model


def _normal_rows(
    design: Design, names: ParameterNames, priors: PriorSet, mu: Any, data: Mapping[Any, Any]
) -> None:
    sigma = residual_scale(names, priors)
    spread = sigma / pt.sqrt(data["weights"]) if "weights" in data else sigma
    mu = pm.Deterministic(MU, mu, dims=OBS_DIM)
    if design.residual is None:
        pm.Normal(response_name(design), mu, spread, observed=data["y"], dims=OBS_DIM)
    else:
        made = residual_variables(design, names, priors, sigma)
        observe(made, design, mu, spread, data["y"])


def _effects(term: ReTerm, own: TermNames, priors: PriorSet, *, centred: bool) -> list[Any]:
    """The random effects of one term, one vector per column."""
    factor = term_factor(term, own, priors, folded=not centred)
    return (_centred if centred else _noncentred)(factor, own)


def _noncentred(factor: TermFactor, own: TermNames) -> list[Any]:
    z = [pm.Normal(name + OFFSET, 0.0, 1.0, dims=own.factor_dim) for name in own.variables]
    entries = factor.entries()
    out = []
    for i, name in enumerate(own.variables):
        parts = [entries[i, j] * z[j] for j in range(i + 1) if (i, j) in entries]
        out.append(pm.Deterministic(name, sum(parts[1:], parts[0]), dims=own.factor_dim))
    return out


def _centred(factor: TermFactor, own: TermNames) -> list[Any]:
    """Each column given the ones before it: the same normal, factored."""
    entries = factor.entries()
    b: list[Any] = []
    z: list[Any] = []
    for i, name in enumerate(own.variables):
        parts = [entries[i, j] * z[j] for j in range(i) if (i, j) in entries]
        mean = sum(parts[1:], parts[0]) if parts else 0.0
        b.append(pm.Normal(name, mean, entries[i, i], dims=own.factor_dim))
        z.append((b[i] - mean) / entries[i, i])
    return b


def _coordinates(design: Design) -> dict[str, Any]:
    labels = design.index.tolist()
    plain = all(type(x) is int for x in labels) or all(type(x) is str for x in labels)
    rows = labels if plain and len(set(labels)) == design.n else list(range(design.n))
    columns = {_column_dim(term): list(term.columns) for term in design.terms}
    return {
        **coordinates(design), **columns, OBS_DIM: rows, FIXED_DIM: list(design.x_names)
    }  # fmt: skip


def _column_dim(term: ReTerm) -> str:
    return f"{without_slash(term.name)}__column_dim"


def _data(design: Design, taken: set[str]) -> dict[Any, Any]:
    """The design as ``pm.Data``, under names that no parameter has."""

    def add(name: str, values: Any, *dims: str) -> Any:
        name = without_slash(name)
        while name in taken:
            name += "_"
        return pm.Data(name, values, dims=dims)

    out: dict[Any, Any] = {"y": pm.Data(response_data_name(design), counted(design), dims=OBS_DIM)}
    if design.p:
        out["X"] = add("X", design.X, OBS_DIM, FIXED_DIM)
    for f, factor in enumerate(design.factors):
        out["codes", f] = add(f"{factor.name}_code", np.asarray(factor.codes), OBS_DIM)
    for i, term in enumerate(design.terms):
        if not all(_is_one(term, j) for j in range(len(term.columns))):
            out["Z", i] = add(f"{term.name}_columns", term.X, OBS_DIM, _column_dim(term))
    if design.weights is not None:
        out["weights"] = add("weights", design.weights, OBS_DIM)
    if design.offset is not None:
        out["offset"] = add("offset", design.offset, OBS_DIM)
    return out


def _is_one(term: ReTerm, j: int) -> bool:
    """Whether a column is the intercept: nothing to multiply with, whatever the data."""
    return term.columns[j] == "(Intercept)"
