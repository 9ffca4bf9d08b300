"""Fragility: which groups carry a conclusion, against refits to the data without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import ModelComparisonError, OptionError


@pytest.fixture(scope="module")
def made():
    """Twelve groups, two of which carry the whole effect of x."""
    rng = np.random.default_rng(5)
    g = np.repeat([f"g{i:02d}" for i in range(12)], 8)
    x = np.tile(np.linspace(-1.0, 1.0, 8), 12)
    slope = np.where(np.isin(g, ["g03", "g07"]), 3.0, 0.0)
    y = 10.0 + np.repeat(rng.normal(size=12), 8) + slope * x + 0.5 * rng.normal(size=96)
    return pd.DataFrame({"y": y, "x": x, "g": g})


@pytest.fixture(scope="module")
def fit(made):
    return nm.lmer("y ~ x + (1 | g)", made)


def test_each_group_is_left_out_and_refitted(fit, made):
    without = fit.fragility("x", by="g").without
    assert list(without.index) == sorted(made["g"].unique())
    for label in ("g03", "g05"):
        other = nm.lmer("y ~ x + (1 | g)", made[made["g"] != label]).tidy("fixed").iloc[1]
        for column in ("estimate", "std_error", "df", "statistic", "p_value"):
            assert without.loc[label, column] == pytest.approx(other[column], rel=1e-5), column
    assert without["refitted"].all() and without["converged"].all()


def test_the_set_found_changes_the_conclusion_and_no_single_group_does(fit, made):
    found = fit.fragility("x", by="g")
    lost = found.changes.loc["is no longer significant"]
    assert lost["n_groups"] == 2 and set(lost["groups"]) == {"g03", "g07"}
    assert not found.without["changes"].any()
    rest = nm.lmer("y ~ x + (1 | g)", made[~made["g"].isin(lost["groups"])]).tidy("fixed").iloc[1]
    assert lost["p_value"] == pytest.approx(rest["p_value"], rel=1e-5) and rest["p_value"] > 0.05
    assert found.sentence() == (
        "x: without 2 of the 12 groups of g (g07, g03) it is no longer significant "
        f"(p = {rest['p_value']:.2g})."
    )


def test_sign_of_the_effect_is_looked_for_beyond_significance(fit):
    changes = fit.fragility("x", by="g").changes
    crossed = changes.loc["changes its sign"]
    assert crossed["n_groups"] > 2 and crossed["estimate"] < 0.0
    assert pd.isna(changes.loc["is significant with the other sign", "n_groups"])


def test_negative_effects_and_hypotheses_are_the_same_question(made):
    turned = nm.lmer("y ~ x + (1 | g)", made.assign(y=-made["y"]))
    there = turned.fragility("x = 0", by="g").changes
    assert set(there.iloc[0]["groups"]) == {"g03", "g07"}
    moved = nm.lmer("y ~ x + (1 | g)", made.assign(y=made["y"] + 2.0 * made["x"]))
    here = moved.fragility("x = 2", by="g").changes
    assert set(here.iloc[0]["groups"]) == {"g03", "g07"}
    assert here.iloc[0]["p_value"] == pytest.approx(there.iloc[0]["p_value"], rel=1e-5)
    sign = "changes its sign"
    assert here.loc[sign, "groups"] == there.loc[sign, "groups"]
    assert here.loc[sign, "estimate"] - 2.0 == pytest.approx(-there.loc[sign, "estimate"], rel=1e-4)


def test_a_single_group_is_enough_where_one_makes_the_noise(made):
    noisy = made.assign(y=made["y"] + np.where(made["g"] == "g00", -12.0 * made["x"], 0.0))
    found = nm.lmer("y ~ x + (1 | g)", noisy).fragility("x", by="g")
    assert found.all_rows["p_value"] > 0.05
    gained = found.changes.loc["becomes significant"]
    assert gained["groups"] == ("g00",) and gained["p_value"] < 0.05
    assert found.without["changes"].loc["g00"]


def test_level_says_what_is_significant(fit):
    usual = fit.fragility("x", by="g")
    alpha = 0.5 * (usual.all_rows["p_value"] + usual.without["p_value"].max())
    strict = fit.fragility("x", by="g", level=1.0 - alpha).changes.iloc[0]
    assert strict.name == usual.changes.index[0] and strict["n_groups"] == 1


def test_few_refits_begin_with_those_that_move_most_while_theta_is_held(fit):
    found = fit.fragility("x", by="g", refits=3)
    assert found.without["refitted"].sum() == 3
    assert found.without.loc[["g03", "g07"], "refitted"].all()
    every = fit.fragility("x", by="g").without
    gap = (found.without["estimate"] - every["estimate"]).abs()
    assert gap.max() < 0.05 * every["std_error"].min()
    assert "3 of 12" in str(found)


def test_what_vanishes_with_a_group_is_told(made):
    treated = made.assign(t=np.where(made["g"] == "g00", "b", "a"))
    found = nm.lmer("y ~ x + t + (1 | g)", treated).fragility("tb", by="g")
    assert np.isnan(found.without.loc["g00", "p_value"])
    assert found.without.drop("g00")["p_value"].notna().all()
    assert "cannot be tested" in str(found)


def test_rows_are_left_out_by_default(fit, made):
    found = fit.fragility("x", refits=5)
    assert found.by == "case" and found.n_groups == len(made)


def test_one_hypothesis_at_a_time(fit):
    with pytest.raises(OptionError, match="one hypothesis"):
        fit.fragility(["x", "(Intercept)"], by="g")


def test_likelihood_ratio_of_the_guide(shared_data):
    """The class level of the guide's data: six schools carry it, each by itself."""
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"no classroom.csv in {shared_data}")
    d = pd.read_csv(shared_data / "classroom.csv")
    small = nm.lmer("mathscore ~ ses + (ses | schoolid)", d, REML=False)
    large = nm.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", d, REML=False)
    found = nm.anova(small, large).fragility("schoolid")
    assert found.all_rows["p_value"] == pytest.approx(0.0309, abs=5e-5)
    alone = found.without.index[found.without["changes"]]
    assert sorted(map(int, alone)) == [21, 31, 52, 56, 71, 94]
    assert found.changes["n_groups"].tolist() == [1]


