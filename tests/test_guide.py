"""The guide *Multilevel Models for Nested Data*, from top to bottom (`../shared/guide/`).

Every number and table that it prints for M14-M20 is asked of `nestedmlm.lme4`, in the guide's
order, and is the guide's to the last digit: its fits stop where lme4's optimizer stops. Printed
tables are compared word by word: the guide's text has lost its column alignment.

The last part asks the same of the optima, where `nm.lmer` and ``polish()`` go. They differ from the
fourth digit on, and M15 is *singular*, as the guide's own next sentence says (its `isSingular` line
does not).
"""

from __future__ import annotations

import logging

import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.datasets import DATA_VARIABLE

REML = {  # at the true optimum
    "M14": 11879.626393,
    "M15": 11874.893966,
    "M16": 11874.973545,
    "M17": 11874.973545,
    "M18": 11880.546214,
    "M19": 11880.546214,
    "M20": 11880.546214,
}


def words(text: object) -> list[list[str]]:
    """Lines of words; the quotes of R's UTF-8 and plain output are one."""
    plain = str(text).replace("‘", "'").replace("’", "'")
    return [line.split() for line in plain.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def classroom_df(shared_data):
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"no classroom.csv in {shared_data}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(shared_data))
        return nm.load_dataset("classroom")


@pytest.fixture(scope="module")
def M14(classroom_df):
    return lme4.lmer("mathscore ~ ses + (ses | schoolid)", classroom_df)


@pytest.fixture(scope="module")
def M15(classroom_df):
    return lme4.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom_df)


@pytest.fixture(scope="module")
def M16(classroom_df):
    return lme4.lmer("mathscore ~ ses + (ses | schoolid) + (ses || classid)", classroom_df)


@pytest.fixture(scope="module")
def M17(classroom_df):
    return lme4.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", classroom_df)


@pytest.fixture(scope="module")
def M18(classroom_df):
    return lme4.lmer("mathscore ~ ses + (1 | schoolid / classid2)", classroom_df)


@pytest.fixture(scope="module")
def M19(classroom_df):
    return lme4.lmer("mathscore ~ ses + (1 | schoolid) + (1 | schoolid:classid2)", classroom_df)


@pytest.fixture(scope="module")
def M20(classroom_df):
    return lme4.lmer("mathscore ~ ses + (1 | schoolid) + (1 | classid)", classroom_df)


# The classroom data ---------------------------------------------------------------------------


def test_classroom_df(classroom_df):
    """A tibble: 1,190 x 5, ten rows shown."""
    assert classroom_df.shape == (1190, 5)
    assert words(classroom_df.head(10).to_string(index=False)) == words("""
        mathscore ses classid schoolid classid2
        480 0.46 160 1 1
        569 -0.27 160 1 1
        567 -0.03 160 1 1
        532 -0.38 217 1 2
        478 -0.03 217 1 2
        515 0.76 217 1 2
        503 -0.03 217 1 2
        509 0.20 217 1 2
        510 0.64 217 1 2
        473 0.13 217 1 2
        """)


# Two-level model: variation across schools ------------------------------------------------------


def test_summary_of_M14(M14):
    assert words(lme4.summary(M14)) == words("""
        Linear mixed model fit by REML ['lmerMod']
        Formula: mathscore ~ ses + (ses | schoolid)
        Data: classroom_df

        REML criterion at convergence: 11879.6

        Scaled residuals:
        Min 1Q Median 3Q Max
        -5.4151 -0.6052 -0.0472 0.5795 3.7352

        Random effects:
        Groups Name Variance Std.Dev. Corr
        schoolid (Intercept) 261.80 16.180
        ses 54.98 7.415 0.47
        Residual 1129.40 33.607
        Number of obs: 1190, groups: schoolid, 107

        Fixed effects:
        Estimate Std. Error t value
        (Intercept) 522.946 1.917 272.779
        ses 11.310 1.722 6.567

        Correlation of Fixed Effects:
        (Intr)
        ses 0.232
        """)


def test_fixef_of_M14(M14):
    assert lme4.fixef(M14).round(5).to_dict() == {"(Intercept)": 522.94641, "ses": 11.31036}


def test_varcorr_of_M14(M14):
    assert words(lme4.VarCorr(M14)) == words("""
        Groups Name Std.Dev. Corr
        schoolid (Intercept) 16.1803
        ses 7.4147 0.474
        Residual 33.6065
        """)


# Three-level model: variation across schools and classes ----------------------------------------


def test_M15_is_not_singular_where_it_stopped(M15):
    """As the guide prints; its next sentence calls the fit singular, which the optimum is."""
    assert lme4.isSingular(M15) is False
    assert M15.messages == ()


