"""The lowest optimum of a generalized model that its starts lead to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import DataError
from nestedmlm.likelihood.glmm.warm_start import cold_start
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.glmm.glmm_objective import GlmmEvaluation, GlmmObjective
from nestedmlm.optimum.glmm.glmm_start import other_least_squares, starting_points
from nestedmlm.optimum.local_optimum import LocalOptimum, local_optimum
from nestedmlm.optimum.objective import ObjectiveAt
from nestedmlm.optimum.optimize import well_determined
from nestedmlm.optimum.starts import correlated_starts, scaled_sds, small_correlated_starts

_OTHER_EVALUATIONS = 100  # of the criterion from a start that is not the first
# rows up to which fits get further starts: all, of weakly known variances, singular
_TINY_ROWS, _WEAK_ROWS, _SINGULAR_ROWS = 50, 200, 1000
_SHARES = (0.05, 0.5, 1.5, 4.0)  # of the usual standard deviations, to start from
_DISPERSIONS = (0.1, 0.01)  # shares of a dispersion beside them
_OF_MORE_ROWS = 2  # such points to start from in fits that are not tiny
_SAME_POINT = 1e-6  # deviance units between points that are tried
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
    tiny = objective.stats.n <= _TINY_ROWS
    for other in _other_starts(objective, tried[0]):
        own = _led_to(objective, other, shorter)
        if tiny and not objective.model.bounded and not any(found.holds for found in own):
            own += _beside_expected(objective, other, shorter)
        tried += own
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


def _led_to(objective: GlmmObjective, start: FloatArray, control: Control) -> list[LocalOptimum]:
    """What a start leads to; nothing where the criterion does not exist."""
    try:
        return [local_optimum(objective, start, control)]
    except (np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError):
        return []


def _beside_expected(
    objective: GlmmObjective, start: FloatArray, control: Control
) -> list[LocalOptimum]:
    """The optimum beside that with the expected information, if it can be computed.

    The observed information of a log-density that is not concave may lose its definiteness; the
    Laplace approximation falls without bound there, and a descent that comes near follows it down.
    With the expected information it is bounded.
    """
    near = _led_to(_with_expected(objective), start, control)
    return [one for found in near for one in _led_to(objective, found.here.point, control)]


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
    that are none: of unstructured terms one of the `correlated_starts` has them. Families with a
    dispersion start from `_promising` points then.
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
    family, tiny = objective.model.family, objective.stats.n <= _TINY_ROWS
    if family.has_dispersion and not known and (tiny or (family.scaled and found.holds)):
        promising = _promising(objective, found)
        yield from promising if tiny else promising[:_OF_MORE_ROWS]


def _promising(objective: GlmmObjective, found: LocalOptimum) -> list[FloatArray]:
    """Points to start from: what responses differ by may be any parameter's.

    With the fixed effects of each optimum without random effects, and those that were found, and
    standard deviations from nearly none to large: the best of each, and those of less dispersion.
    """
    model, plan, nt = objective.model, objective.plan, objective.plan.n_theta
    _, usual = next(starting_points(model, None, joint=objective.joint))
    fixed = [usual[nt:], *_other_fixed(objective)]
    fixed += [found.here.point[nt:]] if found.holds else []
    screen = objective if model.bounded else _with_expected(objective)

    def best(
        rests: Sequence[FloatArray], shares: Sequence[float], less: float = 1.0
    ) -> tuple[float, FloatArray]:
        away = math.log(less) if model.family.scaled else -math.log(less)  # or a precision
        points = [
            np.concatenate([scaled_sds(usual[:nt], plan, share), rest[:-1], [rest[-1] + away]])
            for rest in rests
            for share in shares
        ]
        values = [screen.value_at(point) for point in points]
        return min(values), points[int(np.argmin(values))]

    tried = [
        *(best([rest], _SHARES) for rest in fixed),
        *(best(fixed, [share]) for share in _SHARES),
        *(best(fixed, _SHARES, less) for less in _DISPERSIONS),
    ]
    tried.sort(key=lambda one: one[0])
    distinct = [tried[0], *(b for a, b in pairwise(tried) if b[0] - a[0] > _SAME_POINT)]
    return [point for value, point in distinct if math.isfinite(value)]


def _other_fixed(objective: GlmmObjective) -> list[FloatArray]:
    """What points hold beside phi, at other optima without random effects."""
    return [
        np.append([] if objective.joint else gamma, math.log(dispersion))
        for gamma, dispersion in other_least_squares(objective.model)
    ]


def _doubtful_rows(here: ObjectiveAt) -> int:
    """Rows up to which an optimum like this one may have a lower one elsewhere."""
    T, plan = here.evaluation.T, here.objective.plan
    parts = here.objective.stats.parts
    if any(np.linalg.svd(part.matrix(T), compute_uv=False)[-1] < SINGULAR for part in parts):
        return _SINGULAR_ROWS
    asked = all(s.k == 1 or s.structure.signed(s.k, s.hom).any() for s in plan.shapes)
    return _TINY_ROWS if asked and well_determined(here, plan) else _WEAK_ROWS