def test_likelihood_ratio_against_refits(made):
    small = nm.lmer("y ~ 1 + (1 | g)", made, REML=False)
    large = nm.lmer("y ~ x + (1 | g)", made, REML=False)
    found = nm.anova(small, large).fragility("g")
    rest = made[made["g"] != "g03"]
    table = nm.anova(*(nm.lmer(f.formula, rest, REML=False) for f in (small, large))).table
    assert found.without.loc["g03", "p_value"] == pytest.approx(table["Pr(>Chisq)"].iloc[1])
    assert set(found.changes.iloc[0]["groups"]) == {"g03", "g07"}


def test_likelihood_ratio_asks_for_a_model_that_is_tested(made):
    small = nm.lmer("y ~ 1 + (1 | g)", made, REML=False)
    large = nm.lmer("y ~ x + (1 | g)", made, REML=False)
    with pytest.raises(ModelComparisonError, match="no other"):
        nm.anova(small, large).fragility("g", model="small")
    reml = nm.anova(*(nm.lmer(f.formula, made) for f in (small, large)), refit=False)
    with pytest.raises(ModelComparisonError, match="REML"):
        reml.fragility("g")


# --- generalized models --------------------------------------------------------------------------
CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def test_generalized_models_are_refitted_as_they_were_fitted():
    data = nm.load_dataset("cbpp")
    fit = nm.glmer(CBPP, data, family="binomial", nAGQ=5)
    found = fit.fragility("period2", by="herd")
    rest = nm.glmer(CBPP, data[data["herd"].astype(str) != "7"], family="binomial", nAGQ=5)
    row = found.without.loc["7"]
    expected = rest.tidy("fixed").set_index("term").loc["period2"]
    for column in ("estimate", "std_error", "statistic", "p_value"):
        assert row[column] == pytest.approx(expected[column], rel=1e-4), column
    assert np.isinf(row["df"])


def test_likelihood_ratio_of_residuals_that_differ_refits_both(made):
    options = {"dispersion": "~ half", "REML": False}
    made = made.assign(half=np.where(np.arange(len(made)) % 2, "odd", "even"))
    fits = [nm.lmer(f, made, **options) for f in ("y ~ 1 + (1 | g)", "y ~ x + (1 | g)")]
    found = nm.anova(*fits).fragility("g", progress=False)
    rest = [nm.lmer(f.formula, made[made["g"] != "g03"], **options).deviance for f in fits]
    assert found.without.loc["g03", "statistic"] == pytest.approx(rest[0] - rest[1], abs=1e-6)


def test_likelihood_ratio_of_generalized_models():
    data = nm.load_dataset("cbpp")
    large = nm.glmer(CBPP, data, family="binomial")
    small = large.update(". ~ . - period")
    found = nm.anova(small, large).fragility("herd")
    rest = data[data["herd"].astype(str) != "7"]
    fits = [nm.glmer(f.formula, rest, family="binomial") for f in (small, large)]
    expected = fits[0].criterion - fits[1].criterion
    assert found.without.loc["7", "statistic"] == pytest.approx(expected, rel=1e-5)
