"""Marginal means, trends and hypotheses of types II and III from sums: those of the rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parts_of_tables import parts_of

import nestedmlm as nm
from nestedmlm.errors import OptionError, RowsNotHereError
from nestedmlm.statistics.cells import predictor_tally

RNG = np.random.default_rng(3)
N = 600
DATA = pd.DataFrame(
    {
        "g": np.arange(N) // 12,
        "a": pd.Categorical(RNG.choice(list("pqrs"), N, p=[0.4, 0.3, 0.2, 0.1])),
        "b": RNG.choice(["low", "high", "mid"], N),
        "x": RNG.normal(size=N) + 2.0,
        "z": RNG.gamma(3.0, size=N),
        "two": RNG.integers(0, 2, N).astype(float),
        "year": RNG.integers(2001, 2005, N),
        "yes": RNG.random(N) < 0.3,
        "site": RNG.integers(0, 6, N),
    }
).assign(
    region=lambda d: pd.Categorical.from_codes(d.site // 2, ["north", "east", "south"]),
    place=lambda d: "s" + d.site.astype(str),
    twice=lambda d: 2.0 * d.x,
)
DATA["y"] = DATA.x + DATA.a.cat.codes + RNG.normal(size=50)[DATA.g] + RNG.normal(size=N)
DATA.loc[[5, 77], "x"] = np.nan
EMPTY = DATA[~((DATA.a == "s") & (DATA.b == "mid"))]

MODELS: dict[str, tuple[str, pd.DataFrame, dict[str, Any]]] = {
    "interaction": ("y ~ a * b + x + (1 | g)", DATA, {}),
    "sum contrasts": ("y ~ a * b + a:x + x + (1 | g)", DATA, {"contrasts": {"a": "sum"}}),
    "an empty cell": ("y ~ a * b + x + (1 | g)", EMPTY, {}),
    "covariate of two values": ("y ~ a * two + x + (x | g)", DATA, {}),
    "a factor of numbers": ("y ~ factor(year) * a + log(z) + (1 | g)", DATA, {}),
    "polynomial, logical": ("y ~ a * poly(z, 2) + yes + (1 | g)", DATA, {}),
    "nested": ("y ~ region + region:place + x + (1 | g)", DATA, {}),
    "offset": ("y ~ a + x + offset(z) + (1 | g)", DATA, {}),
    "comparison": ("y ~ I(year > 2002) * b + scale(x) + (1 | g)", DATA, {}),
}


@cache
def fits(kind: str) -> tuple[nm.LmerFit, nm.LmerFit]:
    formula, data, options = MODELS[kind]
    return nm.summarise(formula, parts_of(data, 4), **options).fit(), nm.lmer(
        formula, data, **options
    )


def same(one: Any, other: Any) -> None:
    one, other = one.to_frame(), other.to_frame()
    pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", MODELS)
def test_hypotheses(kind: str) -> None:
    summed, rows = fits(kind)
    assert summed.design.rows is None
    for type in ("II", "III"):
        found, expected = summed.anova(type=type), rows.anova(type=type)
        same(found, expected)
        assert found.notes == expected.notes
        for label, L in expected.hypotheses.items():
            assert np.allclose(found.hypotheses[label], L, atol=1e-6)
    same(summed.drop1(), rows.drop1())


@pytest.mark.parametrize("weights", ["equal", "proportional", "outer", "cells", "flat"])
@pytest.mark.parametrize("kind", MODELS)
def test_means(kind: str, weights: str) -> None:
    summed, rows = fits(kind)
    factor = {"nested": "region", "comparison": "b"}.get(kind, "a")
    found, expected = (nm.emmeans(fit, factor, weights=weights) for fit in (summed, rows))
    same(found, expected)
    if weights == "equal":
        assert str(found) == str(expected)
        same(found.pairs(), expected.pairs())


@pytest.mark.parametrize("at", [None, {"x": [1.0, 2.0]}])
def test_trends(at: Any) -> None:
    summed, rows = fits("sum contrasts")
    same(nm.emtrends(summed, "a", var="x", at=at), nm.emtrends(rows, "a", var="x", at=at))
    with pytest.raises(OptionError, match="no numeric predictor; these are: x"):
        nm.emtrends(summed, "a", var="b")


def test_sums_that_were_saved_merged_and_shared(tmp_path: Any) -> None:
    formula = "y ~ a * b + x + (1 | g)"
    parts = [DATA[:200], DATA[200:]]
    whole = nm.summarise(formula, DATA, label="all")
    one = nm.summarise(formula, parts[0], like=whole, label="one")
    (one + nm.summarise(formula, parts[1], like=whole, label="two")).save(tmp_path / "s")
    again, expected = nm.load_summary(tmp_path / "s").fit(), fits("interaction")[1]
    same(nm.emmeans(again, "a"), nm.emmeans(expected, "a"))
    same(again.anova(), expected.anova())
    shared = whole.share(min_rows=2).fit()
    same(nm.emmeans(shared, "a"), nm.emmeans(expected, "a"))
    numbers = whole.share(min_rows=2).cells.tally.predictors.numbers["x"]
    assert numbers.low == numbers.high == pytest.approx(DATA.x.mean())
    rare = nm.summarise("y ~ a * b * two + (1 | g)", DATA).share(min_rows=10).fit()
    for verb in (lambda: nm.emmeans(rare, "a"), rare.anova):
        with pytest.raises(RowsNotHereError, match="which combinations of the factors"):
            verb()


def test_what_sums_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = nm.summarise("y ~ a * x + twice + b + (1 | g)", DATA).fit()
    with pytest.raises(RowsNotHereError, match=r"depend on each other by their numbers.*twice"):
        twice.anova()
    rows = nm.lmer("y ~ a * x + twice + b + (1 | g)", DATA)
    same(nm.emmeans(twice, "b"), nm.emmeans(rows, "b"))
    same(twice.drop1(), rows.drop1())
    many = DATA.assign(day=np.arange(N) % 60)
    days = nm.summarise("y ~ factor(day) + a + (1 | g)", many).fit()
    with pytest.raises(RowsNotHereError, match="make the factor a column of the data"):
        days.anova()
    with pytest.raises(RowsNotHereError, match="day has more than 50 values"):
        nm.emmeans(days, "a")
    monkeypatch.setattr(predictor_tally, "MOST_COMBINATIONS", 5)
    crowded = nm.summarise("y ~ a * b + (1 | g)", parts_of(DATA, 3)).fit()
    with pytest.raises(RowsNotHereError, match="so many combinations"):
        nm.emmeans(crowded, "a")


def test_a_posterior_of_sums() -> None:
    s = nm.summarise("y ~ a + x + (1 | g)", DATA)
    post = s.sample(sampler="psis", draws=100, chains=2, seed=1, progress=False)
    same(nm.emmeans(post, "a", at={"x": 1.0}), nm.emmeans(post, "a", at={"x": 1.0}))
    assert np.allclose(
        nm.emmeans(post, "a").to_frame().iloc[:, 1],
        nm.emmeans(fits("interaction")[1].update(". ~ a + x + (1 | g)"), "a").to_frame().iloc[:, 1],
        atol=0.3,
    )


def test_variance_partition_of_sums():
    table = nm.load_dataset("sleepstudy").assign(x=lambda d: np.sin(d.index) + d["Days"])
    formula = "Reaction ~ Days + x + (Days + x | Subject)"
    summary = nm.summarise(formula, table)
    mine, theirs = (f.variance_partition() for f in (summary.fit(), nm.lmer(formula, table)))
    for by in ("level", "component"):
        numbers = (p.to_frame(by).select_dtypes("number") for p in (mine, theirs))
        assert np.allclose(*numbers, rtol=1e-7, equal_nan=True)
    found = mine.to_frame("slope")["x"].to_numpy()
    expected = theirs.to_frame("slope")["x"].to_numpy()
    assert np.allclose(found[:5], expected[:5], rtol=0, atol=1e-12)  # days, which are counted
    assert np.allclose(found[[5, 9]], expected[[5, 9]])  # and of many values the ends
    assert np.isnan(found[6:9]).all()
    assert "NaN: quantiles" in str(mine)
    known = ~np.isnan(found)
    variances = (p.to_frame("slope")["variance"][known] for p in (mine, theirs))
    assert np.allclose(*variances, rtol=1e-6)
    shared = summary.share(min_rows=10).fit().variance_partition().to_frame("slope")
    assert shared["x"].iloc[5:].isna().all()  # which may not tell of extremes


def test_standardised_variables_are_summed_by_scale(tmp_path):
    """What `standardized()` of a fit from sums advises."""
    table = nm.load_dataset("sleepstudy")
    for k in range(2):
        table.iloc[k::2].to_parquet(tmp_path / f"part{k}.parquet")
    whole = nm.lmer("Reaction ~ Days + (Days | Subject)", table).standardized()
    with pytest.raises(nm.NestedMLMError, match=r"Put scale\(\) around"):
        nm.lmer("Reaction ~ Days + (Days | Subject)", tmp_path).standardized()
    summed = nm.lmer("scale(Reaction) ~ scale(Days) + (scale(Days) | Subject)", tmp_path)
    np.testing.assert_allclose(summed.fixef, whole.fixef, atol=1e-9)
    np.testing.assert_allclose(summed.bse, whole.bse, rtol=1e-7)
