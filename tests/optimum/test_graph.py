"""The PyTensor graph of the criterion: its value, its gradient, and what users add to it."""

from __future__ import annotations

import numpy as np
import pytensor
import pytest
from designs import FORMULAS, design

from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.graph import MODE, criterion_graph
from nestedmlm.statistics.crossproducts import cross_products


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", FORMULAS)
def test_the_graph_has_the_numbers_of_the_optimizer(kind, REML) -> None:
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = start_phi(plan) + 0.3 * np.random.default_rng(5).normal(size=plan.n_theta)
    value, gradient = criterion_graph(plan, stats, REML).compiled()(phi)
    expected = evaluate(phi, plan, stats, REML)
    assert float(value) == pytest.approx(expected.criterion, rel=1e-13)
    size = np.abs(expected.gradient).max()
    np.testing.assert_allclose(gradient, expected.gradient, rtol=1e-9, atol=1e-9 * size)


def test_a_penalty_of_ones_own_is_differentiated_with_it() -> None:
    d = design("slope")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    graph = criterion_graph(plan, stats, True)
    total = graph.criterion + 3.0 * (graph.phi**2).sum()
    function = pytensor.function([graph.phi], pytensor.grad(total, graph.phi), mode=MODE)
    phi = start_phi(plan)
    expected = evaluate(phi, plan, stats, True).gradient + 6.0 * phi
    np.testing.assert_allclose(function(phi), expected, rtol=1e-9, atol=1e-9)
