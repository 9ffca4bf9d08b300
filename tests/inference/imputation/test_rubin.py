"""Rubin's rules against published numbers and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestedmlm.inference.imputation import rubin

# SAS/STAT User's Guide, The MIANALYZE Procedure, "Reading Means and Standard Errors from a DATA=
# Data Set": five imputed data sets of 31 rows, edf=30
MEANS = np.array([
    [47.0120, 10.4441, 171.216], [47.2407, 10.5040, 171.244], [47.4995, 10.5922, 171.909],
    [47.1485, 10.5279, 171.146], [47.0042, 10.4913, 172.072],
])  # fmt: skip
ERRORS = np.array([
    [0.95984, 0.28520, 1.59910], [0.93540, 0.26661, 1.75638], [1.00766, 0.26302, 1.85795],
    [0.95439, 0.26405, 1.75011], [0.96528, 0.27275, 1.84807],
])  # fmt: skip


@pytest.fixture(scope="module")
def fitness():
    return rubin.rubin(MEANS, np.array([np.diag(row**2) for row in ERRORS]))


def test_published_variances_and_degrees_of_freedom(fitness):
    assert np.diag(fitness.within) == pytest.approx([0.930853, 0.073142, 3.114442], abs=2e-6)
    assert np.diag(fitness.between) == pytest.approx([0.041478, 0.002948, 0.191086], rel=1e-3)
    assert np.diag(fitness.total) == pytest.approx([0.980626, 0.076679, 3.343744], rel=2e-5)
    df = rubin.barnard_rubin(fitness, np.eye(3), np.full(3, 30.0))
    assert df == pytest.approx([26.298, 26.503, 25.463], abs=1e-3)


def test_shares_of_what_is_missing(fitness):
    L = np.eye(3)
    df = rubin.barnard_rubin(fitness, L, np.full(3, np.inf))
    riv, fmi = rubin.missing_shares(fitness, L, df)
    missing = riv / (1 + riv)
    assert df == pytest.approx(4 / missing**2)  # Rubin (1987)
    assert fmi == pytest.approx((riv + 2 / (df + 3)) / (riv + 1))
    assert riv == pytest.approx(1.2 * np.diag(fitness.between) / np.diag(fitness.within))


def test_nothing_missing_is_complete_data():
    same = rubin.rubin(np.ones((4, 2)), np.array([np.eye(2)] * 4))
    df = rubin.barnard_rubin(same, np.eye(2), np.array([20.0, np.inf]))
    assert df == pytest.approx([21 / 23 * 20, np.inf])
    found = rubin.wald_test(same, np.eye(2), np.ones(2), 20.0)
    assert (found.F, found.den_df, found.riv) == (1.0, 20.0, 0.0)


def test_one_row_of_d1_is_the_t_test(fitness):
    L = np.array([[1.0, 0.0, 0.0]])
    found = rubin.wald_test(fitness, L, np.array([47.0]), 30.0)
    t = 47.0 / np.sqrt(fitness.total[0, 0])
    assert t**2 == pytest.approx(found.F)
    assert found.den_df == pytest.approx(26.298, abs=1e-3)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, found.den_df), rel=1e-8)


def test_d1_with_large_samples_is_li_raghunathan_rubins(fitness):
    found = rubin.wald_test(fitness, np.eye(3), np.array([1.0, 0.2, 1.5]), np.inf)
    r = 1.2 * np.mean(np.diag(fitness.between @ np.linalg.inv(fitness.within)))
    # trace over k with a diagonal U: only the diagonal of B counts
    assert found.riv == pytest.approx(r)
    assert found.den_df == pytest.approx(4 + 8 * (1 + (1 - 2 / 12) / r) ** 2)
    expected = np.sum(np.array([1.0, 0.2, 1.5]) ** 2 / np.diag(fitness.within)) / 3 / (1 + r)
    assert found.F == pytest.approx(expected)


def test_reiters_degrees_of_freedom_tend_to_the_large_samples(fitness):
    df = [rubin.wald_test(fitness, np.eye(3), np.ones(3), v).den_df for v in (10, 30, 1e9, np.inf)]
    assert df[0] < 10
    assert df[1] < 30
    assert np.all(np.diff(df) > 0)
    assert df[2] == pytest.approx(df[3], rel=0.35)


def test_d2_and_d3_of_equal_statistics():
    found = rubin.statistics_test(np.full(5, 6.0), 2)
    assert (found.F, found.riv, found.den_df) == (3.0, 0.0, np.inf)
    assert found.p_value == pytest.approx(stats.chi2.sf(6.0, 2))
    same = rubin.likelihood_test(np.full(5, 6.0), np.full(5, 6.0), 2)
    assert same.p_value == pytest.approx(found.p_value)


def test_d2_is_li_meng_raghunathan_rubins():
    d = np.array([4.0, 7.5, 5.0, 9.0])
    found = rubin.statistics_test(d, 3)
    r = 1.25 * np.var(np.sqrt(d), ddof=1)
    assert found.F == pytest.approx((d.mean() / 3 - 5 / 3 * r) / (1 + r))
    assert found.den_df == pytest.approx(3 ** (-3 / 4) * 3 * (1 + 1 / r) ** 2)


def test_d2_of_statistics_that_contradict_each_other_is_zero():
    found = rubin.statistics_test(np.array([0.0, 0.1, 60.0]), 1)
    assert (found.F, found.p_value) == (0.0, 1.0)


def test_d3_is_meng_and_rubins():
    own, pooled = np.array([6.0, 8.0, 7.0, 9.0, 5.0]), np.array([5.0, 7.0, 6.5, 8.0, 4.5])
    found = rubin.likelihood_test(own, pooled, 2)
    r = 6 / (2 * 4) * (own.mean() - pooled.mean())
    assert found.F == pytest.approx(pooled.mean() / (2 * (1 + r)))
    assert found.den_df == pytest.approx(4 + 4 * (1 + (1 - 2 / 8) / r) ** 2)


def test_joint_degrees_of_freedom_know_how_many_there_were() -> None:
    """Reiter (2007, Biometrika 94), z multiplied out; never more than of data without gaps."""
    k, m, r, complete = 2, 10, 0.3, 50.0
    t = k * (m - 1)
    a = r * t / (t - 2)
    whole = complete * (complete + 1) / (complete + 3)
    c = 1 / (t - 4)
    c1, c2, d = whole - 2 * (1 + a), whole - 4 * (1 + a), 1 + a
    z = 1 / c2 + c * (
        a**2 * c1 / (d**2 * c2) + 8 * a**2 * c1 / (d * c2**2) + 4 * a**2 / (d * c2)
        + 4 * a**2 / (c2 * c1) + 16 * a**2 * c1 / c2**3 + 8 * a**2 / c2**2
    )  # fmt: skip
    assert rubin.wald_df(k, m, r, complete) == pytest.approx(4 + 1 / z, rel=1e-12)
    sizes = [rubin.wald_df(k, m, r, n) for n in (30.0, 100.0, 1e3, 1e9)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 30.0
    assert sizes[-1] == pytest.approx(rubin.wald_df(k, m, r, float("inf")), rel=1e-5)
