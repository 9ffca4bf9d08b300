"""Starts of the optimizer: the first, and those that other optima are looked for from."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import real_array
from nestedmlm.covariance import TermShape, split_parameters
from nestedmlm.covariance.moves import parameter_grid
from nestedmlm.covariance.structure import TRAPPED
from nestedmlm.covariance.table import UNSTRUCTURED
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import Plan, phi_of_theta, start_phi
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.minque import start_of_moments
from nestedmlm.optimum.nested_moments import start_of_nested_moments
from nestedmlm.optimum.objective import Objective
from nestedmlm.statistics.crossproducts import CrossProducts

_RELAXED_COLUMNS = 4  # of a term, up to which its unstructured covariance is looked for
_MOST_PROMISING = 6  # starts from there
_NO_RESIDUAL = 30.0  # relative standard deviation in scaled columns beside which sigma is nothing
LARGE_SDS = 30.0  # relative standard deviations to start from, where residuals may be few
_SMALL_SDS = 0.3  # relative standard deviations to start from, where larger ones led to that
_VALUES = 7  # of each parameter that are tried
_NEARLY_GONE = 0.02  # share of its standard deviation that a column keeps which is left out
_ROUGHLY = 1e-3  # deviance units to which the unstructured optimum is needed


def starting_point(plan: Plan, stats: CrossProducts, start: object) -> FloatArray:
    """Phi at a given theta, off the boundary that would trap it; without one, the default.

    Raises
    ------
    OptionError
        If `start` is no vector of the model's covariance parameters.
    """
    if start is None:
        for moments in (start_of_moments, start_of_nested_moments):
            if (found := moments(plan, stats)) is not None:
                return found
        return start_phi(plan)
    # A zero column has zero gradient whatever the data say: never start on one
    parts = split_parameters(phi_of_theta(checked_start(plan, start), plan, stats), plan.shapes)
    return np.concatenate(
        [s.structure.off_boundary(p, s.k, s.hom) for p, s in zip(parts, plan.shapes, strict=True)]
    )


def checked_start(plan: Plan, start: object) -> FloatArray:
    """A theta to start from.

    Raises
    ------
    OptionError
        If `start` is no vector of the model's covariance parameters.
    """
    what = f"start must hold the {plan.n_theta} covariance parameters of this model (theta)"
    try:
        theta = real_array(start)
    except (TypeError, ValueError):
        raise OptionError(
            f"{what}: an array of numbers, not {type(start).__name__} {start!r:.40}"
        ) from None
    if theta.shape != (plan.n_theta,):
        raise OptionError(f"{what}, got an array of shape {theta.shape}")
    if not np.all(np.isfinite(theta)):
        raise OptionError(f"{what}: finite numbers, got {theta.tolist()}")
    return theta


def correlated_starts(plan: Plan) -> tuple[FloatArray, ...]:
    """Starts with other correlations; the first is `start_phi`."""
    of_terms = [s.structure.starts(s.k, s.hom) for s in plan.shapes]
    count = max(map(len, of_terms))
    return tuple(
        np.concatenate([starts[min(i, len(starts) - 1)] for starts in of_terms])
        for i in range(count)
    )


def small_starts(found: FloatArray, plan: Plan) -> tuple[FloatArray, ...]:
    """`correlated_starts` with small standard deviations, where they may lead elsewhere.

    Where the effects that were found leave nothing for the residuals, and for terms with so many
    columns that their covariance without structure is not looked for. In the first case with ones
    of the size found, too: from small ones there are many steps to it.
    """
    largest = float(np.max(np.abs(found), initial=0.0))
    no_residual = largest > _NO_RESIDUAL
    if not no_residual and all(s.k <= _RELAXED_COLUMNS for s in plan.shapes):
        return ()
    small = small_correlated_starts(plan)
    if not no_residual:
        return small
    return (*small, *(scaled_sds(phi, plan, largest) for phi in correlated_starts(plan)))


def small_correlated_starts(plan: Plan) -> tuple[FloatArray, ...]:
    """`correlated_starts` with small standard deviations."""
    return tuple(scaled_sds(phi, plan, _SMALL_SDS) for phi in correlated_starts(plan))


def scaled_sds(phi: FloatArray, plan: Plan, factor: float) -> FloatArray:
    """Phi with all standard deviations multiplied; other parameters stay."""
    parts = split_parameters(phi, plan.shapes)
    others = [len(s.structure.parameters(s.k)) for s in plan.shapes]
    return np.concatenate(
        [
            np.append(factor * part[: len(part) - n], part[len(part) - n :])
            for part, n in zip(parts, others, strict=True)
        ]
    )


def relaxed_starts(objective: Objective, control: Control) -> list[FloatArray]:
    """Starts from the optimum without structure, for terms whose standard deviations differ.

    Its standard deviations, all of them or with some columns nearly gone, with the correlations
    that suit each best: other optima mostly lack a column. The most promising of them.
    """
    plan = objective.plan
    relaxed = [
        bool(s.structure.signed(s.k, s.hom).any()) and 1 < s.k <= _RELAXED_COLUMNS
        for s in plan.shapes
    ]
    if not any(relaxed):
        return []
    parts, found = _relaxed_parts(objective, relaxed, control), list[tuple[float, FloatArray]]()
    for t, shape in enumerate(plan.shapes):
        if not relaxed[t]:
            continue
        for part in _with_columns(parts[t], shape.k):
            tried = [
                np.concatenate([*parts[:t], one, *parts[t + 1 :]])
                for one in _with_parameters(part, shape)
            ]
            values = [objective.value_at(phi) for phi in tried]
            found.append((min(values), tried[int(np.argmin(values))]))
    found.sort(key=lambda pair: pair[0])
    return [phi for value, phi in found[:_MOST_PROMISING] if np.isfinite(value)]


def _relaxed_parts(objective: Objective, relaxed: list[bool], control: Control) -> list[FloatArray]:
    """Each term's phi with the standard deviations of the optimum without structure."""
    plan = objective.plan
    shapes = tuple(
        TermShape(structure=UNSTRUCTURED, hom=False, k=s.k) if free else s
        for s, free in zip(plan.shapes, relaxed, strict=True)
    )
    free_plan = replace(plan, shapes=shapes)
    found = replace(objective, plan=free_plan).descend(
        start_phi(free_plan), tolerance=_ROUGHLY, max_evaluations=control.max_evaluations
    )
    parts = list(split_parameters(found.best.point, shapes))
    for t, shape in enumerate(plan.shapes):
        if relaxed[t]:
            T = UNSTRUCTURED.factor(np, parts[t], shape.k, False)
            middle = shape.structure.start(shape.k, shape.hom)[shape.k :]
            parts[t] = np.append(np.maximum(np.linalg.norm(T, axis=1), TRAPPED), middle)
    return parts


def _with_columns(part: FloatArray, k: int) -> list[FloatArray]:
    """A term's phi with all its columns, then with each set of them only."""
    sets = product((1.0, _NEARLY_GONE), repeat=k)
    return [np.append(part[:k] * kept, part[k:]) for kept in sets if max(kept) == 1.0]


def _with_parameters(part: FloatArray, shape: TermShape) -> list[FloatArray]:
    """A term's phi with values of its parameters over their range."""
    grid = parameter_grid(shape.structure, shape.k, finest=_VALUES)
    return [np.append(part[: shape.k], shape.structure.unbounded(par, shape.k)) for par in grid]
