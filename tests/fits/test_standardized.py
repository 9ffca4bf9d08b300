"""Standardised coefficients and partial R-squared, beside R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import DataError, NotDefinedError, OptionError


@pytest.fixture(scope="module")
def sleep():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_standardised_coefficients_are_those_of_standardised_data(sleep):
    # lmer(scale(Reaction) ~ scale(Days) + (scale(Days) | Subject)): 0.535230226, SE 0.0790418451
    own = sleep.standardized()
    row = own.tidy("fixed").set_index("term").loc["Days"]
    assert row["estimate"] == pytest.approx(0.535230226, rel=1e-6)
    assert row["std_error"] == pytest.approx(0.0790418451, rel=1e-5)
    assert row["df"] == pytest.approx(17.0, rel=1e-4)


def test_two_standard_deviations_interactions_and_powers():
    # cake with scale(angle), scale(temp) / 2: angle ~ recipe * temp + I(temp^2)
    formula = "angle ~ recipe * temp + I(temp^2) + (1 | recipe:replicate)"
    own = nm.lmer(formula, nm.load_dataset("cake")).standardized(two_sd=True)
    theirs = [0.14417298155, -0.17994141040, -0.18535318214, 0.64049442939, -0.08996567567,
              0.04523938349, 0.00873040734]  # fmt: skip
    np.testing.assert_allclose(own.params, theirs, rtol=1e-6)


def test_rows_that_were_not_used_do_not_count():
    data = nm.load_dataset("sleepstudy").astype({"Days": float})
    holes = data.assign(Days=data.Days.where(data.index % 7 != 0), extra=1)
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", holes)
    again = nm.lmer("Reaction ~ Days + (1 | Subject)", holes.dropna())
    pd.testing.assert_series_equal(fit.standardized().params, again.standardized().params)


def test_generalized_models_keep_their_response():
    ticks = nm.load_dataset("grouseticks")
    fit = nm.glmer("TICKS ~ cHEIGHT + (1 | BROOD)", ticks, family="poisson")
    slope = fit.fixef["cHEIGHT"] * ticks["cHEIGHT"].std()
    assert fit.standardized().fixef["cHEIGHT"] == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize(
    ("formula", "error", "says"),
    [
        ("log(Reaction) ~ Days + (1 | Subject)", OptionError, "Reaction stands within log"),
        ("Reaction ~ sqrt(Days) + (1 | Subject)", OptionError, "Days stands within sqrt"),
        ("Reaction ~ Days + (1 | Subject) + (1 | Days)", OptionError, "a grouping factor"),
        ("Reaction ~ other + (1 | Subject)", DataError, "no column of the data"),
    ],
)
def test_what_cannot_be_standardised_is_refused(formula, error, says):
    other = nm.load_dataset("sleepstudy")["Days"].to_numpy() ** 2.0  # noqa: F841
    fit = nm.lmer(formula, nm.load_dataset("sleepstudy"))
    with pytest.raises(error, match=says):
        fit.standardized()


def test_factors_made_of_numbers_stay():
    fit = nm.lmer("Reaction ~ factor(Days) + (1 | Subject)", nm.load_dataset("sleepstudy"))
    sd = nm.load_dataset("sleepstudy")["Reaction"].std()
    np.testing.assert_allclose(fit.standardized().params[1:] * sd, fit.params[1:], rtol=1e-6)


def test_constant_variables_and_other_residuals_are_refused(sleep):
    data = nm.load_dataset("sleepstudy").assign(one=1.0)
    with pytest.raises(DataError, match="one is constant"):
        nm.lmer("Reaction ~ 0 + one + (1 | Subject)", data).standardized()
    other = nm.lmer("Reaction ~ Days + (1 | Subject)", data, dispersion="~ Days")
    with pytest.raises(OptionError, match="Days is a predictor and stands in dispersion="):
        other.standardized()


# --- partial R-squared -----------------------------------------------------------------------
# in R, of lmerTest's anova(m, ddf = "Kenward-Roger"):
# lim <- function(p) uniroot(function(l) pf(F, q, nu, l) - p, c(0, 1000), tol = 1e-12)$root
# lim(c(0.975, 0.025)) / (lim(c(0.975, 0.025)) + nu)
def test_partial_r2_is_that_of_the_f_tests(sleep):
    formula = "angle ~ recipe + temperature + (1 | recipe:replicate)"
    found = nm.lmer(formula, nm.load_dataset("cake")).partial_r2()
    theirs = [[0.0117083749, 0.0, 0.1049822503], [0.317978350, 0.212757149, 0.400263826]]
    columns = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(found[columns], theirs, rtol=2e-6, atol=1e-12)
    assert found.index.tolist() == ["recipe", "temperature"]
    theirs = [0.729527463, 0.451254933, 0.847441680]
    np.testing.assert_allclose(sleep.partial_r2()[columns].iloc[0], theirs, rtol=2e-6)


def test_partial_r2_takes_methods_types_and_levels(sleep):
    wide, narrow = sleep.partial_r2(level=0.99), sleep.partial_r2(level=0.5)
    assert (wide["conf_low"] < narrow["conf_low"]).all()
    assert (wide["conf_high"] > narrow["conf_high"]).all()
    own = sleep.partial_r2(ddf="satterthwaite")
    test = sleep.anova().to_frame()
    assert own["den_df"].iloc[0] == pytest.approx(test["den_df"].iloc[0])
    assert sleep.refit_ml().partial_r2()["den_df"].iloc[0] == pytest.approx(18.0, rel=0.01)
    with pytest.raises(OptionError, match="denominator degrees of freedom"):
        sleep.partial_r2(ddf="none")


def test_partial_r2_of_a_least_squares_design_is_that_of_sums_of_squares():
    # no variance between groups: 1 - RSS / RSS without the term, of the linear model
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 5), "x": rng.normal(size=60)})
    noise = pd.Series(rng.normal(size=60))
    data["y"] = 0.4 * data.x + noise - noise.groupby(data.g).transform("mean")
    fit = nm.lmer("y ~ x + (1 | g)", data)
    assert fit.is_singular()
    found = fit.partial_r2(ddf="residual").loc["x", "estimate"]
    assert found == pytest.approx(np.corrcoef(data.x, data.y)[0, 1] ** 2, rel=1e-6)


def test_generalized_models_have_none():
    fit = nm.glmer("TICKS ~ cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
                   family="poisson")  # fmt: skip
    with pytest.raises(NotDefinedError, match="no denominator degrees of freedom"):
        fit.partial_r2()


def test_partial_r2_of_an_effect_without_noise():
    """F beyond what SciPy sums: the limit in which F is its noncentrality over a chi-squared."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=40)
    for noise in (1e-4, 1e-6):
        rows = pd.DataFrame({"x": x, "g": np.arange(40) % 5, "y": x + noise * rng.normal(size=40)})
        fit = nm.lmer("y ~ x + (1 | g)", rows)
        found = fit.partial_r2(ddf="residual").loc["x"]
        ends = stats.chi2(found["den_df"]).ppf([0.025, 0.975])
        limits = 1 - found[["conf_low", "conf_high"]].to_numpy(dtype=float)
        ratio = limits / (1 - found["estimate"])  # of 1 - R2, whatever the noise
        np.testing.assert_allclose(ratio, found["den_df"] / ends, rtol=0.05)
