"""Unconstrained coordinates of a marginal posterior, and their priors.

The coordinates are those of the PyMC model: logarithms of what is positive, logits of what has two
ends, standard deviations with a sign where their prior is the half of a symmetric one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.log_priors import LOG_DENSITIES, LogDensity, typical_value
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.distributions import FAMILIES, FOLDED, Prior
from nestedmlm.bayes.model.names import (
    CENTRED_INTERCEPT,
    PARTIAL,
    RAW,
    TermNames,
    parameter_names,
    structured_parameters,
    unbounded_name,
)
from nestedmlm.covariance.parameter import ends

if TYPE_CHECKING:
    from nestedmlm.bayes.model.priors import PriorSet
    from nestedmlm.design.design import Design, ReTerm

REAL, LOG, INTERVAL = "real", "log", "interval"
_POSITIVE = frozenset(FAMILIES["standard deviation"]) - {"Uniform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """One coordinate: a variable of the model on its unconstrained scale.

    Attributes
    ----------
    name : str
        Of the variable (several coordinates may belong to one vector).
    prior : Prior
        Of the variable; of a signed standard deviation the symmetric one.
    scale : {"real", "log", "interval"}
    start : float
        Of the variable.
    signed : bool
        Whether it is a standard deviation with a sign.
    """

    name: str
    prior: Prior
    scale: str
    start: float
    signed: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Of the variable."""
        given = dict(self.prior.parameters)
        return given.get("lower", 0.0), given.get("upper", 1.0)


def make_coordinate(name: str, prior: Prior) -> Coordinate:
    """The coordinate of a variable with a prior."""
    kind = prior.distribution
    scale = LOG if kind in _POSITIVE else INTERVAL if kind in ("Uniform", "Beta") else REAL
    return Coordinate(name=name, prior=prior, scale=scale, start=typical_value(prior))


def make_scale(name: str, prior: Prior) -> Coordinate:
    """The coordinate of a standard deviation of random effects: signed where it can be."""
    if prior.distribution not in FOLDED:
        return make_coordinate(name, prior)
    given = FOLDED[prior.distribution](prior)
    size = dict(given.parameters).get("sigma") or dict(given.parameters).get("beta")
    size = size or dict(given.parameters).get("b") or 2.0
    # off zero, where the gradient vanishes
    return Coordinate(name=name + RAW, prior=given, scale=REAL, start=0.5 * size, signed=True)


def fixed_coordinates(design: Design, priors: PriorSet) -> list[Coordinate]:
    """Those of the fixed effects: the intercept is that at the predictors' means."""
    how, out = centring(design), []
    for j, name in enumerate(parameter_names(design).fixed):
        own = CENTRED_INTERCEPT if j == how.intercept else name
        out.append(make_coordinate(own, given_prior(priors, name)))
    return out


def correlation_coordinates(term: ReTerm, names: TermNames, priors: PriorSet) -> list[Coordinate]:
    """Those of a term's correlations: partial ones, or the parameters of its structure."""
    if names.correlation is None:
        return []
    k = len(names.variables)
    if not term.structure.free_correlations:
        pairs = zip(names.parameters, structured_parameters(term), strict=True)
        return [
            make_coordinate(unbounded_name(n) if any(ends(p)) else n, given_prior(priors, n))
            for n, p in pairs
        ]
    return partial_coordinates(names.correlation, k, priors)


def partial_coordinates(name: str, k: int, priors: PriorSet) -> list[Coordinate]:
    """Those of the partial correlations of an unstructured matrix with k columns."""
    eta = given_prior(priors, name)["eta"]
    out = []
    for _, j in ((i, j) for i in range(1, k) for j in range(i)):
        a = eta + 0.5 * (k - 2 - j)
        out.append(make_coordinate(name + PARTIAL, Prior("Beta", alpha=a, beta=a)))
    return out


