"""Tests of residuals that are uniform if the model is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.uniform_tests import uniform_tests


def test_they_hold_where_the_model_is_right_and_see_what_is_wrong():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    right = np.array(
        [
            [t.uniform_p, t.outlier_p, t.trend_p]
            for t in (uniform_tests(rng.uniform(size=300), x, 99) for _ in range(200))
        ]
    )
    assert ((right < 0.1).mean(axis=0) < 0.17).all()
    assert stats.kstest(right[:, 2], "uniform").pvalue > 0.01
    z = rng.normal(size=300)
    bent = uniform_tests(stats.norm.cdf(z + 0.6 * (x**2 - 1)), x, 99)
    assert bent.trend_p < 1e-4
    wide = uniform_tests(stats.norm.cdf(1.6 * z), x, 99)
    assert wide.uniform_p < 0.05
    assert wide.outlier_p < 1e-4
    assert wide.outliers > 15
    assert np.isnan(uniform_tests(rng.uniform(size=30), np.zeros(30), 99).trend_p)


def test_the_picture_says_the_tests_p_values():
    data = nm.load_dataset("grouseticks")
    fit = nm.glmer("TICKS ~ YEAR + (1 | BROOD)", data, family="poisson")
    left, right = fit.plot.simulated_residuals(nsim=50, seed=3, use_u=True)
    u = fit.simulated_residuals(nsim=50, seed=3, use_u=True).to_numpy()
    found = uniform_tests(u, fit.design.X @ fit.fixef.to_numpy(), 50)
    assert f"p = {found.uniform_p:.3f}, outliers p = {found.outlier_p:.3f}" in left.get_title(
        "left"
    )
    assert f"{found.trend_p:.3f}" in right.get_title("left")
    np.testing.assert_allclose(left.collections[0].get_offsets()[:, 1], np.sort(u))
    with pytest.raises(OptionError, match="generalized"):
        nm.plots.simulated_residuals(nm.lmer("TICKS ~ 1 + (1 | BROOD)", data))


def test_the_numbers_are_those_of_the_textbook():
    u = np.array([0.05, 0.1, 0.3, 0.45, 0.5, 0.62, 0.9, 0.95, 0.99, 0.7])
    predicted = np.array([1.0, 2.0, 2.0, 5.0, 3.0, 7.0, 4.0, 6.0, 8.0, 9.0])
    found = uniform_tests(u, predicted, 9)  # the ends are a tenth wide
    assert found.outliers == 3
    assert found.outlier_p == pytest.approx(stats.binomtest(3, 10, 0.2).pvalue)
    assert found.uniform_p == pytest.approx(stats.kstest(u, "uniform").pvalue)
    assert found.rank.tolist() == [0.05, 0.2, 0.2, 0.55, 0.35, 0.75, 0.45, 0.65, 0.85, 0.95]
    z = stats.norm.ppf(np.clip(u, 0.05, 0.95))
    fit = np.polynomial.polynomial.polyfit(found.rank, z, 2)
    left = np.sum((z - np.polynomial.polynomial.polyval(found.rank, fit)) ** 2)
    F = (np.sum((z - z.mean()) ** 2) - left) / 2 / (left / 7)
    assert found.trend_p == pytest.approx(stats.f.sf(F, 2, 7))
