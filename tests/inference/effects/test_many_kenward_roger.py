"""Kenward and Roger's tests of many responses are those of each response alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.fits.simulation import powertests
from nestedmlm.inference.effects.ddf import df_method, joint_test
from nestedmlm.inference.effects.many_kenward_roger import interpolated, many_kenward_roger
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.batch import refit_many
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.responses import each_response


def made(sizes: list[int]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(len(sizes)), sizes)
    n = len(g)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=n), "f": rng.choice(list("abc"), size=n)})
    data["between"] = (g % 2).astype(float)
    data["w"] = rng.uniform(0.5, 2.0, size=n)
    data["y"] = 0.5 * rng.normal(size=len(sizes))[g] + rng.normal(size=n)
    return data


@pytest.mark.parametrize(
    ("random", "sizes", "weights"),
    [
        ("(1 | g)", [8] * 12, None),
        ("(1 | g)", [2, 3, 4, 6, 9, 13, 20, 30], "w"),
        ("(0 + x | g)", [4, 5, 6, 7, 8, 9], None),
    ],
)
def test_p_values_are_those_one_by_one(random, sizes, weights):
    data = made(sizes)
    fit = nm.lmer(f"y ~ x + between + f + {random}", data, weights=weights)
    design, stats = fit.design, cross_products(fit.design)
    Y = np.random.default_rng(1).normal(size=(design.n, 40))
    effects = np.random.default_rng(2).normal(size=(len(sizes), 40)) * np.linspace(0.0, 0.8, 40)
    Y += effects[data["g"]]
    fits = refit_many(design, Y, REML=True, stats=stats)
    assert fits.singular.any()
    assert not fits.singular.all()
    for L in (np.eye(design.p)[[2]], np.eye(design.p)[[3, 4]]):
        found = many_kenward_roger(design, stats, fits.beta, fits.theta[:, 0], fits.sigma, L)
        assert found is not None
        for i, sums in enumerate(each_response(design, stats, Y)):
            own = design.with_response(Y[:, i].copy())
            solution = results_at(own, fits.theta[i], REML=True, stats=sums)
            fitted = Fitted(design=own, solution=solution, REML=True)
            alone = joint_test(df_method(fitted, "kenward-roger"), L).p_value
            assert found[i] == pytest.approx(alone, rel=1e-9)


def test_functions_that_are_not_smooth_are_not_interpolated():
    theta = np.linspace(0.0, 3.0, 50)
    assert interpolated(lambda x: np.array([abs(x - 1.0)]), theta) is None
    assert interpolated(lambda x: np.array([1.0 / (1.0 + 5.0 * x**2)]), theta) == pytest.approx(
        1.0 / (1.0 + 5.0 * theta[:, None] ** 2), rel=1e-9
    )


@pytest.mark.parametrize("theta", [0.0, 0.7])
def test_one_place_of_all(theta):
    found = interpolated(lambda x: np.array([x, 1.0]), np.full(4, theta))
    assert found == pytest.approx(np.tile([theta, 1.0], (4, 1)))


def test_power_is_the_same_at_once_and_one_by_one(monkeypatch):
    plan = made([6] * 12)
    plan["treated"] = np.tile([0.0, 1.0], 36)
    study = nm.scenario(
        "y ~ treated + (1 | g)",
        plan.drop(columns="y"),
        beta={"treated": 0.5},
        theta=[0.4],
        sigma=1.0,
    )

    def estimate() -> float:
        found = nm.power(study, "treated", 120, seed=1, test="kenward-roger", progress=False)
        return found.estimate

    many = estimate()
    monkeypatch.setattr(powertests, "LEAST", 1_000)
    assert many == estimate()
    assert 0.1 < many < 0.9
