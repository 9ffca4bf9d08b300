"""Elimination from the rows against that of their sums, at ordinary relative factors."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.inference.effects.trace_sums import direction_traces, pair_traces
from nestedmlm.inference.variances.directions import parameter_directions
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.plan import flat_factors, make_plan, start_phi
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.statistics import row_blocks as module
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.responses import responses
from nestedmlm.statistics.row_blocks import row_blocks
from tests.designs import BASES, FORMULAS, basis_design, data, design
from tests.mp_reference import exact_criterion


def parts(kind: str):
    make = basis_design if kind in BASES else design
    d = make(kind, weighted=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = start_phi(plan) + 0.3 * np.random.default_rng(1).normal(size=plan.n_theta)
    return d, plan, phi, stats, replace(stats, row_blocks=row_blocks(d, stats))


def everything(plan, phi, stats):
    T = flat_factors(np, phi, plan)
    e = elimination.eliminate(T, stats)
    v = np.linspace(-1.0, 1.0, len(e.S))
    made = elimination.working_variates(stats, e, v, free_entries(plan).array)
    directions, _ = parameter_directions(phi, plan)
    F = np.random.default_rng(2).normal(size=(stats.q, 2))
    return [
        np.array([e.logdet]), e.S, e.info, e.BB, made.gram, made.BF, made.Fe,
        *elimination.solve(stats, e),
        *elimination.level_information(stats, e),
        *elimination.level_covariances(stats, e, T),
        elimination.gram(stats, e, F),
        *elimination.factor_adjoint(T, stats, e, 0.7, 0.3 * e.S),
        direction_traces(e, stats, directions),
        pair_traces(stats, e, directions),
    ]  # fmt: skip


def agree(ones, others, rtol=1e-9):
    for one, other in zip(ones, others, strict=True):
        scale = np.max(np.abs(other), initial=1.0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("kind", [*FORMULAS, *BASES])
def test_equals_the_elimination_of_sums(kind: str) -> None:
    _, plan, phi, stats, by_rows = parts(kind)
    agree(everything(plan, phi, by_rows), everything(plan, phi, stats))


def test_rows_that_share_no_effect_are_apart() -> None:
    _, _, _, _, nested = parts("nested chain of three")
    _, _, _, _, crossed = parts("nested within crossed")
    assert nested.row_blocks is not None and crossed.row_blocks is not None
    assert len(nested.row_blocks) == nested.parts[-1].levels > 1
    assert len(crossed.row_blocks) == 1


def test_too_many_rows_are_left_to_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    d, _, _, stats, by_rows = parts("nested chain of two")
    sizes = [(*b.Z.shape, b.Y.shape[1]) for b in by_rows.row_blocks]
    work = sum(3e5 + 2.0 * (n + q) * (2 * q + r) ** 2 for n, q, r in sizes)
    monkeypatch.setattr(module, "MOST_WORK", 1.001 * work)
    assert row_blocks(d, stats) is not None
    monkeypatch.setattr(module, "MOST_WORK", 0.999 * work)
    assert row_blocks(d, stats) is None


@pytest.mark.parametrize("kind", ["nested chain of two", "crossed"])
def test_other_responses_take_their_rows_along(kind: str) -> None:
    d, plan, phi, _, by_rows = parts(kind)
    Y = np.random.default_rng(3).normal(size=(d.n, 2))
    other = responses(d, by_rows, Y).statistics(1)
    assert other.row_blocks is not None
    agree(everything(plan, phi, other), everything(plan, phi, replace(other, row_blocks=None)))


def test_pickles_keep_every_number() -> None:
    _, plan, phi, _, by_rows = parts("crossed")
    e = elimination.eliminate(flat_factors(np, phi, plan), by_rows)
    again = pickle.loads(pickle.dumps(e))
    agree([again.S, again.BB, *again.covariances, again.b], [e.S, e.BB, *e.covariances, e.b], 0.0)
    assert (again.chain[0].B == e.chain[0].B).all() and again.dense is not None


def with_effects(formula: str, noise: float, frame: pd.DataFrame) -> Design:
    """A design whose effects have size one, and its residuals that of `noise`."""
    d, rng = build_design(formula, frame), np.random.default_rng(5)
    y = d.X.sum(axis=1) + noise * rng.normal(size=d.n)
    for term in d.terms:
        factor = d.factors[term.factor]
        effects = rng.normal(size=(len(factor.levels), len(term.columns)))
        y = y + np.einsum("ij,ij->i", term.X, effects[factor.codes])
    return d.with_response(y)


@pytest.mark.parametrize("formula", ["y ~ x + (x | f2) + (z | c1)", "y ~ x + (x | f2) + (x | c1)"])
def test_sums_of_crossed_factors_keep_the_digits_they_have(formula: str) -> None:
    """Right-hand sides multiplied by an inverse lose half of them."""
    d = with_effects(formula, 1e-3, data())
    stats = cross_products(d)
    T = np.concatenate([1e3 * np.tril(np.ones((2, 2))).ravel() for _ in stats.parts])
    by_rows = replace(stats, row_blocks=row_blocks(d, stats))
    one, other = (profile(elimination.eliminate(T, s).S).r2 for s in (stats, by_rows))
    assert one == pytest.approx(other, rel=1e-7)


@pytest.mark.parametrize("formula", ["y ~ x + (x | f2)", "y ~ x + (x | f2) + (z | c2)"])
def test_keeps_the_digits_that_sums_lose(formula: str) -> None:
    """Relative standard deviations of a million, beside 60 digits."""
    d = with_effects(formula, 1e-7, data(40))
    stats = cross_products(d)
    plan = make_plan(d, stats)
    by_rows = replace(stats, row_blocks=row_blocks(d, stats))
    T = [1e6 * np.array([[1.0, 0.0], [0.3, 0.7]]) for _ in d.terms]
    exact = exact_criterion(d, T)
    flat = [np.linalg.solve(W, t) for W, t in zip(stats.transforms, T, strict=True)]
    flat = np.concatenate([flat[plan.factors[i][0]].ravel() for i in range(len(d.terms))])
    off = []
    for s in (by_rows, stats):
        e = elimination.eliminate(flat, s)
        log_sxx, r2, _, _ = profile(e.S)
        df = d.n - d.p
        value = e.logdet + log_sxx + 2.0 * s.log_det_R + df * np.log(max(r2, 1e-300))
        off.append(abs(value + df * (1.0 + np.log(2.0 * np.pi / df)) - exact))
    assert off[0] < 1e-6 < 1e-2 < off[1]