def test_varcorr_of_M15(M15):
    assert words(lme4.VarCorr(M15)) == words("""
        Groups Name Std.Dev. Corr
        classid (Intercept) 8.33529
        ses 0.91453 1.000
        schoolid (Intercept) 15.44468
        ses 7.24255 0.443
        Residual 32.90608
        """)


def test_the_class_level_covariance_of_M15_has_rank_one(M15, classroom_df):
    """Fewer than four children per class; correlation exactly 1, a rank-deficient 2 x 2 matrix."""
    assert len(classroom_df) / classroom_df["classid"].nunique() < 4
    frame = M15.varcorr().to_frame()
    correlation = frame.loc[
        (frame["group"] == "classid") & frame["var2"].notna(), "estimate"
    ].item()
    assert correlation == pytest.approx(1.0, abs=1e-4)


def test_the_diagnosis_of_M15_recommends_M16_and_M17(M15):
    report = str(M15.polish().diagnose())
    assert "classid" in report
    assert "(ses || classid)" in report
    assert "(1 | classid)" in report


def test_M16_is_singular(M16):
    assert lme4.isSingular(M16) is True
    assert any("boundary (singular) fit" in message for message in M16.messages)


def test_varcorr_of_M16(M16):
    assert words(lme4.VarCorr(M16)) == words("""
        Groups Name Std.Dev. Corr
        classid ses 0.0000
        classid.1 (Intercept) 8.3964
        schoolid (Intercept) 15.4398
        ses 7.3039 0.470
        Residual 32.8950
        """)


def test_the_class_level_slope_of_M16_is_exactly_zero(M16):
    frame = M16.varcorr().to_frame()
    slope = frame.loc[(frame["group"] == "classid") & (frame["var1"] == "ses"), "estimate"].item()
    assert slope == 0.0


def test_M17_is_not_singular(M17):
    assert lme4.isSingular(M17) is False
    assert not any("singular" in message for message in M17.messages)


def test_fixef_of_M17(M17):
    assert lme4.fixef(M17).round(5).to_dict() == {"(Intercept)": 522.82488, "ses": 11.20439}


def test_varcorr_of_M17(M17):
    assert words(lme4.VarCorr(M17)) == words("""
        Groups Name Std.Dev. Corr
        classid (Intercept) 8.3945
        schoolid (Intercept) 15.4393
        ses 7.3042 0.470
        Residual 32.8954
        """)


def test_anova_of_M14_M17_M16(M14, M17, M16, caplog):
    with caplog.at_level(logging.WARNING, logger="nestedmlm"):
        table = lme4.anova(M14, M17, M16)
    assert "refitting model(s) with ML (instead of REML)" in caplog.messages
    assert words(table) == words("""
        Data: classroom_df
        Models:
        M14: mathscore ~ ses + (ses | schoolid)
        M17: mathscore ~ ses + (ses | schoolid) + (1 | classid)
        M16: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))
        npar AIC BIC logLik -2*log(L) Chisq Df Pr(>Chisq)
        M14 6 11898 11928 -5942.8 11886
        M17 7 11895 11930 -5940.5 11881 4.6584 1 0.0309 *
        M16 8 11897 11938 -5940.5 11881 0.0000 1 1.0000
        ---
        Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
        """)


# Nested identifiers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["M18", "M19", "M20"])
def test_three_ways_to_say_nested_give_the_same_estimates(name, request):
    fit = request.getfixturevalue(name)
    assert lme4.fixef(fit).round(5).to_dict() == {"(Intercept)": 523.16910, "ses": 11.81137}


@pytest.mark.parametrize("name", ["M18", "M19"])
def test_three_ways_to_say_nested_are_one_model(name, request, M20):
    fit = request.getfixturevalue(name)
    assert fit.criterion == pytest.approx(M20.criterion, rel=0, abs=1e-9)
    assert fit.ngrps.to_list() == M20.ngrps.to_list() == [312, 107]
    # SDs near a flat optimum hold half as many digits as the criterion
    sds = fit.varcorr().to_frame()["estimate"].to_numpy()
    assert sds == pytest.approx(M20.varcorr().to_frame()["estimate"].to_numpy(), rel=1e-6)


# What the guide's text says ---------------------------------------------------------------------


