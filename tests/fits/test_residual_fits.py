"""Fits whose residuals differ or correlate: identities, refusals, and what their verbs say."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, ttest_ind

import nestedmlm as nm
from nestedmlm.errors import (
    DataError,
    FormulaError,
    NewLevelsError,
    OptionError,
    ResidualStructureError,
)
from nestedmlm.inference.resampling.bootstrap_intervals import interval
from nestedmlm.inference.resampling.resampling import take_groups, top_factor

SLEEP = pd.DataFrame(
    {
        "extra": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0,
                  1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
        "drug": ["1"] * 10 + ["2"] * 10,
        "id": [*range(10), *range(10)],
    }
)  # fmt: skip
try:
    ORTHODONT = nm.load_dataset("Orthodont")
except nm.NestedMLMError:  # is not shipped
    pytest.skip("needs Orthodont (NESTEDMLM_DATA)", allow_module_level=True)
SLEEPSTUDY = nm.load_dataset("sleepstudy")
MEANS = "distance ~ age * Sex"


@pytest.fixture(scope="module")
def strata():
    return nm.lmer(f"{MEANS} + (age | Subject)", ORTHODONT, dispersion="~ Sex")


@pytest.fixture(scope="module")
def ar1():
    return nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEPSTUDY, residual="ar1(Days | Subject)")


def visits() -> pd.DataFrame:
    return ORTHODONT.assign(visit=pd.Categorical(ORTHODONT.age.astype(int).astype(str),
                                                 ["8", "10", "12", "14"]))  # fmt: skip


# --- identities ---------------------------------------------------------------------------------
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_two_measurements_are_a_paired_t_test(ddf):
    fit = nm.lmer("extra ~ drug", SLEEP, residual="us(drug | id)")
    row = fit.tidy("fixed", ddf=ddf).iloc[1]
    assert row["std_error"] == pytest.approx(0.3889587, rel=1e-6)
    assert row["df"] == pytest.approx(9.0, rel=1e-5)


def test_strata_without_random_effects_are_welchs_t_test():
    fit = nm.lmer("extra ~ drug", SLEEP, dispersion="~ drug")
    row = fit.tidy("fixed").iloc[1]
    a, b = (SLEEP.extra[SLEEP.drug == level] for level in "12")
    va, vb = a.var() / 10, b.var() / 10
    assert row["std_error"] == pytest.approx(np.sqrt(va + vb), rel=1e-7)
    assert row["df"] == pytest.approx((va + vb) ** 2 / (va**2 / 9 + vb**2 / 9), rel=1e-6)


def test_a_common_correlation_is_a_random_intercept():
    one = nm.lmer(MEANS, ORTHODONT, residual="cs(1 | Subject)")
    other = nm.lmer(f"{MEANS} + (1 | Subject)", ORTHODONT)
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-9)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-6)
    a, b = one.tidy("fixed"), other.tidy("fixed")
    np.testing.assert_allclose(a["df"], b["df"], rtol=1e-5)
    assert one.dispersion["estimate"][1] == pytest.approx(other.icc()["adjusted"], rel=1e-6)
    assert (one.npar, one.aic) == (other.npar, pytest.approx(other.aic))


def test_negative_correlations_are_found():
    rng = np.random.default_rng(2)
    e = rng.normal(size=(40, 4))
    y = (e - 0.9 * e.mean(axis=1, keepdims=True)).ravel()
    d = pd.DataFrame({"y": y, "g": np.repeat(np.arange(40), 4)})
    fit = nm.lmer("y ~ 1", d, residual="cs(1 | g)")
    assert -1 / 3 < fit.dispersion["estimate"][1] < -0.25
    assert fit.criterion < nm.lmer("y ~ 1 + (1 | g)", d).criterion - 30.0


@pytest.mark.parametrize("structure", ["ar1", "cs", "toep", "ad1"])
def test_structures_are_within_the_unstructured(structure):
    d = visits()
    hom = "" if structure == "us" else ", hom=False"
    small = nm.lmer(MEANS, d, residual=f"{structure}(visit | Subject{hom})")
    large = nm.lmer(MEANS, d, residual="us(visit | Subject)")
    assert small.converged and large.converged
    assert small.criterion >= large.criterion - 1e-9
    assert small.npar < large.npar
    compared = nm.anova(small, large, refit=False)
    assert any("residual = " in line for line in compared.heading) or any(
        "dispersion = " in line for line in compared.heading
    )
    table = compared.table
    assert table["Chisq"].iloc[1] == pytest.approx(small.criterion - large.criterion)


def test_whole_gaps_are_continuous_time():
    """ar1 with a correlation above zero is car1, whatever the unit of time."""
    a = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEPSTUDY, residual="ar1(Days | Subject)")
    hours = SLEEPSTUDY.assign(hours=24.0 * SLEEPSTUDY.Days)
    b = nm.lmer("Reaction ~ Days + (1 | Subject)", hours, residual="car1(hours | Subject)")
    assert a.criterion == pytest.approx(b.criterion, abs=1e-8)
    rho = (fit.dispersion["estimate"].iloc[-1] for fit in (a, b))
    assert next(rho) == pytest.approx(next(rho) ** 24.0, rel=1e-5)


def test_gaps_count():
    d = SLEEPSTUDY[~SLEEPSTUDY.Days.isin([3, 4, 7])]
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", d, residual="ar1(Days | Subject)")
    assert any("gaps wider than 1" in m for m in fit.messages)
    rho = fit.dispersion["estimate"].iloc[-1]
    C = fit.residual_cov("308", kind="cor")
    assert C.loc["2", "5"] == pytest.approx(rho**3)


@pytest.mark.parametrize(
    "how",
    [
        {"dispersion": "~ Sex"},
        {"residual": "us(visit | Subject)"},
        {"residual": "ar1(visit | Subject)", "dispersion": "~ Sex"},
    ],
)
def test_order_of_rows_and_doubled_data(how):
    d = visits()
    fit = nm.lmer(MEANS, d, **how)
    other = nm.lmer(MEANS, d.sample(frac=1.0, random_state=3), **how)
    assert fit.criterion == pytest.approx(other.criterion, abs=1e-9)
    twice = pd.concat([d, d.assign(Subject=d.Subject.astype(str) + "b")])
    ml, ml2 = (nm.lmer(MEANS, x, REML=False, **how) for x in (d, twice))
    assert ml2.criterion == pytest.approx(2.0 * ml.criterion, rel=1e-9)
    np.testing.assert_allclose(ml2.dispersion["estimate"], ml.dispersion["estimate"], rtol=1e-4)


def test_groups_with_matrices_of_their_own():
    """Without common fixed effects the groups are two models."""
    d = visits()
    both = nm.lmer(
        "distance ~ 0 + Sex:visit", d, residual="us(visit | Subject, by=Sex)", REML=False
    )
    apart = [
        nm.lmer("distance ~ 0 + visit", d[d.Sex == sex], residual="us(visit | Subject)", REML=False)
        for sex in ("Male", "Female")
    ]
    assert both.criterion == pytest.approx(sum(fit.criterion for fit in apart), rel=1e-9)
    found = both.residual_cov()
    for sex, fit in zip(("Male", "Female"), apart, strict=True):
        np.testing.assert_allclose(found.loc[sex], fit.residual_cov(), rtol=1e-4)


def test_above_the_subjects():
    """Sites are random, visits of a subject unstructured: asked of others, fitted here."""
    rng = np.random.default_rng(4)
    d = visits()
    site = dict(zip(sorted(d.Subject.astype(str).unique()), rng.integers(0, 9, 27), strict=True))
    d["site"] = d.Subject.astype(str).map(site)
    d["distance"] += 2.0 * rng.normal(size=9)[d.site]
    fit = nm.lmer("distance ~ Sex * visit + (1 | site)", d, residual="us(visit | Subject)")
    assert fit.converged
    assert fit.criterion < nm.lmer("distance ~ Sex * visit", d,
                                   residual="us(visit | Subject)").criterion  # fmt: skip


def test_a_registered_structure_serves_residuals():
    def decaying(xp, par, k):
        gap = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return nm.covariance.cholesky(xp, xp.exp(-gap / par[0]), k)

    with nm.covariance.temporary_structures():
        nm.covariance.register("fading", decaying, [nm.covariance.Parameter("range", lower=0)])
        fit = nm.lmer(MEANS, visits(), residual="fading(visit | Subject, hom=True)")
        twin = nm.lmer(MEANS, visits(), residual="ar1(visit | Subject)")
        assert fit.criterion == pytest.approx(twin.criterion, abs=1e-8)
        found = fit.dispersion["estimate"].iloc[-1]
        assert np.exp(-1 / found) == pytest.approx(twin.dispersion["estimate"].iloc[-1], rel=1e-5)


@pytest.mark.parametrize("formula", ["Reaction ~ Days + (1 | Subject)",
                                     "Reaction ~ Days + (Days | Subject)"])  # fmt: skip
@pytest.mark.parametrize("how", [{"residual": "ar1(Days | Subject)"}, {"dispersion": "~ Days"},
                                 {"residual": "car1(Days | Subject)"}])  # fmt: skip
def test_never_above_the_submodel(formula, how):
    fit = nm.lmer(formula, SLEEPSTUDY, **how)
    assert fit.converged
    assert fit.criterion <= nm.lmer(formula, SLEEPSTUDY).criterion + 1e-9


# --- verbs --------------------------------------------------------------------------------------
def test_normalized_residuals_are_whitened(ar1):
    e = ar1.residuals("normalized")
    raw = ar1.residuals() / ar1.sigma
    C = ar1.residual_cov("308", kind="cor").to_numpy()
    own = (SLEEPSTUDY.Subject.astype(str) == "308").to_numpy()
    np.testing.assert_allclose(np.linalg.cholesky(C) @ e[own], raw[own], atol=1e-10)


def test_pearson_residuals_are_divided_by_their_own_sd(strata):
    raw, scaled = strata.residuals(), strata.residuals("pearson", scaled=True)
    sd = strata.dispersion["estimate"]
    expected = sd[0] * np.where(ORTHODONT.Sex == "Female", sd[1], 1.0)
    np.testing.assert_allclose(scaled, raw / expected, rtol=1e-12)


def test_simulated_responses_have_the_covariance():
    fit = nm.lmer("extra ~ drug", SLEEP, residual="us(drug | id)")
    Y = fit.simulate(4000, seed=1).to_numpy() - fit.fittedvalues.to_numpy()[:, None]
    pairs = np.stack([Y[:10].ravel(), Y[10:].ravel()])
    np.testing.assert_allclose(np.cov(pairs), fit.residual_cov(), rtol=0.03)


def test_prediction_intervals_count_the_rows_own_variance(strata):
    new = pd.DataFrame({"age": 10.0, "Sex": ["Male", "Female"], "Subject": ["M01", "F01"]})
    options = {"interval": "prediction", "re_form": False}
    found = strata.predict(new, **options)
    se = strata.predict(new, se_fit=True, re_form=False)["std_error"]
    half = (found["conf_high"] - found["conf_low"]) / (2 * 1.959963984540054)
    T = strata.varcorr().blocks[0].cov
    x = np.array([1.0, 10.0])
    sd = strata.dispersion["estimate"]
    own = np.array([sd[0], sd[0] * sd[1]])
    np.testing.assert_allclose(half**2, se**2 + x @ T @ x + own**2, rtol=1e-9)
    other = nm.lmer("distance ~ age + (1 | Subject)", ORTHODONT, dispersion="~ Sex")
    with pytest.raises(NewLevelsError, match="other"):
        other.predict(new.assign(Sex="other"), interval="prediction")


def test_forecast_within_a_block(ar1):
    """The conditional distribution given the rows of the block, by the joint matrix."""
    new = pd.DataFrame({"Days": [10, 12], "Subject": ["308", "309"]})
    found = ar1.predict(new, use_residuals=True, interval="prediction")
    e, rho = ar1.residuals(), ar1.dispersion["estimate"].iloc[-1]
    last = [e[(SLEEPSTUDY.Subject.astype(str) == s) & (SLEEPSTUDY.Days == 9)].iloc[0]
            for s in new.Subject]  # fmt: skip
    expected = ar1.predict(new) + np.array([rho * last[0], rho**3 * last[1]])
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-9)
    plain = ar1.predict(new, interval="prediction")
    half = (found["conf_high"] - found["conf_low"]) / (2 * 1.959963984540054)
    assert (half < (plain["conf_high"] - plain["conf_low"]) / (2 * 1.959963984540054)).all()
    # the same by the joint covariance of all responses and the new ones
    d = SLEEPSTUDY.reset_index(drop=True)
    sub, days = d.Subject.astype(str).to_numpy(), d.Days.to_numpy(float)
    both_s = np.concatenate([sub, new.Subject]).astype(str)
    both_t = np.concatenate([days, new.Days])
    X = np.column_stack([np.ones(182), both_t])
    same = both_s[:, None] == both_s
    b2 = ar1.varcorr().blocks[0].cov[0, 0]
    gap = np.abs(both_t[:, None] - both_t)
    V = same * (b2 + ar1.sigma**2 * rho**gap)
    A = np.linalg.solve(V[:180, :180], V[:180, 180:])
    D = X[180:] - A.T @ X[:180]
    variance = np.diag(V[180:, 180:] - V[180:, :180] @ A) + np.einsum(
        "ij,jk,ik->i", D, ar1.cov_params().to_numpy(), D)  # fmt: skip
    np.testing.assert_allclose(half**2, variance, rtol=1e-8)
    y = d.Reaction.to_numpy()
    blup = X[180:] @ ar1.params.to_numpy() + A.T @ (y - X[:180] @ ar1.params.to_numpy())
    np.testing.assert_allclose(found["estimate"], blup, rtol=1e-9)


def test_forecast_where_variances_differ():
    """The last residual goes on by its share of the new row's standard deviation."""
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEPSTUDY,
                  residual="ar1(Days | Subject)", dispersion="~ Days")  # fmt: skip
    new = pd.DataFrame({"Days": [12], "Subject": ["308"]})
    _, slope, rho = fit.dispersion["estimate"]
    last = (SLEEPSTUDY.Subject.astype(str) == "308") & (SLEEPSTUDY.Days == 9)
    ahead = np.exp(3.0 * slope) * rho**3 * fit.residuals()[last].iloc[0]
    found = fit.predict(new, use_residuals=True)
    np.testing.assert_allclose(found - fit.predict(new), ahead, rtol=1e-8)


