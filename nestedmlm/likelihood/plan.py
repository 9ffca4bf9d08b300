"""From one parameter vector to the flat factors the elimination takes, and back.

A `Plan` says which covariance structures a model has and in which order their factors are
eliminated. It is all a compiled graph depends on, so it is hashable and holds no data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, parameter_slices, relative_factors
from nestedmlm.errors import MemoryLimitError
from nestedmlm.statistics.memory import available_memory, written_bytes

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.crossproducts import CrossProducts


_COPIES = 5  # of the factors' derivatives that live at once
SINGULAR = 1e-4  # relative standard deviation below which a direction counts as absent


@dataclass(frozen=True, slots=True)
class Plan:
    """Covariance structures and elimination order.

    Attributes
    ----------
    shapes : tuple of TermShape
        One per term, in the order of ``design.terms`` (also the order of theta and phi).
    factors : tuple of tuple of int
        For each grouping factor in elimination order, the indices of its terms.
    """

    shapes: tuple[TermShape, ...]
    factors: tuple[tuple[int, ...], ...]
    _known: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # see `once_per_plan`

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters."""
        return sum(s.count for s in self.shapes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns K_f of each factor in elimination order."""
        return tuple(sum(self.shapes[t].k for t in terms) for terms in self.factors)

    @property
    def linear(self) -> bool:
        """Whether T is linear in phi."""
        return all(s.structure.linear for s in self.shapes)


def once_per_plan[R](function: Callable[[Plan], R]) -> Callable[[Plan], R]:
    """Have a function of a plan keep its result on the plan: a dictionary would hash the plan."""
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def kept(plan: Plan) -> R:
        if name not in plan._known:
            plan._known[name] = function(plan)
        result: R = plan._known[name]
        return result

    return kept


_same_plan = lru_cache(maxsize=256)(Plan)  # refits of a model share what is known of its plan


def term_shapes(design: Design) -> tuple[TermShape, ...]:
    """Describe the covariance of each term."""
    return tuple(
        TermShape(structure=t.structure, hom=t.hom, k=len(t.columns)) for t in design.terms
    )


def make_plan(design: Design, stats: CrossProducts) -> Plan:
    """Describe a design's covariance.

    Raises
    ------
    MemoryLimitError
        If there are so many covariance parameters that their derivatives would not fit.
    """
    shapes = term_shapes(design)
    for shape in shapes:
        shape.structure.check(shape.k)
    factors = tuple(
        tuple(i for i, t in enumerate(design.terms) if t.factor == f) for f in stats.factors
    )
    plan = _same_plan(shapes, factors)
    check_memory(plan)
    return plan


@once_per_plan
def check_memory(plan: Plan) -> None:
    """Refuse a plan whose derivatives would not fit; once, for asking what is free takes a while.

    Raises
    ------
    MemoryLimitError
        See `make_plan`.
    """
    needed = _COPIES * 8 * plan.n_theta * sum(k * k for k in plan.widths)
    free = available_memory()
    if needed > free:
        raise MemoryLimitError(
            f"the {len(plan.shapes):,} random-effects terms have {plan.n_theta:,} covariance "
            f"parameters on factors of {', '.join(f'{k:,}' for k in plan.widths)} columns: their "
            f"derivatives take about {written_bytes(needed)}, and {written_bytes(free)} are free. "
            "Leave out terms or columns"
        )


@once_per_plan
def term_columns(plan: Plan) -> tuple[slice, ...]:
    """For each term, its columns among those of its factor."""
    out = [slice(0)] * len(plan.shapes)
    for terms in plan.factors:
        ends = np.cumsum([plan.shapes[t].k for t in terms]).tolist()
        for t, end in zip(terms, ends, strict=True):
            out[t] = slice(end - plan.shapes[t].k, end)
    return tuple(out)


@once_per_plan
def term_places(plan: Plan) -> tuple[np.ndarray, ...]:
    """For each term, where the entries of ``T_t.ravel()`` stand in the flat vector."""
    out: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(plan.shapes)
    starts = np.cumsum([0, *(K * K for K in plan.widths)]).tolist()
    for start, terms, K in zip(starts, plan.factors, plan.widths, strict=False):
        for t in terms:
            own = np.arange(K)[term_columns(plan)[t]]
            out[t] = (start + own[:, None] * K + own).ravel()
    return tuple(out)


@once_per_plan
def scatters(plan: Plan) -> tuple[FloatArray, ...]:
    """For each term, the 0/1 matrix that puts ``T_t.ravel()`` into the flat vector."""
    unit = np.eye(sum(k * k for k in plan.widths))
    return tuple(unit[:, places] for places in term_places(plan))


@once_per_plan
def term_parameters(plan: Plan) -> tuple[slice, ...]:
    """For each term, its parameters in phi and theta."""
    return parameter_slices(plan.shapes)


def parts_of(values: FloatArray, plan: Plan) -> tuple[FloatArray, ...]:
    """Cut phi or theta into the terms' own parameters."""
    return tuple(values[own] for own in term_parameters(plan))


@once_per_plan
def linear_map(plan: Plan) -> FloatArray:
    """The matrix B with ``T_flat = B phi``; zero in columns of terms that are not linear."""
    out = np.zeros((sum(k * k for k in plan.widths), plan.n_theta))
    for shape, places, own in zip(
        plan.shapes, term_places(plan), term_parameters(plan), strict=True
    ):
        if shape.structure.linear:
            out[places, own] = shape.jacobian(np.zeros(shape.count))
    return out


def flat_factors(xp: ModuleType, phi: Any, plan: Plan) -> Any:
    """All relative factors as one flat vector in elimination order, in scaled columns.

    `xp` is NumPy (phi an array, possibly complex) or ``pytensor.tensor`` (phi symbolic).
    """
    return xp.dot(linear_map(plan), phi) if plan.linear else _assemble(xp, phi, plan)


def _assemble(xp: ModuleType, phi: Any, plan: Plan) -> Any:
    parts = []
    for shape, P, own in zip(plan.shapes, scatters(plan), term_parameters(plan), strict=True):
        T = shape.structure.factor(xp, phi[own], shape.k, shape.hom)
        parts.append(xp.dot(P, T.reshape((shape.k * shape.k,))))
    return sum(parts[1:], parts[0])


def jacobian(phi: FloatArray, plan: Plan) -> FloatArray:
    """Derivative of the flat factors, exact."""
    if plan.linear:
        return linear_map(plan)
    out = linear_map(plan).copy()
    for shape, places, own in zip(
        plan.shapes, term_places(plan), term_parameters(plan), strict=True
    ):
        if not shape.structure.linear:
            out[places, own] = shape.jacobian(phi[own])
    return out


def start_phi(plan: Plan) -> FloatArray:
    """Unit relative standard deviations in scaled columns, no correlations."""
    none = np.zeros(0)
    return np.concatenate([none, *(s.structure.start(s.k, s.hom) for s in plan.shapes)])


def theta_of_phi(phi: FloatArray, plan: Plan, stats: CrossProducts) -> FloatArray:
    """lme4's theta, in the user's columns."""
    parts = [
        s.structure.to_theta(part, W, s.hom)
        for part, s, W in zip(parts_of(phi, plan), plan.shapes, stats.transforms, strict=True)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def phi_of_theta(theta: FloatArray, plan: Plan, stats: CrossProducts) -> FloatArray:
    """Inverse of `theta_of_phi`."""
    parts = [
        s.structure.to_phi(part, W, s.hom)
        for part, s, W in zip(parts_of(theta, plan), plan.shapes, stats.transforms, strict=True)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def flat_of_theta(theta: FloatArray, plan: Plan, stats: CrossProducts) -> FloatArray:
    """The flat factors in scaled columns at lme4's theta (no rotation, no loss of digits)."""
    total: FloatArray = np.zeros(sum(k * k for k in plan.widths))
    factors = relative_factors(theta, plan.shapes)
    for T, W, places in zip(factors, stats.transforms, term_places(plan), strict=True):
        total[places] = np.linalg.solve(W, T).ravel()
    return total
