"""One table of what fits answer: each row is a call, the question it belongs to, whom it serves.

`fits/test_verbs.py` asks every row in every situation (`situations.py`), of every engine that it
serves; `house/test_verb_table.py` holds the table against the public members of the classes. What a
row may say is in `verb_row.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from situations import new_rows, rows
from verb_row import (
    BAYES,
    BOTH,
    DRAWN,
    EVERYWHERE,
    GLMER,
    LMER,
    PROFILED,
    REFITTED,
    VERBS,
    attribute,
    by,
    row,
    where,
)

import nestedmlm as nm
from nestedmlm import lme4

__all__ = ["VERBS"]

QUIET: dict[str, Any] = {"progress": False, "seed": 1}
NEW: dict[str, Any] = {"new_levels": "population"}
KR = "kenward-roger"
SATTERTHWAITE = "satterthwaite"

# --- estimates and sizes ------------------------------------------------------------------------
NONE = where(["no fixed effects"], "no coefficient")
ONE_MORE = where(["zero variance"], "one parameter more")
UNIT = where(["equal weights"], "a variance per row of weight 1 is four times as large")
for name, engines in (("params", BOTH), ("fixef", BOTH), ("bse", BOTH), ("tvalues", LMER),
                      ("pvalues", LMER)):  # fmt: skip
    row(name, lambda f, name=name: attribute(f, name), question="estimates", empty=NONE,
        engines=engines, r="fixef" if name == "fixef" else "")  # fmt: skip
row("engine", lambda f: pd.Series({"ML": f.engine == "ML"}), question="estimates", engines=BOTH)
for name in ("nobs", "ngrps"):
    row(name, lambda f, name=name: attribute(f, name), question="estimates", engines=BOTH, r=name)
for name, spelling in {
    "criterion": "", "reml_criterion": "REMLcrit", "deviance": "deviance", "llf": "logLik",
    "aic": "AIC", "bic": "BIC", "df_resid": "df_residual", "npar": "", "converged": "",
    "REML": "isREML",
}.items():  # fmt: skip
    alone = ONE_MORE if name in ("aic", "bic", "df_resid", "npar") else {}
    row(name, lambda f, name=name: attribute(f, name), question="estimates", r=spelling,
        alone=alone)  # fmt: skip
row("sigma", lambda f: attribute(f, "sigma"), question="estimates", engines=BOTH, r="sigma",
    sigma=("sigma",))  # fmt: skip
row("cov_params", lambda f: f.cov_params(), question="estimates", engines=BOTH, r="vcov",
    empty=NONE)  # fmt: skip
ONE_FACTOR = ("no variance", "degenerate slopes", "autoregressive", "symmetric, three",
              "no fixed effects")  # fmt: skip
row("cov_params CR2", lambda f: f.cov_params("CR2"), question="estimates", refused=where(
    [name for name in EVERYWHERE if name not in ONE_FACTOR],
    "OptionError: no grouping factor holds all others") | where(
    ["no fixed effects"], "OptionError: no fixed effects"))  # fmt: skip
row("varcorr", lambda f: by(f.varcorr().to_frame(), "group", "var1", "var2")["estimate"],
    "varcorr VarCorr.to_frame BayesVarCorr.to_frame", question="estimates", engines=BOTH,
    r="VarCorr", sigma=("Residual|None|None",))  # fmt: skip
row("varcorr sigma", lambda f: attribute(f.varcorr(), "sigma"), "BayesVarCorr.sigma",
    question="estimates", engines=BOTH, sigma=("sigma",))  # fmt: skip
row("ranef", lambda f: by(f.ranef(), "group", "term", "level"), question="estimates",
    engines=BOTH, r="ranef")  # fmt: skip
row("coef", lambda f: pd.concat(f.coef()), question="estimates", engines=BOTH, r="coef",
    sparse=True)  # fmt: skip
row("elimination", lambda f: f.elimination().to_frame()["levels"],
    "elimination Elimination.to_frame", question="estimates")  # fmt: skip
row("theta", lambda f: pd.Series(f.theta * f.sigma, f.theta_names), "theta theta_names",
    question="estimates",
    alone=where(["compound symmetry"], "its parameters are others"))  # fmt: skip
row("getME", lambda f: pd.Series(lme4.getME(f, "beta")), "model_matrix", question="estimates",
    r="getME", empty=NONE)  # fmt: skip

# what there is to say of residuals that differ or correlate: `fits/test_verbs_of_residuals.py`
PLAIN_RESIDUALS = "ResidualStructureError: residuals of this fit"
row("dispersion", lambda f: f.dispersion, question="estimates",
    refused=where(EVERYWHERE, PLAIN_RESIDUALS))  # fmt: skip
row("residual_cov", lambda f: f.residual_cov(), question="estimates",
    refused=where(EVERYWHERE, PLAIN_RESIDUALS))  # fmt: skip
row("autocorrelation", lambda f: f.autocorrelation(), question="rows",
    alone=where(["permuted"], "rows of a group in the order of the data"))  # fmt: skip


def compared(fit: nm.LmerFit) -> Any:
    return nm.compare_residuals(fit, ["ar1", "cs"])


row("compare_residuals", compared, "nm.compare_residuals", question="estimates",
    refused=where(EVERYWHERE, "ResidualStructureError: needs a time and a block"))  # fmt: skip

# --- rows ---------------------------------------------------------------------------------------


def offset_of(fit: Any, index: pd.Index) -> np.ndarray:
    return rows().off.loc[index].to_numpy()


NO_ARRAY = where(["offset array"], "DataError: .*give offset=")
NEW_ROWS = {"moved": offset_of, "refused": NO_ARRAY, "question": "rows"}
MOVED = {"moved": offset_of, "question": "rows"}
row("predict", lambda f: f.predict(), r="predict", **MOVED)
row("predict se", lambda f: f.predict(se_fit=True).estimate, **MOVED)
row("predict partial", lambda f: f.predict(re_form="~ (1 | f1)"), refused=where(
    ["degenerate slopes", "autoregressive", "symmetric, three", "no intercept"],
    "OptionError: re_form has .*which"), **MOVED)  # fmt: skip
row("predict population", lambda f: f.predict(re_form=False), **MOVED)
row("predict new", lambda f: f.predict(new_rows(), **NEW), **NEW_ROWS)
row("predict new sample", lambda f: f.predict(new_rows(), new_levels="sample", seed=1), **NEW_ROWS)
row("predict new lower", lambda f: f.predict(new_rows(), interval="prediction", **NEW).conf_low,
    **NEW_ROWS | {"refused": NO_ARRAY | where(["weights array"], "DataError: give weights=")},
)  # fmt: skip
row("fittedvalues", lambda f: f.fittedvalues, engines=BOTH, r="fitted", **MOVED)
for case, call in {
    "predict random only": lambda f: f.predict(random_only=True, se_fit=True),
    "predict new random only": lambda f: f.predict(new_rows(), random_only=True, **NEW),
    "predict se alone": lambda f: f.predict(interval="confidence").std_error,
    "residuals working": lambda f: f.residuals("working"),
    "residuals marginal": lambda f: f.residuals(which="marginal"),
    "residuals scaled": lambda f: f.residuals("pearson", scaled=True),
    "residuals standardized": lambda f: f.residuals("deviance", standardized=True),
    "residuals marginal standardized": lambda f: f.residuals(which="marginal", standardized=True),
    "rstudent external": lambda f: f.rstudent(external=True),
}.items():
    row(case, call, question="rows")
row("resid", lambda f: f.resid, question="rows", engines=BOTH, r="residuals")
for case in ("hatvalues", "rstudent", "dfbeta", "dfbetas"):
    row(case, lambda f, case=case: getattr(f, case)(), question="rows", r=case)
NO_DISTANCE = where(["no fixed effects"], "a distance in no dimension")
row("cooks_distance", lambda f: f.cooks_distance(), question="rows", r="cooks_distance",
    unknown=NO_DISTANCE)  # fmt: skip
row("model_matrix", lambda f: f.model_matrix(), question="rows", r="model_matrix")
row("influence cases held", lambda f: f.influence(refit="none").cooks_distance(),
    "influence Influence.cooks_distance", question="rows", unknown=NO_DISTANCE)  # fmt: skip
row("influence held", lambda f: f.influence("f1", refit="none").dfbetas(),
    "influence Influence.dfbetas", question="rows")  # fmt: skip
row("influence one step", lambda f: f.influence("c1", refit="one-step").dfbeta(),
    "influence Influence.dfbeta", question="rows", close=1e-4, alone=where(
        ["zero variance"], "without a group it need not be zero") | where(
        ["compound symmetry"], "a step in other parameters"))  # fmt: skip
COEFFICIENTS = r"^(\(Intercept\)|x|a[pqr])$"
row("influence full", lambda f: f.influence("c1").to_frame().filter(regex=COEFFICIENTS),
    "influence Influence.to_frame", question="rows", r="influence", close=1e-5,
    alone=where(["zero variance"], "without a group it need not be zero"))  # fmt: skip

# --- intervals ----------------------------------------------------------------------------------
PENALISED = where(["penalised"], "OptionError: penalised")
INTERVALS: dict[str, Any] = {"question": "intervals", "sigma": ("sigma",), "close": 2e-5}
AT_BOUND = where(["degenerate slopes", "no variance", "symmetric, three", "crossed", "two levels"],
                 "a variance at its bound has no standard error")  # fmt: skip
row("conf_int", lambda f: f.conf_int(), r="confint", only=PROFILED, refused=PENALISED, **INTERVALS)
row("conf_int 0.8", lambda f: f.conf_int(level=0.8), only=PROFILED, refused=PENALISED, **INTERVALS)
row("conf_int wald", lambda f: f.conf_int(method="wald"), unknown=AT_BOUND, **INTERVALS)
row("conf_int boot", lambda f: f.conf_int(method="boot", nsim=8, **QUIET), only=PROFILED,
    alone=where(["zero variance"], "refits estimate the variance that is zero") | where(
        ["permuted"], "other responses are drawn") | where(
        ["compound symmetry"], "one parameter is another"), **INTERVALS)  # fmt: skip
row("profile", lambda f: f.profile().conf_int(0.99), "profile Profile.conf_int", r="profile",
    only=PROFILED, refused=PENALISED, **INTERVALS)  # fmt: skip
row("variance_parameters", lambda f: f.variance_parameters()[["estimate", "std_error"]],
    unknown=AT_BOUND, **INTERVALS)  # fmt: skip

# --- simulation ---------------------------------------------------------------------------------


def boot(fit: Any, **options: Any) -> pd.DataFrame:
    """Replicates, without sigma (in the unit of the weights) and rho (unknown at variance 0)."""
    return fit.bootstrap(4, **options, **QUIET).t.filter(regex="^(?!sigma|rho)")


def without(fit: nm.LmerFit, change: str) -> nm.LmerFit:
    return fit.model.update(f". ~ . {change}").fit(REML=fit.REML)


def last(fit: nm.LmerFit, change: str, **options: Any) -> pd.Series:
    table = nm.anova(without(fit, change), fit, **options).table
    return table.iloc[1, [5, 6, 7, 8]].astype(float)


def drawn(fit: nm.LmerFit, **options: Any) -> pd.DataFrame:
    return fit.simulate(3, seed=1, **options)


def extended(fit: nm.LmerFit) -> nm.Scenario:
    return fit.extend(along="f1", n=40)


def offset_of_extended(fit: nm.LmerFit, index: pd.Index) -> np.ndarray:
    return extended(fit).model.data.off.loc[index].to_numpy()


def powers(source: Any, effect: str, nsim: int = 3, **options: Any) -> pd.Series:
    return source.power(effect, nsim=nsim, **options, **QUIET).pvalues


SIMULATED: dict[str, Any] = {"question": "simulation", "only": REFITTED, "close": 1e-5}
# refits of simulated responses estimate the variance that is zero in the fit
ZERO = where(["zero variance"], "refits estimate the variance that is zero")
NEW_DESIGN = where(["offset array"], "DataError: array")
OTHER_TERMS = ("autoregressive", "symmetric, three", "no fixed effects")  # without (1 | c1)
NO_C1 = where(OTHER_TERMS, "OptionError: does not have|has no effect")
NO_EFFECT = where(["no fixed effects"], "OptionError: has no effect 'x'")
NO_LRT = where(["penalised"], "ModelComparisonError: without a penalty")
NOTHING_LESS = where(OTHER_TERMS, "the model without (1 | c1) is the model")
row("simulate", drawn, r="simulate", moved=offset_of, **SIMULATED)
row("simulate conditional", lambda f: drawn(f, use_u=True), moved=offset_of, **SIMULATED)
row("simulate partial", lambda f: drawn(f, re_form="~ (1 | c1)"), moved=offset_of, refused=NO_C1,
    **SIMULATED)  # fmt: skip
row("simulate new", lambda f: drawn(f, newdata=new_rows()), moved=offset_of, refused=NEW_DESIGN,
    **SIMULATED)  # fmt: skip
row("extend", lambda f: extended(f).simulate(2, seed=1), "extend Scenario.simulate",
    moved=offset_of_extended, refused=NEW_DESIGN, **SIMULATED)  # fmt: skip
row("extend power", lambda f: powers(f.extend(along="c1", n=4), "x", effect_size=0.1),
    "extend Scenario.power", refused=NEW_DESIGN | NO_EFFECT, alone=ZERO, **SIMULATED)  # fmt: skip
for case, call in {
    "bootstrap": boot,
    "bootstrap conditional": lambda f: boot(f, use_u=True),
    "bootstrap semiparametric": lambda f: boot(f, use_u=True, type="semiparametric"),
    "bootstrap residual": lambda f: boot(f, type="residual"),
    "bootstrap fun": lambda f: f.bootstrap(3, lambda m: m.bse, **QUIET).t,
}.items():
    row(case, call, question="simulation", only=REFITTED, close=1e-5, alone=ZERO,
        r="bootMer" if case == "bootstrap" else "")  # fmt: skip
row("bootstrap cases", lambda f: boot(f, type="cases", by="f1"), alone=ZERO, **SIMULATED)
row("bootstrap bca", lambda f: f.bootstrap(10, lambda m: m.params, **QUIET).conf_int(
    "bca", by=f.ngrps.index[-1]), "bootstrap Bootstrap.conf_int", alone=ZERO, empty=NONE,
    **SIMULATED | {"close": 1e-4})  # fmt: skip
for test in ("lrt", "z", SATTERTHWAITE):
    row(f"power {test}", lambda f, test=test: powers(f, "x", effect_size=0.2, test=test),
        "power nm.power Power.pvalues", alone=ZERO, refused=NO_EFFECT, **SIMULATED)  # fmt: skip
row("planned_power", lambda f: nm.planned_power(f, "x", effect_size=0.2).to_frame(),
    "nm.planned_power PlannedPower.to_frame Scenario.planned_power",
    refused=NO_EFFECT | where(["ML", "no fixed effects"], "OptionError: REML's tests"),
    alone=where(["zero variance"], "what estimating the variance adds"), **SIMULATED)  # fmt: skip
row("power random", lambda f: powers(f, "(1 | c1)"), alone=ZERO, refused=NO_C1, **SIMULATED)
row("anova boundary", lambda f: last(f, "- (1 | c1)", test="boundary"), "nm.anova", alone=ZERO,
    refused=NO_LRT, unknown=NOTHING_LESS, **SIMULATED | {"close": 1e-4})  # fmt: skip
row("anova bootstrap", lambda f: last(f, "- (1 | c1)", test="bootstrap", nsim=5, **QUIET),
    "nm.anova", alone=ZERO, refused=NO_LRT, unknown=NOTHING_LESS,
    **SIMULATED | {"close": 1e-4})  # fmt: skip
row("rlrt error", lambda f: attribute(nm.rlrt(f, nsim=200, seed=1), "mc_error"), "Rlrt.mc_error",
    question="simulation", only=("no fixed effects",))  # fmt: skip
row("rlrt", lambda f: pd.Series(nm.rlrt(without(f, "- (1 | c1)"), f, nsim=200, seed=1).draws),
    "nm.rlrt", refused=where(OTHER_TERMS, "differ in 0 variance") | where(
        ["penalised"], "ModelComparisonError: without penalty"), **SIMULATED)  # fmt: skip

# --- summaries ----------------------------------------------------------------------------------
TIDY = ("effect", "group", "term")
VALUES = (*TIDY, "level")
SUMMARY: dict[str, Any] = {"question": "summaries", "sparse": True}
ALL = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
NO_KR = {
    "ML": "OptionError: for REML fits",
    "penalised": "OptionError: without a penalty",
    "no fixed effects": "OptionError: no fixed effects",
}
KR_ZERO = where(["zero variance"], "the adjustment counts a variance that is zero")
RESIDUAL = ("ran_pars|Residual|sigma",)
row("tidy", lambda f: by(f.tidy(), *TIDY), sigma=RESIDUAL, **SUMMARY)
row("tidy everything", lambda f: by(f.tidy(ALL, conf_int=True), *VALUES), alone=UNIT, **SUMMARY)
row("tidy kenward-roger", lambda f: by(f.tidy("fixed", ddf=KR), *TIDY), refused=NO_KR,
    alone=KR_ZERO, **SUMMARY)  # fmt: skip
row("tidy none", lambda f: by(f.tidy("fixed", ddf="none", conf_int=True), *TIDY), empty=NONE,
    **SUMMARY)  # fmt: skip
row("tidy vcov", lambda f: by(f.tidy("ran_pars", scales="vcov"), *TIDY), alone=UNIT, **SUMMARY)
row("tidy profile", lambda f: by(f.tidy("ran_pars", conf_int=True, conf_method="profile"), *TIDY),
    only=PROFILED, refused=PENALISED, sigma=RESIDUAL,
    **SUMMARY | {"close": 2e-5})  # fmt: skip
row("tidy boot", lambda f: by(f.tidy(conf_int=True, conf_method="boot", nsim=5, seed=1), *TIDY),
    only=REFITTED, alone=ZERO, sigma=RESIDUAL, **SUMMARY | {"close": 1e-5})  # fmt: skip
row("glance", lambda f: f.glance(), sigma=("sigma",), alone=ONE_MORE, **SUMMARY)
row("augment", lambda f: f.augment().filter(regex="^(resid|hat|cooks_distance)$"), **SUMMARY)


def recomputed(checked: pd.DataFrame) -> pd.Series:
    """Estimates that were found again; the levels' order is random, and so is the rounding."""
    return checked["estimate"].where(checked["difference"].abs() < 1e-6)


