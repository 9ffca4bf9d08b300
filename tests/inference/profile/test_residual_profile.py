"""Profiles of fits whose residuals differ or correlate: against known weights and dense twins."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import nestedmlm as nm
from nestedmlm.errors import DataError
from nestedmlm.inference.profile import profile
from nestedmlm.inference.profile.coordinates import held_coordinates
from nestedmlm.inference.profile.residual_deviance import residual_coordinates
from nestedmlm.inference.variances.parameters import parameter_values

HIGHEST = 3.841458820694124  # of the deviance at a limit of 95 %


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"g": np.repeat(np.arange(20), 3), "t": np.tile(np.arange(3.0), 20)})
    d["visit"], d["arm"] = "v" + d["t"].astype(int).astype(str), np.where(d["g"] % 2, "b", "a")
    noise = rng.normal(size=(20, 3)) @ [[1.0, 0.6, 0.2], [0.0, 0.8, 0.3], [0.0, 0.0, 1.2]]
    d["y"] = 1.0 + 0.5 * d["t"] + noise.ravel() * np.where(d["arm"] == "b", 2.0, 1.0)
    return d


def test_limits_of_a_ratio_are_those_of_known_weights():
    d = data()
    fit = nm.lmer("y ~ t + (1 | g)", d, dispersion="~ arm")
    profile = fit.profile("sd_ratio[b]", progress=False)
    for ratio in profile.conf_int().loc["sd_ratio[b]"]:
        w = np.where(d["arm"] == "b", 1.0 / ratio**2, 1.0)
        held = nm.lmer("y ~ t + (1 | g)", d, weights=w, REML=False)
        assert held.deviance - profile.deviance == pytest.approx(HIGHEST, abs=1e-5)


def deviance(V: np.ndarray) -> float:
    """ML deviance of blocks with one covariance, dense."""
    d = data()
    W = np.kron(np.eye(20), np.linalg.inv(np.linalg.cholesky(V)))
    X, y = W @ np.column_stack([np.ones(60), d["t"]]), W @ d["y"].to_numpy()
    rest = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return float(60 * np.log(2 * np.pi) + 20 * np.linalg.slogdet(V)[1] + rest @ rest)


def test_limits_of_an_autocorrelation_beside_a_random_intercept():
    profile = nm.lmer("y ~ t + (1 | g)", data(), residual="ar1(t | g)").profile(
        "rho", progress=False
    )
    for rho in profile.conf_int().loc["rho"].dropna():
        if rho <= -1.0:  # never reached
            continue
        R = rho ** np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
        held = [
            minimize(lambda x, R=R: deviance(np.exp(x[0]) * R + np.exp(x[1])), start,
                     method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).fun
            for start in ([0.5, -1.0], [0.5, -9.0])
        ]  # fmt: skip
        assert min(held) - profile.deviance == pytest.approx(HIGHEST, abs=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param("residual_sd[v1]", marks=pytest.mark.slow), "residual_cor[v2,v1]"]
)
def test_a_limit_of_an_unstructured_covariance(name):
    profile = nm.lmer("y ~ t", data(), residual="us(visit | g)").profile(name, progress=False)
    low = float(profile.conf_int(0.95).loc[name, "conf_low"])

    def cov(x: np.ndarray) -> np.ndarray:
        L = np.zeros((3, 3))
        L[np.tril_indices(3)] = x
        return L @ L.T

    def value(x: np.ndarray) -> float:
        V = cov(x)
        if name.startswith("residual_sd"):
            return float(np.sqrt(V[1, 1]))
        return float(V[2, 1] / np.sqrt(V[1, 1] * V[2, 2]))

    held = minimize(lambda x: deviance(cov(x)), [1.5, 0.5, 1.5, 0.2, 0.3, 1.5], method="SLSQP",
                    constraints={"type": "eq", "fun": lambda x: value(x) - low},
                    options={"ftol": 1e-12, "maxiter": 300})  # fmt: skip
    assert held.fun - profile.deviance == pytest.approx(HIGHEST, abs=1e-4)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ t", {"residual": "us(visit | g, by=arm)"}),
        ("y ~ t + (1 | arm)", {"residual": "us(visit | g)", "weights": np.linspace(1, 2, 60)}),
        ("y ~ t + (1 | g)", {"residual": "ar1(t | g, hom=False)"}),
        ("y ~ t", {"residual": "car1(t | g)", "dispersion": "~ t"}),
        ("y ~ t", {"residual": "toep(visit | g)"}),
    ],
)
def test_every_parameter_is_a_coordinate_with_an_exact_gradient(formula, options):
    fit = nm.lmer(formula, data(), REML=False, **options)
    found, rng = fit.solution, np.random.default_rng(0)
    for parameter in fit.core.parameters:
        held = residual_coordinates(parameter, held_coordinates(parameter, found), found)
        criterion, z = held.criterion, held.start
        assert criterion.at(z, held).value == pytest.approx(found.deviance, abs=1e-8)
        value = parameter_values([parameter], found)[0]
        assert held.to_natural(z[held.held]) == pytest.approx(value, rel=1e-8)
        z = z + 0.05 * rng.normal(size=len(z))
        gradient = criterion.at(z, held).gradient
        for e in 1e-5 * np.eye(len(z)):
            up, down = criterion.at(z + e, held).value, criterion.at(z - e, held).value
            slope = gradient @ e / 1e-5
            assert slope == pytest.approx((up - down) / 2e-5, abs=2e-5 * max(1.0, abs(slope)))


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ t", {"residual": "us(visit | g, by=arm)"}),
        ("y ~ t", {"residual": "toep(visit | g)", "dispersion": "~ arm"}),
        ("y ~ t + (1 | arm)", {"residual": "us(visit | g)"}),
    ],
)
def test_second_derivatives_are_those_of_the_gradient(formula, options):
    fit = nm.lmer(formula, data(), REML=False, **options)
    found, rng = fit.solution, np.random.default_rng(0)
    n_terms = len(found.theta)  # the average information stands for theirs among themselves
    for parameter in fit.core.parameters[::3]:
        held = residual_coordinates(parameter, held_coordinates(parameter, found), found)
        criterion = held.criterion
        z = held.start + 0.05 * rng.normal(size=len(held.start))
        H = criterion.hessian(criterion.at(z, held), held)
        for i, e in enumerate(1e-5 * np.eye(len(z))):
            if 1 <= i < 1 + n_terms:
                continue
            up, down = criterion.at(z + e, held).gradient, criterion.at(z - e, held).gradient
            assert H[i] == pytest.approx((up - down) / 2e-5, abs=1e-5 * np.abs(H).max())


@pytest.mark.slow
def test_all_limits_of_four_visits_are_found():
    d = nm.load_dataset("Orthodont")
    d["visit"] = "v" + d["age"].astype(int).astype(str).str.zfill(2)
    fit = nm.lmer("distance ~ age * Sex", d, residual="us(visit | Subject)")
    assert np.isfinite(fit.conf_int()).all(axis=None)


def test_a_profile_without_a_criterion_says_what_is_the_matter(monkeypatch):
    def nothing(*_, **__):
        raise np.linalg.LinAlgError

    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    monkeypatch.setattr(profile, "follow_profile", nothing)
    with pytest.raises(DataError, match="rows are fitted exactly"):
        fit.profile("sigma", progress=False)
