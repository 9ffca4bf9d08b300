"""summary, anova, contest, ranova, drop1 and step: their layouts (lmerTest's) and what they refuse.

The layouts were printed by R 4.2.2 with lmerTest 3.1-3; blanks at the ends of lines are left out
and R's curly quotes are straight. Numbers are compared in `test_effects_beside_r`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.inference.means.linear import LinearFit
from nestedmlm.views.render.frame_columns import named_frame

LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


@cache
def fit_of(formula: str, REML: bool = True) -> nm.LmerFit:
    name = "cake" if formula.startswith("angle") else "sleepstudy"
    if formula.startswith("Yield"):
        name = "Dyestuff2"
    data = {name: nm.load_dataset(name)}
    sleepstudy = cake = Dyestuff2 = data[name]  # the names that titles show
    frames = {"sleepstudy": sleepstudy, "cake": cake, "Dyestuff2": Dyestuff2}
    return nm.Model(formula, frames[name], data_name=name).fit(REML=REML)


SLEEP = "Reaction ~ Days + (Days | Subject)"
QUAD = "Reaction ~ Days + I(Days^2) + (Days | Subject)"
CAKE = "angle ~ recipe * temperature + (1 | recipe:replicate)"


def block(text: str) -> str:
    return text.strip("\n").replace("LEGEND", LEGEND)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(
            lambda: fit_of(SLEEP).summary(),
            """
Linear mixed model fit by REML. t-tests use Satterthwaite's method [
lmerModLmerTest]
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy

REML criterion at convergence: 1743.6

Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.9536 -0.4634  0.0231  0.4634  5.1793

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 612.09   24.740
          Days         35.07    5.922   0.07
 Residual             654.94   25.592
Number of obs: 180, groups:  Subject, 18

Fixed effects:
            Estimate Std. Error      df t value Pr(>|t|)
(Intercept)  251.405      6.825  17.000  36.838  < 2e-16 ***
Days          10.467      1.546  17.000   6.771 3.26e-06 ***
---
LEGEND

Correlation of Fixed Effects:
     (Intr)
Days -0.138
""",
            id="summary",  # OPTIMUM: lme4 stops at 612.10 and 24.741
        ),
        pytest.param(
            lambda: fit_of(CAKE).anova(),
            """
Type III Analysis of Variance Table with Satterthwaite's method
                    Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
recipe               10.19    5.09     2    42  0.2488 0.7809
temperature        2100.30  420.06     5   210 20.5199 <2e-16 ***
recipe:temperature  205.98   20.60    10   210  1.0062 0.4393
---
LEGEND
""",
            id="2.12 anova cake_inter",
        ),
        pytest.param(
            lambda: fit_of(SLEEP).anova(ddf="kenward-roger"),
            """
Type III Analysis of Variance Table with Kenward-Roger's method
     Sum Sq Mean Sq NumDF DenDF F value    Pr(>F)
Days  30031   30031     1    17  45.853 3.264e-06 ***
---
LEGEND
""",
            id="anova Kenward-Roger",
        ),
        pytest.param(
            lambda: fit_of(SLEEP).anova(ddf="none"),
            """
Analysis of Variance Table
     npar Sum Sq Mean Sq F value
Days    1  30031   30031  45.853
""",
            id="2.6 anova lme4",
        ),
        pytest.param(
            lambda: fit_of(QUAD).ranova(),
            """
ANOVA-like table for random-effects: Single term deletions

Model:
Reaction ~ Days + I(Days^2) + (Days | Subject)
                         npar  logLik    AIC   LRT Df Pr(>Chisq)
<none>                      7 -871.41 1756.8
Days in (Days | Subject)    5 -892.90 1795.8 42.98  2  4.646e-10 ***
---
LEGEND
""",
            id="2.12 ranova sleep_quad",
        ),
        pytest.param(
            lambda: fit_of(QUAD).ranova(reduce_terms=False),
            """
ANOVA-like table for random-effects: Single term deletions

