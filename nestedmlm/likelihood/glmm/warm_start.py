"""Warm starts of the search for conditional modes: the last ones, moved to first order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination import solve_combination
from nestedmlm.likelihood.glmm.laplace import Approximation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WarmStart:
    """The last modes.

    Attributes
    ----------
    gamma : (p,) array
        Fixed effects, in orthonormal columns, that they are of.
    B : (q,) array
        ``Z'g``.
    found : Approximation or None
        Of which they are; without it they are not moved.
    """

    gamma: FloatArray
    B: FloatArray
    found: Approximation | None = None

    @classmethod
    def of(cls, found: Approximation) -> WarmStart:
        """The modes of an approximation."""
        return cls(gamma=found.modes.gamma, B=found.modes.B, found=found)

    def near(self, gamma: FloatArray) -> FloatArray:
        """B at other fixed effects: ``dB / d gamma = -Z'V^-1 X``."""
        change = gamma - self.gamma
        if self.found is None or not change.any():
            return self.B
        moved = solve_combination(self.found.stats, self.found.state, change)
        return self.B - moved

    def opposite(self, B: FloatArray, gamma: FloatArray) -> WarmStart:
        """To begin at gamma, on the other side of a point at whose one side the modes are B."""
        return replace(self, B=2.0 * self.B - B, gamma=gamma, found=None)


def cold_start(gamma: FloatArray, q: int) -> WarmStart:
    """No random effects.

    Parameters
    ----------
    gamma : (p,) array
    q : int
        Number of random effects.
    """
    return WarmStart(gamma=gamma, B=np.zeros(q))
