"""`Certificate`: first-order conditions in the cone of covariances, checked at the optimum.

``M_f = d criterion / d(T_f T_f')`` must satisfy ``M_f T_f = 0`` (the gradient) and, for every
direction in which the structure can grow, ``u' M_f u >= 0``. A zero column of T always has zero
gradient, so the second condition is the one that tells an optimum from a trap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import Plan, term_places
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
        Smallest eigenvalue of the matrices M_f (>= 0 at an optimum, up to rounding; of a penalised
        fit it may be negative, and says how strongly the penalty pulls).
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
        Theta at which the descent began.
    path : tuple of float
        The criterion (with its penalty) at the start and after every step that was taken, jumps
        along an escape and to exact zeros included.
    route : str
        How the criterion was evaluated: ``"NumPy sweeps"``, ``"compiled sweeps"`` or ``"compiled
        descent"``; several where the way changed, with ``"L-BFGS-B"`` where bounds were needed.
    escapes, snaps : int
        How often a stationary point was left along a new direction, and how often small standard
        deviations were set to exactly zero.
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
    path: tuple[float, ...]
    route: str
    escapes: int
    snaps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Escape:
    """The best way out of a stationary point: a direction for one term's covariance.

    `term` is -1 where there is none; `direction` is a (k, k) positive semi-definite matrix of
    unit scale, `slope` the derivative of the criterion along it and `gain` the promised decrease.
    """

    term: int
    direction: FloatArray
    slope: float
    gain: float
    step: float


NO_ESCAPE = Escape(term=-1, direction=np.zeros((0, 0)), slope=0.0, gain=0.0, step=0.0)


def best_escape(ev: Evaluation, plan: Plan, information: FloatArray) -> Escape:
    """Find the term and direction along which the criterion promises to fall most."""
    best = NO_ESCAPE
    # where the data say nothing of a direction, both slope and curvature are rounding
    least = max(_FLAT_SHARE_OF_CURVATURE * float(np.max(np.diag(information), initial=0.0)), 1e-300)
    for term, D, slope in growing_directions(ev, plan):
        if slope >= -rounding(ev.criterion):
            continue
        own, places = free_entries(plan).of_term[term]
        d = D.ravel()[places]
        curvature = max(float(d @ information[np.ix_(own, own)] @ d), least)
        gain = 0.5 * slope**2 / curvature
        if gain > best.gain:
            best = Escape(term=term, direction=D, slope=slope, gain=gain, step=-slope / curvature)
    return best


def growing_directions(ev: Evaluation, plan: Plan) -> Iterator[tuple[int, FloatArray, float]]:
    """Yield ``(term, direction, slope)`` for covariances that may grow."""
    for term in (t for terms in plan.factors for t in terms):
        shape, places = plan.shapes[term], term_places(plan)[term]
        M, block = (flat[places].reshape(shape.k, shape.k) for flat in (ev.M, ev.T))
        for D in shape.structure.growing_directions(M, block, shape.hom):
            yield term, D, float(np.sum(M * D))


def min_eigenvalue(ev: Evaluation, plan: Plan) -> float:
    """Smallest slope over the unit directions in which a term may grow."""
    slopes = [slope / float(np.trace(D)) for _, D, slope in growing_directions(ev, plan)]
    return min(slopes, default=0.0)