NOT_LME4S = where(["compound symmetry", "diagonal", "autoregressive", "symmetric, three"],
                  "OptionError: no structure like that") | where(
    ["penalised"], "OptionError: knows no penalties") | where(
    ["weights array", "offset array"], "OptionError: came as an array") | where(
    ["contrasts"], "OptionError: not translated")  # fmt: skip
row("r_code", lambda f: pd.Series([float(f.r_code().rsplit(" ", 1)[1])]), question="summaries",
    refused=NOT_LME4S)  # fmt: skip
row("capsule", lambda f: recomputed(f.capsule().verify()), "capsule Capsule.verify",
    question="summaries", sigma=("sigma",), refused=where(
        ["penalised"], "OptionError: without a penalty") | where(
        ["weights array", "offset array"], "DataError: must be the name of a column"))  # fmt: skip
row("report", lambda f: f.report().to_frame().select_dtypes("number"), "report Report.to_frame",
    question="summaries", engines=BOTH, empty=NONE)  # fmt: skip
row("report text", lambda f: pd.Series([f.report().to_markdown() > f.report().to_latex()]),
    "Report.to_markdown Report.to_latex", question="summaries", engines=BOTH)  # fmt: skip
row("summary", lambda f: f.summary(), question="summaries", engines=BOTH, r="summary")
NO_SHARE = where(["two levels", "no variance"], "a share of a variance that is zero")
SHARES: dict[str, Any] = {"question": "summaries"}
row("icc", lambda f: f.icc(), engines=BOTH, alone=UNIT, **SHARES)
row("icc by group", lambda f: f.icc(by_group=True), alone=UNIT, **SHARES)
row("icc interval", lambda f: f.icc(level=0.9, nsim=5, seed=1), only=REFITTED, alone=UNIT | ZERO,
    **SHARES | {"close": 1e-5})  # fmt: skip
