"""Profiles of generalized models: R's intervals, gradients, refits at the limits, and refusals."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import NotDefinedError, OptionError
from nestedmlm.inference.profile.constrained_fit import criterion_of
from nestedmlm.inference.profile.generalized_deviance import generalized_coordinates
from nestedmlm.inference.variances.parameters import parameter_values
from tests import designs

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)"
Z = 1.959963984540054

# lme4 1.1-31, confint(m, quiet = TRUE) with glmerControl(tolPwrss = 1e-12); its splines are exact
# to about 2e-4
R_CBPP = {
    ".sig01": (0.34609447, 1.09988172), "(Intercept)": (-1.90115607, -0.94779455),
    "period2": (-1.61667889, -0.40784027), "period3": (-1.80091773, -0.51161021),
    "period4": (-2.50060070, -0.80083105),
}  # fmt: skip
R_TICKS = {  # family = negative.binomial(theta = 1.5)
    ".sig01": (0.680308270, 1.046695079), "(Intercept)": (0.169794845, 0.924655493),
    "YEAR96": (0.645812826, 1.621366259), "YEAR97": (-1.528117425, -0.450752621),
    "cHEIGHT": (-0.029976253, -0.018013159),
}  # fmt: skip


@pytest.fixture(scope="module")
def cbpp():
    return nm.glmer(CBPP, nm.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def ticks():
    return nm.glmer(TICKS, nm.load_dataset("grouseticks"), family="negativebinomial")


def close(found, expected, tolerance):
    expected = np.array(list(expected.values()))
    return np.all(np.abs(found.to_numpy() - expected) < tolerance * np.maximum(0.1, abs(expected)))


def test_intervals_are_those_of_lme4(cbpp):
    found = cbpp.conf_int(method="profile", names="old", progress=False)
    assert list(found.index) == list(R_CBPP)
    assert close(found, R_CBPP, 2e-4)
    fixed = nm.glmer(TICKS, nm.load_dataset("grouseticks"),
                     family=nm.families.negative_binomial(theta=1.5))  # fmt: skip
    found = fixed.conf_int(method="profile", names="old", progress=False)
    assert list(found.index) == list(R_TICKS)
    assert close(found, R_TICKS, 2e-4)


def test_theta_of_the_negative_binomial(ticks):
    """glmmTMB 1.1.5, confint(profile(m)), whose interpolation is good to about 1e-3."""
    found = ticks.conf_int(["theta", "sd_(Intercept)|BROOD"], method="profile", progress=False)
    expected = {"theta": (2.3703752, 4.6893225), "sd": (0.74318833, 1.09515589)}
    assert close(found, expected, 1e-3)
    wald = ticks.conf_int("theta")
    assert wald.loc["theta", "conf_low"] == pytest.approx(2.353893, abs=1e-4)
    assert found.loc["theta", "conf_low"] > wald.loc["theta", "conf_low"]


def test_a_refit_at_each_limit_is_worse_by_the_quantile_squared(ticks):
    """The coefficient goes into the offset, theta is fixed: models without that parameter."""
    data = nm.load_dataset("grouseticks")
    found = ticks.conf_int(["theta", "cHEIGHT"], method="profile", progress=False)
    for value in found.loc["theta"]:
        family = nm.families.negative_binomial(theta=value)
        held = nm.glmer(TICKS, data, family=family, information="observed")
        assert np.sqrt(held.criterion - ticks.criterion) == pytest.approx(Z, abs=2e-4)
    for value in found.loc["cHEIGHT"]:
        moved = data.assign(o=value * data["cHEIGHT"])
        held = nm.glmer("TICKS ~ YEAR + offset(o) + (1 | BROOD)", moved, family="negativebinomial")
        assert np.sqrt(held.criterion - ticks.criterion) == pytest.approx(Z, abs=2e-4)


def test_quadrature_has_profiles_of_its_own(cbpp):
    exact = nm.glmer(CBPP, nm.load_dataset("cbpp"), family="binomial", nAGQ=9)
    found = exact.conf_int("period2", method="profile", progress=False)
    data = nm.load_dataset("cbpp")
    for value in found.loc["period2"]:
        moved = data.assign(o=value * (data["period"].astype(str) == "2"),
                            later=data["period"].astype(str).replace("2", "1"))  # fmt: skip
        formula = "cbind(incidence, size - incidence) ~ later + offset(o) + (1 | herd)"
        held = nm.glmer(formula, moved, family="binomial", nAGQ=9)
        assert np.sqrt(held.criterion - exact.criterion) == pytest.approx(Z, abs=2e-4)


def made(form, family, seed=2):
    rng = np.random.default_rng(seed)
    g, x = np.arange(120) % 12, rng.normal(size=120)
    mu = np.exp(0.8 + 0.3 * x + rng.normal(0.0, 0.5, 12)[g] + rng.normal(0.0, 0.4, 12)[g] * x)
    y = rng.poisson(mu) if family == "negativebinomial" else rng.gamma(4.0, mu / 4.0)
    return nm.glmer(form, pd.DataFrame({"g": g.astype(str), "x": x, "y": y}), family=family)


@pytest.mark.parametrize("form", ["y ~ x + (x | g)", "y ~ x + (x || g)", "y ~ x + cs(x | g)"])
@pytest.mark.parametrize("family", ["negativebinomial", "gamma"])
def test_gradient_in_all_coordinates(form, family):
    fit = made(form, family)
    rng = np.random.default_rng(0)
    parameters = fit.core.parameters
    for p, value in zip(parameters, parameter_values(parameters, fit.solution), strict=True):
        coordinates = generalized_coordinates(p, fit.solved)
        criterion = criterion_of(coordinates)
        start, held = coordinates.start, coordinates.held
        assert abs(criterion.at(start, coordinates).value - fit.criterion) < 1e-7
        assert np.isclose(coordinates.to_natural(start[held]), value)
        assert np.isclose(coordinates.from_natural(value), start[held])
        z = start + 0.05 * rng.normal(size=len(start)) * (np.arange(len(start)) > 0)
        found = criterion.at(z, coordinates)

        def value_at(x, criterion=criterion, coordinates=coordinates):
            return criterion.at(x, coordinates).value

        numeric = designs.central_difference(value_at, z)[1:]
        assert np.allclose(found.gradient[1:], numeric, rtol=2e-6, atol=2e-6 * abs(numeric).max())
        H = criterion.hessian(found, coordinates)
        assert H.shape == (len(z), len(z))
        assert np.allclose(H, H.T)


def test_at_the_edge_of_the_parameters():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 8).astype(str), "x": rng.normal(size=96)})
    data["y"] = np.random.default_rng(0).binomial(1, 0.5, 96)
    fit = nm.glmer("y ~ x + (x | g)", data, family="binomial")
    assert not fit.theta.any()
    found = fit.conf_int("theta_", method="profile", progress=False)
    assert found.loc["sd_x|g", "conf_low"] == 0.0
    assert 0.5 < found.loc["sd_x|g", "conf_high"] < 1.5
    assert found.loc["cor_x.(Intercept)|g"].tolist() == [-1.0, 1.0]
    assert "not defined at the estimate" in found.attrs["messages"][0]


def test_where_the_mean_has_an_end():
    """A Poisson mean cannot be negative: the profile ends inside, and does not run out."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(12), 8), rng.normal(size=96)
    y = rng.poisson(9.0 + 1.6 * x)
    data = pd.DataFrame({"g": g.astype(str), "x": x, "y": y})
    fit = nm.glmer("y ~ x + (1 | g)", data, family="poisson", link="identity")
    found = fit.profile("x", progress=False)
    assert (found.to_frame()["deviance"] > fit.criterion - 1e-5).all()