def test_visits_that_were_seen_are_not_forecast():
    fit = nm.lmer(MEANS, visits(), residual="us(visit | Subject)")
    with pytest.raises(ResidualStructureError, match="has a row at this visit already"):
        fit.predict(visits().head(1), use_residuals=True)


def test_the_residual_variance_of_the_icc_is_an_average(strata):
    sd = strata.dispersion["estimate"]
    variance = (sd[0] * np.where(ORTHODONT.Sex == "Female", sd[1], 1.0)) ** 2
    between = nm.lmer(f"{MEANS} + (1 | Subject)", ORTHODONT, dispersion="~ Sex")
    sd = between.dispersion["estimate"]
    variance = (sd[0] * np.where(ORTHODONT.Sex == "Female", sd[1], 1.0)) ** 2
    b = between.varcorr().blocks[0].cov[0, 0]
    assert between.icc()["adjusted"] == pytest.approx(b / (b + variance.mean()), rel=1e-9)


def test_pickles_and_refits(strata, ar1):
    for fit in (strata, ar1):
        again = pickle.loads(pickle.dumps(fit))
        assert again.dispersion.equals(fit.dispersion)
        other = again.refit(2.0 * fit.design.y)
        assert other.sigma == pytest.approx(2.0 * fit.sigma, rel=1e-5)
        np.testing.assert_allclose(other.dispersion["estimate"][1:], fit.dispersion["estimate"][1:],
                                   rtol=1e-4)  # fmt: skip
        assert not fit.refit_ml().REML


