"""Unstructured residuals of too few blocks: said exactly where the criterion falls without end."""

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.optimum.few_blocks import unbounded_levels
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.optimum.residual_optimum import optimize_residuals
from nestedmlm.statistics.pair_sums import pair_sums

SITES = " + (1 | site)"


def blocks_of_sites(complete: int, *, partial: int = 6, sites: int = 3) -> pd.DataFrame:
    """Blocks with rows at three visits, then blocks with rows at the first and last."""
    r, rows = np.random.default_rng(complete), []
    for i in range(complete + partial):
        for v in (0, 1, 2) if i < complete else (0, 2):
            rows.append((f"i{i:02d}", f"s{i % sites}", f"v{v}", r.normal() + 0.3 * v))
    return pd.DataFrame(rows, columns=["id", "site", "visit", "y"])


def problem(d: pd.DataFrame, random: str, by: str = ""):
    how = {"residual": f"us(visit | id{by})", "require_random": False}
    design = build_design(f"y ~ visit{random}", d, **how)
    sums = pair_sums(design)
    return make_plan(design, sums.base), sums


def fall(plan, sums, effects: np.ndarray, *, REML: bool) -> float:
    """How far the criterion falls as the variance of what is fitted best is halved."""
    y = sums.Y[-1, : 3 * len(effects)].reshape(-1, 3)
    best = np.linalg.svd(y - effects @ np.linalg.lstsq(effects, y)[0])[2][-1]
    objective = ResidualObjective(plan=plan, sums=sums, REML=REML)
    values = []
    for variance in (1e-5, 0.5e-5):
        L = np.linalg.cholesky(np.eye(3) - (1.0 - variance) * np.outer(best, best))
        free = (L / L[0, 0])[np.tril_indices(3)][1:]
        values.append(objective.at(np.append(np.ones(plan.n_theta), free)).value)
    return float(values[0] - values[1])


@pytest.mark.parametrize(
    ("random", "complete", "REML", "rate"),
    [
        ("", 3, True, 2),  # 3 blocks - 1 mean: 2 free sums of 3 levels
        ("", 3, False, 3),
        ("", 4, True, None),
        ("", 4, False, None),
        (SITES, 5, True, 2),  # 5 blocks - 3 sites
        (SITES, 5, False, 2),
        (SITES, 6, True, None),
        (SITES, 6, False, None),
    ],
)
def test_the_criterion_falls_without_end_where_it_is_said(random, complete, REML, rate):
    d = blocks_of_sites(complete)
    plan, sums = problem(d, random)
    effects = np.eye(3)[np.arange(complete) % 3] if random else np.ones((complete, 1))
    fell = fall(plan, sums, effects, REML=REML)
    said = unbounded_levels(sums, REML=REML)
    if rate is None:  # what is not fitted grows as the variance shrinks
        assert said is None
        assert fell < -1.0
    else:
        assert f"only {complete} blocks with rows at all of levels 1, 2, 3," in said
        assert fell == pytest.approx(rate * np.log(2), rel=0.02)


def test_levels_that_two_patterns_share_are_named_with_their_group():
    """Each of the two patterns leaves no sum free; what they share leaves one of two levels."""
    patterns = [(0, 1, 2), (0, 1, 3), *[(2, 3)] * 4, *[(0, 1, 2, 3)] * 9]
    r = np.random.default_rng(0)
    rows = [
        (f"i{i:02d}", f"v{v}", "b" if i < 6 else "a", r.normal())
        for i, seen in enumerate(patterns)
        for v in seen
    ]
    d = pd.DataFrame(rows, columns=["id", "visit", "arm", "y"])
    said = unbounded_levels(problem(d, "", by=", by=arm")[1], REML=True)
    assert "only 2 blocks of b with rows at all of levels 1, 2," in said
    assert said.endswith("toep, ad1 or cs, or no by=")
    assert unbounded_levels(problem(d, "")[1], REML=True) is None


def test_a_fit_without_a_maximum_is_not_certified():
    plan, sums = problem(blocks_of_sites(5), SITES)
    found = optimize_residuals(plan, sums, REML=True)
    assert not found.certificate.holds
    plan, sums = problem(blocks_of_sites(14), SITES)
    assert optimize_residuals(plan, sums, REML=True).certificate.holds


def test_effects_that_leave_nothing_free():
    """By REML they take the fall away; a random effect that is zero, or ML, does not."""
    alone = problem(blocks_of_sites(1), "")[1]
    assert unbounded_levels(alone, REML=True) is None
    assert "only 1 block with" in unbounded_levels(alone, REML=False)
    each = problem(blocks_of_sites(3), SITES)[1]  # a site for each block
    assert "only 3 blocks with" in unbounded_levels(each, REML=True)


def test_a_covariate_within_blocks_is_not_counted():
    """With it fewer sums are free than levels, but no combination need be fitted."""
    d = blocks_of_sites(4).assign(x=lambda d: np.random.default_rng(1).normal(size=len(d)))
    how = {"residual": "us(visit | id)", "require_random": False}
    assert unbounded_levels(pair_sums(build_design("y ~ visit + x", d, **how)), REML=True) is None
    d["x"] = d.groupby("id")["x"].transform("mean")
    assert unbounded_levels(pair_sums(build_design("y ~ visit + x", d, **how)), REML=True)
