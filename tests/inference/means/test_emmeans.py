"""Marginal means, slopes and contrasts: numbers and print of R's emmeans, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from reference import numbers

import nestedmlm as nm
from benchmarks.agreement.means import CONTRASTS, MEANS, NUMBERS, TRENDS, fitted, means, trends
from nestedmlm.errors import OptionError

R = numbers("means/means")


@pytest.fixture(autouse=True)
def _data(shared_data, monkeypatch):
    monkeypatch.setenv("NESTEDMLM_DATA", str(shared_data))


def agrees(ours: nm.Emmeans, theirs: dict[str, list[float]], rtol: float = 2e-5) -> None:
    frame = ours.to_frame()
    for name in NUMBERS:
        np.testing.assert_allclose(frame[name], theirs[name], rtol=rtol, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("case", R["means"])
def test_means_are_those_of_emmeans(case):
    agrees(means(case), R["means"][case])


@pytest.mark.parametrize("case", R["trends"])
def test_slopes_are_those_of_emtrends(case):
    agrees(trends(case), R["trends"][case])


@pytest.mark.parametrize("case", R["contrasts"])
def test_contrasts_are_those_of_emmeans(case):
    agrees(CONTRASTS[case](), R["contrasts"][case])


def test_golden_cake_recipe():
    # lme4.md 1.7: cake recipe EMMs 33.1/31.6/31.6, SE 1.74, df 42
    frame = means("cake recipe").to_frame()
    assert frame["estimate"].round(1).tolist() == [33.1, 31.6, 31.6]
    assert frame["std_error"].round(2).tolist() == [1.74] * 3
    assert frame["df"].round(6).tolist() == [42.0] * 3


# --- print ---------------------------------------------------------------------------------------
# print(emmeans(gap, c("f", "half"), lmer.df = "satterthwaite")), trailing blanks removed
NOT_ESTIMABLE = """\
 f   half emmean    SE   df lower.CL upper.CL
 lo  u      1.53 0.383 25.7    0.745     2.32
 mid u      1.47 0.405 31.7    0.650     2.30
 hi  u      1.35 0.388 27.1    0.550     2.14
 lo  v      2.03 0.372 22.9    1.257     2.80
 mid v      1.84 0.362 20.6    1.084     2.59
 hi  v    nonEst    NA   NA       NA       NA

Degrees-of-freedom method: satterthwaite
Confidence level used: 0.95"""

# print(emmeans(two, "f", by = "two"))
BY = """\
two = 1:
 f   emmean    SE   df lower.CL upper.CL
 lo    1.84 0.364 26.8    1.088     2.58
 mid   1.67 0.360 25.7    0.925     2.41
 hi    1.35 0.372 29.1    0.591     2.11

two = 3:
 f   emmean    SE   df lower.CL upper.CL
 lo    1.79 0.363 26.4    1.047     2.54
 mid   1.82 0.367 27.4    1.067     2.57
 hi    1.71 0.358 25.1    0.968     2.44

Degrees-of-freedom method: kenward-roger
Confidence level used: 0.95"""

# print(confint(pairs(emmeans(dose, "dose"))))
PAIRS = """\
 contrast      estimate    SE  df lower.CL upper.CL
 dose1 - dose2   0.0300 0.183 281   -0.401    0.461
 dose1 - dose4   0.0475 0.185 282   -0.389    0.484
 dose2 - dose4   0.0175 0.186 282   -0.421    0.456

Degrees-of-freedom method: kenward-roger
Confidence level used: 0.95
Conf-level adjustment: tukey method for comparing a family of 3 estimates"""

# print(pairs(emmeans(cake, "recipe")))
TESTS = """\
 contrast estimate   SE df t.ratio p.value
 A - B      1.4778 2.46 42   0.602  0.8200
 A - C      1.5222 2.46 42   0.620  0.8102
 B - C      0.0444 2.46 42   0.018  0.9998

Results are averaged over the levels of: temperature
Degrees-of-freedom method: kenward-roger
P value adjustment: tukey method for comparing a family of 3 estimates"""

# print(emmeans(dose, "1", lmer.df = "asymptotic"))
OVERALL = """\
 1       emmean    SE  df asymp.LCL asymp.UCL
 overall   1.69 0.313 Inf      1.07       2.3

Results are averaged over the levels of: dose
Degrees-of-freedom method: asymptotic
Confidence level used: 0.95"""

# print(contrast(emmeans(cake, "temperature"), "poly"))
POLY = """\
 contrast  estimate    SE  df t.ratio p.value
 linear       55.31  5.64 210   9.802  <.0001
 quadratic    -3.53  6.18 210  -0.572  0.5682
 cubic        -7.36  9.05 210  -0.813  0.4172
 quartic      -6.87  3.57 210  -1.924  0.0557
 degree 5    -14.51 10.71 210  -1.355  0.1768

