"""`NamedCoordinates`: coordinates of a posterior without its random effects, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.fixed_priors import HyperVariable
from nestedmlm.bayes.density.prior_coordinates import Coordinates
from nestedmlm.bayes.density.residual_coordinates import ResidualCoordinates
from nestedmlm.bayes.density.term_covariance import TermCovariance
from nestedmlm.bayes.model.centring import Centring
from nestedmlm.bayes.model.names import coordinates, dimensions, parameter_names
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

# of the adjoint of all entries, and of dx/dz, to the gradient in the coordinates
EntriesPullback = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosteriorVariable:
    """One variable of the posterior: its name, shape and dimensions."""

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedCoordinates:
    """Coordinates of fixed effects, covariances and what stands beside the mean.

    Attributes
    ----------
    coordinates : Coordinates
    beta : (p,) array of int
        Coordinates of the fixed effects.
    beside : tuple of (str, int)
        Names and coordinates of sigma, or of a family's parameters.
    centring : Centring
    variables : tuple of PosteriorVariable
        What `named` returns.
    coords : mapping of str to tuple
    residual : ResidualCoordinates or None
        Of residuals that differ or correlate.
    hyper : tuple of HyperVariable
        Hyperparameters of the fixed effects' priors.
    """

    coordinates: Coordinates
    beta: IntArray
    beside: tuple[tuple[str, int], ...]
    centring: Centring
    variables: tuple[PosteriorVariable, ...]
    coords: Mapping[str, tuple[Any, ...]]
    residual: ResidualCoordinates | None = None
    hyper: tuple[HyperVariable, ...] = ()
    _fixed: tuple[str, ...]
    _terms: tuple[TermCovariance, ...]

    @property
    def ndim(self) -> int:
        """Number of coordinates."""
        return len(self.coordinates)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables that the coordinates belong to."""
        return self.coordinates.names

    @property
    def initial(self) -> FloatArray:
        """A point to start from."""
        return self.coordinates.point({})

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates that are signed standard deviations: signs do not change the density."""
        return tuple(i for i, c in enumerate(self.coordinates.each) if c.signed)

    def at(self, values: Mapping[str, Any]) -> FloatArray:
        """The point of given values of the variables, by their names; others where they start.

        Raises
        ------
        OptionError
            For a name that is none of the variables'.
        """
        unknown = [n for n in values if n not in self.names]
        if unknown:
            raise OptionError(
                f"no free variable {unknown[0]!r} to start; the names are: {', '.join(self.names)}"
            )
        return self.coordinates.point(values)

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows: arrays (m, …)."""
        x = self.coordinates.variables(z)
        beta = x[:, self.beta] @ self.centring.matrix().T
        out = dict(zip(self._fixed, beta.T, strict=True))
        for term in self._terms:
            out |= term.named(z, x)
        out |= {name: x[:, at] for name, at in self.beside}
        out |= {own.name: own.values(x) for own in self.hyper}
        return out if self.residual is None else out | self.residual.named(z, x)

    def to_values(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at one point."""
        return {name: values[0] for name, values in self.named(z[None]).items()}

    def _entries(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, EntriesPullback]:
        """Entries of all ``D L``, and the pullback of their adjoint to the coordinates."""
        found = [term.entries(z, x) for term in self._terms]

        def pullback(bar: FloatArray, slopes: FloatArray) -> FloatArray:
            out, first = np.zeros(x.shape), 0
            for (own, back), term in zip(found, self._terms, strict=True):
                last = first + own.shape[-1]
                of_sds, of_par = back(bar[..., first:last], slopes)
                for i, at in enumerate(term.sds.tolist()):  # a common one comes several times
                    out[..., at] += of_sds[..., i]
                out[..., term.par] += of_par
                first = last
            return out

        none = np.zeros((*z.shape[:-1], 0))
        return np.concatenate([none, *(own for own, _ in found)], axis=-1), pullback


def hyper_dimensions(hyper: Sequence[HyperVariable]) -> dict[str, tuple[str, ...]]:
    """Labels of the dimensions of hyperparameters that are vectors."""
    return {f"{own.name}_dim": own.labels for own in hyper if own.labels}


def posterior_variables(
    design: Design, hyper: Sequence[HyperVariable] = ()
) -> tuple[PosteriorVariable, ...]:
    """The named variables of a design's posterior without its random effects."""
    labels, dims = coordinates(design), dimensions(design)
    above = [
        PosteriorVariable(
            name=own.name,
            shape=(len(own.labels),) if own.labels else (),
            dims=(f"{own.name}_dim",) if own.labels else (),
        )
        for own in hyper
    ]
    own = [
        PosteriorVariable(
            name=name,
            shape=tuple(len(labels[dim]) for dim in dims.get(name, ())),
            dims=dims.get(name, ()),
        )
        for name in parameter_names(design).parameters
    ]
    return (*own, *above)