Model:
Reaction ~ Days + I(Days^2) + (Days | Subject)
                 npar  logLik    AIC    LRT Df Pr(>Chisq)
<none>              7 -871.41 1756.8
(Days | Subject)    4 -946.39 1900.8 149.96  3  < 2.2e-16 ***
---
LEGEND
""",
            id="2.12 ranova sleep_quad reduce_terms=False",
        ),
        pytest.param(
            lambda: fit_of(QUAD).drop1(),
            """
Single term deletions using Satterthwaite's method:

Model:
Reaction ~ Days + I(Days^2) + (Days | Subject)
          Sum Sq Mean Sq NumDF  DenDF F value  Pr(>F)
Days      4534.5  4534.5     1 114.43  6.9551 0.00952 **
I(Days^2) 1079.5  1079.5     1 143.00  1.6558 0.20026
---
LEGEND
""",
            id="drop1",
        ),
        pytest.param(
            lambda: fit_of(CAKE).drop1(test="Chisq"),
            """
Single term deletions

Model:
angle ~ recipe * temperature + (1 | recipe:replicate)
                   npar    AIC   LRT Pr(Chi)
<none>                  1719.0
recipe:temperature   10 1709.6 10.53  0.3953
""",
            id="2.6 drop1 Chisq",
        ),
        pytest.param(
            lambda: fit_of(CAKE).step(),
            """
Backward reduced random-effect table:

                       Eliminated npar  logLik    AIC    LRT Df Pr(>Chisq)
<none>                              20 -819.31 1678.6
(1 | recipe:replicate)          0   19 -905.28 1848.5 171.93  1  < 2.2e-16 ***
---
LEGEND

Backward reduced fixed-effect table:
Degrees of freedom method: Satterthwaite

                   Eliminated  Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
recipe:temperature          1  205.98   20.60    10   210  1.0062 0.4393
recipe                      2   10.19    5.09     2    42  0.2488 0.7809
temperature                 0 2100.30  420.06     5   220 20.5141 <2e-16 ***
---
LEGEND

Model found:
angle ~ temperature + (1 | recipe:replicate)
""",
            id="step",
        ),
    ],
)
def test_layout(view, expected):
    assert str(view()) == block(expected)


def test_title_of_an_ml_fit():
    lines = str(fit_of(SLEEP, False).summary()).splitlines()
    assert lines[:2] == [
        "Linear mixed model fit by maximum likelihood . t-tests use Satterthwaite's",
        "  method [lmerModLmerTest]",
    ]


def test_summary_without_method_is_lme4s():
    text = str(fit_of(SLEEP).summary(ddf="none"))
    assert text.startswith("Linear mixed model fit by REML ['lmerMod']\n")
    assert "Pr(>|t|)" not in text
    assert str(lme4.summary(fit_of(SLEEP))) == text


def test_pvalues():
    fit = fit_of(SLEEP)
    table = fit.summary().tables["coefficients"]
    assert fit.pvalues.tolist() == table["p_value"].tolist()
    assert fit.pvalues.name == "p_value"


def test_terms_that_contain_others_as_in_sas(shared_data):
    """``cond + cond:halves`` and ``cond * halves`` have the same type III test of cond."""
    frame = pd.read_csv(shared_data / "sleep_ext.csv")
    frame[["cond", "halves"]] = frame[["cond", "halves"]].astype("category")
    nested = nm.lmer("Reaction ~ cond + cond:halves + (1 | Subject)", frame).anova().table
    crossed = nm.lmer("Reaction ~ cond * halves + (1 | Subject)", frame).anova().table
    assert nested.loc["cond"].to_numpy() == pytest.approx(crossed.loc["cond"].to_numpy(), rel=1e-4)


def test_summary_of_residual_degrees_of_freedom():
    table = fit_of(SLEEP).summary("residual").tables["coefficients"]
    assert table["df"].tolist() == [178.0, 178.0]


def test_every_rendering_of_a_summary():
    view = fit_of(SLEEP).summary()
    for text in (view.to_html(), view.to_markdown(), view.to_latex()):
        assert "3.26e-06" in text


def test_ranova_of_cake():
    """2.12: LRT 171.93."""
    assert fit_of(CAKE).ranova().table["LRT"].iloc[1] == pytest.approx(171.93, abs=0.005)


def test_the_last_random_effect_leaves_a_linear_model():
    """lmerTest's step(Dyestuff2) finds ``Yield ~ 1``."""
    found = fit_of("Yield ~ 1 + (1 | Batch)").step()
    assert isinstance(found.final, LinearFit)
    assert found.final.formula == "Yield ~ 1"
    assert found.final.params.tolist() == pytest.approx([5.6656])
    assert "Linear model: Yield ~ 1" in repr(found.final)
    assert found.random["Eliminated"].tolist()[1:] == [1.0]