def test_prints(strata, ar1):
    assert " Residual Male        1.6296" in str(strata)
    assert "          Female      0.6662" in str(strata)
    assert "Dispersion: log SD ~ Sex" in str(strata.summary())
    assert "ar1(Days | Subject), rho = 0.653" in str(ar1)
    alone = nm.lmer(MEANS, visits(), residual="us(visit | Subject)")
    assert str(alone).startswith("Generalized least squares fit by REML")
    assert "27 blocks, 1 pattern" in str(alone.varcorr())


# --- refusals -----------------------------------------------------------------------------------
REFUSED = {
    "two rows at one time": ({"residual": "ar1(Days | Subject)"}, ResidualStructureError,
                             "308 has two rows at Days = 0"),
    "fractions": ({"residual": "ar1(part | Subject)"}, ResidualStructureError, "car1.part"),
    "unknown": ({"residual": "spatial(Days | Subject)"}, OptionError, "known: ar1, car1"),
    "no time": ({"residual": "us(1 | Subject)"}, FormulaError, "needs the time"),
    "no bar": ({"residual": "ar1(Days)"}, FormulaError, "one bar"),
    "option": ({"residual": "ar1(Days | Subject, het=True)"}, FormulaError, "hom= and by="),
    "no tilde": ({"dispersion": "Days"}, FormulaError, "one-sided"),
    "bars": ({"dispersion": "~ (1 | Subject)"}, FormulaError, "no random effects"),
    "no intercept": ({"dispersion": "~ 0 + Days"}, FormulaError, "intercept"),
    "small stratum": ({"dispersion": "~ alone"}, ResidualStructureError, "stratum of 1 row"),
    "changes": ({"residual": "cs(1 | Subject, by=odd)"}, ResidualStructureError, "changes within"),
    "too many": ({"residual": "us(row | Subject)"}, ResidualStructureError, "parameters"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_the_build(case):
    options, error, words = REFUSED[case]
    d = SLEEPSTUDY.assign(part=SLEEPSTUDY.Days / 2, odd=np.arange(180) % 2 == 0,
                          row=pd.Categorical(np.arange(180) % 30))  # fmt: skip
    d["alone"] = np.where(np.arange(180) == 7, "a", "b")
    if case == "two rows at one time":
        d.loc[1, "Days"] = 0
    with pytest.raises(error, match=words):
        nm.lmer("Reaction ~ Days", d, **options)


@pytest.mark.parametrize(
    ("random", "residual"),
    [
        ("(1 | Subject)", "cs(1 | Subject)"),
        ("(1 | Subject)", "us(visit | Subject)"),
        ("(age | Subject)", "us(visit | Subject)"),
    ],
)
def test_random_effects_that_the_structure_contains(random, residual):
    with pytest.raises(ResidualStructureError, match="say the same"):
        nm.lmer(f"{MEANS} + {random}", visits(), residual=residual)


def test_too_few_blocks_and_what_explains_one_another():
    few = visits()[visits().Subject.astype(str).isin(["M01", "M02", "F01"])]
    with pytest.raises(ResidualStructureError, match="needs more than 4 blocks"):
        nm.lmer("distance ~ age", few, residual="us(visit | Subject)")
    with pytest.raises(ResidualStructureError, match=r"sd_ratio\[10\], .*sd_ratio\[14\]\):"):
        nm.lmer(MEANS, visits(), residual="us(visit | Subject)", dispersion="~ visit + Sex")
    both = {"residual": "ar1(visit | Subject, by=Sex)", "dispersion": "~ age + Sex"}
    with pytest.raises(ResidualStructureError, match=r"\(sd_ratio\[Female\], sd_ratio\[Female\]\)"):
        nm.lmer(MEANS, visits(), **both)


def test_a_singular_matrix_of_residuals_is_said():
    """The last visit repeats the first: the likelihood has no maximum."""
    d = visits()
    first = d[d.visit == "8"].set_index("Subject").distance
    last = d.visit == "14"
    d.loc[last, "distance"] = d[last].Subject.map(first).astype(float) + 2.0
    with pytest.warns(nm.ConvergenceWarning) as said:
        assert not nm.lmer("distance ~ visit", d, residual="us(visit | Subject)").converged
    assert any("matrix of the residuals becomes singular" in str(w.message) for w in said)


def test_a_predictor_that_makes_rows_exact_is_said():
    """Rows of the larger values have no residuals: the slope has no end."""
    d = pd.DataFrame({"x": np.arange(20.0), "y": np.random.default_rng(1).normal(size=20)})
    d.loc[d.x > 4, "y"] = 0.1 * d.x
    with pytest.warns(nm.ConvergenceWarning) as said:
        assert not nm.lmer("y ~ x", d, dispersion="~ x").converged
    assert any("dispersion[x] goes to -inf" in str(w.message) for w in said)


def test_autocorrelation_is_nlmes():
    """``ACF(lme(...), resType =)`` of nlme, by lag; fewer rows of some groups, by hand."""
    formula, d = "Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy")
    fit = nm.lmer(formula, d, residual="ar1(Days | Subject)")
    found = fit.autocorrelation(lags=4)
    pearson = [1.0, 0.5048665554, 0.2669997316, 0.1143498131, 0.0608706188]
    normalized = [1.0, -0.1074020377, 0.0456582321, -0.0567886744, 0.0354925960]
    np.testing.assert_allclose(found["pearson"], pearson, atol=2e-6)
    np.testing.assert_allclose(found["normalized"], normalized, atol=2e-6)
    assert found["pairs"].tolist() == [180, 162, 144, 126, 108]
    np.testing.assert_allclose(found["limit"], 1.959963984540054 / np.sqrt(found["pairs"]))
    some = d.sample(120, random_state=1)
    fit = nm.lmer(formula, some, residual="ar1(Days | Subject)")
    own = some.assign(r=fit.residuals("normalized"))
    products = [
        a * b
        for _, g in own.sort_values("Days").groupby("Subject", observed=True)
        for a, b in zip(g.r[:-2], g.r[2:], strict=True)
    ]
    found = fit.autocorrelation()
    sizes = some.groupby("Subject", observed=True).size()
    pairs = [int((sizes - k).clip(lower=0).sum()) for k in range(10)]
    assert found["pairs"].tolist() == [n for n in pairs if n >= 10]
    assert found.loc[2, "pairs"] == len(products)
    assert found.loc[2, "normalized"] == pytest.approx(np.mean(products) / np.mean(own.r**2))
    with pytest.raises(OptionError, match="no groups 'school'; the model has: Subject"):
        fit.autocorrelation("school")


def test_options_that_do_not_apply():
    for how in ({"penalty": "wishart"}, {"method": "lme4"}):
        with pytest.raises(OptionError, match="Newton"):
            nm.lmer(f"{MEANS} + (1 | Subject)", ORTHODONT, dispersion="~ Sex", **how)
    with pytest.raises(ResidualStructureError, match="known variances"):
        nm.lmer(f"{MEANS} + (1 | Subject)", ORTHODONT, dispersion="~ Sex", fixed={"sigma": 1.0})


def test_a_stratum_without_variance_is_at_the_edge():
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"g": np.repeat(np.arange(12), 4), "f": ["a", "b", "b", "b"] * 12})
    b = rng.normal(size=12)
    d["y"] = b[d.g] + np.where(d.f == "a", 0.0, rng.normal(size=48))
    with pytest.warns(nm.ConvergenceWarning) as said:
        fit = nm.lmer("y ~ 1 + (1 | g)", d, dispersion="~ relevel(f, ref='b')")
    assert not fit.converged
    assert any("at the edge: sd_ratio" in str(w.message) for w in said)


