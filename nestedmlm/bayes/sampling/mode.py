"""The posterior mode and the curvature there.

A few dozen evaluations of a marginal density: they give nutpie its mass matrix before the first
draw, and the importance sampler its proposal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.sampling.log_density import LogDensity
from nestedmlm.errors import SamplingError

_OF_VALUES = 5.0  # steps of differences of values, in those of differences of gradients
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


def find_peak(density: LogDensity, start: FloatArray | None = None) -> Peak:
    """Climb to the mode and measure the curvature there.

    Parameters
    ----------
    density : LogDensity
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


def curvature_root(density: LogDensity, x: FloatArray) -> FloatArray:
    """Square root of the inverse of minus the Hessian, made positive definite."""
    scale = 1.0 / np.sqrt(_diagonal_curvature(density, x))
    H = _hessian(density, x, 1e-2 * scale) * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(H)
    # Flat or saddle directions (a scale at zero) get the width of their coordinates
    values = np.maximum(values, _LEAST_RELATIVE_CURVATURE)
    return scale[:, None] * (vectors / np.sqrt(values))


def _finite_start(density: LogDensity, start: FloatArray | None) -> FloatArray:
    for x in (start, density.initial):
        if x is not None and np.isfinite(density.logp_grad(np.asarray(x, dtype=float))[0]):
            return np.asarray(x, dtype=float)
    raise SamplingError(
        "the log-density is not finite at the starting point; look for priors that exclude it "
        "(a Uniform whose range is too narrow, for example)"
    )


def _diagonal_curvature(density: LogDensity, x: FloatArray) -> FloatArray:
    """Curvature of each coordinate on its own, positive; the step adapts to it."""
    steps = 1e-4 * np.maximum(1.0, np.abs(x))
    left, out = np.arange(len(x)), np.ones(len(x))
    for _ in range(3):
        c = np.abs(_second_differences(density, x, left, steps[left]))
        out[left] = np.where(np.isfinite(c) & (c != 0.0), c, 1.0)
        wanted = 1e-2 / np.sqrt(out)
        left = np.flatnonzero((wanted / steps <= 0.1) | (wanted / steps >= 10.0))
        steps = wanted
        if not len(left):
            break
    return out


def _second_differences(
    density: LogDensity, x: FloatArray, at: IntArray, steps: FloatArray
) -> FloatArray:
    """Minus the second derivatives along some coordinates."""
    if not density.together:
        slopes = [_slope(density, x, i, h)[i] for i, h in zip(at.tolist(), steps, strict=True)]
        return np.array(slopes)
    e = np.zeros((len(at), len(x)))
    e[np.arange(len(at)), at] = steps
    up, down, here = np.split(
        density.logp_points(np.vstack([x + e, x - e, x])), [len(at), 2 * len(at)]
    )
    out: FloatArray = (2.0 * here - up - down) / steps**2
    return out


def _hessian(density: LogDensity, x: FloatArray, steps: FloatArray) -> FloatArray:
    """Minus the second derivatives, from values where points cost little, else from gradients."""
    if density.together:
        H = _hessian_of_values(density, x, _OF_VALUES * steps)
    else:
        H = np.array([_slope(density, x, i, h) for i, h in enumerate(steps.tolist())])
    H = np.where(np.isfinite(H), H, 0.0)
    return 0.5 * (H + H.T)


def _hessian_of_values(density: LogDensity, x: FloatArray, steps: FloatArray) -> FloatArray:
    d = len(x)
    rows, columns = np.triu_indices(d)
    e = np.diag(steps)
    both, apart = e[rows] + e[columns], e[rows] - e[columns]
    values = density.logp_points(np.vstack([x + both, x - both, x + apart, x - apart]))
    same, other = values.reshape(2, 2, -1).sum(axis=1)
    H = np.empty((d, d))
    H[rows, columns] = H[columns, rows] = (other - same) / (4.0 * steps[rows] * steps[columns])
    return H


def _slope(density: LogDensity, x: FloatArray, i: int, step: float) -> FloatArray:
    """Minus the derivative of the gradient along coordinate i (central difference)."""
    e = np.zeros_like(x)
    e[i] = step
    up, down = density.logp_grad(x + e)[1], density.logp_grad(x - e)[1]
    out: FloatArray = (down - up) / (2.0 * step)
    return out
