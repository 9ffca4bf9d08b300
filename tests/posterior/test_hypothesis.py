"""Hypotheses: what is understood, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from designs import data
from fake_posterior import fake_bayesfit

import nestedmlm as nm


@pytest.fixture(scope="module")
def bayes():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    return fake_bayesfit(fit)


def draws(bayes, name):
    return bayes.data["posterior"][name].values


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("Days > 10", lambda d: d("Days") > 10),
        ("10 >= Days", lambda d: d("Days") <= 10),
        ("Days < 10", lambda d: d("Days") < 10),
        ("9 < Days <= 11", lambda d: (d("Days") > 9) & (d("Days") <= 11)),
        ("Days > 10 and Intercept > 250", lambda d: (d("Days") > 10) & (d("Intercept") > 250)),
        ("Days > 12 or sigma < 25", lambda d: (d("Days") > 12) | (d("sigma") < 25)),
        ("(Intercept) + 9*Days > 345", lambda d: d("Intercept") + 9 * d("Days") > 345),
        ("`1|Subject_sigma`**2 > sigma**2", lambda d: d("1|Subject_sigma") > d("sigma")),
        ("abs(-Days / 2) > exp(log(5))", lambda d: np.abs(d("Days")) / 2 > 5),
        ("sqrt(`1|Subject_sigma`) > 5", lambda d: np.sqrt(d("1|Subject_sigma")) > 5),
        ("`Days|Subject`[308] > 9", lambda d: d("Days|Subject")[..., 0] > 9),
        ("`Days|Subject`['309'] < -8", lambda d: d("Days|Subject")[..., 1] < -8),
        ("`Subject_corr`['Days', '1'] > 0", lambda d: d("Subject_corr")[..., 0] > 0),
        ("`Subject_corr`['1', 'Days'] > 0", lambda d: d("Subject_corr")[..., 0] > 0),
        ("`Subject_corr`['Days, 1'] > 0", lambda d: d("Subject_corr")[..., 0] > 0),
        ("1|Subject_sigma**2 > sigma**2", lambda d: d("1|Subject_sigma") > d("sigma")),
        ("Days|Subject[308] > 9", lambda d: d("Days|Subject")[..., 0] > 9),
        ("sd_Days|Subject > 6", lambda d: d("Days|Subject_sigma") > 6),
        ("6<`sd_Days|Subject`", lambda d: d("Days|Subject_sigma") > 6),
        ("cor_Days.(Intercept)|Subject > 0", lambda d: d("Subject_corr")[..., 0] > 0),
        ("`(Intercept)` + 9*Days > 345", lambda d: d("Intercept") + 9 * d("Days") > 345),
    ],
)
def test_probabilities(bayes, text, truth):
    found = bayes.hypothesis(text).table.loc[text]
    expected = truth(lambda name: draws(bayes, name))
    assert 0.0 < expected.mean() < 1.0
    assert found["probability"] == pytest.approx(expected.mean())
    assert found["odds"] == pytest.approx(expected.mean() / (1 - expected.mean()))
    assert 0.0 < found["mcse"] < 0.05


def test_interactions_and_names_within_names():
    frame = data().assign(x2=lambda d: d["z"])
    fit = nm.lmer("y ~ x * a + x2:a + (1 | f1)", frame)
    bayes = fake_bayesfit(fit, chains=2, draws=50)
    own = bayes.data["posterior"]
    found = bayes.hypothesis(["x:aq > x:ar", "ap:x2 > -x:aq"]).table["probability"]
    assert found.iloc[0] == float((own["x:aq"] > own["x:ar"]).mean())
    assert found.iloc[1] == float((own["ap:x2"] > -own["x:aq"]).mean())
    with pytest.raises(nm.FormulaError):
        bayes.hypothesis("x:aq2 > 0")  # no name, though one begins like it


def test_a_ratio_of_standard_deviations_is_one():
    frame = data().assign(half=lambda d: np.where(d["x"] > d["x"].median(), "up", "down"))
    model = nm.Model("y ~ x + (1 | f1)", frame, dispersion="~ half")
    bayes = model.sample(sampler="psis", draws=50, seed=1, progress=False)
    ratio = np.exp(bayes.data["posterior"]["sigma_half[up]"])
    found = bayes.hypothesis("sd_ratio[up] > 1").table["estimate"].item()
    assert found == pytest.approx(float(ratio.mean()) - 1.0)


def test_difference_of_the_sides(bayes):
    table = bayes.hypothesis(["Days > 10", "Days < 10", "9 < Days < 11"], level=0.9).table
    x = draws(bayes, "Days").ravel()
    assert table.loc["Days > 10", "estimate"] == pytest.approx(x.mean() - 10)
    assert table.loc["Days < 10", "estimate"] == pytest.approx(10 - x.mean())
    assert table.loc["Days > 10", "conf_low"] == pytest.approx(np.quantile(x, 0.05) - 10)
    assert np.isnan(table.loc["9 < Days < 11", "estimate"])


def test_certain_hypotheses(bayes):
    result = bayes.hypothesis("sigma > 0")
    assert result.table["probability"].iloc[0] == 1.0
    assert np.isinf(result.table["odds"].iloc[0])
    assert "all of 1000 draws" in str(result)


def test_names_with_dots_and_quotes():
    frame = nm.load_dataset("sleepstudy").rename(columns={"Days": "days.awake"})
    fit = nm.lmer("Reaction ~ days.awake + I(days.awake^2) + (1 | Subject)", frame)
    bayes = fake_bayesfit(fit)
    table = bayes.hypothesis(["days.awake > 0", "`I(days.awake^2)` > 0"]).table
    assert list(table.index) == ["days.awake > 0", "`I(days.awake^2)` > 0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a hypothesis is a text"),
        ("Days", "a hypothesis compares two sides"),
        ("Days >", "cannot be read"),
        ("1|Subject_sd > 3", "names such as `1.school` stand in backticks"),
        ("[Days] > 3", "has no meaning"),
        ("`Days > 0", "backtick is not closed"),
        ("Day > 0", "no parameter 'Day'; the posterior has: Intercept, Days"),
        ("Days = 0 or Days > 1", "which stands by itself"),
        ("Days != 0", "which stands by itself"),
        ("Days > '3'", "'3' is no number"),
        ("Days > True", "True is no number"),
        ("Days // 2 > 3", "only \\+ - \\* / \\*\\* are understood"),
        ("~Days > 3", "only \\+ - \\* / \\*\\* are understood"),
        ("sin(Days) > 0", "sin\\(\\) is no function of one argument known here: abs, exp"),
        ("open('f') > 0", "open\\(\\) is no function"),
        ("(lambda: 1)() > 0", "no function"),
        ("`Days|Subject` > 0", "has dimensions Subject__factor_dim; pick one"),
        ("`Days|Subject`[999] > 0", "has no Subject__factor_dim 999"),
        ("`Days|Subject`[308, 1] > 0", "needs 1 labels, got 2"),
        ("`Days|Subject`[x] > 0", "a label is a number or a text"),
        ("1 > 0", "needs a parameter"),
        ("Days > 0 / 0", "'0 / 0' is not a finite number in every draw"),
        ("9**9**9**9 > Days", "not a finite number"),
        ("Days / 0 = 1", "'Days / 0' is not a finite number"),
        ("log(Days - 1000) > 0", "not a finite number in every draw"),
        (f"Days > 1{'0' * 400}", "not a finite number"),
        ("`x`.__class__ > 0", "no parameter"),
        (" + ".join(["Days"] * 5000) + " > 0", "nested too deeply"),
    ],
)
def test_refused(bayes, text, message):
    with pytest.raises(nm.FormulaError, match=message):
        bayes.hypothesis(text)


def test_place_is_marked(bayes):
    with pytest.raises(nm.FormulaError) as caught:
        bayes.hypothesis("Days + Day > 0")
    assert str(caught.value).endswith("Days + Day > 0\n         ^")


def test_none_given(bayes):
    with pytest.raises(nm.errors.OptionError, match="no hypothesis given"):
        bayes.hypothesis([])


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("`my col` > 0", "`my col`"),
        ("``my col`` > 0", "`my col`"),
        ("`poly(`my x`, 2)1` > 0", "poly(`my x`, 2)1"),
        ("`poly(my x, 2)2` > 0", "poly(`my x`, 2)2"),
        ("`my col|f1_sigma` > 1", "`my col`|f1_sigma"),
        ("``my col`|f1_sigma` > 1", "`my col`|f1_sigma"),
        ("`my col` > `poly(`my x`, 2)1`", None),
    ],
)
def test_names_with_blanks(text, variable):
    frame = data().rename(columns={"x": "my col", "z": "my x"})
    fit = nm.lmer("y ~ `my col` + poly(`my x`, 2) + (0 + `my col` | f1)", frame)
    bayes = fake_bayesfit(fit, chains=2, draws=50)
    posterior = bayes.data["posterior"]
    found = bayes.hypothesis(text).table["probability"].iloc[0]
    if variable is None:
        holds = posterior["`my col`"] > posterior["poly(`my x`, 2)1"]
    else:
        holds = posterior[variable] > float(text[-1])
    assert found == float(holds.mean())


def test_a_name_with_blanks_that_is_not_there():
    frame = data().rename(columns={"x": "my col"})
    bayes = fake_bayesfit(nm.lmer("y ~ `my col` + (1 | f1)", frame), chains=2, draws=50)
    with pytest.raises(nm.FormulaError, match="no parameter 'my cold'"):
        bayes.hypothesis("`my cold` > 0")
    with pytest.raises(nm.FormulaError, match="a backtick is not closed"):
        bayes.hypothesis("`my cold > 0")
