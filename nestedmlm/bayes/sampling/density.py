"""The log-density of a PyMC model on the unconstrained scale, by PyTensor.

For priors that are functions, and models that the user edited; a marginal model of `nm.Prior`s has
its density in closed form (`nestedmlm.bayes.density`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.initial_point import make_initial_point_expression
from pytensor.compile.mode import Mode

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.named_coordinates import PosteriorVariable
from nestedmlm.bayes.density.point_by_point import point_by_point
from nestedmlm.bayes.model.names import RAW, SCALE_SUFFIX, form_of, is_auxiliary, is_mean
from nestedmlm.errors import OptionError

_ONCE = Mode(linker="py", optimizer=None)  # for functions that are called once
_MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "python": Mode(linker="py", optimizer="fast_compile"),
        "c": Mode(linker="cvm", optimizer="fast_run"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """A log-density with its gradient, and the way back to named variables.

    Attributes
    ----------
    model : pymc.Model
    names : tuple of str
        Of the unconstrained variables (PyMC's value variables), in order.
    shapes : tuple of tuple of int
    initial : (ndim,) array
        A point to start from.
    variables : tuple of PosteriorVariable
        What `to_values` returns.
    coords : dict of str to tuple
    folded : tuple of int
        Coordinates that are signed scales: the density does not change with their signs (and
        the matching signs of correlations).
    """

    model: pm.Model
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: FloatArray
    variables: tuple[PosteriorVariable, ...]
    coords: Mapping[str, tuple[Any, ...]]
    folded: tuple[int, ...]
    _logp_grad: Callable[..., Any]
    _expand: Callable[..., Any]

    @property
    def form(self) -> str:
        """How the model treats the random effects."""
        return form_of(self.model)

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return False

    @property
    def ndim(self) -> int:
        """Number of unconstrained parameters."""
        return len(self.initial)

    def logp_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log-density (with the transforms' Jacobians) and its gradient.

        Where it cannot be evaluated it is minus infinity, with a zero gradient.
        """
        try:
            with np.errstate(all="ignore"):
                value, *gradients = self._logp_grad(*self.split(x))
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros(self.ndim)
        return float(value), _joined(gradients)

    def logp_grads(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`logp_grad` at points in rows."""
        return point_by_point(self, z)

    def logp(self, x: FloatArray) -> float:
        """Log-density alone."""
        return self.logp_grad(x)[0]

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows."""
        return np.array([self.logp(x) for x in z])

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows: arrays (m, …)."""
        values = [self.to_values(x) for x in z]
        return {v.name: np.stack([row[v.name] for row in values]) for v in self.variables}

    def to_values(self, x: FloatArray) -> dict[str, np.ndarray]:
        """The named variables at one point, on their own scale."""
        found = self._expand(*self.split(x))
        return {
            v.name: np.asarray(value, dtype=float).reshape(v.shape)
            for v, value in zip(self.variables, found, strict=True)
        }

    def at(self, values: Mapping[str, Any]) -> FloatArray:
        """The unconstrained point of given values of the model's free variables.

        Parameters
        ----------
        values : mapping of str to number or array
            By the free variable's name; those not named start where `initial` has them.
        """
        return _initial(self.model, values)

    def split(self, x: FloatArray) -> list[Any]:
        """Cut a point into the value variables."""
        return _pieces(x, self.shapes)


def density(model: pm.Model, *, compiler: str = "python") -> Density:
    """Prepare the log-density of a PyMC model.

    Parameters
    ----------
    model : pymc.Model
        All free variables continuous.
    compiler : {"python", "c"}
        Of the log-density and its gradient: PyTensor's Python linker, which has nothing to compile
        and takes a millisecond each time, or its C back-end.

    Raises
    ------
    OptionError
        If a free variable is discrete, or there is no C compiler.
    """
    discrete = [v.name for v in model.value_vars if v.dtype not in ("float64", "float32")]
    if discrete:
        raise OptionError(
            f"this model has discrete variables ({', '.join(discrete)}): no gradient; sample it "
            "with pymc.sample"
        )
    inputs = model.value_vars
    logp = model.logp()
    shapes = tuple(p.shape for p in _initial_parts(model, {}))
    reported = [model[name] for name in reported_names(model)]
    expanded = model.replace_rvs_by_values(reported)
    expand = _compiled(inputs, expanded, "python")
    logp_grad = _compiled(inputs, [logp, *pytensor.grad(logp, inputs)], compiler)
    initial = _initial(model, {})
    x0 = _pieces(initial, shapes)
    return Density(
        model=model,
        names=tuple(v.name for v in inputs),
        shapes=shapes,
        initial=initial,
        variables=tuple(
            PosteriorVariable(name=v.name, shape=np.shape(value), dims=_dims(model, v.name))
            for v, value in zip(reported, expand(*x0), strict=True)
        ),
        coords={k: tuple(v) for k, v in model.coords.items() if v is not None},
        folded=_folded(model, shapes),
        _logp_grad=logp_grad,
        _expand=expand,
    )


def reported_names(model: pm.Model) -> list[str]:
    """Variables of a posterior: all but those that only help sampling, and the long mean."""
    variables = (*model.free_RVs, *model.deterministics)
    return [
        v.name
        for v in variables
        if not (is_auxiliary(v.name) or is_mean(v.name, _dims(model, v.name)))
    ]


def _compiled(inputs: Sequence[Any], outputs: Sequence[Any], compiler: str) -> Callable[..., Any]:
    if compiler == "c" and not pytensor.config.cxx:
        raise OptionError("backend='c' needs a C++ compiler (g++), and PyTensor finds none")
    mode = _MODES[compiler]
    function: Callable[..., Any] = pytensor.function(
        list(inputs), list(outputs), mode=mode, on_unused_input="ignore"
    )
    return function


def _folded(model: pm.Model, shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    starts = np.cumsum([0, *(int(np.prod(s, dtype=int)) for s in shapes)]).tolist()
    return tuple(
        at
        for at, rv in zip(starts, model.free_RVs, strict=False)
        if rv.name.endswith(SCALE_SUFFIX + RAW)
    )


def _dims(model: pm.Model, name: str) -> tuple[str, ...]:
    return tuple(d for d in model.named_vars_to_dims.get(name, ()) if d is not None)


def _initial(model: pm.Model, values: Mapping[str, Any]) -> FloatArray:
    return _joined(_initial_parts(model, values))


def _initial_parts(model: pm.Model, values: Mapping[str, Any]) -> list[np.ndarray]:
    """Start of every value variable: as given, or the variable's own initial value."""
    known = {rv.name: rv for rv in model.free_RVs}
    unknown = [n for n in values if n not in known]
    if unknown:
        raise OptionError(
            f"no free variable {unknown[0]!r} to start; the names are: {', '.join(known)}"
        )
    strategies = dict(model.rvs_to_initial_values) | _off_zero(model)
    strategies |= {known[n]: np.asarray(v, dtype=float) for n, v in values.items()}
    expressions = make_initial_point_expression(
        free_rvs=model.free_RVs,
        rvs_to_transforms=model.rvs_to_transforms,
        initval_strategies=strategies,
        return_transformed=True,
    )
    return [np.asarray(p) for p in pytensor.function([], expressions, mode=_ONCE)()]


def _off_zero(model: pm.Model) -> dict[Any, Any]:
    """Starts of signed scales off zero, where their gradients vanish: half their priors' scale.

    They are no initial values of the model: PyMC's `do`, `observe` and copies refuse those.
    """
    signed = [
        rv
        for rv in model.free_RVs
        if rv.name.endswith(SCALE_SUFFIX + RAW) and model.rvs_to_initial_values.get(rv) is None
    ]
    out = {}
    for rv in signed:
        parameters = rv.owner.op.dist_params(rv.owner)  # the scale is the last; Flat has none
        scale = parameters[-1].eval() if parameters else 2.0
        out[rv] = np.asarray(0.5 * scale)
    return out


def _pieces(x: FloatArray, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    ends = np.cumsum([int(np.prod(s, dtype=int)) for s in shapes])
    parts = np.split(x, ends[:-1])
    return [float(p[0]) if s == () else p.reshape(s) for p, s in zip(parts, shapes, strict=True)]


def _joined(parts: Any) -> FloatArray:
    if not len(parts):
        return np.zeros(0)
    return np.concatenate([np.ravel(p).astype(float) for p in parts])
