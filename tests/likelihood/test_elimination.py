"""The sweeps: NumPy against compiled, one block against many, and factors of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from designs import FORMULAS, design

from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.elimination import information, loops, primitives, speed
from nestedmlm.likelihood.elimination.speed import Speed, held
from nestedmlm.likelihood.plan import flat_factors, make_plan, start_phi
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.statistics import crossproducts
from nestedmlm.statistics.crossproducts import cross_products


def parts(kind: str, seed: int = 1):
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = start_phi(plan) + 0.3 * np.random.default_rng(seed).normal(size=plan.n_theta)
    return d, stats, plan, flat_factors(np, phi, plan)


def everything(T, stats, plan):
    e = elimination.eliminate(T, stats)
    v = np.linspace(-1.0, 1.0, len(e.S))
    made = elimination.working_variates(stats, e, v, free_entries(plan).array)
    b, B = elimination.solve(stats, e)
    own = [A.ravel() for A in elimination.level_information(stats, e)]
    return [np.array([e.logdet]), e.S, e.info, e.BB, b, B, made.gram, made.BF, made.Fe, *own]


def agree(ones, others, rtol=1e-9):
    for one, other in zip(ones, others, strict=True):
        scale = np.max(np.abs(other), initial=1.0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("kind", FORMULAS)
def test_effects_of_one_combination(kind) -> None:
    _, stats, _, T = parts(kind)
    e = elimination.eliminate(T, stats)
    v = np.linspace(-1.0, 2.0, len(e.S))
    agree(elimination.effects(stats, e, v), [x @ v for x in elimination.solve(stats, e)], 1e-12)


@pytest.mark.parametrize("kind", FORMULAS)
def test_compiled_sweeps_are_the_same_functions(kind) -> None:
    _, stats, plan, T = parts(kind)
    with held(choice=Speed.NUMPY):
        plain = everything(T, stats, plan)
    with held(choice=Speed.SWEEPS):
        agree(everything(T, stats, plan), plain)


@pytest.mark.parametrize("kind", [k for k in FORMULAS if "crossed" in k])
def test_whole_matrices_and_pairs_of_entries_give_the_same_numbers(kind, monkeypatch) -> None:
    _, stats, plan, T = parts(kind)
    found = []
    for full in (True, False):
        monkeypatch.setattr(primitives, "is_full", lambda *_, full=full: full)
        found.append([*everything(T, stats, plan), inverse_of(T, stats)])
    agree(*found)


def inverse_of(T, stats):
    return elimination.inverse_on_pattern(stats, elimination.eliminate(T, stats))


@pytest.mark.parametrize("kind", [k for k in FORMULAS if cross_products(design(k)).crossed is None])
def test_blocks_hold_whole_families_and_give_the_same_numbers(kind, monkeypatch) -> None:
    d, stats, plan, T = parts(kind)
    monkeypatch.setattr(crossproducts, "LEVELS", 3)
    cut = cross_products(d)
    assert len(cut.blocks) > 1
    for i, part in enumerate(stats.parts):
        levels = np.concatenate([np.arange(part.levels)[b.levels[i]] for b in cut.blocks])
        np.testing.assert_array_equal(levels, np.arange(part.levels))
    agree(everything(T, cut, plan), everything(T, stats, plan))
    e = elimination.eliminate(T, cut)
    v = np.linspace(-1.0, 2.0, len(e.S))
    agree(elimination.effects(cut, e, v), [x @ v for x in elimination.solve(cut, e)], 1e-12)


def test_threads_do_not_change_a_bit(monkeypatch) -> None:
    d, _, plan, T = parts("nested chain of two")
    monkeypatch.setattr(crossproducts, "LEVELS", 3)
    stats = cross_products(d)
    results = []
    for processors in (1, 2):
        monkeypatch.setattr(speed, "processors", lambda n=processors: n)
        results.append(everything(T, stats, plan))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", FORMULAS)
def test_gram_of_any_coefficients_is_the_dense_one(kind) -> None:
    _, stats, plan, T = parts(kind)
    e = elimination.eliminate(T, stats)
    entries = free_entries(plan).array
    v = np.linspace(-1.0, 1.0, len(e.S))
    w = elimination.solve(stats, e)[1] @ v
    F = np.zeros((stats.q, len(entries)))
    for column, (f, a, b) in enumerate(entries):
        own = stats.parts[f]
        F[own.column(a), column] = w[own.column(b)]
        F[own.column(b), column] = w[own.column(a)]
    made = elimination.working_variates(stats, e, v, entries)
    scale = np.abs(made.gram).max()
    np.testing.assert_allclose(
        elimination.gram(stats, e, F), made.gram, rtol=1e-9, atol=1e-9 * scale
    )


def extended(T, stats):
    """log|M| and S in long double, by dense matrices over the chain's levels."""
    (block,) = stats.blocks
    s = block.shape
    starts = np.cumsum([0, *(s.K * s.J).tolist()])
    q, r = int(starts[-1]), s.r
    Q, R = np.zeros((q, q), np.longdouble), np.zeros((q, r), np.longdouble)
    L = np.zeros((q, q), np.longdouble)
    node = [np.arange(J) for J in s.J.tolist()]
    for i, (k, J) in enumerate(zip(s.K.tolist(), s.J.tolist(), strict=True)):
        P, chain, at = block.panel(i), node[i], 0
        for f in range(i, len(s.K)):
            kf = int(s.K[f])
            for a in range(k):
                for c in range(kf):
                    rows, cols = starts[i] + np.arange(J) * k + a, starts[f] + chain * kf + c
                    Q[rows, cols] = Q[cols, rows] = P[a, at + c]
            at += kf
            if f + 1 < len(s.K):
                chain = block.parent[s.level[f] : s.level[f + 1]][chain]
        for a in range(k):
            R[starts[i] + np.arange(J) * k + a] = P[a, at:].T
        t = T[s.square[i] : s.square[i + 1]].reshape(k, k)
        for g in range(J):
            own = slice(starts[i] + g * k, starts[i] + (g + 1) * k)
            L[own, own] = t
    M = L.T @ Q @ L + np.eye(q, dtype=np.longdouble)
    half, logdet, X = L.T @ R, np.longdouble(0.0), M
    for a in range(q):  # elimination without square roots
        logdet += np.log(X[a, a])
        f = X[a + 1 :, a] / X[a, a]
        half[a + 1 :] -= np.outer(f, half[a])
        X[a + 1 :, a + 1 :] -= np.outer(f, X[a, a + 1 :])
    pivots = np.diag(X)
    return logdet, stats.F - (half / pivots[:, None]).T @ half


