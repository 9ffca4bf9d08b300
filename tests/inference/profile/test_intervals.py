"""Confidence intervals by every method, and standard errors of variance parameters."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import OptionError


@pytest.fixture(scope="module")
def sleep() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def ext(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data / "sleep_ext.csv")


# R, lme4 1.1-31: confint(lmer(...)) with data sleep_ext and classroom of the shared folder, and
# Pastes, cake of the package. None: lme4's number is wrong, see the note of the case.
R_MORE = {
    # lme4's profiles of fixed effects with prior weights: (248.84, 250.05), (10.826, 10.930)
    "weights": (
        "Reaction ~ Days + (Days | Subject)", "sleep_ext", {"weights": "w"},
        {
            ".sig01": (15.714154412, 37.884956830), ".sig02": (-0.508666646, 0.586257109),
            ".sig03": (4.008424007, 9.005277927), ".sigma": (26.220374745, 33.026833227),
        },
    ),
    "offset": (
        "Reaction ~ Days + offset(off) + (Days | Subject)", "sleep_ext", {},
        {
            ".sig01": (11.766050214, 39.95784749), ".sig02": (-0.241911496, 1.0),
            ".sig03": (2.274660210, 7.57019518), ".sigma": (29.759248696, 37.50461597),
            "(Intercept)": (229.562031388, 259.62392422), "Days": (8.517082840, 14.20022721),
        },
    ),
    "offset argument": (
        "Reaction ~ Days + (Days | Subject)", "sleep_ext", {"offset": "off"},
        {"Days": (8.517082840, 14.20022721)},
    ),
    "rank-deficient X": (
        "Reaction ~ Days + x2 + noise + (1 | Subject)", "sleep_ext", {},
        {
            ".sig01": (25.94615474, 52.81600002), ".sigma": (27.75109560, 34.51308562),
            "(Intercept)": (232.12374645, 270.86252127), "Days": (8.93207112, 12.09250653),
            "noise": (-2.49018885, 6.70974747),
        },
    ),
    # .sig03 without its lower end: lme4's spline has 0.988 where the profile is nearly flat
    "M14": (
        "mathscore ~ ses + (ses | schoolid)", "classroom", {},
        {
            ".sig01": (13.0502241526, 19.6186108), ".sig03": (None, 12.1821134),
            ".sigma": (32.1872219978, 35.1385498), "(Intercept)": (519.1566622926, 526.7190439),
            "ses": (7.8559285010, 14.7018583),
        },
    ),
    "Pastes": (
        "strength ~ 1 + (1 | batch/cask)", "Pastes", {},
        {
            ".sig01": (2.157933708, 4.05358894), ".sig02": (0.0, 2.94659110),
            ".sigma": (0.652023359, 1.08544810), "(Intercept)": (58.663650379, 61.44301637),
        },
    ),
    "cake": (
        "angle ~ recipe + temp + (1 | recipe:replicate)", "cake", {},
        {
            ".sig01": (5.023506072, 7.898692788), ".sigma": (4.151150516, 4.994553097),
            "(Intercept)": (-5.654272854, 8.686018887), "recipeB": (-6.229748612, 3.274193087),
            "recipeC": (-6.274193057, 3.229748642), "temp": (0.126184287, 0.189879205),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", R_MORE)
def test_profile_intervals_in_more_situations(case, shared_data):
    formula, data, options, expected = R_MORE[case]
    fit = nm.lmer(formula, rows(data, shared_data), **options)
    found = fit.conf_int(list(expected), order="lme4-1", names="old")
    for name, limits in expected.items():
        length = np.diff(found.loc[name]).item()
        for value, wanted in zip(found.loc[name], limits, strict=True):
            assert wanted is None or abs(value - wanted) < 2e-4 * length


def rows(name: str, shared_data) -> pd.DataFrame:
    if name in ("sleep_ext", "classroom"):
        return pd.read_csv(shared_data / f"{name}.csv")
    return nm.load_dataset(name)


def test_fixed_effects_with_weights(ext):
    """Where lme4's profile is wrong: close to Wald's, a little wider."""
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", ext, weights="w", REML=False)
    profile, wald = fit.conf_int("beta_"), fit.conf_int("beta_", method="wald")
    ratio = np.diff(profile, axis=1) / np.diff(wald, axis=1)
    assert np.all((ratio > 1.0) & (ratio < 1.1))


def test_wald_of_fixed_effects(sleep):
    """2.10: confint(m, method = "Wald"); case 33 of 3.1 for the random intercept."""
    assert sleep.conf_int("Days", method="wald").to_numpy() == pytest.approx(
        np.array([[7.437594, 13.496980]]), abs=1e-5
    )
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    expected = [[232.301892, 270.508318], [8.891041, 12.043531]]
    assert np.allclose(fit.conf_int("beta_", method="wald"), expected, atol=1e-5)


# R: lmerTest's vcov_varpar (numerical Hessian of the criterion in theta and sigma) by the delta
# method onto log SD, log SD, atanh correlation, log sigma; optCtrl xtol_abs = ftol_abs = 1e-12
SE_LOG = {
    True: [0.235899599, 0.210740811, 0.326427573, 0.058925536],
    False: [0.234532531, 0.207644585, 0.325655003, 0.058925702],
}


@pytest.mark.parametrize("REML", SE_LOG)
def test_standard_errors_of_variance_parameters(REML):
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"), REML=REML)
    found = fit.variance_parameters()
    assert list(found["kind"]) == ["sd", "sd", "cor", "sigma"]
    scale = np.where(found["kind"] == "cor", 1.0 - found["estimate"] ** 2, found["estimate"])
    assert np.allclose(found["std_error"] / scale, SE_LOG[REML], rtol=2e-5)
    frame = fit.varcorr().to_frame()
    assert np.allclose(found["estimate"], frame["estimate"])
    assert list(found["group"]) == list(frame["group"])
    limits = fit.conf_int("theta_", method="wald")
    assert np.allclose(limits, found[["conf_low", "conf_high"]])
    assert np.allclose(limits.iloc[0].prod(), found["estimate"].iloc[0] ** 2)  # log scale


def test_structured_parameters_have_standard_errors():
    fit = nm.lmer("Reaction ~ Days + cs(Days | Subject)", nm.load_dataset("sleepstudy"))
    same = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    found, expected = fit.variance_parameters(), same.variance_parameters()
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    assert np.allclose(found[columns], expected[columns], rtol=1e-4, atol=1e-4)


def test_boundary_has_no_standard_error(shared_data):
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    found = fit.variance_parameters()
    assert np.isnan(
        found.loc["sd_(Intercept)|Batch", ["std_error", "conf_low", "conf_high"]].astype(float)
    ).all()
    # with the groups held at zero: sigma of a linear model, se = sigma / sqrt(2 (n - p))
    assert found.loc["sigma", "std_error"] == pytest.approx(fit.sigma / np.sqrt(58), rel=1e-6)
    assert "sd_(Intercept)|Batch" in found.attrs["messages"][0]
    rows = pd.read_csv(shared_data / "classroom.csv")
    m15 = nm.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", rows)
    found = m15.variance_parameters()
    assert list(found.index[found["std_error"].isna()]) == ["cor_ses.(Intercept)|classid"]


def test_unidentified_parameters_have_no_standard_errors():
    rows = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (1 | Subject) + (1 | Subject)", rows)
    found = fit.variance_parameters()
    assert found["std_error"].isna().all() and "not identified" in found.attrs["messages"][0]


def test_bootstrap_intervals(sleep):
    found = sleep.conf_int(method="boot", nsim=60, seed=3, progress=False)
    again = sleep.conf_int(["sigma", "Days"], method="boot", nsim=60, seed=3, progress=False)
    assert np.array_equal(found.loc[["sigma", "Days"]], again)
    boot = sleep.bootstrap(60, seed=3, progress=False).conf_int("perc")
    assert np.allclose(found.loc["sd_Days|Subject"], boot.loc["sd_Days|Subject"])
    estimates = [*sleep.varcorr().to_frame()["estimate"], *sleep.params]
    assert np.all((found["conf_low"] < estimates) & (estimates < found["conf_high"]))
    other = sleep.conf_int("sigma", method="boot", kind="basic", nsim=60, seed=3, progress=False)
    assert not np.allclose(other, found.loc[["sigma"]])


def test_r_spellings(sleep):
    found = lme4.confint(sleep)
    assert list(found.columns) == ["2.5 %", "97.5 %"]
    assert list(found.index) == [".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "Days"]
    assert list(lme4.confint(sleep, "beta_", 0.9, method="Wald").columns) == ["5 %", "95 %"]
    assert lme4.profile(sleep, ".sigma").names == (".sigma",)


def test_what_is_refused(sleep):
    rows = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", rows, penalty="wishart")
    for verb in (fit.profile, fit.conf_int):
        with pytest.raises(OptionError, match="penalised"):
            verb()
    assert not fit.conf_int(method="wald").isna().any().any()
    for verb in (sleep.profile, sleep.conf_int):
        with pytest.raises(OptionError, match="known"):
            verb("Dais")
    with pytest.raises(OptionError, match="cutoff"):
        sleep.profile(cutoff=-1.0)


def test_after_pickling(sleep):
    again = pickle.loads(pickle.dumps(sleep))
    assert again.conf_int("sigma").equals(sleep.conf_int("sigma"))


def test_positions_count_from_the_end_too():
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    every = fit.conf_int(method="wald")
    assert fit.conf_int(parm=[-1, 0], method="wald").index.tolist() == every.index[[-1, 0]].tolist()
