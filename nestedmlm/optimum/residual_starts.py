"""Starts of models whose residuals differ or correlate, near and far.

With few rows the likelihood has several optima: one stratum's or visit's residuals nearly zero,
its rows fitted by the random effects; correlations of one group of blocks of the other sign, or
stronger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.residual_structures import GAPS, NEGATIVE_CORRELATION, STRONG_CORRELATION
from nestedmlm.likelihood.plan import Plan, start_phi
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.optimize import Optimum
from nestedmlm.optimum.residual_objective import ResidualObjective, ResidualPoint
from nestedmlm.optimum.starts import scaled_sds
from nestedmlm.optimum.trust_region import attempt, minimize
from nestedmlm.statistics.residual_correlation import Correlation
from nestedmlm.statistics.residual_model import ResidualModel

_FEW_ROWS = 150  # of a stratum, whose standard deviation may then have an optimum far off
_FEW_BLOCKS = 50  # of a group, whose correlations may then have one of the other sign
_NEAR_END = 0.05  # share of a correlation's range at which it is tried, from both ends
_SMALLER = 1.0  # log of the factor by which a standard deviation is tried smaller
_LOOK = 30  # evaluations after which a start has shown where it leads
_SAME_PLACE = 0.1  # in free parameters: so near to a known optimum a descent ends there
_SAME = 1e-6  # deviance units


class _Returned(Exception):
    """A descent is back at an optimum that is known."""


def phi_of(simple: Optimum | None) -> FloatArray:
    """The random effects' parameters of a fit; none without random effects."""
    return np.zeros(0) if simple is None else simple.evaluation.phi


def other_starts(
    objective: ResidualObjective, simple: Optimum | None, control: Control
) -> Iterator[FloatArray]:
    """From the optimum without the structure; where that may be a trap, from elsewhere too.

    `toep` and `ad1` start at strong correlations as well, structures over gaps beside random
    effects at unit variances, and those beside a dispersion at the optimum with it alone.
    """
    model, plan = objective.sums.model, objective.plan
    phi, structure = off_zero(phi_of(simple), plan), model.structure
    yield np.concatenate([phi, model.start])
    strong = model.neighbours(STRONG_CORRELATION)
    if strong:
        yield np.concatenate([phi, np.zeros(model.q), *strong])
    if plan.n_theta and structure is not None and structure.time == GAPS:
        yield np.concatenate([start_phi(plan), model.start])
    if model.q and structure is not None and model.counts.sum() <= _FEW_ROWS:
        neutral = np.concatenate([phi, np.zeros(model.q), *model.neutral])
        yield from _without_correlations(objective, neutral, control)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """A point of which some coordinates are held: a `LocalModel` of those that move."""

    whole: ResidualPoint
    moving: npt.NDArray[np.bool_]
    escape_gain: float = 0.0

    @property
    def point(self) -> FloatArray:
        return self.whole.point[self.moving]

    @property
    def value(self) -> float:
        return self.whole.value

    @property
    def gradient(self) -> FloatArray:
        return self.whole.gradient[self.moving]

    @property
    def hessian(self) -> FloatArray:
        return self.whole.hessian[np.ix_(self.moving, self.moving)]


def _without_correlations(
    objective: ResidualObjective, point: FloatArray, control: Control
) -> Iterator[FloatArray]:
    """The optimum with the correlations that `point` has: of the model without the structure."""
    moving = np.arange(len(point)) < objective.plan.n_theta + objective.sums.model.q

    def at(some: FloatArray) -> _Held:
        there = point.copy()
        there[moving] = some
        return _Held(whole=objective.at(there), moving=moving)

    first = attempt(at, point[moving])
    if first is not None:
        few = min(_LOOK, control.max_evaluations)
        found = minimize(at, first, tolerance=control.tolerance, max_evaluations=few)
        yield found.best.whole.point


def off_zero(phi: FloatArray, plan: Plan) -> FloatArray:
    """Standard deviations off zero, where they would stay."""
    if not plan.n_theta:
        return phi
    parts, at = [], 0
    for s in plan.shapes:
        own = phi[at : at + s.count]
        parts.append(s.structure.off_boundary(own, s.k, s.hom))
        at += s.count
    return np.concatenate(parts)


