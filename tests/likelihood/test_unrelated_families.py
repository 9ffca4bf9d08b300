"""Families that are not related to each other: the dense block, one component after the other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.plan import make_plan, theta_of_phi
from nestedmlm.likelihood.pls import dense_criterion
from nestedmlm.optimum.objective import Objective
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.pair_sums import pair_sums

FAMILIES, MEMBERS = 12, 4


def table() -> pd.DataFrame:
    """Two records of each member but one, in herds of three families; items of two herds."""
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"id": np.repeat(np.arange(FAMILIES * MEMBERS), 2)})
    d["herd"] = d.id // (3 * MEMBERS)
    d["item"] = d.herd // 2 * 3 + rng.integers(0, 3, len(d))
    d["x"], d["w"] = rng.normal(size=len(d)), rng.uniform(0.5, 2.0, len(d))
    d["y"] = d.x + rng.normal(size=FAMILIES)[d.id // MEMBERS] + rng.normal(size=len(d))
    return d[d.id != 5].sample(frac=1.0, random_state=1)


def relatives() -> tuple[np.ndarray, list[int]]:
    """Families of four; the last two of each are unrelated to the others in every other one."""
    A = np.zeros((FAMILIES * MEMBERS,) * 2)
    for f in range(FAMILIES):
        own = slice(f * MEMBERS, (f + 1) * MEMBERS)
        B = np.full((MEMBERS, MEMBERS), 0.5) + 0.5 * np.eye(MEMBERS)
        if f % 2:
            B[2:, :2] = B[:2, 2:] = 0.0
        A[own, own] = B
    return A, list(range(len(A)))


@pytest.mark.parametrize(
    ("random", "sizes"),
    [
        ("(1 | id)", {1: 2, 2: 11, 4: 6}),  # a member without records parts two of them
        ("(x | id)", {2: 2, 4: 11, 8: 6}),  # two columns of each
        ("(1 | id) + (1 | herd)", {1: 1, 11: 1, 12: 3}),  # herds join their families
        ("(1 | id) + (1 | herd) + (x | item)", {1: 1, 25: 1, 26: 1}),  # items join two herds
    ],
)
@pytest.mark.parametrize(("REML", "weights"), [(True, "w"), (False, None)])
def test_criterion_and_gradient(random, sizes, REML, weights):
    known = {"id": relatives()}
    design = build_design(
        f"y ~ x + {random}", table(), weights=weights, relationship=known, check=False
    )
    stats = cross_products(design)
    plan = make_plan(design, stats)
    assert stats.crossed is not None
    assert {own.shape[1]: len(own) for own in stats.crossed.components} == sizes
    phi = 0.7 + 0.2 * np.random.default_rng(3).normal(size=plan.n_theta)

    def dense(x):
        theta = theta_of_phi(x, plan, stats)
        return dense_criterion(design, relative_factors(theta, plan.shapes), REML=REML)

    here = Objective(plan=plan, stats=stats, REML=REML).at(phi)
    assert here.value == pytest.approx(dense(phi), rel=1e-11)
    slope = [(dense(phi + e) - dense(phi - e)) / 2e-5 for e in 1e-5 * np.eye(len(phi))]
    np.testing.assert_allclose(here.evaluation.gradient, slope, atol=2e-6)
    one = replace(stats, crossed=replace(stats.crossed, components=()))
    for point in (phi, np.zeros(len(phi))):  # at zero the information is multiplied out
        a, b = (Objective(plan=plan, stats=s, REML=REML).at(point).evaluation for s in (stats, one))
        assert a.criterion == pytest.approx(b.criterion, rel=1e-13)
        np.testing.assert_allclose(a.M, b.M, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(a.state.dense.G, b.state.dense.G, atol=1e-12)


def test_one_relative_of_two_families_leaves_one_block():
    A, labels = relatives()
    A[: MEMBERS * 7, : MEMBERS * 7] += 0.1
    stats = cross_products(
        build_design("y ~ x + (1 | id)", table(), relationship={"id": (A, labels)})
    )
    assert stats.crossed is not None
    assert stats.crossed.components == ()


def test_rows_that_correlate_are_not_taken_apart():
    """A block of rows may join members of two families: its sums are of one block."""
    d = table()
    d["pair"], d["t"] = d.id % 24, d.groupby(d.id % 24).cumcount()
    design = build_design(
        "y ~ x + (1 | id)", d, relationship={"id": relatives()}, residual="ar1(t | pair)"
    )
    assert pair_sums(design).base.crossed.components == ()
