"""`GlmerFit`: what glmer prints and reports, identities, and what has no meaning."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from glmm_cases import family_of, frame_of, read_fits
from scipy import special, stats

import nestedmlm as nm
from nestedmlm.errors import (
    ConvergenceWarning,
    DataError,
    ModelComparisonError,
    NotDefinedError,
    OptionError,
    ResponseError,
)
from nestedmlm.fits.generalized.absent import ABSENT

CBIND = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
PRINTED = {
    "cbpp_cbind": "cbpp", "cbpp_nAGQ9": "cbpp", "contra_slope": "con", "grouse": "grouse",
    "verbagg": "verbagg",
}  # fmt: skip
WITH_ROWS = ("cbpp_cbind", "contra_slope", "grouse", "epil")


@pytest.fixture(scope="module")
def cbpp():
    return nm.load_dataset("cbpp")


@pytest.fixture(scope="module")
def fit(cbpp):
    return nm.glmer(CBIND, cbpp, family="binomial")


@pytest.fixture(scope="module")
def ticks():
    return nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
                    nm.load_dataset("grouseticks"), family="poisson")  # fmt: skip


@pytest.fixture(scope="module")
def folder(reference):
    path = reference / "glmm"
    if not (path / "goldens.json").is_file():
        pytest.skip(f"{path} has no reference fits")
    return path


# --- glmer's text and rows ----------------------------------------------------------------------
def lines(text):
    """Without trailing blanks and with plain quotes, as views print."""
    rows = [row.rstrip().replace("‘", "'").replace("’", "'") for row in text]
    return "\n".join(rows).rstrip()


def printed_texts(case):
    """The texts of glmer, at the optimum, with the full likelihood."""
    given = {key: text for key, text in case["printed"].items() if key != "coef_table"}
    texts = {key: lines(text) for key, text in given.items() if isinstance(text, list)}
    # R's search of verbagg stopped 8e-9 above the optimum: the last digit of one p-value
    best = case["best"]
    z = np.divide(best["beta"], best["se_hessian"])
    for row, p in zip(case["printed"]["coef_table"], 2.0 * stats.norm.sf(abs(z)), strict=True):
        for key, text in texts.items():
            texts[key] = text.replace(f" {row['Pr(>|z|)']:.6f}", f" {p:.6f}")
    return texts


@pytest.mark.parametrize("name", PRINTED)
def test_prints_as_glmer(folder, name):
    case = read_fits(folder)[name]
    model = nm.Model(
        case["formula"], frame_of(folder, case), family=family_of(case), data_name=PRINTED[name]
    )
    fit, printed = model.fit(nAGQ=case["nAGQ"]), printed_texts(case)
    own = {
        "print": str(fit),
        "summary": str(fit.summary()),
        "summary_nocorr": str(fit.summary(correlation=False)),
        "varcorr": str(fit.varcorr()),
    }
    if case["nAGQ"] > 1:  # lme4 1.1 leaves a constant out of the likelihood
        assert fit.criterion == pytest.approx(case["opt"]["crit_full"], abs=1e-5)
        for key in ("print", "summary", "summary_nocorr"):
            own[key], printed[key] = (without_likelihood(text[key]) for text in (own, printed))
    assert own == {key: printed[key] for key in own}
    if "anova" in printed:
        null = model.with_formula(case["printed"]["null_formula"]).fit()
        table = str(nm.anova(null, fit, names=["m0", "m"]))
        # the heading of lme4 2, which says what it is
        assert table.split() == printed["anova"].replace("deviance", "-2*log(L)").split()
    intervals = [row.split()[-2:] for row in printed["confint_wald"].splitlines()[1:]]
    intervals = np.array([row for row in intervals if "NA" not in row], float)
    wald = fit.conf_int(method="wald")[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(wald[-len(intervals) :], intervals, rtol=0.0, atol=2e-6)


def without_likelihood(text):
    """The text without the numbers under the heading of AIC."""
    rows = text.splitlines()
    del rows[next(i for i, row in enumerate(rows) if row.split()[:1] == ["AIC"]) + 1]
    return "\n".join(rows)


@pytest.mark.parametrize("name", WITH_ROWS)
def test_rows_are_glmers(folder, name):
    case = read_fits(folder)[name]
    fit = nm.Model(case["formula"], frame_of(folder, case), family=family_of(case)).fit()
    rows = case["rows"]
    for kind in ("deviance", "pearson", "working", "response"):
        assert fit.residuals(kind).to_numpy() == pytest.approx(rows[f"resid_{kind}"], abs=1e-5)
    for kind in ("link", "response"):
        own = fit.predict(type=kind).to_numpy()
        assert own == pytest.approx(rows[f"predict_{kind}"], abs=1e-5)
        own = fit.predict(type=kind, re_form=False).to_numpy()
        assert own == pytest.approx(rows[f"predict_{kind}_fixed"], abs=1e-5)
    expected, own = pd.DataFrame(case["ranef"]), fit.ranef()
    assert own["level"].astype(str).tolist() == expected["grp"].astype(str).tolist()
    for column, given in (("estimate", "condval"), ("std_error", "condsd")):
        assert own[column].to_numpy() == pytest.approx(expected[given].to_numpy(), abs=1e-5)


def test_summary_of_shipped_data(fit):
    text = str(fit.summary())
    assert text.splitlines()[:3] == [
        "Generalized linear mixed model fit by maximum likelihood (Laplace",
        "  Approximation) [glmerMod]",
        " Family: binomial  ( logit )",
    ]
    assert "period4      -1.5803     0.4274  -3.697 0.000218 ***" in text
    assert "Residual " not in text


def test_a_dispersion_has_a_line_of_its_own():
    data = nm.load_dataset("sleepstudy")
    fit = nm.glmer("Reaction ~ Days + (1 | Subject)", data, family="gamma")
    text = str(fit.summary())
    # glmmTMB: sigma^2 0.00934
    assert "Dispersion parameter for Gamma family (sigma^2): 0.00934" in text
    assert "z value" in text
    assert "Residual " not in text
    assert str(fit).count("Dispersion parameter") == 1


# --- identities -------------------------------------------------------------------------------
def test_one_model_however_it_is_written(cbpp, fit):
    data = cbpp.assign(share=cbpp["incidence"] / cbpp["size"])
    shares = nm.glmer("share ~ period + (1 | herd)", data, family="binomial", weights="size")
    pairs = nm.glmer("p(incidence, size) ~ period + (1 | herd)", data, family="binomial")
    for other in (shares, pairs):
        assert other.criterion == pytest.approx(fit.criterion, abs=1e-8)
        assert other.fixef.to_numpy() == pytest.approx(fit.fixef.to_numpy(), abs=1e-6)


def test_the_other_level_changes_signs(cbpp, fit):
    other = nm.glmer(CBIND.replace("incidence, size - incidence", "size - incidence, incidence"),
                     cbpp, family="binomial")  # fmt: skip
    assert other.fixef.to_numpy() == pytest.approx(-fit.fixef.to_numpy(), abs=1e-5)


def test_wald_intervals_are_glmers(fit):
    table = fit.conf_int(method="wald")
    expected = [[-1.854169, -0.9428956], [-1.593341, -0.3913249],
                [-1.768870, -0.4884741], [-2.418074, -0.7425542]]  # fmt: skip
    assert table.iloc[1:].to_numpy() == pytest.approx(np.array(expected), abs=2e-6)
    odds = fit.conf_int(exponentiate=True)
    assert odds.iloc[1:].to_numpy() == pytest.approx(np.exp(expected), abs=2e-6)
    assert odds.iloc[0].tolist() == table.iloc[0].tolist()  # a standard deviation stays


def test_wald_interval_of_a_standard_deviation(fit):
    """Against the curvature of the profile: log SD, one parameter moved, the others refitted."""
    found = fit.tidy("ran_pars")["std_error"].iloc[0]
    whole = fit.solved.covariance
    assert found == pytest.approx(float(np.sqrt(2.0 * whole[0, 0])) * float(fit.theta[0]
                                  / fit.core.phi[0]), rel=1e-6)  # fmt: skip


def test_tests_are_z_tests(fit):
    z = fit.fixef / fit.bse
    assert fit.zvalues.tolist() == z.tolist()
    joint = fit.contest([f"period{i} = 0" for i in (2, 3, 4)]).table
    assert list(joint) == ["Chisq", "Df", "Pr(>Chisq)"]
    assert fit.anova().table.iloc[0].tolist() == pytest.approx(joint.iloc[0].tolist())
    V = fit.cov_params().iloc[1:, 1:]
    b = fit.fixef.iloc[1:]
    assert joint["Chisq"].iloc[0] == pytest.approx(float(b @ np.linalg.solve(V, b)))
    assert "df" not in fit.tidy("fixed")


def test_drop1_and_ranova_refit_by_the_family(cbpp, fit):
    smaller = nm.glmer(CBIND.replace("period +", "1 +"), cbpp, family="binomial")
    table = fit.drop1().table
    assert table.loc["period", "LRT"] == pytest.approx(smaller.criterion - fit.criterion, abs=1e-6)
    # R: logLik(glm(cbind(incidence, size - incidence) ~ period, binomial, cbpp))
    assert fit.ranova().table["logLik"].iloc[1] == pytest.approx(-99.0291, abs=1e-4)
    with pytest.raises(OptionError, match="test='F' is for linear models"):
        fit.drop1(test="F")


def test_quadrature_goes_on_in_refits(cbpp):
    fit = nm.glmer(CBIND, cbpp, family="binomial", nAGQ=9)
    assert fit.criterion == pytest.approx(183.9667, abs=1e-4)
    assert fit.update(". ~ . - period").nAGQ == 9
    assert fit.refit(fit.design.y).criterion == pytest.approx(fit.criterion, abs=1e-6)


def test_emmeans_on_both_scales(fit):
    """R's emmeans at these estimates."""
    means = nm.emmeans(fit, "period", type="response")
    frame = means.to_frame()
    assert frame["estimate"].round(4).tolist() == [0.1980, 0.0839, 0.0740, 0.0484]
    assert frame["std_error"].round(4).tolist() == [0.0369, 0.0238, 0.0226, 0.0198]
    assert frame["conf_low"].round(4).tolist() == [0.1354, 0.0475, 0.0401, 0.0214]
    ratios = means.pairs()
    assert ratios.to_frame()["estimate"].iloc[0] == pytest.approx(np.exp(-fit.fixef["period2"]))
    text = str(ratios)
    assert " period1 / period2       2.70 0.827 Inf    1   3.236  0.0066" in text
    assert "Tests are performed on the log odds ratio scale" in text
    assert "Results are given on the logit (not the response) scale." in str(
        nm.emmeans(fit, "period")
    )


