"""Partitions that do not fit together: right numbers, or errors that name the partition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from parts_of_tables import parts_of, source_of
from test_sources import DATA

import nestedmlm as nm
from nestedmlm.errors import DataError, NewLevelsError, OverlapError, PartitionError
from nestedmlm.fits.summaries import saved, summarise
from nestedmlm.statistics.cells import cell_plan

FORMULA = "score ~ ses * sector + (ses | school) + (1 | room)"
THIRDS = [DATA.iloc[:1500], DATA.iloc[1500:2500], DATA.iloc[2500:]]


def of_parts(*changes, formula=FORMULA, **options):
    """Fit of three parts, each changed by a function, and the fit of all of them in memory."""
    parts = [change(part.copy()) for change, part in zip(changes, THIRDS, strict=True)]
    fit = nm.summarise(formula, source_of(parts), **options).fit()
    return fit, nm.lmer(formula, pd.concat(parts, ignore_index=True), **options)


def same(fit, like):
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    assert list(fit.fixef.index) == list(like.fixef.index)
    assert np.allclose(fit.fixef, like.fixef, rtol=1e-8)
    assert fit.messages == like.messages


def as_it_is(part):
    return part


def with_missing(part):
    part.loc[part.index[:40], "ses"] = np.nan
    part.loc[part.index[30:60], "score"] = np.nan
    part["school"] = part.school.astype(float)
    part.loc[part.index[100:110], "school"] = np.nan
    part.loc[part.index[200:205], "sector"] = None
    return part


def with_another_order(part):
    part["sector"] = part.sector.cat.reorder_categories(["public", "other", "private"])
    return part


WORKS = {
    "missing values, ids as floats": (as_it_is, with_missing, as_it_is),
    "all missing": (as_it_is, lambda p: p.assign(ses=np.nan), as_it_is),
    "no rows": (as_it_is, lambda p: p.iloc[:0], as_it_is),
    "no rows, objects": (as_it_is, lambda p: p.iloc[:0].astype(object), as_it_is),
    "text here, categories there": (as_it_is, lambda p: p.assign(sector=p.sector.astype(str)),
                                    as_it_is),
    "categories in another order": (as_it_is, with_another_order, as_it_is),
    "numbers of several types": (lambda p: p.assign(ses=p.ses.astype("Float64")),
                                 lambda p: p.assign(ses=p.ses.astype(object)), as_it_is),
    "ids as text": (*[lambda p: p.assign(room=p.room.astype(str))] * 3,),
    "ids as categories": (*[lambda p: p.assign(room=p.room.astype("category"))] * 3,),
    "small integers": (lambda p: p.assign(room=p.room.astype("int16")), as_it_is, as_it_is),
    "a level without complete rows": (*[
        lambda p: p.assign(ses=p.ses.where(p.sector != "other"))] * 3,),
}  # fmt: skip


@pytest.mark.parametrize("case", WORKS)
def test_partitions_that_differ_give_the_fit_in_memory(case):
    same(*of_parts(*WORKS[case]))


def test_rows_in_any_order_and_groups_everywhere():
    mixed = DATA.sample(frac=1.0, random_state=1)
    for formula in (FORMULA, "score ~ ses + (1 | school / sector)", "score ~ ses + (ses || room)",
                    "score ~ ses + (1 | school) + (1 | sector)"):  # fmt: skip
        fit = nm.summarise(formula, parts_of(mixed, 7)).fit()
        assert fit.criterion == pytest.approx(nm.lmer(formula, DATA).criterion, abs=1e-8)


def test_columns_that_depend_on_each_other():
    data = DATA.assign(twice=2.0 * DATA.ses, one=1.0)
    formula = "score ~ ses + twice + one + age + (1 | school)"
    fit, like = nm.summarise(formula, parts_of(data)).fit(), nm.lmer(formula, data)
    same(fit, like)
    assert fit.design.dropped == ("twice", "one")


REFUSED = {
    "text among numbers": (lambda p: p.assign(ses="x"), PartitionError,
                           r"part 2.*column ses holds text here and numbers"),
    "numbers among text": (lambda p: p.assign(sector=1.0), PartitionError,
                           r"part 2.*column sector holds numbers \(float64\) here and categories"),
    "no column": (lambda p: p.drop(columns="ses"), PartitionError,
                  r"part 2: the column ses is not there"),
    "infinite predictor": (lambda p: p.assign(ses=p.ses.replace(p.ses.iloc[3], np.inf)),
                           PartitionError, r"part 2: infinite values in ses"),
    "infinite response": (lambda p: p.assign(score=p.score.replace(p.score.iloc[3], np.inf)),
                          PartitionError, r"part 2: the response score holds infinite"),
    "ids of two types": (lambda p: p.assign(room="r" + p.room.astype(str)), PartitionError,
                         r"part 2: room holds text here and numbers \(int64\) in part 1; 308"),
    "dates as a predictor": (lambda p: p.assign(ses=pd.Timestamp("2020-01-01")), PartitionError,
                             r"part 2.*column ses"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_partitions_that_do_not_fit_are_named(case):
    change, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        of_parts(as_it_is, change, as_it_is)


@pytest.mark.parametrize("looks", [lambda x: x - np.mean(x), lambda x: np.argsort(x) * 1.0])
def test_functions_that_look_at_the_whole_column(looks):
    with pytest.raises(PartitionError, match=r"looks at the whole column.*scale\(x\) or center"):
        nm.summarise("score ~ looks(ses) + (1 | school)", source_of(THIRDS))
    fit = nm.summarise("score ~ np.log1p(age) + (1 | school)", source_of(THIRDS)).fit()
    like = nm.lmer("score ~ np.log1p(age) + (1 | school)", DATA)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)


def test_errors_say_the_partition_and_survive_pickling():
    import pickle

    with pytest.raises(PartitionError) as caught:
        of_parts(as_it_is, lambda p: p.assign(ses="x"), as_it_is)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.partition, str(again)) == (caught.value.partition, str(caught.value))
    assert again.partition == "part 2"


def test_weights():
    with pytest.raises(nm.DataError, match=r"part 2: weights must not be negative"):
        of_parts(*[lambda p: p.assign(w=1.0)], lambda p: p.assign(w=-1.0),
                 lambda p: p.assign(w=1.0), weights="w")  # fmt: skip
    same(*of_parts(*[lambda p: p.assign(w=p.age)] * 3, weights="w"))


def test_missing_rows_raise_after_the_last_partition():
    with pytest.raises(nm.DataError, match=r"missing values in score \(30\), ses \(40\)"):
        parts = [THIRDS[0], with_missing(THIRDS[1].copy()), THIRDS[2]]
        nm.summarise("score ~ ses + (1 | room)", source_of(parts), na_action="raise")


def test_nothing_to_fit():
    with pytest.raises(nm.DataError, match="empty"):
        nm.summarise(FORMULA, DATA.iloc[:0])
    with pytest.raises(nm.DataError, match="every row has a missing value"):
        nm.summarise("score ~ ses + (1 | school)", DATA.assign(ses=np.nan))
    with pytest.raises(nm.DataError, match="is constant"):
        nm.summarise("score ~ ses + (1 | school)", DATA.assign(score=1.0)).fit()
    with pytest.raises(nm.DataError, match="> 1 sampled level"):
        nm.summarise("score ~ ses + (1 | school)", DATA.assign(school=1)).fit()
    constant_in_parts = DATA.assign(ses=np.repeat([1.0, 2.0, 3.0, 4.0], 1000))
    fit = nm.summarise("score ~ ses + (1 | school)", parts_of(constant_in_parts, 4)).fit()
    like = nm.lmer("score ~ ses + (1 | school)", constant_in_parts)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)


def test_levels_of_new_data():
    old = nm.summarise("score ~ sector + (1 | school)", DATA[DATA.sector != "other"])
    with pytest.raises(NewLevelsError, match=r"rows 0 to.*sector has levels.*other"):
        nm.summarise("score ~ sector + (1 | school)", DATA, like=old)


def test_digits_of_shifted_data():
    formula = "score ~ ses + age + (ses | school) + (1 | room)"
    like = nm.lmer(formula, DATA)
    for shift, bound in ((1e4, 1e-8), (1e7, 1e-6), (1e9, 1e-4)):
        moved = DATA.assign(score=DATA.score + shift, age=DATA.age + 2000.0)
        fit = nm.summarise(formula, parts_of(moved)).fit()
        assert fit.criterion == pytest.approx(like.criterion, abs=bound)


def files_of(folder):
    for number, part in enumerate(THIRDS):
        part.to_parquet(folder / f"{number}.parquet")
    return [folder / f"{number}.parquet" for number in range(3)]


@pytest.mark.parametrize("what", ["longer", "other values", "gone"])
def test_files_that_change_between_the_looks(what, tmp_path, monkeypatch):
    """The second file is written anew after its levels were learned."""
    files = files_of(tmp_path)
    plan = summarise.plan_cells

    def then_change(*arguments):
        if what == "gone":
            files[1].unlink()
        else:
            other = pd.concat(THIRDS) if what == "longer" else THIRDS[1].assign(ses=THIRDS[0].age)
            other.to_parquet(files[1])
        return plan(*arguments)

    monkeypatch.setattr(summarise, "plan_cells", then_change)
    with pytest.raises(PartitionError, match=r"1\.parquet.*has changed since the data were opened"):
        nm.summarise(FORMULA, tmp_path)


def test_a_file_that_changes_while_it_is_predicted(tmp_path):
    files = files_of(tmp_path)
    predictions = nm.lmer(FORMULA, tmp_path).predict(tmp_path)
    next(predictions)
    pd.concat(THIRDS).to_parquet(files[2])
    with pytest.raises(PartitionError, match=r"2\.parquet.*has changed"):
        list(predictions)


def test_ids_that_are_used_again_in_each_parent():
    data = DATA.assign(pupil=np.arange(len(DATA)) % 7)
    formula = "score ~ ses + (1 | school / pupil)"
    same(nm.summarise(formula, parts_of(data)).fit(), nm.lmer(formula, data))


def test_large_partitions_are_taken_in_slices(monkeypatch):
    monkeypatch.setattr(cell_plan, "ROWS_AT_ONCE", 300)
    same(*of_parts(as_it_is, as_it_is, as_it_is))


def test_sums_of_another_format(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "FORMAT", 999)
    nm.summarise(FORMULA, DATA).save(tmp_path / "s")
    monkeypatch.undo()
    with pytest.raises(nm.DataError, match="this summary is of format 999"):
        nm.load_summary(tmp_path / "s")


def test_a_partition_twice(tmp_path):
    files_of(tmp_path)
    s = nm.summarise(FORMULA, tmp_path)
    with pytest.raises(OverlapError, match=r"0\.parquet"):
        s + nm.summarise(FORMULA, tmp_path / "0.parquet", like=s)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_sizes_that_cannot_be_squared_are_refused(size):
    sleepstudy = nm.load_dataset("sleepstudy")
    with pytest.raises(DataError, match="the predictor Days is of size"):
        nm.summarise(
            "Reaction ~ Days + (1 | Subject)", sleepstudy.assign(Days=sleepstudy.Days * size)
        ).fit()