# --- comparison ---------------------------------------------------------------------------------
def test_structures_are_compared():
    d = visits()
    fit = nm.lmer(MEANS, d, residual="us(visit | Subject)")
    found = nm.compare_residuals(fit, ["ar1", "cs", "us", None, "toep(visit | Subject, hom=False)"])
    table = found.table.set_index("residual")
    assert table["aic"].is_monotonic_increasing
    for text in ("ar1(visit | Subject)", "toep(visit | Subject, hom=False)"):
        alone = nm.lmer(MEANS, d, residual=text)
        assert table.loc[text, "criterion"] == pytest.approx(alone.criterion, abs=1e-9)
        assert table.loc[text, "chisq"] == pytest.approx(alone.criterion - fit.criterion, abs=1e-8)
        assert table.loc[text, "df"] == fit.npar - alone.npar
    plain = np.linalg.lstsq(fit.design.X, fit.design.y, rcond=None)[1][0] / (108 - 4)
    expected = 104 * (1 + np.log(2 * np.pi * plain)) + np.linalg.slogdet(
        fit.design.X.T @ fit.design.X)[1]  # fmt: skip
    assert table.loc["independent", "criterion"] == pytest.approx(expected, rel=1e-10)
    assert "against us(visit | Subject)" in str(found)
    assert np.isnan(nm.compare_residuals(fit, ["ar1", "cs"]).table["chisq"]).all()


