"""Draws from the priors, their log-densities, and what ArviZ makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit
from scipy import stats

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.density.prior_draws import DRAWS, draw_prior
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.distributions import FAMILIES
from nestedmlm.design.build import build_design
from nestedmlm.plots.priors import SCIPY, SYMMETRIC_TWIN
from nestedmlm.posterior.parameter_priors import log_lkj_integral, log_prior
from nestedmlm.posterior.prior_groups import prior_groups

Prior = nm.Prior
GIVEN = [
    Prior("Normal", mu=1, sigma=2), Prior("StudentT", nu=4, mu=-1, sigma=2),
    Prior("Cauchy", alpha=1, beta=3), Prior("Laplace", mu=1, b=2), Prior("Logistic", mu=1, s=2),
    Prior("Uniform", lower=1, upper=4), Prior("HalfNormal", sigma=3),
    Prior("HalfStudentT", nu=3, sigma=2), Prior("HalfCauchy", beta=2), Prior("Exponential", lam=4),
    Prior("Exponential", scale=4), Prior("Gamma", alpha=2, beta=3), Prior("Gamma", mu=2, sigma=3),
    Prior("InverseGamma", alpha=3, beta=2), Prior("InverseGamma", mu=2, sigma=1),
    Prior("LogNormal", mu=1, sigma=0.5), Prior("Weibull", alpha=2, beta=3),
    Prior("Beta", alpha=2, beta=5),
]  # fmt: skip


@pytest.mark.parametrize("prior", GIVEN, ids=repr)
def test_draws_are_of_the_distribution(prior):
    drawn = draw_prior(prior, 4000, np.random.default_rng(1))
    given = dict(prior.parameters)
    if prior.distribution in SYMMETRIC_TWIN:
        twin = SYMMETRIC_TWIN[prior.distribution](given)
        assert stats.kstest(drawn, lambda x: 2.0 * twin.cdf(x) - 1.0).pvalue > 1e-3
    else:
        assert stats.kstest(drawn, SCIPY[prior.distribution](given).cdf).pvalue > 1e-3


def test_every_proper_distribution_is_drawn():
    known = {name for family in FAMILIES.values() for name in family}
    assert known - {"Flat", "HalfFlat", "LKJ"} == set(DRAWS) == {p.distribution for p in GIVEN}


def test_parameters_and_rows_of_the_prior():
    """With priors that leave no room, the responses are those of the formula."""
    frame = data(n=60)
    design = build_design("y ~ x + (x | f1)", frame, weights="w", offset="off")
    tight = {
        "Intercept": Prior("Normal", mu=5, sigma=1e-9), "x": Prior("Normal", mu=2, sigma=1e-9),
        "1|f1_sigma": Prior("HalfNormal", sigma=1e-9), "x|f1_sigma": Prior("HalfNormal", sigma=2),
        "sigma": Prior("LogNormal", mu=0.0, sigma=1e-9),
    }  # fmt: skip
    model = nm.Model("y ~ x + (x | f1)", frame, weights="w", offset="off")
    priors = model.priors.replace(tight)
    tree = prior_groups(design, priors, draws=4000, seed=1)
    x = design.X[:, 1]
    prior, y = tree["prior"], tree["prior_predictive"]["y"].values[0]
    centred = prior["Intercept"].values + prior["x"].values * x.mean()
    np.testing.assert_allclose(centred, 5.0, atol=1e-7)
    mean = 5.0 + 2.0 * (x - x.mean()) + design.offset
    variance = (
        2.0 * x
    ) ** 2 + 1.0 / design.weights  # the mean of a half-normal's square is its scale's
    z = (y.mean(axis=0) - mean) / np.sqrt(variance / len(y))
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(y.var(axis=0), variance, rtol=0.25)
    np.testing.assert_allclose(y.var(axis=0).sum(), variance.sum(), rtol=0.1)
    effects = prior["x|f1"].values[0]
    assert effects.shape == (4000, len(design.factors[0].levels))
    np.testing.assert_allclose(np.mean(effects**2), 4.0, rtol=0.1)


def test_responses_of_a_family_are_drawn_at_the_means_that_its_priors_predict():
    """Successes of trials, with the intercept at the means of the predictors."""
    frame = data(n=40).assign(k=lambda d: (d["x"] > 3.0) * 1, trials=8)
    model = nm.Model("p(k, trials) ~ x + (1 | f1)", frame, family="binomial")
    tight = {
        "Intercept": Prior("Normal", mu=0.5, sigma=1e-9), "x": Prior("Normal", mu=1, sigma=1e-9),
        "1|f1_sigma": Prior("HalfNormal", sigma=1e-9),
    }  # fmt: skip
    y = model.prior_predictive(priors=tight, draws=4000, seed=1)["prior_predictive"]
    (drawn,) = (values.values[0] for values in y.data_vars.values())
    mean = 1.0 / (1.0 + np.exp(-0.5 - frame["x"] + frame["x"].mean()))
    z = (drawn.mean(axis=0) - 8 * mean) / np.sqrt(8 * mean * (1 - mean) / 4000)
    assert np.abs(z).max() < 4.5 and set(np.unique(drawn)) <= set(range(9))


def test_counts_of_means_beyond_whole_numbers_are_drawn_too():
    frame = data(n=20).assign(k=lambda d: np.arange(len(d)) % 3)
    model = nm.Model("k ~ 1 + (1 | f1)", frame, family="poisson")
    far = {"Intercept": Prior("Normal", mu=50.0, sigma=1e-9), "1|f1_sigma": 1e-9}
    y = model.prior_predictive(priors=far, draws=5, seed=1)["prior_predictive"]["k"].values
    np.testing.assert_allclose(y, np.exp(50.0), rtol=1e-7)
    theta = nm.families.negative_binomial(theta=1e8)
    both = nm.Model("k ~ 1 + (1 | f1)", frame, family=theta)
    y = both.prior_predictive(priors=far, draws=5, seed=1)["prior_predictive"]["k"].values
    np.testing.assert_allclose(y, np.exp(50.0), rtol=1e-3)


def test_correlations_are_drawn_from_the_lkj():
    design = build_design("y ~ x + (x + z | f1)", data(n=150))
    priors = nm.Model("y ~ x + (x + z | f1)", data(n=150)).priors
    R = prior_groups(design, priors, draws=3000, seed=2)["prior"]["f1_corr"].values[0]
    for column in R.T:  # LKJ(2) of three columns: each is 2 Beta(2.5, 2.5) - 1
        assert stats.kstest(0.5 * (column + 1), stats.beta(2.5, 2.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["slope", "compound symmetry", "nested within crossed"])
def test_log_prior_is_the_density_of_the_sampler(kind):
    """But for the Jacobians of its scales and the halves of folded priors, which are constants."""
    design = nm.lmer(FORMULAS[kind], data(n=80)).design
    den = marginal_density(design)
    rng = np.random.default_rng(3)
    z = den.initial + 0.3 * rng.standard_normal((5, den.ndim))
    x = den.coordinates.variables(z)
    total, _, slopes = den.coordinates.log_prior(z, x)
    expected = total - np.log(np.abs(slopes)).sum(axis=1)
    from xarray import Dataset

    named = {k: (("chain", "draw", *"abc"[: v.ndim - 1]), v[None]) for k, v in den.named(z).items()}
    found = log_prior(
        {"posterior": Dataset(named)}, design, nm.Model(FORMULAS[kind], data(n=80)).priors
    )
    difference = sum(v[0] for v in found.values()) - expected
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)


def test_log_prior_against_scipy():
    fit = nm.lmer("y ~ x + (x | f1)", data(n=80))
    bayes = fake_bayesfit(fit).with_prior(draws=10, seed=1)
    own, draws = bayes.data["log_prior"], bayes.data["posterior"]
    p = {name: dict(row.prior.parameters) for name, row in bayes.priors.items()}
    centred = draws["Intercept"] + draws["x"] * centring(fit.design).means[1]
    expected = {
        "Intercept": stats.norm(p["Intercept"]["mu"], p["Intercept"]["sigma"]).logpdf(centred),
        "x": stats.norm(0.0, p["x"]["sigma"]).logpdf(draws["x"]),
        "sigma": stats.halfnorm(scale=p["sigma"]["sigma"]).logpdf(draws["sigma"]),
        "x|f1_sigma": stats.halfnorm(scale=p["x|f1_sigma"]["sigma"]).logpdf(draws["x|f1_sigma"]),
        "f1_corr": stats.beta(2, 2, -1, 2).logpdf(draws["f1_corr"].values[..., 0]),
    }
    assert set(own.data_vars) == set(bayes.priors) == {*expected, "1|f1_sigma"}
    for name, values in expected.items():
        np.testing.assert_allclose(own[name], values, rtol=1e-10, atol=1e-12)


def test_lkj_density_has_an_integral_of_one():
    rho = np.random.default_rng(4).uniform(-1.0, 1.0, (200_000, 3))
    det = 1.0 + 2.0 * rho.prod(axis=1) - (rho**2).sum(axis=1)
    inside = det > 0.0
    for eta in (1.0, 2.5):
        height = np.where(inside, np.maximum(det, 1e-300) ** (eta - 1.0), 0.0).mean() * 8.0
        assert np.log(height) == pytest.approx(log_lkj_integral(eta, 3), abs=0.02)


def test_arviz_finds_what_it_looks_for():
    az = pytest.importorskip("arviz")
    model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    bayes = model.sample(sampler="psis", seed=1).with_prior(seed=1)
    table = az.psense_summary(bayes.data, var_names=["Days", "sigma", "Subject_corr"])
    assert table.index.tolist() == ["Days", "sigma", "Subject_corr[Days, 1]"]
    assert (table["likelihood"] > table["prior"]).all()
    for draw in (
        lambda: az.plot_energy(bayes.data, backend="matplotlib"),
        lambda: az.plot_bf(bayes.data, var_names="Days", ref_val=10.0, backend="matplotlib"),
        lambda: az.plot_prior_posterior(bayes.data, var_names=["Days"], backend="matplotlib"),
        lambda: az.plot_ppc_dist(bayes.data, group="prior_predictive", backend="matplotlib"),
    ):
        draw()
    assert bayes.divergences is None
    assert az.bfmi(bayes.data)["energy"].values.min() > 1.5  # independent draws


def test_what_nothing_can_be_drawn_from():
    model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    with pytest.raises(nm.errors.OptionError, match="no probability: nothing can be drawn"):
        model.prior_predictive(priors={"Intercept": Prior("Flat")})
    with pytest.raises(nm.errors.OptionError, match="is a function"):
        model.prior_predictive(priors={"Intercept": lambda name: None})
    with pytest.raises(nm.errors.OptionError, match="at most draws=2000000"):
        model.prior_predictive(draws=3_000_000)
    with pytest.raises(nm.errors.OptionError, match="PyMC model of yours"):
        fake_bayesfit(model.fit(), priors=None).with_prior()
    family = nm.Model("I(Yield > 1500) ~ Yield + (1 | Batch)", model.data, family="binomial")
    own = family.prior_predictive(priors={"slopes": nm.Horseshoe()}, draws=50, seed=1)["prior"]
    assert np.isfinite(own["Yield"].values).all() and len(own.data_vars) > 4  # its scales, too
    with pytest.raises(nm.errors.ResidualStructureError):
        nm.Model("Yield ~ 1 + (1 | Batch)", model.data, fixed={"sigma": 50}).prior_predictive()


def test_related_levels_are_drawn_related_and_not_left_out():
    data = nm.load_dataset("Dyestuff")
    levels = sorted(data["Batch"].unique())
    related = pd.DataFrame(0.9 * np.ones((6, 6)) + 0.1 * np.eye(6), index=levels, columns=levels)
    model = nm.Model("Yield ~ 1 + (1 | Batch)", data, relationship={"Batch": related})
    effects = model.prior_predictive(draws=2000, seed=1)["prior"]["1|Batch"].values[0]
    apart = np.corrcoef(effects.T)[np.triu_indices(6, 1)]
    np.testing.assert_allclose(apart, 0.9, atol=0.05)
    posterior = fake_bayesfit(nm.Model("Yield ~ 1 + (1 | Batch)", data).fit())
    posterior = replace(posterior, design=model.design)
    for ask in (lambda: posterior.loo("group"), lambda: posterior.loo(integrated=True),
                lambda: posterior.kfold("Batch", draws=1000, progress=False)):  # fmt: skip
        with pytest.raises(nm.errors.RelationshipError):
            ask()
    known = nm.Model("Yield ~ 1 + (1 | Batch)", data, fixed={"sigma": 50}).fit()
    with pytest.raises(nm.errors.ResidualStructureError, match="a known sigma"):
        known.plot.ppc(kind="prior")
