"""Other values, sides and margins in tests of means, and joint tests: numbers of R's emmeans."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference import numbers

import nestedmlm as nm
from benchmarks.agreement.means import data, fitted
from nestedmlm.errors import OptionError

R = numbers("hypotheses/hypotheses")
NUMBERS = ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")
# variable of the means, and what they are tested against: those of hypotheses.R
ASKED = {
    "cake": ("recipe", 30.0, 1.5),
    "oats": ("nitro", 100.0, 10.0),
    "cross": ("f", 1.0, 0.4),
    "two": ("f", 2.0, 0.3),
    "sum": ("half", 1.0, 0.2),
    "cbpp": ("period", -2.0, 0.5),
    "cloglog": ("period", -1.5, 0.4),
    "ticks": ("YEAR", float(np.log(2.0)), 0.3),
    "high": ("f", 0.2, 0.5),
    "count": ("f", float(np.log(1.5)), 0.2),
}
INCIDENCE = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
GENERALIZED: dict[str, tuple[str, str, dict[str, str]]] = {
    "cbpp": (INCIDENCE, "cbpp", {"family": "binomial"}),
    "cloglog": (INCIDENCE, "cbpp", {"family": "binomial", "link": "cloglog"}),
    "ticks": ("TICKS ~ YEAR + (1 | BROOD)", "grouseticks", {"family": "poisson"}),
    "high": ("high ~ f * half + (1 | g1)", "sim", {"family": "binomial"}),
    "count": ("count ~ f * x + half + (1 | g1)", "sim", {"family": "poisson"}),
}
# rows, scale, and what they are tested against, given a null value and a margin
CASES: dict[str, tuple[str, str, Any]] = {
    "null": ("means", "link", lambda null, delta: {"null": null}),
    "above": ("means", "link", lambda null, delta: {"null": null, "side": ">"}),
    "below response": ("means", "response", lambda null, delta: {"null": null, "side": "<"}),
    "null response": ("means", "response", lambda null, delta: {"null": null}),
    "pairs equivalence": ("pairs", "link", lambda null, delta: {"delta": delta}),
    "pairs noninferiority holm": (
        "pairs", "link", lambda null, delta: {"delta": delta, "side": ">", "adjust": "holm"},
    ),
    "pairs nonsuperiority none": (
        "pairs", "link",
        lambda null, delta: {"delta": delta, "side": "nonsuperiority", "adjust": "none"},
    ),
    "pairs above response": (
        "pairs", "response", lambda null, delta: {"side": "right", "adjust": "bonferroni"},
    ),
    "pairs below fdr": (
        "pairs", "link", lambda null, delta: {"side": "<", "null": delta, "adjust": "fdr"},
    ),
    "control equivalence": (
        "trt.vs.ctrl", "link", lambda null, delta: {"delta": delta, "null": delta / 2},
    ),
    "control above": ("trt.vs.ctrl", "link", lambda null, delta: {"side": ">"}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _data(shared_data, monkeypatch):
    monkeypatch.setenv("NESTEDMLM_DATA", str(shared_data))


@cache
def fit_of(name: str) -> Any:
    if name not in GENERALIZED:
        return fitted(name)
    formula, table, options = GENERALIZED[name]
    frame = data(table)
    if table == "sim":
        frame = frame.assign(
            high=(frame["y"] > frame["y"].median()).astype(int), count=np.floor(frame["y"].abs())
        )
    return nm.glmer(formula, frame, **options)


@cache
def rows_of(name: str, rows: str, scale: str) -> nm.Emmeans:
    options = {} if name in GENERALIZED else {"ddf": "kenward-roger"}
    means = nm.emmeans(fit_of(name), ASKED[name][0], type=scale, **options)
    if rows == "means":
        return means
    return means.pairs() if rows == "pairs" else means.contrast(rows)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ASKED)
def test_tests_are_those_of_emmeans(name, case):
    rows, scale, asked = CASES[case]
    _, null, delta = ASKED[name]
    found = rows_of(name, rows, scale).test(**asked(null, delta), infer=True)
    theirs = R["tests"][name][case]
    frame = found.to_frame()
    rtol = 2e-4 if name in GENERALIZED else 2e-5  # glmer's Hessian is made of differences
    for column in NUMBERS:
        np.testing.assert_allclose(
            frame[column], theirs[column], rtol=rtol, atol=5e-5, err_msg=column
        )
    table_null = found.table.null or [0.0] * len(frame)
    np.testing.assert_allclose(table_null, theirs["null"], rtol=1e-9, atol=1e-12)


# --- joint tests ---------------------------------------------------------------------------------
# designs in which Kenward and Roger's tests of several degrees of freedom are exact F tests; in the
# others emmeans takes the fewest degrees of freedom of some rows, and no scaling
BALANCED = ("cake", "cake_temp", "oats")


def agree(ours: pd.DataFrame, theirs: dict[str, Any], rtol: float) -> None:
    if "term" in ours:
        assert ours["term"].tolist() == theirs["term"]
    np.testing.assert_array_equal(ours["num_df"], theirs["num_df"])
    np.testing.assert_allclose(ours["den_df"], theirs["den_df"], rtol=1e-3)  # rounded there
    # F ratios have three decimals there, also those that the confounded one is computed from
    confounded = "term" in ours and "(confounded)" in set(ours["term"])
    atol = 3e-3 if confounded else 6e-4
    np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=rtol, atol=atol)
    atol = 3e-3 if confounded else 1e-9
    np.testing.assert_allclose(ours["p_value"], theirs["p_value"], rtol=20 * rtol, atol=atol)


@pytest.mark.parametrize("name", R["wald"])
def test_joint_tests_are_those_of_emmeans(name):
    generalized = name in GENERALIZED
    found = nm.joint_tests(fit_of(name), ddf=None if generalized else "none")
    agree(found.to_frame(), R["wald"][name], 5e-4 if generalized else 1e-5)


@pytest.mark.parametrize("name", BALANCED)
def test_kenward_roger_is_emmeans_where_designs_are_balanced(name):
    agree(nm.joint_tests(fit_of(name)).to_frame(), R["terms"][name], 1e-5)


@pytest.mark.parametrize(("name", "by"), [("cake", "recipe"), ("high", "half"), ("count", "f")])
def test_joint_tests_within_levels(name, by):
    found = fit_of(name).joint_tests(by=by)
    agree(found.to_frame(), R["within"][f"{name} {by}"], 5e-4)
    assert str(found).count(f"{by} = ") == len(set(found.to_frame()[by]))


def test_rows_are_tested_together():
    cake = nm.emmeans(fit_of("cake"), "recipe").test(null=30).joint_test()
    agree(cake.to_frame(), R["rows"]["cake"], 1e-5)
    agree(rows_of("cbpp", "pairs", "link").joint_test().to_frame(), R["rows"]["cbpp"], 5e-4)
    count = fit_of("count").emmeans("half", by="f").test(null=0.4).joint_test()
    agree(count.to_frame(), R["rows"]["count"], 5e-4)


def test_joint_tests_of_a_whole_design_are_of_type_three():
    fit = fit_of("cross")
    table = nm.joint_tests(fit, at={"x": [0, 1]}).to_frame().set_index("term")
    of_type_three = fit.anova(type=3, ddf="kenward-roger").to_frame()
    row = of_type_three.loc["half"]
    np.testing.assert_allclose(
        table.loc["half", ["statistic", "p_value"]].astype(float),
        row[["statistic", "p_value"]].astype(float),
        rtol=1e-8,
    )


# --- posteriors, pictures, refusals --------------------------------------------------------------
@pytest.fixture(scope="module")
def posterior(shared_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTEDMLM_DATA", str(shared_data))
        model = nm.Model("angle ~ recipe + (1 | recipe:replicate)", data("cake"))
        return model.sample(sampler="psis", draws=250, seed=1)


@pytest.mark.parametrize(
    ("asked", "event", "heading"),
    [
        ({}, lambda d: d > 0, "P(>0)"),
        ({"null": 1.0}, lambda d: d > 1, "P(>1)"),
        ({"side": "<"}, lambda d: d < 0, "P(<0)"),
        ({"delta": 2.0}, lambda d: np.abs(d) < 2, "P(|.|<2)"),
        ({"delta": 2.0, "null": 1.0}, lambda d: np.abs(d - 1) < 2, "P(|.-1|<2)"),
        ({"delta": 2.0, "side": ">"}, lambda d: d > -2, "P(>-2)"),
        ({"null": [1, 2, 3], "side": "<"}, lambda d: d < [1, 2, 3], "P(<null)"),
    ],
)
def test_posteriors_have_the_probability_of_the_alternative(posterior, asked, event, heading):
    pairs = posterior.emmeans("recipe").pairs().test(**asked)
    np.testing.assert_allclose(
        pairs.to_frame()["probability"], event(pairs.draws()).mean(axis=0), atol=1e-12
    )
    assert heading in str(pairs)


def test_one_sided_limits_of_a_posterior_are_quantiles(posterior):
    pairs = posterior.emmeans("recipe").pairs()
    lower = pairs.conf_int(0.9, side=">").to_frame()
    np.testing.assert_allclose(lower["conf_low"], np.quantile(pairs.draws(), 0.1, axis=0))
    assert np.isposinf(lower["conf_high"]).all()


def test_hypotheses_stay_until_other_rows_are_made():
    above = rows_of("cake", "pairs", "link").test(side=">", null=1.0)
    assert above.conf_int().to_frame()["conf_high"].eq(np.inf).all()
    assert above.test(null=0.0).hypothesis.side == 1
    assert above.contrast("identity").hypothesis.plain
    drawn = above.plot(figsize=(4, 2))
    assert np.all(np.isfinite(drawn.get_xlim()))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"side": "up"}, "side"),
        ({"side": "equivalence"}, "needs the margin: delta="),
        ({"delta": -1.0}, "give it positive"),
        ({"delta": float("nan")}, "delta"),
        ({"null": "no"}, "null must be a number"),
        ({"null": ["no"] * 3}, "must be a finite number"),
        ({"null": [1.0, 2.0]}, "2 values for families of 3 rows"),
        ({"null": [[1.0, 2.0, 3.0]]}, "null="),
    ],
)
def test_hypotheses_are_checked(asked, said):
    with pytest.raises(OptionError, match=said):
        rows_of("cake", "pairs", "link").test(**asked)


def test_joint_tests_refuse(posterior):
    fit = fit_of("cake")
    for call, said in (
        (lambda: nm.joint_tests(fit, by="no"), "the predictors are: recipe, temperature"),
        (lambda: nm.joint_tests(fit, by=["recipe", "temperature"]), "no predictor to test beside"),
        (lambda: nm.joint_tests(posterior), "a posterior has no F tests"),
        (lambda: posterior.emmeans("recipe").joint_test(), "a posterior has no F tests"),
        (lambda: nm.joint_tests(3), "not of a int"),
        (lambda: rows_of("cake", "means", "link").test(side=">").joint_test(), "not with side="),
        (lambda: rows_of("cake", "pairs", "link").test(null=1.0).joint_test(), "depend on each"),
    ):
        with pytest.raises(OptionError, match=said):
            call()