Results are averaged over the levels of: recipe
Degrees-of-freedom method: kenward-roger"""

# print(emmeans(slash, "rep")): a factor nested in f whose labels repeat
NESTED = """\
 rep f   emmean    SE   df lower.CL upper.CL
 1   lo    1.96 0.379 30.9    1.186     2.73
 2   lo    1.96 0.422 46.4    1.105     2.81
 3   lo    1.54 0.393 35.4    0.742     2.34
 1   mid   1.51 0.392 35.1    0.718     2.31
 2   mid   1.91 0.382 31.9    1.131     2.69
 3   mid   1.80 0.409 41.2    0.976     2.63
 1   hi    1.69 0.418 44.9    0.844     2.53
 2   hi    1.45 0.387 33.5    0.665     2.24
 3   hi    1.55 0.381 31.9    0.778     2.33

Degrees-of-freedom method: kenward-roger
Confidence level used: 0.95"""

NOTE = "NOTE: Results may be misleading due to involvement in interactions"
PRINTS = {
    "not estimable": (lambda: means("gap f, half"), NOT_ESTIMABLE),
    "by": (lambda: means("two f | two"), BY),
    "pairs": (lambda: nm.emmeans(fitted("dose"), "dose").pairs().conf_int(), PAIRS),
    "tests": (lambda: means("cake recipe").pairs(), TESTS),
    "overall": (lambda: nm.emmeans(fitted("dose"), "1", ddf="none"), OVERALL),
    "poly": (lambda: CONTRASTS["cake poly"](), POLY),
    "nested": (lambda: means("slash rep"), NESTED),
}


@pytest.mark.parametrize("case", PRINTS)
def test_prints_as_emmeans_does(case):
    make, expected = PRINTS[case]
    # R gives the note as a message, we below the table
    assert str(make()).replace(f"\n{NOTE}", "") == expected


def test_other_renderings():
    made = means("cake recipe | temperature")
    assert "temperature = 175" in made.to_html()
    assert "kenward-roger" in made.to_markdown()
    assert len(made.tables["estimates"]) == 18
    assert NOTE in str(means("cake recipe"))
    assert NOTE not in str(nm.emmeans(fitted("cake"), "1"))


# --- semantics -----------------------------------------------------------------------------------
def test_a_formula_says_the_same_as_names():
    fit = fitted("cake")
    one = nm.emmeans(fit, "~ recipe | temperature").to_frame()
    pd.testing.assert_frame_equal(one, means("cake recipe | temperature").to_frame())
    both = nm.emmeans(fit, "~ recipe * temperature").to_frame()
    pd.testing.assert_frame_equal(both, means("cake recipe, temperature").to_frame())


def test_balanced_means_do_not_depend_on_the_weights():
    fit = fitted("cake")
    expected = nm.emmeans(fit, "recipe").to_frame()
    for weights in ("proportional", "outer", "cells", "flat"):
        found = nm.emmeans(fit, "recipe", weights=weights).to_frame()
        pd.testing.assert_frame_equal(found, expected)


def test_a_mean_is_a_prediction_at_the_reference_grid():
    fit = fitted("cross")
    at = fit.model.data.iloc[:1].assign(x=0.5, f="mid", half="u")
    found = nm.emmeans(fit, ["f", "half"], at={"x": 0.5}).to_frame()
    row = found[(found["f"] == "mid") & (found["half"] == "u")]
    expected = fit.predict(at, re_form=False).iloc[0]
    assert row["estimate"].item() == pytest.approx(expected, rel=1e-12)


def test_slopes_do_not_depend_on_the_units():
    fit = fitted("cake_temp")
    d = nm.load_dataset("cake").copy()
    d["temp"] = d["temp"] * 1e6
    other = nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", d)
    a = nm.emtrends(fit, "recipe", var="temp").to_frame()
    b = nm.emtrends(other, "recipe", var="temp").to_frame()
    np.testing.assert_allclose(b["estimate"] * 1e6, a["estimate"], rtol=1e-6)
    np.testing.assert_allclose(b["df"], a["df"], rtol=1e-6)


def test_the_slope_of_a_straight_line_is_its_coefficient():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    row = nm.emtrends(fit, "1", var="Days").to_frame().iloc[0]
    assert row["estimate"] == pytest.approx(fit.params["Days"], rel=1e-9)
    assert row["std_error"] == pytest.approx(fit.bse["Days"], rel=1e-6)
    assert row["df"] == pytest.approx(17.0, rel=1e-6)


def test_default_degrees_of_freedom():
    assert means("ml f").ddf.method == "satterthwaite"
    assert means("cake recipe").ddf.method == "kenward-roger"
    d = nm.load_dataset("sleepstudy")
    penalised = nm.lmer("Reaction ~ Days + (1 | Subject)", d, penalty="wishart")
    assert nm.emmeans(penalised, "Days").ddf.method == "satterthwaite"


# emmeans(m, "schgend", pbkrtest.limit = 5000) of the Exam data: SE, df
EXAM = [[0.05242121, 0.09858179, 0.06964358], [61.44, 63.14, 59.65]]


def test_kenward_roger_above_3000_rows_too():
    fit = nm.lmer("normexam ~ standLRT + schgend + (1 | school)", nm.load_dataset("Exam"))
    found = nm.emmeans(fit, "schgend")
    assert "kenward-roger" in str(found)
    np.testing.assert_allclose(found.to_frame()["std_error"], EXAM[0], rtol=1e-5)
    np.testing.assert_allclose(found.to_frame()["df"], EXAM[1], rtol=1e-4)


def test_pairs_of_pickled_means():
    made = means("cake recipe")
    again = pickle.loads(pickle.dumps(made))
    assert str(again) == str(made)
    assert str(again.pairs()) == str(made.pairs())


def test_contrasts_of_contrasts():
    recipe = means("cake recipe | temperature").pairs()
    # differences of differences: how a pair of recipes changes from 175 to 185 degrees
    second = recipe.contrast("consec", by="contrast", adjust="none").to_frame()
    first = recipe.to_frame()["estimate"]
    assert second["estimate"].iloc[0] == pytest.approx(first.iloc[3] - first.iloc[0])
    assert list(second.columns[:2]) == ["contrast1", "contrast"]


@pytest.mark.parametrize("adjust", ["mvt", "tukey"])
def test_multivariate_t_of_all_pairs_is_tukeys(adjust):
    # for equally correlated pairs the two are the same distribution
    found = means("cake recipe").pairs(adjust=adjust).to_frame()["p_value"]
    np.testing.assert_allclose(found, R["contrasts"]["cake pairs tukey"]["p_value"], atol=5e-5)


def test_single_comparisons_are_not_adjusted():
    half = nm.emmeans(fitted("cross"), "half").pairs()
    plain = half.test(adjust="none").to_frame()["p_value"]
    for adjust in ("bonferroni", "holm", "sidak", "mvt", "dunnettx", "fdr"):
        np.testing.assert_allclose(half.test(adjust=adjust).to_frame()["p_value"], plain)


# --- refusals ------------------------------------------------------------------------------------
BAD = {
    "no fit": (lambda f: nm.emmeans(f.design, "recipe"), "not of a Design"),
    "unknown predictor": (lambda f: nm.emmeans(f, "nothing"), "no predictor is called nothing"),
    "formula without ~": (
        lambda f: nm.emmeans(f, "recipe * temperature"), r'begins with ~: "~ recipe \* temp'),
    "grouping factor": (lambda f: nm.emmeans(f, "replicate"), "the predictors: recipe"),
    "unknown at": (lambda f: nm.emmeans(f, "recipe", at={"z": 1}), "at names z"),
    "unknown level": (lambda f: nm.emmeans(f, "recipe", at={"recipe": "D"}), "its levels are"),
    "number expected": (
        lambda f: nm.emmeans(fitted("cake_temp"), "recipe", at={"temp": "hot"}), "is numeric"),
    "weights": (lambda f: nm.emmeans(f, "recipe", weights="same"), "weights must be one of"),
    "ddf": (lambda f: nm.emmeans(f, "recipe", ddf="best"), "ddf='best' is unknown"),
    "level": (lambda f: nm.emmeans(f, "recipe", level=95), "between 0 and 1"),
    "two-sided specs": (lambda f: nm.emmeans(f, "pairwise ~ recipe"), r"\.pairs\(\)"),
    "method": (lambda f: nm.emmeans(f, "recipe").contrast("all"), "no family of contrasts"),
    "adjust": (lambda f: nm.emmeans(f, "recipe").pairs(adjust="some"), "adjust='some'"),
    "ref": (lambda f: nm.emmeans(f, "recipe").contrast("trt.vs.ctrl", ref="Z"), "none of the"),
    "coefficients": (lambda f: nm.emmeans(f, "recipe").contrast({"a": [1, 2]}), "2 coefficients"),
    "by": (lambda f: nm.emmeans(f, "recipe").pairs(by="temp"), "the columns are"),
    "tukey of means": (lambda f: nm.emmeans(f, "recipe").conf_int(adjust="tukey"), "pairwise"),
    "trend of a factor": (lambda f: nm.emtrends(f, "recipe", var="temperature"), "no numeric"),
    "kenward-roger by ML": (
        lambda f: nm.emmeans(fitted("ml"), "f", ddf="kenward-roger"), "REML fits"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refuses(case):
    call, message = BAD[case]
    with pytest.raises(OptionError, match=message):
        call(fitted("cake"))


def test_data_that_are_changed_afterwards_change_nothing():
    d = nm.load_dataset("sleepstudy").copy()
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", d)
    before = nm.emmeans(fit, "1").to_frame()
    d.loc[len(d)] = d.iloc[0]
    d["Days"] *= 100.0
    pd.testing.assert_frame_equal(nm.emmeans(fit, "1").to_frame(), before)


def test_tukey_for_other_contrasts_becomes_sidak():
    found = means("cake recipe").contrast("eff", adjust="tukey")
    assert found.adjust == "sidak"
    assert "sidak was used" in str(found)


def test_cases_are_those_of_the_script():
    assert list(R["means"]) == list(MEANS)
    assert list(R["trends"]) == list(TRENDS)
    assert list(R["contrasts"]) == list(CONTRASTS)