def test_words_of_r_for_formulas_and_means():
    """glmer leaves `||` in print, lmer writes it out; emmeans calls these means "response"."""
    family = nm.families.negative_binomial(theta=3.0)
    ticks = nm.load_dataset("grouseticks")
    model = nm.glmer("TICKS ~ YEAR + (cHEIGHT || BROOD)", ticks, family=family)
    assert "Formula: TICKS ~ YEAR + (cHEIGHT || BROOD)\n" in str(model.summary())
    assert " YEAR response " in str(nm.emmeans(model, "YEAR", type="response"))


def test_shares_of_variance(fit):
    """Nakagawa, Johnson & Schielzeth (2017): pi^2 / 3, and 1 / (p (1 - p))."""
    random = float(fit.varcorr().to_frame()["vcov"].iloc[0])
    assert fit.icc()["adjusted"] == pytest.approx(random / (random + np.pi**2 / 3))
    p = 1.0 / (1.0 + np.exp(-np.mean(fit.design.X @ fit.solution.beta)))
    found = fit.icc(scale="observation")["adjusted"]
    assert found == pytest.approx(random / (random + 1.0 / (p * (1.0 - p))))


def test_an_effect_of_each_row_is_residual(ticks):
    parts = ticks.varcorr().to_frame().set_index("group")["vcov"]
    eta = ticks.design.X @ ticks.solution.beta
    rate = np.exp(eta.mean() + 0.5 * parts.sum())
    residual = np.log1p(1.0 / rate) + parts["INDEX"]
    rest = parts["BROOD"] + parts["LOCATION"]
    assert ticks.icc()["adjusted"] == pytest.approx(rest / (rest + residual))