row("r2", lambda f: f.r2(), engines=BOTH, alone=UNIT, **SHARES)
row("r2 by group", lambda f: f.r2(by_group=True), alone=UNIT, unknown=NO_SHARE,
    **SHARES)  # fmt: skip
row("partial_r2", lambda f: f.partial_r2(ddf=SATTERTHWAITE).loc[["a"]], refused=where(
    ["no fixed effects"], "OptionError: no fixed effects"), **SHARES)  # fmt: skip
row("variance_partition", lambda f: f.variance_partition().to_frame(),
    "variance_partition VariancePartition.to_frame", alone=UNIT,
    **SHARES | {"sparse": True})  # fmt: skip

# what there is to say of curves: `fits/test_smooths.py`
row("smooths", lambda f: f.smooths().to_frame(), "smooths Smooths.to_frame", question="estimates",
    refused=where(EVERYWHERE, "OptionError: no smooth terms"))  # fmt: skip

# --- means --------------------------------------------------------------------------------------
OFFSETS = where(["offset column", "offset formula", "offset array"], "the offset is in the mean")
NO_MEAN = where(["no fixed effects"], "OptionError: no fixed effects")
SAME_SLOPES = where(["rank deficient"], "the slopes of x and of x2 cannot be told apart")
OF_SLOPES = ("emtrends", "interaction contrasts", "joint_tests")
for case, covers, call in (
    ("emmeans", "nm.emmeans Emmeans.to_frame", lambda f: nm.emmeans(f, "a").to_frame()),
    ("emmeans 1", "nm.emmeans", lambda f: nm.emmeans(f, "1").to_frame()),
    ("emmeans print", "nm.emmeans", lambda f: str(nm.emmeans(f, "a", by="x"))),
    ("pairs", "Emmeans.pairs", lambda f: nm.emmeans(f, "a").pairs().to_frame()),
    ("contrast", "Emmeans.contrast", lambda f: nm.emmeans(f, "a").contrast("eff").to_frame()),
    ("means test", "Emmeans.test", lambda f: nm.emmeans(f, "a").test(adjust="holm").to_frame()),
    ("means other null", "Emmeans.test",
     lambda f: f.emmeans("a").pairs().test(null=0.1, side=">", adjust="none").to_frame()
     .drop(columns="conf_high")),
    ("means jointly", "Emmeans.joint_test JointTests.to_frame",
     lambda f: f.emmeans("a").pairs().joint_test().to_frame().drop(columns="note")),
    ("joint_tests", "nm.joint_tests joint_tests",
     lambda f: nm.joint_tests(f).to_frame().drop(columns="note").set_index("term")),
    ("means interval", "Emmeans.conf_int", lambda f: nm.emmeans(f, "a").conf_int(0.9).to_frame()),
    ("means vcov", "Emmeans.vcov", lambda f: pd.DataFrame(nm.emmeans(f, "a").vcov())),
    ("emtrends", "nm.emtrends emtrends", lambda f: f.emtrends("a", var="x").to_frame()),
    ("means letters", "Emmeans.cld emmeans LetterDisplay.to_frame",
     lambda f: f.emmeans("a").cld().to_frame().drop(columns="letters")),
    ("effect sizes", "Emmeans.eff_size EffectSizes.to_frame",
     lambda f: f.emmeans("a").pairs(adjust="none").eff_size(2.0).to_frame()),
    ("interaction contrasts", "Emmeans.contrast",
     lambda f: f.emmeans(["a", "x"], at={"x": [0, 1]}).contrast(interaction="eff").to_frame()),
):  # fmt: skip
    mean = case in ("emmeans", "emmeans 1", "emmeans print", "means test", "means interval",
                    "means letters")  # fmt: skip
    row(case, call, covers, question="means", refused=NO_MEAN,
        only=REFITTED if "pairs" in covers else EVERYWHERE,
        alone=KR_ZERO | (OFFSETS if mean else {}) | (SAME_SLOPES if case in OF_SLOPES else {}),
        unknown=SAME_SLOPES if case in OF_SLOPES[:2] else {})  # fmt: skip