def test_comparisons_that_are_refused(strata):
    with pytest.raises(ResidualStructureError, match="needs a time and a block"):
        nm.compare_residuals(strata, ["ar1"])
    with pytest.raises(OptionError, match="empty"):
        nm.compare_residuals(strata, [])


# --- bootstrap ----------------------------------------------------------------------------------
def test_parametric_bootstrap_refits_everything():
    fit = nm.lmer("extra ~ drug", SLEEP, residual="us(drug | id)")
    boot = fit.bootstrap(60, seed=1, progress=False)
    assert list(boot.t0.index) == ["(Intercept)", "drug2", "sigma", "residual_sd[2]",
                                   "residual_cor[2,1]"]  # fmt: skip
    assert len(boot.failures) == 0
    drawn = fit.simulate(1, seed=1)["sim_1"]  # the first replicate is the first simulation
    again = fit.refit(drawn)
    np.testing.assert_allclose(boot.t.iloc[0][["drug2", "sigma"]],
                               [again.params["drug2"], again.sigma], rtol=1e-6)  # fmt: skip
    assert boot.t["drug2"].std() == pytest.approx(fit.bse["drug2"], rel=0.3)
    found = fit.conf_int(method="boot", nsim=40, seed=1, progress=False)
    assert found.loc["residual_cor[2,1]"].between(-1.0, 1.0).all()
    for type in ("semiparametric", "residual"):
        with pytest.raises(ResidualStructureError, match="parametric"):
            fit.bootstrap(2, type=type, progress=False)


@pytest.mark.parametrize(
    ("formula", "how", "said"),
    [
        ("{} + Sex * visit", {"residual": "us(visit | Subject)"}, "all 27 rows of visit = 08"),
        ("{} + Sex * visit", {"residual": "us(visit | Subject, by=Sex)"}, "all 16 rows of visit"),
        ("{} * visit", {"residual": "ar1(visit | Subject, hom=False)"}, "of sigma, the first"),
        ("{} * visit + (1 | site)", {"dispersion": "~ last"}, r"27 rows of sd_ratio\[TRUE\]"),
        ("{} * visit + (1 | Subject)", {"dispersion": "~ last"}, ""),  # whose effects vary there
        ("{} * visit + (1 | Subject)", {"dispersion": "~ Sex"}, ""),
    ],
)
def test_a_baseline_that_is_predictor_and_response_is_refused(formula, how, said):
    data = nm.load_dataset("Orthodont")
    data["visit"] = data["age"].astype(int).astype(str).str.zfill(2)
    data["site"], data["last"] = data["Subject"].cat.codes % 7, data["age"] == 14
    seen = "last" if how.get("dispersion") == "~ last" else "first"
    data["base"] = data.groupby("Subject", observed=True)["distance"].transform(seen)
    formula = "distance ~ " + formula.format("base")
    if said:
        with pytest.raises(ResidualStructureError, match=said):
            nm.lmer(formula, data, **how)
    else:
        assert nm.Model(formula, data, **how).design.n == len(data)


