"""Profiles and their intervals: lme4's numbers, R's confint, and the definition itself."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.model_parameters import model_parameters
from nestedmlm.errors import ConvergenceWarning, NotDefinedError
from nestedmlm.inference.profile.constrained_fit import fit_constrained
from nestedmlm.inference.profile.coordinates import held_coordinates
from nestedmlm.inference.profile.deviance import deviance_at, hessian_at
from nestedmlm.inference.profile.path import follow_profile, refine_path
from nestedmlm.inference.variances.parameters import old_names, parameter_values
from nestedmlm.likelihood.plan import make_plan, start_phi, theta_of_phi
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.crossproducts import cross_products
from tests import designs

# reference/lme4.md 2.10, and lme4 1.1-31: confint(m, oldNames = TRUE), its splines exact to about
# 2e-4 where the profile is smooth. The order is that of lme4 1.1.
R_CONFINT = {
    "2.10 sleep_corr": (
        "sleepstudy", "Reaction ~ Days + (Days | Subject)", {},
        {
            ".sig01": (14.38142, 37.71600), ".sig02": (-0.48150, 0.68499),
            ".sig03": (3.80116, 8.75338), ".sigma": (22.89827, 28.85800),
            "(Intercept)": (237.68070, 265.12951), "Days": (7.35865, 13.57592),
        },
    ),
    "2.10 dyestuff_ML": (
        "Dyestuff", "Yield ~ 1 + (1 | Batch)", {"REML": False},
        {
            ".sig01": (12.19854, 84.06305), ".sigma": (38.22998, 67.65770),
            "(Intercept)": (1486.45150, 1568.54849),
        },
    ),
    "2.10 dyestuff2": ("Dyestuff2", "Yield ~ 1 + (1 | Batch)", {}, {".sig01": (0.0, 2.084043)}),
    "2.10 penicillin": (
        "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", {},
        {
            ".sig01": (0.633566, 1.182104), ".sig02": (1.095789, 3.556292),
            ".sigma": (0.4858454, 0.6294535), "(Intercept)": (21.266627, 24.677818),
        },
    ),
    "2.10 sleep_dv": (
        "sleepstudy", "Reaction ~ Days + (Days || Subject)", {},
        {
            ".sig01": (15.258647, 37.786471), ".sig02": (3.964074, 8.769159),
            ".sigma": (22.880555, 28.787598), "(Intercept)": (237.572148, 265.238062),
            "Days": (7.334067, 13.600505),
        },
    ),
    # case 60 of 3.1, lme4's profile-tst.R
    "3.1 #60 Dyestuff": (
        "Dyestuff", "Yield ~ 1 + (1 | Batch)", {"REML": False},
        {
            ".sigma": (float(np.exp(3.64362)), float(np.exp(4.21446))),
            "(Intercept)": (1486.451500, 1568.548494),
        },
    ),
}  # fmt: skip


def fitted(name: str, formula: str, options: dict[str, object]) -> nm.LmerFit:
    return nm.lmer(formula, nm.load_dataset(name), **options)


@pytest.mark.parametrize("case", R_CONFINT)
def test_intervals_are_those_of_lme4(case):
    name, formula, options, expected = R_CONFINT[case]
    found = fitted(name, formula, options).conf_int(list(expected), order="lme4-1", names="old")
    assert list(found.index) == list(expected)
    scale = np.maximum(np.abs(list(expected.values())), 0.1)
    assert np.all(np.abs(found.to_numpy() - list(expected.values())) < 2e-4 * scale)


def test_order_and_names_of_lme4_2():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    new, old = fit.conf_int("theta_"), fit.conf_int("theta_", names="old")
    assert list(new.index) == [
        "sd_(Intercept)|Subject", "sd_Days|Subject", "cor_Days.(Intercept)|Subject", "sigma",
    ]  # fmt: skip
    assert list(old.index) == [".sig01", ".sig02", ".sig03", ".sigma"]
    assert np.allclose(new, old)
    before = fit.conf_int("theta_", names="old", order="lme4-1")
    assert np.allclose(before.loc[".sig02"], new.loc["cor_Days.(Intercept)|Subject"])


@pytest.mark.parametrize("kind", designs.FORMULAS)
def test_gradient_in_all_coordinates(kind):
    """The coordinates start at the estimate and the gradient is that of the deviance."""
    d = designs.design(kind, weighted=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    rng = np.random.default_rng(0)
    phi = 0.7 * start_phi(plan) + 0.15 * rng.normal(size=plan.n_theta)
    at = results_at(d, theta_of_phi(phi, plan, stats), REML=False, stats=stats)
    parameters = model_parameters(d)
    for p, value in zip(parameters, parameter_values(parameters, at), strict=True):
        coordinates = held_coordinates(p, at)
        assert abs(deviance_at(coordinates.start, coordinates).value - at.deviance) < 1e-8
        assert np.isclose(coordinates.to_natural(coordinates.start[coordinates.held]), value)
        assert np.isclose(coordinates.from_natural(value), coordinates.start[coordinates.held])
        z = coordinates.start + 0.05 * rng.normal(size=len(coordinates.start))
        found = deviance_at(z, coordinates)

        def value_at(x, coordinates=coordinates):
            return deviance_at(x, coordinates).value

        numeric = designs.central_difference(value_at, z)
        assert np.allclose(found.gradient, numeric, rtol=1e-6, atol=1e-6 * np.abs(numeric).max())
        H = hessian_at(found, coordinates)
        assert H.shape == (len(z), len(z)) and np.allclose(H, H.T)


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ Days + (Days | Subject)",
        "Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)",
        "Reaction ~ Days + cs(0 + Days + I(Days^2) | Subject)",
    ],
)
def test_the_deviance_at_each_limit(formula):
    """Held at a limit, the best fit is worse by exactly the quantile squared.

    Approached in small steps: from far away one may come to a worse local optimum.
    """
    z = 1.6448536269514722
    fit = nm.lmer(formula, nm.load_dataset("sleepstudy"), REML=False)
    limits = fit.conf_int(level=0.9)
    checked = 0
    for p in model_parameters(fit.design):
        coordinates = held_coordinates(p, fit.solution)
        for value in limits.loc[p.name]:
            if value in (p.lower, p.upper):
                continue
            at = coordinates.start.copy()
            for step in np.linspace(at[coordinates.held], coordinates.from_natural(value), 12):
                at[coordinates.held] = step
                held = fit_constrained(at, coordinates).deviance
                at = held.z.copy()
            assert np.sqrt(held.value - fit.deviance) == pytest.approx(z, abs=2e-4)
            checked += 1
    assert checked >= 2 * fit.design.p + 4


@pytest.fixture
def classroom(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data / "classroom.csv")


# R: confint(lmer(mathscore ~ ses + (ses | schoolid) + (1 | classid), classroom)). lme4's natural
# spline is off where the profile flattens towards zero; there, zeta of its own limits is checked.
M17 = {
    ".sig01": (None, 12.436967), ".sig02": (12.009520809, 19.038419), ".sig03": (-0.0831, 1.0),
    ".sig04": (None, 12.080380), ".sigma": (31.387701, 34.525211),
    "(Intercept)": (519.026011942, 526.605425), "ses": (7.774699347, 14.576083),
}  # fmt: skip


def test_m17_and_a_bound(classroom):
    fit = nm.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", classroom)
    found = fit.conf_int(order="lme4-1", names="old")
    for name, limits in M17.items():
        for value, expected in zip(found.loc[name], limits, strict=True):
            if expected is not None:
                assert value == pytest.approx(expected, rel=1.2e-4, abs=1e-3)
    assert found.loc[".sig03", "conf_high"] == 1.0
    assert found.loc[".sig01", "conf_low"] == pytest.approx(2.3903, abs=2e-3)
    assert found.loc[".sig04", "conf_low"] == pytest.approx(0.7613, abs=2e-3)


def test_m15_whose_optimum_is_singular(classroom):
    """lme4's profile of M15 stops with an error or nonsense; every end is a number here."""
    fit = nm.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom)
    found = fit.conf_int(progress=False)
    assert not found.isna().any().any()
    assert tuple(found.loc["cor_ses.(Intercept)|classid"]) == (-1.0, 1.0)
    assert tuple(found.loc["sd_ses|classid"].round(3)) == (0.0, 11.364)
    assert found.loc["sigma", "conf_low"] == pytest.approx(31.3871, abs=1e-3)


