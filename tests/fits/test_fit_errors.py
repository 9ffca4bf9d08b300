"""Bad input at and after the fit gets a typed error that says what to do."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.errors import (
    ConvergenceWarning,
    DataError,
    DataWarning,
    MemoryLimitError,
    ModelComparisonError,
    NewLevelsError,
    NotDefinedError,
    OptionError,
    WeightsError,
)
from nestedmlm.likelihood import plan
from nestedmlm.likelihood.solution import results_at
from nestedmlm.lme4 import getME, predict
from nestedmlm.statistics import memory


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleepstudy: pd.DataFrame) -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


def test_start_of_wrong_length(sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="start must hold the 3 covariance parameters"):
        nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, start=np.ones(2))


def test_control_of_wrong_type(sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match=r"must be a nm\.Control\(max_evaluations=.*not dict"):
        nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, control={})


def test_response_that_the_fixed_effects_reproduce() -> None:
    rows = pd.DataFrame({"x": np.arange(20.0), "g": np.repeat(list("abcd"), 5)})
    rows["y"] = 1.0 + 2.0 * rows.x
    with pytest.raises(nm.DataError, match="no residual variation"):
        nm.lmer("y ~ x + (1 | g)", rows)


def test_arguments_of_other_classes_are_refused(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
    cbpp = nm.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    generalized = nm.glmer(formula, cbpp, family="binomial")
    wrong = [
        *(lambda other=other: other.refitted("design") for other in (fit, generalized)),
        *(lambda other=other: other.refitted(other) for other in (fit, generalized)),
        lambda: fit.refitted(fit.design, control=np.zeros(0)),
        lambda: generalized.refitted(generalized.design, control="newton"),
        lambda: fit.refitted(fit.design, stats=3),
        lambda: fit.conf_int(np.zeros((2, 2, 2))),
        lambda: fit.simulate(10**30),
        lambda: fit.plot.residuals(ax=sleepstudy),  # which has a method called plot
        lambda: fit.plot.caterpillar(ax=[1.0]),
        lambda: fit.plot.trellis(levels=3),
        lambda: fit.plot.trellis(levels=[]),
    ]
    for call in wrong:
        with pytest.raises(OptionError):
            call()
    assert len(fit.plot.trellis(levels="308")) == 1


def test_terms_whose_derivatives_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, sleepstudy: pd.DataFrame
) -> None:
    monkeypatch.setattr(plan, "available_memory", lambda: 5 * 8 * 20 * 20**2 - 1)
    formula = "Reaction ~ Days + " + " + ".join(["(1 | Subject)"] * 20)
    for fit in (nm.lmer, lambda *model: nm.summarise(*model).fit()):
        with pytest.raises(MemoryLimitError, match=r"20 covariance parameters .* of 20 columns"):
            fit(formula, sleepstudy)


def test_memory_is_asked_for_once_for_each_plan(
    monkeypatch: pytest.MonkeyPatch, sleepstudy: pd.DataFrame
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(plan, "available_memory", lambda: asked.append(1) or 2**40)
    formula = "Reaction ~ Days + " + " + ".join(["(0 + Days | Subject)"] * 7)
    designs = [build_design(formula, sleepstudy.iloc[:n]) for n in (180, 90)]
    for design in designs:
        results_at(design, np.ones(7))
    assert len(asked) == 1


def test_crossed_block_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, sleepstudy: pd.DataFrame
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    rows = sleepstudy.assign(Day=sleepstudy.Days.astype(str))
    with pytest.raises(MemoryLimitError, match=r"crossed grouping factors \(Day\).* 10 x 10"):
        nm.lmer(
            "Reaction ~ Days + (1 | Subject) + (1 | Day)",
            rows,
            control=nm.Control(method="exact"),
        )


@pytest.mark.parametrize("values", [np.ones(7), np.ones((180, 2))])
def test_refit_of_wrong_length(fit: nm.LmerFit, values: np.ndarray) -> None:
    with pytest.raises(nm.DataError, match="refit needs 180 values"):
        fit.refit(values)


def test_refit_with_missing_values(fit: nm.LmerFit) -> None:
    with pytest.raises(nm.DataError, match="missing or infinite"):
        fit.refit(np.full(180, np.nan))


def test_unseen_group(fit: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    new = sleepstudy.head(2).assign(Subject="999")
    with pytest.raises(NewLevelsError, match="999"):
        fit.predict(new)
    population = fit.predict(new, new_levels="population")
    assert population.to_numpy() == pytest.approx(fit.predict(new, re_form=False))


def test_unknown_choices(fit: nm.LmerFit) -> None:
    with pytest.raises(OptionError, match="fixed"):
        fit.model_matrix("both")
    with pytest.raises(OptionError, match="rank"):
        fit.is_singular(rule="other")
    with pytest.raises(OptionError, match=r"known: .*theta"):
        getME(fit, "thteta")
    with pytest.raises(OptionError, match="re_form has the grouping factor g"):
        predict(fit, re_form="~(1|g)")


def test_anova_of_different_data(sleepstudy: pd.DataFrame, fit: nm.LmerFit) -> None:
    fewer = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy.head(170))
    with pytest.raises(ModelComparisonError, match="170"):
        nm.anova(fit, fewer)
    other = fit.refit(np.asarray(sleepstudy.Reaction)[::-1].copy())
    with pytest.raises(ModelComparisonError, match="different responses"):
        nm.anova(fit, other)


def test_results_are_frozen(fit: nm.LmerFit) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        fit.REML = False  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.model.design = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="read-only"):
        fit.design.X[0, 0] = 1.0


def test_pickled_fit_answers_the_same(fit: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(fit))
    assert str(again) == str(fit)
    assert again.predict(sleepstudy.head()).equals(fit.predict(sleepstudy.head()))
    assert again.update(". ~ . - Days").criterion == fit.update(". ~ . - Days").criterion


def test_data_are_not_changed(sleepstudy: pd.DataFrame) -> None:
    before = sleepstudy.copy(deep=True)
    nm.lmer("log(Reaction) ~ scale(Days) + (Days | Subject)", sleepstudy)
    pd.testing.assert_frame_equal(sleepstudy, before)


TYPO = """
import traceback
import nestedmlm as nm

