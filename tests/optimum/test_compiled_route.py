"""The compiled route against the PyTensor graph, and its descent against the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from nestedmlm.covariance.parameters import make_plan, start_phi
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.optimum.curvature import curvature_compiled, curvature_general
from nestedmlm.optimum.evaluation import compiled_route, evaluate_compiled, evaluate_graph
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.trust_region import minimize
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import FORMULAS, design


def parts(kind: str, *, weighted: bool = True):
    d = design(kind, weighted=weighted, offset=weighted)
    stats = cross_products(d)
    return make_plan(d, stats), stats


NESTED = [kind for kind in FORMULAS if compiled_route(*parts(kind))]


def test_there_are_designs_for_both_routes() -> None:
    assert 3 < len(NESTED) < len(FORMULAS)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", NESTED)
def test_same_numbers_as_the_graph(kind: str, REML: bool) -> None:
    plan, stats = parts(kind)
    rng = np.random.default_rng(5)
    df = degrees(stats, REML)[0]
    for zero in (False, True):
        phi = start_phi(plan) + 0.3 * rng.normal(size=plan.n_theta)
        if zero:
            phi[-1] = 0.0
        one, other = (f(phi, plan, stats, REML) for f in (evaluate_compiled, evaluate_graph))
        assert one.criterion == pytest.approx(other.criterion, rel=1e-13)
        assert one.r2 == pytest.approx(other.r2, rel=1e-12)
        for name in ("gradient", "T", "M", "v", "S_inverse"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9, err_msg=name
            )
        for name in ("S", "panels", "G"):
            np.testing.assert_array_equal(getattr(one.state, name), getattr(other.state, name))
        second = curvature_compiled(one, plan, stats, df)
        general = curvature_general(other, plan, stats, df)
        for name in ("information", "hessian"):
            np.testing.assert_allclose(
                getattr(second, name), getattr(general, name), rtol=1e-8, atol=1e-8, err_msg=name
            )


@pytest.mark.parametrize("kind", NESTED)
def test_descends_as_the_plain_method_does(kind: str) -> None:
    plan, stats = parts(kind)
    objective = Objective(plan=plan, stats=stats, REML=True)
    phi = start_phi(plan)
    one = objective.descend(phi, tolerance=1e-12, max_evaluations=200)
    other = minimize(objective.local, objective.local(phi), tolerance=1e-12, max_evaluations=200)
    assert one.converged and other.converged
    assert one.evaluations == other.evaluations + 1
    assert one.best.value == pytest.approx(other.best.value, abs=1e-9)
    np.testing.assert_allclose(one.best.point, other.best.point, atol=1e-6)


def test_a_factor_that_cannot_be_factored_is_no_number() -> None:
    plan, stats = parts(NESTED[0])
    phi = np.full(plan.n_theta, 1e200)
    with np.errstate(all="ignore"):
        assert not np.isfinite(evaluate_compiled(phi, plan, stats, True).criterion)
