"""icc, r2 and the variance partition against performance 0.10.2 (fits polished to the optimum)."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.icc_r2 import distribution_variances


@pytest.fixture(autouse=True)
def _data(shared_data, monkeypatch):
    monkeypatch.setenv("NESTEDMLM_DATA", str(shared_data))


# icc(m): adjusted, unadjusted; r2(m): marginal, conditional
PERFORMANCE = {
    "sleep_int": ("Reaction ~ Days + (1 | Subject)", "sleepstudy", True,
                  [0.589308922, 0.424369820, 0.279885635, 0.704255455]),
    "sleep_corr": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", True,
                   [0.721658458, 0.520566854, 0.278652043, 0.799218897]),
    "class_M17": ("mathscore ~ ses + (ses | schoolid) + (1 | classid)", "classroom", True,
                  [0.2373965079, 0.2263831979, 0.0463920472, 0.2727752451]),
    "exam_ML": ("normexam ~ standLRT + schgend + (1 | school)", "Exam", False,
                [0.1238789310, 0.0822470892, 0.3360687853, 0.4183158744]),
    "oats": ("yield ~ factor(nitro) + Variety + (1 | Block/Variety)", "Oats", True,
             [0.666017680, 0.408342597, 0.386889253, 0.795231850]),
    "pastes_nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", True,
                      [0.937041367, 0.937041367, 0.0, 0.937041367]),
}  # fmt: skip


def fitted(case: str) -> nm.LmerFit:
    formula, name, reml, _ = PERFORMANCE[case]
    return nm.lmer(formula, nm.load_dataset(name), REML=reml)


@pytest.mark.parametrize("case", PERFORMANCE)
def test_icc_and_r2_are_those_of_performance(case):
    fit = fitted(case)
    found = [*fit.icc()[["adjusted", "unadjusted"]], *fit.r2()[["marginal", "conditional"]]]
    np.testing.assert_allclose(found, PERFORMANCE[case][3], rtol=1e-5, atol=1e-12)


# lme4.md 1.7
@pytest.mark.parametrize(
    ("case", "icc", "r2"),
    [("sleep_int", [0.589, 0.424], [0.280, 0.704]), ("sleep_corr", [0.722, 0.521], [0.279, 0.799])],
)
def test_goldens(case, icc, r2):
    fit = fitted(case)
    assert fit.icc().round(3).tolist() == icc
    assert fit.r2().round(3).tolist() == r2


# icc(m, by_group = TRUE)$ICC; r2(m, by_group = TRUE)$R2, whose "Level 1" is our Residual
@pytest.mark.parametrize(
    ("case", "expected"),
    [("sleep_int", [0.589308922]), ("exam_ML", [0.123878931]),
     ("oats", [0.22536765, 0.44065003]), ("pastes_nested", [0.783144736, 0.153896631])],
)  # fmt: skip
def test_icc_by_group(case, expected):
    found = fitted(case).icc(by_group=True)
    assert found.index[-1] == "Residual"
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.iloc[:-1], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("case", "expected"),
    [("sleep_int", [-0.0781020873, 0.5096872495]), ("exam_ML", [0.52563629, 0.33263597])],
)
def test_r2_by_group(case, expected):
    np.testing.assert_allclose(fitted(case).r2(by_group=True), expected, rtol=1e-5)


def test_weights_scale_the_residual_variance():
    d = nm.load_dataset("sleep_ext")
    formula = "Reaction ~ Days + (Days | Subject)"
    fit = nm.lmer(formula, d, weights="w")
    # sigma changes by the root of a constant factor of the weights, a row's variance does not
    other = nm.lmer(formula, d.assign(w=4.0 * d["w"]), weights="w")
    np.testing.assert_allclose(other.icc(), fit.icc(), rtol=1e-6)
    np.testing.assert_allclose(other.r2(), fit.r2(), rtol=1e-6)
    residual = fit.sigma**2 * np.mean(1.0 / d["w"])
    found = fit.variance_partition().to_frame().loc["Residual", "variance"]
    assert found == pytest.approx(residual, rel=1e-12)


def test_random_slopes_count_with_their_mean_over_the_rows():
    fit = fitted("class_M17")
    d = fit.design
    by_row = np.zeros(d.n)
    for term, T in zip(d.terms, fit.solution.T, strict=True):
        by_row += np.einsum("ij,jk,ik->i", term.X, fit.sigma**2 * T @ T.T, term.X)
    frame = fit.variance_partition().to_frame()
    assert frame["variance"].iloc[:-1].sum() == pytest.approx(by_row.mean(), rel=1e-10)


def test_shares_do_not_depend_on_the_origin_of_a_slope():
    d = nm.load_dataset("classroom")
    fit = fitted("class_M17")
    moved = nm.lmer(PERFORMANCE["class_M17"][0], d.assign(ses=3.0 * d["ses"] + 10.0))
    np.testing.assert_allclose(moved.icc(), fit.icc(), rtol=1e-5)
    np.testing.assert_allclose(moved.r2(), fit.r2(), rtol=1e-5)


def test_bootstrap_intervals():
    fit = fitted("sleep_int")
    found = fit.icc(level=0.9, nsim=60, seed=1)
    assert list(found.columns) == ["estimate", "conf_low", "conf_high"]
    assert (found["conf_low"] < found["estimate"]).all() and (
        found["estimate"] < found["conf_high"]
    ).all()
    again = fit.icc(level=0.9, nsim=60, seed=1)
    np.testing.assert_array_equal(found, again)
    assert fit.r2(level=0.9, nsim=20, seed=1).shape == (2, 3)
    with pytest.raises(OptionError, match="between 0 and 1"):
        fit.icc(level=95)


def test_bayesfit_has_the_same_names():
    fit = fitted("pastes_nested")
    from tests.fake_posterior import fake_bayesfit

    bayes = fake_bayesfit(fit)
    assert list(bayes.icc().index) == list(fit.icc(by_group=True).index)
    assert set(fit.r2().index) <= set(bayes.r2().index)
    assert fit.icc(by_group=True).index.name == bayes.icc().index.name


# --- the partition -------------------------------------------------------------------------------
GUIDE = """\
Variance by level
Formula: mathscore ~ ses + (ses | schoolid) + (1 | classid)

         Groups Variance Std.Dev. Share To residual Correlation
