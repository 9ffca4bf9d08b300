"""Leaf levels go first: the same criterion, derivatives and fits as with the whole dense block."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.elimination import leaves, visit
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.statistics import leaf_levels
from nestedmlm.statistics.crossproducts import cross_products

FORMULAS = {
    "intercepts": "y ~ x + (1 | user) + (1 | forum)",
    "slopes": "y ~ x + (x | user) + (x | forum)",
    "chain": "y ~ x + (1 | user) + (x | forum) + (1 | site)",
    "three": "y ~ x + (1 | user) + (1 | forum) + (1 | day)",
    "structured": "y ~ x + cs(0 + a | user) + (x | forum)",
}


@pytest.fixture(scope="module")
def ratings():
    """Most users wrote once; some forums have no user who did, some have no other."""
    rng = np.random.default_rng(2)
    user, forum = [], []
    for f in range(60):
        once = int(rng.integers(1, 4)) if f % 4 == 1 else 0
        user += [f"once{f}-{i}" for i in range(once)]
        forum += [f] * once
        many = [] if f % 8 == 1 else rng.choice(9, size=2, replace=False)
        for u in many:
            user += [f"u{u}"] * 2
            forum += [f] * 2
    n = len(user)
    d = pd.DataFrame({"user": user, "forum": np.array(forum), "x": rng.normal(size=n)})
    d["site"], d["day"] = d["forum"] // 12, rng.integers(0, 4, n)
    d["a"] = rng.choice(["p", "q"], n)
    d["w"] = rng.uniform(0.5, 2.0, n)
    effects = {
        g: dict(zip(d[g].unique(), rng.normal(size=n), strict=False)) for g in ("user", "forum")
    }
    d["y"] = d["x"] + sum(d[g].map(effects[g]) for g in effects) + rng.normal(size=n)
    return d.sample(frac=1.0, random_state=1, ignore_index=True)


@pytest.fixture
def from_few(monkeypatch):
    monkeypatch.setattr(leaf_levels, "LARGE_COLUMNS", 2)


def both(formula, data, weights=None):
    design = nm.Model(formula, data, weights=weights).design
    stats = cross_products(design)
    moved = leaf_levels.with_leaves(stats)
    assert moved.leaves is not None
    return design, stats, moved


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("name", FORMULAS)
def test_criterion_and_derivatives(from_few, ratings, name, weights):
    design, stats, moved = both(FORMULAS[name], ratings, weights)
    inner = moved.leaves.stats
    assert len(inner.crossed.Q) < 0.8 * len(stats.crossed.Q)
    plan = make_plan(design, stats)
    phi = start_phi(plan) * np.linspace(0.6, 1.3, plan.n_theta) + 0.05
    for REML in (True, False):
        one, two = (evaluate(phi, plan, s, REML) for s in (stats, moved))
        assert isinstance(two.state, leaves.LeavesEliminated)
        assert two.criterion == pytest.approx(one.criterion, rel=1e-13)
        np.testing.assert_allclose(two.gradient, one.gradient, rtol=1e-9, atol=1e-9)
        first, second = (curvature(ev, plan, s, 50.0) for ev, s in ((one, stats), (two, moved)))
        np.testing.assert_allclose(second.information, first.information, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(second.hessian, first.hessian, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMULAS)
def test_random_effects_are_in_their_places(from_few, ratings, name):
    design, stats, moved = both(FORMULAS[name], ratings)
    plan = make_plan(design, stats)
    one, two = (evaluate(start_phi(plan), plan, s, True).state for s in (stats, moved))
    for whole, found in zip(
        elimination.solve(stats, one), elimination.solve(moved, two), strict=True
    ):
        np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-10)


def test_what_else_is_asked_comes_from_the_whole_block(from_few, ratings):
    design, stats, moved = both(FORMULAS["slopes"], ratings)
    plan = make_plan(design, stats)
    one, two = (evaluate(start_phi(plan), plan, s, True).state for s in (stats, moved))
    np.testing.assert_allclose(two.dense.G, one.dense.G, rtol=1e-12)
    for a, b in zip(
        visit.level_information(stats, one), visit.level_information(moved, two), strict=True
    ):
        np.testing.assert_allclose(b, a, rtol=1e-12)
    F = np.random.default_rng(0).normal(size=(stats.q, 3))
    np.testing.assert_allclose(
        elimination.gram(moved, two, F), elimination.gram(stats, one, F), rtol=1e-12
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_fits_are_the_same(ratings, name, monkeypatch):
    apart = nm.lmer(FORMULAS[name], ratings)
    monkeypatch.setattr(leaf_levels, "LARGE_COLUMNS", 2)
    fit = nm.lmer(FORMULAS[name], ratings)
    assert isinstance(fit.solution.state, leaves.LeavesEliminated)
    assert fit.converged and fit.criterion == pytest.approx(apart.criterion, abs=1e-9)
    pd.testing.assert_frame_equal(fit.ranef(), apart.ranef(), rtol=1e-5, atol=1e-5)
    pd.testing.assert_frame_equal(fit.tidy(), apart.tidy(), rtol=1e-5)
    again = pickle.loads(pickle.dumps(fit))
    pd.testing.assert_frame_equal(again.ranef(), fit.ranef())


def test_a_response_of_its_own_is_not_answered_from_the_old_sums(from_few, ratings):
    fit = nm.lmer(FORMULAS["intercepts"], ratings)
    other = ratings.assign(y=ratings["y"] ** 2)
    refit = fit.refit(other["y"])
    assert refit.criterion == pytest.approx(
        nm.lmer(FORMULAS["intercepts"], other).criterion, abs=1e-8
    )


def test_nothing_is_moved_where_little_would_be_gained(ratings):
    design = nm.Model(FORMULAS["intercepts"], ratings).design
    stats = cross_products(design)
    assert leaf_levels.with_leaves(stats) is stats
