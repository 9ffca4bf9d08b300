"""From statistics to a certified optimum: the lowest that a few starts lead to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import singular_ends
from nestedmlm.errors import DataError
from nestedmlm.likelihood.plan import SINGULAR, Plan, start_phi, theta_of_phi
from nestedmlm.optimum.certificate import Certificate, min_slope
from nestedmlm.optimum.control import DEFAULT, Control
from nestedmlm.optimum.evaluation import Evaluation, digits_lost
from nestedmlm.optimum.local_optimum import LocalOptimum, local_optimum
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.starts import (
    LARGE_SDS,
    correlated_starts,
    relaxed_starts,
    scaled_sds,
    small_starts,
    starting_point,
)
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.leaf_levels import with_leaves

_OTHER_EVALUATIONS = 100  # of the criterion from a start that is not the first
_FEW_PARAMETERS = 3  # of covariances, from which tiny fits have optima at large variances, too
TINY_ROWS, SINGULAR_ROWS = 50, 1000  # rows up to which (singular) fits get a second start
_WELL_KNOWN = 4.0  # standard errors from zero of a standard deviation that is known well
CERTIFIED = "local optimum certified"
ROUNDED = "local optimum certified to about"  # so many deviance units, by rounding
UNKNOWN = "the optimum could not be certified: the criterion is known to about"
_SAID_DIGITS = 1e-5  # deviance units of rounding from which a certificate names them
SAME = 1e-8  # deviance units within which two optima are one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """The optimum: where the criterion is smallest, with its certificate.

    Attributes
    ----------
    theta : (n_theta,) array
        lme4's parameters, in the user's columns.
    evaluation : Evaluation
        The criterion and its derivatives there (scaled columns).
    certificate : Certificate
        What was asked, done and checked.
    stats : CrossProducts
        What the evaluation was made from.
    information : (n, n) array or None
        Average information there in the entries of `free_entries`, if it is known.
    """

    theta: FloatArray
    evaluation: Evaluation
    certificate: Certificate
    stats: CrossProducts
    information: FloatArray | None = None


def optimize(
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | None = None,
    phi: FloatArray | None = None,
    make: Callable[..., Objective] = Objective,
) -> Optimum:
    """Minimise the REML or ML criterion over the covariance parameters.

    Parameters
    ----------
    plan, stats : Plan, CrossProducts
        The structure and the numbers of the model.
    REML : bool
        REML criterion (True) or -2 log-likelihood.
    start : (n_theta,) array, optional
        Starting theta (user's columns); zero standard deviations in it are moved off zero.
    control : Control, optional
    penalty : Penalty, optional
        Minimise the criterion minus twice the logarithm of this prior density.
    phi : (n_theta,) array, optional
        Where another descent has arrived already, in place of `start`.
    make : callable
        What makes the objective of `plan`, `stats`, `REML` and `penalty`.

    Raises
    ------
    OptionError
        If `start` is no vector of the model's covariance parameters.
    DataError
        If the criterion cannot be computed where the descent starts.
    """
    control, began = control or DEFAULT, time.perf_counter()
    objective = make(plan=plan, stats=with_leaves(stats), REML=REML, penalty=penalty)
    first = starting_point(plan, stats, start) if phi is None else phi
    tried = [_first_optimum(objective, first, control)]
    most = min(control.max_evaluations, _OTHER_EVALUATIONS)
    for other in other_starts(tried[0], control):
        try:
            shorter = replace(control, max_evaluations=most)
            tried.append(local_optimum(objective, other, shorter))
        except np.linalg.LinAlgError:  # no criterion at that start
            continue
    best = min(tried, key=lambda found: found.here.value - SAME * found.holds)
    if best.exhausted and best is not tried[0]:
        best = local_optimum(objective, best.here.point, control)
        tried.append(best)
    log, here = best.log, best.here
    return Optimum(
        theta=theta_of_phi(here.point, plan, stats),
        evaluation=here.evaluation,
        stats=stats,
        information=here.curvature.information,
        certificate=Certificate(
            holds=best.holds,
            gradient=float(np.max(np.abs(here.free_gradient), initial=0.0)),
            predicted_decrease=best.promised,
            min_eigenvalue=min_slope(here.evaluation, plan),
            escape_gain=here.escape_gain,
            evaluations=sum(found.log.evaluations for found in tried),
            seconds=time.perf_counter() - began,
            message=_message(best),
            control=control,
            start=tuple(theta_of_phi(best.start, plan, stats).tolist()),
            starts=len(tried),
            path=tuple(log.path),
            route=", ".join(log.routes),
            escapes=log.escapes,
            snaps=log.snaps,
        ),
    )


def _first_optimum(objective: Objective, first: FloatArray, control: Control) -> LocalOptimum:
    """From the first start, or from the default one where that has no criterion.

    Raises
    ------
    DataError
        If there is none at the default either.
    """
    for make in (lambda: first, lambda: start_phi(objective.plan)):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found = local_optimum(objective, make(), control)
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(found.here.value):
            return found
    raise DataError(
        "the criterion cannot be computed, not even where the optimizer starts: some predictors "
        "are nearly collinear or of very different sizes; centre and rescale them"
    )


def other_starts(found: LocalOptimum, control: Control) -> Iterator[FloatArray]:
    """Starts from which a lower optimum may be found than where the first one led.

    Structured terms have optima at other correlations, without some of their columns, and where
    they take all that is left for the residuals: all of these are looked for unless the standard
    deviations are known well. Other terms have them
    rarely, in fits that are singular or tiny. Where the first start led to no optimum, from far
    away, all models have others.
    """
    objective = found.here.objective
    plan = objective.plan
    n = objective.stats.n
    doubtful = (
        not plan.linear or n <= TINY_ROWS or (n <= SINGULAR_ROWS and _is_singular(found.here))
    )
    if doubtful or not found.holds:
        starts = correlated_starts(plan)
        yield from (s for s in starts if not np.array_equal(s, found.start))
    if n <= TINY_ROWS and plan.n_theta >= _FEW_PARAMETERS:
        yield scaled_sds(start_phi(plan), plan, LARGE_SDS)
    if not plan.linear and not well_determined(found.here, plan):
        yield from relaxed_starts(objective, control)
        yield from small_starts(found.here.point, plan)


def _is_singular(here: ObjectiveAt) -> bool:
    T = here.evaluation.T
    parts = here.objective.stats.parts
    return any(singular_ends(p.matrix(T))[0] < SINGULAR for p in parts)


def well_determined(here: ObjectiveAt, plan: Plan) -> bool:
    """Whether every standard deviation is many of its own standard errors."""
    values, vectors = np.linalg.eigh(here.hessian)
    if values[0] <= 0.0:
        return False
    variance = 2.0 * np.einsum("ij,j,ij->i", vectors, 1.0 / values, vectors)  # of -2 log L
    sds = np.flatnonzero(np.concatenate([s.structure.signed(s.k, s.hom) for s in plan.shapes]))
    return bool(np.all(here.point[sds] ** 2 > _WELL_KNOWN**2 * variance[sds]))


def _message(found: LocalOptimum) -> str:
    objective = found.here.objective
    said = CERTIFIED if found.holds else advice(found.exhausted)
    if found.exhausted:
        return said
    lost = digits_lost(found.here.evaluation, objective.stats, objective.REML)
    return rounded(said, lost, found.holds)


def rounded(message: str, lost: float, holds: bool) -> str:
    """The message of a certificate, or what rounding leaves of it.

    Parameters
    ----------
    message : str
    lost : float
        Deviance units of rounding (`digits_lost`).
    holds : bool
    """
    if lost < _SAID_DIGITS:
        return message
    said = ROUNDED if holds else UNKNOWN
    return (
        f"{said} {lost:.0e} deviance units: the residuals are so small "
        "beside the response that few digits are left of their squares"
    )


def advice(exhausted: bool) -> str:
    """Advice where an optimum is not certified."""
    if exhausted:
        return (
            "the optimizer used all its evaluations; start nearer (start=), allow more "
            "(control=Control(max_evaluations=...)), or simplify the random effects"
        )
    return (
        "the optimum could not be certified: the criterion still falls in some direction but no "
        "step lowers it; check for nearly collinear random slopes and very different units"
    )
