"""`Objective`: the penalised criterion and its local models, for the trust-region method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination import Eliminated, Half, mirrored, speed
from nestedmlm.likelihood.elimination.speed import Speed
from nestedmlm.likelihood.plan import Plan, once_per_plan
from nestedmlm.optimum import fused
from nestedmlm.optimum.certificate import NO_ESCAPE, Escape, best_escape
from nestedmlm.optimum.curvature import Curvature, curvature
from nestedmlm.optimum.evaluation import Evaluation, evaluate
from nestedmlm.optimum.penalty import Penalty, penalty_terms
from nestedmlm.optimum.quadratic import RESOLVED, rounding
from nestedmlm.optimum.trust_region import Descent, attempt, minimize
from nestedmlm.statistics.crossproducts import CrossProducts

_SETTLED = 1e-4  # deviance units that multiplying all standard deviations may promise
_EQUAL_SHARE_OF_CRITERION = 1e-12  # share of the criterion that is rounding between two points


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """The criterion of one model, with its penalty.

    Attributes
    ----------
    plan, stats : Plan, CrossProducts
    REML : bool
    penalty : Penalty or None
    """

    plan: Plan
    stats: CrossProducts
    REML: bool
    penalty: Penalty | None = None

    @property
    def lower(self) -> FloatArray | None:
        """Lower bounds of the parameters; None where there are none."""
        return lower_bounds(self.plan)

    def at(self, phi: FloatArray) -> ObjectiveAt:
        """Evaluate; second-order information follows when it is asked for."""
        return self.around(self.evaluate(phi))

    def value_at(self, phi: FloatArray) -> float:
        """The value alone; infinite where there is none."""
        there = attempt(self.at, phi)
        return math.inf if there is None else there.value

    def evaluate(self, phi: FloatArray) -> Evaluation:
        """The criterion and its derivatives."""
        return evaluate(phi, self.plan, self.stats, self.REML)

    def around(self, ev: Evaluation) -> ObjectiveAt:
        """The objective where the criterion has been evaluated."""
        if self.penalty is None:
            return ObjectiveAt(
                objective=self, evaluation=ev, value=ev.criterion, gradient=ev.gradient
            )
        prior = penalty_terms(ev.phi, self.plan, self.penalty)
        return ObjectiveAt(
            objective=self,
            evaluation=ev,
            value=ev.criterion + prior.value,
            gradient=ev.gradient + prior.gradient,
            penalty_curvature=prior.curvature,
        )

    def noise(self, value: float) -> float:
        """Differences from a value that mean nothing where a choice has to be made."""
        return _EQUAL_SHARE_OF_CRITERION * max(1.0, abs(value))

    @property
    def route(self) -> str:
        """Name of the way to descend: that of `ROUTES` which costs least."""
        if self.stats.row_blocks is not None:
            return "orthogonal"
        chosen = speed.speed(self.stats)
        whole = chosen == Speed.DESCENT and self.penalty is None
        if whole and fused.applies(self.plan, self.stats):
            return "compiled descent"
        return "NumPy sweeps" if chosen == Speed.NUMPY else "compiled sweeps"

    def descend(
        self, phi: FloatArray, *, tolerance: float, max_evaluations: int
    ) -> Descent[ObjectiveAt]:
        """Descend from `phi` by the route that applies."""
        return ROUTES[self.route](self, phi, tolerance, max_evaluations)


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties stand in __dict__
class ObjectiveAt:
    """The objective at one point: a `nestedmlm.optimum.trust_region.LocalModel`.

    Attributes
    ----------
    objective : Objective
    evaluation : Evaluation
        The criterion, without the penalty.
    value, gradient : float, (n_theta,) array
        With the penalty.
    penalty_curvature : (n_theta,) array or None
        What the penalty adds to the diagonal of the Hessian.
    known_curvature : Curvature or None
        Where the way here has worked it out already.
    """

    objective: Objective
    evaluation: Evaluation
    value: float
    gradient: FloatArray
    penalty_curvature: FloatArray | None = None
    known_curvature: Curvature | None = None

    @property
    def point(self) -> FloatArray:
        """Phi."""
        return self.evaluation.phi

    @property
    def free_gradient(self) -> FloatArray:
        """The gradient without what only a bound keeps from vanishing."""
        lower = self.objective.lower
        if lower is None:
            return self.gradient
        return np.where((self.point <= lower) & (self.gradient > 0.0), 0.0, self.gradient)

    @cached_property
    def curvature(self) -> Curvature:
        """Second derivatives of the criterion."""
        if self.known_curvature is not None:
            return self.known_curvature
        o = self.objective
        return curvature(self.evaluation, o.plan, o.stats, degrees(o.stats, o.REML).df)

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives of the objective."""
        H = self.curvature.hessian
        return H if self.penalty_curvature is None else H + np.diag(self.penalty_curvature)

    @cached_property
    def escape(self) -> Escape:
        """The direction of largest decrease if this is a stationary point on the boundary."""
        if self.penalty_curvature is not None:  # T is never singular: the gradient says it all
            return NO_ESCAPE
        return best_escape(self.evaluation, self.objective.plan, self.curvature.information)

    @property
    def escape_gain(self) -> float:
        """Decrease of the objective that the escape direction promises."""
        return self.escape.gain


