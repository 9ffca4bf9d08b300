"""What is minimised, as the trust-region method sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.optimum import fused
from nestedmlm.optimum.certificate import NO_ESCAPE, Escape, best_escape
from nestedmlm.optimum.curvature import Curvature, curvature, free_entries
from nestedmlm.optimum.evaluation import Evaluation, evaluate
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
    """

    plan: Plan
    stats: CrossProducts
    REML: bool
    penalty: Penalty | None = None

    def local(self, phi: FloatArray) -> Model:
        """Evaluate; second-order information follows when it is asked for."""
        plan, stats, df = self.plan, self.stats, degrees(self.stats, self.REML)[0]
        ev = evaluate(phi, plan, stats, self.REML)
        return self._model(ev, cache(lambda: curvature(ev, plan, stats, df)))

    def descend(self, phi: FloatArray, *, tolerance: float, max_evaluations: int) -> Descent[State]:
        """Descend from `phi`; in one compiled function where that has repaid compiling it."""
        if self.penalty is None and fused.applies(self.plan, self.stats) and fused.ready():
            return self._fused_descent(phi, tolerance, max_evaluations)
        with fused.counted():
            descent = minimize(
                self.local,
                self.local(phi),
                tolerance=tolerance,
                max_evaluations=max_evaluations - 1,
            )
        return replace(descent, evaluations=descent.evaluations + 1)

    def _fused_descent(
        self, phi: FloatArray, tolerance: float, max_evaluations: int
    ) -> Descent[State]:
        (block,), F = self.stats.blocks, self.stats.F
        status, used, _, point, _, _, promised = fused.compiled_descent()(
            block.shape, block.parent, block.starts, block.panels, F, linear_map(self.plan),
            free_entries(self.plan).array, phi, *degrees(self.stats, self.REML), tolerance,
            max_evaluations, RADIUS,
        )  # fmt: skip
        best = self.local(point)
        resolved = max(RESOLVED, rounding(best.value))
        converged = status == fused.CONVERGED or promised <= resolved
        return Descent(best=best, evaluations=used + 1, predicted=promised, converged=converged)

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
