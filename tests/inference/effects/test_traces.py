"""Sums over pairs of covariance directions, against dense n x n matrices, for every design."""

from __future__ import annotations

import numpy as np
import pytest
from dense_tests import dense_parts
from designs import BASES, FORMULAS, basis_design, design

from nestedmlm.inference.effects.trace_sums import direction_traces, pair_traces
from nestedmlm.inference.variances.directions import covariance_directions, parameter_directions
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.plan import flat_factors, make_plan, start_phi
from nestedmlm.statistics.crossproducts import cross_products


def at_random(kind: str, *, weighted: bool = False):
    d = (basis_design if kind in BASES else design)(kind, weighted=weighted)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = start_phi(plan) + 0.3 * np.random.default_rng(1).normal(size=plan.n_theta)
    return d, stats, plan, phi


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [*FORMULAS, *BASES])
def test_traces_equal_the_dense_ones(kind, weighted):
    d, stats, plan, phi = at_random(kind, weighted=weighted)
    T = flat_factors(np, phi, plan)
    state = elimination.eliminate(T, stats)
    for directions in (parameter_directions(phi, plan)[0], covariance_directions(phi, plan)):
        V, derivatives, _ = dense_parts(d, stats, plan, T, directions)
        own = [np.linalg.solve(V, D) for D in derivatives]
        expected = np.array([[np.sum(a * b.T) for b in own] for a in own])
        assert pair_traces(stats, state, directions) == pytest.approx(expected, rel=1e-10)
        assert direction_traces(state, stats, directions) == pytest.approx(
            [np.trace(a) for a in own], rel=1e-10
        )


@pytest.mark.parametrize("kind", ["slope", "nested chain of three", "crossed", "autoregressive"])
def test_parameter_directions_are_derivatives(kind):
    _, _, plan, phi = at_random(kind)
    directions, free = parameter_directions(phi, plan)
    assert free.tolist() == sorted(free.tolist(), key=lambda k: list(free).index(k))
    assert len(free) == plan.n_theta
    starts = np.cumsum([0, *(k * k for k in plan.widths)])
    for f, k, E in zip(directions.factor, free, directions.matrices, strict=True):
        e = np.zeros(plan.n_theta)
        e[k] = 1e-6

        def G(at, f=f):
            T = flat_factors(np, at, plan)[starts[f] : starts[f + 1]]
            T = T.reshape(plan.widths[f], -1)
            return T @ T.T

        assert pytest.approx((G(phi + e) - G(phi - e)) / 2e-6, abs=1e-7) == E


def test_collapsed_columns_have_no_direction():
    _, _, plan, _ = at_random("slope")
    assert len(parameter_directions(np.zeros(3), plan)[0]) == 0
    assert parameter_directions(np.array([1.0, 0.5, 0.0]), plan)[1].tolist() == [0, 1]
    assert len(covariance_directions(np.zeros(3), plan)) == 3
