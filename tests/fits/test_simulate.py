"""Drawing responses: distribution, conditioning, streams, new rows, scenarios without a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from designs import data
from scipy.linalg import block_diag

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import DataError, NewLevelsError, OptionError
from nestedmlm.likelihood.pls import dense_z


@pytest.fixture(scope="module")
def slopes() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def crossed() -> nm.LmerFit:
    return nm.lmer("y ~ x + (x | f1) + (1 | c1)", data(), weights="w", offset="off")


def covariance(fit: nm.LmerFit) -> np.ndarray:
    """Dense covariance of the response."""
    V = np.diag(np.ones(fit.nobs) if fit.design.weights is None else 1.0 / fit.design.weights)
    for Z, T in zip(dense_z(fit.design), fit.solution.T, strict=True):
        ZL = Z @ block_diag(*[T] * (Z.shape[1] // len(T)))
        V = V + ZL @ ZL.T
    return fit.sigma**2 * V


def test_responses_have_the_mean_and_covariance_of_the_model(crossed):
    m = 4000
    y = crossed.simulate(m, seed=1).to_numpy()
    V = covariance(crossed)
    mean = crossed.predict(re_form=False).to_numpy()
    assert np.abs((y.mean(axis=1) - mean) / np.sqrt(np.diag(V) / m)).max() < 4.5
    # random linear combinations, whose variances are known
    A = np.random.default_rng(2).normal(size=(200, crossed.nobs))
    found = (A @ y).var(axis=1, ddof=1) / np.einsum("ij,jk,ik->i", A, V, A)
    assert np.abs(found - 1.0).max() < 4.5 * np.sqrt(2.0 / m)


@pytest.mark.parametrize("options", [{"use_u": True}, {"re_form": None}])
def test_conditional_on_the_groups_only_residuals_vary(crossed, options):
    m = 2000
    y = crossed.simulate(m, seed=3, **options).to_numpy()
    z = (y - crossed.solution.fitted[:, None]) * np.sqrt(crossed.design.weights)[:, None]
    z = z / crossed.sigma
    assert abs(z.mean()) < 4.5 / np.sqrt(z.size)
    assert z.var() == pytest.approx(1.0, abs=4.5 * np.sqrt(2.0 / z.size))


def test_partly_conditional_keeps_the_terms_named(crossed):
    y = crossed.simulate(2000, seed=4, re_form="~ (1 | c1)").to_numpy()
    expected = crossed.predict(re_form="~ (1 | c1)").to_numpy()
    sd = np.sqrt(np.diag(covariance(crossed)) / 2000)
    assert np.abs((y.mean(axis=1) - expected) / sd).max() < 4.5


def test_half_a_term_cannot_be_conditioned_on(slopes):
    with pytest.raises(OptionError, match=r"part of \(Days \| Subject\)"):
        slopes.simulate(re_form="~ (1 | Subject)")


def test_columns_index_and_streams(slopes):
    one, five = slopes.simulate(1, seed=7), slopes.simulate(5, seed=7)
    assert five.columns.tolist() == [f"sim_{i}" for i in range(1, 6)]
    pd.testing.assert_index_equal(five.index, slopes.design.index)
    pd.testing.assert_frame_equal(one, five[["sim_1"]])
    assert not np.allclose(five["sim_1"], five["sim_2"])
    assert not slopes.simulate().equals(slopes.simulate())


def test_rows_left_out_are_left_out():
    holes = data().assign(y=lambda d: d.y.mask(d.index == 4))
    fit = nm.lmer("y ~ x + (1 | f1)", holes)
    assert 4 not in fit.simulate(seed=1).index and len(fit.simulate(seed=1)) == 149
    padded = nm.lmer("y ~ x + (1 | f1)", holes, na_action="exclude")
    drawn = padded.simulate(2, seed=1)
    assert drawn.loc[4].isna().all() and drawn.notna().all(axis=1).sum() == 149
    assert padded.refit(drawn["sim_2"]).nobs == 149


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nsim": 0}, "nsim must be a positive integer"),
        ({"nsim": 2.5}, "nsim must be a positive integer"),
        ({"seed": -1}, "seed must be"),
        ({"seed": "a"}, "seed must be"),
        ({"re_form": "~ (1 | elsewhere)"}, "elsewhere"),
    ],
)
def test_bad_arguments_are_refused(slopes, options, text):
    with pytest.raises(OptionError, match=text):
        slopes.simulate(**options)


def test_new_rows_share_the_effects_of_new_groups(slopes):
    new = pd.DataFrame({"Days": [0, 0, 0, 0], "Subject": ["999", "999", "1000", "308"]})
    y = slopes.simulate(4000, seed=5, newdata=new, re_form=None).to_numpy()
    between = float(slopes.varcorr().blocks[0].cov[0, 0])
    cov = np.cov(y)
    assert cov[0, 1] == pytest.approx(between, abs=4.5 * np.sqrt(2.0 / 4000) * cov[0, 0])
    assert abs(cov[0, 2]) < 4.5 * cov[0, 0] / np.sqrt(4000)
    # a group that was there keeps its mode: only residual variance
    assert cov[3, 3] == pytest.approx(slopes.sigma**2, rel=4.5 * np.sqrt(2.0 / 4000))
    known = slopes.predict(new.iloc[3:]).iloc[0]
    assert y[3].mean() == pytest.approx(known, abs=4.5 * slopes.sigma / np.sqrt(4000))


def test_a_design_of_numbers_in_another_byte_order_is_extended():
    rows = nm.load_dataset("sleepstudy").astype({"Days": ">f8"})
    more = nm.lmer("Reaction ~ Days + (1 | Subject)", rows).extend(along="Subject", n=20)
    assert more.model.design.n == 200


def test_no_new_rows_have_no_responses(slopes):
    found = slopes.simulate(2, newdata=slopes.model.data.iloc[:0], seed=1)
    assert found.shape == (0, 2)


def test_new_rows_unconditionally_equal_the_rows_of_the_fit(crossed):
    again = crossed.simulate(2, seed=8, newdata=crossed.model.data)
    pd.testing.assert_frame_equal(again, crossed.simulate(2, seed=8))


def test_new_rows_of_a_fit_with_an_array_of_weights_are_refused():
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f1)", rows, weights=rows.w.to_numpy())
    with pytest.raises(DataError, match="give weights="):
        fit.simulate(newdata=rows)
    given = fit.simulate(newdata=rows, weights="w", seed=1, re_form=None)
    assert given["sim_1"].to_numpy() == pytest.approx(
        fit.simulate(seed=1, re_form=None)["sim_1"].to_numpy()
    )
    with pytest.raises(OptionError, match="offset and weights belong to newdata"):
        fit.simulate(weights="w")


def test_new_rows_of_a_fit_with_an_array_as_offset():
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f1)", rows, offset=100.0 * rows.w.to_numpy())
    with pytest.raises(DataError, match="give offset="):
        fit.simulate(newdata=rows)
    given = fit.simulate(newdata=rows, offset=100.0 * rows.w, seed=1, re_form=None)
    own = fit.simulate(seed=1, re_form=None)
    assert given["sim_1"].to_numpy() == pytest.approx(own["sim_1"].to_numpy())


def test_new_rows_where_residuals_differ_are_asked_for_weights_too():
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f1)", rows, dispersion="~ x", weights=rows.w.to_numpy())
    with pytest.raises(DataError, match="weights"):
        fit.simulate(newdata=rows)
    heavy, light = (fit.simulate(newdata=rows, weights=w * rows.w.to_numpy(), seed=1, use_u=True)
                    for w in (4.0, 1.0))  # fmt: skip
    own = fit.fittedvalues.to_numpy()
    np.testing.assert_allclose(2.0 * (heavy["sim_1"] - own), light["sim_1"] - own, atol=1e-9)


@pytest.mark.parametrize("re_form", ["~ 0", "~ (1 | f1)"])
@pytest.mark.parametrize("verb", ["simulate", "bootstrap"])
def test_contradicting_conditions_are_refused(verb, re_form):
    fit = nm.lmer("y ~ x + (1 | f1)", data())
    with pytest.raises(OptionError, match="give one"):
        getattr(fit, verb)(2, use_u=True, re_form=re_form)


def test_new_levels_of_a_fixed_factor_are_refused():
    fit = nm.lmer("y ~ a + (1 | f1)", data())
    with pytest.raises(NewLevelsError):
        fit.simulate(newdata=data().assign(a="new"))


def test_r_spelling(slopes):
    pd.testing.assert_frame_equal(lme4.simulate(slopes, 2, 1), slopes.simulate(2, 1))
    pd.testing.assert_frame_equal(
        lme4.simulate(slopes, 2, 1, use_u=True), slopes.simulate(2, 1, re_form=None)
    )


# --- without a fit ---------------------------------------------------------------------------


def test_parameters_come_back_from_data_simulated_without_a_fit():
    plan = pd.DataFrame({"x": np.tile(np.arange(10.0), 300), "g": np.repeat(np.arange(300), 10)})
    params = {"beta": {"(Intercept)": 2.0, "x": -0.5}, "theta": [1.0, 0.2, 0.3], "sigma": 2.0}
    y = nm.simulate("y ~ x + (x | g)", plan, params=params, seed=1)["sim_1"]
    fit = nm.lmer("y ~ x + (x | g)", plan.assign(y=y))
    assert fit.params.to_numpy() == pytest.approx([2.0, -0.5], abs=4 * fit.bse.max())
    assert fit.theta == pytest.approx([1.0, 0.2, 0.3], abs=0.12)
    assert fit.sigma == pytest.approx(2.0, rel=0.06)


def test_a_response_may_be_left_out():
    params = {"beta": [1.0, 2.0], "theta": [1.0], "sigma": 1.0}
    named = nm.simulate("y ~ x + (1 | f1)", data().drop(columns="y"), params=params, seed=1)
    unnamed = nm.simulate("~ x + (1 | f1)", data(), params=params, seed=1)
    pd.testing.assert_frame_equal(named, unnamed)


def test_a_plan_may_hold_the_first_normals_of_seed_0():
    plan = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "g": np.arange(60) // 6})
    study = nm.scenario("y ~ x + (1 | g)", plan, beta={"x": 0.2}, icc={"g": 0.2})
    assert study.power("x", nsim=3, seed=1, progress=False).failures.empty


def test_a_share_is_a_number_where_there_is_one_factor():
    plan = pd.DataFrame({"x": np.arange(60) % 7, "g": np.arange(60) // 6, "h": np.arange(60) // 2})
    study = nm.scenario("y ~ x + (1 | g)", plan, beta={}, icc=0.2, sigma=4)
    assert (study.theta[0] * 4) ** 2 == pytest.approx(0.2 / 0.8 * 16)  # 4 of 20
    with pytest.raises(OptionError, match="icc= needs a share for each of h:g, g"):
        nm.scenario("y ~ x + (1 | g/h)", plan, beta={}, icc=0.2)
    with pytest.raises(OptionError, match="with icc= the residual standard deviation is sigma="):
        nm.scenario("y ~ x + (1 | g)", plan, beta={}, icc=0.2, sd={"residual": 4})


def test_a_scenario_of_a_fits_parameters_draws_what_the_fit_draws(slopes):
    rows = nm.load_dataset("sleepstudy")
    again = nm.scenario(
        slopes.formula, rows, beta=dict(slopes.params), theta=slopes.theta, sigma=slopes.sigma
    )
    pd.testing.assert_frame_equal(again.simulate(2, seed=1), slopes.simulate(2, seed=1))
    assert "180 observations, groups: Subject, 18" in repr(again)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"beta": {"z": 1.0}}, "beta names z"),
        ({"beta": [1.0]}, "beta must hold 2 numbers"),
        ({"theta": [1.0, 1.0]}, r"theta must hold 1 finite numbers, for \(1 \| f1\)"),
        ({"sigma": -1.0}, "sigma must be a positive number"),
        ({"sigma": None}, "sigma must be a positive number"),
    ],
)
def test_bad_parameters_are_refused(change, text):
    params = {"beta": [1.0, 2.0], "theta": [1.0], "sigma": 1.0, **change}
    with pytest.raises(OptionError, match=text):
        nm.simulate("y ~ x + (1 | f1)", data(), params=params)


def test_missing_parameters_are_refused():
    with pytest.raises(OptionError, match="params must have beta, theta and sigma, not beta"):
        nm.simulate("y ~ x + (1 | f1)", data(), params={"beta": [1.0, 2.0]})


def test_names_of_the_caller_are_found():
    half = 0.5
    params = {"beta": [1.0, 2.0], "theta": [1.0], "sigma": 1.0}
    found = nm.simulate("y ~ I(x * half) + (1 | f1)", data(), params=params, seed=1)
    doubled = {**params, "beta": [1.0, 2.0 * half]}
    pd.testing.assert_frame_equal(
        found, nm.simulate("y ~ x + (1 | f1)", data(), params=doubled, seed=1)
    )
    made = nm.scenario("~ I(x * half) + (1 | f1)", data(), **params)
    pd.testing.assert_frame_equal(made.simulate(1, seed=1), found)
