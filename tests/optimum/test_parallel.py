"""Block by block on several threads: the same numbers, whatever the number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from nestedmlm.covariance.parameters import make_plan, start_phi
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.optimum import parallel
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import compiled_route, evaluate
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.optimize import optimize
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import FORMULAS, design


def parts(kind: str):
    d = design(kind, weighted=True)
    stats = cross_products(d)
    return make_plan(d, stats), stats


NESTED = [kind for kind in FORMULAS if compiled_route(*parts(kind))]


@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("kind", NESTED)
def test_blocks_hold_every_node_once_and_whole_families(kind: str, count: int) -> None:
    _, stats = parts(kind)
    tree, blocks = stats.tree, parallel.node_blocks(stats, count)
    for i in range(len(tree.K)):
        nodes = np.concatenate([np.arange(b[i], e[i]) for b, e in blocks])
        np.testing.assert_array_equal(nodes, np.arange(tree.first[i], tree.first[i + 1]))
    for begin, end in blocks:
        for i in range(len(tree.K) - 1):
            up = tree.parent[begin[i] : end[i]]
            assert np.all((up >= begin[i + 1]) & (up < end[i + 1]))


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", NESTED)
def test_same_numbers_as_in_one_sweep(kind: str, REML: bool) -> None:
    plan, stats = parts(kind)
    phi = start_phi(plan) + 0.2 * np.random.default_rng(1).normal(size=plan.n_theta)
    df = degrees(stats, REML)[0]
    blocks = parallel.node_blocks(stats, 5)
    whole, cut = (
        evaluate(phi, plan, stats, REML),
        parallel.evaluate_blocks(phi, plan, stats, REML, blocks),
    )
    assert cut.criterion == pytest.approx(whole.criterion, rel=1e-13)
    np.testing.assert_allclose(cut.gradient, whole.gradient, rtol=1e-9, atol=1e-9)
    one = curvature(whole, plan, stats, df)
    other = parallel.curvature_blocks(cut, plan, stats, df, blocks)
    np.testing.assert_allclose(other.hessian, one.hessian, rtol=1e-9, atol=1e-8)


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def test_threads_do_not_change_a_bit(threads) -> None:
    plan, stats = parts("nested chain of two")
    objective = Objective(plan=plan, stats=stats, REML=True, blocks=parallel.node_blocks(stats))
    results = []
    for number in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(number)
        results.append(objective.local(start_phi(plan)))
    one, two = results
    assert one.value == two.value
    np.testing.assert_array_equal(one.gradient, two.gradient)
    np.testing.assert_array_equal(one.hessian(), two.hessian())


def test_large_designs_take_this_route(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, stats = parts("nested chain of three")
    small = optimize(plan, stats, REML=True)
    assert parallel.large_blocks(plan, stats) is None
    monkeypatch.setattr(parallel, "LARGE", 1)
    large = optimize(plan, stats, REML=True)
    assert large.certificate.holds
    assert large.evaluation.criterion == pytest.approx(small.evaluation.criterion, abs=1e-8)
