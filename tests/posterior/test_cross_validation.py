"""Cross-validation against integrals over a grid, in which nothing is sampled."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit
from scipy.special import logsumexp

import nestedmlm as nm
from nestedmlm.posterior.reduced_posterior import statistics_without
from nestedmlm.statistics.crossproducts import cross_products

TIGHT = {
    "Intercept": nm.Prior("Normal", mu=0.5, sigma=2.0),
    "1|g_sigma": nm.Prior("HalfNormal", sigma=1.5),
    "sigma": nm.Prior("HalfNormal", sigma=1.5),
}
NEAR = 0.04  # Monte-Carlo error of 4000 draws, on the scale of logarithms


def tiny():
    rng = np.random.default_rng(5)
    g = np.repeat([0, 1, 2, 3], [4, 2, 5, 3])
    y = np.array([0.0, 1.5, -0.5, 2.5])[g] + rng.standard_normal(len(g))
    y[6] += 3.0  # a row that is hard to predict
    return pd.DataFrame({"y": y, "g": g, "w": rng.uniform(0.5, 2.0, len(g))})


@pytest.fixture(scope="module", params=["w", None])
def case(request):
    frame = tiny()
    model = nm.Model("y ~ 1 + (1 | g)", frame, weights=request.param)
    posterior = model.sample(priors=TIGHT, sampler="psis", draws=1000, seed=1)
    w = frame["w"].to_numpy() if request.param else np.ones(len(frame))
    return frame, w, posterior


def log_evidence(frame, w, rows):
    """log p(y of some rows) by the midpoint rule over both standard deviations."""
    y, g = frame["y"].to_numpy()[rows], frame["g"].to_numpy()[rows]
    step = 0.06
    grid = np.arange(step / 2, 6.0, step)
    tau, sigma = (part.ravel()[:, None, None] for part in np.meshgrid(grid, grid))
    V = sigma**2 * np.diag(1.0 / w[rows]) + tau**2 * (g[:, None] == g) + 2.0**2
    solved = np.linalg.solve(V, np.broadcast_to(y - 0.5, (len(V), len(y)))[:, :, None])[:, :, 0]
    values = -0.5 * (np.linalg.slogdet(V)[1] + solved @ (y - 0.5) + len(y) * np.log(2.0 * np.pi))
    values -= 0.5 * (tau**2 + sigma**2)[:, 0, 0] / 1.5**2
    constant = 2.0 * np.log(2.0 / (np.sqrt(2.0 * np.pi) * 1.5)) + 2.0 * np.log(step)
    return logsumexp(values) + constant


@pytest.fixture(scope="module")
def exact(case):
    frame, w, _ = case
    everything = np.ones(len(frame), dtype=bool)
    kept = {}

    def of(left_out):
        """log p(y_left_out | the others)."""
        key = tuple(np.flatnonzero(left_out))
        if () not in kept:
            kept[()] = log_evidence(frame, w, everything)
        if key not in kept:
            kept[key] = kept[()] - log_evidence(frame, w, ~left_out)
        return kept[key]

    return of


def test_log_evidence(case, exact):
    frame, w, posterior = case
    expected = log_evidence(frame, w, np.ones(len(frame), dtype=bool))
    assert posterior.log_evidence(seed=1).log == pytest.approx(expected, abs=NEAR)


def test_groups(case, exact):
    frame, _, posterior = case
    expected = [exact((frame["g"] == j).to_numpy()) for j in range(4)]
    found = posterior.kfold("g", draws=4000, seed=1, progress=False)
    np.testing.assert_allclose(found.elpd_i, expected, atol=NEAR)
    assert found.elpd == pytest.approx(found.elpd_i.values.sum()) and found.n_folds == 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few groups: k is large
        approximate = posterior.loo("group")
    assert approximate.elpd == pytest.approx(sum(expected), abs=0.3)
    assert found.p == pytest.approx(approximate.p + approximate.elpd - found.elpd, abs=1e-8)


def test_refits_replace_what_cannot_be_trusted(case, exact, monkeypatch):
    frame, _, posterior = case
    import arviz

    whole = arviz.loo

    def doubtful(*args, **options):
        found = whole(*args, **options)
        found.pareto_k.values[[1, 6]] = 0.9
        found.elpd_i.values[[1, 6]] = -100.0
        found.elpd = found.elpd_i.values.sum()
        return found

    monkeypatch.setattr(arviz, "loo", doubtful)
    rows = np.arange(len(frame))
    for options in ({}, {"integrated": True}):
        found = posterior.loo(refit=True, seed=1, progress=False, **options)
        for i in (1, 6):
            assert found.elpd_i.values[i] == pytest.approx(exact(rows == i), abs=NEAR)
        assert (found.pareto_k.values[[1, 6]] == 0.0).all() and not found.warning
        assert found.elpd == pytest.approx(found.elpd_i.values.sum())


def test_rows_with_effects_integrated_out(case, exact):
    frame, _, posterior = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the row that is hard to predict
        found, given = posterior.loo(integrated=True), posterior.loo()
    assert found.pareto_k.values.mean() < given.pareto_k.values.mean()
    for i in (0, 4, 9):
        assert found.elpd_i.values[i] == pytest.approx(exact(np.arange(len(frame)) == i), abs=0.06)


def test_rows_in_folds(case):
    """Each row of a fold by itself, given the rows outside of the fold."""
    frame, w, posterior = case
    found = posterior.kfold(3, draws=4000, seed=2, progress=False)
    folds = np.array_split(np.random.default_rng(2).permutation(len(frame)), 3)
    rows = np.arange(len(frame))
    rest = ~np.isin(rows, folds[1])
    for i in folds[1][:2]:
        expected = log_evidence(frame, w, rest | (rows == i)) - log_evidence(frame, w, rest)
        assert found.elpd_i.values[i] == pytest.approx(expected, abs=NEAR)
    grouped = posterior.kfold(2, group="g", draws=500, seed=2, progress=False)
    assert grouped.n_folds == 2 and grouped.n_data_points == 4


def test_statistics_without_rows_are_those_of_the_others():
    data = nm.load_dataset("sleepstudy")
    design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
    left_out = np.zeros(design.n, dtype=bool)
    left_out[[3, 50, 51]] = True
    found = statistics_without(design, left_out)
    expected = cross_products(
        nm.build_design("Reaction ~ Days + (Days | Subject)", data[~left_out])
    )
    assert found.n == expected.n == design.n - 3
    assert found.sum_log_w == expected.sum_log_w == 0.0
    np.testing.assert_allclose(found.beta0, expected.beta0, rtol=1e-10)
    np.testing.assert_allclose(found.R_x, expected.R_x, rtol=1e-10)


def test_what_cannot_be_left_out():
    frame = tiny().assign(a=lambda d: np.where(d["g"] == 2, "new", "old"))
    posterior = nm.Model("y ~ a + (1 | g)", frame).sample(sampler="psis", draws=500, seed=1)
    with pytest.raises(nm.errors.DataError, match="without these rows the fixed effects are not"):
        posterior.kfold("g", progress=False)
    with pytest.raises(nm.errors.OptionError, match="'a' is no grouping factor; known: g"):
        posterior.kfold("a", progress=False)
    with pytest.raises(nm.errors.OptionError, match="between 2 and 14"):
        posterior.kfold(1, progress=False)
    with pytest.raises(nm.errors.OptionError, match="a number beside group="):
        posterior.kfold("g", group="g", progress=False)
    with pytest.raises(nm.errors.OptionError, match="integrated out anyway"):
        posterior.loo("group", integrated=True)
    foreign = fake_bayesfit(nm.lmer("y ~ 1 + (1 | g)", frame), priors=None)
    with pytest.raises(nm.errors.OptionError, match="PyMC model of yours"):
        foreign.kfold("g", progress=False)
