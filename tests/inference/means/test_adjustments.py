"""Adjusted p-values and critical values against R, and the families of contrasts."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.inference.means.adjustments import (
    ADJUSTMENTS,
    Family,
    adjusted_pvalues,
    critical_values,
)
from nestedmlm.inference.means.families import FAMILIES, make_comparisons

T, DF = np.array([2.3, -1.1, 0.4]), np.full(3, 42.0)
# all pairs of three equally precise means
CORR = np.array([[1.0, 0.5, -0.5], [0.5, 1.0, 0.5], [-0.5, 0.5, 1.0]])
FAMILY = Family(size=3, means=3.0, rank=2, corr=CORR)

# t <- c(2.3, -1.1, .4); p <- 2 * pt(-abs(t), 42)
PVALUES = {
    "none": [0.02648526, 0.27759719, 0.69118371],  # p
    "tukey": [0.06678208, 0.51940099, 0.91576367],  # ptukey(sqrt(2) * abs(t), 3, 42, lower = FALSE)
    "bonferroni": [0.07945577, 0.83279157, 1.0],  # p.adjust(p, "bonferroni")
    "holm": [0.07945577, 0.55519438, 0.69118371],
    "hochberg": [0.07945577, 0.55519438, 0.69118371],
    "fdr": [0.07945577, 0.41639578, 0.69118371],
    "sidak": [0.07736995, 0.62300266, 0.97054896],  # 1 - (1 - p)^3
    "scheffe": [0.08280937, 0.55076395, 0.92325667],  # pf(t^2 / 2, 2, 42, lower = FALSE)
    "dunnettx": [0.07031137, 0.55393488, 0.93402544],  # 1 - emmeans:::.pdunnx(abs(t), 3, 42)
}
CRITICAL = {
    "tukey": 2.429494,  # qtukey(.95, 3, 42) / sqrt(2)
    "scheffe": 2.537693,  # sqrt(2 * qf(.95, 2, 42))
    "dunnettx": 2.450006,  # the root of emmeans:::.pdunnx(x, 3, 42) = .95 to 1e-6
    "bonferroni": 2.493668,  # qt(1 - .05 / 6, 42)
    "sidak": 2.486709,  # qt(1 - (1 - .95^(1/3)) / 2, 42)
    "none": 2.018082,  # qt(.975, 42)
}


@pytest.mark.parametrize("adjust", PVALUES)
def test_p_values(adjust):
    found = adjusted_pvalues(adjust, T, DF, FAMILY)
    np.testing.assert_allclose(found, PVALUES[adjust], atol=1e-8)


@pytest.mark.parametrize("adjust", CRITICAL)
def test_critical_values(adjust):
    found = critical_values(adjust, 0.95, DF, FAMILY)
    np.testing.assert_allclose(found, CRITICAL[adjust], atol=1e-5)


@pytest.mark.parametrize("adjust", sorted(set(ADJUSTMENTS) - {"hochberg", "holm", "fdr"}))
@pytest.mark.parametrize("df", [7.5, 42.0, np.inf])
def test_intervals_and_tests_agree(adjust, df):
    dfs = np.full(3, df)
    edge = critical_values(adjust, 0.9, dfs, FAMILY)
    np.testing.assert_allclose(adjusted_pvalues(adjust, edge, dfs, FAMILY), 0.1, atol=2e-5)


def test_multivariate_t():
    # equally correlated pairs: Tukey's distribution
    found = adjusted_pvalues("mvt", T, DF, FAMILY)
    np.testing.assert_allclose(found, PVALUES["tukey"], atol=5e-5)
    # uncorrelated and normal: Sidak's
    free = Family(size=3, means=3.0, rank=3, corr=np.eye(3))
    endless = np.full(3, np.inf)
    np.testing.assert_allclose(
        adjusted_pvalues("mvt", T, endless, free), adjusted_pvalues("sidak", T, endless, free),
        atol=5e-4,
    )  # fmt: skip


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
def test_what_cannot_be_estimated_stays_unknown(adjust):
    t, df = np.array([2.3, np.nan, 0.4]), np.array([42.0, np.nan, 42.0])
    found = adjusted_pvalues(adjust, t, df, FAMILY)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(critical_values(adjust, 0.95, df, FAMILY)).tolist() == [False, True, False]


# poly.emmc(1:k), transposed
POLY = {
    3: [[-1, 0, 1], [1, -2, 1]],
    4: [[-3, -1, 1, 3], [1, -1, -1, 1], [-1, 3, -3, 1]],
    6: [[-5, -3, -1, 1, 3, 5], [5, -1, -4, -4, -1, 5], [-5, 7, 4, -4, -7, 5],
        [1, -3, 2, 2, -3, 1], [-1, 5, -10, 10, -5, 1]],
}  # fmt: skip


@pytest.mark.parametrize("k", POLY)
def test_polynomials(k):
    np.testing.assert_array_equal(make_comparisons("poly", list("abcdef")[:k]).coef, POLY[k])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"identity"}))
@pytest.mark.parametrize("k", [2, 3, 7])
def test_contrasts_add_up_to_zero(family, k):
    made = make_comparisons(family, list("abcdefg")[:k])
    assert made.coef.shape == (len(made.names), k)
    np.testing.assert_allclose(made.coef.sum(axis=1), 0.0, atol=1e-12)
    other = make_comparisons(family.replace(".", "_"), list("abcdefg")[:k], reverse=True)
    np.testing.assert_array_equal(other.coef, -made.coef)


def test_one_mean_has_no_pairs():
    made = make_comparisons("pairwise", ["a"])
    assert made.names == ("(nothing)",)
    assert made.coef.shape == (1, 1)
    assert np.isnan(made.coef).all()


def test_degrees_of_freedom_that_differ_by_rounding_are_asked_once(monkeypatch):
    from scipy.stats import studentized_range

    asked, ppf = [], studentized_range.ppf
    monkeypatch.setattr(studentized_range, "ppf", lambda *at: asked.append(at) or ppf(*at))
    fit = nm.lmer("strength ~ batch + (1 | batch:cask)", nm.load_dataset("Pastes"))
    means = nm.emmeans(fit, "batch")
    pairs = means.pairs().to_frame()
    assert len(asked) == 1 < pairs["df"].nunique()
    assert pairs["conf_high"].notna().all()
    means.cld().to_frame()
    assert len(asked) == 2