# --- rows -------------------------------------------------------------------------------------
def test_quantile_residuals_are_normal_if_the_model_is_right(ticks):
    drawn = ticks.simulate(1, seed=3, re_form=None)["sim_1"].to_numpy()
    own = ticks.refitted(ticks.design.with_response(drawn))
    found = own.residuals("quantile", seed=1)
    assert abs(found.mean()) < 0.2
    assert 0.7 < found.std() < 1.3


@pytest.mark.parametrize(
    "family",
    ["binomial", "poisson", "negativebinomial", "gamma", "inverse_gaussian", "beta", "gaussian"],
)
def test_distribution_functions_are_those_of_the_draws(family):
    from nestedmlm.inference.rows.generalized_residuals import DISTRIBUTIONS

    made = nm.families.FAMILIES[family]()
    mu = np.full(4000, 0.3 if family in ("binomial", "beta") else 3.0)
    weights = np.full(4000, 5.0 if family == "binomial" else 1.0)
    phi = None if made.dispersion == "none" else (5.0 if family == "beta" else 0.4)
    y = made.random(mu, weights, phi, np.random.default_rng(1))
    below, upto = DISTRIBUTIONS[family](y, mu, weights, made.value_of(phi))
    for value in np.quantile(y, [0.1, 0.5, 0.9]):
        at = np.argmin(np.abs(y - value))
        assert upto[at] == pytest.approx(np.mean(y <= y[at]), abs=0.03)
        assert below[at] == pytest.approx(np.mean(y < y[at]), abs=0.03)


