"""tidy, glance, augment against broom.mixed 0.2.9.4 (fits by lmerTest, polished to the optimum)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import DataError, OptionError
from nestedmlm.inference.tidy.wald_parameters import component_kind
from nestedmlm.views.parameters import parameter_table

NUMBERS = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
COLUMNS = ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]


@pytest.fixture(scope="module", autouse=True)
def _data(shared_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTEDMLM_DATA", str(shared_data))
        yield


@pytest.fixture(scope="module")
def sleep():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def m17(_data):
    formula = "mathscore ~ ses + (ses | schoolid) + (1 | classid)"
    return nm.lmer(formula, nm.load_dataset("classroom"))


# tidy(m, "fixed", conf.int = TRUE); ... ddf.method = "Kenward-Roger"
FIXED = {
    "satterthwaite": [
        [251.405105, 6.82455578, 36.83831052, 17.0, 1.17087484e-17, 237.00655110, 265.8036586],
        [10.467286, 1.54578893, 6.77148461, 17.0, 3.26379002e-06, 7.20595638, 13.7286155],
    ],
    "kenward-roger": [
        [251.405105, 6.82455578, 36.83831052, 17.0, 1.17088536e-17, 237.00655076, 265.8036589],
        [10.467286, 1.54578893, 6.77148461, 17.0, 3.26378904e-06, 7.20595639, 13.7286155],
    ],
}


@pytest.mark.parametrize("ddf", FIXED)
def test_fixed_effects(sleep, ddf):
    found = sleep.tidy("fixed", conf_int=True, ddf=ddf)
    assert list(found.columns) == ["term", "effect", *COLUMNS]
    assert found["term"].tolist() == ["(Intercept)", "Days"]
    np.testing.assert_allclose(found[NUMBERS], FIXED[ddf], rtol=5e-5)


def test_standard_errors_of_a_penalised_fit_are_the_same_in_every_table():
    data = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", data, penalty="wishart")
    wald = fit.variance_parameters()["std_error"]
    tidy = fit.tidy("ran_pars").set_index("term")["std_error"]
    assert tidy["sd_(Intercept)|Subject"] == wald["sd_(Intercept)|Subject"]
    assert tidy["sd_Days|Subject"] == wald["sd_Days|Subject"]
    table = parameter_table(fit)["std_error"]
    np.testing.assert_array_equal(table[wald.index], wald)
    # the penalty's curvature counts: without it the standard error is 6.470
    assert wald["sd_(Intercept)|Subject"] == pytest.approx(6.2957, abs=5e-5)


# tidy(M17)
M17 = [
    ("fixed", None, "(Intercept)", 522.824747238),
    ("fixed", None, "ses", 11.204230960),
    ("ran_pars", "classid", "sd_(Intercept)|classid", 8.396773129),
    ("ran_pars", "schoolid", "sd_(Intercept)|schoolid", 15.439908765),
    ("ran_pars", "schoolid", "cor_ses.(Intercept)|schoolid", 0.470139671),
    ("ran_pars", "schoolid", "sd_ses|schoolid", 7.304880077),
    ("ran_pars", "Residual", "sigma", 32.894864695),
]


def test_default_is_fixed_effects_then_variance_parameters(m17):
    found = m17.tidy()
    assert found[["effect", "group", "term"]].values.tolist() == [list(row[:3]) for row in M17]
    np.testing.assert_allclose(found["estimate"], [row[3] for row in M17], rtol=1e-5)
    np.testing.assert_allclose(found["df"][:2], [101.0405385, 71.2864408], rtol=1e-4)


def test_variances_and_covariances(m17):
    found = m17.tidy("ran_pars", scales="vcov", conf_int=True)
    # tidy(M17, "ran_pars", scales = "vcov")
    expected = [70.5057990, 238.3907827, 53.0254936, 53.3612729, 1082.0721233]
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-5)
    assert found["term"].tolist()[2] == "cov_ses.(Intercept)|schoolid"
    sd = m17.tidy("ran_pars", conf_int=True)
    own = [0, 1, 3, 4]
    np.testing.assert_allclose(found["conf_low"][own], sd["conf_low"][own] ** 2)
    np.testing.assert_allclose(
        found["std_error"][own], 2 * sd["estimate"][own] * sd["std_error"][own]
    )
    assert np.isnan(found["std_error"][2])


def test_three_columns_go_through_the_lower_triangle():
    fit = nm.lmer("score ~ Machine + (Machine | Worker)", nm.load_dataset("Machines"))
    # tidy(m, "ran_pars")$term
    assert fit.tidy("ran_pars")["term"].tolist() == [
        "sd_(Intercept)|Worker", "cor_MachineB.(Intercept)|Worker",
        "cor_MachineC.(Intercept)|Worker", "sd_MachineB|Worker", "cor_MachineC.MachineB|Worker",
        "sd_MachineC|Worker", "sigma",
    ]  # fmt: skip


def test_conditional_modes(m17):
    found = m17.tidy("ran_vals", conf_int=True).set_index(["group", "level", "term"])
    # tidy(M17, "ran_vals", conf.int = TRUE)
    rows = {
        ("classid", "1", "(Intercept)"): [-0.390575442, 7.60587864, -15.2978236, 14.5166728],
        ("schoolid", "1", "(Intercept)"): [-3.820887195, 9.14229210, -21.7394504, 14.0976761],
        ("schoolid", "1", "ses"): [-1.984394942, 6.37012352, -14.4696076, 10.5008177],
    }
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    by_text = found.set_axis(
        pd.MultiIndex.from_tuples([(g, str(level), t) for g, level, t in found.index]), axis=0
    )
    for key, numbers in rows.items():
        np.testing.assert_allclose(by_text.loc[key, columns].astype(float), numbers, rtol=1e-4)


def test_coefficients_of_levels(sleep):
    found = sleep.tidy("ran_coefs", conf_int=True)
    table = sleep.coef()["Subject"]
    first = found[found["term"] == "Days"]
    np.testing.assert_allclose(first["estimate"], table["Days"])
    # the joint covariance of beta and b: the standard error of a prediction with x = z = column
    rows = nm.load_dataset("sleepstudy").query("Days == 0")
    se = sleep.predict(rows, se_fit=True)["std_error"]
    own = found[found["term"] == "(Intercept)"]
    np.testing.assert_allclose(own["std_error"], se, rtol=1e-8)


def test_profile_and_bootstrap_intervals(sleep):
    found = sleep.tidy(conf_int=True, conf_method="profile")
    # confint(lmer(Reaction ~ Days + (Days | Subject)))
    np.testing.assert_allclose(found["conf_low"][:2], [237.6806955, 7.3586533], rtol=1e-4)
    np.testing.assert_allclose(
        found["conf_high"][2:], [37.715996, 0.684986, 8.753389, 28.857997], rtol=1e-3
    )
    drawn = sleep.tidy("fixed", conf_int=True, conf_method="boot", nsim=40, seed=1)
    again = sleep.conf_int("beta_", method="boot", nsim=40, seed=1)
    np.testing.assert_array_equal(drawn["conf_low"], again["conf_low"])


def test_without_degrees_of_freedom(sleep):
    found = sleep.tidy("fixed", ddf="none", conf_int=True)
    assert "p_value" not in found and "df" not in found
    np.testing.assert_allclose(
        found["conf_high"], found["estimate"] + 1.959964 * found["std_error"], rtol=1e-6
    )


def test_structured_covariance():
    d = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + cs(Days | Subject, hom=TRUE)", d)
    found = fit.tidy("ran_pars").set_index("term")
    # lme4.md 2.13: homcs sd 7.2276563, rho .5925397, sigma 27.834742
    assert found.loc["sd_Days|Subject", "estimate"] == pytest.approx(7.2276563, rel=1e-5)
    assert (
        found.loc["sd_Days|Subject", "std_error"]
        == found.loc["sd_(Intercept)|Subject", "std_error"]
    )
    assert found.loc["cor_Days.(Intercept)|Subject", "std_error"] > 0


# --- glance --------------------------------------------------------------------------------------
def test_glance_of_a_reml_fit(sleep):
    row = sleep.glance().iloc[0]
    # glance(m): nobs, sigma, logLik, AIC, BIC, REMLcrit, df.residual
    expected = [180, 25.5918158926, -871.814135979, 1755.62827196, 1774.78601306,
                1743.62827196, 174]  # fmt: skip
    names = ["nobs", "sigma", "log_lik", "aic", "bic", "reml_criterion", "df_residual"]
    np.testing.assert_allclose(row[names].astype(float), expected, rtol=1e-7)
    assert row["REML"] and row["converged"] and not row["singular"]


def test_glance_of_an_ml_fit():
    formula = "normexam ~ standLRT + schgend + (1 | school)"
    row = nm.lmer(formula, nm.load_dataset("Exam"), REML=False).glance().iloc[0]
    # glance(m): nobs, sigma, logLik, AIC, BIC, deviance, df.residual
    expected = [4059, 0.75217342922, -4674.71109873, 9361.42219745, 9399.27434895,
                9349.42219745, 4053]  # fmt: skip
    names = ["nobs", "sigma", "log_lik", "aic", "bic", "deviance", "df_residual"]
    np.testing.assert_allclose(row[names].astype(float), expected, rtol=1e-7)


# --- augment -------------------------------------------------------------------------------------
# augment(lmer(Reaction ~ Days + offset(off) + (Days | Subject), sleep_ext, weights = w)), rows 1,
# 2, 180 of .fitted .resid .hat .cooksd .fixed .mu .offset .sqrtXwt .sqrtrwt .weights .wtres
ROWS = [
    [261.10336, -11.54335860, 0.20397014, 0.02549648280, 254.83136, 261.10336, 11.727, 1.3020753,
     1.3020753, 1.6954, -15.0303217],
    [274.36622, -15.66152422, 0.18294904, 0.04622058850, 261.12252, 274.36622, 6.383, 1.4003928,
     1.4003928, 1.9611, -21.9322858],
    [364.98237, -0.85877482, 0.33987352, 0.00044092753, 346.14579, 364.98237, -1.675, 1.4786142,
     1.4786142, 2.1863, -1.2697967],
]  # fmt: skip


def test_augment_with_weights_and_offset():
    d = nm.load_dataset("sleep_ext")
    fit = nm.lmer("Reaction ~ Days + offset(off) + (Days | Subject)", d, weights="w")
    found = fit.augment()
    assert list(found.columns[:5]) == ["Reaction", "Days", "off", "Subject", "w"]
    np.testing.assert_allclose(found.iloc[[0, 1, 179], 5:].astype(float), ROWS, rtol=1e-5)


def test_augment_keeps_the_callers_index_and_columns(sleep):
    d = nm.load_dataset("sleepstudy")
    d = d.assign(other=1, fitted=2).set_axis([f"r{i}" for i in range(len(d))], axis=0)
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", d)
    found = fit.augment(d)
    assert found.index.equals(d.index)
    assert list(found.columns[:5]) == [*d.columns]
    assert found["fitted"].eq(2).all()  # a name that is taken gets a dot
    np.testing.assert_allclose(found[".fitted"], sleep.fittedvalues, rtol=1e-6)


@pytest.mark.parametrize(("na_action", "rows"), [("omit", 178), ("exclude", 180)])
def test_augment_with_missing_rows(na_action, rows):
    d = nm.load_dataset("sleepstudy").copy()
    d.loc[[3, 17], "Reaction"] = np.nan
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", d, na_action=na_action)
    found = fit.augment()
    assert len(found) == rows
    assert found["fitted"].isna().sum() == rows - 178
    assert fit.augment(d).shape == found.shape
    np.testing.assert_allclose(found["resid"], found["Reaction"] - found["fitted"])


# --- refusals ------------------------------------------------------------------------------------
BAD = {
    "effects": ({"effects": "random"}, "effects must be among"),
    "no effects": ({"effects": []}, "effects must be among"),
    "method": ({"conf_method": "exact"}, "conf_method must be one of"),
    "level": ({"level": 95, "conf_int": True}, "between 0 and 1"),
    "scales": ({"scales": "log"}, "scales must be one of"),
    "ddf": ({"ddf": "best"}, "ddf='best' is unknown"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(sleep, case):
    arguments, message = BAD[case]
    with pytest.raises(OptionError, match=message):
        sleep.tidy(**arguments)


def test_augment_refuses_other_rows(sleep):
    with pytest.raises(DataError, match="must have 180 rows, not 3"):
        sleep.augment(nm.load_dataset("sleepstudy").head(3))


def test_kinds_of_variance_components():
    assert component_kind({"var1": None, "var2": None}) == "sigma"
    assert component_kind({"var1": "Days", "var2": None}) == "sd"
    assert component_kind({"var1": "(Intercept)", "var2": "Days"}) == "cor"


def test_augment_of_numbers_in_the_other_order_of_bytes():
    data = nm.load_dataset("Dyestuff")
    data["Yield"] = data["Yield"].to_numpy(">f8")
    data.loc[3, "Yield"] = np.nan
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", data)
    assert fit.augment()["Yield"].tolist() == data["Yield"].dropna().tolist()
