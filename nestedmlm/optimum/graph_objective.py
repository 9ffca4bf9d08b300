"""`GraphObjective`: the criterion and its gradient from a compiled PyTensor graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.evaluation import Evaluation, evaluate
from nestedmlm.optimum.objective import Objective, ObjectiveAt, descend_stepwise
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.trust_region import Descent
from nestedmlm.statistics.crossproducts import CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphObjective(Objective):
    """The criterion of one model as its PyTensor graph computes it.

    Value and gradient are the graph's; second derivatives, which it does not have, are the average
    information.

    Attributes
    ----------
    function : callable (phi) -> (criterion, gradient)
        Compiled for this objective alone: compiled functions share storage, and fits in threads
        must not.
    """

    function: Callable[[FloatArray], Any]

    def evaluate(self, phi: FloatArray) -> Evaluation:
        """The graph's criterion and gradient, with the state that second derivatives need."""
        value, gradient = self.function(phi)
        found = evaluate(phi, self.plan, self.stats, self.REML)
        return replace(found, criterion=float(value), gradient=gradient.copy())

    @property
    def route(self) -> str:
        """Name of the way to descend."""
        return "PyTensor graph"

    def descend(
        self, phi: FloatArray, *, tolerance: float, max_evaluations: int
    ) -> Descent[ObjectiveAt]:
        """Descend from `phi` evaluation by evaluation."""
        return descend_stepwise(self, phi, tolerance, max_evaluations)


def graph_objective(
    *, plan: Plan, stats: CrossProducts, REML: bool, penalty: Penalty | None
) -> GraphObjective:
    """Compile the graph of a model's criterion for one fit."""
    from nestedmlm.optimum.graph import criterion_graph  # PyTensor loads late

    function = criterion_graph(plan, stats, REML).compiled()
    return GraphObjective(plan=plan, stats=stats, REML=REML, penalty=penalty, function=function)
