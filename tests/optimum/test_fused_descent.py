"""The descent that is compiled whole against evaluations and descents in NumPy."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum import fused
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.optimize import optimize
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import design

KINDS = ("slope", "several terms on one factor", "nested chain of two", "no fixed effects", "diag")


@pytest.fixture(autouse=True)
def _as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "compiled_descent", cache(lambda: fused.descend))


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_a_point_are_those_of_an_evaluation(kind: str, REML: bool) -> None:
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan, of_criterion = make_plan(d, stats), degrees(stats, REML)
    assert fused.applies(plan, stats)
    phi = np.random.default_rng(4).normal(size=plan.n_theta)
    found = fused.descend_compiled(plan, stats, phi, of_criterion, tolerance=0.0, max_evaluations=1)
    assert (found.status, found.evaluations) == (fused.EXHAUSTED, 1)
    here = evaluate(phi, plan, stats, REML)
    second = curvature(here, plan, stats, of_criterion.df)
    assert found.value == pytest.approx(here.criterion, rel=1e-12)
    assert found.at.r2 == pytest.approx(here.r2, rel=1e-10)
    p = stats.p
    for given, expected in (
        (found.at.gradient, here.gradient),
        (found.at.v, here.v),
        (found.at.inverse[:p, :p], here.S_inverse[:p, :p]),
        (found.hessian, second.hessian),
        (found.information, second.information),
    ):
        scale = 1e-9 * (1.0 + np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(given, expected, atol=scale)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_where_other_descents_end(kind: str) -> None:
    """By itself: callers have what did not converge descend in another way."""
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    found = fused.descend_compiled(
        plan, stats, start_phi(plan), degrees(stats, True), tolerance=1e-8, max_evaluations=60
    )
    expected = optimize(plan, stats, REML=True).evaluation.criterion
    assert found.status in (fused.CONVERGED, fused.ROUNDING)
    assert found.value == pytest.approx(expected, abs=1e-7)
    assert found.evaluations <= 40
    assert list(found.path) == sorted(found.path, reverse=True)
    assert found.path[-1] == found.value
