"""The criterion and its gradient at given parameters, against the dense twin."""

from __future__ import annotations

import numpy as np
import pytest

from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.likelihood import elimination, pls
from nestedmlm.likelihood.plan import make_plan, phi_of_theta, start_phi, theta_of_phi
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import FORMULAS, central_difference, data, design

KINDS = list(FORMULAS)


def random_phi(plan, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return start_phi(plan) * rng.uniform(0.2, 1.5) + rng.normal(size=plan.n_theta) * 0.3


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_dense_twin(kind: str, weighted: bool, REML: bool) -> None:
    d = design(kind, weighted=weighted, offset=weighted)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    for seed in range(3):
        phi = random_phi(plan, seed)
        theta = theta_of_phi(phi, plan, stats)
        phi = phi_of_theta(theta, plan, stats)
        expected = pls.dense_criterion(d, relative_factors(theta, plan.shapes), REML=REML)
        graph = evaluate(phi, plan, stats, REML).criterion
        direct = results_at(d, theta, REML=REML)
        reported = direct.reml_criterion if REML else direct.deviance
        assert graph == pytest.approx(expected, rel=1e-9)
        assert reported == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_central_differences(kind: str, REML: bool) -> None:
    d = design(kind, weighted=kind == "crossed")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    for seed in range(10):
        phi = random_phi(plan, seed)
        exact = evaluate(phi, plan, stats, REML).gradient
        numeric = central_difference(
            lambda p: evaluate(p, plan, stats, REML).criterion, phi, step=3e-4
        )
        assert np.max(np.abs(exact - numeric)) < 1e-6 * np.max(np.abs(numeric))


@pytest.mark.parametrize("kind", ["slope", "nested chain of two", "crossed"])
def test_gradient_is_exact_where_a_column_of_T_is_zero(kind: str) -> None:
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = random_phi(plan, 0)
    phi[-1] = 0.0
    ev = evaluate(phi, plan, stats, True)
    assert ev.gradient[-1] == 0.0
    numeric = central_difference(lambda p: evaluate(p, plan, stats, True).criterion, phi, step=3e-4)
    assert np.max(np.abs(ev.gradient - numeric)) < 1e-6 * np.max(np.abs(numeric))


@pytest.mark.parametrize("kind", KINDS)
def test_solution_solves_the_mixed_model_equations(kind: str) -> None:
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    theta = theta_of_phi(random_phi(plan, 1), plan, stats)
    s = results_at(d, theta)
    e = d.y - s.fitted
    assert d.X.T @ (d.weights * e) == pytest.approx(np.zeros(d.p), abs=1e-8)
    for Z, T, b in zip(pls.dense_z(d), s.T, s.b, strict=True):
        # b = T T' Z'W e within every level
        right = (Z.T @ (d.weights * e)).reshape(b.shape) @ (T @ T.T).T
        assert b == pytest.approx(right, abs=1e-8)
    assert s.discrepancy < 1e-10


@pytest.mark.parametrize("kind", ["nested chain of three", "crossed", "nested within crossed"])
def test_conditional_covariances(kind: str) -> None:
    from nestedmlm.likelihood.solution import conditional_covariances

    d = design(kind, weighted=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    s = results_at(d, theta_of_phi(random_phi(plan, 2), plan, stats))
    Zs = pls.dense_z(d)
    Z = np.hstack(Zs)
    blocks = [np.kron(np.eye(Zi.shape[1] // len(T)), T) for Zi, T in zip(Zs, s.T, strict=True)]
    Lambda = np.zeros((Z.shape[1],) * 2)
    at = 0
    for B in blocks:
        Lambda[at : at + len(B), at : at + len(B)] = B
        at += len(B)
    M = Lambda.T @ (Z.T * d.weights) @ Z @ Lambda + np.eye(len(Lambda))
    expected = s.sigma**2 * Lambda @ np.linalg.solve(M, Lambda.T)
    at = 0
    for cov in conditional_covariances(s, d):
        J, k, _ = cov.shape
        for g in range(J):
            rows = slice(at + g * k, at + (g + 1) * k)
            assert cov[g] == pytest.approx(expected[rows, rows], rel=1e-7, abs=1e-10)
        at += J * k


@pytest.mark.parametrize("kind", ["nested within crossed", "crossed without fixed effects"])
def test_elimination_leaves_its_input_alone(kind: str) -> None:
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    held = [stats.blocks[0].panels, stats.crossed.values, stats.crossed.Q, stats.crossed.R, stats.F]
    before = [a.copy() for a in held]
    T = np.ones(sum(k * k for k in plan.widths))
    state = elimination.eliminate(T, stats)
    elimination.adjoint(state, 1.0, state.S)
    elimination.solve(stats, state)
    elimination.gram(stats, state, np.eye(stats.q)[:, :2])
    for a, b in zip(held, before, strict=True):
        assert np.array_equal(a, b)


def test_chain_is_found_from_the_codes() -> None:
    d = design("chain of three within crossed")
    stats = cross_products(d)
    names = [d.factors[f].name for f in stats.order.chain]
    assert names == ["f1", "f2", "f3"]
    assert {d.factors[f].name for f in stats.order.trailing} == {"c1", "c2"}


def test_wide_crossed_blocks() -> None:
    # every level of the first factor meets more than 48 columns of the other: matrix products
    rng = np.random.default_rng(9)
    rows = data(n=1200)
    rows["subject"] = np.repeat(np.arange(30), 40)
    rows["item"] = np.tile(np.arange(20), 60)
    rows["y"] = rows.y + rng.normal(size=20)[rows.item]
    d = build_design("y ~ x + (x + z | subject) + (x + z | item)", rows, weights="w")
    stats = cross_products(d)
    first = stats.crossed.entries.first
    assert (first[1] - first[0]) / stats.parts[0].levels >= 48
    plan = make_plan(d, stats)
    theta = theta_of_phi(random_phi(plan, 0), plan, stats)
    phi = phi_of_theta(theta, plan, stats)
    expected = pls.dense_criterion(d, relative_factors(theta, plan.shapes), REML=True)
    ev = evaluate(phi, plan, stats, True)
    assert ev.criterion == pytest.approx(expected, rel=1e-9)
    numeric = central_difference(lambda p: evaluate(p, plan, stats, True).criterion, phi, 3e-4)
    assert np.max(np.abs(ev.gradient - numeric)) < 1e-6 * np.max(np.abs(numeric))
