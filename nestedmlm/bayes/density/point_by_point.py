"""Gradients at points in rows, of densities that have no way for many."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from nestedmlm._typing import FloatArray


class Differentiable(Protocol):
    """A density that is evaluated at one point after the other."""

    def logp_grad(self, z: FloatArray, /) -> tuple[float, FloatArray]:
        """Log-density and gradient."""
        ...


def point_by_point(density: Differentiable, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log-densities (m,) and gradients (m, d) at points in rows."""
    value, gradient = np.empty(len(z)), np.empty(z.shape)
    for i, point in enumerate(z):
        value[i], gradient[i] = density.logp_grad(point)
    return value, gradient
