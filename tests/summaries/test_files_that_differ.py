"""Parquet files, streams, Dask's frames as users have them: the fit in memory, or an error."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import ColumnNotFoundError, PartitionError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
dd = pytest.importorskip("dask.dataframe", reason="needs Dask: pip install nestedmlm[dask]")

FORMULA = "score ~ ses + sector + (ses | school) + (1 | room)"


def pupils() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    school = rng.integers(0, 20, 900)
    room = school * 3 + rng.integers(0, 3, 900)
    data = pd.DataFrame({"school": school, "room": room, "ses": rng.normal(size=900).round(3)})
    data["sector"] = np.where(school % 3 == 0, "private", "public")
    effects, slopes = rng.normal(size=60), 2 + rng.normal(size=20)
    data["score"] = effects[room] + slopes[school] * data.ses + rng.normal(size=900)
    return data


DATA = pupils()
PARTS = [DATA[:300], DATA[300:600], DATA[600:]]
LIKE = nm.lmer(FORMULA, DATA)


def arrow(part, **columns):
    table = pa.Table.from_pandas(part, preserve_index=False)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def written(folder: Path, tables) -> Path:
    for number, table in enumerate(tables):
        pq.write_table(table if isinstance(table, pa.Table) else arrow(table), folder / f"{number}")
    return folder


def decimals(values, digits):
    return pa.array([Decimal(str(v)) for v in values], pa.decimal128(12, digits))


def categories(part, *levels):
    return part.assign(sector=pd.Categorical(part.sector, levels))


def nothing(part):
    return pa.nulls(len(part))


WORKS = {
    "a file of no rows": [PARTS[0], PARTS[0][:0], *PARTS[1:]],
    "the first of no rows": [PARTS[0][:0], *PARTS],
    "no rows, categories": [categories(PARTS[0][:0], "x"), *PARTS],
    "other dictionaries": [
        categories(PARTS[0], "private", "public"),
        categories(PARTS[1], "public", "other", "private"),
        PARTS[2],
    ],
    "dictionaries of ids": [part.assign(room=part.room.astype("category")) for part in PARTS],
    "decimals": [
        PARTS[0],
        arrow(PARTS[1], ses=decimals(PARTS[1].ses, 3), room=decimals(PARTS[1].room, 0)),
        PARTS[2],
    ],
    "whole floats as ids": [PARTS[0].assign(room=PARTS[0].room.astype(float)), *PARTS[1:]],
    "a further column": [PARTS[0], PARTS[1].assign(more=1), PARTS[2]],
    "dates as ids": [
        part.assign(room=pd.Timestamp("2020-01-01") + pd.to_timedelta(part.room, "D"))
        for part in PARTS
    ],
}


@pytest.mark.parametrize("case", WORKS)
def test_files_that_differ_give_the_fit_in_memory(case, tmp_path):
    fit = nm.lmer(FORMULA, written(tmp_path, WORKS[case]))
    assert fit.criterion == pytest.approx(LIKE.criterion, abs=1e-8)
    assert (fit.nobs, fit.ngrps.to_dict()) == (LIKE.nobs, LIKE.ngrps.to_dict())


@pytest.mark.parametrize("column", ["sector", "ses", "room"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_without_any_value_of_a_column(column, which, tmp_path):
    tables = [arrow(p, **{column: nothing(p)}) if k == which else p for k, p in enumerate(PARTS)]
    fit = nm.lmer(FORMULA, written(tmp_path, tables))
    like = nm.lmer(FORMULA, DATA.drop(PARTS[which].index))
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    assert list(fit.fixef.index) == list(like.fixef.index)


def test_values_that_the_first_rows_do_not_have(monkeypatch, tmp_path):
    """None of the files that are looked at first has a value of the factor."""
    from nestedmlm.design.partitions import learning

    monkeypatch.setattr(learning, "PILOT_PARTITIONS", 2)
    none = [arrow(part, sector=nothing(part)) for part in (PARTS[0], PARTS[2])]
    fit = nm.lmer(FORMULA, written(tmp_path, [none[0], PARTS[1], PARTS[0], none[1]]))
    like = nm.lmer(FORMULA, DATA[:600])
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)


def changed(number, **columns):
    return [p.assign(**columns) if k == number else p for k, p in enumerate(PARTS)]


REFUSED = {
    "numbers, then text": (changed(1, ses="1"), r"/1, row.*column ses holds text here and numbers"),
    "text, then numbers": (changed(0, ses=DATA.ses.astype(str)),
                           r"/1, row.*ses holds numbers \(float64\) here and text in .*/0, row"),
    "text, then truth": (changed(1, sector=True),
                         r"/1, row.*sector holds TRUE and FALSE here and text in .*/0, row"),
    "ids, then text": (changed(1, room=DATA.room.astype(str)),
                       r"/1, row.*room holds text here and numbers \(int64\) in .*/0, row"),
    "ids, then dates": (changed(1, room=pd.Timestamp("2020-01-01")),
                        r"/1, row.*room holds dates or other objects here and numbers \(int64\)"),
    "ids that floats round": (changed(1, room=(DATA.room + 2**60).astype(float)),
                              r"/1, row.*room holds numbers \(float64\) here.*not exact as floats"),
    "a column that the first lacks": ([PARTS[0].drop(columns="sector"), *PARTS[1:]],
                                      r"/0, row.*the column sector is not there"),
    "a column that another lacks": ([*PARTS[:2], PARTS[2].drop(columns="ses")],
                                    r"/2, row.*the column ses is not there"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_do_not_fit_are_named_with_types(case, tmp_path):
    tables, message = REFUSED[case]
    with pytest.raises(PartitionError, match=message):
        nm.lmer(FORMULA, written(tmp_path, tables))


def test_dot_is_not_what_the_first_file_happens_to_have(tmp_path):
    written(tmp_path, changed(1, more=1))
    with pytest.raises(PartitionError, match=r"/0, row groups 0-0: the column more is not there"):
        nm.lmer("score ~ . - school - room + (1 | room)", tmp_path)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_files_that_are_not_whole(which, left, tmp_path):
    broken = written(tmp_path, PARTS) / f"{which}"
    content = broken.read_bytes()
    broken.write_bytes(content[: int(left * len(content))])
    with pytest.raises(nm.DataError, match=rf"/{which}\W.*cannot be read|cannot be read.*/{which}"):
        nm.lmer(FORMULA, tmp_path)


def test_pages_that_are_not_whole(tmp_path):
    broken = written(tmp_path, PARTS) / "1"
    content = bytearray(broken.read_bytes())
    content[4:2000] = b"\xff" * 1996
    broken.write_bytes(content)
    with pytest.raises(PartitionError, match=r"/1, row groups 0-0 cannot be read"):
        nm.lmer(FORMULA, tmp_path)


def test_a_file_that_is_named_twice(tmp_path):
    written(tmp_path, PARTS)
    files = [tmp_path / "0", tmp_path / "1", tmp_path / "2", tmp_path / "." / "1"]
    with pytest.raises(nm.DataError, match=r"/1: named twice"):
        nm.lmer(FORMULA, files)
    assert nm.lmer(FORMULA, files[:3]).nobs == len(DATA)


def test_tables_without_a_column_of_the_summary():
    s = nm.summarise(FORMULA, DATA)
    with pytest.raises(ColumnNotFoundError, match="the table has no column ses"):
        nm.summarise(FORMULA, DATA.drop(columns="ses"), like=s)
    plan = nm.plan(FORMULA, DATA)
    with pytest.raises(nm.DataError, match=r"plan\.summarise made"):
        plan.merge([arrow(DATA)])


# --- streams --------------------------------------------------------------------------------------
def reader(*parts, error=None):
    def batches():
        for part in parts:
            yield from arrow(part).to_batches()
        if error is not None:
            raise error

    return pa.RecordBatchReader.from_batches(arrow(DATA).schema, batches())


NUMBERS = "score ~ ses + (ses | school)"


@pytest.mark.parametrize("error", [OSError("the network"), ValueError("the network")])
def test_streams_that_break_off(error):
    with pytest.raises(PartitionError, match=r"part 1 of the stream cannot be read.*the network"):
        nm.lmer(NUMBERS, reader(PARTS[0], error=error))


def test_streams_that_were_read():
    stream = reader(*PARTS)
    nm.lmer(NUMBERS, stream)
    with pytest.raises(nm.DataError, match="empty"):
        nm.lmer(NUMBERS, stream)
    stream = reader(*PARTS)
    with pytest.raises(nm.DataError, match="nothing in it now: give a function that makes a new"):
        nm.lmer(FORMULA, lambda: stream)


# --- Dask's frames --------------------------------------------------------------------------------
def on_dask(parts):
    return dd.from_map(lambda k: parts[k], range(len(parts)), meta=DATA.head(0))


def test_frames_of_unknown_divisions_and_empty_partitions():
    frame = on_dask([PARTS[0][:0], *PARTS])
    assert not frame.known_divisions
    fit = nm.lmer(FORMULA, frame)
    assert fit.criterion == pytest.approx(LIKE.criterion, abs=1e-8)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (changed(1, room=DATA.room.astype(str)),
         r"partition 1: room holds text here and numbers \(int64\) in partition 0"),
        ([PARTS[0], PARTS[1].drop(columns="ses"), PARTS[2]], "partition.*ses"),
    ],
)  # fmt: skip
def test_partitions_that_are_not_what_dask_was_told(parts, message):
    with pytest.raises(PartitionError, match=message):
        nm.lmer(FORMULA, on_dask(parts))


def test_a_column_of_dask_is_no_table():
    with pytest.raises(nm.DataError, match="a Dask DataFrame, not a Series"):
        nm.lmer(FORMULA, on_dask(PARTS).ses)
