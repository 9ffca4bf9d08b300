"""Factors with a basis: their effects at the levels are ``basis @ v``, v independent."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.joint import design_rows, relative_variances
from nestedmlm.likelihood import elimination, pls
from nestedmlm.likelihood.elimination.points import eliminate_points
from nestedmlm.likelihood.plan import flat_of_theta, make_plan, start_phi, theta_of_phi
from nestedmlm.likelihood.solution import conditional_covariances, results_at
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.solve import solve
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import BASES, basis_design, central_difference, data


def at(d: Design, seed: int):
    stats = cross_products(d)
    plan = make_plan(d, stats)
    rng = np.random.default_rng(seed)
    return stats, plan, start_phi(plan) * rng.uniform(0.4, 1.5) + rng.uniform(size=plan.n_theta) / 4


SLOW = pytest.mark.slow  # the rest of the product


@pytest.mark.parametrize(
    ("REML", "weighted"),
    [(True, True), pytest.param(True, False, marks=SLOW), pytest.param(False, True, marks=SLOW),
     (False, False)],
)  # fmt: skip
@pytest.mark.parametrize("kind", BASES)
def test_equals_the_dense_twin(kind: str, REML: bool, weighted: bool) -> None:
    d = basis_design(kind, weighted=weighted)
    stats, plan, phi = at(d, 1)
    theta = theta_of_phi(phi, plan, stats)
    expected = pls.dense_criterion(d, relative_factors(theta, plan.shapes), REML=REML)
    found, s = evaluate(phi, plan, stats, REML), results_at(d, theta, REML=REML)
    assert found.criterion == pytest.approx(expected, rel=1e-10)
    assert (s.reml_criterion if REML else s.deviance) == pytest.approx(expected, rel=1e-10)
    numeric = central_difference(lambda p: evaluate(p, plan, stats, REML).criterion, phi, 1e-3)
    assert found.gradient == pytest.approx(numeric, abs=1e-7 * np.abs(numeric).max())
    assert s.discrepancy < 1e-10


@pytest.mark.parametrize("kind", BASES)
def test_effects_and_their_covariances(kind: str) -> None:
    d = basis_design(kind, weighted=True)
    stats, plan, phi = at(d, 2)
    s = results_at(d, theta_of_phi(phi, plan, stats))
    w, Zs, at_levels, blocks = d.weights, pls.dense_z(d), [], []
    for Z, term, T in zip(Zs, d.terms, s.T, strict=True):
        k, factor = len(T), d.factors[term.factor]
        blocks.append(np.kron(np.eye(Z.shape[1] // k), T))
        basis = np.eye(len(factor.levels)) if factor.basis is None else factor.basis
        at_levels.append(np.kron(basis, np.eye(k)))
    Z, sizes = np.hstack(Zs), np.cumsum([0, *(len(B) for B in blocks)])
    Lambda = np.zeros((Z.shape[1],) * 2)
    for low, high, B in zip(sizes[:-1], sizes[1:], blocks, strict=True):
        Lambda[low:high, low:high] = B
    ZL = Z @ Lambda
    V = np.diag(1 / w) + ZL @ ZL.T
    v = Lambda @ ZL.T @ np.linalg.solve(V, d.y - d.offset - d.X @ s.beta)
    C = Lambda @ np.linalg.solve(ZL.T @ (w[:, None] * ZL) + np.eye(len(Lambda)), Lambda.T)
    X = np.linalg.solve(V, d.X)
    D = d.X - Z @ (Lambda @ (ZL.T @ X))
    expected = np.einsum("ij,jk,ik->i", Z, C, Z)
    expected += np.einsum("ij,jk,ik->i", D, np.linalg.pinv(d.X.T @ X), D) if d.p else 0.0
    assert relative_variances(s, d.X, design_rows(d)) == pytest.approx(expected, rel=1e-8)
    found = conditional_covariances(s, d)
    for t, (low, high) in enumerate(pairwise(sizes)):
        assert s.b[t].ravel() == pytest.approx(at_levels[t] @ v[low:high], abs=1e-8)
        k = len(s.T[t])
        whole = s.sigma**2 * at_levels[t] @ C[low:high, low:high] @ at_levels[t].T
        for j, own in enumerate(found[t]):
            rows = slice(j * k, j * k + k)
            assert own == pytest.approx(whole[rows, rows], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("kind", BASES)
def test_points_at_once_equal_points_one_by_one(kind: str) -> None:
    d = basis_design(kind)
    stats, plan, phi = at(d, 3)
    T = np.array([flat_of_theta(theta_of_phi(phi * f, plan, stats), plan, stats) for f in (1, 2)])
    found = eliminate_points(T, stats)
    for own, logdet, S in zip(T, found.logdet, found.S, strict=True):
        e = elimination.eliminate(own, stats)
        assert logdet == pytest.approx(e.logdet, rel=1e-10)
        assert pytest.approx(e.S, rel=1e-9, abs=1e-9) == S


@pytest.mark.parametrize("kind", BASES)
def test_optimum_is_certified_and_no_lower_point_is_near(kind: str) -> None:
    d = basis_design(kind)
    found = solve(d, REML=True)
    assert found.certificate.holds
    s = found.solution
    for move in np.random.default_rng(0).normal(size=(2, len(s.theta))) * 0.05:
        T = relative_factors(s.theta + move, s.plan.shapes)
        assert pls.dense_criterion(d, T, REML=d.p > 0) > s.reml_criterion - 1e-9


def test_a_basis_of_one_is_no_basis() -> None:
    plain = build_design("y ~ x + z + (1 | f1)", data())
    one = replace(plain, factors=(replace(plain.factors[0], basis=np.eye(30)),))
    a, b = (solve(x, REML=True).solution for x in (plain, one))
    assert b.reml_criterion == pytest.approx(a.reml_criterion, rel=1e-12)
    assert b.b[0] == pytest.approx(a.b[0], abs=1e-8)


def test_units_of_a_basis_change_units_only() -> None:
    d = basis_design("several")
    scaled = replace(d, factors=tuple(
        f if f.basis is None else replace(f, basis=f.basis * 1e5) for f in d.factors
    ))  # fmt: skip
    a, b = (solve(x, REML=True).solution for x in (d, scaled))
    assert b.reml_criterion == pytest.approx(a.reml_criterion, rel=1e-12)
    assert b.fitted == pytest.approx(a.fitted, rel=1e-7)


def test_only_the_exact_elimination_knows_a_basis() -> None:
    with pytest.raises(OptionError, match="leave method= out"):
        cross_products(basis_design("several"), method="iterative")
