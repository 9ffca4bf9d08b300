"""Coordinates of a term as the optimizer has them; of structured terms also with one held.

The structure's own parametrisation is kept: a correlation parameter is one of its coordinates, and
a standard deviation becomes one as it is reported when it is no longer relative to sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.inference.profile.term_coordinates import TermAt, TermCoordinates


def free_term(term: TermAt) -> TermCoordinates:
    """The optimizer's own coordinates of a term: nothing is held."""
    structure, k, hom, m = term.structure, term.shape.k, term.shape.hom, len(term.phi)
    if structure.linear:
        columns = [structure.factor(np, e, k, hom).ravel() for e in np.eye(m)]
        return TermCoordinates(start=term.phi, basis=np.column_stack(columns))
    factor = StructuredFactor(term)
    return TermCoordinates(
        start=term.phi,
        basis=np.zeros((k * k, 0)),
        curve=factor.at,
        n_curved=m,
        signed=0 if hom else k,
        phi=factor.phi,
    )


@dataclass(frozen=True)
class StructuredFactor:
    """A structured term's factor in the optimizer's coordinates."""

    term: TermAt

    def phi(self, x: FloatArray, log_sigma: complex) -> FloatArray:
        """The optimizer's coordinates at x."""
        return x

    def at(self, x: FloatArray, log_sigma: complex) -> FloatArray:
        """The flat factor at x, (k*k,)."""
        shape = self.term.shape
        factor = self.term.structure.factor(np, self.phi(x, log_sigma), shape.k, shape.hom)
        out: FloatArray = factor.ravel()
        return out


@dataclass(frozen=True)
class FactorWithHeldSd(StructuredFactor):
    """The same with one standard deviation as it is reported: not relative to sigma.

    Attributes
    ----------
    index : int
        Which coordinate that is.
    """

    index: int

    @property
    def unit(self) -> float:
        """Relative standard deviation in the user's columns of a coordinate of 1."""
        return float(np.diag(self.term.W)[self.index])

    def phi(self, x: FloatArray, log_sigma: complex) -> FloatArray:
        """The optimizer's coordinates at x."""
        held = np.arange(len(x)) == self.index
        return np.where(held, x * np.exp(-log_sigma) / self.unit, x)


@dataclass(frozen=True)
class CorrelationScale:
    """Between a structure's own parameter and the optimizer's coordinate that moves it.

    Attributes
    ----------
    term : TermAt
    phi : array
        The other coordinates.
    index : int
        Which coordinate it is.
    """

    term: TermAt
    phi: FloatArray
    index: int

    def to_natural(self, coordinate: float) -> float:
        """The structure's parameter at a coordinate."""
        phi = self.phi.copy()
        phi[self.index] = coordinate
        return float(
            self.term.structure.to_theta(phi, self.term.W, self.term.shape.hom)[self.index]
        )

    def from_natural(self, value: float) -> float:
        """The coordinate at a value of the structure's parameter."""
        structure, W, hom = self.term.structure, self.term.W, self.term.shape.hom
        theta = structure.to_theta(self.phi, W, hom)
        theta[self.index] = value
        return float(structure.to_phi(theta, W, hom)[self.index])


def held_structured(parameter: ModelParameter, term: TermAt) -> TermCoordinates:
    """Hold a standard deviation or a correlation parameter of a structured term."""
    k, m = term.shape.k, len(term.phi)
    n_sd = m - len(term.structure.parameters(k))
    start = term.phi.copy()
    start[:n_sd] = np.abs(start[:n_sd])
    basis = np.zeros((k * k, 0))
    signed = 0 if term.shape.hom or term.structure.linear else n_sd
    if parameter.kind == "sd":
        scaled = FactorWithHeldSd(term, parameter.i)
        start[parameter.i] *= term.sigma * scaled.unit
        return TermCoordinates(
            start=start,
            basis=basis,
            curve=scaled.at,
            n_curved=m,
            uses_sigma=True,
            signed=signed,
            phi=scaled.phi,
            held=parameter.i,
        )
    factor, index = StructuredFactor(term), n_sd + parameter.i
    scale = CorrelationScale(term, start.copy(), index)
    start[index] = scale.from_natural(scale.to_natural(start[index]))  # the branch the ends are on
    scale = CorrelationScale(term, start, index)
    return TermCoordinates(
        start=start,
        basis=basis,
        curve=factor.at,
        n_curved=m,
        signed=signed,
        phi=factor.phi,
        held=index,
        to_natural=scale.to_natural,
        from_natural=scale.from_natural,
        lower=scale.from_natural(parameter.lower),
        upper=scale.from_natural(parameter.upper),
    )
