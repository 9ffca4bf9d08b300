"""The posterior mode and the curvature there.

A few dozen evaluations of a marginal density: they give nutpie its mass matrix before the first
draw, and the importance sampler its proposal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.sampling.density import Density
from nestedmlm.errors import SamplingError

_LEAST_RELATIVE_CURVATURE = 0.05  # of a direction, in units of its coordinates' own curvature


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peak:
    """A normal approximation: ``x ~ N(x, root root')``.

    Attributes
    ----------
    x : (d,) array
        The mode, unconstrained.
    logp : float
    root : (d, d) array
        Square root of the inverse curvature.
    """

    x: FloatArray
    logp: float
    root: FloatArray

    @property
    def logdet(self) -> float:
        """``log|det root|``."""
        return float(np.linalg.slogdet(self.root)[1])


def find_peak(density: Density, start: FloatArray | None = None) -> Peak:
    """Climb to the mode and measure the curvature there.

    Parameters
    ----------
    density : Density
    start : (d,) array, optional
        By default ``density.initial``.

    Raises
    ------
    SamplingError
        If the density is not finite at the start.
    """
    x0 = _finite_start(density, start)
    scale = 1.0 / np.sqrt(_diagonal_curvature(density, x0))

    def objective(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = density.logp_grad(x0 + scale * z)
        if not np.isfinite(value):
            return 1e10, np.zeros_like(z)
        return -value, -scale * gradient

    found = minimize(objective, np.zeros(density.ndim), jac=True, method="L-BFGS-B",
                     options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6})  # fmt: skip
    x = x0 + scale * found.x
    return Peak(x=x, logp=density.logp_grad(x)[0], root=curvature_root(density, x))


def curvature_root(density: Density, x: FloatArray) -> FloatArray:
    """Square root of the inverse of minus the Hessian, made positive definite."""
    scale = 1.0 / np.sqrt(_diagonal_curvature(density, x))
    H = _hessian(density, x, 1e-2 * scale) * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(H)
    # Flat or saddle directions (a scale at zero) get the width of their coordinates
    values = np.maximum(values, _LEAST_RELATIVE_CURVATURE)
    return scale[:, None] * (vectors / np.sqrt(values))


def _finite_start(density: Density, start: FloatArray | None) -> FloatArray:
    for x in (start, density.initial):
        if x is not None and np.isfinite(density.logp_grad(np.asarray(x, dtype=float))[0]):
            return np.asarray(x, dtype=float)
    raise SamplingError(
        "the log-density is not finite at the starting point; look for priors that exclude it "
        "(a Uniform whose range is too narrow, for example)"
    )


def _diagonal_curvature(density: Density, x: FloatArray) -> FloatArray:
    """Curvature of each coordinate on its own, positive; the step adapts to it."""
    out = np.empty(len(x))
    for i in range(len(x)):
        step = 1e-4 * max(1.0, abs(x[i]))
        for _ in range(3):
            c = _slope(density, x, i, step)[i]
            c = abs(c) if np.isfinite(c) and c != 0.0 else 1.0
            wanted = 1e-2 / np.sqrt(c)
            if 0.1 < wanted / step < 10.0:
                break
            step = wanted
        out[i] = c
    return out


def _hessian(density: Density, x: FloatArray, steps: FloatArray) -> FloatArray:
    H = np.array([_slope(density, x, i, h) for i, h in enumerate(steps.tolist())])
    H = np.where(np.isfinite(H), H, 0.0)
    return 0.5 * (H + H.T)


def _slope(density: Density, x: FloatArray, i: int, step: float) -> FloatArray:
    """Minus the derivative of the gradient along coordinate i (central difference)."""
    e = np.zeros_like(x)
    e[i] = step
    up, down = density.logp_grad(x + e)[1], density.logp_grad(x - e)[1]
    out: FloatArray = (down - up) / (2.0 * step)
    return out