def test_step_of_a_linear_model_goes_on():
    """R: step(lmer(Yield ~ x + z + (1 | Batch)))$fixed, and logLik of its model by REML."""
    frame = nm.load_dataset("Dyestuff2")
    frame["x"] = np.arange(30.0) % 7
    frame["z"] = frame["Yield"] + np.arange(30.0) % 4
    found = nm.lmer("Yield ~ x + z + (1 | Batch)", frame).step()
    assert isinstance(found.final, LinearFit)
    assert found.final.formula == "Yield ~ z"
    assert found.fixed.index.tolist() == ["x", "z"]
    assert found.fixed.to_numpy() == pytest.approx(
        np.array(
            [
                [1, 1, 0.0394503257, 34.3087272239, 8.0260713448, 0.0310820330, 0.8613732208],
                [0, 1, 366.074252, 400.382979, 79.7367247, 298.760108, 1.79306644e-16],
            ]
        ),
        rel=1e-8,
    )
    assert found.final.llf == pytest.approx(-47.3144873327)


def test_step_keeps_what_it_is_told():
    assert fit_of(CAKE).step(keep=["recipe:temperature"]).final.formula == CAKE
    assert fit_of(CAKE).step(reduce_fixed=False).final.formula == CAKE
    assert fit_of("Yield ~ 1 + (1 | Batch)").step(reduce_random=False).final.nobs == 30
    with pytest.raises(OptionError, match="keep names nobody; the terms are recipe"):
        fit_of(CAKE).step(keep=["nobody"])


def test_ranova_never_takes_an_effect_that_another_builds_on():
    frame = nm.load_dataset("sleepstudy")
    frame["z"] = np.tile([0.0, 1.0], 90)
    fit = nm.lmer("Reaction ~ Days + (Days * z | Subject)", frame)
    assert list(fit.ranova().formulas) == ["Days:z in (Days * z | Subject)"]


def test_ranova_of_structured_terms(shared_data):
    frame = pd.read_csv(shared_data / "Machines.csv")
    frame["Machine"] = frame["Machine"].astype("category")
    fit = nm.lmer("score ~ Machine + cs(0 + Machine | Worker)", frame)
    found = fit.ranova()
    assert list(found.formulas.values()) == ["score ~ Machine + (1 | Worker)"]
    assert found.table["Df"].iloc[1] == 3
    # one slope alone goes altogether: an intercept in its place would be no smaller model
    sleep = nm.load_dataset("sleepstudy")
    slope = nm.lmer("Reaction ~ Days + (0 + Days | Subject)", sleep)
    assert slope.ranova().table["Df"].iloc[1] == 1


def test_drop1_scope():
    fit = fit_of(QUAD)
    assert fit.drop1(["Days"]).table.index.tolist() == ["Days"]
    with pytest.raises(OptionError, match="recipe cannot be dropped: scope may name recipe:temp"):
        fit_of(CAKE).drop1(["recipe"])
    assert fit_of("Yield ~ 1 + (1 | Batch)").drop1().table.empty  # 3.1 #63: nothing to drop


