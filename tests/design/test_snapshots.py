"""Snapshots: what a table was made of is written to later, past the table itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.frame.snapshots import snapshot


def arrow(y: np.ndarray, x: np.ndarray):
    return pytest.importorskip("pyarrow").table({"y": y, "x": x})


def in_pandas(y: np.ndarray, x: np.ndarray) -> pd.DataFrame:
    return arrow(y, x).to_pandas(types_mapper=pd.ArrowDtype)


TABLES: dict[str, Callable] = {
    "pandas": lambda y, x: pd.DataFrame({"y": y, "x": x}, copy=False),
    "nullable": lambda y, x: pd.DataFrame(
        {
            "y": pd.arrays.FloatingArray(y, np.zeros(len(y), bool)),
            "x": pd.arrays.FloatingArray(x, np.zeros(len(x), bool)),
        },
        copy=False,
    ),
    "polars": lambda y, x: pytest.importorskip("polars").DataFrame({"y": y, "x": x}),
    "arrow": arrow,
    "arrow in pandas": in_pandas,
    "arrow series": lambda y, x: in_pandas(y, x)["y"],
    "arrow array": lambda y, x: pytest.importorskip("pyarrow").array(y),
    "polars series": lambda y, x: pytest.importorskip("polars").Series(y),
    "pandas series": lambda y, x: pd.Series(y, copy=False),
    "dict": lambda y, x: {"y": y, "x": x},
}


def values(table) -> list:
    column = table["y"] if isinstance(table, dict) or hasattr(table, "columns") else table
    return np.asarray(column, dtype=float).tolist()


@pytest.mark.parametrize("kind", TABLES)
def test_arrays_behind_a_table_do_not_reach_its_snapshot(kind):
    y, x = np.arange(4.0), np.ones(4)
    table = TABLES[kind](y, x)
    kept = snapshot(table)
    y *= 10.0
    assert values(table) == y.tolist()  # or the table had a copy: nothing would be tested
    assert type(kept) is type(table)
    assert values(kept) == [0.0, 1.0, 2.0, 3.0]


def test_an_index_and_names_stay():
    series = pd.Series([1.0, 2.0], index=["u", "v"], name="w")
    pd.testing.assert_series_equal(snapshot(series), series)
    pytest.importorskip("pyarrow")
    series = series.astype("double[pyarrow]")
    pd.testing.assert_series_equal(snapshot(series), series)
    frame = pd.DataFrame({"a": series, "b": 1})
    pd.testing.assert_frame_equal(snapshot(frame), frame)


@pytest.mark.parametrize("kind", ["pandas", "nullable", "polars", "arrow"])
def test_a_fit_does_not_see_what_is_written_past_its_table(kind):
    rng = np.random.default_rng(1)
    y, x, g = rng.normal(size=60), rng.normal(size=60), np.arange(60) % 6
    y += g
    both = TABLES[kind](y, x), TABLES[kind](y.copy(), x.copy())
    fit, other = (nm.lmer("y ~ x + (1 | g)", table, env={"g": g}) for table in both)
    y *= 3.0
    x -= x.mean()
    assert fit.update("~ . + I(x^2)").criterion == other.update("~ . + I(x^2)").criterion
    pd.testing.assert_frame_equal(
        pd.DataFrame(fit.ranova().table), pd.DataFrame(other.ranova().table)
    )


def test_a_name_in_a_formula_calls_no_method_of_the_callers_object():
    called = []

    class Repository:
        def clone(self):
            called.append("clone")

        copy = clone

    with pytest.raises(nm.NestedMLMError):
        nm.lmer("y ~ mine + (1 | y)", {"y": [1.0, 2.0]}, env={"mine": Repository()})
    assert snapshot(mine := Repository()) is mine
    assert not called


def test_the_data_that_a_fit_hands_out_are_a_copy():
    data = pd.DataFrame({"y": np.arange(60.0) % 7, "x": np.arange(60) % 11, "g": np.arange(60) % 6})
    fit = nm.lmer("y ~ x + (1 | g)", data)
    before = fit.update("~ . + I(x^2)").criterion
    handed_out = fit.model.data
    handed_out["x"] = 0.0
    assert fit.update("~ . + I(x^2)").criterion == before