def test_sigma_of_ordered_strata_is_the_name_of_none_of_them():
    data = nm.load_dataset("Orthodont")
    data["ordered"] = data["Sex"].cat.as_ordered()
    sex, ordered = (
        nm.lmer("distance ~ age + (1 | Subject)", data, dispersion=f"~ {f}")
        for f in ("Sex", "ordered")
    )
    assert ordered.criterion == pytest.approx(sex.criterion, abs=1e-8)
    named = [fit.varcorr().to_frame().set_index("term")["estimate"] for fit in (sex, ordered)]
    np.testing.assert_allclose(named[1], named[0], rtol=1e-6)
    assert named[0].index[1:].tolist() == ["sigma", "residual_sd[Female]"]
    assert named[1].index[1:].tolist() == ["residual_sd[Male]", "residual_sd[Female]"]
    between = np.sqrt(named[1].iloc[1] * named[1].iloc[2])
    assert ordered.sigma == pytest.approx(between, rel=1e-8)


BLOCKS_TAKEN = {
    "visits alone": ("distance ~ Sex * age", {"residual": "us(visit | Subject)"}, None),
    "strata": ("distance ~ Sex * age + (1 | Subject)", {"dispersion": "~ Sex"}, None),
    "groups": ("distance ~ Sex * age", {"residual": "cs(1 | Subject, by=Sex)"}, "Subject"),
    "within sites": ("distance ~ Sex * age + (1 | site)", {"residual": "ar1(visit | Subject)"},
                     "Subject"),
    "of sites": ("distance ~ Sex * age + (1 | site)", {"residual": "ar1(visit | Subject)"}, "site"),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOCKS_TAKEN)
def test_blocks_that_are_resampled_are_those_of_a_table_made_by_hand(case):
    formula, how, by = BLOCKS_TAKEN[case]
    data = nm.load_dataset("Orthodont")
    data["visit"] = data["age"].astype(int).astype(str).str.zfill(2)
    data["site"] = pd.Categorical("s" + (data["Subject"].cat.codes % 7).astype(str))
    data = data.drop(index=[3, 17, 40])  # visits that were missed
    fit = nm.lmer(formula, data, **how)
    top = top_factor(fit.design, by)
    unit = "site" if by == "site" else "Subject"
    levels = fit.design.factors[top].levels if top >= 0 else fit.design.residual.block_levels
    chosen = np.random.default_rng(1).integers(0, len(levels), len(levels))
    parts = []
    for copy, place in enumerate(chosen):
        own = data[data[unit] == levels[place]].astype({"Subject": str, "site": str})
        own["Subject"] += f"_{copy}"
        own["site"] += f"_{copy}" if by == "site" else ""
        parts.append(own)
    by_hand = nm.lmer(formula, pd.concat(parts, ignore_index=True), **how)
    taken = fit.refitted(take_groups(fit.design, top, chosen))
    assert taken.criterion == pytest.approx(by_hand.criterion, abs=1e-8)
    np.testing.assert_allclose(taken.params, by_hand.params, rtol=1e-7)


def test_cases_and_intervals_of_blocks():
    fit = nm.lmer("extra ~ drug", SLEEP, residual="us(drug | id)")
    boot = fit.bootstrap(40, type="cases", seed=1, progress=False)
    assert boot.t["drug2"].std() == pytest.approx(fit.bse["drug2"], rel=0.3)
    pairs = SLEEP.pivot(index="id", columns="drug", values="extra")
    differences = (pairs["2"] - pairs["1"]).to_numpy()
    left_out = (differences.sum() - differences) / 9.0  # the jackknife of a mean, by hand
    d = left_out.mean() - left_out
    a = np.sum(d**3) / (6.0 * np.sum(d**2) ** 1.5)
    wanted = interval(boot.t["drug2"], boot.t0["drug2"], kind="bca", level=0.9, acceleration=a)
    np.testing.assert_allclose(boot.conf_int("bca", level=0.9).loc["drug2"], wanted, rtol=1e-6)


def test_groups_across_which_residuals_correlate_are_no_units():
    data = nm.load_dataset("Orthodont")
    data["year"] = pd.Categorical(data["age"].astype(int))
    fit = nm.lmer("distance ~ age + (1 | year)", data, dispersion="~ Sex")
    assert len(fit.bootstrap(2, type="cases", seed=1, progress=False).t) == 2
    fit = nm.lmer(
        "distance ~ age + (1 | Subject) + (1 | year)", data, residual="ar1(age | Subject)"
    )
    with pytest.raises(ResidualStructureError, match="across levels of year"):
        fit.bootstrap(2, type="cases", by="year", progress=False)
    with pytest.raises(ResidualStructureError, match="across levels of year"):
        fit.bootstrap(2, seed=1, progress=False).conf_int("bca", by="year")
    with pytest.raises(OptionError, match="they are Subject, year"):
        fit.bootstrap(2, type="cases", by="nothing", progress=False)


def test_intervals_of_shares(ar1):
    found = ar1.icc(level=0.8, nsim=20, seed=1, progress=False)
    assert found.loc["adjusted", "conf_low"] < found.loc["adjusted", "conf_high"]


# --- units and origins --------------------------------------------------------------------------
def test_steps_of_time_in_other_units():
    d = visits().assign(tens=lambda x: (10 * x.age).astype(int), index=lambda x: x.age / 2)
    one, other = (nm.lmer(f"{MEANS} + (1 | Subject)", d, residual=f"ar1({t} | Subject)")
                  for t in ("tens", "index"))  # fmt: skip
    assert one.converged and one.criterion == pytest.approx(other.criterion, abs=1e-9)
    assert one.dispersion["estimate"].to_numpy() == pytest.approx(
        other.dispersion["estimate"].to_numpy(), rel=1e-5
    )
    assert any("a step of tens is 20" in m for m in one.messages)


