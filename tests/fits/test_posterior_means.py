"""Verbs of a posterior that are linear in its coefficients, and posteriors of other models."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.interop.adapter import model_data, rows
from nestedmlm.posterior.draws import fixed_draws

FORMULA = "angle ~ recipe * temp + (1 | recipe:replicate)"


@pytest.fixture(scope="module")
def fit():
    return nm.lmer(FORMULA, nm.load_dataset("cake"))


@pytest.fixture(scope="module")
def posterior(fit):
    return fake_bayesfit(fit)


def test_means_are_those_of_each_draw(fit, posterior):
    """By hand: the mean of a recipe is its intercept plus slope at the mean temperature."""
    means = nm.emmeans(posterior, "recipe", level=0.8)
    beta = dict(zip(fit.design.x_names, fixed_draws(posterior.data, fit.design).T, strict=True))
    middle = fit.design.X[:, list(fit.design.x_names).index("temp")].mean()
    a = beta["(Intercept)"] + middle * beta["temp"]
    b = a + beta["recipeB"] + middle * beta["recipeB:temp"]
    np.testing.assert_allclose(means.draws()[:, :2], np.column_stack([a, b]), rtol=1e-10)
    frame = means.to_frame()
    assert frame.columns.tolist() == [
        "recipe", "estimate", "std_error", "conf_low", "conf_high", "probability",
    ]  # fmt: skip
    assert frame["estimate"][1] == pytest.approx(b.mean())
    assert frame["std_error"][1] == pytest.approx(b.std(ddof=1))
    np.testing.assert_allclose(
        frame.loc[1, ["conf_low", "conf_high"]].astype(float), np.quantile(b, [0.1, 0.9])
    )
    pairs = means.pairs().to_frame()
    assert pairs["probability"][0] == np.mean(a > b)
    assert means.vcov()[0, 1] == pytest.approx(np.cov(a, b)[0, 1])
    assert "P(>0)" in str(means.pairs()) and "10 %" in str(means)


def test_the_labels_and_estimates_are_the_fits(fit, posterior):
    own, draws = (
        nm.emtrends(fit, "recipe", var="temp"),
        nm.emtrends(posterior, "recipe", var="temp"),
    )
    assert own.labels.equals(draws.labels) and own.name == draws.name
    np.testing.assert_allclose(own.L, draws.L)
    error = draws.to_frame()["std_error"] / np.sqrt(1000)
    assert (np.abs(own.to_frame()["estimate"] - draws.to_frame()["estimate"]) < 4 * error).all()


def test_contrasts_count_from_their_right_hand_side(fit, posterior):
    found = posterior.contest(["temp = 0.1", "recipeB - recipeC"]).to_frame()
    temp = posterior.data["posterior"]["temp"].values
    assert found["estimate"][0] == pytest.approx(temp.mean() - 0.1)
    assert found["probability"][0] == np.mean(temp > 0.1)
    assert found["contrast"].tolist() == ["temp = 0.1", "recipeB - recipeC"]


def test_what_draws_do_not_have_is_refused(fit, posterior):
    with pytest.raises(OptionError, match="a posterior has draws"):
        nm.emmeans(posterior, "recipe", ddf="kenward-roger")
    with pytest.raises(OptionError, match="posterior probabilities are not"):
        nm.emmeans(posterior, "recipe").pairs(adjust="tukey")
    with pytest.raises(OptionError, match="has no draws"):
        nm.emmeans(fit, "recipe").draws()
    with pytest.raises(OptionError, match="a BayesFit, not of a int"):
        nm.emmeans(3, "recipe")


def test_means_pickle(posterior):
    means = nm.emmeans(posterior, "recipe")
    again = pickle.loads(pickle.dumps(means))
    assert again.to_frame().equals(means.to_frame())


def test_pictures_know_the_data(posterior):
    ax = nm.plots.effect(posterior, "recipe")
    assert ax.get_xlabel() == "recipe"


def test_rows_for_marginaleffects_have_the_posteriors_effects(fit, posterior):
    pytest.importorskip("polars")
    data = model_data(posterior)
    found = rows(posterior, data.head(3), None)
    modes = posterior.ranef().set_index("level")["estimate"]
    labels = fit.design.factors[0].levels[fit.design.factors[0].codes[:3]]
    np.testing.assert_allclose(found[:, -1], modes.loc[labels])


def test_a_posterior_of_a_changed_model(fit):
    given = {"temp": nm.Prior("Normal", mu=0.0, sigma=0.001)}
    posterior = fit.sample(sampler="psis", draws=250, seed=1, priors=given)
    smaller = posterior.update(". ~ . - recipe:temp", draws=300)
    assert smaller.priors["temp"].prior == given["temp"] and abs(smaller.fixef["temp"]) < 0.01
    assert (smaller.run.sampler, smaller.n_draws, smaller.run.seed) == ("psis", 300, 1)
    half = posterior.with_data(nm.load_dataset("cake").iloc[::2])
    assert half.nobs == 135 and half.priors["temp"].prior == given["temp"]
    without = posterior.update(". ~ recipe + (1 | recipe:replicate)")
    assert "temp" not in without.priors
