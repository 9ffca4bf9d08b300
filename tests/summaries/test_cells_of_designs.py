"""Sums by cell give the statistics that rows give, and add up in any cut, order, tree and basis."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data, design
from hypothesis import given, settings
from hypothesis import strategies as st
from parts_of_tables import parts_of, source_of

import nestedmlm as nm
from nestedmlm.fits.summaries.data_summary import Summary
from nestedmlm.statistics.cells.cell_sums import Cells, in_basis
from nestedmlm.statistics.cells.merge import merge
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

ROWS = data()
CROSSED = "y ~ x + a * z + (x + a | f1) + (1 | f2) + (z | c1)"


def summary_of(kind: str, weighted: bool, offset: bool) -> Summary:
    return nm.summarise(
        FORMULAS[kind],
        parts_of(ROWS, 4),
        weights="w" if weighted else None,
        offset="off" if offset else None,
    )


def close(one: np.ndarray, other: np.ndarray, what: str) -> None:
    one, other = np.asarray(one), np.asarray(other)
    size = np.abs(other).max(initial=1e-300)
    np.testing.assert_allclose(one / size, other / size, rtol=0, atol=1e-12, err_msg=what)


def same_statistics(one: CrossProducts, other: CrossProducts) -> None:
    assert (one.n, one.p, one.order.chain, one.order.trailing) == (
        other.n, other.p, other.order.chain, other.order.trailing,
    )  # fmt: skip
    for mine, theirs in zip(one.blocks, other.blocks, strict=True):
        assert mine.levels == theirs.levels
        close(mine.panels, theirs.panels, "panels")
    close(one.F, other.F, "F")
    close(one.R_x, other.R_x, "R_x")
    close(one.beta0, other.beta0, "beta0")
    close(one.log_det_R, other.log_det_R, "log det R")
    close(one.sum_log_w, other.sum_log_w, "log weights")
    for mine, theirs in zip(one.transforms, other.transforms, strict=True):
        close(mine, theirs, "W")
    assert (one.crossed is None) == (other.crossed is None)
    if one.crossed is not None and other.crossed is not None:
        close(one.crossed.Q, other.crossed.Q, "Q")
        close(one.crossed.R, other.crossed.R, "R")
        close(one.crossed.values, other.crossed.values, "values")
        assert np.array_equal(one.crossed.entries.col, other.crossed.entries.col)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", FORMULAS)
def test_cells_give_the_statistics_of_the_rows(kind, weighted, offset):
    rows = design(kind, weighted=weighted, offset=offset)
    summed = summary_of(kind, weighted, offset).model().design
    assert summed.rows is None
    assert (summed.x_names, summed.n) == (rows.x_names, rows.n)
    assert [t.name for t in summed.terms] == [t.name for t in rows.terms]
    same_statistics(cross_products(summed), cross_products(rows))


def plan_and_rows() -> tuple[Summary, pd.DataFrame]:
    return nm.summarise(CROSSED, parts_of(ROWS), weights="w"), ROWS


SUMMARY, _ = plan_and_rows()


def same_cells(one: Cells, other: Cells, slack: float = 1.0) -> None:
    """Equal sums, whatever the order of cells."""
    assert one.tally.n == other.tally.n
    order = []
    for cells in (one, other):
        keys = [np.asarray(getattr(v, "codes", v)) for v in cells.keys.values()]
        order.append(np.lexsort(keys))
    for name in one.keys:
        a, b = (np.asarray(getattr(c.keys[name], "codes", c.keys[name])) for c in (one, other))
        assert np.array_equal(a[order[0]], b[order[1]])
    assert np.array_equal(one.counts[order[0]], other.counts[order[1]])
    size = np.abs(other.products).max()
    a, b = one.products[:, order[0]], other.products[:, order[1]]
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * size * 10 * slack)
    np.testing.assert_allclose(one.total, other.total, rtol=0, atol=1e-13 * other.tally.n * slack)
    np.testing.assert_allclose(one.sums, other.sums, rtol=0, atol=1e-13 * other.tally.n * slack)


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, len(ROWS)), max_size=6),
    seed=st.integers(0, 2**31),
    shuffled=st.booleans(),
    grouped=st.integers(1, 4),
)
def test_any_cut_order_and_tree_is_the_same(cuts, seed, shuffled, grouped):
    rng = np.random.default_rng(seed)
    rows = ROWS.sample(frac=1.0, random_state=rng) if shuffled else ROWS
    edges = [0, *sorted(cuts), len(rows)]  # equal cuts: empty parts
    plan = SUMMARY.plan
    parts = [plan.summarise(rows.iloc[a:b], "part") for a, b in pairwise(edges)]
    order = rng.permutation(len(parts))
    first = [merge([parts[k] for k in order[i : i + grouped]])
             for i in range(0, len(parts), grouped)]  # fmt: skip
    same_cells(merge(first), plan.summarise(ROWS, "all"))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_any_basis_is_the_same(seed):
    rng = np.random.default_rng(seed)
    plan = SUMMARY.plan
    d = len(plan.basis)
    turn = np.eye(d) + np.triu(rng.normal(size=(d, d)) * 0.3, 1)
    other, slack = plan.basis @ turn, np.linalg.cond(turn)  # digits that go on the way
    half = len(ROWS) // 2
    parts = [
        plan.summarise(ROWS.iloc[:half], "first"),
        replace(plan, basis=other).summarise(ROWS.iloc[half:], "second"),
    ]
    same_cells(merge(parts), plan.summarise(ROWS, "all"), slack)
    same_cells(in_basis(in_basis(parts[0], other), plan.basis), parts[0], slack)


@settings(max_examples=10, deadline=None)
@given(a=st.floats(-1e4, 1e4), b=st.floats(0.01, 100), c=st.floats(-1e3, 1e3))
def test_shifted_and_scaled_columns_give_the_same_fit(a, b, c):
    moved = ROWS.assign(y=a + b * ROWS.y, x=c + 2.0 * ROWS.x)
    formula = "y ~ x + (x | f1) + (1 | f2)"
    fit = nm.summarise(formula, parts_of(moved)).fit(REML=False)
    like = nm.lmer(formula, ROWS, REML=False)
    assert fit.deviance - 2 * len(ROWS) * np.log(b) == pytest.approx(like.deviance, abs=1e-7)


def test_a_pilot_that_saw_nothing_of_a_column_is_noticed():
    rng = np.random.default_rng(3)
    n = 3000
    frame = pd.DataFrame({"g": np.repeat(np.arange(60), 50), "x": rng.normal(size=n)})
    frame["rare"] = 0.0
    frame.loc[[1501, 2222], "rare"] = 1.0
    frame["late"] = np.where(np.arange(n) < 2900, 0.0, rng.normal(size=n) + 1e4)
    frame["y"] = frame.x + rng.normal(size=60)[frame.g] + rng.normal(size=n)
    formula = "y ~ x + rare + late + (x | g)"
    source = source_of([frame.iloc[:1000], frame.iloc[1000:2900], frame.iloc[2900:]])
    fit, like = nm.summarise(formula, source).fit(), nm.lmer(formula, frame)
    assert list(fit.fixef.index) == list(like.fixef.index)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    assert np.allclose(fit.fixef, like.fixef, rtol=1e-9)
