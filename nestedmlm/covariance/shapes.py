"""The covariance of one term without its numbers, and how terms share one vector theta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.structure import Structure


@dataclass(frozen=True, slots=True)
class TermShape:
    """Shape of one term's covariance: structure and size, without its numbers.

    Attributes
    ----------
    structure : Structure
    hom : bool
        Whether all columns share one standard deviation.
    k : int
        Number of columns.
    """

    structure: Structure
    hom: bool
    k: int

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self.structure.count(self.k, self.hom)

    def jacobian(self, phi: FloatArray) -> FloatArray:
        """Derivative of the entries of T, row by row, in the term's parameters."""
        return self.structure.factor_jacobian(phi, self.k, self.hom)


def split_parameters(values: FloatArray, shapes: Sequence[TermShape]) -> tuple[FloatArray, ...]:
    """Cut one vector into the terms' own parameters."""
    return tuple(values[own] for own in parameter_slices(shapes))


def parameter_slices(shapes: Sequence[TermShape]) -> tuple[slice, ...]:
    """For each term, where its own parameters stand in phi and theta."""
    ends = accumulate((s.count for s in shapes), initial=0)
    return tuple(slice(a, b) for a, b in pairwise(ends))


def relative_factors(theta: FloatArray, shapes: Sequence[TermShape]) -> tuple[FloatArray, ...]:
    """Lower-triangular T of each term, in the user's columns, from lme4's theta."""
    return tuple(
        s.structure.factor_of_theta(part, s.k, s.hom)
        for part, s in zip(split_parameters(theta, shapes), shapes, strict=True)
    )


def term_bounds(shapes: Sequence[TermShape]) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends of theta."""
    ends = [s.structure.bounds(s.k, s.hom) for s in shapes]
    return np.concatenate([e[0] for e in ends]), np.concatenate([e[1] for e in ends])


def near_bounds(theta: FloatArray, shapes: Sequence[TermShape], tol: float) -> bool:
    """Whether an entry of theta is closer to one of its ends than `tol`: lme4's ``isSingular``."""
    lower, upper = term_bounds(shapes)
    return bool(np.any(np.minimum(theta - lower, upper - theta) < tol))