# --- tests --------------------------------------------------------------------------------------
SQUARES = where(["equal weights"], "sums of squares are in the unit of the weights")
ONE_COLUMN = where(["rank deficient"], "x and x2 are one column: leaving out either is nothing")
TESTS: dict[str, Any] = {"question": "tests", "empty": NONE}
for ddf in (SATTERTHWAITE, "residual", "none"):
    row(f"summary {ddf}", lambda f, ddf=ddf: f.summary(ddf).tables.get("coefficients"), **TESTS)
row("summary kenward-roger", lambda f: f.summary(KR).tables.get("coefficients"), alone=KR_ZERO,
    refused={k: v for k, v in NO_KR.items() if k != "no fixed effects"}, **TESTS)  # fmt: skip
for kind in ("I", "II", "III"):
    row(f"anova {kind}", lambda f, kind=kind: f.anova(type=kind).table, r="anova",
        unknown=ONE_COLUMN, alone=SQUARES | ONE_COLUMN, **TESTS)  # fmt: skip
row("anova kenward-roger", lambda f: f.anova(ddf=KR).table, refused=NO_KR, unknown=ONE_COLUMN,
    alone=SQUARES | ONE_COLUMN | KR_ZERO, **TESTS | {"empty": {}})  # fmt: skip
row("anova none", lambda f: f.anova(ddf="none").table, alone=SQUARES | ONE_COLUMN, **TESTS)
NO_COEFFICIENT = where(["no fixed effects"], "OptionError: no coefficient")
row("contest", lambda f: f.contest(["x = 1", "x = 1"]).table, r="contest", question="tests",
    refused=NO_COEFFICIENT, alone=SQUARES)  # fmt: skip
