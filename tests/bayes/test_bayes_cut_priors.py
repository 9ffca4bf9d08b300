"""Truncated priors and values that are held: densities, draws, evidence, every form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from designs import design
from test_closed_density import VALUES, assert_same

import nestedmlm as nm
from nestedmlm.bayes.density.prior_distributions import density_of, truncation
from nestedmlm.bayes.density.prior_draws import draw_prior
from nestedmlm.bayes.model.distributions import FAMILIES, Prior
from nestedmlm.errors import OptionError
from nestedmlm.plots.priors import prior_curve
from nestedmlm.posterior.prior_scales import scaled_prior

ENDS = ({"lower": 0.4}, {"upper": 1.9}, {"lower": 0.4, "upper": 1.9})
REAL = [name for name in FAMILIES["fixed effect"] if name not in ("Uniform", "Flat")]
NO_CUT = ("Uniform", "HalfFlat", "InverseGamma")
POSITIVE = [name for name in FAMILIES["standard deviation"] if name not in NO_CUT]


def cut(name, ends):
    role = "fixed effect" if name in REAL else "standard deviation"
    signature = FAMILIES[role][name].signatures[-1]
    return Prior(name, **{p: VALUES[p] for p in signature}, **ends)


CUT = [cut(name, ends) for name in (*REAL, *POSITIVE) for ends in ENDS]


@pytest.mark.parametrize("prior", CUT, ids=repr)
def test_density_draws_and_curve(prior):
    share = np.linspace(5e-4, 1.0 - 5e-4, 20_001)
    grid = truncation(prior).quantile(share)
    value = density_of([prior])(grid[:, None])[0]
    assert np.trapezoid(np.exp(value[:, 0]), grid) == pytest.approx(0.999, abs=1e-3)
    drawn = draw_prior(prior, 4000, np.random.default_rng(1))
    shares = [float((drawn <= truncation(prior).quantile(q)).mean()) for q in (0.1, 0.5, 0.9)]
    np.testing.assert_allclose(shares, (0.1, 0.5, 0.9), atol=0.025)
    x, density = prior_curve(prior)
    own = density_of([prior])(x[1:, None])[0][:, 0]  # at zero some have none
    np.testing.assert_allclose(density[1:], np.exp(own), rtol=1e-6)
    wider = scaled_prior(prior, 2.0)
    ends = [k for k in ("lower", "upper") if k in dict(prior.parameters)]
    assert wider is None or [wider[k] for k in ends] == [prior[k] for k in ends]


def test_against_scipy():
    x = np.array([0.5, 1.0, 3.0])
    found = density_of([Prior("Normal", mu=1, sigma=2, lower=0)])(x[:, None])[0][:, 0]
    np.testing.assert_allclose(found, scipy.stats.truncnorm(-0.5, np.inf, 1, 2).logpdf(x))
    # far out in a tail, where the distribution function is one
    tail = Prior("Normal", mu=0, sigma=1, lower=12)
    own = scipy.stats.truncnorm(12, np.inf)
    np.testing.assert_allclose(density_of([tail])(x[:, None] + 12)[0][:, 0], own.logpdf(x + 12))
    np.testing.assert_allclose(truncation(tail).quantile(0.5), own.ppf(0.5))


SETS = [
    {"x": CUT[i], "Intercept": CUT[i + 1], "z": CUT[i + 2], "sigma": CUT[-1 - i],
     "1|f1_sigma": CUT[-2 - i], "x|f1_sigma": CUT[-3 - i]}
    for i in range(0, 3 * len(REAL), 3)
]  # fmt: skip


SOME = [*SETS[:2], *(pytest.param(given, marks=pytest.mark.slow) for given in SETS[2:])]


@pytest.mark.parametrize("given", SOME, ids=lambda given: str(given["x"]))
def test_closed_density_is_the_pymc_models(given):
    assert_same(design("slope"), given)


HELD = [
    {"x": 0.7, "sigma": 1.3},
    {"x|f1_sigma": 0.4, "1|f1_sigma": Prior("Normal", mu=1, sigma=1, lower=0)},
    {"z": -1, "x": Prior("Constant", value=2), "1|f1_sigma": 0.5, "x|f1_sigma": 0.2, "sigma": 1},
]


@pytest.mark.parametrize("given", HELD, ids=str)
def test_held_values_in_both_densities(given):
    assert_same(design("slope"), given)


def test_held_values_of_residual_structures():
    data = nm.load_dataset("sleepstudy")
    model = nm.Model("Reaction ~ Days + (1 | Subject)", data, residual="ar1(Days | Subject)")
    assert_same(model.design, {"1|Subject_sigma": 20.0, "Days": 10.0})
    assert_same(model.design, {"sigma": 30.0})


@pytest.fixture(scope="module")
def sleep():
    return nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_evidence_of_a_cut_prior(sleep):
    """p(y | x > c) = p(y) P(x > c | y) / P(x > c): both sides by importance sampling."""
    wide, c = Prior("Normal", mu=8.0, sigma=4.0), 10.0
    whole = sleep.sample(priors={"Days": wide}, sampler="psis", draws=4000, seed=1)
    above = sleep.sample(
        priors={"Days": Prior("Normal", mu=8.0, sigma=4.0, lower=c)}, sampler="psis", draws=4000,
        seed=2,
    )  # fmt: skip
    draws = whole.data["posterior"]["Days"].values.ravel()
    share = float(np.mean(draws > c))
    expected = np.log(share) - scipy.stats.norm(8.0, 4.0).logsf(c)
    found = above.log_evidence(seed=3).log - whole.log_evidence(seed=3).log
    assert found == pytest.approx(expected, abs=0.04)
    own = above.data["posterior"]["Days"].values.ravel()
    assert own.min() > c
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(own, q) == pytest.approx(np.quantile(draws[draws > c], q), abs=0.1)


def test_evidence_of_a_held_slope(sleep):
    """p(y | x = c) = p(y) p(x = c | y) / p(x = c), the Savage-Dickey ratio."""
    whole = sleep.sample(sampler="psis", draws=4000, seed=1)
    held = sleep.sample(priors={"Days": 7.0}, sampler="psis", draws=4000, seed=1)
    ratio = held.log_evidence(seed=2).log - whole.log_evidence(seed=2).log
    factor = float(whole.hypothesis("Days = 7").table["odds"].iloc[0])
    assert ratio == pytest.approx(np.log(factor), abs=0.05)
    assert held.fixef["Days"] == 7.0


def test_what_does_not_suit_is_refused(sleep):
    for name, prior, message in [
        ("Days", Prior("Flat", lower=0), "Uniform"),
        ("Days", Prior("Normal", mu=0, sigma=1, lower=2, upper=1), "no values between"),
        ("sigma", Prior("Normal", mu=0, sigma=1), "cut it at zero: lower=0"),
        ("sigma", Prior("Normal", mu=0, sigma=1, upper=3), "give lower=0"),
        ("sigma", Prior("Normal", mu=0, sigma=1, lower=-1), "lower must be >= 0"),
        ("sigma", Prior("HalfNormal", sigma=1, upper=-1), "no values between"),
        ("sigma", 0.0, "must be positive"),
        ("Subject_corr", 0.5, "cannot be held"),
        ("Subject_corr", Prior("LKJ", eta=2, lower=0), "LKJ takes"),
        ("Intercept", 250.0, "offset"),
        ("Days", Prior("Constant", mu=3), r"Constant takes \(value\)"),
        ("sigma", Prior("InverseGamma", alpha=2, beta=1, upper=9), "cut a Gamma"),
        ("Days", True, "a number to hold it at"),
    ]:
        with pytest.raises(OptionError, match=message):
            sleep.priors.replace({name: prior})
    with pytest.raises(OptionError, match="next to none"):
        sleep.sample(priors={"Days": Prior("Normal", mu=0, sigma=1, lower=60)}, sampler="psis")


def test_nothing_left_to_sample():
    own = nm.Model("Yield ~ 0 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    with pytest.raises(OptionError, match="nothing to sample"):
        own.sample(priors={"1|Batch_sigma": 1000.0, "sigma": 50.0}, sampler="psis")


GIVEN = {"Days": Prior("Normal", mu=0, sigma=5, lower=11.0), "1|Subject_sigma": 25.0}


@pytest.fixture(scope="module")
def posterior(sleep):
    return sleep.sample(priors=GIVEN, sampler="psis", draws=500, seed=1)


def test_the_table_says_so(posterior):
    frame = posterior.priors.to_frame().set_index("name")
    assert frame.loc["Days", "prior"] == "Normal(mu=0, sigma=5, lower=11)"
    assert frame.loc["1|Subject_sigma", "prior"] == "Constant(value=25)"
    assert frame.loc["1|Subject_sigma", "rule"] == "given by the user"


def test_verbs_of_posteriors(posterior, tmp_path, recwarn):
    tree = posterior.with_prior(seed=1, draws=400).data
    assert float(tree["prior"]["Days"].min()) >= 11.0
    assert np.all(tree["prior"]["1|Subject_sigma"] == 25.0)
    assert np.all(tree["log_prior"]["1|Subject_sigma"] == 0.0)
    own = scipy.stats.truncnorm(11.0 / 5.0, np.inf, 0.0, 5.0)
    draws = tree["posterior"]["Days"]
    np.testing.assert_allclose(tree["log_prior"]["Days"], own.logpdf(draws), rtol=1e-9)
    assert np.isfinite(posterior.sensitivity().loc["Days", "prior"])
    posterior.save(tmp_path / "own.nc")
    loaded = nm.load_bayesfit(tmp_path / "own.nc")
    assert repr(loaded.priors) == repr(posterior.priors)
    assert posterior.update(". ~ . + I(Days**2)", draws=250).priors["Days"].prior == GIVEN["Days"]
    assert "Constant(value=25)" in str(posterior.report())


@pytest.mark.slow
def test_hierarchical_form_agrees(sleep):
    kwargs = {"priors": GIVEN, "draws": 2000, "chains": 2, "seed": 1, "progress": False}
    one = sleep.sample(marginal=True, target_accept=0.9, **kwargs)
    other = sleep.sample(marginal=False, target_accept=0.95, **kwargs)
    a, b = one.parameters(), other.parameters()
    z = (a["estimate"] - b["estimate"]) / np.hypot(
        a["std_error"] / np.sqrt(a["ess_bulk"]), b["std_error"] / np.sqrt(b["ess_bulk"])
    )
    assert np.nanmax(np.abs(z)) < 4.0


def test_why_estimate_and_posterior_part(sleep, posterior):
    why = nm.compare(sleep.fit(), posterior).why(draws=500, seed=1, tips=False)
    said = why.sentences()
    assert "sd_(Intercept)|Subject is held at 25." in said
    assert np.isnan(why.to_frame()["prior_share"].iloc[2])
    assert len(nm.plots.prior_influence(why).get_yticks()) == len(said) - 1


def test_the_picture_of_draws_up_to_an_end():
    """The density at zero of absolute normal draws, which a plain kernel halves."""
    from nestedmlm.plots.prior_posterior import smoothed

    draws = np.abs(np.random.default_rng(1).normal(size=20_000))
    found = smoothed(draws, np.array([0.0, 0.5]), 0.0, np.inf)
    np.testing.assert_allclose(found, 2.0 * scipy.stats.norm.pdf([0.0, 0.5]), rtol=0.05)
    found = smoothed(7.0 - draws, np.array([7.0, 6.5]), -np.inf, 7.0)
    np.testing.assert_allclose(found, 2.0 * scipy.stats.norm.pdf([0.0, 0.5]), rtol=0.05)


def test_nothing_is_concluded_from_an_estimate_of_zero():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    posterior = fit.sample(sampler="psis", draws=250, seed=1)
    why = nm.compare(fit, posterior).why(draws=250, seed=1)
    said = {own.split(":")[0]: own for own in why.sentences()}
    assert "interval" in said["sigma"]
    assert "interval" not in said["sd_(Intercept)|Batch"]
