"""Simulation-based calibration (Talts, Betancourt, Simpson, Vehtari & Gelman 2018) of both forms.

Parameters come from the priors, data from the parameters; then the true values' ranks among
draws of the posterior are uniform, whatever the model. Truth and data are made with NumPy alone.
The likelihood of the truth is ranked too: without it a posterior that ignored the data would pass
(Modrák et al. 2023).

What these designs can show is coarse: with so many simulations NUTS notices half of log|M| left
out, but neither a prior's scale off by a factor of two nor a likelihood tempered by 0.8. Both are
seen on designs that are made for it: of the marginal form by importance sampling
(test_bayes_calibration_psis), of the hierarchical one in test_bayes_calibration_families.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import nutpie
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.sampling.conditional import draw_random_effects
from nestedmlm.bayes.sampling.density import reported_names
from nestedmlm.bayes.sampling.sampling import sample
from nestedmlm.design.build import build_design

SCHOOLS, CLASSES, PUPILS = 8, 3, 4
FORMULA = "y ~ x + (x | school) + (1 | class)"
# All of them, so that nothing is scaled by a simulated y. The intercept's is at the mean of x.
PRIORS = {
    "Intercept": nm.Prior("Normal", mu=10.0, sigma=2.0),
    "x": nm.Prior("Normal", mu=1.0, sigma=1.0),
    "1|school_sigma": nm.Prior("HalfNormal", sigma=1.5),
    "x|school_sigma": nm.Prior("Exponential", scale=0.7),
    "school_corr": nm.Prior("LKJ", eta=1.5),
    "1|class_sigma": nm.Prior("HalfNormal", sigma=1.0),
    "sigma": nm.Prior("Gamma", alpha=8.0, beta=8.0),
}
DRAWS, BINS = 39, 10  # 40 ranks, four in each bin
LEAST_P = 0.01  # of all quantities together

NAMES = tuple(PRIORS)
EFFECTS = {"1|school": 0, "x|school": 1, "1|class": 2}  # by name, the level that is ranked


@dataclass(frozen=True)
class Simulated:
    """True values by name (correlation: the number; effects: one per level), and the response."""

    truth: dict
    y: np.ndarray


@cache
def fixed_design():
    """The design that every response is put into; the mean of x is far from zero."""
    rng = np.random.default_rng(20180418)
    classes = np.repeat(np.arange(SCHOOLS * CLASSES), PUPILS)
    frame = pd.DataFrame({"x": rng.normal(1.5, 1.0, len(classes)), "class": classes})
    frame["school"] = frame["class"] // CLASSES
    frame["y"] = rng.normal(size=len(frame))
    return build_design(FORMULA, frame)


def simulate(rng):
    """Draw parameters from the priors, effects and a response from the parameters."""
    x = fixed_design().X[:, 1]
    given = {name: dict(prior.parameters) for name, prior in PRIORS.items()}
    at_mean = rng.normal(given["Intercept"]["mu"], given["Intercept"]["sigma"])
    slope = rng.normal(given["x"]["mu"], given["x"]["sigma"])
    eta = given["school_corr"]["eta"]
    truth = {
        "Intercept": at_mean - slope * x.mean(),
        "x": slope,
        "1|school_sigma": abs(rng.normal(0.0, given["1|school_sigma"]["sigma"])),
        "x|school_sigma": rng.exponential(given["x|school_sigma"]["scale"]),
        # an LKJ(eta) matrix of two: (rho + 1) / 2 is Beta(eta, eta)
        "school_corr": 2.0 * rng.beta(eta, eta) - 1.0,
        "1|class_sigma": abs(rng.normal(0.0, given["1|class_sigma"]["sigma"])),
        "sigma": rng.gamma(given["sigma"]["alpha"], 1.0 / given["sigma"]["beta"]),
    }
    one, other = rng.standard_normal((2, SCHOOLS))
    rho = truth["school_corr"]
    truth["1|school"] = truth["1|school_sigma"] * one
    truth["x|school"] = truth["x|school_sigma"] * (rho * one + np.sqrt(1.0 - rho**2) * other)
    truth["1|class"] = truth["1|class_sigma"] * rng.standard_normal(SCHOOLS * CLASSES)
    classes = np.repeat(np.arange(SCHOOLS * CLASSES), PUPILS)
    schools = classes // CLASSES
    mu = truth["Intercept"] + slope * x + truth["1|school"][schools]
    mu = mu + truth["x|school"][schools] * x + truth["1|class"][classes]
    return Simulated(truth, mu + truth["sigma"] * rng.standard_normal(len(x)))


def log_likelihood(values, y):
    """Marginal log-likelihood of (n,) parameter values, school by school, V as it stands."""
    x = fixed_design().X[:, 1].reshape(SCHOOLS, -1)
    same_class = np.kron(np.eye(CLASSES), np.ones((PUPILS, PUPILS)))
    v = {name: np.atleast_1d(values[name])[:, None, None, None] for name in NAMES}
    s0, s1 = v["1|school_sigma"], v["x|school_sigma"]
    xi, xj = x[:, :, None], x[:, None, :]
    V = s0**2 + s0 * s1 * v["school_corr"] * (xi + xj) + s1**2 * xi * xj
    V = V + v["1|class_sigma"] ** 2 * same_class + v["sigma"] ** 2 * np.eye(x.shape[1])
    resid = y.reshape(SCHOOLS, -1) - v["Intercept"][..., 0] - v["x"][..., 0] * x
    quadratic = np.sum(resid * np.linalg.solve(V, resid[..., None])[..., 0], axis=(1, 2))
    return -0.5 * (np.linalg.slogdet(V)[1].sum(axis=1) + quadratic)


def ranks(truth, draws, y):
    """Rank of each true quantity among its draws, 0 to DRAWS."""
    found = {name: np.sum(draws[name] < truth[name]) for name in NAMES}
    for name, level in EFFECTS.items():
        found[f"{name}[{level}]"] = np.sum(draws[name][:, level] < truth[name][level])
    found["log-likelihood"] = np.sum(log_likelihood(draws, y) < log_likelihood(truth, y))
    return found


def thinned(posterior, names):
    """Every so-manyth draw of a one-chain posterior."""
    length = posterior.sizes["draw"]
    keep = np.arange(DRAWS) * (length // DRAWS) + length // DRAWS - 1
    return {name: posterior[name].to_numpy()[0, keep] for name in names}


def number_of(draws):
    """Draws with the correlation as a number."""
    return {**draws, "school_corr": draws["school_corr"][:, 0]}


def p_values(rows):
    """Chi-square test of uniform ranks over equal bins, one p-value for each quantity."""
    table = pd.DataFrame(rows)
    counts = table.apply(lambda r: np.bincount(r * BINS // (DRAWS + 1), minlength=BINS))
    return counts.apply(lambda c: stats.chisquare(c).pvalue)


def assert_calibrated(rows):
    p = p_values(rows)
    assert p.min() > LEAST_P / len(p), p.to_string()  # Bonferroni


def marginal_ranks(simulations, seed, priors=PRIORS):
    """Put every response into one model."""
    rng = np.random.default_rng(seed)
    own, rows = marginal_density(fixed_design(), priors), []
    for i in range(simulations):
        simulated = simulate(rng)
        design = fixed_design().with_response(simulated.y)
        of_y = own.with_response(design)
        # Three in five draws count as independent here, so one in five is kept
        tree = sample(of_y, sampler="nutpie", draws=5 * DRAWS, tune=100, chains=1, seed=seed + i,
                      progress=False)  # fmt: skip
        draws = thinned(tree["posterior"], parameter_names(design).parameters)
        effects = draw_random_effects(design, draws, rng)
        rows.append(ranks(simulated.truth, number_of(draws) | effects, simulated.y))
    return rows


def hierarchical_ranks(simulations, seed, priors=PRIORS):
    """Compile once, with a response that can be set, and sample for every response."""
    rng = np.random.default_rng(seed)
    model = hierarchical_model(fixed_design(), priors)
    compiled = nutpie.compile_pymc_model(model, var_names=reported_names(model))
    names = parameter_names(fixed_design())
    rows = []
    for i in range(simulations):
        simulated = simulate(rng)
        tree = nutpie.sample(compiled.with_data(y_data=simulated.y), draws=12 * DRAWS, tune=500,
                             chains=1, cores=1, seed=seed + i, target_accept=0.9,
                             progress_bar=False, save_warmup=False)  # fmt: skip
        draws = thinned(tree["posterior"], [*names.parameters, *names.effects])
        rows.append(ranks(simulated.truth, number_of(draws), simulated.y))
    return rows


@pytest.mark.slow
def test_the_marginal_form_is_calibrated():
    assert_calibrated(marginal_ranks(150, seed=1))


@pytest.mark.slow
def test_the_hierarchical_form_is_calibrated():
    assert_calibrated(hierarchical_ranks(150, seed=2))
