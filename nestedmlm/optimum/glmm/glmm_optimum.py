"""The lowest optimum of a generalized model that its starts lead to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import DataError
from nestedmlm.likelihood.glmm.warm_start import cold_start
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.glmm.glmm_objective import GlmmEvaluation, GlmmObjective
from nestedmlm.optimum.glmm.glmm_start import starting_points
from nestedmlm.optimum.local_optimum import LocalOptimum, local_optimum
from nestedmlm.optimum.objective import ObjectiveAt
from nestedmlm.optimum.optimize import well_determined
from nestedmlm.optimum.starts import correlated_starts, scaled_sds, small_correlated_starts

_OTHER_EVALUATIONS = 100  # of the criterion from a start that is not the first
# rows up to which fits get further starts: all, of weakly known variances, singular
_TINY_ROWS, _WEAK_ROWS, _SINGULAR_ROWS = 50, 200, 1000
_NEARLY_NONE = 0.05  # share of the first start's standard deviations, to start from
# shares of the usual standard deviations and of the dispersion that was found, to start from
_MORE, _LESS_DISPERSION = 3.0, 0.1
_SAME = 1e-8  # deviance units within which two optima are one


def best_optimum(
    objective: GlmmObjective, start: object, control: Control
) -> tuple[LocalOptimum, list[LocalOptimum]]:
    """The lowest optimum that the starts lead to, and all of them.

    Parameters
    ----------
    objective : GlmmObjective
    start : array or mapping or None
        As `starting_points` takes it.
    control : Control

    Returns
    -------
    best : LocalOptimum
    tried : list of LocalOptimum

    Raises
    ------
    DataError
        If the likelihood cannot be computed at any start.
    """
    tried = [_first_optimum(objective, start, control)]
    shorter = replace(control, max_evaluations=min(control.max_evaluations, _OTHER_EVALUATIONS))
    for other in _other_starts(objective, tried[0]):
        try:
            tried.append(local_optimum(objective, other, shorter))
        except (np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError):
            continue
    if not objective.model.bounded and not any(found.holds for found in tried):
        tried += _beside_expected(objective, tried[0].start, control)
    # what is lower, no optimum and beside a pole of the approximation is on its way to it
    certified = any(found.holds for found in tried)
    best = min(
        (found for found in tried if found.holds or not (certified and beside_pole(found))),
        key=lambda found: found.here.value - _SAME * found.holds,
    )
    if best.exhausted and best is not tried[0]:
        best = local_optimum(objective, best.here.point, control)
        tried.append(best)
    return best, tried


def beside_pole(found: LocalOptimum) -> bool:
    """Whether rows have negative information: the approximation may fall without bound there.

    Parameters
    ----------
    found : LocalOptimum

    Returns
    -------
    bool
    """
    here = found.here.evaluation
    assert isinstance(here, GlmmEvaluation)
    objective = found.here.objective
    assert isinstance(objective, GlmmObjective)
    return not objective.model.bounded and bool((here.approximation.modes.rows.h < 0.0).any())


def _beside_expected(
    objective: GlmmObjective, start: FloatArray, control: Control
) -> list[LocalOptimum]:
    """The optimum beside that with the expected information, if it can be computed.

    The observed information of a log-density that is not concave may lose its definiteness; the
    Laplace approximation falls without bound there, and a descent that comes near follows it down.
    With the expected information it is bounded.
    """
    bounded = _with_expected(objective)
    try:
        near = local_optimum(bounded, start, control)
        return [local_optimum(objective, near.here.point, control)]
    except (np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError):
        return []


def _with_expected(objective: GlmmObjective) -> GlmmObjective:
    """The Laplace approximation with the expected information, which has no poles."""
    model = replace(objective.model, observed=False)
    return replace(objective, model=model, grid=None, warm=list(objective.warm))


def _first_optimum(objective: GlmmObjective, start: object, control: Control) -> LocalOptimum:
    """From the first start that has a criterion.

    Raises
    ------
    DataError
        If none has.
    """
    starts = list(starting_points(objective.model, start, joint=objective.joint))
    if start is None and objective.model.family.scaled and not objective.model.bounded:
        expected = _with_expected(objective)
        starts.sort(key=lambda one: expected.value_at(one[1]))
    for gamma, point in starts:
        objective.warm[:] = [cold_start(gamma, objective.stats.q)]
        try:
            found = local_optimum(objective, point, control)
        except (np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError):
            continue
        if math.isfinite(found.here.value):
            return found
    raise DataError(
        "the likelihood of this model cannot be computed where the optimizer starts: predictors of "
        f"very different sizes, or a link ({objective.model.family.link.name}) that these means "
        "do not have; rescale the predictors, choose another link, or give start="
    )


def _other_starts(objective: GlmmObjective, found: LocalOptimum) -> Iterator[FloatArray]:
    """Starts with other correlations, where a lower optimum may hide (as for linear models).

    Structured terms start from small standard deviations too in fits that are singular or tiny, or
    that are none: of unstructured terms one of the `correlated_starts` has them. Scaled families
    start from nearly none, with the fixed effects of a model without random effects, and from more
    with less dispersion: what responses differ by may be either's.
    """
    plan, nt = objective.plan, objective.plan.n_theta
    known = found.holds and objective.stats.n > _doubtful_rows(found.here)
    if plan.linear and known:
        return
    rest = (found.here.point if found.holds else found.start)[nt:]
    small = () if plan.linear or known else small_correlated_starts(plan)
    for phi in (*correlated_starts(plan), *small):
        if not np.array_equal(phi, found.start[:nt]):
            yield np.concatenate([phi, rest])
    family = objective.model.family
    if not family.scaled or not found.holds or known:
        return
    # their modes may be several
    _, usual = next(starting_points(objective.model, None, joint=objective.joint))
    yield np.append(scaled_sds(usual[:nt], plan, _NEARLY_NONE), usual[nt:])
    if family.has_dispersion:
        less = found.here.point[-1] + math.log(_LESS_DISPERSION)
        yield np.concatenate([scaled_sds(usual[:nt], plan, _MORE), usual[nt:-1], [less]])


def _doubtful_rows(here: ObjectiveAt) -> int:
    """Rows up to which an optimum like this one may have a lower one elsewhere."""
    T, plan = here.evaluation.T, here.objective.plan
    parts = here.objective.stats.parts
    if any(np.linalg.svd(part.matrix(T), compute_uv=False)[-1] < SINGULAR for part in parts):
        return _SINGULAR_ROWS
    asked = all(s.k == 1 or s.structure.signed(s.k, s.hom).any() for s in plan.shapes)
    return _TINY_ROWS if asked and well_determined(here, plan) else _WEAK_ROWS
