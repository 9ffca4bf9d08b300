"""Records of a fit (its design, priors and run) as JSON and arrays: files that run no code.

A record is written as the name of its class and its fields, and only the classes of a fixed table
are read. Formulas and covariance structures are written by their text and their names. Functions
of the caller's cannot be written: their names are, and reading asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import scipy.special

from nestedmlm.bayes.model import distributions, joint_priors, prior_set
from nestedmlm.covariance import STRUCTURES, Structure
from nestedmlm.covariance.residual_structures import ResidualStructure, residual_structure
from nestedmlm.design import design, residual, rows, schema, smooth_bases, smooths, sums
from nestedmlm.design.frame import (
    column_statistics,
    group_columns,
    splines,
    transforms,
    values,
)
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.matrices import columns, grouping, modelmatrix, reterms
from nestedmlm.design.partitions import partition_frame, reading
from nestedmlm.errors import DataError, NestedMLMError, OptionError
from nestedmlm.families import FAMILIES, Family, resolve_family
from nestedmlm.formula import Formula, nodes, parse_formula, terms
from nestedmlm.posterior import plain_values, run
from nestedmlm.posterior.plain_values import Reader, Store, Writer, read_value, write_value
from nestedmlm.statistics.cells import cell_plan, cell_sums, predictor_tally

_MODULES = (
    distributions, prior_set, joint_priors, design, residual, rows, schema, splines, transforms,
    column_statistics, group_columns, grouping, modelmatrix, values, columns, sums,
    partition_frame, reading, reterms, nodes, terms, run, cell_sums, cell_plan, predictor_tally,
    smooth_bases, smooths,
)  # fmt: skip
RECORDS: Mapping[str, type] = MappingProxyType(
    {
        name: found
        for module in _MODULES
        for name, found in vars(module).items()
        if isinstance(found, type) and is_dataclass(found) and found.__module__ == module.__name__
    }
)
# what the design puts back where it is made
_PUT_BACK = {"ReTerm": ("number", "rows", "sums"), "GroupingFactor": ("number", "rows", "sums")}
_LIBRARIES = (np, scipy.special)  # whose elementwise functions are written by name


@dataclass(frozen=True, slots=True)
class MissingFunction:
    """A function of the caller's that a file only names.

    Attributes
    ----------
    name : str
        What `load_bayesfit` asks for.
    shown : str
        The function's own name.
    """

    name: str
    shown: str

    @property
    def __name__(self) -> str:
        return self.shown

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Refuse.

        Raises
        ------
        OptionError
        """
        raise OptionError(
            f"{self.shown}() is a function of yours, of which a file holds the name alone; give it "
            f"to nm.load_bayesfit(path, functions={{{self.name!r}: …}})"
        )