def test_intervals_on_the_response_scale_are_transformed_ends(cbpp, fit):
    link, response = (
        fit.predict(cbpp.head(5), type=kind, interval="confidence") for kind in ("link", "response")
    )
    expit = 1.0 / (1.0 + np.exp(-link[["estimate", "conf_low", "conf_high"]]))
    assert response[expit.columns].to_numpy() == pytest.approx(expit.to_numpy())
    slope = expit["estimate"] * (1.0 - expit["estimate"])
    assert response["std_error"].to_numpy() == pytest.approx((slope * link["std_error"]).to_numpy())
    with pytest.raises(OptionError, match="type='response'"):
        fit.predict(cbpp, interval="prediction")
    with pytest.raises(DataError, match="the numbers of trials"):
        fit.predict(cbpp, type="response", interval="prediction")


def test_simulated_responses_can_be_refitted(fit):
    drawn = fit.simulate(2, seed=1)
    successes = drawn.mul(fit.design.weights, axis=0)
    assert np.allclose(successes, successes.round())
    assert fit.refit(drawn["sim_1"]).converged
    with pytest.raises(ResponseError, match="the new response is 2 in row 0"):
        fit.refit(np.full(56, 2.0) + np.arange(56))


def test_bootstrap_draws_from_the_family(fit):
    boot = fit.bootstrap(4, seed=1, progress=False)
    assert list(boot.t) == [*fit.design.x_names, "sd_(Intercept)|herd"]
    again = fit.refit(fit.simulate(1, seed=1)["sim_1"])
    assert np.isfinite(boot.t.to_numpy()).all()
    assert again.converged
    with pytest.raises(OptionError, match="type must be one of parametric, cases"):
        fit.bootstrap(2, type="residual", progress=False)