def test_contest_labels_and_intervals():
    fit = fit_of(QUAD)
    rows = fit.contest({"slope": "Days = 5", "bend": "I(Days^2)"}, joint=False, level=0.9).table
    assert rows.index.tolist() == ["slope", "bend"]
    width = rows["upper"] - rows["lower"]
    # qt(0.95, 114.4314) = 1.658279
    assert width["slope"] == pytest.approx(2 * 1.658279 * rows.loc["slope", "Std. Error"], rel=1e-5)
    joint = fit.contest(["Days = 5", "I(Days^2)"])
    assert joint.table.index.tolist() == ["Days = 5, I(Days^2)"]
    assert joint.to_frame().equals(named_frame(joint.table))
    assert set(joint.tables) == {"tests"}
    with pytest.raises(OptionError, match="between 0 and 1"):
        fit.contest("Days", joint=False, level=95)
    with pytest.raises(OptionError, match="no contrast to test"):
        fit.contest({})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.summary("t"), "satterthwaite, kenward-roger, residual, none"),
        (lambda f: f.anova(type="IV"), "known: I, II, III"),
        (lambda f: f.anova(ddf="what"), "satterthwaite, kenward-roger"),
        (lambda f: f.drop1(test="Wald"), "known: F, Chisq"),
    ],
)
def test_unknown_options(call, message):
    with pytest.raises(OptionError, match=message):
        call(fit_of(SLEEP))


def test_rows_that_change_are_refused():
    frame = nm.load_dataset("sleepstudy")
    frame["z"] = np.tile([0.0, 1.0], 90)
    frame.loc[3, "z"] = np.nan
    fit = nm.lmer("Reaction ~ Days + z + (1 | Subject)", frame)
    with pytest.raises(ModelComparisonError, match="has changed from 179 to 180"):
        fit.drop1(test="Chisq")
    assert len(fit.drop1().table) == 2


def test_an_empty_cell_is_named():
    frame = nm.load_dataset("cake")
    frame = frame[~((frame["recipe"] == "A") & (frame["temperature"].astype(str) == "175"))]
    fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", frame)
    assert fit.anova().notes == (
        "no data for recipeA:temperature175: mind what type III hypotheses then mean",
    )


def test_r_spellings():
    fit = fit_of(QUAD)
    L = np.eye(3)[1:]
    assert lme4.contest(fit, L, ddf="Kenward-Roger").table["F value"].iloc[0] == pytest.approx(
        23.36452, rel=1e-6
    )
    assert lme4.drop1(fit, ddf="lme4").table.columns[0] == "npar"
    assert lme4.drop1(fit).table.equals(fit.drop1().table)
    assert lme4.ranova(fit).table.equals(fit.ranova().table)
    assert lme4.get_model(lme4.step(fit)).formula == SLEEP
    assert lme4.vcovAdj(fit).shape == (3, 3)
    assert "Satterthwaite" in str(lme4.summary(fit, "Satterthwaite"))


def test_ranova_of_a_slope_alone_takes_the_whole_term():
    # lmerTest::ranova(lmer(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), sleepstudy))
    fit = fit_of("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)")
    table = fit.ranova().table
    assert list(table.index[1:]) == ["(1 | Subject)", "Days in (0 + Days | Subject)"]
    assert list(table["npar"]) == [5, 4, 4]


def test_drop1_of_a_lone_term_takes_type_i_rows():
    """drop1(lmer(angle ~ recipe + (1 | replicate) + (1 | recipe:replicate), cake[1:200, ]))."""
    fit = nm.lmer(
        "angle ~ recipe + (1 | replicate) + (1 | recipe:replicate)",
        nm.load_dataset("cake").iloc[:200],
    )
    row = fit.drop1().table.loc["recipe"]
    assert row["F value"] == pytest.approx(0.2144282855, rel=1e-6)
    assert row["DenDF"] == pytest.approx(20.21073985, rel=1e-6)