row("contest rows", lambda f: f.contest("x = 1", joint=False, ddf="none").table, question="tests",
    refused=NO_COEFFICIENT)  # fmt: skip
row("fragility", lambda f: f.fragility("x", by="f1", ddf="none").without["estimate"],
    "fragility Fragility.to_frame Fragility.sentence Fragility.n_groups", question="tests",
    only=REFITTED, refused=NO_COEFFICIENT, close=1e-5)  # fmt: skip
row("vcovAdj", lambda f: lme4.vcovAdj(f), "", r="vcovAdj", question="tests", refused=NO_KR,
    alone=KR_ZERO)  # fmt: skip
for case, call in {
    "ranova": lambda f: f.ranova().table.iloc[1:],
    "ranova whole": lambda f: f.ranova(reduce_terms=False).table.iloc[1:],
    "step": lambda f: f.step().random.iloc[1:],
}.items():
    row(case, call, question="tests", alone=ONE_MORE, close=1e-5,
        unknown={} if "whole" in case else where(
            ["diagonal"], "one variance with or without x: nothing is tested"),
        r={"ranova": "ranova", "step": "step get_model"}.get(case, ""))  # fmt: skip
row("drop1", lambda f: f.drop1().table, r="drop1", unknown=ONE_COLUMN, alone=SQUARES | ONE_COLUMN,
    **TESTS)  # fmt: skip
row("drop1 Chisq", lambda f: f.drop1(test="Chisq").table.iloc[1:], unknown=ONE_COLUMN,
    alone=ONE_COLUMN | ONE_MORE, **TESTS | {"close": 1e-5})  # fmt: skip

# --- singular fits, other fits ------------------------------------------------------------------


def simplified(path: Any) -> pd.Series:
    assert len(path.formulas) == len(path.names) == len(path.fits)
    return pd.Series({"npar": path.final.npar, "singular": path.final.is_singular()})


FITS: dict[str, Any] = {"question": "other fits", "close": 1e-5, "empty": NONE}
SINGULAR = where(["zero variance"], "the twin is not singular")

row("is_singular", lambda f: pd.Series([f.is_singular()]), r="isSingular", question="singularity",
    alone=SINGULAR)  # fmt: skip
row("check", lambda f: f.check(nsim=9).to_frame().query(
    "check == 'outliers' and term.isna()")["value"], "check Check.to_frame", engines=BOTH,
    question="checks")  # fmt: skip
row("diagnose", lambda f: f.diagnose(), "diagnose Diagnosis.table", question="singularity",
    engines=BOTH, alone=SINGULAR, sparse=True)  # fmt: skip
row("diagnose next", lambda f: pd.Series([f.diagnose().singular, bool(f.diagnose().next)]),
    "Diagnosis.singular Diagnosis.next", question="singularity", alone=SINGULAR)  # fmt: skip
row("simplify final", lambda f: simplified(f.simplify()), "Path.final Path.formulas Path.names",
    question="singularity", alone=SINGULAR | ONE_MORE)  # fmt: skip
row("simplify", lambda f: f.simplify().table, "simplify Path.table", question="singularity",
    alone=SINGULAR, sparse=True)  # fmt: skip
row("repca", lambda f: by(f.repca().to_frame(), "group", "component"), "repca RePCA.to_frame",
    question="singularity", r="rePCA", alone=UNIT,
    unknown=NO_SHARE)  # fmt: skip