@pytest.mark.parametrize("random", ["(1 | Subject)", "(age | Subject)", "cs(age | Subject)"])
def test_predictors_of_the_dispersion_far_from_zero(random):
    d = ORTHODONT.assign(year=2000.0 + ORTHODONT.age, far=ORTHODONT.age + 40.0)
    near, far = (nm.lmer(f"{MEANS} + {random}", d, dispersion=f"~ {x}") for x in ("age", "far"))
    assert near.converged and far.converged
    assert far.criterion == pytest.approx(near.criterion, abs=1e-8)
    a, b = near.dispersion["estimate"], far.dispersion["estimate"]
    assert b[1] == pytest.approx(a[1], rel=1e-4)
    assert b[0] == pytest.approx(a[0] * np.exp(-40.0 * b[1]), rel=1e-3)
    np.testing.assert_allclose(far.bse, near.bse, rtol=1e-5)
    np.testing.assert_allclose(far.tidy("fixed")["df"], near.tidy("fixed")["df"], rtol=1e-3)
    with pytest.raises(ResidualStructureError, match=r"year.*centre it"):
        nm.lmer(f"{MEANS} + {random}", d, dispersion="~ year")


@pytest.mark.parametrize(
    "options",
    [
        {"dispersion": "~ Sex + offset(age)"},
        {"residual": "ar1(offset(age) | Subject)"},
        {"residual": "ar1(-age | Subject)"},
        {"residual": "cs(0 | Subject)"},
        {"residual": "us(visit | Subject, by=offset(age))"},
    ],
)
def test_variables_in_no_term_are_refused(options):
    with pytest.raises(FormulaError, match=r"takes no offset|one variable"):
        nm.lmer(MEANS, visits(), **options)


def test_what_is_taken_out_of_the_dispersion_is_no_stratum():
    one, other = (
        nm.lmer("distance ~ age + (1 | Subject)", ORTHODONT, dispersion=text)
        for text in ("~ Sex", "~ Sex - age")
    )
    assert one.criterion == other.criterion


@pytest.mark.parametrize(
    "how",
    [
        {"residual": "us(visit | Subject)"},
        {"residual": "us(visit | Subject, by=Sex)", "REML": False},
        {"residual": "ar1(age | Subject)", "dispersion": "~ Sex"},
        {"dispersion": "~ Sex"},
    ],
    ids=str,
)
def test_parameters_have_the_names_of_conf_int_once(how):
    fit = nm.lmer("distance ~ age", visits(), **how)
    wald = fit.conf_int("theta_", method="wald")
    own = fit.tidy("ran_pars", conf_int=True).set_index("term")
    assert list(own.index) == list(wald.index)
    np.testing.assert_allclose(own[["conf_low", "conf_high"]], wald, rtol=1e-8)
    components = fit.varcorr().to_frame().set_index("term")["estimate"]
    shared = [name for name in components.index if name in own.index]
    assert "sigma" in shared and components.index.is_unique
    np.testing.assert_allclose(components[shared], own.loc[shared, "estimate"], rtol=1e-8)


# --- verbs that refit or report -----------------------------------------------------------------
def test_reports_have_the_residuals(strata, ar1):
    text = " ".join(str(strata.report()).split())
    assert "residual SD = 1.63 (Male); residual SD = 0.666 (Female)." in text
    assert "Dispersion: log SD ~ Sex." in text
    assert "rho = 0.653" in " ".join(str(ar1.report()).split())
    mmrm = nm.lmer(MEANS, visits(), residual="us(visit | Subject)").report()
    text = " ".join(str(mmrm).split())
    assert "by generalized least squares" in text and "108 observations (27 Subject)" in text
    assert "residual r = .57 (8 with 10)" in text and "random effect" not in text


def test_simplifying_keeps_the_residuals():
    d = nm.load_dataset("Dyestuff2").assign(half=lambda d: np.where(d.index % 2, "a", "b"))
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", d, dispersion="~ half")
    assert "generalized least squares: no random effects are left" in str(fit.diagnose())
    noise = np.random.default_rng(3).normal(size=len(SLEEPSTUDY))
    d = SLEEPSTUDY.assign(y=noise, half=lambda d: np.where(d.index % 2, "a", "b"))
    fit = nm.lmer("y ~ Days + (Days | Subject)", d, dispersion="~ half")
    path = fit.simplify()
    assert len(path.fits) > 1
    assert all(one.design.residual is not None for one in path.fits)
    chosen = nm.lmer(path.final.formula, d, dispersion="~ half")
    assert path.final.criterion == pytest.approx(chosen.criterion, abs=1e-8)
    with pytest.raises(ResidualStructureError, match="criterion='lrt' is"):
        fit.simplify(criterion="elpd")
    with pytest.raises(ResidualStructureError, match="no random effects"):
        nm.lmer(MEANS, visits(), residual="us(visit | Subject)").diagnose()


def test_step_takes_the_tests_of_the_fit(strata):
    found = strata.step(reduce_random=False, alpha_fixed=1e-4)
    assert found.final.formula == "distance ~ age + (age | Subject)"
    again = nm.lmer(found.final.formula, ORTHODONT, dispersion="~ Sex")
    assert found.final.criterion == pytest.approx(again.criterion, abs=1e-8)
    first = strata.drop1().table.loc["age:Sex"]
    assert found.fixed.loc["age:Sex", "Pr(>F)"] == pytest.approx(first["Pr(>F)"])
    with pytest.raises(ResidualStructureError, match="criterion='p' is"):
        strata.step(criterion="elpd", group="Subject")


