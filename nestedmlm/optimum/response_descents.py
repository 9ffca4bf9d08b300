"""Newton's method for many responses at once.

Second derivatives are differences of the exact gradients. The rules of a step and of the end are
those of `nestedmlm.optimum.trust_region`; negative curvature is taken as positive, and an end there
is no optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.optimum.quadratic import ACCEPTED, RESOLVED, next_radius, rounding
from nestedmlm.optimum.response_objective import AtPoints, ResponseObjective
from nestedmlm.optimum.trust_region import RADIUS

_DIFFERENCE_STEP = 1e-5  # in phi, of derivatives of exact gradients
_MOST_STEPS = 30  # of a response; what needs more is no ordinary descent
_NEAR = 1e-3  # deviance units promised, below which the second derivatives in hand serve on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ManyEnds:
    """Ends of the descents of m responses.

    Attributes
    ----------
    phi : (m, n_theta) array
    at : AtPoints
    converged : (m,) array of bool
        Whether the quadratic model is convex and promises less than the tolerance.
    evaluations : (m,) array of int
        Of the criterion, those of the second derivatives included.
    """

    phi: FloatArray
    at: AtPoints
    converged: npt.NDArray[np.bool_]
    evaluations: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Models:
    """Quadratic models of some responses, and their steps within the trust radius.

    Attributes
    ----------
    step : (m, n) array
    promised, predicted : (m,) arrays
        Decreases that whole steps of Newton's method promise, and these.
    convex : (m,) array of bool
    """

    step: FloatArray
    promised: FloatArray
    predicted: FloatArray
    convex: npt.NDArray[np.bool_]

    def of(self, lanes: npt.NDArray[np.bool_]) -> _Models:
        return _Models(
            step=self.step[lanes],
            promised=self.promised[lanes],
            predicted=self.predicted[lanes],
            convex=self.convex[lanes],
        )


def descend_together(
    objective: ResponseObjective, start: FloatArray, *, tolerance: float
) -> ManyEnds:
    """Descend with each response from its own start.

    Parameters
    ----------
    objective : ResponseObjective
    start : (m, n_theta) array
        Phi.
    tolerance : float
        Promised decrease below which a descent stops.

    Raises
    ------
    numpy.linalg.LinAlgError
        If one of them cannot be evaluated at all.
    """
    m, n = start.shape
    phi, at, everything = start.copy(), objective.at(start), np.arange(m)
    evaluations, converged = np.ones(m, dtype=np.int64), np.zeros(m, dtype=bool)
    hessian, fresh, radius = np.empty((m, n, n)), np.ones(m, dtype=bool), np.full(m, RADIUS)

    def learn(lanes: IntArray) -> None:
        hessian[lanes] = _differences(objective.of(lanes), phi[lanes], at.gradient[lanes])
        evaluations[lanes] += n

    learn(everything)
    active = np.flatnonzero(np.isfinite(at.value))
    for _ in range(_MOST_STEPS):
        models = _models(hessian[active], at.gradient[active], radius[active])
        done = models.promised <= tolerance
        converged[active] = done & models.convex
        if done.all():
            break
        active, models = active[~done], models.of(~done)
        there = objective.of(active).at(phi[active] + models.step)
        evaluations[active] += 1
        noise = rounding_of(at.value[active])
        with np.errstate(invalid="ignore"):
            ratio = (at.value[active] - there.value + noise) / (models.predicted + noise)
        ratio[~np.isfinite(ratio)] = -np.inf
        radius[active] = _next_radii(radius[active], ratio, np.linalg.norm(models.step, axis=1))
        moved = ratio > ACCEPTED
        phi[active[moved]] += models.step[moved]
        at.put(active[moved], there.of(np.flatnonzero(moved)))
        ended = ~moved & (models.predicted <= noise)  # rounding hides what is left to gain
        converged[active[ended]] = (models.convex & (models.promised <= RESOLVED))[ended]
        stale = ~ended & np.where(moved, models.promised > _NEAR, ~fresh[active])
        fresh[active] = ~moved | stale
        if stale.any():
            learn(active[stale])
        active = active[~ended]
    return ManyEnds(phi=phi, at=at, converged=converged, evaluations=evaluations)


def rounding_of(values: FloatArray) -> FloatArray:
    """`nestedmlm.optimum.quadratic.rounding` of each."""
    return np.array([rounding(value) for value in values.tolist()])


def _differences(objective: ResponseObjective, phi: FloatArray, gradient: FloatArray) -> FloatArray:
    """Second derivatives of each response, (m, n, n)."""
    m, n = phi.shape
    out = np.empty((m, n, n))
    for j, e in enumerate(_DIFFERENCE_STEP * np.eye(n)):
        out[:, j] = objective.at(phi + e).gradient - gradient
    return (out + out.transpose(0, 2, 1)) / (2.0 * _DIFFERENCE_STEP)


def _models(hessian: FloatArray, gradient: FloatArray, radius: FloatArray) -> _Models:
    """Newton's steps with curvature taken as positive, cut to the radius."""
    values, vectors = np.linalg.eigh(hessian)
    g = np.einsum("iab,ia->ib", vectors, gradient)
    whole = -g / np.maximum(np.abs(values), 1e-300)
    with np.errstate(divide="ignore"):
        share = np.minimum(1.0, radius / np.linalg.norm(whole, axis=1))[:, None]
    cut = share * whole
    return _Models(
        step=np.einsum("iab,ib->ia", vectors, cut),
        promised=-0.5 * np.einsum("ia,ia->i", g, whole),
        predicted=-np.einsum("ia,ia->i", cut, g + 0.5 * values * cut),
        convex=values[:, 0] > 0.0,
    )


def _next_radii(radius: FloatArray, ratio: FloatArray, length: FloatArray) -> FloatArray:
    """`nestedmlm.optimum.quadratic.next_radius` of each."""
    rows = zip(radius.tolist(), ratio.tolist(), length.tolist(), strict=True)
    return np.array([next_radius(*row) for row in rows])