row("refitted", lambda f: f.refitted(f.design).params, **FITS)
row("refit", lambda f: f.refit(f.design.y + 1.0).params, r="refit", **FITS)
row("refit_many", lambda f: pd.DataFrame(f.refit_many(
    np.column_stack([f.design.y, f.design.y + 1.0])).beta), refused=where(
    ["penalised"], "OptionError: knows no penalties"),
    **FITS | {"empty": {}})  # fmt: skip
row("refit_many tests", lambda f: by(f.refit_many(
    np.column_stack([f.design.y, f.design.y + 1.0])).tidy(), "response", "term"), "refit_many",
    refused=where(["penalised"], "OptionError: knows no penalties"), **FITS)  # fmt: skip
row("polish", lambda f: f.polish().params, **FITS)
row("standardized", lambda f: f.standardized().params, refused=where(
    ["pickled", "offset column", "offset formula", "offset array"], "Error: offset")
    | where(["weights array"], "DataError: array"), **FITS)  # fmt: skip
row("refit_ml", lambda f: f.refit_ml().params, r="refitML", **FITS)
NO_FACTOR = where(["contrasts"], "OptionError: contrasts for 'a'")  # of the term that goes
row("update", lambda f: f.update(". ~ . - a").params, r="update", refused=NO_FACTOR, **FITS)
row("Model.update", lambda f: f.model.update(". ~ . - a").fit().params, "Model.update Model.fit",
    refused=NO_FACTOR, **FITS)  # fmt: skip
ROWS_OF_FIRST = where(["weights array", "offset array"], "DataError: came as an array")
row("Model.reduced", lambda f: f.model.reduced(
    f"{f.formula.split(' ~ ')[0]} ~ 1 + (1 | {f.design.factors[0].name})").fit(f.REML).params,
    alone=where(["missing rows"], "rows without x count again") | where(
        ["offset formula"], "the offset was a term"),
    **FITS | {"empty": {}})  # fmt: skip
row("Model.with_formula", lambda f: f.model.with_formula(f.formula).fit(REML=f.REML).params, **FITS)
row("Model.with_data", lambda f: f.model.with_data(f.model.data).fit(REML=f.REML).params,
    refused=ROWS_OF_FIRST, **FITS)  # fmt: skip
row("Model.data", lambda f: pd.Series({"rows": len(pd.DataFrame(f.model.data))}), alone=where(
    ["missing rows"], "the twin has none"), **FITS | {"empty": {}})  # fmt: skip
row("Model.weights_column", lambda f: pd.Series([f.model.weights_column == "four"]),
    question="other fits", alone=where(["equal weights"], "the twin has none"))  # fmt: skip


def pooled(fit: Any) -> nm.PooledFit:
    return nm.pool([fit, fit])


POOLED: dict[str, Any] = {"question": "other fits"}
for name in ("params", "fixef", "bse"):
    row(f"pooled {name}", lambda f, name=name: attribute(pooled(f), name),
        f"nm.pool PooledFit.{name}", empty=NONE, **POOLED)  # fmt: skip
row("pooled sigma", lambda f: attribute(pooled(f), "sigma"), "PooledFit.sigma", sigma=("sigma",),
    **POOLED)  # fmt: skip
row("pooled varcorr",
    lambda f: by(pooled(f).varcorr().to_frame(), "group", "var1", "var2")["estimate"],
    "PooledFit.varcorr", sigma=("Residual|None|None",), **POOLED)  # fmt: skip
row("pooled r2", lambda f: pooled(f).r2(), "PooledFit.r2", alone=UNIT, **POOLED)
row("pooled cov_params", lambda f: pooled(f).cov_params(), "PooledFit.cov_params", empty=NONE,
    **POOLED)  # fmt: skip
row("pooled tidy", lambda f: pooled(f).tidy().set_index("term").select_dtypes("number"),
    "PooledFit.tidy", empty=NONE, **POOLED)  # fmt: skip
row("pooled summary", lambda f: pooled(f).summary().tables.get("coefficients"),
    "PooledFit.summary", empty=NONE,
    **POOLED)  # fmt: skip
row("pooled anova", lambda f: pooled(f).anova().table, "PooledFit.anova", empty=NONE,
    unknown=ONE_COLUMN, alone=SQUARES | ONE_COLUMN, **POOLED)  # fmt: skip
row("pooled contest", lambda f: pooled(f).contest("x = 1").table, "PooledFit.contest",
    refused=NO_COEFFICIENT, alone=SQUARES, **POOLED)  # fmt: skip
row("pooled predict", lambda f: pooled(f).predict(interval="confidence").estimate,
    "PooledFit.predict", moved=offset_of, **POOLED)  # fmt: skip
row("etable", lambda f: f"{nm.etable(f, spread='ci')} {nm.etable(f).rows()}",
    "nm.etable ModelTable.rows", question="summaries", engines=BOTH)  # fmt: skip
row("maketables", lambda f: f.__maketables_coef_table__, "", question="summaries", empty=NONE)

# --- posteriors ---------------------------------------------------------------------------------
DRAWS: dict[str, Any] = {"question": "posterior", "engines": BAYES}
row("parameters", lambda f: f.parameters().select_dtypes("number"), **DRAWS)
row("diagnose ok", lambda f: attribute(f.diagnose(), "ok"), "BayesDiagnosis.ok", **DRAWS)
row("divergences", lambda f: attribute(f, "divergences"), **DRAWS)
row("draws", lambda f: pd.Series({"chains": f.n_chains, "draws": f.n_draws}), "n_chains n_draws",
    **DRAWS)  # fmt: skip
row("hypothesis", lambda f: f.hypothesis("x > 0"), refused=where(
    ["no fixed effects"], "FormulaError: no parameter 'x'"), **DRAWS)  # fmt: skip