def farther_starts(here: ResidualPoint) -> Iterator[FloatArray]:
    """From an optimum to where another may be: one stratum or one group changed.

    Only strata of few rows and groups of few blocks are: with more, the likelihood has one optimum.
    """
    plan, model = here.objective.plan, here.objective.sums.model
    phi, free = off_zero(here.point[: plan.n_theta], plan), here.free
    strata = [j for j in range(model.q) if np.isin(model.classes[:, j], (0.0, 1.0)).all()]
    inside = model.classes[:, strata] != 0.0
    if plan.n_theta and model.counts.sum() <= _FEW_ROWS:
        for j in sorted({*range(model.q)} - {*strata}):  # spreads that fall where they rise
            least = _SMALLER / max(float(np.ptp(model.classes[:, j])), 1e-300)
            other = free.copy()
            other[j] = -np.copysign(max(abs(free[j]), least), free[j])
            yield np.concatenate([phi, other])
    if plan.n_theta:
        for j, own in zip(strata, inside.T, strict=True):
            if model.counts[own].sum() <= _FEW_ROWS:
                yield np.concatenate([phi, free - _SMALLER * (np.arange(len(free)) == j)])
        first = ~inside.any(axis=1)
        if strata and 0.0 < model.counts[first].sum() <= _FEW_ROWS:
            # sigma is the first stratum's: what is relative to it grows
            grown = free + _SMALLER * np.isin(np.arange(len(free)), strata)
            yield np.concatenate([scaled_sds(phi, plan, np.exp(_SMALLER)), grown])
    for own, part, blocks in zip(model.cuts, model.correlations, model.blocks, strict=True):
        if sum(len(rows) for rows in blocks) > _FEW_BLOCKS:
            continue
        for turned in _turned(model, free[own], part, beside=plan.n_theta > 0):
            other = free.copy()
            other[own] = turned
            yield np.concatenate([phi, other])


def _turned(
    model: ResidualModel, own: FloatArray, part: Correlation, *, beside: bool
) -> tuple[FloatArray, ...]:
    """Other correlations of one group, where there may be an optimum.

    One correlation is tried near both of its ends. An unstructured matrix has an optimum beside
    random effects: there strong ones are tried.
    """
    structure, k = model.structure, model.levels_of(part)
    if structure is None:
        return ()
    if structure.neighbours is not None:
        return (structure.neighbours(NEGATIVE_CORRELATION, k),)
    if structure.rate is not None and len(own) == 1:
        end = np.log(1.0 / _NEAR_END - 1.0) / structure.rate
        return tuple(np.full(1, x) for x in (-end, end))
    if not (structure.is_root and beside):
        return ()
    sd = np.sqrt(np.diag(structure.matrix(own, k)))
    powers = STRONG_CORRELATION ** np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    root = np.linalg.cholesky(powers * np.outer(sd, sd)) / sd[0]
    out: FloatArray = root[np.tril_indices(k)][1:]
    return (out,)


def look_from(
    known: ResidualPoint, point: FloatArray, control: Control
) -> tuple[FloatArray | None, int]:
    """Where a start leads, None if to nothing better than what is known; and evaluations.

    The descent ends as soon as it is back.
    """
    used, at = 0, known.objective.at

    def evaluate(point: FloatArray) -> ResidualPoint:
        nonlocal used
        used += 1
        found = at(point)
        if np.max(np.abs(found.free - known.free)) < _SAME_PLACE:
            raise _Returned
        return found

    few = min(_LOOK, control.max_evaluations)
    try:
        start = attempt(evaluate, point)
        if start is None:
            return None, used
        found = minimize(evaluate, start, tolerance=control.tolerance, max_evaluations=few)
    except (_Returned, np.linalg.LinAlgError):
        return None, used
    promised = 0.0 if found.converged else max(found.predicted, 0.0)
    better = found.best.value - promised < known.value - _SAME
    return found.best.point if better else None, used