def test_step_eliminates_by_likelihood_ratios(cbpp):
    data = cbpp.assign(z=np.sin(np.arange(1.0, 57.0)))
    fit = nm.glmer("cbind(incidence, size - incidence) ~ period + z + (1 | herd)", data,
                   family="binomial")  # fmt: skip
    found = fit.step()
    assert found.final.formula == CBIND
    assert found.fixed["Eliminated"].to_dict() == {"z": 1.0, "period": 0.0}
    assert found.fixed.loc["z"].iloc[1:].equals(fit.drop1().table.loc["z"])
    assert fit.step(keep=["z"]).final.formula == fit.formula
    # without random effects as R's drop1 of glm(..., binomial), to its digits
    flat = fit.step(alpha_random=1e-9)
    assert flat.final.formula == "cbind(incidence, size - incidence) ~ period"
    assert flat.fixed["LRT"].to_numpy() == pytest.approx([0.034191, 40.715773], abs=6e-7)
    assert flat.fixed["AIC"].to_numpy() == pytest.approx([206.05840, 240.77417], abs=6e-6)
    assert flat.fixed["Pr(Chi)"].to_numpy() == pytest.approx([0.8533, 7.5128e-09], rel=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_predictor_may_be_drawn_by_any_seed(cbpp, seed):
    data = cbpp.assign(z=np.random.default_rng(seed).normal(size=len(cbpp)))
    formula = "cbind(incidence, size - incidence) ~ z + (1 | herd) + (1 | period)"
    assert nm.glmer(formula, data, family="binomial").converged


def test_population_predictions_have_the_errors_of_means(fit):
    """The numbers are those of glmmTMB, predict(re.form = NA, se.fit = TRUE)."""
    found = fit.predict(re_form="~ 0", se_fit=True)["std_error"][:4].to_numpy()
    means = fit.emmeans("period").to_frame()["std_error"].to_numpy()
    assert found == pytest.approx(means, rel=1e-9)
    assert found == pytest.approx([0.2324721, 0.3102140, 0.3302752, 0.4300720], rel=1e-5)
    rows = pd.DataFrame({"period": ["1"], "herd": ["99"]})
    new = fit.predict(rows, se_fit=True, new_levels="population")["std_error"].iloc[0]
    assert new == pytest.approx(np.hypot(means[0], fit.theta[0]), rel=1e-9)


# --- what is refused ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ABSENT)
def test_what_has_no_meaning_says_so(fit, name):
    assert hasattr(nm.LmerFit, name)
    assert not hasattr(fit, name)
    with pytest.raises(NotDefinedError, match=f"{name} of a generalized model is not defined"):
        getattr(fit, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "binomal"}, "did you mean 'binomial'"),
        ({"family": "quasibinomial"}, "negativebinomial"),
        ({"family": "binomial", "link": "log"}, "logit"),
        ({"family": "gaussian"}, "nm.lmer"),
        ({"family": nm.families.gaussian("identity")}, "nm.lmer"),
        ({"family": "binomial", "nAGQ": 101}, "at most 100"),
        ({"family": "binomial", "information": "fisher"}, "information must be one of"),
    ],
)
def test_options_that_are_refused(cbpp, options, message):
    with pytest.raises(OptionError, match=message):
        nm.glmer(CBIND, cbpp, **options)


def test_both_doors_give_a_gaussian_family_the_link_that_is_asked_for(cbpp):
    data = cbpp.assign(share=cbpp["incidence"] / cbpp["size"] + 0.1)
    named = nm.glmer("share ~ 1 + (1 | herd)", data, family="gaussian", link="log")
    made = nm.glmer("share ~ 1 + (1 | herd)", data, family=nm.families.gaussian("log"))
    assert named.family.link.name == "log"
    assert named.fixef["(Intercept)"] == pytest.approx(np.log(data["share"].mean()), abs=0.2)
    assert named.criterion == made.criterion
    for family in ("gaussian", nm.families.gaussian("identity")):
        with pytest.raises(OptionError, match=r"nm\.pymc_lmer|nm\.lmer"):
            nm.pymc_glmer("share ~ 1 + (1 | herd)", data, family=family)


def test_quadrature_needs_one_factor(cbpp):
    data = cbpp.assign(obs=np.arange(len(cbpp)))
    with pytest.raises(OptionError, match=r"one grouping factor, and there are 2 \(obs, herd\)"):
        nm.glmer(f"{CBIND} + (1 | obs)", data, family="binomial", nAGQ=5)


def test_options_of_the_other_kind(cbpp):
    with pytest.raises(OptionError, match="leave REML out"):
        nm.Model(CBIND, cbpp, family="binomial").fit(True)
    with pytest.raises(OptionError, match="options of a model with a family"):
        nm.Model("incidence ~ period + (1 | herd)", cbpp).fit(nAGQ=5)


@pytest.mark.parametrize("call", ["summary", "anova", "tidy", "contest"])
def test_degrees_of_freedom_are_refused(fit, call):
    given = (["period2 = 0"],) if call == "contest" else ()
    with pytest.raises(OptionError, match="a generalized one has z tests"):
        getattr(fit, call)(*given, ddf="satterthwaite")


def test_families_are_not_compared(cbpp, fit):
    other = nm.glmer("incidence ~ period + (1 | herd)", cbpp, family="poisson")
    with pytest.raises(ModelComparisonError, match="different families"):
        nm.anova(fit, other)


def test_few_rows_in_a_group_are_said(cbpp):
    data = pd.DataFrame({"y": np.tile([0, 1, 1], 20), "x": np.arange(60) % 7,
                         "g": np.repeat(np.arange(20), 3)})  # fmt: skip
    with np.errstate(all="ignore"):
        fit = nm.glmer("y ~ x + (1 | g)", data, family="binomial")
    assert any("at most 3 rows of 0 or 1" in text for text in fit.messages)