row("posterior predict", lambda f: f.predict(), "predict", **DRAWS)
row("posterior simulate", lambda f: f.simulate(2, seed=1), "simulate", **DRAWS)
row("with_posterior_predictive", lambda f: pd.Series(next(iter(f.with_posterior_predictive(
    seed=1).data["posterior_predictive"].data_vars.values())).values.ravel()),
    **DRAWS)  # fmt: skip
row("with_prior", lambda f: pd.Series({name: float(values.mean()) for name, values in
    f.with_prior(draws=5, seed=1).data["log_prior"].data_vars.items()}), **DRAWS)  # fmt: skip
row("with_log_likelihood", lambda f: pd.Series(next(iter(f.with_log_likelihood()
    .data["log_likelihood"].data_vars.values())).values.ravel()), **DRAWS)  # fmt: skip
row("posterior contest", lambda f: f.contest("x = 1").to_frame().select_dtypes("number"),
    "contest Emmeans.draws", refused=NO_COEFFICIENT, **DRAWS)  # fmt: skip
row("posterior means", lambda f: f.emmeans("1").to_frame().select_dtypes("number"),
    "nm.emmeans emmeans", refused=where(["no fixed effects"], "OptionError: no fixed effects"),
    **DRAWS)  # fmt: skip
row("posterior slopes", lambda f: f.emtrends("1", var="x").eff_size(method="identity").to_frame()
    .select_dtypes("number"), "emtrends Emmeans.eff_size",
    refused=where(["no fixed effects"], "OptionError: no fixed effects"),
    unknown=SAME_SLOPES, **DRAWS)  # fmt: skip
row("log_evidence", lambda f: pd.Series([f.log_evidence(draws=2000, seed=1).log]),
    only=("plain",), close=1e-2, **DRAWS)  # fmt: skip
row("posterior loo", lambda f: pd.Series(f.loo(max_draws=20).elpd), "loo", **DRAWS)
row("sensitivity", lambda f: f.sensitivity(), only=("plain",), **DRAWS)
row("kfold", lambda f: pd.Series([f.kfold(2, draws=1000, **QUIET).n_folds]), only=("plain",),
    **DRAWS)  # fmt: skip
row("group loo", lambda f: pd.Series(
    [f.loo(refit="none", progress=False).elpd, f.loo(refit="none", progress=False).rmse,
     f.loo(refit="none", progress=False).se]),
    "loo GroupLoo.elpd GroupLoo.rmse GroupLoo.se", question="rows", refused=where(
        [name for name in EVERYWHERE if name not in ONE_FACTOR],
        "OptionError: all others are nested"), only=(*ONE_FACTOR, "plain"))  # fmt: skip
row("group loo table", lambda f: f.loo(refit="none", progress=False).to_frame(),
    "loo GroupLoo.to_frame", question="rows", only=ONE_FACTOR)  # fmt: skip

# --- pictures -----------------------------------------------------------------------------------
NO_PREDICTOR = where(["no fixed effects"], "OptionError: no predictor")
NOT_DRAWN = {
    "spaghetti": NO_PREDICTOR, "trellis": NO_PREDICTOR, "effect of a number": NO_PREDICTOR,
    "effect of a factor": NO_PREDICTOR,
    "likelihood_surface": where(["no fixed effects"], "OptionError: two standard deviations"),
}  # fmt: skip
for case, names, engines, call in (
    ("diagnostics", "diagnostics residuals qq_residuals scale_location", BOTH,
     lambda p: p.diagnostics()),
    ("check", "check", BOTH, lambda p: p.check(nsim=3)),
    ("caterpillar", "caterpillar", BOTH, lambda p: p.caterpillar()),
    ("qq_random_effects", "qq_random_effects", LMER, lambda p: p.qq_random_effects()),
    ("shrinkage", "shrinkage", BOTH, lambda p: p.shrinkage()),
    ("spaghetti", "spaghetti", BOTH, lambda p: p.spaghetti()),
    ("trellis", "trellis", BOTH, lambda p: p.trellis(levels=[0, 1, 2])),
    ("forest", "forest", BOTH, lambda p: p.forest(random=True)),
    ("effect of a number", "effect", BOTH, lambda p: p.effect("x", by="a", data=rows())),
    ("effect of a factor", "effect", BOTH, lambda p: p.effect("a", by="x", data=rows())),
    ("acf", "acf", LMER, lambda p: p.acf()),
    ("variance partition", "variance_partition", BOTH, lambda p: p.variance_partition()),
    ("singularity", "singularity", BOTH, lambda p: p.singularity()),
    ("likelihood_surface", "likelihood_surface", LMER, lambda p: p.likelihood_surface(size=5)),
    ("leverage", "leverage", LMER, lambda p: p.leverage()),
    ("cook's distance", "cooks_distance", LMER, lambda p: p.cooks_distance()),
    ("posterior", "posterior", BAYES, lambda p: p.posterior()),
    ("ppc", "ppc", BOTH, lambda p: p.ppc(draws=3)),
    ("prior predictive", "ppc", BOTH, lambda p: p.ppc(kind="prior", draws=3)),
    ("prior_posterior", "prior_posterior", BAYES, lambda p: p.prior_posterior()),
    ("priors", "priors", BOTH, lambda p: p.priors()),
):  # fmt: skip
    drawn_by = " ".join(f"plots.{name} FitPlots.{name}" for name in names.split())
    row(f"plot {case}", lambda f, call=call: call(f.plot), f"plot {drawn_by}", engines=engines,
        question="pictures", only=DRAWN, refused=NOT_DRAWN.get(case, {}))  # fmt: skip

