"""`Certificate`: first-order conditions in the cone of covariances, checked at the optimum.

``M_f = d criterion / d(T_f T_f')`` must satisfy ``M_f T_f = 0`` (the gradient) and, for every
direction in which the structure can grow, ``u' M_f u >= 0``. A zero column of T always has zero
gradient, so the second condition is the one that tells an optimum from a trap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.moves import Move
from nestedmlm.likelihood.plan import Plan, parts_of, term_places
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.optimum.quadratic import rounding

_FLAT_SHARE_OF_CURVATURE = 1e-10  # share of the largest curvature below which one is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Record of an optimization: its settings, its path, and what was checked at its end.

    Attributes
    ----------
    holds : bool
        Whether all conditions hold; `converged` of a fit is this.
    gradient : float
        Largest absolute derivative, in scaled columns.
    predicted_decrease : float
        Deviance units a further Newton step promises.
    min_eigenvalue : float
        Smallest slope of the criterion along a covariance of unit size that a term may gain: for
        unstructured terms the smallest eigenvalue of their M_f (>= 0 at an optimum, up to rounding;
        of a penalised fit it may be negative, and says how strongly the penalty pulls).
    escape_gain : float
        Deviance units that leaving along the most negative direction of an M_f promises.
    evaluations : int
        Evaluations of the criterion.
    seconds : float
        Wall time of the optimisation.
    message : str
        What happened, and advice where it did not hold.
    control : Control
        The tolerances and limits that were asked for.
    start : tuple of float
        Theta at which the descent began that led here.
    starts : int
        How many starts were tried; this is the lowest optimum they led to.
    path : tuple of float
        The criterion (with its penalty) at the start and after every step that was taken, jumps
        along an escape and to exact zeros included.
    route : str
        How the criterion was evaluated: ``"NumPy sweeps"``, ``"compiled sweeps"``, ``"compiled
        descent"``, ``"orthogonal"`` (from the rows, where their sums keep too few digits),
        ``"iterative"``, ``"PyTensor graph"`` or ``"NLopt BOBYQA"``; several where the way changed.
    escapes, snaps : int
        How often a stationary point was left along a new direction, and how often small standard
        deviations were set to exactly zero.
    monte_carlo_error : float
        Of theta, as a share of its standard errors; 0 unless the elimination was iterative.
    """

    holds: bool
    gradient: float
    predicted_decrease: float
    min_eigenvalue: float
    escape_gain: float
    evaluations: int
    seconds: float
    message: str
    control: Control
    start: tuple[float, ...]
    starts: int
    path: tuple[float, ...]
    route: str
    escapes: int
    snaps: int
    monte_carlo_error: float = 0.0

    @property
    def gap(self) -> float:
        """Deviance units that the best next step promises: about how far below an optimum is."""
        return max(self.predicted_decrease, self.escape_gain)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Escape:
    """The best way out of a stationary point: a move of one term's covariance.

    `term` is -1 where there is none; `at` gives that term's phi after a step, `slope` is the
    derivative of the criterion, `gain` the promised decrease and `step` where it is promised.
    """

    term: int
    at: Callable[[float], FloatArray]
    slope: float
    gain: float
    step: float


def _nowhere(step: float) -> FloatArray:
    return np.zeros(0)


NO_ESCAPE = Escape(term=-1, at=_nowhere, slope=0.0, gain=0.0, step=0.0)  # can be pickled


def best_escape(ev: Evaluation, plan: Plan, information: FloatArray) -> Escape:
    """Find the term and move along which the criterion promises to fall most."""
    best, least_slope = NO_ESCAPE, -rounding(ev.criterion)
    for term, move, slope in moves(ev.phi, ev.M, plan):
        if slope >= least_slope:
            continue
        own, places = free_entries(plan).of_term[term]
        d = move.direction.ravel()[places]
        # where the data say nothing of a direction, both slope and curvature are rounding
        largest = float(np.max(np.diag(information), initial=0.0))
        least = max(_FLAT_SHARE_OF_CURVATURE * largest, 1e-300)
        curvature = max(float(d @ information[np.ix_(own, own)] @ d), least)
        gain = 0.5 * slope**2 / curvature
        if gain > best.gain:
            best = Escape(term=term, at=move.at, slope=slope, gain=gain, step=-slope / curvature)
    return best


def moves(phi: FloatArray, M: FloatArray, plan: Plan) -> Iterator[tuple[int, Move, float]]:
    """Yield ``(term, move, slope)`` for the moves of all terms' covariances."""
    parts = parts_of(phi, plan)
    for term in (t for terms in plan.factors for t in terms):
        shape, places = plan.shapes[term], term_places(plan)[term]
        own = M[places].reshape(shape.k, shape.k)
        for move in shape.structure.moves(parts[term], own, shape.k, shape.hom):
            yield term, move, float(np.vdot(own, move.direction))


def min_slope(ev: Evaluation, plan: Plan) -> float:
    """Smallest slope over the moves of unit size."""
    return min(
        (slope / max(m.size, 1e-300) for _, m, slope in moves(ev.phi, ev.M, plan)), default=0.0
    )