def test_a_fit_can_be_pickled(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert str(again.summary()) == str(fit.summary())


# --- is the model right -------------------------------------------------------------------------
def test_overdispersion_is_the_sum_of_squares(ticks):
    found = ticks.overdispersion()
    r = ticks.residuals("pearson")
    assert found["statistic"] == pytest.approx(float((r**2).sum()))
    assert found["df"] == ticks.df_resid
    alone = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
                     family="poisson")  # fmt: skip
    assert alone.overdispersion()["ratio"] > 1.5 > found["ratio"]
    assert alone.overdispersion()["p_value"] < 1e-6


def test_zeros_that_the_model_does_not_expect(ticks):
    assert ticks.zero_inflation(nsim=100, seed=1)["p_value"] > 0.05
    y = ticks.simulate(1, seed=2)["sim_1"].to_numpy().copy()
    y[::3] = 0.0
    design = ticks.design.with_response(y)
    small = nm.Model("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
                     family="poisson").fit()  # fmt: skip
    inflated = small.refitted(small.design.with_response(design.y))
    found = inflated.zero_inflation(nsim=100, seed=1)
    assert found["observed"] > found["expected"]
    assert found["p_value"] < 0.05
    gamma = nm.glmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"),
                     family="gamma")  # fmt: skip
    with pytest.raises(OptionError, match="those of the gamma family are not"):
        gamma.zero_inflation()


def test_simulated_residuals_are_uniform_if_the_model_is_right(ticks):
    right = ticks.refitted(
        ticks.design.with_response(ticks.simulate(1, seed=5)["sim_1"].to_numpy())
    )
    u = right.simulated_residuals(seed=1)
    assert abs(u.mean() - 0.5) < 0.06
    assert abs(u.std() - 12**-0.5) < 0.04
    assert u.tolist() == right.simulated_residuals(seed=1).tolist()


@pytest.mark.parametrize("random", ["(1 | herd)", "(1 + size | herd)"])
def test_the_check_foresees_the_refit_by_quadrature(cbpp, random):
    formula = f"cbind(incidence, size - incidence) ~ period + {random}"
    laplace = nm.glmer(formula, cbpp, family="binomial")
    if laplace.is_singular():
        pytest.skip("a singular fit has nothing to foresee")
    found = laplace.check_approximation(nAGQ=7)
    better = nm.glmer(formula, cbpp, family="binomial", nAGQ=7)
    assert found.attrs["criterion"] == pytest.approx(better.criterion, abs=0.01)
    change = better.fixef - laplace.fixef
    foreseen = found.loc[change.index, "change"]
    assert foreseen.to_numpy() == pytest.approx(change.to_numpy(), abs=0.2 * change.abs().max())
    with pytest.raises(OptionError, match="give more points"):
        better.check_approximation(nAGQ=7)


def test_criteria_of_two_informations_are_not_compared_in_silence():
    data, formula = nm.load_dataset("grouseticks"), "TICKS ~ YEAR + (1 | BROOD)"
    free = nm.glmer(formula, data, family="negativebinomial")
    family = nm.families.negative_binomial(theta=3.0)
    known = nm.glmer(formula, data, family=family)
    assert "information" in str(nm.anova(known, free))
    same = nm.glmer(formula, data, family=family, information="observed")
    assert "information" not in str(nm.anova(same, free))


def test_separation_is_said_and_a_weak_prior_cures_it():
    data = pd.DataFrame({"y": np.repeat([0, 1], 30), "x": np.repeat([0.0, 1.0], 30),
                         "g": np.arange(60) % 6})  # fmt: skip
    with pytest.warns(nm.ConvergenceWarning, match="x"):
        fit = nm.glmer("y ~ x + (1 | g)", data, family="binomial")
    assert not fit.converged
    assert any("x" in text and "penalty" in text for text in fit.messages)
    cured = nm.glmer("y ~ x + (1 | g)", data, family="binomial", penalty="normal")
    assert cured.converged
    assert abs(cured.fixef["x"]) < 20.0
    again = cured.refitted(cured.design)  # with the same prior
    assert again.fixef["x"] == pytest.approx(cured.fixef["x"], rel=1e-4)