# --- generalized fits ---------------------------------------------------------------------------
# rows above that serve them as they are
for case in (
    "params", "fixef", "bse", "pvalues", "engine", "nobs", "ngrps", "criterion", "llf", "aic",
    "bic", "deviance", "df_resid", "npar", "converged", "REML", "cov_params", "varcorr", "ranef",
    "coef", "getME", "predict", "predict se", "predict partial", "predict population",
    "predict new", "predict new sample", "fittedvalues", "predict random only",
    "residuals working", "residuals marginal", "residuals scaled", "resid", "model_matrix",
    "simulate", "simulate conditional", "simulate new", "bootstrap", "tidy",
    "tidy everything", "tidy vcov", "glance", "summary", "icc", "icc by group", "r2",
    "r2 by group", "variance_partition", "emmeans", "pairs", "contrast", "emtrends", "anova III",
    "means letters", "effect sizes", "interaction contrasts", "means other null", "means jointly",
    "joint_tests",
    "contest", "contest rows", "ranova", "ranova whole", "step", "drop1 Chisq", "is_singular",
    "diagnose", "simplify", "simplify final", "repca", "refitted", "update", "standardized",
    "etable", "maketables", "elimination", "profile", "smooths",
    "plot caterpillar", "plot qq_random_effects",
    "plot diagnostics", "plot check", "check", "report", "report text",
    "plot shrinkage", "plot forest", "plot variance partition", "plot singularity",
):  # fmt: skip
    VERBS[case] = replace(VERBS[case], engines=(*VERBS[case].engines, "glmer"))

OWN: dict[str, Any] = {"question": "generalized", "engines": GLMER}
row("zvalues", lambda f: attribute(f, "zvalues"), **OWN)
row("link", lambda f: pd.Series([f.link == "logit", f.nAGQ == 1, f.information == "auto"]),
    "link nAGQ information", **OWN)  # fmt: skip
row("generalized dispersion", lambda f: pd.Series([f.dispersion is None]), "dispersion", **OWN)
row("generalized theta", lambda f: pd.Series(f.theta, f.theta_names), "theta theta_names", **OWN)
row("cov_params conditional", lambda f: f.cov_params(method="conditional"), **OWN)
row("predict response", lambda f: f.predict(new_rows(), type="response", se_fit=True, **NEW),
    refused=NO_ARRAY, **OWN)  # fmt: skip
row("augment generalized", lambda f: f.augment().filter(regex="^(resid|pearson|mu)$"), **OWN)
row("residuals quantile", lambda f: f.residuals("quantile", seed=1), **OWN)
row("refit generalized", lambda f: f.refit(1.0 - f.design.y).params, **OWN)
row("generalized variance_parameters", lambda f: f.variance_parameters()["estimate"],
    "variance_parameters", **OWN)  # fmt: skip
row("regrid generalized", lambda f: f.emmeans("x").regrid().to_frame(), "Emmeans.regrid", **OWN)
row("conf_int generalized", lambda f: f.conf_int("beta_"), "conf_int", **OWN)
row("overdispersion", lambda f: f.overdispersion(), **OWN)
row("zero_inflation", lambda f: f.zero_inflation(nsim=9, seed=1), **OWN)
row("simulated_residuals", lambda f: f.simulated_residuals(nsim=9, seed=1), **OWN)
row("plot simulated_residuals", lambda f: f.plot.simulated_residuals(nsim=9),
    "plots.simulated_residuals FitPlots.simulated_residuals", question="pictures", engines=GLMER,
    only=DRAWN)  # fmt: skip
row("conf_int odds", lambda f: f.conf_int("beta_", exponentiate=True), **OWN)
row("tidy odds", lambda f: by(f.tidy("fixed", exponentiate=True), *TIDY), **OWN)
row("loo generalized", lambda f: f.loo(progress=False).to_frame()[["rows", "rmse"]], "loo",
    only=("plain", "offset array"), refused=where(["plain", "offset array"],
    "OptionError: all others are nested") , **OWN)  # fmt: skip
row("power generalized", lambda f: powers(f, "x", effect_size=0.2), "power nm.power",
    only=("plain", "offset array"), close=1e-3, **OWN)  # fmt: skip
row("extend generalized", lambda f: pd.Series([f.extend(along="c1", n=4).design.n]), "extend",
    only=("plain",), **OWN)  # fmt: skip
row("emmeans response", lambda f: nm.emmeans(f, "a", type="response").pairs().to_frame(), **OWN)

# --- fits without rows --------------------------------------------------------------------------
# all others give the number of the fit that has rows, to 1e-9 (`fits/test_verbs.py`)
for case in (
    "predict", "predict se", "predict se alone", "predict partial",
    "predict population", "predict random only", "predict new lower", "fittedvalues", "resid",
    "residuals working", "residuals marginal", "residuals scaled", "residuals standardized",
    "residuals marginal standardized", "rstudent external", "hatvalues", "rstudent", "dfbeta",
    "dfbetas", "cooks_distance", "model_matrix", "influence cases held", "influence held",
    "influence one step", "influence full", "simulate", "simulate conditional", "simulate partial",
    "simulate new", "extend", "extend power", "bootstrap semiparametric", "bootstrap residual",
    "bootstrap cases", "bootstrap bca", "augment", "fragility", "check",
    "refit", "refit_many", "refit_many tests", "standardized", "Model.with_data", "Model.data",
    "pooled predict", "plot diagnostics", "plot check", "plot shrinkage", "plot spaghetti",
    "plot trellis", "plot effect of a number", "plot effect of a factor", "plot leverage",
    "plot cook's distance", "plot ppc", "plot prior predictive", "autocorrelation", "plot acf",
):  # fmt: skip
    VERBS[case] = replace(VERBS[case], refused={**VERBS[case].refused, **where(
        ["from sums"], "RowsNotHereError: a matter of rows.*with nm\\.lmer")})  # fmt: skip

# the same distribution, drawn from sums: `summaries/test_condensed.py`
for case in ("bootstrap", "bootstrap conditional", "bootstrap fun", "conf_int boot", "tidy boot",
             "icc interval", "power lrt", "power z", "power satterthwaite", "power random",
             "anova bootstrap"):  # fmt: skip
    of_rows = case in ("bootstrap fun", "icc interval")  # where a table has them
    VERBS[case] = replace(VERBS[case], alone={**VERBS[case].alone, **where(
        ["from sums", "large table"][: 1 if of_rows else 2],
        "other draws of the same distribution")})  # fmt: skip
