"""Functions of a formula that learn at the fit: statistics, intervals, ranks, group means, lags."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import DataError, DataWarning, FormulaError, NestedMLMError

N = 24
D = pd.DataFrame(
    {
        "y": np.sin(np.arange(N) * 1.7),
        "x": np.round(10 + 4 * np.cos(np.arange(N) * 2.3), 1),
        "k": np.arange(N) % 5,
        "g": np.tile(["b", "a", "c", "d"], 6),
        "t": np.repeat(np.arange(6), 4),
    }
)
D["m"] = D.x.where(~D.index.isin([2, 8]))
X = D.x.to_numpy()


def design(term: str, data: pd.DataFrame = D):
    return nm.build_design(f"y ~ {term}", data, require_random=False)


def column(term: str, data: pd.DataFrame = D) -> np.ndarray:
    return design(term, data).X[:, 1]


STATISTICS = {
    "I(x - mean(x))": X - X.mean(),
    "I((x - mean(x)) / sd(x))": (X - X.mean()) / X.std(ddof=1),
    "I(x - median(x))": X - np.median(X),
    "I((x - min(x)) / max(x) + var(x))": (X - X.min()) / X.max() + X.var(ddof=1),
    "I(x / sum(x))": X / X.sum(),
    "I(x - quantile(x, 0.3))": X - np.quantile(X, 0.3),
    "rank(x)": pd.Series(X).rank().to_numpy(),
    "rank(x, ties.method = 'min')": pd.Series(X).rank(method="min").to_numpy(),
    "rank(-x, ties.method = 'max')": pd.Series(-X).rank(method="max").to_numpy(),
    "between(x, g)": D.groupby("g").x.transform("mean").to_numpy(),
    "ave(x, interaction(g, k))": D.groupby(["g", "k"]).x.transform("mean").to_numpy(),
    "within(x, g)": (D.x - D.groupby("g").x.transform("mean")).to_numpy(),
    "nchar(paste(g, k * 7))": (D.g + " " + (D.k * 7).astype(str)).str.len().to_numpy(),
}


@pytest.mark.parametrize("term", STATISTICS)
def test_values_and_the_state_of_the_fit(term: str) -> None:
    np.testing.assert_allclose(column(term), STATISTICS[term], rtol=1e-13, atol=1e-13)
    some = D.iloc[[17, 3, 5]]  # fewer rows, another order: the fit's numbers
    np.testing.assert_allclose(
        design(term).new(some).X[:, 1], STATISTICS[term][[17, 3, 5]], rtol=1e-13, atol=1e-13
    )


# labels as R 4.2's cut() writes them
@pytest.mark.parametrize(
    ("call", "labels"),
    [
        ("cut(x, 3)", ["(5.99,8.67]", "(8.67,11.3]", "(11.3,14]"]),
        ("cut(x, c(-Inf, 8, 12, Inf))", ["(-Inf,8]", "(8,12]", "(12, Inf]"]),
        ("cut(x, c(0, 8, 12, 30), right = FALSE)", ["[0,8)", "[8,12)", "[12,30)"]),
        ("cut(x, c(6, 8, 14), include.lowest = TRUE)", ["[6,8]", "(8,14]"]),
        (
            "cut(x, c(6, 8, 14), include.lowest = TRUE, right = FALSE)",
            ["[6,8)", "[8,14]"],
        ),
        ("cut(x, c(0, 8, 30), labels = c('lo', 'hi'))", ["lo", "hi"]),
    ],
)
def test_cut(call: str, labels: list[str]) -> None:
    found = design(f"0 + {call}")
    assert [name.removeprefix(name[: len(name) - len(label)]) for name, label in
            zip(found.x_names, labels, strict=True)] == labels  # fmt: skip
    assert (found.X.sum(axis=1) == 1).all()


def test_cut_learns_its_breaks() -> None:
    found = design("0 + cut(x, quantile(x), include.lowest = TRUE)")
    edges = np.quantile(X, [0, 0.25, 0.5, 0.75, 1])
    above = np.array([(edge < X).sum() for edge in edges[1:]])
    assert found.X.sum(axis=0).tolist() == (-np.diff([N, *above])).tolist()
    few = D.iloc[:3]
    np.testing.assert_array_equal(found.new(few).X, found.X[:3])


def test_missing_values_are_refused_or_left_out_as_written() -> None:
    for call in ("mean(m)", "sd(m)", "quantile(m, 0.5)", "rank(m)"):
        with pytest.raises(DataError, match="missing"):
            design(f"I(m - {call})")
    there = D.m.dropna()
    np.testing.assert_allclose(column("I(m - mean(m, na.rm = TRUE))"), there - there.mean())
    np.testing.assert_allclose(column("rank(m, na.last = 'keep')"), there.rank())


def test_a_rank_is_refused_where_it_does_not_exist() -> None:
    with pytest.raises(DataError, match="no rank among them"):
        design("rank(x)").new(D.assign(x=D.x + 0.05))


@pytest.mark.parametrize(
    "call",
    ["cumsum(x)", "diff(x)", "rev(x)", "sample(x)", "rnorm(24)", "length(x)", "tapply(x, g, x)"],
)
def test_what_new_data_cannot_answer_is_refused_with_the_reason(call: str) -> None:
    with pytest.raises(FormulaError, match="make it a column of the data first"):
        design(call)


@pytest.mark.parametrize(
    "call",
    [
        "cut(x, 1)",
        "cut(x, c(1, 1, 2))",
        "cut(x, 3, labels = c('a', 'b'))",
        "cut(x, 3, right = 2)",
        "quantile(x, 2)",
        "mean(x, na.rm = 3)",
        "lag(x, g, t, n = 0)",
        "lag(x, g)",
        "lag(x, t, g)",
        "between(x)",
        "between(x, g, g, g)",
        "rank(x, ties.method = 'random')",
        "reorder(g, x, FUN = median)",
    ],
)
def test_wrong_calls_are_typed_errors(call: str) -> None:
    with pytest.raises(NestedMLMError):
        design(f"I({call})")


def test_new_groups_have_the_means_of_the_rows_given_and_are_named() -> None:
    fit = nm.lmer("y ~ within(x, g) + between(x, g) + (1 | g)", D)
    new = D.iloc[:4].assign(g=["a", "a", "z", "z"])
    with pytest.warns(DataWarning, match=r"were not there at the fit \(z\)"):
        found = fit.design.new(new, new_levels="population").X
    means = D.groupby("g").x.mean()
    between = [means["a"], means["a"], *[new.x.iloc[2:].mean()] * 2]
    np.testing.assert_allclose(found[:, 2], between)
    np.testing.assert_allclose(found[:, 1], new.x - between, atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.predict(D.iloc[:2])


def test_lag_is_the_group_s_earlier_occasion_whatever_the_order_of_rows() -> None:
    mixed = D.sample(frac=1, random_state=0)
    expected = D.sort_values("t").groupby("g").x.shift(1)
    found = design("lag(x, g, t)", mixed)
    np.testing.assert_allclose(found.X[:, 1], expected.loc[mixed.index].dropna())
    assert "lag(x, g, t) (4)" in found.messages[0]
    two = D.sort_values("t").groupby("g").x.shift(2)
    np.testing.assert_allclose(column("lag(x, g, t, n = 2)"), two.dropna())


def test_lag_of_new_rows_looks_into_the_data_of_the_fit() -> None:
    found = design("lag(x, g, t)")
    one = D[(D.g == "a") & (D.t == 3)]
    assert found.new(one).X[0, 1] == D[(D.g == "a") & (D.t == 2)].x.item()
    ahead = pd.DataFrame({"y": 0.0, "x": [1.5, 2.5], "g": ["a", "a"], "t": [6, 7]})
    np.testing.assert_allclose(found.new(ahead).X[:, 1], [D[(D.g == "a")].x.iloc[-1], 1.5])
    np.testing.assert_allclose(
        found.new(ahead.drop(columns="x")).X[:, 1], [D.x[D.g == "a"].iloc[-1], np.nan]
    )
    with pytest.raises(DataError, match="two rows at time 6"):
        found.new(ahead.assign(t=6))


def test_lag_takes_dates() -> None:
    dated = D.assign(t=pd.Timestamp("2024-01-01") + pd.to_timedelta(D.t, unit="D"))
    np.testing.assert_array_equal(column("lag(x, g, t)", dated), column("lag(x, g, t)"))


def test_factors() -> None:
    category = pd.Categorical(D.g, categories=["z", *"dcba"])
    assert design("0 + droplevels(g)", D.assign(g=category)).x_names == tuple(
        f"droplevels(g){level}" for level in "dcba"
    )
    order = D.groupby("g").x.mean().sort_values().index
    assert design("0 + reorder(g, x)").x_names == tuple(f"reorder(g, x){level}" for level in order)
    names = design("0 + paste0(g, '_', k)").x_names
    assert names[0] == 'paste0(g, "_", k)a_0' and len(names) == 20


def test_an_old_posterior_keeps_what_was_learned(tmp_path) -> None:
    pytest.importorskip("h5netcdf")
    formula = "y ~ I(x - mean(x)) + within(x, g) + lag(x, g, t) + cut(x, 2) + (1 | g)"
    posterior = nm.lmer(formula, D).sample(sampler="psis", draws=50, seed=1)
    posterior.save(tmp_path / "p.nc")
    again = nm.load_bayesfit(tmp_path / "p.nc")
    some = D.iloc[9:14]
    np.testing.assert_array_equal(again.design.new(some).X, posterior.design.new(some).X)
