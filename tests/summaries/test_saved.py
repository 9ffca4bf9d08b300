"""Summaries add up, are saved and shared; a part of their formula is fitted from them."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from parts_of_tables import parts_of
from test_sources import DATA

import nestedmlm as nm
from nestedmlm.errors import DataError, OverlapError, RowsNotHereError

pa = pytest.importorskip("pyarrow")

FORMULA = "score ~ poly(ses, 2) * sector + (ses | school) + (1 | room)"
SUMMARY = nm.summarise(FORMULA, parts_of(DATA))
SMALLER = [
    "score ~ poly(ses, 2) + sector + (1 | school) + (1 | room)",
    "score ~ sector + (1 | room)",
    "score ~ 1 + (ses || school)",
    "score ~ 1 + (0 + ses | school) + (1 | room)",
    "score ~ 1 + (1 | school/room)",
]


@pytest.mark.parametrize("formula", SMALLER)
def test_smaller_formulas(formula):
    like, fit = nm.lmer(formula, DATA), SUMMARY.fit(formula)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    assert np.allclose(fit.fixef, like.fixef, rtol=1e-8)
    changed = SUMMARY.fit(". ~ . - poly(ses, 2):sector")
    assert "poly(ses, 2)1:sectorpublic" not in changed.fixef.index


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("score ~ age + (1 | school)", "age was not summed"),
        ("score ~ sector + (1 | age)", "age was not summed"),
        ("log(score) ~ sector + (1 | school)", "the response that was summed"),
        ("score ~ ses:sector + (1 | school)", "were not summed"),
        ("score ~ sector + offset(ses) + (1 | school)", "offset cannot be added"),
    ],
)
def test_formulas_that_were_not_summed(formula, message):
    with pytest.raises(nm.FormulaError, match=message):
        SUMMARY.fit(formula)


def test_appended_data():
    first = nm.summarise(FORMULA, DATA[:2000], label="monday")
    today = nm.summarise(FORMULA, DATA[2000:], like=first, label="tuesday")
    both = first + today
    assert both.sources == ("monday", "tuesday")
    assert both.nobs == len(DATA)
    # the polynomial stays monday's: another coding, the same model but for log|X'X|
    ml = both.fit(REML=False)
    assert ml.criterion == pytest.approx(nm.lmer(FORMULA, DATA, REML=False).criterion, abs=1e-7)
    with pytest.raises(OverlapError, match="tuesday"):
        both + today
    assert both.merge(today, allow_overlap=True).nobs == len(DATA) + 2000


def test_summaries_of_other_columns_do_not_add_up():
    other = nm.summarise(FORMULA, DATA[2000:])
    with pytest.raises(nm.DataError, match="learned other numbers"):
        SUMMARY + other
    with pytest.raises(nm.DataError, match="two formulas"):
        SUMMARY + nm.summarise("score ~ ses + (1 | school)", DATA)
    with pytest.raises(nm.DataError, match="a Summary adds"):
        SUMMARY + 1
    simple = "score ~ sector + (1 | school)"
    few = nm.summarise(simple, DATA[DATA.sector != "other"])
    with pytest.raises(nm.DataError, match="levels"):
        nm.summarise(simple, DATA) + few
    with pytest.raises(nm.NestedMLMError, match=r"levels that were not there.*other"):
        nm.summarise(simple, DATA, like=few)


def test_the_same_files_twice(tmp_path):
    DATA.to_parquet(tmp_path / "a.parquet")
    one = nm.summarise(FORMULA, tmp_path / "a.parquet")
    with pytest.raises(OverlapError, match=r"a\.parquet"):
        one + nm.summarise(FORMULA, tmp_path / "a.parquet", like=one)


def touched(path, folder):
    os.utime(path, (0, 0))
    return path


def copied(path, folder):
    return shutil.copy(path, folder / "b.parquet")


def recompressed(path, folder):
    pd.read_parquet(path).to_parquet(folder / "b.parquet", compression="gzip", index=False)
    return folder / "b.parquet"


def in_memory(path, folder):
    """As other types and columns, its levels in another order."""
    data = pd.read_parquet(path).astype({"sector": "category", "school": "int32"})
    data["sector"] = data["sector"].cat.reorder_categories(data["sector"].unique().tolist()[::-1])
    return data.assign(more=1.0)[sorted([*data.columns, "more"])]


@pytest.mark.parametrize("again", [touched, copied, recompressed, in_memory])
def test_rows_are_known_again_wherever_they_are(again, tmp_path):
    rows = DATA.reset_index(drop=True)
    rows.to_parquet(tmp_path / "a.parquet")
    one = nm.summarise(FORMULA, tmp_path / "a.parquet")
    two = nm.summarise(FORMULA, again(tmp_path / "a.parquet", tmp_path), like=one)
    with pytest.raises(OverlapError, match=r"a\.parquet, row groups 0-0") as caught:
        one + two
    assert "@" not in str(caught.value)
    assert one.merge(two, allow_overlap=True).nobs == 2 * one.nobs
    path = tmp_path / "one.nms"
    two.save(path)
    with pytest.raises(OverlapError):
        one + nm.load_summary(path)


@pytest.mark.parametrize(
    "column",
    [lambda d: d.score + 1.0, lambda d: [*d.score[-2::-1], d.score.iloc[-1]]],
    ids=["moved", "all but the last turned"],
)
def test_a_file_that_is_overwritten_adds_up(column, tmp_path):
    path = tmp_path / "a.parquet"
    DATA.to_parquet(path)
    one = nm.summarise(FORMULA, path)
    about = path.stat()
    DATA.assign(score=column(DATA)).to_parquet(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (one + nm.summarise(FORMULA, path, like=one)).nobs == 2 * one.nobs


def test_predictors_and_groups_tell_rows_apart():
    one = nm.summarise(FORMULA, DATA)
    for name, values in (("ses", DATA.ses + 1.0), ("school", DATA.school + 1000)):
        other = nm.summarise(FORMULA, DATA.assign(**{name: values}), like=one)
        assert (one + other).nobs == 2 * one.nobs


def test_groups_of_text_are_known_again_by_their_names(tmp_path):
    data = DATA.assign(school="s" + DATA.school.astype(str))
    data.to_parquet(tmp_path / "a.parquet")
    formula = "score ~ ses + (1 | school)"
    one = nm.summarise(formula, tmp_path / "a.parquet")
    turned = pd.Categorical(data.school, categories=data.school.unique()[::-1])
    with pytest.raises(OverlapError):
        one + nm.summarise(formula, data.assign(school=turned), like=one)


def test_copies_among_the_files_are_said(tmp_path, caplog):
    DATA.to_parquet(tmp_path / "a.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert nm.summarise(FORMULA, tmp_path).nobs == 2 * len(DATA)
    assert "are they copies?" in caplog.text
    assert "b.parquet, row groups 0-0 (the rows of" in caplog.text


def test_a_task_that_was_run_again():
    plan = nm.plan(FORMULA, DATA)
    parts = [plan.summarise(DATA[:2000], label="first"), plan.summarise(DATA[2000:])]
    assert plan.merge(parts).nobs == len(DATA)
    with pytest.raises(OverlapError, match=r"twice: first;"):
        plan.merge([*parts, parts[0]])
    assert plan.merge([*parts, parts[0]], allow_overlap=True).nobs == len(DATA) + 2000
    for tables in ([3], [DATA]):
        with pytest.raises(DataError, match=r"a list of the tables that plan\.summarise made"):
            plan.merge(tables)


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "scores.nms"
    SUMMARY.save(path)
    again = nm.load_summary(path)
    assert again.fit().criterion == SUMMARY.fit().criterion
    assert again.nobs == SUMMARY.nobs
    assert str(again) == str(SUMMARY)
    assert again.fit(SMALLER[1]).criterion == SUMMARY.fit(SMALLER[1]).criterion
    new = DATA.head(7)
    assert np.allclose(again.fit().predict(new), SUMMARY.fit().predict(new), rtol=1e-12)
    assert (again + nm.summarise(FORMULA, DATA[:100], like=again)).nobs == len(DATA) + 100
    assert not list(tmp_path.glob("*.part"))
    assert pickle.loads(pickle.dumps(SUMMARY)).fit().criterion == SUMMARY.fit().criterion


def test_saved_with_weights_offsets_and_text_groups(tmp_path):
    data = DATA.assign(w=np.linspace(0.5, 2.0, len(DATA)), school="s" + DATA.school.astype(str))
    s = nm.summarise("score ~ ses + offset(age) + (ses | school)", parts_of(data), weights="w")
    s.save(tmp_path / "s")
    fit = nm.load_summary(tmp_path / "s").fit()
    like = nm.lmer("score ~ ses + offset(age) + (ses | school)", data, weights="w")
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    names, others = (f.ranef().select_dtypes(exclude="number").astype(str) for f in (fit, like))
    assert names.equals(others)


def test_own_functions_are_asked_for(tmp_path):
    def half(x):
        return np.asarray(x) / 2.0

    s = nm.summarise("score ~ half(ses) + (1 | school)", DATA)
    s.save(tmp_path / "s")
    assert nm.load_summary(tmp_path / "s").fit().criterion == s.fit().criterion
    with pytest.raises(nm.NestedMLMError, match="half"):
        nm.load_summary(tmp_path / "s").fit().predict(DATA.head(2))
    given = nm.load_summary(tmp_path / "s", functions={"half": half})
    assert np.allclose(given.fit().predict(DATA.head(2)), s.fit().predict(DATA.head(2)))


def test_files_that_hold_no_summary(tmp_path):
    DATA.to_parquet(tmp_path / "data.parquet")
    (tmp_path / "text").write_text("no")
    for path, message in (("data.parquet", "no summary"), ("text", "no Parquet"), ("x", "no file")):
        with pytest.raises(nm.DataError, match=message):
            nm.load_summary(tmp_path / path)


def test_shared():
    s = nm.summarise("score ~ ses * sector + (ses | school) + (1 | room)", DATA, label="ours")
    shared = s.share(min_rows=20)
    assert shared.fit().criterion == pytest.approx(s.fit().criterion, abs=1e-8)
    assert shared.sources == ()
    assert shared.cells.tally.at_low == shared.cells.tally.at_high == 0
    assert shared.plan.pilot is None
    assert not np.array_equal(shared.cells.keys["room"], s.cells.keys["room"])
    with pytest.raises(nm.DataError, match=r"200 of 200 combinations.*fewer than 21"):
        s.share(min_rows=21)
    schools = s.share(min_rows=100, groups=["school"])
    like = nm.lmer("score ~ ses * sector + (ses | school)", DATA)
    assert schools.fit().criterion == pytest.approx(like.criterion, abs=1e-8)
    with pytest.raises(nm.NestedMLMError, match="no grouping variable"):
        s.share(groups=["town"])


def test_levels_of_few_rows_are_not_shared():
    data = DATA.assign(kind=np.where(np.arange(len(DATA)) < 3, "rare", "common"))
    with pytest.raises(nm.DataError, match=r"1 level.*kind"):
        nm.summarise("score ~ kind + (1 | school)", data).share()


def test_a_plan_for_other_engines():
    plan = nm.plan(FORMULA, parts_of(DATA))
    assert set(plan.columns) == {"score", "ses", "sector", "school", "room"}
    tables = [pa.Table.from_pandas(DATA[a : a + 500]) for a in range(0, len(DATA), 500)]
    again = pickle.loads(pickle.dumps(plan))
    sums = [again.summarise(table) for table in tables]
    assert sums[0].schema.names == ["summary"]
    s = plan.merge([pa.concat_tables(sums[:3]), *sums[3:]], label="all")
    assert s.fit().criterion == pytest.approx(SUMMARY.fit().criterion, abs=1e-8)
    with pytest.raises(nm.DataError, match="no sums"):
        plan.merge([])
    with pytest.raises(nm.DataError, match="a table: "):
        plan.summarise(DATA.assign(ses="x"))


def test_posterior_of_sums_is_that_of_rows():
    formula = "score ~ ses + (1 | school)"
    options = {"sampler": "psis", "draws": 100, "seed": 4}
    rows = nm.lmer(formula, DATA).sample(**options).parameters().select_dtypes("number")
    sums = nm.summarise(formula, parts_of(DATA)).sample(**options)
    again = sums.parameters().select_dtypes("number")
    assert np.allclose(again, rows, rtol=1e-7, atol=1e-9, equal_nan=True)
    with pytest.raises(RowsNotHereError):
        sums.predict()


def test_posteriors_of_files_are_saved(tmp_path):
    DATA.to_parquet(tmp_path / "a.parquet")
    s = nm.summarise("score ~ ses + (1 | school)", tmp_path / "a.parquet")
    posterior = s.sample(sampler="psis", draws=100, seed=4)
    posterior.save(tmp_path / "posterior.nc")
    again = nm.load_bayesfit(tmp_path / "posterior.nc")
    assert again.sigma == posterior.sigma
    assert np.allclose(again.predict(DATA[:3]), posterior.predict(DATA[:3]))


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: SUMMARY.fit("score ~ sector"), nm.FormulaError, "sums are by group: keep one"),
        (lambda: SUMMARY.save("/no/such/folder/x.nms"), nm.DataError, "no directory '/no/such/f"),
        (lambda: nm.summarise(FORMULA, DATA, like="x"), nm.NestedMLMError, "like must be a Summ"),
        (lambda: nm.lmer(FORMULA, SUMMARY), nm.DataError, r"not .* Summary; .*s\.fit\(formula\)"),
        (lambda: nm.pymc_lmer(FORMULA, "x.parquet"), nm.DataError, r"nm\.summarise\(formula, path"),
    ],
    ids=["no groups", "folder", "like", "lmer", "pymc_lmer"],
)
def test_doors_that_sums_do_not_take(ask, error, message):
    with pytest.raises(error, match=message):
        ask()


@pytest.mark.parametrize(
    ("khat", "asked", "used"),
    [
        (0.7, {}, "psis"),
        pytest.param(0.7, {"tune": 20}, "nutpie", marks=pytest.mark.slow),
        pytest.param(-9.0, {}, "nutpie", marks=pytest.mark.slow),
    ],
    ids=["many", "as asked for", "refused"],
)
def test_many_random_effects_are_sampled_by_importance(monkeypatch, caplog, khat, asked, used):
    s = nm.summarise("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    monkeypatch.setattr("nestedmlm.fits.summaries.sample_summary.MANY_EFFECTS", 6)
    monkeypatch.setattr("nestedmlm.bayes.sampling.psis.MAX_KHAT", khat)
    with caplog.at_level("WARNING", logger="nestedmlm"):
        posterior = s.sample(draws=250, seed=1, progress=False, **asked)
    assert posterior.run.sampler == used
    assert ("given up for NUTS" in caplog.text) == (khat < 0.0)


def test_fits_of_a_summary_that_was_read_twice_are_compared(tmp_path):
    whole = nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    whole.save(tmp_path / "x.nms")
    small, large = (
        nm.load_summary(tmp_path / "x.nms").fit(formula, REML=False)
        for formula in ("Reaction ~ 1 + (Days | Subject)", None)
    )
    found = nm.anova(small, large).to_frame()["p_value"].iloc[-1]
    expected = nm.anova(
        whole.fit("Reaction ~ 1 + (Days | Subject)", REML=False), whole.fit(REML=False)
    )
    assert found == pytest.approx(expected.to_frame()["p_value"].iloc[-1], rel=1e-9)


LEAVES_OUT = {
    "fragility": lambda fit: fit.fragility("ses", by="school", progress=False),
    "fragility of a ratio": lambda fit: nm.anova(
        fit.update("score ~ 1 + (ses | school) + (1 | room)"), fit
    ).fragility("school", progress=False),
    "influence": lambda fit: fit.influence("school", progress=False),
    "loo": lambda fit: fit.loo("group", progress=False),
    "loo of a factor": lambda fit: fit.loo("school", progress=False),
}


@pytest.mark.parametrize("verb", LEAVES_OUT)
def test_groups_of_sums_are_left_out_as_the_text_says(verb):
    """The sums of all rows do not tell those of a group; sums of parts can be merged without it."""
    formula = "score ~ ses + (ses | school) + (1 | room)"
    s = nm.summarise(formula, DATA)
    with pytest.raises(RowsNotHereError, match=r"leaving out a group.*like=s.*\(two \+ three\)"):
        LEAVES_OUT[verb](s.fit(REML=False))


def test_parts_that_are_merged_without_one():
    formula = "score ~ ses + (ses | school) + (1 | room)"
    s = nm.summarise(formula, DATA)
    one, two, three = (
        nm.summarise(formula, part, like=s, label=str(site))
        for site, part in DATA.groupby(DATA.school % 3)
    )
    like = nm.lmer(formula, DATA[DATA.school % 3 != 0])
    assert (two + three).fit().criterion == pytest.approx(like.criterion, abs=1e-8)
    whole = (one + two + three).fit()
    assert whole.criterion == pytest.approx(s.fit().criterion, abs=1e-8)
