"""Missing rows, alignment with the caller's index, weights and offsets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.errors import DataError, OptionError, WeightsError

N = 24
BASE = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.cos(np.arange(N)),
        "f": np.array(["u", "v", "w"])[np.arange(N) % 3],
        "g": np.arange(N) // 6,
        "w": np.linspace(1, 2, N),
    },
    index=pd.Index([f"r{i}" for i in range(N)], name="row"),
)


def holes() -> pd.DataFrame:
    data = BASE.astype({"g": float})
    data.loc["r1", "y"] = np.nan
    data.loc["r2", "x"] = np.nan
    data.loc["r3", "f"] = None
    data.loc["r4", "g"] = np.nan
    return data


FORMULA = "y ~ x + f + (x | g)"


def test_omit() -> None:
    design = build_design(FORMULA, holes())
    assert design.n == N - 4
    assert not {"r1", "r2", "r3", "r4"} & set(design.index)
    assert design.kept.sum() == N - 4
    aligned = design.align(design.y)
    pd.testing.assert_index_equal(aligned.index, design.index)
    same = build_design(FORMULA, holes().dropna())
    np.testing.assert_array_equal(design.X, same.X)
    np.testing.assert_array_equal(design.factors[0].codes, same.factors[0].codes)


def test_exclude() -> None:
    design = build_design(FORMULA, holes(), na_action="exclude")
    aligned = design.align(design.y)
    pd.testing.assert_index_equal(aligned.index, BASE.index)
    assert aligned.isna().sum() == 4
    np.testing.assert_array_equal(aligned.dropna(), design.y)


def test_raise_names_the_columns() -> None:
    with pytest.raises(DataError, match=r"y \(1\), x \(1\), f \(1\), g \(1\)"):
        build_design(FORMULA, holes(), na_action="raise")
    assert build_design(FORMULA, BASE, na_action="raise").n == N


def test_unknown_na_action() -> None:
    with pytest.raises(OptionError, match="omit, exclude, raise"):
        build_design(FORMULA, BASE, na_action="pass")


def test_missing_made_by_a_transform() -> None:
    kept = int((BASE.x >= 0).sum())
    for formula in (
        "y ~ sqrt(x) + (1 | g)",
        "y ~ 1 + (sqrt(x) | g)",
        "sqrt(x) ~ 1 + (1 | g)",
        "y ~ offset(sqrt(x)) + (1 | g)",
    ):
        assert build_design(formula, BASE).n == kept, formula


def test_missing_in_what_is_taken_out_counts_as_in_r() -> None:
    assert build_design("y ~ x + f - f + (1 | g)", holes()).n == N - 4


def test_missing_offset() -> None:
    data = BASE.assign(o=BASE.x.where(BASE.x > 0))
    assert build_design("y ~ 1 + (1 | g)", data, offset="o").n == int((BASE.x > 0).sum())


def test_other_columns_may_be_missing() -> None:
    assert build_design("y ~ x + (1 | g)", BASE.assign(junk=np.nan)).n == N


def test_levels_unused_after_omission_are_dropped() -> None:
    data = BASE.assign(y=BASE.y.where(BASE.f != "u"))
    design = build_design("y ~ f + (1 | g)", data)
    assert design.x_names == ("(Intercept)", "fw")


def test_learned_on_all_rows_as_in_r() -> None:
    data = BASE.assign(y=BASE.y.where(BASE.x > 0))  # scale() sees x where y is missing
    design = build_design("y ~ scale(x) + (1 | g)", data)
    expected = (BASE.x - BASE.x.mean()) / BASE.x.std()
    np.testing.assert_allclose(design.X[:, 1], expected[BASE.x > 0])


@pytest.mark.parametrize("column", ["y", "x", "g"])
def test_nothing_left(column: str) -> None:
    data = BASE.astype({"g": float})
    data[column] = np.nan
    with pytest.raises(DataError, match=rf"0 \(non-NA\) cases: {column} has no value"):
        build_design("y ~ x + (1 | g)", data)


def test_every_row_has_a_hole() -> None:
    data = BASE.assign(y=BASE.y.where(BASE.x > 0), x=BASE.x.where(BASE.x <= 0))
    with pytest.raises(DataError, match="every row has a missing value"):
        build_design("y ~ x + (1 | g)", data)


def test_empty() -> None:
    with pytest.raises(DataError, match="empty"):
        build_design("y ~ x + (1 | g)", BASE.head(0))


def test_weights() -> None:
    by_name = build_design("y ~ x + (1 | g)", holes(), weights="w")
    by_array = build_design("y ~ x + (1 | g)", holes(), weights=BASE.w.to_numpy())
    by_series = build_design("y ~ x + (1 | g)", holes(), weights=BASE.w)
    for design in (by_name, by_array, by_series):
        np.testing.assert_array_equal(design.weights, BASE.w[design.kept])


@pytest.mark.parametrize(
    ("bad", "words"),
    [(-1.0, "negative"), (0.0, "zero"), (np.inf, "finite"), (1e160, "divide them all")],
)
def test_bad_weights(bad: float, words: str) -> None:
    weights = np.ones(N)
    weights[5] = bad
    with pytest.raises(WeightsError, match=words):
        build_design("y ~ x + (1 | g)", BASE, weights=weights)


def test_rows_without_a_weight_are_left_out() -> None:
    weights = np.ones(N)
    weights[[5, 7]] = np.nan
    design = build_design("y ~ x + (1 | g)", BASE, weights=weights)
    np.testing.assert_array_equal(np.flatnonzero(~design.kept), [5, 7])
    with pytest.raises(DataError, match=r"missing values in the weights \(2\)"):
        build_design("y ~ x + (1 | g)", BASE, weights=weights, na_action="raise")


@pytest.mark.parametrize("what", ["weights", "offset"])
def test_wrong_length(what: str) -> None:
    for given in (np.ones(3), np.ones(0), [1.0] * (N + 1)):
        with pytest.raises(DataError, match=f"the data have {N} rows"):
            build_design("y ~ x + (1 | g)", BASE, **{what: given})
    with pytest.raises(DataError, match="column name or a one-dimensional array"):
        build_design("y ~ x + (1 | g)", BASE, **{what: np.ones((N, 2))})
    with pytest.raises(DataError, match="column name or a one-dimensional array"):
        build_design("y ~ x + (1 | g)", BASE, **{what: 2.0})
    with pytest.raises(DataError, match="needs numbers"):
        build_design("y ~ x + (1 | g)", BASE, **{what: "f"})


def test_a_series_with_other_labels_is_refused() -> None:
    with pytest.raises(DataError, match="index is not that of the data"):
        build_design("y ~ x + (1 | g)", BASE, weights=BASE.w.iloc[::-1])


def test_the_callers_data_are_not_touched() -> None:
    data, before = holes(), holes()
    design = build_design("y ~ x + scale(x) + f + (x | g)", data, weights="w", offset="x")
    pd.testing.assert_frame_equal(data, before)
    data.loc[:, "y"] = 7.0  # and the design does not follow later changes
    assert len(set(design.y)) > 1


def test_row_order_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(N)
    straight = build_design(FORMULA, BASE)
    shuffled = build_design(FORMULA, BASE.iloc[order])
    np.testing.assert_array_equal(shuffled.X, straight.X[order])
    np.testing.assert_array_equal(shuffled.factors[0].codes, straight.factors[0].codes[order])
    assert list(shuffled.factors[0].levels) == list(straight.factors[0].levels)