data = nm.load_dataset("sleepstudy")
fit = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
for door in (
    lambda: nm.lmer("Reaction ~ Dais + (1 | Subject)", data),
    lambda: fit.update(". ~ . + Dais"),
    lambda: nm.Model("Reaction ~ Dais + (1 | Subject)", data),
):
    try:
        door()
    except nm.NestedMLMError as error:
        lines = traceback.format_exc().splitlines()
        assert error.__traceback__.tb_next.tb_next.tb_next is None, lines
        assert len(lines) < 15 and "did you mean Days" in str(error), lines
"""


def test_a_typo_shows_the_users_line_and_the_message():
    short = {k: v for k, v in os.environ.items() if k != "NESTEDMLM_TRACEBACK"}
    done = subprocess.run([sys.executable, "-c", TYPO], env=short, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_columns_that_a_model_does_not_use_may_hold_anything() -> None:
    """Lists, structs and extension types of polars go through augment(data), as pandas' do."""
    used = {"y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "g": [1, 1, 2, 2, 3, 3]}
    intervals = pl.from_pandas(pd.DataFrame({"k": pd.cut(np.arange(6.0), 3)}))["k"]
    odd = [pl.Series([["a"]] * 6), pl.Series([{"a": 1}] * 6), intervals]
    fit = nm.lmer("y ~ 1 + (1 | g)", pl.DataFrame(used))
    for column in odd:
        data = pl.DataFrame(used).with_columns(odd=column)
        assert "odd" in fit.augment(data).columns
        with pytest.raises(DataError, match="odd"):
            nm.lmer("y ~ odd + (1 | g)", data)


def test_extending_along_one_of_two_columns_of_a_name(sleepstudy: pd.DataFrame) -> None:
    twice = pd.concat([sleepstudy, sleepstudy[["Days"]]], axis=1)
    with pytest.raises(DataError, match="several columns are called 'Days'"):
        nm.lmer("Reaction ~ 1 + (1 | Subject)", twice).extend(along="Days", n=20)


def test_no_variance_is_left_to_estimate() -> None:
    """sigma known and every standard deviation zero: intervals are missing, not an IndexError."""
    rows = pd.DataFrame({"y": np.tile([0.0, 1.0], 10), "g": np.repeat(np.arange(5), 4)})
    fit = nm.lmer("y ~ 1 + (1 | g)", rows, fixed={"sigma": 1.0})
    assert fit.theta[0] == 0.0
    found = fit.variance_parameters()
    assert found["std_error"].isna().all()
    assert found["conf_low"].isna().all()


@pytest.mark.parametrize("table", [pd.DataFrame, dict])
def test_extending_columns_in_another_byte_order(sleepstudy: pd.DataFrame, table: type) -> None:
    columns = {name: sleepstudy[name].to_numpy() for name in sleepstudy}
    swapped = table({**columns, "Days": columns["Days"].astype(">i4")})
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", swapped)
    assert len(fit.extend(along="Days", n=20).simulate(1, seed=1)) == 18 * 20


def test_an_optimum_that_is_not_certified_stays_said(sleepstudy: pd.DataFrame) -> None:
    """The warning comes once; the summary is what is printed, pickled and read later."""
    few = nm.Control(max_evaluations=3)
    data = sleepstudy.assign(slow=(sleepstudy["Reaction"] > 300).astype(int))
    with pytest.warns(ConvergenceWarning, match="used all its evaluations"):
        linear = nm.lmer("Reaction ~ Days + (Days | Subject)", data, control=few)
    with pytest.warns(ConvergenceWarning, match="used all its evaluations"):
        counts = nm.glmer("slow ~ Days + (1 | Subject)", data, family="binomial", control=few)
    for found in (linear, counts):
        assert not found.converged
        for text in (str(found), str(pickle.loads(pickle.dumps(found)).summary())):
            assert text.count("used all its evaluations") == 1
            assert "optimum not certified" in text


def test_designs_are_changed_by_what_fits_them(fit: nm.LmerFit) -> None:
    with pytest.raises(OptionError, match="rows must be the rows of a design"):
        fit.design.with_rows(3)
    for kept in (1.5, [None], [5], np.eye(2)):
        with pytest.raises(OptionError, match="columns are kept by their numbers from 0 to 1"):
            fit.design.with_columns(kept)
        with pytest.raises(OptionError, match="terms are kept by their numbers from 0 to 0"):
            fit.design.with_terms(kept)
    with pytest.raises(WeightsError, match="a number for each row"):
        fit.design.with_weights("w")


def test_files_that_are_no_capsules(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "bytes"):
        with pytest.raises(DataError, match="is no capsule"):
            nm.load_capsule(path)


def test_long_values_are_cut_where_a_message_shows_them(sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="REML must be True or False") as error:
        nm.lmer("Reaction ~ 1 + (1 | Subject)", sleepstudy, REML="x" * 10_000)  # type: ignore[call-overload]
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("term", ["s(Days, k = 5)", "ns(Days, 3)", "bs(Days, df = 4)"])
def test_curves_at_infinity_are_missing_and_said(sleepstudy: pd.DataFrame, term: str) -> None:
    fit = nm.lmer(f"Reaction ~ {term} + (1 | Subject)", sleepstudy)
    with pytest.warns(DataWarning, match="no value at infinite predictors"):
        found = fit.predict({"Days": [np.inf, 1.0], "Subject": ["308", "308"]})
    assert found.isna().tolist() == [True, False]


@pytest.mark.parametrize("door", ["scenario", "simulate"])
def test_tables_to_be_planned_are_columns_of_one_length(door: str) -> None:
    given = {"theta": [1.0], "sigma": 1.0, "beta": [1.0, 1.0]}
    options = given if door == "scenario" else {"params": given}
    g = list("aabbcc")
    for x in (np.ones((6, 1)), [1.0, 2.0]):
        with pytest.raises(DataError, match="one-dimensional and of one length"):
            getattr(nm, door)("y ~ x + (1 | g)", {"x": x, "g": g}, **options)


def test_penalties_have_a_shape() -> None:
    for shape in ("", np.ones(2), -1.0, np.nan):
        with pytest.raises(OptionError, match="the shape of a penalty must be a positive number"):
            nm.Penalty("own", shape)


def test_sums_that_only_a_linear_model_has() -> None:
    counts = nm.glmer(
        "incidence/size ~ 1 + (1 | herd)",
        nm.load_dataset("cbpp"),
        family="binomial",
        weights="size",
    )
    with pytest.raises(NotDefinedError, match=r"fit\.deviance"):
        getME(counts, "devcomp")


def test_clusters_of_fewer_rows_than_random_effects(sleepstudy: pd.DataFrame) -> None:
    data = sleepstudy.assign(slow=(sleepstudy["Reaction"] > 300).astype(int)).drop(range(1, 10))
    fit = nm.glmer("slow ~ Days + (Days | Subject)", data, family="binomial")
    with pytest.raises(DataError, match=r"a cluster has 1 row.*fewer than the 2 random effects"):
        fit.summary(vcov=nm.ClusterRobust(type="CR1", cluster="Subject"))


def test_an_optimizer_beside_settings_that_are_none(sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="control must be a Control"):
        nm.lmer("Reaction ~ 1 + (1 | Subject)", sleepstudy, control="lme4", method="newton")  # type: ignore[call-overload]


def test_a_surface_has_an_extent(fit: nm.LmerFit) -> None:
    with pytest.raises(OptionError, match="at least 2 places"):
        fit.plot.likelihood_surface(size=1)
