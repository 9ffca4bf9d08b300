"""The iterative elimination beside the exact one, at given relative factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from designs import ratings

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.elimination.conjugate_gradients import (
    conjugate_gradients,
    log_determinants,
)
from nestedmlm.likelihood.plan import flat_factors, make_plan, start_phi
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.statistics.crossproducts import cross_products

FORMULAS = [
    "y ~ x + (1 | u) + (1 | i)",
    "y ~ x + (x | u) + (x | i)",
    "y ~ x + (x | u) + (1 | i) + (1 | v)",
    "y ~ x + (1 | u) + (1 + x || i) + (1 | s)",
    "y ~ 0 + (1 | u) + (0 + x | i)",
]
PROBES = 400


def both(formula, shift=0.0):
    design = nm.Model(formula, ratings(1500, 120, 70), weights="w").design
    out = []
    for method in ("exact", "iterative"):
        stats = cross_products(design, method=method)
        if stats.sparse is not None:
            stats = replace(stats, sparse=replace(stats.sparse, probes=PROBES))
        plan = make_plan(design, stats)
        phi = start_phi(plan) * 0.6 + 0.2 * np.linspace(-1.0, 1.0, plan.n_theta) + shift
        out.append((stats, plan, elimination.eliminate(flat_factors(np, phi, plan), stats)))
    return design, *out


@pytest.mark.parametrize("formula", FORMULAS)
def test_quadratic_forms_are_exact(formula):
    design, (stats, plan, e), (sparse, sparse_plan, found) = both(formula)
    np.testing.assert_allclose(found.S, e.S, rtol=1e-10, atol=1e-10 * np.abs(e.S).max())
    v = np.linspace(-1.0, 1.0, len(e.S))
    for f in range(len(design.factors)):
        place, other = stats.factors.index(f), sparse.factors.index(f)
        one, two = stats.parts[place], sparse.parts[other]
        BB = one.matrix(e.BB)
        np.testing.assert_allclose(two.matrix(found.BB), BB, atol=1e-8 * np.abs(BB).max())
        for mine, theirs in zip(
            elimination.solve(stats, e), elimination.solve(sparse, found), strict=True
        ):
            levels = one.by_level(mine)[stats.level_order(place)]
            close = 1e-9 * max(1.0, np.abs(levels).max())
            np.testing.assert_allclose(
                two.by_level(theirs)[sparse.level_order(other)], levels, atol=close
            )
    exact = elimination.working_variates(stats, e, v, free_entries(plan).array)
    made = elimination.working_variates(sparse, found, v, free_entries(sparse_plan).array)
    values, others = (np.linalg.eigvalsh(x.gram) for x in (exact, made))
    np.testing.assert_allclose(others, values, rtol=1e-7)
    np.testing.assert_allclose(np.sort(made.Fe), np.sort(exact.Fe), rtol=1e-8)


@pytest.mark.parametrize("formula", FORMULAS)
def test_estimates_are_within_their_error(formula):
    design, (stats, _, e), (sparse, _, found) = both(formula)
    error = found.logdet_draws.std(ddof=1) / np.sqrt(PROBES)
    assert abs(found.logdet - e.logdet) < 4.0 * error < 0.01 * abs(e.logdet)
    for f in range(len(design.factors)):
        one, other = stats.parts[stats.factors.index(f)], sparse.factors.index(f)
        two, exact = sparse.parts[other], one.matrix(e.info)
        draws = found.info_draws[other][:, two.flat].reshape(PROBES, two.k, two.k)
        error = draws.std(axis=0, ddof=1) / np.sqrt(PROBES)
        scale = np.abs(exact).max()
        assert np.all(np.abs(two.matrix(found.info) - exact) < 4.5 * error + 1e-9 * scale)
        assert np.all(error < 0.01 * scale)


@pytest.mark.parametrize("zero", [0, 1])
def test_factors_of_zero(zero):
    design = nm.Model(FORMULAS[0], ratings(1500, 120, 70)).design
    stats = cross_products(design, method="iterative")
    exact = cross_products(design)
    T = np.array([0.8, 0.5])
    T[zero] = 0.0
    one, two = elimination.eliminate(T, exact), elimination.eliminate(T, stats)
    np.testing.assert_allclose(two.S, one.S, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(two.logdet, one.logdet, rtol=1e-3)
    np.testing.assert_allclose(two.info, one.info, rtol=0.02)


def test_conjugate_gradients_and_the_logarithm_of_a_determinant():
    rng = np.random.default_rng(2)
    A = rng.normal(size=(40, 60)) / 8.0
    S = np.eye(40) + A @ A.T
    S /= np.sqrt(np.outer(np.diag(S), np.diag(S)))  # a unit diagonal: the preconditioner is I
    signs = rng.integers(0, 2, size=(40, 500)) * 2.0 - 1.0
    rhs = np.concatenate([rng.normal(size=(40, 2)), np.zeros((40, 1)), signs], axis=1)
    found = conjugate_gradients(lambda x: S @ x, lambda r: r, rhs)
    np.testing.assert_allclose(S @ found.x, rhs, atol=1e-8)
    assert found.iterations[2] == 0
    draws = log_determinants(found, slice(3, 503), 40)
    error = draws.std(ddof=1) / np.sqrt(500)
    assert abs(draws.mean() - np.linalg.slogdet(S)[1]) < 4.0 * error
    # without the known first-order term the draws would scatter more
    assert draws.std() < np.einsum("qm,qm->m", signs, np.real(_log(S)) @ signs).std()


def _log(S):
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.log(values)) @ vectors.T


def test_what_does_not_converge():
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        conjugate_gradients(lambda x: -x + x**3, lambda r: r, np.ones((3, 1)) * np.nan)


def test_nested_factors_need_no_iterations():
    rows = ratings(1500, 120, 70)
    with pytest.raises(OptionError, match="nested in one another"):
        cross_products(nm.Model("y ~ x + (1 | s/u)", rows).design, method="iterative")


def test_exact_blocks_say_that_they_are_not_there():
    stats = cross_products(nm.Model(FORMULAS[0], ratings(1500, 120, 70)).design, method="iterative")
    for ask in (lambda: len(stats.blocks), lambda: stats.crossed.Q, lambda: list(stats.blocks)):
        with pytest.raises(OptionError, match="exact elimination"):
            ask()