@pytest.mark.parametrize("size", [1.0, 1e2, 1e4, 1e6])
def test_factors_of_any_size_lose_no_digits(size) -> None:
    """Levels with fewer rows than columns: entries of T (I + T'QT)^-1 T' of size T^2 cancel."""
    d = design("single-observation groups")
    X = np.column_stack([np.ones(d.n), d.X[:, 1]])
    term = replace(d.terms[0], columns=("(Intercept)", "x"))
    d = replace(d, terms=(term,), rows=replace(d.rows, matrices=(X,)))
    stats = cross_products(d)
    T = np.array([1.0, 0.0, 0.4, 0.7]) * size
    e = elimination.eliminate(T, stats)
    logdet, S = extended(T, stats)
    # in I + T'QT the one is lost against T^2: that is all that is lost
    assert e.logdet == pytest.approx(float(logdet), rel=1e-13, abs=1e-14 * size**2)
    np.testing.assert_allclose(e.S, S.astype(float), rtol=1e-9, atol=1e-9 * float(np.abs(S).max()))


@pytest.mark.parametrize("name", ["scale", "add_scaled", "subtract_scaled"])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
@pytest.mark.parametrize("per_level", [False, True])
def test_loops_do_what_their_primitives_do(name, shape, per_level):
    """The loops before they are compiled: every number of dimensions, every kind of factor."""
    rng = np.random.default_rng(4)
    out, x = rng.normal(size=shape), rng.normal(size=shape)
    s = rng.normal(size=5) if per_level else 1.7
    expected = out.copy()
    getattr(primitives, name)(expected, s, x)
    getattr(loops, f"_{name}_{len(shape)}{'v' if per_level else 's'}")(out, s, x)
    np.testing.assert_allclose(out, expected, rtol=1e-14)


def test_products_of_a_factors_own_variates():
    """Of entries (a, b) of a covariance: F = z_a w_b' and, beside the diagonal, its mirror."""
    rng = np.random.default_rng(5)
    entries = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]])
    k, J, low, high, m = 2, 6, 0, 3, 4
    across, w, B = rng.normal(size=(k, k, m)), rng.normal(size=(k, J)), rng.normal(size=(k, 3, J))
    gram, BF, Fe = np.zeros((m, m)), np.zeros((m, 3)), np.zeros(m)
    information.add_own_products(entries, low, high, across, w, B, gram, BF, Fe)
    for q, (_, a, b) in enumerate(entries[:high]):
        sides = {(a, b), (b, a)}
        shares = np.where(np.arange(m) < high, 0.5, 1.0)
        assert gram[q] == pytest.approx(shares * sum(across[i, j] for i, j in sides))
        assert BF[q] == pytest.approx(sum(w[j] @ B[i].T for i, j in sides))
        assert Fe[q] == pytest.approx(sum(w[i] @ w[j] for i, j in sides))
    assert not gram[high:].any() and not BF[high:].any() and not Fe[high:].any()
