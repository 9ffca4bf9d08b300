"""Unconstrained coordinates of a marginal posterior, and their priors.

The coordinates are those of the PyMC model: logarithms of the distance from the end of what has
one, logits of what has two, standard deviations with a sign where their prior is the half of a
symmetric one. What is held at a value is no coordinate, but stands with the variables: after them,
so that its place counts from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.coefficient_priors import Factor
from nestedmlm.bayes.density.log_priors import LogDensity
from nestedmlm.bayes.density.prior_distributions import density_of, start_of
from nestedmlm.bayes.model.distributions import BOUNDS, FAMILIES, Prior, folded
from nestedmlm.bayes.model.names import (
    PARTIAL,
    RAW,
    TermNames,
    structured_parameters,
    unbounded_name,
)
from nestedmlm.covariance.parameter import ends
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.bayes.model.prior_set import PriorSet
    from nestedmlm.design.design import ReTerm

REAL, LOG, BELOW, INTERVAL = "real", "log", "below", "interval"
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
    scale : {"real", "log", "below", "interval"}
        Of the variable, of its distance from the lower or the upper end, or between both.
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

    @property
    def support(self) -> tuple[float, float]:
        """Between what its values lie."""
        low, high = self.ends
        own = {LOG: (low, np.inf), BELOW: (-np.inf, high), INTERVAL: (low, high)}
        return own.get(self.scale, (-np.inf, np.inf))

    def holds(self, value: float) -> bool:
        """Whether a value of the variable lies between its ends."""
        low, high = self.support
        return low < value < high


@dataclass(frozen=True, slots=True)
class CoordinateList:
    """Variables on the way to `Coordinates`: those to sample, those that are held, and factors."""

    free: list[Coordinate] = field(default_factory=list)
    held: list[Coordinate] = field(default_factory=list)
    factors: list[Factor] = field(default_factory=list)

    def add(self, *each: Coordinate) -> IntArray:
        """Append some; their places among the variables, of held ones counted from the end."""
        out = []
        for c in each:
            own = self.held if c.prior.constant else self.free
            own.append(c)
            out.append(-len(own) if c.prior.constant else len(own) - 1)
        return np.array(out, dtype=np.int64)


def make_coordinate(name: str, prior: Prior) -> Coordinate:
    """The coordinate of a variable with a prior."""
    return Coordinate(name=name, prior=prior, scale=_scale(prior), start=start_of(prior))


def _scale(prior: Prior) -> str:
    kind, given = prior.distribution, BOUNDS & dict(prior.parameters).keys()
    if kind in ("Uniform", "Beta"):
        return INTERVAL
    if kind in _POSITIVE or "lower" in given:
        return INTERVAL if "upper" in given else LOG
    return BELOW if given else REAL


def make_scale(name: str, prior: Prior) -> Coordinate:
    """The coordinate of a standard deviation of random effects: signed where it can be."""
    given = folded(prior)
    if given is None:
        return make_coordinate(name, prior)
    size = dict(given.parameters).get("sigma") or dict(given.parameters).get("beta")
    size = size or dict(given.parameters).get("b") or 2.0
    # off zero, where the gradient vanishes
    return Coordinate(name=name + RAW, prior=given, scale=REAL, start=0.5 * size, signed=True)


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

    at: IntArray | slice
    scale: str
    lower: FloatArray
    upper: FloatArray
    density: LogDensity


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The coordinates of a posterior.

    Attributes
    ----------
    each : tuple of Coordinate
    held : (h,) array
        Values of what is held, the last of the variables.
    factors : tuple of Factor
        Of the joint density of the priors, besides one density for each coordinate.
    """

    each: tuple[Coordinate, ...]
    held: FloatArray
    factors: tuple[Factor, ...]
    _alike: tuple[_Alike, ...]

    @classmethod
    def of(cls, made: CoordinateList) -> Coordinates:
        """Sort coordinates by what their priors have in common.

        Raises
        ------
        OptionError
            If there are none.
        """
        if not made.free:
            raise OptionError("every parameter is held at a value: there is nothing to sample")
        held = np.array([c.start for c in reversed(made.held)], dtype=float)
        return cls(tuple(made.free), held, tuple(made.factors), tuple(_sorted_alike(made.free)))

    def __len__(self) -> int:
        return len(self.each)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, one for each coordinate."""
        return tuple(c.name for c in self.each)

    def variables(self, z: FloatArray) -> FloatArray:
        """Values of the variables at points (…, d): (…, d + h) with those that are held."""
        out = np.empty((*z.shape[:-1], z.shape[-1] + len(self.held)))
        out[..., : z.shape[-1]], out[..., z.shape[-1] :] = z, self.held
        for own in self._alike:
            if own.scale == LOG:
                out[..., own.at] = own.lower + np.exp(z[..., own.at])
            elif own.scale == BELOW:
                out[..., own.at] = own.upper - np.exp(z[..., own.at])
            elif own.scale == INTERVAL:
                width = own.upper - own.lower
                out[..., own.at] = own.lower + width * _sigmoid(z[..., own.at])
        return out

    def log_prior(
        self, z: FloatArray, x: FloatArray, variance: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log-priors with the logarithms of ``dx/dz``, at points and the variables' values there.

        With a variance of each variable (d + h) the gradient is its mean over coefficients that
        have it, where their priors have hyperparameters.

        Returns
        -------
        value : (…,) array
        gradient : (…, d + h) array
            In z; nothing that counts in the places of what is held.
        slopes : (…, d + h) array
            ``dx/dz``, which other gradients in x have to be multiplied with.
        """
        heights, gradient, slopes = np.zeros(z.shape), np.zeros(x.shape), np.ones(x.shape)
        for own in self._alike:
            height, slope = own.density(x[..., own.at])
            if own.scale == REAL:
                heights[..., own.at], gradient[..., own.at] = height, slope
                continue
            at = z[..., own.at]
            if own.scale == INTERVAL:
                unit, width = _sigmoid(at), own.upper - own.lower
                dx, away = width * unit * (1.0 - unit), 1.0 - 2.0 * unit
                log_dx = np.log(width) - np.abs(at) - 2.0 * np.log1p(np.exp(-np.abs(at)))
            else:
                dx, log_dx, away = np.exp(at), at, np.ones(())
                if own.scale == BELOW:
                    dx = -dx
            slopes[..., own.at] = dx
            heights[..., own.at], gradient[..., own.at] = height + log_dx, slope * dx + away
        value = heights.sum(axis=-1)
        for factor in self.factors:
            height, slope = factor.log_density(x, variance)
            gradient += slope * slopes
            value = value + height
        return value, gradient, slopes

    def point(self, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The point where variables have these values; others, or outside, start where they do."""
        x, used = [], {name: 0 for name in values}
        for c in self.each:
            own = c.start
            if c.name in values:
                given = float(np.ravel(values[c.name])[used[c.name]])
                used[c.name] += 1
                own = given if c.holds(given) else own
            x.append(own)
        return self.points(np.array(x))

    def points(self, x: FloatArray) -> FloatArray:
        """The points where the variables have the values x (…, d): what `variables` turns back."""
        own = [_INVERSE[c.scale](x[..., i], *c.ends) for i, c in enumerate(self.each)]
        return np.stack(own, axis=-1)


def _sorted_alike(each: Sequence[Coordinate]) -> Iterator[_Alike]:
    def kind(i: int) -> tuple[str, ...]:
        c = each[i]
        return (c.scale, c.prior.distribution, *(name for name, _ in c.prior.parameters))

    for (scale, *_), group in groupby(sorted(range(len(each)), key=kind), key=kind):
        at = np.array(list(group))
        low, high = np.array([each[i].ends for i in at]).T
        yield _Alike(
            at=slice(at[0], at[-1] + 1) if at[-1] - at[0] + 1 == len(at) else at,
            scale=scale,
            lower=low,
            upper=high,
            density=density_of([each[i].prior for i in at]),
        )


def _sigmoid(z: FloatArray) -> FloatArray:
    out: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * z))
    return out


_INVERSE: Mapping[str, Callable[..., FloatArray]] = {
    REAL: lambda value, low, high: value,
    LOG: lambda value, low, high: np.log(value - low),
    BELOW: lambda value, low, high: np.log(high - value),
    INTERVAL: lambda value, low, high: np.log(value - low) - np.log(high - value),
}