# --- nothing takes the response for normal ------------------------------------------------------
NORMAL = {
    "rlrt": lambda fit: nm.rlrt(fit, nsim=10),
    "boundary": lambda fit: nm.anova(fit.update(". ~ . - period"), fit, test="boundary"),
    "pytensor": lambda fit: fit.model.pytensor(),
    "spaghetti": lambda fit: fit.plot.spaghetti("period2"),
    "trellis": lambda fit: fit.plot.trellis("period2"),
    "surface": lambda fit: fit.plot.likelihood_surface(),
}


@pytest.mark.parametrize("name", NORMAL)
def test_what_takes_the_response_for_normal_is_refused(fit, name):
    with pytest.raises(OptionError, match="linear models"):
        NORMAL[name](fit)


def test_effects_are_drawn_on_the_scale_of_the_response(fit):
    ax = fit.plot.effect("period")
    assert ax.get_ylabel() == "prob"
    low, high = ax.get_ylim()
    assert -0.1 < low < high < 1.0


def test_every_member_of_a_linear_fit_is_there_or_says_why_not():
    linear, own = ({n for n in dir(cls) if not n.startswith("_")} for cls in
                   (nm.LmerFit, nm.GlmerFit))  # fmt: skip
    assert linear - own == set(ABSENT)


@pytest.mark.parametrize("other", [{"link": "probit"}, {"offset": np.linspace(0.0, 1.0, 56)}])
def test_other_links_and_offsets_are_not_nested(cbpp, fit, other):
    small = nm.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", cbpp,
                     family="binomial", **other)  # fmt: skip
    said = nm.anova(small, fit, names=("small", "large")).messages
    assert "small is not nested in large: its p-value means nothing; compare AIC or BIC" in said
    weights = (None, np.ones(56), np.linspace(1.0, 2.0, 56))
    a, b, c = (
        nm.lmer(f"incidence ~ {x} + (1 | herd)", cbpp, weights=w)
        for x, w in zip(("1", "period", "period"), weights, strict=True)
    )
    assert not nm.anova(a, b, refit=False).notes and len(nm.anova(a, c, refit=False).notes) == 1


def test_other_approximations_are_not_compared(cbpp, fit):
    other = nm.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", cbpp,
                     family="binomial", nAGQ=9)  # fmt: skip
    with pytest.raises(ModelComparisonError, match="different nAGQ"):
        nm.anova(fit, other)


def test_draws_of_weights_that_are_no_trials_are_responses() -> None:
    # weights of a survey: a row is one trial, whatever it counts for
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 10), rng.normal(size=120)
    hit = rng.normal(size=12)[g] + 0.5 * x + rng.logistic(size=120) > 0
    weights = rng.uniform(0.3, 1.7, 120)
    rows = pd.DataFrame({"hit": hit.astype(int), "x": x, "g": g, "w": weights})
    fit = nm.glmer("hit ~ x + (1 | g)", rows, family="binomial", weights="w")
    drawn = fit.simulate(20, seed=1)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert fit.refit(drawn.iloc[:, 0]).converged
    # a residual lies in its outcome's share of the distribution
    below = special.ndtr(fit.residuals("quantile", seed=1)) <= 1.0 - fit.predict(type="response")
    np.testing.assert_array_equal(below, rows.hit == 0)


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | g)", "z ~ x + (0 + x | g)"])
def test_standard_deviations_without_bound_are_named(formula):
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "x": rng.normal(size=120)})
    rows = rows.assign(y=rows.g % 2, z=(rows.x * np.where(rows.g % 2, 1, -1) > 0).astype(int))
    fit = nm.glmer(formula, rows, family="binomial")
    (said,) = fit.messages
    assert "separation within groups" in said and "nm.pymc_glmer" in said
    assert fit.diagnose().growing == (said,)
    assert said[1:] in str(fit.diagnose())
    found = {one.check: one.verdict for one in fit.check(nsim=9).findings}
    assert found["separation"] == "act"
    milder = nm.glmer("y ~ x + (1 | g)", rows.assign(y=rng.integers(0, 2, 120)), family="binomial")
    assert milder.diagnose().growing == ()


def test_a_descent_that_ends_where_standard_deviations_grow_says_so():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "x": rng.normal(size=120)})
    rows = rows.assign(z=(rows.x * np.where(rows.g % 2, 1, -1) > 0).astype(int))
    short = nm.Control(max_evaluations=40)
    with pytest.warns(ConvergenceWarning, match="separation within groups"):
        fit = nm.glmer("z ~ x + (0 + x | g)", rows, family="binomial", control=short)
    assert not fit.converged