def test_the_tables_above_are_the_guides(shared_data):
    """Guard against typing errors: the numbers quoted above stand in the guide."""
    path = shared_data.parent / "guide" / "multilevel-nested-guide.txt"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    guide = " ".join(path.read_text(encoding="utf-8").split())
    for passage in (
        "-5.4151 -0.6052 -0.0472 0.5795 3.7352",
        "schoolid (Intercept) 261.80 16.180 ses 54.98 7.415 0.47 Residual 1129.40 33.607",
        "(Intercept) 522.946 1.917 272.779 ses 11.310 1.722 6.567",
        "522.94641 11.31036",
        "classid (Intercept) 8.33529 ses 0.91453 1.000 schoolid (Intercept) 15.44468 ses 7.24255 "
        "0.443 Residual 32.90608",
        "classid ses 0.0000 classid.1 (Intercept) 8.3964 schoolid (Intercept) 15.4398 ses 7.3039 "
        "0.470 Residual 32.8950",
        "classid (Intercept) 8.3945 schoolid (Intercept) 15.4393 ses 7.3042 0.470 Residual 32.8954",
        "522.82488 11.20439",
        "M17 7 11895 11930 -5940.5 11881 4.6584 1 0.0309 *",
        "523.16910 11.81137",
    ):
        assert passage in guide, passage


# At the optimum ---------------------------------------------------------------------------------

PRINTED = {  # where these differ from the guide's
    "M14": "schoolid (Intercept) 16.1803 ses 7.4147 0.475 Residual 33.6065",
    "M15": "classid (Intercept) 8.33497 ses 0.91501 1.000 schoolid (Intercept) 15.44488 ses "
    "7.24223 0.443 Residual 32.90614",
    "M16": "classid ses 0.0000 classid.1 (Intercept) 8.3968 schoolid (Intercept) 15.4399 ses "
    "7.3049 0.470 Residual 32.8949",
    "M17": "classid (Intercept) 8.3968 schoolid (Intercept) 15.4399 ses 7.3049 0.470 Residual "
    "32.8949",
}


@pytest.fixture(scope="module", params=REML)
def optimum(request):
    """A model's name, where it stopped, and its optimum."""
    stopped = request.getfixturevalue(request.param)
    return request.param, stopped, stopped.model.fit()


def test_reml_criterion_is_the_true_optimum(optimum):
    name, stopped, best = optimum
    assert best.converged is True
    for fit in (best, stopped.polish()):
        assert fit.reml_criterion == pytest.approx(REML[name], rel=0, abs=1e-6)


def test_certificates_say_how_far_the_guide_is_from_it(optimum):
    _, stopped, best = optimum
    assert stopped.converged is False
    gap = stopped.criterion - best.criterion
    assert gap == pytest.approx(stopped.certificate.gap, rel=0.1, abs=1e-10)
    assert 0.0 < stopped.certificate.gap < 2e-6


def test_the_guide_is_near_it(optimum):
    """SDs and correlations to a part in a thousand, fixed effects to one in fifty thousand."""
    _, stopped, best = optimum
    near = stopped.varcorr().to_frame()["estimate"].to_numpy()
    assert best.varcorr().to_frame()["estimate"].to_numpy() == pytest.approx(near, rel=1e-3)
    assert best.fixef.to_numpy() == pytest.approx(stopped.fixef.to_numpy(), rel=2e-5)


def test_varcorr_of_the_optimum(optimum):
    name, _, best = optimum
    if name in PRINTED:
        expected = f"Groups Name Std.Dev. Corr {PRINTED[name]}".split()
        assert [word for line in words(best.varcorr()) for word in line] == expected


def test_singular_at_the_optimum(optimum):
    name, _, best = optimum
    assert best.is_singular() is (name in ("M15", "M16"))


def test_other_digits_of_the_optimum(M14, M17, M20):
    assert M14.model.fit().tvalues["(Intercept)"] == pytest.approx(272.7797, abs=5e-5)
    assert M17.model.fit().fixef.round(5).to_dict() == {"(Intercept)": 522.82475, "ses": 11.20423}
    assert M20.model.fit().fixef.round(5).to_dict() == {"(Intercept)": 523.16911, "ses": 11.81137}


def test_contextual_effect(classroom_df):
    """lmerTest 3.1-3 on group means made by hand: coefficients, standard errors, df."""
    formula = "mathscore ~ {} + between(ses, schoolid) + (1 | schoolid/classid)"
    table = nm.lmer(formula.format("within(ses, schoolid)"), classroom_df).tidy("fixed")
    assert table.estimate.to_numpy() == pytest.approx([523.52770, 11.08439, 19.66581], rel=5e-6)
    assert table.std_error.to_numpy() == pytest.approx([1.899341, 1.551230, 5.037557], rel=5e-6)
    assert table.df.to_numpy() == pytest.approx([97.82432, 1075.84584, 92.07909], rel=1e-5)
    difference = nm.lmer(formula.format("ses"), classroom_df).tidy("fixed").iloc[-1]
    assert difference.estimate == pytest.approx(8.581414, rel=5e-6)
    assert difference.p_value == pytest.approx(0.1063587, rel=5e-5)
