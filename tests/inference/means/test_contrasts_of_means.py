"""Interaction contrasts, effect sizes and compact letters of marginal means, beside R's emmeans."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.means.letters import compact_letters
from nestedmlm.inference.variances.row_sd import row_sd


@pytest.fixture(scope="module")
def cake():
    formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
    return nm.lmer(formula, nm.load_dataset("cake"))


@pytest.fixture(scope="module")
def odds():
    data = nm.load_dataset("cbpp")
    data = data.assign(half=pd.Categorical(np.resize(["u", "v"], len(data))))
    formula = "cbind(incidence, size - incidence) ~ period * half + (1 | herd)"
    return nm.glmer(formula, data, family="binomial")


def agree(frame, rtol=2e-6, **theirs):
    for name, values in theirs.items():
        found = frame[name].to_numpy()[: len(values)]
        np.testing.assert_allclose(found, values, rtol=rtol, atol=1e-8, err_msg=name)


# --- contrasts of contrasts ------------------------------------------------------------------
def test_interaction_contrasts_are_those_of_emmeans(cake):
    # contrast(emmeans(m, ~ recipe*temperature), interaction = c("consec", "poly"))
    made = cake.emmeans(["recipe", "temperature"]).contrast(interaction=["consec", "poly"])
    frame = made.to_frame()
    assert frame.columns[:2].tolist() == ["recipe_consec", "temperature_poly"]
    assert frame["recipe_consec"].tolist()[:3] == ["B - A", "C - B", "B - A"]
    assert frame["temperature_poly"].tolist()[::2] == [
        "linear", "quadratic", "cubic", "quartic", "degree 5",
    ]  # fmt: skip
    agree(
        frame,
        estimate=[3.8, -3.066666667, -2.133333333, 13.266666667, 36.133333333, -0.733333333],
        std_error=[13.82250803, 13.82250803, 15.14179890, 15.14179890, 22.16532398],
        df=[210.0] * 10,
        p_value=[0.7836526442, 0.8246381869, 0.8880916194, 0.3819431527, 0.1045636940],
    )


def test_methods_by_name_rule_the_order_of_columns(cake):
    # interaction = c(temperature = "poly", "pairwise")
    means = cake.emmeans(["recipe", "temperature"])
    frame = means.contrast(interaction={"temperature": "poly", "recipe": "pairwise"}).to_frame()
    assert frame.columns[:2].tolist() == ["temperature_poly", "recipe_pairwise"]
    agree(frame, estimate=[-3.8, 2.133333333, -36.13333333, -16.0])


def test_interaction_within_levels_of_another_variable(cake):
    means = cake.emmeans(["recipe", "temperature"])
    made = means.contrast(interaction="pairwise", by="recipe")
    assert made.by == ("recipe",)
    assert made.to_frame().columns[:2].tolist() == ["temperature_pairwise", "recipe"]
    agree(
        made.to_frame(),
        estimate=[-2.4, -1.66666667, -4.4, -9.53333333],
        p_value=[1.47801968e-01, 3.14225007e-01, 8.33848402e-03, 2.80952047e-08],
    )


def test_adjusted_interactions_are_one_family(cake):
    # adjust = "mvt": quadrature in R, too; "tukey" becomes "sidak"
    means = cake.emmeans(["recipe", "temperature"], at={"temperature": ["175", "185"]})
    three = means.contrast(interaction="pairwise", adjust="tukey")
    assert three.adjust == "sidak" and any("sidak was used" in note for note in three.notes)
    plain = means.contrast(interaction="pairwise").to_frame()["p_value"]
    np.testing.assert_allclose(three.to_frame()["p_value"], 1 - (1 - plain) ** 3, rtol=1e-10)


def test_coefficients_of_ones_own_and_custom_names(cake):
    means = cake.emmeans(["recipe", "temperature"], at={"temperature": ["175", "225"]})
    own = {"recipe": "pairwise", "temperature": {"up": [-1, 1]}}
    frame = means.contrast(interaction=own).to_frame()
    assert frame["temperature_custom"].tolist() == ["up"] * 3
    theirs = means.contrast(interaction=["pairwise", "revpairwise"]).to_frame()
    np.testing.assert_allclose(frame["estimate"], theirs["estimate"])


def test_interactions_of_odds_are_ratios_of_odds_ratios(odds):
    # contrast(emmeans(g, ~ period*half, type = "response"), interaction = "pairwise"), of glmer
    # with tolPwrss = 1e-13 and rhoend = 1e-10
    frame = odds.emmeans(["period", "half"], type="response").contrast(interaction="pairwise")
    assert frame.to_frame()["period_pairwise"].tolist()[:2] == ["1 / 2", "1 / 3"]
    agree(
        frame.to_frame(),
        rtol=2e-5,
        estimate=[1.039659649, 0.271359307, 0.143739431, 0.261007828, 0.138256237, 0.529701497],
        statistic=[0.0393449855, -1.9296762016, -1.7872283372, -1.2032366588, -1.9125286038],
    )


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"recipe": "poly"}, "the variables are recipe, temperature"),
        ({"recipe": "poly", "temp": "poly"}, "the variables are"),
        ("nothing", "no family of contrasts"),
        ((), "names no method"),
    ],
)
def test_interactions_that_make_no_sense_are_refused(cake, asked, says):
    means = cake.emmeans(["recipe", "temperature"])
    with pytest.raises(OptionError, match=says):
        means.contrast(interaction=asked)


# --- effect sizes ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "asked", [{"method": "pairwise"}, {"method": "eff"}, {"interaction": "pairwise"}]
)
def test_contrasts_are_asked_for_on_either_scale(odds, asked):
    link, response = (nm.emmeans(odds, ["period", "half"], type=t) for t in ("link", "response"))
    at_link, there = link.contrast(**asked).to_frame(), response.contrast(**asked).to_frame()
    pd.testing.assert_frame_equal(link.contrast(**asked, type="response").to_frame(), there)
    pd.testing.assert_frame_equal(response.contrast(**asked, type="link").to_frame(), at_link)
    for name in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(there[name], np.exp(at_link[name]), rtol=1e-12)
    np.testing.assert_allclose(there["std_error"], there["estimate"] * at_link["std_error"])
    np.testing.assert_array_equal(there["p_value"], at_link["p_value"])


def test_pairs_have_the_scale_that_is_asked_for_and_linear_models_have_one(odds, cake):
    means = nm.emmeans(odds, "period")
    asked = means.pairs(type="response", adjust="holm").to_frame()
    made = nm.emmeans(odds, "period", type="response").pairs(adjust="holm").to_frame()
    pd.testing.assert_frame_equal(asked, made)
    means = nm.emmeans(cake, "recipe")
    pd.testing.assert_frame_equal(means.pairs(type="response").to_frame(), means.pairs().to_frame())
    with pytest.raises(OptionError, match="type must be one of link, response"):
        means.pairs(type="odds")


def test_tests_of_probabilities_say_what_they_are_tested_against(odds):
    # test(emmeans(g, ~ period, type = "response")) has a column null of one half
    lines = str(nm.emmeans(odds, "period", type="response").test()).splitlines()
    assert lines[0].split()[-3:] == ["null", "z.ratio", "p.value"]
    assert lines[1].split()[-3] == "0.5"
    assert "null" not in str(nm.emmeans(odds, "period").test())


def test_effect_sizes_are_those_of_emmeans(cake):
    # eff_size(emmeans(m, ~ recipe), sigma = 4.5, edf = 42)
    agree(
        cake.emmeans("recipe").eff_size(4.5, edf=42).to_frame(),
        estimate=[0.32839506173, 0.33827160494, 0.00987654321],
        std_error=[0.547008856, 0.547080500, 0.545835141],
        df=[42.0] * 3,
        conf_low=[-0.775513502, -0.765781543, -1.091663367],
        conf_high=[1.43230363, 1.44232475, 1.11141645],
    )
    # eff_size(emmeans(m, ~ temperature), sigma = 7, edf = 30): the df of the means
    agree(
        cake.emmeans("temperature").eff_size(7, edf=30).to_frame(),
        estimate=[-0.282539683, -0.492063492, -0.6],
        std_error=[0.141060934, 0.150343442, 0.156740898],
        df=[77.4368234] * 3,
        conf_low=[-0.563402603, -0.791408584, -0.912082908],
    )
    # eff_size(pairs(...), sigma = 7, edf = 30, method = "identity"): their own
    agree(
        cake.emmeans("temperature").pairs().eff_size(7, edf=30).to_frame(),
        df=[210.0] * 3,
        conf_low=[-0.560616599, -0.788439247, -0.908987219],
    )
    # eff_size(emmeans(m, ~ recipe | temperature), sigma = 7, edf = 30)
    agree(
        cake.emmeans("recipe", by="temperature").eff_size(7, edf=30).to_frame(),
        std_error=[0.413875524, 0.412353249, 0.412228584, 0.413634383],
        conf_low=[-0.500247748, -0.649597736, -0.973159042, -0.518815237],
    )


def test_effect_sizes_do_not_know_the_zero_of_the_response(cake):
    # R's do: its standard error of the third is 0.1536 for angle - 32, 0.1567 for angle
    data = nm.load_dataset("cake")
    moved = nm.lmer(cake.formula, data.assign(angle=data.angle - 32))
    frames = [fit.emmeans("temperature").eff_size().to_frame() for fit in (cake, moved)]
    pd.testing.assert_frame_equal(*frames, rtol=1e-6)


def test_standard_deviation_of_a_row_has_the_degrees_of_freedom_of_mean_squares():
    # balanced one-way: total variance = MSB/5 + 4/5 MSW, with 5 and 24 df (Satterthwaite 1946)
    data = nm.load_dataset("Dyestuff")
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", data)
    batches = data.groupby("Batch", observed=True)["Yield"]
    between = 5.0 * batches.mean().var()
    within = batches.var().mean()
    parts = np.array([between / 5.0, 0.8 * within])
    total, residual = row_sd(fit.core, "total"), row_sd(fit.core, "residual")
    assert total.sd == pytest.approx(np.sqrt(parts.sum()), rel=1e-6)
    assert total.df == pytest.approx(parts.sum() ** 2 / np.sum(parts**2 / [5, 24]), rel=1e-5)
    assert residual.df == pytest.approx(24.0, rel=1e-5)
    share = fit.icc()["adjusted"]
    assert residual.sd**2 / total.sd**2 == pytest.approx(1.0 - share, rel=1e-9)


def test_sigma_is_named_below_and_a_number_is_taken_as_known(cake):
    sizes = cake.emmeans("recipe").eff_size()
    assert "sigma used for effect sizes: 7.894 (total, 77.44 df)" in str(sizes)
    known = cake.emmeans("recipe").eff_size(7.0)
    assert "(taken as known)" in str(known) and known.edf == np.inf
    pairs = cake.emmeans("recipe").pairs(adjust="none").to_frame()
    np.testing.assert_allclose(known.to_frame()["std_error"], pairs["std_error"] / 7.0)


def test_effect_sizes_of_a_posterior_are_divided_draw_by_draw(cake):
    posterior = fake_bayesfit(nm.lmer("angle ~ recipe + (1 | replicate)", nm.load_dataset("cake")))
    means = posterior.emmeans("recipe")
    sigma = np.asarray(posterior.data["posterior"]["sigma"]).ravel()
    draws = means.pairs().draws() / sigma[:, None]
    frame = means.eff_size("residual").to_frame()
    np.testing.assert_allclose(frame["estimate"], draws.mean(axis=0))
    np.testing.assert_allclose(frame["conf_low"], np.quantile(draws, 0.025, axis=0))
    assert means.eff_size().sigma > means.eff_size("residual").sigma
    with pytest.raises(OptionError, match="a posterior has draws of sigma"):
        means.eff_size(edf=3)
    with pytest.raises(OptionError, match="letters sort by tests"):
        means.cld()


def test_sigma_that_a_model_does_not_have_is_asked_for(odds, cake):
    with pytest.raises(OptionError, match="give the standard deviation as a number"):
        odds.emmeans("period").eff_size()
    with pytest.raises(OptionError, match="text or a positive number"):
        cake.emmeans("recipe").eff_size(0.0)
    with pytest.raises(OptionError, match="are positive"):
        cake.emmeans("recipe").eff_size(2.0, edf=0)
    data = nm.load_dataset("sleepstudy")
    pooled = nm.lmer("Reaction ~ Days + (1 | Subject)", [data, data.assign(Days=data.Days + 1)])
    with pytest.raises(OptionError, match="not of a pool"):
        pooled.emmeans("Days").eff_size()
    assert pooled.emtrends("1", var="Days").eff_size(30.0, method="identity").edf == np.inf


# --- letters -----------------------------------------------------------------------------------
def test_letters_of_the_examples_of_multcompview():
    # multcompLetters(c("A-B" = FALSE, "A-C" = FALSE, "B-C" = TRUE))
    assert [x.strip() for x in compact_letters(3, [(1, 2)])] == ["ab", "a", "b"]
    # c("a-b" = .01, "a-c" = .02, "b-d" = .03, "a-d" = 1); pairs that are not named do not differ
    letters = compact_letters(4, [(0, 1), (0, 2), (1, 3)])
    assert [x.replace(" ", "") for x in letters] == ["a", "b", "bc", "ac"]
    assert compact_letters(0, []) == [] and compact_letters(2, []) == ["a", "a"]


def test_letters_are_the_largest_sets_without_a_difference():
    # all graphs of five means: the columns are the maximal cliques, found here by trying all sets
    pairs = list(itertools.combinations(range(5), 2))
    for chosen in range(0, 2 ** len(pairs), 7):
        different = {pair for k, pair in enumerate(pairs) if chosen >> k & 1}
        sets = [
            set(one)
            for size in range(1, 6)
            for one in itertools.combinations(range(5), size)
            if not different & set(itertools.combinations(one, 2))
        ]
        largest = [one for one in sets if not any(one < other for other in sets)]
        letters = compact_letters(5, different)
        columns = [{i for i in range(5) if letters[i][k] != " "} for k in range(len(letters[0]))]
        assert sorted(map(sorted, columns)) == sorted(map(sorted, largest))
        assert [min(c) for c in columns] == sorted(min(c) for c in columns)


def test_many_letters_are_numbered():
    found = compact_letters(60, itertools.combinations(range(60), 2))
    assert [found[k].strip() for k in (0, 51, 52, 59)] == ["a", "Z", "a1", "h1"]


def test_letters_follow_the_tests(cake):
    shown = cake.emmeans("temperature").cld(adjust="none")
    frame = shown.to_frame()
    assert frame["estimate"].is_monotonic_increasing
    assert frame["letters"].tolist() == ["a", "b", "bc", "c", "d", "d"]
    pairs = cake.emmeans("temperature").pairs(adjust="none").to_frame().set_index("contrast")
    share = dict(zip(frame["temperature"].astype(str), frame["letters"], strict=True))
    for name, p in pairs["p_value"].items():
        a, b = (side.removeprefix("temperature") for side in name.split(" - "))
        assert (not set(share[a]) & set(share[b])) == (p < 0.05)
    down = cake.emmeans("temperature").cld(adjust="none", reverse=True).to_frame()
    assert down["estimate"].is_monotonic_decreasing and down["letters"].iloc[0] == "a"
    assert "alpha = 0.05" in str(shown) and ".group" in str(shown)


def test_families_have_letters_of_their_own_and_records_pickle(cake):
    shown = cake.emmeans("temperature", by="recipe").cld()
    frame = shown.to_frame()
    for _, own in frame.groupby("recipe", observed=True):
        assert own["letters"].iloc[0].startswith("a") and own["estimate"].is_monotonic_increasing
    assert str(pickle.loads(pickle.dumps(shown))) == str(shown)
    sizes = cake.emmeans("recipe").eff_size()
    assert str(pickle.loads(pickle.dumps(sizes))) == str(sizes)


def test_means_that_cannot_be_told_have_no_letter():
    data = nm.load_dataset("cake")
    data = data[~((data.recipe == "C") & (data.temperature == "225"))]
    fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", data)
    frame = fit.emmeans("temperature", by="recipe").cld().to_frame()
    gap = frame["estimate"].isna()
    assert gap.sum() == 1 and frame["letters"][gap].tolist() == [""]
    assert frame[frame.recipe == "C"].index[-1] == frame.index[gap][0]


# --- pictures ------------------------------------------------------------------------------------
def test_pictures_have_a_row_for_each_mean_and_a_line_for_contrasts(cake, odds):
    pytest.importorskip("matplotlib")
    ax = cake.emmeans("temperature", by="recipe").plot()
    assert len(ax.get_yticklabels()) == 6 and len(ax.get_legend().get_texts()) == 3
    assert ax.get_ylabel() == "temperature"
    assert not cake.emmeans("recipe").table.contrasts
    assert cake.emmeans("recipe").pairs().table.contrasts
    letters = cake.emmeans("temperature").cld().plot()
    assert {text.get_text() for text in letters.texts} >= {"a"}
    ratio = odds.emmeans("period", type="response").pairs().plot()
    assert ratio.get_xscale() == "log" and ratio.get_xlabel() == "odds.ratio"
    assert ratio.lines[-1].get_xdata()[0] == 1.0
    assert cake.emmeans("recipe").eff_size().plot().lines[-1].get_xdata()[0] == 0.0
