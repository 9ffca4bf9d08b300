"""Why a posterior differs from a fit: brute-force refits with other priors, power-scaling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit
from scipy.stats import norm

import nestedmlm as nm
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.model.scalar_parameters import list_parameters
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.posterior.prior_scales import (
    SCALED,
    Redraws,
    density_maker,
    scaled_prior,
    where_interval_lies,
)
from nestedmlm.posterior.summaries import parameter_draws
from nestedmlm.views.posterior.comparison import require_redrawable
from nestedmlm.views.posterior.prior_influence import PriorInfluence

TIGHT = {"Days": nm.Prior("Normal", mu=0, sigma=5)}


@pytest.fixture(scope="module")
def fit() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def posterior(fit):
    return fit.sample(priors=TIGHT, sampler="psis", seed=1)


@pytest.fixture(scope="module")
def why(fit, posterior) -> PriorInfluence:
    return nm.compare(fit, posterior).why(seed=2)


def test_shares_and_parts_as_refits(fit, posterior, why):
    table = why.table
    days = table.loc["Days"]
    # of a normal prior: the variance of the posterior over that of the prior
    assert days["prior_share"] == pytest.approx(posterior.bse["Days"] ** 2 / 25.0, abs=0.005)
    flat = {
        **dict.fromkeys(("Intercept", "Days"), nm.Prior("Flat")),
        **dict.fromkeys(("1|Subject_sigma", "Days|Subject_sigma", "sigma"), nm.Prior("HalfFlat")),
        "Subject_corr": nm.Prior("LKJ", eta=1),
    }
    bare = fit.sample(priors=flat, sampler="psis", seed=9)
    draws = bare.parameters()
    sd = draws["std_error"]
    for name in ("(Intercept)", "Days", "sd_Days|Subject", "sigma"):
        row = table.loc[name]
        own = draws.loc[name, "estimate"] - row["estimate"]
        assert row["from_averaging"] == pytest.approx(own, abs=0.12 * sd[name])
        assert row["from_averaging"] + row["from_priors"] == pytest.approx(
            row["mean"] - row["estimate"]
        )
    # pulled to zero by a share of what separates the prior's centre from the likelihood's
    assert days["from_priors"] == pytest.approx(-days["prior_share"] * 10.47, rel=0.2)


def test_widths_at_which_intervals_move_as_refits(fit, why):
    """Drawn anew on both sides of each width, with another seed."""
    table = why.table
    for term, name, kind in (("Days", "Days", "Normal"),
                             ("sd_Days|Subject", "Days|Subject_sigma", "HalfNormal"),
                             ("sigma", "sigma", "HalfNormal")):  # fmt: skip
        row = table.loc[term]
        own = dict(why.priors[name].parameters)
        for factor, same in ((0.8, False), (1.25, True)):
            own["sigma"] = dict(why.priors[name].parameters)["sigma"] * row["narrower"] * factor
            other = fit.sample(priors={**TIGHT, name: nm.Prior(kind, **own)}, sampler="psis",
                               seed=5).parameters().loc[term]  # fmt: skip
            inside = other["conf_low"] <= row["reference"] <= other["conf_high"]
            assert bool(inside == (row["verdict"] == "around")) is same, (term, factor)
        assert np.isnan(row["wider"])
        assert row["to"] == 128.0
    corr = table.loc["cor_Days.(Intercept)|Subject"]
    assert corr["verdict"] == "around"
    assert 2.0 <= corr["to"] < 2.3  # wider than LKJ(2) by more is none


def test_conflict_and_power_scaling(posterior, why):
    """The prior that disagrees is the one that power-scaling finds, as priorsense does."""
    table = why.table.set_index("variable")
    # the estimate lies 10.47 / sqrt(25 + 1.546^2) from the prior's centre: p = 0.0455
    assert table.loc["Days", "conflict"] == pytest.approx(0.0455, abs=0.006)
    assert (table["conflict"].drop("Days") > 0.3).all()
    scaled = posterior.sensitivity()
    assert scaled.loc["Days", "Days"] > 0.05
    moved = (why.table["from_priors"] / why.table["sd"]).abs().to_numpy()
    assert scaled.index[np.argmax(moved)] == scaled["prior"].idxmax() == "Days"


def test_it_says_so(why):
    text = str(why)
    assert text.startswith("Where REML and posterior part, and why")
    said = dict(zip(why.table["variable"], why.sentences(), strict=True))
    assert "prior and data disagree (p = 0.04" in said["Days"]
    tip = "The interval lies above 0; no longer with a prior narrower than Normal(mu=0, sigma=1."
    assert tip in said["Days"]
    assert "contains the REML estimate" in said["sigma"]
    assert "disagree" not in said["sigma"]
    assert why.to_frame().columns.tolist()[-4:] == ["narrower", "wider", "from", "to"]


def test_scaled_priors():
    lkj = scaled_prior(nm.Prior("LKJ", eta=2), 0.5)
    assert 2.0 * lkj["eta"] + 1.0 == pytest.approx(20.0)
    assert scaled_prior(nm.Prior("LKJ", eta=2), 3.0) is None
    assert scaled_prior(nm.Prior("Flat"), 2.0) is None
    assert scaled_prior(nm.Prior("Exponential", lam=2.0), 4.0) == nm.Prior("Exponential", lam=0.5)
    assert scaled_prior(nm.Prior("Exponential", scale=2.0), 4.0) == nm.Prior(
        "Exponential", scale=8.0
    )
    assert scaled_prior(nm.Prior("Gamma", alpha=3, beta=2), 2.0) == nm.Prior(
        "Gamma", alpha=3, beta=1
    )
    assert scaled_prior(nm.Prior("InverseGamma", alpha=3, beta=2), 2.0) == nm.Prior(
        "InverseGamma", alpha=3, beta=4
    )
    assert "Uniform" not in SCALED
    values, ones = np.linspace(-1.0, 3.0, 401), np.ones(401)
    assert where_interval_lies(values, ones, 0.0, 0.5) == 0
    assert where_interval_lies(values, ones, 0.0, 0.4) == 1
    assert where_interval_lies(values, ones, 2.9, 0.9) == -1
    assert where_interval_lies(values, np.where(values < 0.5, 0.0, 1.0), 0.0, 0.95) == 1


def test_refusals(fit):
    fake = fake_bayesfit(fit, chains=2, draws=50)
    with pytest.raises(OptionError, match="priors are not known"):
        nm.compare(fit, replace(fake, priors=None)).why()
    with pytest.raises(OptionError, match="draws"):
        nm.compare(fit, fake).why(draws=0)
    function = fake.priors.replace({"sigma": lambda name: None})
    with pytest.raises(OptionError, match="is a function"):
        nm.compare(fit, replace(fake, priors=function)).why()
    table = nm.load_dataset("sleepstudy")
    structured = nm.lmer("Reaction ~ Days", table, residual="cs(Days | Subject)")
    with pytest.raises(ResidualStructureError, match="not worked out"):
        require_redrawable(replace(fake, design=structured.design))


def test_picture(why):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    ax = nm.plots.prior_influence(why)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[1].startswith("Days ! (1")
    assert "!" not in labels[5]
    assert len(ax.patches) == 12
    matplotlib.pyplot.close("all")


# --- generalized models ---------------------------------------------------------------------------
HALF = {"period2": nm.Prior("Normal", mu=0, sigma=0.5)}


@pytest.fixture(scope="module")
def counted() -> nm.GlmerFit:
    formula = "incidence / size ~ period + (1 | herd)"
    return nm.glmer(formula, nm.load_dataset("cbpp"), family="binomial", weights="size")


def test_generalized_models(counted):
    posterior = counted.sample(priors=HALF, sampler="psis", draws=250, seed=1)
    why = nm.compare(counted, posterior).why(seed=2, draws=1000, tips=False)
    row = why.table.loc["period2"]
    assert row["prior_share"] == pytest.approx(row["sd"] ** 2 / 0.25, abs=0.04)
    away = row["estimate"] / np.hypot(0.5, row["std_error"])
    assert row["conflict"] == pytest.approx(2.0 * norm.cdf(away), abs=0.01)
    assert row["from_averaging"] + row["from_priors"] == pytest.approx(
        row["mean"] - row["estimate"]
    )
    assert str(why).startswith("Where ML and posterior part, and why")


@pytest.mark.slow
def test_generalized_models_drawn_anew(counted):
    """Flat priors, and priors on both sides of the widths, with other seeds."""
    posterior = counted.sample(priors=HALF, sampler="psis", draws=1000, seed=1)
    table = nm.compare(counted, posterior).why(seed=2, draws=2000).table
    flat = {
        **dict.fromkeys(("Intercept", "period2", "period3", "period4"), nm.Prior("Flat")),
        "1|herd_sigma": nm.Prior("HalfFlat"),
    }
    bare = counted.sample(priors=flat, sampler="psis", draws=1000, seed=9).parameters()
    for name, row in table.iterrows():
        own = bare.loc[name, "estimate"] - row["estimate"]
        assert row["from_averaging"] == pytest.approx(own, abs=0.15 * bare.loc[name, "std_error"])
    for factor, around in ((0.7, True), (1.4, False)):
        prior = nm.Prior("Normal", mu=0, sigma=0.5 * factor * table.loc["period2", "narrower"])
        other = counted.sample(priors={"period2": prior}, sampler="psis", draws=1000, seed=5)
        assert (other.parameters().loc["period2", "conf_high"] > 0.0) is np.bool_(around)


def crossed():
    rng = np.random.default_rng(2)
    a, b, x = rng.integers(0, 20, 400), rng.integers(0, 12, 400), rng.normal(size=400)
    eta = 0.3 + 0.6 * x + 0.8 * rng.normal(size=20)[a] + 0.5 * rng.normal(size=12)[b]
    data = pd.DataFrame({"a": a, "b": b, "x": x, "y": rng.poisson(np.exp(eta))})
    return nm.glmer("y ~ x + (1 | a) + (1 | b)", data, family="poisson")


def test_exact_posteriors_of_several_factors_say_what_to_draw():
    with pytest.raises(OptionError, match="marginal='laplace'"):
        density_maker(crossed().design, "hierarchical", 1)


@pytest.mark.slow
def test_approximate_posteriors_of_several_factors():
    """Drawn anew with the priors as they are: the estimates, as nearly all is the data's."""
    design = crossed().design
    priors = resolve_priors(design, None)
    redraws = Redraws(
        design=design, priors=priors, draws=300, seed=1,
        density=density_maker(design, "laplace", 1),
    )  # fmt: skip
    data = redraws(priors)
    x = next(p for p in list_parameters(design) if p.name == "x")
    assert parameter_draws(data, x).mean() == pytest.approx(0.6, abs=0.15)
