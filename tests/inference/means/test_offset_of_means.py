"""Offsets of marginal means, as R has them; predictions without random effects by their names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import OptionError


@pytest.fixture(scope="module")
def fit():
    data = nm.load_dataset("grouseticks")
    data = data.assign(lh=np.log(data["HEIGHT"] / 400))
    return nm.glmer("TICKS ~ YEAR + offset(lh) + (1 | BROOD)", data, family="poisson")


def test_an_offset_takes_the_place_of_the_model_s(fit):
    # lme4 1.1-31, emmeans 1.8.4: emmeans(f, "YEAR"), (..., offset = 0), (..., offset = log(2))
    own = nm.emmeans(fit, "YEAR").to_frame()["estimate"]
    np.testing.assert_allclose(own, [0.32218, 1.69707, -0.57695], atol=2e-4)
    none = nm.emmeans(fit, "YEAR", offset=0).to_frame()
    np.testing.assert_allclose(none["estimate"], [0.180560, 1.555450, -0.718571], atol=2e-4)
    rates = nm.emmeans(fit, "YEAR", offset=np.log(2.0), type="response").to_frame()
    np.testing.assert_allclose(rates["estimate"], [2.395777, 9.474438, 0.974897], rtol=2e-4)


def test_an_offset_in_the_formula_counts_with_its_mean(fit):
    # as in R, where lh is a column: ref_grid's .offset. is the mean of the model's offsets
    data = nm.load_dataset("grouseticks").assign(h=lambda d: d["HEIGHT"] / 400)
    inside = nm.glmer("TICKS ~ YEAR + offset(log(h)) + (1 | BROOD)", data, family="poisson")
    own = nm.emmeans(inside, "YEAR").to_frame()["estimate"]
    np.testing.assert_allclose(own, nm.emmeans(fit, "YEAR").to_frame()["estimate"], atol=1e-6)
    given = nm.emmeans(inside, "YEAR", at={"h": 2.0}).to_frame()["estimate"]
    there = nm.emmeans(inside, "YEAR", offset=np.log(2.0)).to_frame()["estimate"]
    np.testing.assert_allclose(given, there, rtol=1e-12)
    predictor = nm.glmer("TICKS ~ h + offset(log(h)) + (1 | BROOD)", data, family="poisson")
    means = nm.emmeans(predictor, "h", at={"h": [1.0, 2.0]}).to_frame()["estimate"]
    slope = predictor.fixef["h"]
    np.testing.assert_allclose(means[1] - means[0], slope + np.log(2.0), rtol=1e-9)


@pytest.mark.parametrize("offset", ["lh", np.nan, True])
def test_an_offset_is_a_number(fit, offset):
    with pytest.raises(OptionError, match="offset"):
        nm.emmeans(fit, "YEAR", offset=offset)


@pytest.mark.parametrize("spelling", ["NA", "none", False])
def test_spellings_of_no_random_effects(fit, spelling):
    rows = nm.load_dataset("grouseticks").head(9).assign(lh=0.3)
    expected = fit.predict(rows, re_form="~ 0")
    np.testing.assert_array_equal(fit.predict(rows, re_form=spelling), expected)
    assert not np.allclose(fit.predict(rows), expected)


def test_means_regridded_to_rates():
    # lme4 1.1-31, emmeans 1.8.4: regrid(emmeans(f, "YEAR")), and its pairs()
    fit = nm.glmer("TICKS ~ YEAR + (1 | BROOD)", nm.load_dataset("grouseticks"), family="poisson")
    rates = nm.emmeans(fit, "YEAR").regrid()
    own = rates.to_frame()
    np.testing.assert_allclose(own["estimate"], [1.421120, 5.454145, 0.575374], rtol=2e-4)
    np.testing.assert_allclose(own["std_error"], [0.334465, 1.115843, 0.143483], rtol=1e-3)
    np.testing.assert_allclose(own["conf_low"], [0.765581, 3.267133, 0.294153], rtol=1e-3)
    differences = rates.pairs().to_frame()
    np.testing.assert_allclose(differences["estimate"], [-4.033026, 0.845745, 4.878771], rtol=2e-4)
    np.testing.assert_allclose(differences["std_error"], [1.161419, 0.358442, 1.123283], rtol=1e-3)
    np.testing.assert_allclose(differences["statistic"], [-3.473, 2.360, 4.343], atol=3e-3)


@pytest.mark.parametrize("link", ["log", "sqrt", "probit", "inverse"])
def test_means_regridded_to_a_link(link):
    cows = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
                    nm.load_dataset("cbpp"), family="binomial")  # fmt: skip
    means, g = nm.emmeans(cows, "period"), nm.families.resolve_family("binomial").link
    eta = means.to_frame()["estimate"].to_numpy()
    there = nm.emmeans(cows, "period").regrid(link)
    own = {"log": np.log, "sqrt": np.sqrt, "probit": stats.norm.ppf, "inverse": np.reciprocal}[link]
    np.testing.assert_allclose(there.to_frame()["estimate"], own(g.mu(eta)), rtol=1e-12)
    # the delta method, by differences
    step = 1e-5
    slope = (own(g.mu(eta + step)) - own(g.mu(eta - step))) / (2 * step)
    V = slope[:, None] * means.vcov() * slope
    np.testing.assert_allclose(there.vcov(), V, rtol=1e-7)
    again = there.regrid().vcov()
    np.testing.assert_allclose(again, means.regrid().vcov(), rtol=1e-10)


def test_ratios_of_means_of_a_linear_model():
    # lme4 1.1-31, emmeans 1.8.4: emmeans(s, "recipe") |> regrid("log") |>
    # pairs(type = "response", infer = TRUE)
    fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    ratios = nm.emmeans(fit, "recipe").regrid("log").pairs(type="response", infer=True)
    assert str(ratios).splitlines()[:4] == [
        " contrast ratio     SE df lower.CL upper.CL null t.ratio p.value",
        " A / B     1.05 0.0795 42    0.870     1.26    1   0.601  0.8202",
        " A / C     1.05 0.0796 42    0.872     1.26    1   0.619  0.8104",
        " B / C     1.00 0.0778 42    0.829     1.21    1   0.018  0.9998",
    ]


def test_means_that_a_link_does_not_take_are_not_estimable(fit):
    found = nm.emmeans(fit, "YEAR").regrid("logit").to_frame()
    assert found["estimate"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("infer", "intervals", "tests"),
    [(True, True, True), ((True, False), True, False), ([False, True], False, True), (False,) * 3],
)
def test_what_is_inferred(fit, infer, intervals, tests):
    shown = (
        fit.emmeans("YEAR", infer=infer),
        fit.emmeans("YEAR").pairs(infer=infer),
        fit.emmeans("YEAR").contrast("eff", infer=infer),
        fit.emmeans("YEAR").contrast(interaction="eff", infer=infer),
    )
    for means in shown:
        heading = str(means).splitlines()[0]
        assert ("asymp.LCL" in heading, "p.value" in heading) == (intervals, tests)


@pytest.mark.parametrize("infer", ["both", (True,), (1, 0), (True, True, False)])
def test_kinds_of_inference_that_are_refused(fit, infer):
    with pytest.raises(OptionError, match="infer"):
        fit.emmeans("YEAR", infer=infer)


def test_what_is_not_regridded(fit):
    with pytest.raises(OptionError, match="regrid the means first"):
        nm.emmeans(fit, "YEAR").pairs().regrid()
    with pytest.raises(OptionError, match="transform"):
        nm.emmeans(fit, "YEAR").regrid("identity")
    linear = nm.lmer("strength ~ batch + (1 | batch:cask)", nm.load_dataset("Pastes"))
    with pytest.raises(OptionError, match="on the scale of the response already"):
        nm.emmeans(linear, "batch").regrid()
    slopes = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    with pytest.raises(OptionError, match="slopes are no means"):
        nm.emtrends(slopes, "1", var="Days", infer=True).regrid("log")