def write_records(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write records.

    Parameters
    ----------
    values : mapping of str to record or plain value

    Returns
    -------
    text : str
        JSON.
    arrays : dict of str to ndarray
        What the text refers to.

    Raises
    ------
    DataError
        For what cannot be written, naming its place.
    """
    store = Store(writers=WRITERS, readers={})
    written = {name: write_value(value, store, name) for name, value in values.items()}
    return json.dumps({"values": written, "objects": store.objects}), store.numbers


def read_records(
    text: str, arrays: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]
) -> dict[str, Any]:
    """Read what `write_records` wrote.

    Parameters
    ----------
    text : str
    arrays : mapping of str to ndarray
    functions : mapping of str to callable
        The caller's functions; those that are not there are a `MissingFunction`.

    Returns
    -------
    dict of str to record or plain value

    Raises
    ------
    DataError
        For a text that `write_records` does not write, and for a covariance structure that is not
        registered.
    OptionError
        For functions that the records do not name.
    """
    try:
        content = json.loads(text)
        store = Store(
            writers={},
            readers=READERS,
            numbers=dict(arrays),
            objects=content["objects"],
            functions=functions,
        )
        found = {name: read_value(value, store) for name, value in content["values"].items()}
    except NestedMLMError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
        raise DataError(f"what stands beside the draws cannot be read: {problem!r}") from problem
    if unknown := [name for name in functions if name not in store.asked]:
        known = ", ".join(sorted(store.asked)) or "none"
        raise OptionError(f"no function {unknown[0]!r} is asked for; those that are: {known}")
    return found


def _write_record(value: Any, store: Store, where: str) -> Any:
    name = type(value).__name__
    left = _PUT_BACK.get(name, ())
    written = {
        f.name: write_value(getattr(value, f.name), store, f"{where}.{f.name}")
        for f in fields(value)
        if f.name not in left
    }
    return [name, written]


def _read_record(content: Any, store: Store) -> Any:
    name, written = content
    cls = RECORDS.get(name)
    wanted = {f.name for f in fields(cls)} - set(_PUT_BACK.get(name, ())) if cls else set()
    if cls is None or wanted != written.keys():
        raise DataError(
            f"{name} is written as another version of nestedmlm has it: read the file with that "
            "version; the draws alone can be read by ArviZ"
        )
    return cls(**{field: read_value(item, store) for field, item in written.items()})


def _write_formula(formula: Formula, store: Store, where: str) -> Any:
    return [formula.text, formula.double_bar]


def _read_formula(content: Any, store: Store) -> Formula:
    text, double_bar = content
    return parse_formula(text, double_bar=double_bar)


def _write_structure(structure: Structure, store: Store, where: str) -> str:
    return structure.name


def _read_structure(name: str, store: Store) -> Structure:
    if name not in STRUCTURES:
        raise DataError(
            f"this model has the covariance structure {name!r} of yours, of which a file holds the "
            "name alone: register it (nm.covariance.register) before loading"
        )
    return STRUCTURES[name]


def _write_family(family: Family, store: Store, where: str) -> Any:
    """Its name, its link's and the parameter that is fixed, if any."""
    made = resolve_family(family.name, family.link.name) if family.name in FAMILIES else None
    if made is None or made.link != family.link:
        raise DataError(
            f"this posterior cannot be saved: {where} is a family or a link of yours, which is "
            "functions; the draws alone can be written: fit.data.to_netcdf(path)"
        )
    nu = None if family.pymc is None else family.pymc.known_parameter
    return [family.name, family.link.name, family.dispersion_value, nu]


def _read_family(content: Any, store: Store) -> Family:
    name, link, dispersion, nu = content
    if name not in FAMILIES:
        raise DataError(f"there is no family {name!r} in this version of nestedmlm")
    family = FAMILIES[name](link=link) if nu is None else FAMILIES[name](nu=nu, link=link)
    return family if dispersion is None else family.with_dispersion(dispersion)


def _write_residual(arguments: residual.ResidualArguments, store: Store, where: str) -> Any:
    """The arguments ``dispersion`` and ``residual`` by their texts."""
    return [arguments.dispersion_text, arguments.term.text if arguments.term else None]


def _read_residual(content: Any, store: Store) -> residual.ResidualArguments | None:
    dispersion, term = content
    return residual.read_arguments(dispersion, term)


def _write_residual_structure(own: ResidualStructure, store: Store, where: str) -> str:
    return own.name


def _read_residual_structure(name: str, store: Store) -> ResidualStructure:
    return residual_structure(name)


def _write_prior(prior: distributions.Prior, store: Store, where: str) -> Any:
    return [prior.distribution, {k: write_value(v, store, where) for k, v in prior.parameters}]


def _read_prior(content: Any, store: Store) -> distributions.Prior:
    distribution, written = content
    parameters = {k: read_value(v, store) for k, v in written.items()}
    return distributions.Prior(distribution, **parameters)


def _write_priors(found: prior_set.PriorSet, store: Store, where: str) -> Any:
    rows = {
        name: replace(row, prior=_named(name, row.prior)) if callable(row.prior) else row
        for name, row in found.items()
    }
    return write_value(rows, store, where)


def _read_priors(content: Any, store: Store) -> prior_set.PriorSet:
    return prior_set.PriorSet(read_value(content, store))


def _write_environment(env: Environment, store: Store, where: str) -> Any:
    """The caller's variables that the formula uses; modules that formulas know are left out."""
    values = {
        name: _named(name, value) if callable(value) or isinstance(value, ModuleType) else value
        for name, value in env.values.items()
        if not (isinstance(value, ModuleType) and value.__name__ in ("numpy", "pandas"))
    }
    return write_value(values, store, f"the variable that the formula uses, {where}")


def _read_environment(content: Any, store: Store) -> Environment:
    return Environment(read_value(content, store))


def _named(name: str, function: Any) -> Any:
    """Elementwise functions of NumPy and SciPy by their own names, others by the caller's."""
    if isinstance(function, MissingFunction | np.ufunc):
        return function
    return MissingFunction(name, getattr(function, "__name__", name))


def _write_function(function: MissingFunction, store: Store, where: str) -> Any:
    return [function.name, function.shown]


def _read_function(content: Any, store: Store) -> Any:
    name, shown = content
    store.asked.add(name)
    return store.functions.get(name, MissingFunction(name, shown))


def _write_ufunc(function: np.ufunc, store: Store, where: str) -> str:
    if _library_function(function.__name__) is not function:
        raise DataError(
            f"this posterior cannot be saved: {where} is an elementwise function "
            f"{function.__name__}() that is neither NumPy's nor SciPy's"
        )
    return str(function.__name__)


def _library_function(name: str) -> Any:
    found = (getattr(library, name, None) for library in _LIBRARIES)
    return next((f for f in found if isinstance(f, np.ufunc)), None)


def _read_ufunc(name: str, store: Store) -> Any:
    found = _library_function(name)
    if found is None:
        raise DataError(f"neither NumPy nor SciPy has an elementwise function {name!r}")
    return found


WRITERS: Mapping[type, tuple[str, Writer]] = {
    **dict.fromkeys(RECORDS.values(), ("record", _write_record)),
    Formula: ("formula", _write_formula),
    Structure: ("structure", _write_structure),
    Family: ("family", _write_family),
    residual.ResidualArguments: ("residual arguments", _write_residual),
    ResidualStructure: ("residual structure", _write_residual_structure),
    distributions.Prior: ("prior", _write_prior),
    prior_set.PriorSet: ("priors", _write_priors),
    Environment: ("environment", _write_environment),
    MissingFunction: ("function", _write_function),
    np.ufunc: ("elementwise function", _write_ufunc),
    **plain_values.WRITERS,
}
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "formula": _read_formula,
        "structure": _read_structure,
        "family": _read_family,
        "residual arguments": _read_residual,
        "residual structure": _read_residual_structure,
        "prior": _read_prior,
        "priors": _read_priors,
        "environment": _read_environment,
        "function": _read_function,
        "elementwise function": _read_ufunc,
        "record": _read_record,
        **plain_values.READERS,
    }
)
