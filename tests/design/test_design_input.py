"""Tables and column types that can come in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor
from nestedmlm.errors import ColumnNotFoundError, DataError

N = 24
I = np.arange(N)  # noqa: E741
D = pd.DataFrame(
    {
        "y": np.sin(I),
        "x": I % 5 + 1,
        "f": np.array(["lo", "mid", "hi"])[I % 3],
        "b": I % 2 == 0,
        "g": I // 6,
    }
)
FORMULA = "y ~ x*f + b + (x | g)"


def same(a: Design, b: Design) -> None:
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.y, b.y)
    assert a.x_names == b.x_names
    for first, second in zip(a.factors, b.factors, strict=True):
        np.testing.assert_array_equal(first.codes, second.codes)
        assert list(first.levels) == list(second.levels)
    np.testing.assert_array_equal(a.new(D).X, b.X)


def test_mapping() -> None:
    as_lists = {name: D[name].tolist() for name in D}
    as_arrays = {name: D[name].to_numpy() for name in D}
    for data in (as_lists, as_arrays):
        same(build_design(FORMULA, data), build_design(FORMULA, D))
    with pytest.raises(DataError, match="'x' has 3 values, the data have 24 rows"):
        build_design(FORMULA, {**as_arrays, "x": [1, 2, 3]})


def test_polars() -> None:
    pl = pytest.importorskip("polars")
    same(build_design(FORMULA, pl.from_pandas(D)), build_design(FORMULA, D))
    enum = pl.from_pandas(D).with_columns(pl.col("f").cast(pl.Enum(["mid", "lo", "hi"])))
    assert build_design("y ~ f + (1 | g)", enum).x_names == ("(Intercept)", "flo", "fhi")
    category = pl.from_pandas(D).with_columns(pl.col("f").cast(pl.Categorical))
    assert build_design("y ~ f + (1 | g)", category).x_names == ("(Intercept)", "flo", "fmid")
    with pytest.raises(DataError, match="collect"):
        build_design(FORMULA, enum.lazy())


def test_polars_missing() -> None:
    pl = pytest.importorskip("polars")
    data = pl.from_pandas(D).with_columns(
        pl.when(pl.col("x") == 1).then(None).otherwise(pl.col("x")).alias("x"),
        pl.when(pl.col("f") == "mid").then(None).otherwise(pl.col("f")).alias("f"),
        pl.when(pl.col("g") == 1).then(None).otherwise(pl.col("g")).alias("g"),
        pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise(pl.col("b")).alias("b"),
    )
    keep = (D.x != 1) & (D.f != "mid") & (D.g != 1) & (np.arange(N) != 2)
    design = build_design(FORMULA, data)
    np.testing.assert_array_equal(design.kept, keep)
    assert list(design.index) == list(np.flatnonzero(keep))


def test_arrow() -> None:
    pa = pytest.importorskip("pyarrow")
    same(build_design(FORMULA, pa.Table.from_pandas(D)), build_design(FORMULA, D))
    data = D.assign(f=pd.Categorical(D.f, ["mid", "lo", "hi"]))
    table = pa.Table.from_pandas(data)
    assert build_design("y ~ f + (1 | g)", table).x_names == ("(Intercept)", "flo", "fhi")


DTYPES = {
    "x": ["int8", "uint16", "int64", "float32", "Int64", "Float64", "double[pyarrow]",
          "int64[pyarrow]", "object", "Sparse[int64]"],
    "f": ["object", "string", "str", "string[pyarrow]"],
    "b": ["boolean", "object", "bool[pyarrow]"],
    "g": ["int8", "Int64", "float64", "object", "int64[pyarrow]"],
}  # fmt: skip


@pytest.mark.parametrize(("column", "dtype"), [(c, d) for c in DTYPES for d in DTYPES[c]])
def test_dtypes(column: str, dtype: str) -> None:
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    same(build_design(FORMULA, D.astype({column: dtype})), build_design(FORMULA, D))


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "object", "double[pyarrow]"])
def test_missing_in_extension_types(dtype: str) -> None:
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    data = D.astype({"x": dtype})
    data.loc[3, "x"] = None
    assert build_design(FORMULA, data).n == N - 1


def test_missing_strings_and_booleans() -> None:
    for dtype in ("object", "string", "str"):
        data = D.astype({"f": dtype})
        data.loc[3, "f"] = None
        assert build_design(FORMULA, data).n == N - 1
    for dtype in ("object", "boolean"):
        data = D.astype({"b": dtype})
        data.loc[3, "b"] = None
        assert build_design(FORMULA, data).n == N - 1


def test_category_order_is_kept_and_unused_levels_go() -> None:
    data = D.assign(f=pd.Categorical(D.f, ["never", "mid", "lo", "hi"]))
    assert build_design("y ~ f + (1|g)", data).x_names == ("(Intercept)", "flo", "fhi")
    arrow = pytest.importorskip("pyarrow")
    dictionary = pd.Series(arrow.array(D.f).dictionary_encode().tolist(), dtype="category")
    assert build_design("y ~ f + (1|g)", D.assign(f=dictionary)).p == 3


def test_arrow_dictionary_in_pandas() -> None:
    pa = pytest.importorskip("pyarrow")
    array = pd.arrays.ArrowExtensionArray(pa.array(D.f).dictionary_encode())
    design = build_design("y ~ f + (1|g)", D.assign(f=array))
    assert design.x_names == ("(Intercept)", "fmid", "fhi")


def test_numeric_categories() -> None:
    data = D.assign(x=pd.Categorical(D.x))
    assert build_design("y ~ x + (1|g)", data).x_names[1:] == ("x2", "x3", "x4", "x5")


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[ns]", "period"])
def test_dates_can_group_but_not_predict(kind: str) -> None:
    values = (
        D.g.astype("datetime64[ns]").dt.to_period("D") if kind == "period" else D.g.astype(kind)
    )
    data = D.assign(t=values)
    if kind == "period":
        data["t"] = pd.PeriodIndex(np.array(["2020", "2021", "2022", "2023"])[D.g], freq="Y")
    with pytest.raises(DataError, match="cannot be a predictor"):
        build_design("y ~ t + (1 | g)", data)
    assert build_design("y ~ x + (1 | t)", data).factors[0].levels.size == 4


def test_what_cannot_be_used() -> None:
    with pytest.raises(DataError, match="complex128"):
        build_design("y ~ c + (1|g)", D.assign(c=D.x * 1j))
    with pytest.raises(DataError, match="cannot be"):
        build_design("y ~ c + (1|g)", D.assign(c=[[1]] * N))
    mixed = D.assign(c=np.array([1, "a"] * (N // 2), dtype=object))
    with pytest.raises(DataError, match="cannot be a predictor"):
        build_design("y ~ c + (1|g)", mixed)


@pytest.mark.parametrize("data", [3, "data.csv", None, [1, 2]])
def test_not_a_table(data: object) -> None:
    with pytest.raises(DataError, match="data must be a table"):
        build_design(FORMULA, data)


def test_duplicate_names() -> None:
    doubled = pd.concat([D, D[["x"]]], axis=1)
    with pytest.raises(DataError, match="several columns are called 'x'"):
        build_design(FORMULA, doubled)
    assert build_design("y ~ f + (1 | g)", doubled).n == N  # not used: no matter


def test_unknown_column() -> None:
    with pytest.raises(ColumnNotFoundError, match="did you mean x1") as caught:
        build_design("y ~ xx1 + (1|g)", D.rename(columns={"x": "x1"}))
    assert str(caught.value).splitlines()[1:] == ["  y ~ xx1 + (1|g)", "      ^"]
    assert isinstance(caught.value, KeyError)
    with pytest.raises(ColumnNotFoundError, match="did you mean g"):
        build_design("y ~ x + (1 | G)", D)
    with pytest.raises(ColumnNotFoundError, match="did you mean y"):
        build_design("Y ~ x + (1 | g)", D)
    with pytest.raises(ColumnNotFoundError, match="the columns are y, x, f, b, g"):
        build_design("y ~ qqq + (1 | g)", D)
    with pytest.raises(ColumnNotFoundError, match="'ww'"):
        build_design("y ~ x + (1 | g)", D, weights="ww")


def test_names_that_need_backticks() -> None:
    data = D.rename(columns={"x": "my x", "g": "a:b", "f": "größe"})
    design = build_design("y ~ `my x`*größe + (1 | `a:b`)", data)
    assert design.x_names[:3] == ("(Intercept)", "`my x`", "größelo")
    assert design.factors[0].name == "a:b"  # as lme4
    assert design.factors[0].variables == ("a:b",)


def test_columns_win_over_the_callers_variables() -> None:
    design = build_design("y ~ x + (1|g)", D, env={"x": np.zeros(N), "unused": 1})
    np.testing.assert_array_equal(design.X[:, 1], D.x)
    outside = build_design("y ~ w + (1|g)", D, env={"w": list(range(N))})
    np.testing.assert_array_equal(outside.X[:, 1], np.arange(N))


class Table(pd.DataFrame):
    """A frame whose columns are read through Series."""


def test_columns_as_stored_are_those_of_series() -> None:
    stamp = pd.to_datetime(["2020-01-02", None, "2021-01-01"])
    data = pd.DataFrame(
        {
            "whole": np.array([3, 1, 2], dtype=np.int8),
            "single": np.array([0.5, np.nan, 2.0], dtype=np.float32),
            "swapped": np.array([0.5, 1.0, 2.0]).astype(">f8"),
            "category": pd.Categorical(["b", None, "a"], categories=["b", "a"], ordered=True),
            "text": ["u", None, "v"],
            "flag": [True, False, True],
            "maybe": pd.array([1, None, 3], dtype="Int64"),
            "date": stamp,
            "mixed": np.array([1, "x", 2.5], dtype=object),
        }
    )
    plain, others = Frame(data), Frame(Table(data))
    for name in data:
        one, other = plain.column(name), others.column(name)
        assert type(one) is type(other), name
        if isinstance(one, Factor):
            assert (one.kind, one.ordered) == (other.kind, other.ordered)
            assert one.levels.tolist() == other.levels.tolist()
            one, other = one.codes, other.codes
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="read-only"):
        plain.column("whole")[0] = 7