@pytest.mark.slow
def test_a_profile_that_falls_into_a_pole_of_the_approximation_is_refused():
    rng = np.random.default_rng(12)
    y = (rng.gamma(0.7, 2.0, 12) + 0.02).round(2)
    data, form = pd.DataFrame({"g": np.arange(12) % 4, "y": y}), "y ~ 1 + (1 | g)"
    fit = nm.glmer(form, data, family="inverse_gaussian")
    with pytest.raises(NotDefinedError, match='information="expected", which has a bound'):
        fit.conf_int(method="profile")
    bounded = nm.glmer(form, data, family="inverse_gaussian", information="expected")
    assert bounded.conf_int(method="profile").loc["dispersion"].between(2.0, 20.0).all()


def test_what_has_no_profile():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 8).astype(str), "x": rng.normal(size=96)})
    data["y"], data["z"] = rng.binomial(1, 0.5, 96), (data["x"] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        separated = nm.glmer("z ~ x + (1 | g)", data, family="binomial")
    with pytest.raises(NotDefinedError, match="x grows without bound"):
        separated.profile()
    joint = nm.glmer("y ~ x + (1 | g)", data, family="binomial", nAGQ=0)
    with pytest.raises(OptionError, match="fit with nAGQ=1"):
        joint.conf_int(method="profile")
    penalised = nm.glmer("y ~ x + (1 | g)", data, family="binomial", penalty="normal")
    with pytest.raises(OptionError, match="penalised fit has no profile"):
        penalised.profile()
