"""What is minimised, as the trust-region method sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.parameters import Plan, linear_map
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.optimum.certificate import NO_ESCAPE, Escape, best_escape
from nestedmlm.optimum.curvature import Curvature, curvature, free_entries
from nestedmlm.optimum.descent import CONVERGED, SADDLE, descend
from nestedmlm.optimum.evaluation import (
    Evaluation,
    compiled_route,
    evaluate,
    evaluation_of,
)
from nestedmlm.optimum.parallel import Block, curvature_blocks, evaluate_blocks
from nestedmlm.optimum.penalty import Penalty, penalty_terms
from nestedmlm.optimum.quadratic import RESOLVED, rounding
from nestedmlm.optimum.trust_region import RADIUS, Descent, LocalModel, minimize
from nestedmlm.statistics.crossproducts import CrossProducts

type State = tuple[Evaluation, Callable[[], Escape]]
type Model = LocalModel[State]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """The criterion of one model, with its penalty.

    Attributes
    ----------
    plan, stats : Plan, CrossProducts
    REML : bool
    penalty : Penalty or None
    blocks : list of blocks or None
        Evaluate block by block on several threads (`nestedmlm.optimum.parallel`).
    """

    plan: Plan
    stats: CrossProducts
    REML: bool
    penalty: Penalty | None = None
    blocks: list[Block] | None = None

    def local(self, phi: FloatArray) -> Model:
        """Evaluate; second-order information follows when it is asked for."""
        phi = np.ascontiguousarray(phi, dtype=np.float64)
        plan, stats, df = self.plan, self.stats, degrees(self.stats, self.REML)[0]
        if self.blocks is None:
            ev = evaluate(phi, plan, stats, self.REML)
            return self._model(ev, cache(lambda: curvature(ev, plan, stats, df)))
        ev = evaluate_blocks(phi, plan, stats, self.REML, self.blocks)
        return self._model(ev, cache(lambda: curvature_blocks(ev, plan, stats, df, self.blocks)))

    def descend(self, phi: FloatArray, *, tolerance: float, max_evaluations: int) -> Descent[State]:
        """Descend from `phi`; in one compiled call where that is possible."""
        compiled = compiled_route(self.plan, self.stats)
        if compiled and self.penalty is None and self.blocks is None:
            return self._compiled_descent(phi, tolerance, max_evaluations)
        descent = minimize(
            self.local, self.local(phi), tolerance=tolerance, max_evaluations=max_evaluations - 1
        )
        return replace(descent, evaluations=descent.evaluations + 1)

    def _compiled_descent(
        self, phi: FloatArray, tolerance: float, max_evaluations: int
    ) -> Descent[State]:
        degrees_of_freedom = degrees(self.stats, self.REML)
        pairs = free_entries(self.plan).array
        used, leave_saddle = 0, False
        while True:
            status, spent, promised, phi, value, hessian, information, here = descend(
                self.stats.tree, self.stats.sums, linear_map(self.plan), pairs, phi,
                *degrees_of_freedom, tolerance, max_evaluations - used, RADIUS, leave_saddle,
            )  # fmt: skip
            used += spent
            ev = evaluation_of(phi, here, self.stats, degrees_of_freedom[2])
            second = Curvature(hessian=hessian, information=information)
            best = self._model(ev, lambda second=second: second)
            if status != SADDLE or best.escape() <= tolerance or used >= max_evaluations:
                break
            leave_saddle = True
        resolved = max(RESOLVED, rounding(value))
        converged = status in (CONVERGED, SADDLE) or promised <= resolved
        return Descent(best=best, evaluations=used, predicted=promised, converged=converged)

    def _model(self, ev: Evaluation, second_order: Callable[[], Curvature]) -> Model:
        value, gradient, bend = ev.criterion, ev.gradient, None
        if self.penalty is not None:
            extra, slope, bend = penalty_terms(ev.phi, self.plan, self.penalty)
            value, gradient = value + extra, gradient + slope

        def hessian() -> FloatArray:
            H = second_order().hessian
            return H if bend is None else H + np.diag(bend)

        def escape() -> Escape:
            if self.penalty is not None:  # T is never singular: the gradient says it all
                return NO_ESCAPE
            return best_escape(ev, self.plan, second_order().information)

        return LocalModel(
            point=ev.phi,
            value=value,
            gradient=gradient,
            hessian=hessian,
            escape=lambda: escape().gain,
            state=(ev, escape),
        )
