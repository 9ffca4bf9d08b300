"""Checks of generalized posteriors, and of those whose residuals differ or correlate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.plots.source import rows_of
from nestedmlm.posterior.squares_given_effects import squares_given_effects

GROUPS, EACH = 10, 8


@pytest.fixture(scope="module")
def sound() -> nm.BayesFit:
    """Of counts of a Poisson model with a random intercept."""
    rng = np.random.default_rng(100)
    g = np.repeat(np.arange(GROUPS), EACH)
    x, z = rng.normal(size=(2, len(g)))
    eta = 0.7 + 0.4 * x + 0.4 * rng.normal(size=GROUPS)[g]
    y = rng.poisson(np.exp(eta + 0.2 * z))
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": g})
    model = nm.Model("y ~ x + z + (1 | g)", data, family="poisson")
    return model.sample(sampler="psis", draws=250, seed=1)


def verdicts(posterior: nm.BayesFit) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in posterior.check().findings}


FAULTS = {
    "overdispersion": lambda y, x, rng: rng.poisson(y * rng.gamma(0.7, 1.0 / 0.7, size=len(y))),
    "linearity": lambda y, x, rng: rng.poisson(y * np.exp(0.5 * x**2 - 0.3)),
    "zeros": lambda y, x, rng: np.where(rng.uniform(size=len(y)) < 0.5, 0, y),
    "outliers": lambda y, x, rng: np.where(np.arange(len(y)) == 17, 60, y),
    "distribution": lambda y, x, rng: 3 * y,
}


@pytest.mark.parametrize("check", FAULTS)
def test_faults_of_a_response_are_found(sound: nm.BayesFit, check: str) -> None:
    """The posterior is held: of another response than it was drawn for."""
    y = FAULTS[check](sound.design.y, sound.design.X[:, 1], np.random.default_rng(1))
    other = replace(sound, design=sound.design.with_response(np.asarray(y, dtype=float)))
    assert verdicts(other)[check] in ("look", "act")


def test_sound_data_are_fine(sound: nm.BayesFit) -> None:
    found = verdicts(sound)
    assert set(found.values()) == {"fine"}, found
    checks = {"distribution", "overdispersion", "zeros", "outliers", "linearity", "link"}
    assert checks < set(found)


def test_drawn_squares_are_those_of_the_family(sound: nm.BayesFit) -> None:
    """Each drawn squared residual of a Poisson model has the expected value one."""
    own, others = squares_given_effects(sound.data, sound.design, 400, seed=2)
    assert others.mean() == pytest.approx(GROUPS * EACH, rel=0.05)
    assert 0.05 < np.mean(others >= own) < 0.95


def test_quantile_residuals_are_at_the_posterior_means(sound: nm.BayesFit) -> None:
    draws, design = sound.data["posterior"], sound.design
    eta = design.X @ [float(draws[name].mean()) for name in ("Intercept", "x", "z")]
    b = draws["1|g"].mean(("chain", "draw")).to_numpy()
    mu = np.exp(eta + b[design.factors[0].codes])
    z = rows_of(sound)[1]
    low, high = (stats.norm.ppf(stats.poisson.cdf(design.y - k, mu)) for k in (1, 0))
    assert np.all((z >= low - 1e-9) & (z <= high + 1e-9))


def test_residuals_are_normalized_at_the_posterior_means() -> None:
    data = nm.load_dataset("sleepstudy").iloc[:100]
    model = nm.Model("Reaction ~ Days + (1 | Subject)", data, residual="ar1(Days | Subject)")
    posterior = model.sample(sampler="psis", draws=250, seed=1)
    draws = posterior.data["posterior"]
    rho, sigma = (float(draws[name].mean()) for name in ("residual_rho", "sigma"))
    R = rho ** np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    e = (posterior.design.y - posterior.fittedvalues.to_numpy()).reshape(10, 10)
    z = np.linalg.solve(sigma * np.linalg.cholesky(R), e.T).T.ravel()
    np.testing.assert_allclose(rows_of(posterior)[1], z, rtol=1e-6)
    assert {"normal residuals", "equal spread", "outliers"} < set(verdicts(posterior))