classid     312    70.51    8.397  5.0%       0.065       0.237
schoolid    107   266.34   16.320 18.8%       0.246       0.188
Residual         1082.07   32.895 76.3%

Average over the rows, by component:
 Level    Component            Variance Share
 classid  (Intercept)           70.506   5.0%
 schoolid (Intercept)          238.391  16.8%
          ses                   29.327   2.1%
          (Intercept) with ses  -1.377  -0.1%

Variance between the levels of schoolid along ses:
             Min      1Q  Median      3Q     Max
at       -1.6100 -0.4900 -0.0300  0.3975  3.2100
Variance   206.0   199.2   235.3   289.0  1128.7
Std.Dev.   14.35   14.12   15.34   17.00   33.60

Share: of the variance given the predictors.
Correlation: of two rows in the same group (and in the groups around it).
Random slopes count with their average over the rows, mean(z' Sigma z).
Fixed effects: variance 69.03, 4.6% of the whole."""


def test_the_partition_of_the_guides_model():
    found = fitted("class_M17").variance_partition()
    assert str(found) == GUIDE
    assert set(found.tables) == {"levels", "components", "schoolid|ses"}
    assert "Variance by level" in found.to_html()


def test_frames_of_the_partition():
    fit = fitted("class_M17")
    found = fit.variance_partition()
    levels, parts = found.to_frame(), found.to_frame("component")
    for level in ("classid", "schoolid"):
        own = parts.loc[parts["group"] == level, "variance"].sum()
        assert own == pytest.approx(levels.loc[level, "variance"])
    np.testing.assert_allclose(levels["share"], fit.icc(by_group=True))
    slope = found.to_frame("slope").iloc[0]
    cov = fit.varcorr().blocks[1].cov
    z = np.array([1.0, slope["x"]])
    assert slope["variance"] == pytest.approx(z @ cov @ z)
    with pytest.raises(OptionError, match="by must be one of"):
        found.to_frame("term")


def test_split_terms_of_one_factor_add_up():
    d = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days || Subject)", d)
    found = fit.variance_partition()
    assert list(found.to_frame().index) == ["Subject", "Residual"]
    slope = found.to_frame("slope")
    first, last = slope["variance"].iloc[0], slope["variance"].iloc[-1]
    sd = {b.columns[0]: b.sd[0] for b in fit.varcorr().blocks}
    assert first == pytest.approx(sd["(Intercept)"] ** 2)
    assert last == pytest.approx(sd["(Intercept)"] ** 2 + 81.0 * sd["Days"] ** 2)


def test_crossed_factors_do_not_share_rows():
    fit = nm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))
    frame = fit.variance_partition().to_frame().iloc[:-1]
    np.testing.assert_allclose(frame["correlation"], frame["share"])


def test_means_without_a_square_have_no_finite_variance() -> None:
    found = distribution_variances(
        nm.families.gamma(link="log"),
        np.array([400.0, 1.0]),
        np.zeros(2),
        0.5,
        scale="observation",
    )
    assert not np.isfinite(found[0]) and found[1] == pytest.approx(0.5)