def test_standardized_is_the_fit_to_standardised_columns(strata):
    d = ORTHODONT.assign(**{
        name: (ORTHODONT[name] - ORTHODONT[name].mean()) / ORTHODONT[name].std()
        for name in ("distance", "age")
    })  # fmt: skip
    other = nm.lmer(f"{MEANS} + (age | Subject)", d, dispersion="~ Sex")
    pd.testing.assert_series_equal(strata.standardized().fixef, other.fixef, rtol=1e-6)
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEPSTUDY, residual="ar1(Days | Subject)")
    with pytest.raises(OptionError, match="Days is a predictor and stands in residual="):
        fit.standardized()


def test_power_refits_the_residuals():
    """Welch's t test of twenty numbers, by its noncentral simulation and by hand."""
    fit = nm.lmer("extra ~ drug", SLEEP, dispersion="~ drug")
    found = nm.power(fit, "drug2", 12, effect_size=2.5, seed=3, progress=False)
    one, other = (nm.power(fit, "drug2", 12, effect_size=2.5, seed=3, progress=False, test=test)
                  for test in ("z", "lrt"))  # fmt: skip
    sd = fit.sigma * np.where(SLEEP.drug == "2", fit.dispersion["estimate"].iloc[-1], 1.0)
    ways = np.random.SeedSequence(3).spawn(12)
    for k, way in enumerate(ways):
        e = np.random.default_rng(way).standard_normal(20)
        y = pd.Series(fit.fixef["(Intercept)"] + 2.5 * (SLEEP.drug == "2") + sd * e)
        a, b = y[SLEEP.drug == "1"], y[SLEEP.drug == "2"]
        assert found.pvalues.iloc[k] == pytest.approx(
            ttest_ind(a, b, equal_var=False).pvalue, rel=1e-4
        )
        z = (b.mean() - a.mean()) / np.sqrt(a.var() / 10 + b.var() / 10)
        assert one.pvalues.iloc[k] == pytest.approx(chi2.sf(z**2, 1), rel=1e-5)
        assert other.pvalues.iloc[k] < 2.0 * found.pvalues.iloc[k]
    va, vb = (float(np.mean(sd[SLEEP.drug == drug])) ** 2 / 10 for drug in "12")
    planned = nm.planned_power(fit, "drug2", effect_size=2.5)
    assert planned.std_error == pytest.approx(np.sqrt(va + vb), rel=1e-7)
    assert planned.df == pytest.approx((va + vb) ** 2 / (va**2 / 9 + vb**2 / 9), rel=1e-7)


def test_power_of_variances_beside_residuals_is_refused(strata):
    with pytest.raises(ResidualStructureError, match="not worked out"):
        nm.power(strata, "(age | Subject)", 2)


def test_visits_that_are_text_in_another_order_are_said():
    d = ORTHODONT.assign(visit=ORTHODONT.age.astype(int).astype(str))
    said = nm.lmer(MEANS, d, residual="ar1(visit | Subject)").messages
    assert any("is text, in the order 10, 12, 14, 8" in line for line in said)
    assert not any("is text" in line for line in nm.lmer(
        MEANS, visits(), residual="ar1(visit | Subject)").messages)  # fmt: skip


@pytest.mark.parametrize(("name", "here"), [("un", "us("), ("toeph", "hom=False"), ("ad", "ad1(")])
def test_names_of_other_programs_are_understood(name, here):
    with pytest.raises(OptionError, match="is written") as error:
        nm.lmer(MEANS, visits(), residual=f"{name}(visit | Subject)")
    assert here in str(error.value)


def test_a_blocks_matrix_is_labelled_by_its_times():
    data = nm.load_dataset("sleepstudy")
    data = data[data["Subject"].isin(data["Subject"].unique()[:9]) & (data["Days"] < 4)]
    data = data.assign(half=data["Days"] / 2 + 0.25, visit=[f"v{d}" for d in data["Days"]])
    formula = "Reaction ~ Days + (1 | Subject)"
    labels = {
        "car1(half | Subject)": ["0.25", "0.75", "1.25", "1.75"],
        "ar1(Days | Subject)": ["0", "1", "2", "3"],
        "ad1(visit | Subject)": ["v0", "v1", "v2", "v3"],
    }
    block = data["Subject"].iloc[0]
    for residual, expected in labels.items():
        fit = nm.lmer(formula, data, residual=residual)
        found = fit.residual_cov(block)
        assert list(found.index) == list(found.columns) == expected


def test_weights_of_extreme_sizes_are_units_of_sigma_or_refused():
    rng = np.random.default_rng(0)
    g, f = np.repeat(np.arange(8), 8), np.tile(["a", "b"], 32)
    y = rng.normal(size=64) * np.where(f == "a", 1, 2) + rng.normal(size=8)[g]
    rows = pd.DataFrame({"g": g, "f": f, "y": y, "x": rng.normal(size=64), "w": 1.0})
    found = {}
    for size in (1.0, 1e-140):
        fit = nm.lmer("y ~ x + (1|g)", rows.assign(w=size), weights="w", dispersion="~ f")
        found[size] = fit.variance_parameters()["std_error"].iloc[-1]
    assert found[1e-140] == pytest.approx(found[1.0], rel=1e-4)
    for size, said in ((1e-300, "column of weights is of size"), (1e300, "too large")):
        with pytest.raises(DataError, match=said):
            nm.lmer("y ~ x + (1|g)", rows.assign(w=size), weights="w", dispersion="~ f")
