"""Ids of groups: large ones, missing ones, text for numbers, row labels."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.errors import DataError, NewLevelsError

J = 30
ROWS = np.tile(np.arange(J), 10)
RNG = np.random.default_rng(27)
D = pd.DataFrame({"x": RNG.normal(size=10 * J), "h": ROWS % 5})
D["y"] = D.x + RNG.normal(size=J)[ROWS] + RNG.normal(size=10 * J)


def with_ids(base: int, kind: str) -> Any:
    """A table whose ids are base + 0 … J - 1, one of them missing."""
    ids: list[int | None] = [base + int(j) for j in ROWS]
    ids[7] = None
    if kind.startswith("polars"):
        pl = pytest.importorskip("polars")
        return pl.DataFrame(
            {**{n: D[n].to_numpy() for n in D}, "s": pl.Series(ids, dtype=pl.Int64)}
        )
    if kind.startswith("arrow"):
        pa = pytest.importorskip("pyarrow")
        columns = {n: D[n].to_numpy() for n in D}
        return pa.table({**columns, "s": pa.array(ids, type=pa.int64())})
    if kind == "decimal":
        return D.assign(s=pd.Series([i if i is None else Decimal(i) for i in ids], dtype=object))
    if kind == "decimal128":
        pa = pytest.importorskip("pyarrow")
        numbers = pa.array([i if i is None else Decimal(i) for i in ids], pa.decimal128(38, 2))
        return pa.table({**{n: D[n].to_numpy() for n in D}, "s": numbers})
    if kind == "decimal128 in pandas":
        return with_ids(base, "decimal128").to_pandas(types_mapper=pd.ArrowDtype)
    if kind == "object":
        return D.assign(s=pd.Series(ids, dtype=object))
    if kind == "dict":
        return {**{n: D[n].to_numpy() for n in D}, "s": ids}
    return D.assign(s=pd.array(ids, dtype=kind))


KINDS = ("Int64", "UInt64", "int64[pyarrow]", "object", "polars", "arrow", "dict", "decimal",
         "decimal128", "decimal128 in pandas")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [2**53, 10**17, 2**60, 2**63 - J - 1])
def test_large_ids_with_a_missing_one_stay_apart(kind: str, base: int) -> None:
    data = with_ids(base, kind)
    for formula in ("y ~ x + (1 | s)", "y ~ x + (1 | factor(s))"):
        factor = build_design(formula, data).factors[0]
        assert list(factor.levels) == [base + j for j in range(J)]
    combined = build_design("y ~ x + (1 | h:s)", data).factors[0]
    assert len(combined.levels) == J
    assert f"0:{base}" in combined.levels


def test_ids_beyond_64_bits_group() -> None:
    data = D.assign(s=pd.Series([2**70 + int(j) for j in ROWS], dtype=object))
    assert len(build_design("y ~ x + (1 | s)", data).factors[0].levels) == J
    data["s"] = pd.Series([2**63 + int(j) for j in ROWS], dtype=object)
    assert build_design("y ~ x + (1 | s)", data).factors[0].levels[0] == 2**63
    with pytest.raises(DataError, match="cannot be a predictor"):
        build_design("y ~ s + (1 | h)", data.assign(s=data.s + 2**70))


def test_decimals_that_are_not_whole_are_numbers() -> None:
    data = D.assign(s=[Decimal(int(j)) / 4 for j in ROWS], z=[Decimal("NaN")] + [Decimal(1)] * 299)
    design = build_design("y ~ s + (1 | h)", data)
    assert design.X[:4, 1].tolist() == [0.0, 0.25, 0.5, 0.75]
    assert build_design("y ~ 1 + (1 | s)", data).factors[0].levels[1] == 0.25
    assert build_design("y ~ z + (1 | h)", data).n == 299


def test_a_row_without_id_changes_no_other_row() -> None:
    ids = np.int64(10) ** 17 + np.arange(J)
    fit = nm.lmer("y ~ x + (1 | s)", D.assign(s=ids[ROWS]))
    new = pd.DataFrame({"x": 0.0, "s": pd.array([ids[0], ids[1], None], dtype="Int64")})
    found = fit.predict(new, new_levels="population")
    assert np.array_equal(found[:2], fit.predict(new.iloc[:2]))
    assert found[2] == pytest.approx(fit.fixef["(Intercept)"])


def test_numbers_with_missing_values_are_predictors() -> None:
    x = pd.array([*range(10 * J - 1), None], dtype="Int64")
    design = build_design("y ~ k + I(k > 5) + (1 | h)", D.assign(k=x))
    np.testing.assert_array_equal(design.X[:, 1], np.arange(10 * J - 1))
    assert design.n == 10 * J - 1
    new = design.new(pd.DataFrame({"k": pd.array([3, None], dtype="Int64"), "h": [0, 1]}))
    np.testing.assert_array_equal(new.X[:, 1], [3, np.nan])
    assert build_design("k ~ x + (1 | h)", D.assign(k=x)).n == 10 * J - 1


def test_labels_of_whole_numbers_have_no_decimals() -> None:
    fit = nm.lmer("y ~ x + (1 | s)", D.assign(s=np.where(np.arange(300) == 7, np.nan, ROWS + 300)))
    assert [str(level) for level in fit.design.factors[0].levels[:2]] == ["300", "301"]
    assert fit.predict(pd.DataFrame({"x": [0.0], "s": [300.0]})).size == 1
    halves = build_design("y ~ x + (1 | s)", D.assign(s=ROWS / 2)).factors[0].levels
    assert halves[1] == 0.5


@pytest.mark.parametrize(("fitted", "asked"), [(int, str), (str, int), (int, float), (float, str)])
def test_ids_match_by_their_text(fitted: type, asked: type) -> None:
    data = D.assign(s=(ROWS + 300).astype(fitted))
    new = pd.DataFrame({"x": [1.0, 2.0], "s": [302, 301]})
    if asked is str:
        new["s"] = new.s.astype(str)
    new["s"] = new.s.astype(asked)
    if fitted is float:
        data["s"] = data.s.astype(float)
    fit = nm.lmer("y ~ x + (1 | s)", data)
    right = nm.lmer("y ~ x + (1 | s)", D.assign(s=ROWS + 300)).predict(
        pd.DataFrame({"x": [1.0, 2.0], "s": [302, 301]})
    )
    for how in ("error", "population"):
        found = fit.predict(new, new_levels=how)
        assert found.tolist() == pytest.approx(right.tolist())
    with pytest.raises(NewLevelsError, match="999"):
        fit.predict(new.assign(s=[999, 301]))


def test_levels_of_a_predictor_match_by_their_text() -> None:
    design = build_design("y ~ k + (1 | s)", D.assign(s=ROWS, k=D.h.astype(str)))
    new = design.new(pd.DataFrame({"k": [0, 3], "s": [1, 2]}))
    np.testing.assert_array_equal(new.X, [[1, 0, 0, 0, 0], [1, 0, 0, 1, 0]])


def test_refit_goes_by_row_labels() -> None:
    sleep = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    shuffled = sleep.Reaction.sample(frac=1, random_state=1)
    for again in (fit.refit, fit.refit_many):
        with pytest.raises(DataError, match="index is not that of the data"):
            again(shuffled if again == fit.refit else shuffled.to_frame())
    same = fit.refit(shuffled.reindex(sleep.index))
    assert same.criterion == pytest.approx(fit.criterion)
    assert fit.refit(sleep.Reaction.to_numpy()).criterion == pytest.approx(fit.criterion)
    with pytest.raises(DataError, match="index is not that of the data"):
        nm.lmer("shuffled ~ Days + (1 | Subject)", sleep)


@pytest.mark.parametrize("y", ["Reaction", None, {"a": 1}, [["a"]], np.array(["a"] * 180)])
def test_refit_to_what_is_no_response(y: object) -> None:
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    with pytest.raises(DataError):
        fit.refit(y)


def test_refit_of_left_out_rows() -> None:
    sleep = nm.load_dataset("sleepstudy")
    sleep.loc[[3, 9], "Days"] = np.nan
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    for y in (sleep.Reaction, sleep.Reaction.drop([3, 9])):
        assert fit.refit(y).criterion == pytest.approx(fit.criterion)
