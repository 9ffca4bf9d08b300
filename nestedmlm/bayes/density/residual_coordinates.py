"""Residuals that differ or correlate among a posterior's coordinates, with adjoints.

Coordinates are those of the PyMC model: logarithms of ratios of standard deviations, logits of
correlations, standard deviations and partial correlations of an unstructured matrix. The likelihood
wants the free parameters of `nestedmlm.statistics.residual_model`, the optimizer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.correlations import PartialCorrelations, lower_places
from nestedmlm.bayes.density.prior_coordinates import (
    CoordinateList,
    given_prior,
    make_coordinate,
    partial_coordinates,
)
from nestedmlm.bayes.model.names import ParameterNames, ResidualNames, unbounded_name
from nestedmlm.bayes.model.residual_correlations import (
    CorrelationParameter,
    correlation_parameters,
)

if TYPE_CHECKING:
    from nestedmlm.bayes.model.prior_set import PriorSet
    from nestedmlm.statistics.pair_sums import PairSums

# of the adjoint of free parameters, and of dx/dz, to the gradient in the coordinates: added there
Back = Callable[[FloatArray, FloatArray, FloatArray], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParameterCoordinate:
    """A parameter of a structured correlation among the coordinates."""

    at: int
    parameter: CorrelationParameter

    def free(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, Back]:
        """The free parameter at a point, and the pullback of its adjoint."""
        at, rate, ends = self.at, self.parameter.rate, self.parameter.ends
        if all(ends):
            share = x[at]
            free = z[at] / rate if rate is not None else np.arcsin(2.0 * share - 1.0)
            # of dfree/dz, as dshare/dz = share (1 - share)
            slope = 1.0 / rate if rate is not None else float(np.sqrt(share * (1.0 - share)))

            def of_share(bar: FloatArray, slopes: FloatArray, out: FloatArray) -> None:
                out[at] += bar[0] * slope

            return np.array([free]), of_share
        free, inner = (np.log(x[at]), 1.0 / x[at]) if any(ends) else (x[at], 1.0)

        def pullback(bar: FloatArray, slopes: FloatArray, out: FloatArray) -> None:
            out[at] += bar[0] * inner * slopes[at]

        return np.array([free]), pullback

    def named(self, x: FloatArray) -> dict[str, FloatArray]:
        """The reported values at points in rows."""
        own, variable = self.parameter, x[:, self.at]
        p, (low, high) = own.parameter, own.ends
        value = variable
        if low:
            value = p.lower + (p.upper - p.lower if high else 1.0) * variable
        elif high:
            value = p.upper - variable
        return {own.name: value ** (1.0 / own.unit) if own.unit != 1.0 else value}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnstructuredCoordinates:
    """An unstructured matrix among the coordinates.

    Attributes
    ----------
    sigma : int
        Of the first visit's standard deviation, in the first group.
    ratio : int or None
        Of the logarithm of this group's first to that.
    sds, par : int arrays
        Of the other visits' standard deviations, and of the partial correlations.
    sd_names : tuple of str
    correlation : str
    """

    sigma: int
    ratio: int | None
    sds: IntArray
    par: IntArray
    sd_names: tuple[str, ...]
    correlation: str

    @property
    def _k(self) -> int:
        return len(self.sds) + 1

    def free(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, Back]:
        """The root's lower triangle after its first entry, and the pullback of its adjoint."""
        below, back = PartialCorrelations(self._k).rows(z[self.par])
        first = x[self.sigma] * (1.0 if self.ratio is None else np.exp(x[self.ratio]))
        relative = x[self.sds] / first
        row = np.array([i for i, _ in lower_places(self._k)[1:]]) - 1

        def pullback(bar: FloatArray, slopes: FloatArray, out: FloatArray) -> None:
            of_relative = np.bincount(row, bar * below, minlength=len(relative))
            out[self.par] += back(bar * relative[row])
            out[self.sds] += of_relative / first * slopes[self.sds]
            whole = -float(of_relative @ relative)
            out[self.sigma] += whole / x[self.sigma] * slopes[self.sigma]
            if self.ratio is not None:
                out[self.ratio] += whole * slopes[self.ratio]

        return relative[row] * below, pullback

    def named(self, z: FloatArray, x: FloatArray) -> dict[str, FloatArray]:
        """Standard deviations and correlations at points in rows."""
        k = self._k
        L = np.zeros((len(x), k, k))
        L[:, 0, 0] = 1.0
        at = np.array(lower_places(k)[1:]).T
        L[:, at[0], at[1]] = PartialCorrelations(k).rows(z[:, self.par])[0]
        R = L @ L.transpose(0, 2, 1)
        R[:, np.arange(k), np.arange(k)] = 1.0
        return {**dict(zip(self.sd_names, x[:, self.sds].T, strict=True)), self.correlation: R}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualCoordinates:
    """The residuals' parameters among the coordinates.

    Attributes
    ----------
    sums : PairSums
        What crossproducts are made from.
    log_sd : (q,) array of int
    names : ResidualNames
    parts : tuple of ParameterCoordinate or UnstructuredCoordinates
        In the order of the free parameters.
    """

    sums: PairSums
    log_sd: IntArray
    names: ResidualNames
    parts: tuple[ParameterCoordinate | UnstructuredCoordinates, ...]

    def free(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, Back]:
        """The free parameters at one point, and the pullback of their adjoint."""
        unit = self.sums.model.unit
        found = [part.free(z, x) for part in self.parts]
        free = np.concatenate([x[self.log_sd] * unit, *(own for own, _ in found)])

        def pullback(bar: FloatArray, slopes: FloatArray, out: FloatArray) -> None:
            out[self.log_sd] += bar[: len(unit)] * unit * slopes[self.log_sd]
            first = len(unit)
            for own, back in found:
                back(bar[first : first + len(own)], slopes, out)
                first += len(own)

        return free, pullback

    def named(self, z: FloatArray, x: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows."""
        out = dict(zip(self.names.log_sd, x[:, self.log_sd].T, strict=True))
        for part in self.parts:
            one = isinstance(part, ParameterCoordinate)
            out |= part.named(x) if one else part.named(z, x)  # type: ignore[call-arg]
        return {name: out[name] for name in self.names.variables}


def add_residuals(
    made: CoordinateList, names: ParameterNames, sums: PairSums, priors: PriorSet, sigma: int
) -> ResidualCoordinates:
    """Append the residuals' coordinates to a list.

    Parameters
    ----------
    made : CoordinateList
        Is appended to.
    names : ParameterNames
    sums : PairSums
    priors : PriorSet
    sigma : int
        Its place.
    """
    own = names.residual
    log_sd = made.add(*(make_coordinate(name, given_prior(priors, name)) for name in own.log_sd))
    parts: list[ParameterCoordinate | UnstructuredCoordinates] = []
    of_groups = correlation_parameters(own, sums.model)
    ratios = [None, *log_sd[len(log_sd) - len(own.groups) + 1 :].tolist()]
    for g, group in enumerate(own.groups):
        for parameter in of_groups[g]:
            bounded = any(parameter.ends)
            name = unbounded_name(parameter.name) if bounded else parameter.name
            at = made.add(make_coordinate(name, given_prior(priors, parameter.name)))
            parts.append(ParameterCoordinate(at=int(at[0]), parameter=parameter))
        if group.correlation is None:
            continue
        sds = made.add(*(make_coordinate(name, given_prior(priors, name)) for name in group.sds))
        parts.append(
            UnstructuredCoordinates(
                sigma=sigma,
                ratio=ratios[g],
                sds=sds,
                par=made.add(*partial_coordinates(group.correlation, len(sds) + 1, priors)),
                sd_names=group.sds,
                correlation=group.correlation,
            )
        )
    return ResidualCoordinates(sums=sums, log_sd=log_sd, names=own, parts=tuple(parts))