def descend_stepwise(
    objective: Objective, phi: FloatArray, tolerance: float, max_evaluations: int
) -> Descent[ObjectiveAt]:
    """Descend from `phi`, one evaluation after the other."""
    descent = minimize(
        objective.at,
        objective.at(phi),
        tolerance=tolerance,
        max_evaluations=max_evaluations - 1,
        lower=objective.lower,
        relative=objective.stats.row_blocks is not None,
    )
    return replace(
        descent,
        evaluations=descent.evaluations + 1,
        converged=descent.converged and _scales_are_settled(descent.best),
    )


def _scales_are_settled(here: ObjectiveAt) -> bool:
    """Whether no term's standard deviations, all multiplied by a number, promise a decrease.

    The second derivative along that is at most twice the number of random effects. Newton's method
    takes it from the Hessian, whose digits other directions may have used up.
    """
    plan, at = here.objective.plan, 0
    for s in plan.shapes:
        own = slice(at, at + s.count - len(s.structure.parameters(s.k)))
        slope = float(here.gradient[own] @ here.point[own])
        if slope**2 > _SETTLED * 4.0 * here.objective.stats.q:
            return False
        at += s.count
    return True


@once_per_plan
def lower_bounds(plan: Plan) -> FloatArray | None:
    """Zero for standard deviations whose sign matters; None where there is no bound."""
    marks = np.concatenate([s.structure.signed(s.k, s.hom) for s in plan.shapes])
    return np.where(marks, 0.0, -np.inf) if marks.any() else None


def _descend_compiled(
    objective: Objective, phi: FloatArray, tolerance: float, max_evaluations: int
) -> Descent[ObjectiveAt]:
    found = fused.descend_compiled(
        objective.plan,
        objective.stats,
        phi,
        degrees(objective.stats, objective.REML),
        tolerance=tolerance,
        max_evaluations=max_evaluations,
    )
    best = _arrived(objective, found) if math.isfinite(found.value) else objective.at(found.phi)
    resolved = max(RESOLVED, rounding(best.value))
    return Descent(
        best=best,
        evaluations=found.evaluations,
        predicted=found.promised,
        converged=found.status == fused.CONVERGED or found.promised <= resolved,
        path=found.path,
    )


def _arrived(objective: Objective, found: fused.FusedDescent) -> ObjectiveAt:
    """The objective where a fused descent ended, from what it worked out there."""
    at, none = found.at, np.empty(0)
    half = Half(panels=at.panels, N=at.N, H=at.H, B=at.B, b=at.b, own=at.own, cross=none, Hc=none)
    sums = Eliminated(logdet=at.logdet, S=at.S, info=at.info, BB=at.BB, chain=(half,), dense=None)
    evaluation = Evaluation(
        phi=found.phi,
        criterion=found.value,
        gradient=at.gradient,
        T=at.T,
        M=at.M,
        r2=at.r2,
        v=at.v,
        S_inverse=at.inverse,
        state=mirrored(sums, objective.stats.parts),
    )
    return ObjectiveAt(
        objective=objective,
        evaluation=evaluation,
        value=found.value,
        gradient=at.gradient,
        known_curvature=Curvature(hessian=found.hessian, information=found.information),
    )


type Route = Callable[[Objective, FloatArray, float, int], Descent[ObjectiveAt]]

ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "orthogonal": descend_stepwise,
        "NumPy sweeps": descend_stepwise,
        "compiled sweeps": descend_stepwise,
        "compiled descent": _descend_compiled,
    }
)