def test_standard_deviation_of_zero():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    found = fit.profile()
    curve = found.curves[0]
    assert curve.estimate == 0.0 and curve.value[0] == 0.0
    assert curve.ends == ("bound", "cutoff")
    # R: confint(refitML(m)) of the lm: the mean and sigma as without groups
    limits = found.conf_int()
    assert tuple(limits.loc["(Intercept)"].round(4)) == (4.3128, 7.0184)


def test_undefined_correlation_is_said():
    fit = nm.lmer(designs.FORMULAS["nested chain of two"], designs.data())
    name = "cor_x.(Intercept)|f2"
    assert np.isnan(parameter_values(model_parameters(fit.design), fit.refit_ml().solution)).any()
    found = fit.conf_int(name)
    assert tuple(found.loc[name]) == (-1.0, 1.0)
    assert any("not defined" in message for message in found.attrs["messages"])


def test_profile_frame_and_curve():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    found = fit.profile()
    frame = found.to_frame()
    names = [p.name for p in model_parameters(fit.design)]
    assert list(frame.columns) == ["term", "zeta", "value", "deviance", *names]
    for name in names:
        rows = frame[frame["term"] == name]
        assert rows["zeta"].is_monotonic_increasing and rows["value"].is_monotonic_increasing
        assert rows["zeta"].abs().max() > np.sqrt(16.8)  # the joint region of six parameters
        assert np.allclose(rows["value"], rows[name])  # its own column
        rise = np.maximum(rows["deviance"] - found.deviance, 0.0)
        assert np.allclose(np.sqrt(rise), rows["zeta"].abs(), atol=1e-4)
        curve = found.curve(name)
        assert np.all(np.diff(curve["value"]) > 0)
        assert np.interp(0.0, curve["zeta"], curve["value"]) == pytest.approx(
            found.curves[names.index(name)].estimate, rel=1e-3, abs=1e-3
        )
    assert "Profiles of the deviance" in repr(found)
    again = pickle.loads(pickle.dumps(found))
    assert again.conf_int(0.99).equals(found.conf_int(0.99))
    with pytest.raises(nm.errors.OptionError, match="cutoff"):
        fit.profile("sigma", cutoff=1.0).conf_int(0.99)
    with pytest.raises(nm.errors.OptionError, match="no profile of 'Day'"):
        found.curve("Day")


