"""The report of a fit: its sentences say what its tables say, in APA's form."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from designs import data
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.views.render import apa


@pytest.fixture(scope="module")
def sleep() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def flat(report) -> str:
    return re.sub(r"\s+", " ", str(report))


# --- numbers --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00049, "< .001"), (0.0005, "= .001"), (0.0499, "= .050"), (1.0, "= 1.000")],
)
def test_p_values(value, text):
    assert apa.p_value(value) == text


@pytest.mark.parametrize(
    ("error", "value", "text"),
    [(1.55, 10.467, "10.47"), (0.0282, 0.15437, "0.1544"), (3e-9, 1.5e-8, "1.500e-08"),
     (4000.0, 123456.7, "123,456.70"), (0.0, 1.0, "1.00")],
)  # fmt: skip
def test_estimates_have_the_decimals_of_their_errors(error, value, text):
    assert apa.estimate(value, apa.with_error(error)) == text


def test_what_is_below_one_has_no_zero():
    assert [apa.below_one(v) for v in (0.07, -0.3, -1.0, 0.999)] == [".07", "-.30", "-1.00", "1.00"]


# --- sentences ------------------------------------------------------------------------------------
def test_sentences_hold_the_tables_numbers(sleep):
    text = flat(sleep.report(ddf="kenward-roger", level=0.9))
    row = sleep.tidy("fixed", conf_int=True, level=0.9, ddf="kenward-roger").iloc[1]
    assert (
        f"Days: b = {row.estimate:.2f}, SE = {row.std_error:.2f}, 90 % CI [{row.conf_low:.2f}, "
        f"{row.conf_high:.2f}], t(17) = {row.statistic:.2f}, p < .001."
    ) in text
    assert "Kenward-Roger's method" in text
    assert "Kenward, M. G." in text
    assert "SD = 5.92 (Subject, Days)" in text
    assert "r = .07 (Subject, (Intercept) with Days)" in text
    assert "180 observations (18 Subject) by restricted maximum likelihood" in text
    assert "not singular" in text
    r2 = sleep.r2()
    assert f"R² = {apa.below_one(r2['marginal'])} (marginal)" in text


def test_robust_report_says_so(sleep):
    found = sleep.report(vcov="CR2")
    assert found.to_frame()["std_error"].to_numpy() == pytest.approx(
        np.sqrt(np.diag(sleep.cov_params("CR2")))
    )
    assert "CR2 covariance, clusters: Subject, 18." in flat(found)
    assert "Pustejovsky" in flat(found)


def test_what_went_wrong_is_said():
    table = data()
    table.loc[[2, 5], "x"] = np.nan
    table["twice"] = 2 * table["x"]
    fit = nm.lmer("y ~ x + twice + (x | f2)", table, weights="w", REML=False)
    text = flat(fit.report())
    model = text.split("Random effects:")[0]
    assert len(fit.design.messages) == 2
    for message in fit.design.messages:
        assert message[1:] in model
    assert "with prior weights w" in text
    assert "by maximum likelihood" in text
    singular = nm.lmer("y ~ 1 + (x + z | f2)", data().assign(z=np.arange(len(data())) % 7))
    assert singular.is_singular()
    said = r"The fit is singular: f2 has rank \d of 3; no random effect was removed"
    assert re.search(said, flat(singular.report()))


def test_odd_names_are_escaped(sleep):
    table = nm.load_dataset("sleepstudy").rename(columns={"Days": "my_days*"})
    report = nm.lmer("Reaction ~ `my_days*` + (1 | Subject)", table).report()
    assert r"my\_days\*" in report.to_markdown()
    assert "*b* = 10.4" in report.to_markdown()
    assert r"my\_days" in report.to_latex()
    assert r"\textit{t}(161)" in report.to_latex()
    assert "95 \\% CI" in report.to_latex()
    assert "²" not in report.to_latex()


def test_no_fixed_effects():
    fit = nm.lmer("Yield ~ 0 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    assert fit.report().to_frame().empty
    assert "R²" not in flat(fit.report())


def test_posteriors_have_priors_and_checks(sleep):
    posterior = fake_bayesfit(sleep)
    text = flat(posterior.report(level=0.9))
    row = posterior.parameters(level=0.9).loc["Days"]
    d = apa.with_error(row["std_error"])
    assert f"90 % CrI [{row['conf_low']:.{d}f}, {row['conf_high']:.{d}f}]" in text
    assert "Priors: " in text
    assert "smallest ESS" in text
    correlation = posterior.parameters().query("kind == 'cor'")["estimate"].iloc[0]
    assert f"r = {apa.below_one(correlation)} (Subject" in text
    assert isinstance(posterior.report().to_frame(), pd.DataFrame)


def test_posteriors_of_generalized_models_have_ratios():
    rng, g = np.random.default_rng(3), np.arange(120) // 8
    table = pd.DataFrame({"x": rng.normal(size=120), "g": g})
    means = np.exp(1 + 0.5 * table["x"] + 0.4 * rng.normal(size=15)[g])
    table["y"] = rng.negative_binomial(3, 3 / (3 + means))
    fit = nm.glmer("y ~ x + (1 | g)", table, family="negativebinomial")
    posterior = fit.sample(sampler="psis", draws=40, chains=2, seed=1)
    text = flat(posterior.report())
    row = posterior.parameters().loc["x"]
    found = posterior.report().to_frame().set_index("term").loc["x"]
    assert found["ratio"] == np.exp(row["estimate"])
    assert found["ratio_high"] == np.exp(row["conf_high"])
    assert "of the negative binomial family with the log link" in text
    assert "As ratios of means (95 % CrI): x " in text
    theta = posterior.parameters().query("kind == 'family'").iloc[0]
    assert f"The family's {theta['variable']} was " in text
    shares = posterior.r2()["estimate"]
    assert f"{apa.below_one(shares['marginal'])} (marginal)" in text


def test_posteriors_from_sums_say_the_same():
    formula, table = "Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy")
    options = {"sampler": "psis", "draws": 40, "chains": 2, "seed": 1}
    rows, sums = nm.lmer(formula, table), nm.summarise(formula, table)
    assert str(sums.sample(**options).report()) == str(rows.sample(**options).report())


# --- curves, known variances, imputed data sets ---------------------------------------------------
@pytest.fixture(scope="module")
def waves() -> pd.DataFrame:
    days = nm.load_dataset("sleepstudy")
    kind = (days["Subject"].astype(int) % 2).map({0: "even", 1: "odd"})
    wave = 40 * np.sin(days["Days"]) * (kind == "odd")
    return days.assign(kind=kind, wave=days["Reaction"] + wave)


def test_curves_have_their_tests(waves):
    fit = nm.lmer("wave ~ s(Days, by=kind, k=6) + (1 | Subject)", waves)
    text, terms = flat(fit.report()), fit.smooths().terms
    row = terms.loc["s(Days):kindodd"]
    assert f"s(Days):kindodd: edf = {row.edf:.2f}, F({row.ref_df:.1f}, " in text
    assert f") = {row.statistic:.2f}, p < .001" in text
    assert text.count("edf = ") == 2 and "Wood, S. N. (2013)" in text
    assert "R²" not in text and "Nakagawa" not in text
    df = float(re.search(rf"kindodd: edf = {row.edf:.2f}, F\([\d.]+, ([\d.]+)\)", text)[1])
    assert 150 < df < 175  # rows less the leverages


def test_straight_curves_are_no_singularity(waves):
    fit = nm.lmer("Reaction ~ s(Days, k=6) + (1 | Subject)", waves)
    assert fit.is_singular()
    text = flat(fit.report())
    assert "No random effect but the bends of curves was estimated at the boundary." in text
    assert "s(Days): edf = 1.00, F(1, " in text


def test_diagnosis_of_curves_by_a_factor(waves):
    found = nm.lmer("wave ~ s(Days, by=kind, k=6) + (1 | Subject)", waves).diagnose()
    straight = {t.name: t.collapse.singular for t in found.terms}
    assert straight == {"Subject": False, "s(Days):kindeven": True, "s(Days):kindodd": False}
    assert not any(term.next for term in found.terms)  # the bar has a curve that is bent
    assert "The curve is a straight line" in str(found)
    assert "Another curve of the same s() bends" in str(found)
    away = 5 * (-1) ** np.arange(len(waves)) + waves["Subject"].astype(int) % 7
    lines = nm.lmer(
        "line ~ s(Days, by=kind, k=6) + (1 | Subject)", waves.assign(line=waves["Days"] + away)
    )
    found = lines.diagnose()
    assert sum(bool(term.next) for term in found.terms) == 2
    assert str(found).count("The curve is a straight line") == 2
    assert "Another curve" not in str(found)


def test_known_variances_are_said():
    rng = np.random.default_rng(3)
    v = rng.uniform(0.02, 0.1, 16)
    studies = pd.DataFrame({"y": 0.3 + rng.normal(0, 0.4, 16), "w": 1 / v, "id": range(16)})
    fit = nm.lmer("y ~ 1 + (1 | id)", studies, weights="w", fixed={"sigma": 1})
    text = flat(fit.report())
    assert "with prior weights w. Residual standard deviations were taken as known: 1, " in text
    row = fit.tidy("fixed", conf_int=True).iloc[0]
    assert f"b = {row.estimate:.4f}, SE = {row.std_error:.4f}, 95 % CI [{row.conf_low:.4f}" in text
    assert "residual SD" not in text and "R²" not in text


def test_pooled_reports_hold_the_pooled_numbers(sleep):
    days, rng = nm.load_dataset("sleepstudy"), np.random.default_rng(1)
    holes = np.arange(180) % 7 == 0
    imputed = [
        days.assign(Reaction=days["Reaction"] + 25 * rng.normal(size=180) * holes) for _ in range(3)
    ]
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", imputed)
    text, rows = flat(fit.report(level=0.9)), fit.tidy(level=0.9)
    row = rows.iloc[1]
    assert (
        f"Days: b = {row.estimate:.2f}, SE = {row.std_error:.2f}, 90 % CI [{row.conf_low:.2f}, "
        f"{row.conf_high:.2f}], t({row.df:.1f}) = {row.statistic:.2f}, p < .001."
    ) in text
    assert "in each of 3 imputed data sets. All optima were certified." in text
    low, high = (f"{value:.2f}".lstrip("0") for value in (rows.fmi.min(), rows.fmi.max()))
    assert f"Fractions of missing information: {low} to {high}." in text
    assert f"residual SD = {fit.sigma:.2f}" in text
    assert "Barnard, J." in text and "Kuznetsova" not in text
    robust = fit.report(vcov="CR1").paragraphs[2]
    assert "cluster-robust (CR1)" in "".join(robust)
    large = " ".join("".join(p) for p in fit.report(ddf="none").paragraphs)
    assert "with Rubin's large-sample degrees of freedom" in large
    assert f"t({fit.tidy(ddf='none').df[1]:,.1f})" in large
    assert fit.report().to_frame()["fmi"].tolist() == fit.tidy()["fmi"].tolist()
