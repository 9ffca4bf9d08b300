"""Predictions and fitted values of data in partitions, and of fits from sums."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_sources import DATA

import nestedmlm as nm

FORMULA = "score ~ scale(ses) * sector + (ses | school)"
FIT = nm.lmer(FORMULA, DATA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows")
    for k in range(2):
        DATA.iloc[k * 2000 : (k + 1) * 2000].to_parquet(path / f"part{k}.parquet")
    return path


def test_predictions_by_partition(folder):
    fit = nm.lmer(FORMULA, f"{folder}/*.parquet")
    parts = list(fit.predict(f"{folder}/*.parquet"))
    assert len(parts) == 2
    assert np.allclose(np.concatenate(parts), FIT.predict(), rtol=1e-9)
    bounds = pd.concat(fit.predict(folder, interval="confidence", level=0.9))
    assert np.allclose(bounds, FIT.predict(DATA, interval="confidence", level=0.9), rtol=1e-7)


def test_predictions_of_dask_are_lazy(folder):
    dd = pytest.importorskip("dask.dataframe")
    frame = dd.from_pandas(DATA, npartitions=3)
    lazy = FIT.predict(frame)
    assert type(lazy).__module__.startswith("dask")
    assert np.allclose(lazy.compute(), FIT.predict(), rtol=1e-9)


def test_rows_of_dask_with_text_are_lazy():
    dd = pytest.importorskip("dask.dataframe")
    texts = DATA.assign(sector=DATA.sector.astype(str), school="s" + DATA.school.astype(str))
    fit = nm.lmer("score ~ ses + sector + (1 | school)", texts)
    frame = dd.from_pandas(texts, npartitions=3)
    assert np.allclose(fit.predict(frame).compute(), fit.predict(), rtol=1e-9)
    found = fit.augment(frame)
    assert list(found.columns) == [*texts.columns, "fitted", "fixed", "resid"]
    assert np.allclose(found.compute()["resid"], fit.resid, atol=1e-9)


def test_augmented_files(folder, tmp_path):
    fit = nm.lmer(FORMULA, folder)
    out = fit.augment(folder, sink=tmp_path / "out.parquet")
    found = pd.read_parquet(out)
    assert np.allclose(found.fitted, FIT.fittedvalues, rtol=1e-9)
    assert np.allclose(found.resid, FIT.resid, atol=1e-9)
    assert np.allclose(found.fixed, FIT.predict(re_form=False), rtol=1e-9)
    assert list(found.columns[: DATA.shape[1]]) == list(DATA.columns)
    assert not list(tmp_path.glob("*.part"))
    table = fit.augment(DATA)  # of rows that it was not given
    assert np.allclose(table[["fitted", "fixed", "resid"]], found[["fitted", "fixed", "resid"]])
    assert table.index.equals(DATA.index)
    with pytest.raises(nm.NestedMLMError, match=r"written to a Parquet file.*sink="):
        fit.augment(folder)
    with pytest.raises(nm.NestedMLMError, match="for data in partitions"):
        fit.augment(DATA, sink=tmp_path / "table.parquet")
    with pytest.raises(nm.NestedMLMError, match="files that are read"):
        fit.augment(folder, sink=folder / "part0.parquet")
    with pytest.raises(nm.NestedMLMError, match="part1"):
        bad = DATA.iloc[2000:].assign(sector="new")
        bad.to_parquet(tmp_path / "part1.parquet")
        fit.augment(tmp_path / "part1.parquet", sink=tmp_path / "bad.parquet")
    assert not (tmp_path / "bad.parquet").exists()


def test_generalized_models_want_rows_in_memory(folder):
    dd = pytest.importorskip("dask.dataframe")
    for data in (folder, f"{folder}/*.parquet", dd.from_pandas(DATA, npartitions=2)):
        with pytest.raises(nm.DataError, match="rows in memory"):
            nm.glmer("score ~ ses + (1 | school)", data, family="gamma")