def given_prior(priors: PriorSet, name: str) -> Prior:
    """The prior of a parameter, which is no function: those go through PyMC."""
    prior = priors[name].prior
    assert isinstance(prior, Prior)
    return prior


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Alike:
    """Coordinates of one kind of prior and scale, evaluated together."""

    at: IntArray
    scale: str
    lower: FloatArray
    width: FloatArray
    density: LogDensity


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The coordinates of a posterior.

    Attributes
    ----------
    each : tuple of Coordinate
    """

    each: tuple[Coordinate, ...]
    _alike: tuple[_Alike, ...]

    @classmethod
    def of(cls, each: Sequence[Coordinate]) -> Coordinates:
        """Sort coordinates by what their priors have in common."""
        return cls(tuple(each), tuple(_sorted_alike(each)))

    def __len__(self) -> int:
        return len(self.each)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, one for each coordinate."""
        return tuple(c.name for c in self.each)

    def variables(self, z: FloatArray) -> FloatArray:
        """Values of the variables at points (…, d)."""
        out = np.array(z, dtype=float)
        for own in self._alike:
            if own.scale == LOG:
                out[..., own.at] = np.exp(z[..., own.at])
            elif own.scale == INTERVAL:
                out[..., own.at] = own.lower + own.width * _sigmoid(z[..., own.at])
        return out

    def log_prior(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log-priors with the logarithms of ``dx/dz``, at points and the variables' values there.

        Returns
        -------
        value : (…,) array
        gradient : (…, d) array
            In z.
        slopes : (…, d) array
            ``dx/dz``, which other gradients in x have to be multiplied with.
        """
        value, gradient = np.zeros(z.shape[:-1]), np.empty(z.shape)
        slopes = np.ones(z.shape)
        for own in self._alike:
            height, slope = own.density(x[..., own.at])
            if own.scale == REAL:
                gradient[..., own.at] = slope
                value = value + height.sum(axis=-1)
                continue
            at = z[..., own.at]
            if own.scale == LOG:
                dx, log_dx, away = x[..., own.at], at, np.ones(())
            else:
                unit = _sigmoid(at)
                dx, away = own.width * unit * (1.0 - unit), 1.0 - 2.0 * unit
                log_dx = np.log(own.width) - np.abs(at) - 2.0 * np.log1p(np.exp(-np.abs(at)))
            slopes[..., own.at] = dx
            gradient[..., own.at] = slope * dx + away
            value = value + (height + log_dx).sum(axis=-1)
        return value, gradient, slopes

    def point(self, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The point where variables have these values; the others start where they do."""
        x, used = [], {name: 0 for name in values}
        for c in self.each:
            if c.name in values:
                given = np.ravel(values[c.name])
                x.append(float(given[used[c.name]]))
                used[c.name] += 1
            else:
                x.append(c.start)
        return self.points(np.array(x))

    def points(self, x: FloatArray) -> FloatArray:
        """The points where the variables have the values x (…, d): what `variables` turns back."""
        own = [_INVERSE[c.scale](x[..., i], *c.ends) for i, c in enumerate(self.each)]
        return np.stack(own, axis=-1)


def _sorted_alike(each: Sequence[Coordinate]) -> Iterator[_Alike]:
    def kind(i: int) -> tuple[str, ...]:
        c = each[i]
        return (c.scale, c.prior.distribution, *(name for name, _ in c.prior.parameters))

    for (scale, distribution, *parameters), group in groupby(
        sorted(range(len(each)), key=kind), key=kind
    ):
        at = np.array(list(group))
        values = {p: np.array([each[i].prior[p] for i in at]) for p in parameters}
        low, high = np.array([each[i].ends for i in at]).T
        yield _Alike(
            at=at,
            scale=scale,
            lower=low,
            width=high - low,
            density=LOG_DENSITIES[distribution](values),
        )


def _sigmoid(z: FloatArray) -> FloatArray:
    out: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * z))
    return out


_INVERSE: Mapping[str, Callable[..., FloatArray]] = {
    REAL: lambda value, low, high: value,
    LOG: lambda value, low, high: np.log(value),
    INTERVAL: lambda value, low, high: np.log(value - low) - np.log(high - value),
}
