"""The optima of many responses to a small design: those that single fits find.

As in `nestedmlm.optimum.local_optimum`, small standard deviations are set to exactly zero where the
criterion agrees, and an optimum there is one if no covariance that a term may gain lowers it. What
is neither such an optimum nor one inside is left to single fits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.plan import SINGULAR, linear_map, term_parameters, term_places
from nestedmlm.optimum.certificate import moves
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.optimize import SAME, SINGULAR_ROWS, TINY_ROWS
from nestedmlm.optimum.response_descents import ManyEnds, descend_together, rounding_of
from nestedmlm.optimum.response_objective import AtPoints, ResponseObjective
from nestedmlm.optimum.starts import correlated_starts
from nestedmlm.optimum.zeros import zero_candidates
from nestedmlm.statistics.crossproducts import CrossProducts

_MOVE = 1e-4  # relative variance that a term gains, to see how the slope changes


def optima_together(objective: ResponseObjective, starts: FloatArray, control: Control) -> ManyEnds:
    """Find the lowest optimum that a few starts lead each response to.

    Parameters
    ----------
    objective : ResponseObjective
    starts : (m, n_theta) array
        Phi that each begins with.
    control : Control

    Returns
    -------
    ManyEnds
        Not converged where a single fit has to look.

    Raises
    ------
    numpy.linalg.LinAlgError
        If one of them cannot be evaluated at all.
    """
    stats, plan = objective.stats, objective.plan
    found = _local_optima(objective, starts, control)
    if stats.n <= TINY_ROWS:
        doubtful = np.arange(objective.m)
    else:
        singular = found.converged & (
            least_factor(found.phi @ linear_map(plan).T, stats) < SINGULAR
        )
        doubtful = np.flatnonzero(singular & (stats.n <= SINGULAR_ROWS))
    for other in correlated_starts(plan):
        left = doubtful[(starts[doubtful] != other).any(axis=1)]
        if len(left):
            again = np.repeat(other[None], len(left), axis=0)
            _take_lower(found, left, _local_optima(objective.of(left), again, control))
    return found


def least_factor(T: FloatArray, stats: CrossProducts) -> FloatArray:
    """Smallest singular value of any factor, for each row of flat factors."""
    least = [
        np.linalg.svd(T[:, part.flat].reshape(-1, part.k, part.k), compute_uv=False)[:, -1]
        for part in stats.parts
    ]
    out: FloatArray = np.min(least, axis=0)
    return out


def _local_optima(objective: ResponseObjective, starts: FloatArray, control: Control) -> ManyEnds:
    """Descend from one start each, and on at zero where a standard deviation is small."""
    found = descend_together(objective, starts, tolerance=control.tolerance)
    least = least_factor(found.phi @ linear_map(objective.plan).T, objective.stats)
    near = np.flatnonzero(np.isfinite(found.at.value) & ~(least > control.snap))
    zeros = [zero_candidates(found.phi[j], objective.plan, control.snap) for j in near]
    tried = near[[bool(points) for points in zeros]]
    found.converged[near] = False
    if len(tried):
        snapped = np.array([points[0] for points in zeros if points])
        own = objective.of(tried)
        at_zero = descend_together(own, snapped, tolerance=control.tolerance)
        noise = rounding_of(at_zero.at.value)
        lower = at_zero.at.value <= found.at.value[tried] + noise
        gains = escape_gains(own, at_zero.phi, at_zero.at)
        at_zero.converged[:] &= lower & (gains <= control.escape_tolerance)
        _put(found, tried, at_zero, at_zero.converged)
    return found


def escape_gains(objective: ResponseObjective, phi: FloatArray, at: AtPoints) -> FloatArray:
    """Decrease that the best covariance which some term may gain promises each response.

    As `nestedmlm.optimum.certificate.best_escape`; curvature is a difference of slopes.

    Parameters
    ----------
    objective : ResponseObjective
    phi : (m, n_theta) array
    at : AtPoints
        The criterion there.

    Returns
    -------
    (m,) array
        Deviance units; infinite where the slope does not rise.
    """
    noise, gains = rounding_of(at.value), np.zeros(objective.m)
    tried: list[tuple[int, float, FloatArray, FloatArray]] = []
    for j, (own, M) in enumerate(zip(phi, at.M, strict=True)):
        for term, move, slope in moves(own, M, objective.plan):
            if slope < -noise[j]:
                point, weight = own.copy(), np.zeros(len(M))
                point[term_parameters(objective.plan)[term]] = move.at(_MOVE)
                weight[term_places(objective.plan)[term]] = move.direction.ravel()
                tried.append((j, slope, point, weight))
    if tried:
        lanes, slopes, points, weights = (np.array(each) for each in zip(*tried, strict=True))
        there = objective.of(lanes).at(points)
        curvature = (np.sum(there.M * weights, axis=1) - slopes) / _MOVE
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(curvature > 0.0, 0.5 * slopes**2 / curvature, np.inf)
        np.maximum.at(gains, lanes, gain)
    return gains


def _take_lower(found: ManyEnds, lanes: IntArray, other: ManyEnds) -> None:
    """Keep what another start has led some responses to, where that is lower."""
    lower = other.at.value < found.at.value[lanes] - SAME
    _put(found, lanes, other, lower)


def _put(found: ManyEnds, lanes: IntArray, other: ManyEnds, which: npt.NDArray[np.bool_]) -> None:
    """Write the ends of some responses in the place of others."""
    found.evaluations[lanes] += other.evaluations
    at = lanes[which]
    found.phi[at], found.converged[at] = other.phi[which], other.converged[which]
    found.at.put(at, other.at.of(np.flatnonzero(which)))
