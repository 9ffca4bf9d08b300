"""Data of every kind in partitions give the fit of the table in memory."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from parts_of_tables import parts_of, source_of

import nestedmlm as nm
from nestedmlm.design.partitions.on_partitions import each_partition
from nestedmlm.design.partitions.partition import Partition, Source
from nestedmlm.design.partitions.sources import is_source, open_source
from nestedmlm.errors import PartitionError

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
ds = pytest.importorskip("pyarrow.dataset")

FORMULA = (
    "score ~ scale(ses) * sector + poly(age, 2) + ns(ses, df = 4) + (ses | school) + (1 | room)"
)


def pupils(n: int = 4000, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    schools, rooms = n // 100, n // 20
    school, room = np.repeat(np.arange(schools), 100), np.repeat(np.arange(rooms), 20)
    sector = np.array(["public", "private", "other"])[rng.integers(0, 3, schools)]
    data = pd.DataFrame(
        {
            "school": school,
            "room": room,
            "ses": rng.normal(size=n),
            "age": rng.normal(size=n) + 12.0,
            "sector": pd.Categorical(sector[school]),
        }
    )
    data["score"] = (
        1.0 + 0.3 * data.ses + rng.normal(size=schools)[school]
        + 0.3 * rng.normal(size=schools)[school] * data.ses
        + 0.5 * rng.normal(size=rooms)[room] + rng.normal(size=n)
    )  # fmt: skip
    return data


DATA = pupils()
IN_MEMORY = nm.lmer(FORMULA, DATA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("pupils")
    for k in range(4):
        DATA.iloc[k * 1000 : (k + 1) * 1000].to_parquet(
            path / f"part{k}.parquet", row_group_size=300
        )
    return path


def batches():
    table = pa.Table.from_pandas(DATA, preserve_index=False)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=700))


SOURCES = {
    "pattern": lambda folder: f"{folder}/*.parquet",
    "directory": lambda folder: folder,
    "list": lambda folder: sorted(folder.glob("*.parquet")),
    "data set": lambda folder: ds.dataset(folder),
    "DuckDB": lambda folder: duckdb.sql(f"select * from '{folder}/*.parquet'"),
    "function": lambda folder: batches,
    "lazy frame": lambda folder: pl.scan_parquet(f"{folder}/*.parquet"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_fit_in_memory(kind, folder):
    source = SOURCES[kind](folder)
    assert is_source(source)
    fit = nm.lmer(FORMULA, source)
    assert fit.design.rows is None
    assert fit.criterion == pytest.approx(IN_MEMORY.criterion, abs=1e-8)
    assert np.allclose(fit.fixef, IN_MEMORY.fixef, rtol=1e-8)
    assert fit.fixef.index.equals(IN_MEMORY.fixef.index)
    assert "4,000 rows" in str(fit)


@pytest.mark.parametrize("table", [DATA, pa.Table.from_pandas(DATA), pl.from_pandas(DATA)])
def test_tables_in_memory_are_no_sources_but_can_be_summed(table):
    assert not is_source(table)
    assert nm.lmer("score ~ ses + (1 | school)", table).design.rows is not None
    summed = nm.summarise(FORMULA, table).fit()
    assert summed.criterion == pytest.approx(IN_MEMORY.criterion, abs=1e-8)


@pytest.mark.parametrize("kind", ["folder", "pattern", "data set"])
def test_folders_that_are_columns(kind, tmp_path):
    data = DATA.assign(sector=DATA.sector.astype(str))
    data.loc[data.index[:9], "sector"] = None
    keys = ds.partitioning(pa.schema([("sector", pa.string())]), flavor="hive")
    ds.write_dataset(pa.Table.from_pandas(data), tmp_path, format="parquet", partitioning=keys)
    source = {"folder": tmp_path, "pattern": f"{tmp_path}/*/*.parquet",
              "data set": ds.dataset(tmp_path, partitioning=keys)}[kind]  # fmt: skip
    formula = "score ~ ses + sector + (ses | school)"
    fit, like = nm.lmer(formula, source), nm.lmer(formula, data)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)
    assert fit.nobs == len(DATA) - 9
    predicted = pd.concat(fit.predict(source))
    assert predicted.notna().sum() == len(DATA) - 9


def test_folders_of_columns_that_the_files_have(tmp_path):
    folder = tmp_path / "sector=private" / "room=07"
    folder.mkdir(parents=True)
    DATA.drop(columns="room").to_parquet(folder / "a.parquet")
    fit = nm.lmer("score ~ ses + sector + (ses | school)", tmp_path)
    like = nm.lmer("score ~ ses + sector + (ses | school)", DATA)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)


def test_a_stream_that_is_read_once():
    formula = "score ~ ses + age + (ses | school) + (1 | room)"
    fit = nm.lmer(formula, batches())
    assert fit.criterion == pytest.approx(nm.lmer(formula, DATA).criterion, abs=1e-8)
    with pytest.raises(nm.DataError, match="only once"):
        nm.lmer(FORMULA, batches())


def test_row_groups_are_read_together(folder):
    parts = list(open_source(folder).partitions())
    assert len(parts) == 4
    assert parts[0].read(["ses"]).num_rows == 1000
    assert len({part.label for part in parts}) == 4


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no_such.parquet", "no such file"),
        ("nowhere/*.parquet", "no file matches"),
        ([{"score": [1.0]}], "a list with a dict in it"),
    ],
)
def test_files_that_are_not_there(source, message):
    with pytest.raises(nm.DataError, match=message):
        nm.summarise("score ~ 1 + (1 | school)", source)


def test_files_that_are_no_parquet(tmp_path):
    (tmp_path / "a.parquet").write_text("x,y\n1,2\n")
    with pytest.raises(nm.DataError, match="cannot be read as Parquet"):
        nm.lmer("y ~ 1 + (1 | x)", tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.csv", "read_csv"),
        ("A.XLSX", "read_excel"),
        ("a.sav", "read_spss"),
        ("year.2024.csv.gz", "read_csv"),
        ("a.jsonl", "read_json"),
    ],
)
def test_files_of_other_kinds_say_how_they_are_read(name, reader, tmp_path):
    (tmp_path / name).write_text("x,y\n1,2\n")
    with pytest.raises(nm.DataError, match=rf"no Parquet file.*pandas\.{reader}\("):
        nm.lmer("y ~ 1 + (1 | x)", tmp_path / name)


def test_files_and_tables_in_one_list_are_no_imputed_data(folder):
    with pytest.raises(nm.DataError, match="a list with a DataFrame in it, not of paths"):
        nm.lmer("score ~ ses + (1 | school)", [folder, DATA])


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(nm.DataError, match=f"no Parquet file in {tmp_path}"):
        nm.lmer("y ~ 1 + (1 | x)", tmp_path)


def test_names_that_are_patterns_too(tmp_path):
    path = tmp_path / "part[1].parquet"
    DATA.to_parquet(path)
    assert nm.summarise("score ~ ses + (1 | school)", path).nobs == len(DATA)


LEARNED = {
    "scale": "score ~ scale(age) + (1 | school)",
    "scale about a number": "score ~ scale(age, center = 12) + (1 | school)",
    "center": "score ~ center(age) + (1 | school)",
    "poly": "score ~ poly(age, 3) + (1 | school)",
    "poly of two": "score ~ poly(age, ses, degree = 2) + (1 | school)",
    "nested": "score ~ scale(log(scale(age)^2 + 1)) + (1 | school)",
    "ns": "score ~ ns(age, df = 5) + (1 | school)",
    "ns between": "score ~ ns(age, df = 3, Boundary.knots = c(11, 13)) + (1 | school)",
    "bs": "score ~ bs(age, df = 6) + (1 | school)",
    "dummy": 'score ~ age + (0 + dummy(sector, "public") | school)',
    "factor": "score ~ factor(round(age)) + (1 | school)",
    "relevel": 'score ~ relevel(sector, ref = "public") + (1 | school)',
    "interaction": "score ~ interaction(sector, round(ses) > 0) + (1 | school)",
    "contrasts": "score ~ C(sector, sum) * ses + (1 | school)",
    "mean": "score ~ I(age - mean(age)) + I(ses / sd(ses)) + (1 | school)",
    "between": "score ~ within(ses, school) + between(ses, school) + (1 | school)",
    "ordered": "score ~ ordered(round(ses)) + (1 | school)",
}


@pytest.mark.parametrize("kind", LEARNED)
def test_what_functions_learn_is_that_of_all_rows(kind):
    like = nm.lmer(LEARNED[kind], DATA)
    shuffled = DATA.sample(frac=1.0, random_state=3) if kind != "ordered" else DATA
    fit = nm.summarise(LEARNED[kind], parts_of(shuffled, 5)).fit()
    assert list(fit.fixef.index) == list(like.fixef.index)
    assert np.allclose(fit.fixef, like.fixef, rtol=1e-7, atol=1e-9)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-7)


def test_quantiles_of_more_values_than_are_counted(monkeypatch):
    from nestedmlm.design.partitions import spline_learners

    monkeypatch.setattr(spline_learners, "MOST_VALUES", 100)
    monkeypatch.setattr(spline_learners, "MOST_COLLECTED", 50)
    monkeypatch.setattr(spline_learners, "BINS", 16)
    for kind in ("ns", "ns between", "bs"):
        like = nm.lmer(LEARNED[kind], DATA)
        fit = nm.summarise(LEARNED[kind], parts_of(DATA, 5)).fit()
        assert np.allclose(fit.fixef, like.fixef, rtol=1e-9, atol=1e-9)


def test_functions_that_need_all_rows_at_once_are_refused():
    for call in ("rank(ses)", "cut(ses, 3)", "quantile(ses, 0.5)", "lag(ses, room, age)"):
        with pytest.raises(nm.DataError, match="all rows at once"):
            nm.summarise(f"score ~ ses + I({call}) + (1 | school)", parts_of(DATA))


def test_own_functions():
    def double(x):
        return 2.0 * np.asarray(x)

    def about_mean(x):
        return np.asarray(x) - np.mean(x)

    formula = "score ~ double(ses) + (1 | school)"
    fit = nm.summarise(formula, parts_of(DATA)).fit()
    assert fit.criterion == pytest.approx(nm.lmer(formula, DATA).criterion, abs=1e-8)
    with pytest.raises(nm.DataError, match=r"about_mean\(ses\) gives other values.*scale\(x\)"):
        nm.summarise("score ~ about_mean(ses) + (1 | school)", parts_of(DATA))


def test_dot_stands_for_the_other_columns():
    like = nm.lmer("score ~ . - school - room + (1 | school)", DATA)
    fit = nm.summarise("score ~ . - school - room + (1 | school)", parts_of(DATA)).fit()
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-8)


def test_arrays_have_no_partitions():
    with pytest.raises(nm.DataError, match="an array has no partitions"):
        nm.summarise(FORMULA, DATA, weights=np.ones(len(DATA)))
    with pytest.raises(nm.NestedMLMError, match="residual"):
        nm.lmer("score ~ ses + (1 | school)", parts_of(DATA), residual="ar1(age | school)")


def test_ctrl_c_leaves_nothing_half_done():
    class Interrupted(pd.DataFrame):
        @property
        def _constructor(self):
            raise KeyboardInterrupt

    source = source_of([DATA.iloc[:2000], Interrupted(DATA.iloc[2000:])])
    with pytest.raises(KeyboardInterrupt):
        nm.summarise("score ~ ses + (1 | school)", source)


def _read_ahead(reads):
    """A source whose partitions are read by a thread: one callable each."""
    parts = [Partition(f"part {k}", read) for k, read in enumerate(reads)]
    return Source("calls", ("x",), lambda: iter(parts), count=len(parts), ahead=True)


def test_a_thread_reads_the_next_partition_meanwhile():
    begun = threading.Event()

    def second(columns):
        begun.set()
        return 2

    def work(table, label):
        assert table == 2 or begun.wait(timeout=30)
        return table, label

    source = _read_ahead([lambda columns: 1, second])
    assert list(each_partition(source, ["x"], work, "rows")) == [(1, "part 0"), (2, "part 1")]


def test_what_goes_wrong_ahead_comes_in_its_turn_and_leaves_no_thread():
    def gone(columns):
        raise PartitionError("part 2: gone", "part 2")

    done = []
    source = _read_ahead([lambda columns: 0, lambda columns: 1, gone, lambda columns: 3])
    with pytest.raises(PartitionError, match="part 2: gone"):
        for result in each_partition(source, ["x"], lambda table, label: table, "rows"):
            done.append(result)
    assert done == [0, 1]

    def interrupted(table, label):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        list(each_partition(source, ["x"], interrupted, "rows"))
    assert caught.tb  # which keeps the frames alive
    assert not [t for t in threading.enumerate() if t.name.startswith("nestedmlm-read")]


def test_import_and_fit_load_neither_arrow_nor_dask():
    code = (
        "import sys, nestedmlm as nm\n"
        "nm.lmer('Yield ~ 1 + (1 | Batch)', nm.load_dataset('Dyestuff'))\n"
        "print([m for m in ('dask', 'duckdb', 'pyarrow.dataset', 'nestedmlm.fits.summaries')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