def test_profile_symmetry_of_fixed_effects():
    """In a balanced design the profile of a fixed effect is symmetric around the estimate."""
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    low, high = fit.conf_int("Days").loc["Days"]
    assert 0.5 * (low + high) == pytest.approx(fit.params["Days"], rel=1e-6)


def test_a_lower_deviance_is_followed():
    """Starting from a fit that is no optimum, the profile finds the better one and says so."""
    from nestedmlm.inference.profile.profile import profile_parameters

    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"), REML=False)
    worse = results_at(fit.design, fit.theta * [1.2, 1.0, 0.8], REML=False)
    chosen = model_parameters(fit.design)[-1:]
    found = profile_parameters(fit.design, worse, chosen, cutoff=2.1, step=1.0)
    assert found.solution.deviance == pytest.approx(fit.deviance, abs=1e-6)
    by = worse.deviance - found.solution.deviance
    assert found.messages[0].startswith(f"profiling found a deviance lower by {by:.3g}: ")
    expected = fit.conf_int("Days").loc["Days"]
    assert found.curves[0].limit(-1.959964) == pytest.approx(expected["conf_low"], abs=1e-4)


def test_scale_of_a_predictor_changes_nothing():
    rows = nm.load_dataset("sleepstudy").assign(D=lambda d: d["Days"] * 1e6)
    plain = nm.lmer("Reaction ~ Days + (Days | Subject)", rows).conf_int("theta_")
    big = nm.lmer("Reaction ~ D + (D | Subject)", rows).conf_int("theta_")
    big.loc["sd_D|Subject"] *= 1e6
    assert np.allclose(plain, big, rtol=1e-5)


def test_parameters_are_chosen():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    assert list(fit.conf_int(".sigma").index) == ["sigma"]
    assert list(fit.conf_int(-1).index) == ["Days"]
    assert list(fit.conf_int([0, "beta_"]).index) == [
        "sd_(Intercept)|Subject", "(Intercept)", "Days",
    ]  # fmt: skip
    for bad in ("Day", 6, 1.5, [None]):
        with pytest.raises(nm.errors.OptionError):
            fit.conf_int(bad)
    for options in ({"method": "likelihood"}, {"order": "R"}, {"names": "short"}, {"level": 1.0}):
        with pytest.raises(nm.errors.OptionError):
            fit.conf_int("sigma", **options)


def test_old_names_count_the_parameters_of_the_random_effects():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    names = [".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "Days"]
    assert list(old_names(model_parameters(fit.design))) == names


def test_a_jump_of_the_profile_is_no_place_to_look_between():
    """Two fits at one value, the second lower: there is no curve between them to interpolate."""
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"), REML=False)
    sigma = next(p for p in model_parameters(fit.design) if p.kind == "sigma")
    path = follow_profile(held_coordinates(sigma, fit.solution), cutoff=1.0, step=0.5)
    last = path.points[-1]
    jump = replace(path, points=(*path.points, replace(last, zeta=last.zeta + 1.0)))
    assert refine_path(jump, zetas=[last.zeta + 0.5]).points == jump.points


def test_a_likelihood_that_rises_as_the_residuals_vanish_has_no_profile():
    """Five fixed effects and four groups fit eight rows exactly; by REML there is an optimum."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({name: rng.normal(size=8) for name in "yxz"}).assign(g=np.arange(8) // 2)
    fit = nm.lmer("y ~ x + z + I(x * z) + I(x^2) + (1 | g)", rows)
    assert fit.converged and fit.sigma > 0.01
    with (
        pytest.warns(ConvergenceWarning),  # of an optimum that is none, by either descent
        pytest.raises(NotDefinedError, match="the likelihood rises as sigma vanishes"),
    ):
        fit.conf_int(method="profile")
    assert np.isfinite(fit.conf_int(method="wald").loc["x"]).all()
