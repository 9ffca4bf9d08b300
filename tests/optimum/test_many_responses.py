"""Criterion and gradient of many responses swept together against those of one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination.response_points import response_data
from nestedmlm.likelihood.plan import linear_map, make_plan, start_phi
from nestedmlm.optimum.certificate import best_escape
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.many_responses import escape_gains
from nestedmlm.optimum.response_descents import descend_together
from nestedmlm.optimum.response_objective import ResponseObjective, serves
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.responses import responses
from tests.designs import FORMULAS, design, simulated_responses

LINEAR = [kind for kind in FORMULAS if kind not in ("compound symmetry", "autoregressive")]


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", LINEAR)
def test_each_response_at_its_own_point(kind: str, REML: bool) -> None:
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    assert serves(plan, stats)
    rng = np.random.default_rng(5)
    Y = d.y[:, None] + rng.normal(size=(d.n, 5)) * [0.1, 1.0, 3.0, 10.0, 1.0]
    given = responses(d, stats, Y)
    phi = rng.normal(size=(5, plan.n_theta))
    phi[3] = 0.0
    lanes = np.array([3, 0, 4])
    data = response_data(given, np.arange(5))
    objective = ResponseObjective(plan=plan, stats=stats, data=data, degrees=degrees(stats, REML))
    found = objective.of(lanes).at(phi[lanes])
    for i, j in enumerate(lanes.tolist()):
        one = evaluate(phi[j], plan, given.statistics(j), REML)
        assert found.value[i] == pytest.approx(one.criterion, rel=1e-12)
        scale = 1e-9 * (1.0 + np.abs(one.gradient).max())
        np.testing.assert_allclose(found.gradient[i], one.gradient, atol=scale)
        np.testing.assert_allclose(found.M[i], one.M, atol=1e-9 * (1.0 + np.abs(one.M).max()))
        np.testing.assert_allclose(found.v[i], one.v, atol=1e-9)
        np.testing.assert_allclose(found.inverse[i], one.S_inverse[:-1, :-1], atol=1e-10)
        assert found.r2[i] == pytest.approx(one.r2, rel=1e-10)


@pytest.mark.parametrize("kind", ["slope", "nested chain of two", "diag"])
def test_what_a_term_may_gain_is_what_the_certificate_of_one_fit_says(kind: str) -> None:
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    rng = np.random.default_rng(3)
    Y = simulated_responses(d, 12)
    given = responses(d, stats, Y)
    phi = np.where(rng.random((12, plan.n_theta)) < 0.6, 0.0, 0.3)
    objective = ResponseObjective(
        plan=plan,
        stats=stats,
        data=response_data(given, np.arange(12)),
        degrees=degrees(stats, True),
    )
    gains = escape_gains(objective, phi, objective.at(phi))
    expected = np.zeros(12)
    for j in range(12):
        one = evaluate(phi[j], plan, given.statistics(j), True)
        information = curvature(one, plan, stats, degrees(stats, True).df).information
        expected[j] = best_escape(one, plan, information).gain
    assert np.array_equal(gains > 0.0, expected > 0.0)
    assert 2 < np.sum(gains > 0.0)
    known = np.isfinite(gains) & (gains > 0.0)  # average information is not quite the curvature
    assert known.sum() > 2
    assert np.abs(np.log(gains[known] / expected[known])).max() < 1.5


@pytest.mark.parametrize("kind", ["slope", "crossed", "diag"])
def test_descents_end_at_optima_by_themselves(kind: str) -> None:
    """Whatever did not converge is fitted alone: only the number of evaluations would tell."""
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    given = responses(d, stats, simulated_responses(d, 6))
    data = response_data(given, np.arange(6))
    objective = ResponseObjective(plan=plan, stats=stats, data=data, degrees=degrees(stats, True))
    starts = np.repeat(start_phi(plan)[None], 6, axis=0)
    found = descend_together(objective, starts, tolerance=1e-8)
    assert found.converged.all()
    assert found.evaluations.max() < 80  # Newton's steps, each with n_theta differences
    assert np.abs(found.at.gradient).max() < 1e-2


def test_structures_whose_factor_is_not_linear_are_left_to_single_fits() -> None:
    d = design("autoregressive")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    assert not linear_map(plan).all()
    assert not serves(plan, stats)
