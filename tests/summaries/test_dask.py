"""Dask's frames: summed where they are, by threads or by the current client's workers."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from test_sources import pupils

import nestedmlm as nm
from benchmarks import bench_scale
from nestedmlm.errors import PartitionError

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe", reason="needs Dask: pip install nestedmlm[dask]")
distributed = pytest.importorskip("distributed")

FORMULA = "score ~ ses * sector + poly(age, 2) + (ses | school) + (1 | room)"
DATA = pupils(20_000)
IN_MEMORY = nm.lmer(FORMULA, DATA)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            dashboard_address=":0",
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_threads():
    fit = nm.lmer(FORMULA, dd.from_pandas(DATA, npartitions=5))
    assert fit.criterion == pytest.approx(IN_MEMORY.criterion, abs=1e-7)
    assert "5 partitions" in str(fit)


def test_a_local_cluster(client):
    data = pupils(100_000, seed=5)
    fit = nm.lmer(FORMULA, dd.from_pandas(data, npartitions=9))
    assert fit.criterion == pytest.approx(nm.lmer(FORMULA, data).criterion, abs=1e-6)
    assert fit.nobs == 100_000


def test_categories_that_dask_does_not_know(client):
    frame = dd.from_pandas(DATA.assign(sector=DATA.sector.astype(str)), npartitions=4)
    frame["sector"] = frame.sector.astype("category")  # not known
    fit = nm.lmer(FORMULA, frame)
    assert fit.criterion == pytest.approx(IN_MEMORY.criterion, abs=1e-7)


def test_categories_of_each_partition(client):
    def used(part):
        return part.assign(sector=part.sector.cat.remove_unused_categories())

    parts = [used(DATA[DATA.sector != "other"]), used(DATA[DATA.sector == "other"])]
    frame = dd.from_map(lambda k: parts[k], range(2), meta=DATA.head(0))
    fit = nm.lmer(FORMULA, frame)
    assert fit.criterion == pytest.approx(IN_MEMORY.criterion, abs=1e-7)
    assert list(fit.fixef.index) == list(IN_MEMORY.fixef.index)


def test_errors_of_a_partition_come_back(client):
    def broken(part, partition_info=None):
        number = 0 if partition_info is None else partition_info["number"]
        return part.assign(ses=part.ses.astype(object) if number != 2 else "x")

    frame = dd.from_pandas(DATA, npartitions=4).map_partitions(broken, meta=broken(DATA.head(1)))
    with pytest.raises(PartitionError, match=r"partition 2: the column ses holds text") as caught:
        nm.lmer("score ~ ses + (1 | school)", frame)
    assert caught.value.partition == "partition 2"


def test_own_functions_travel(client):
    def double(x):
        return 2.0 * np.asarray(x)

    fit = nm.lmer("score ~ double(ses) + (1 | school)", dd.from_pandas(DATA, npartitions=3))
    like = nm.lmer("score ~ double(ses) + (1 | school)", DATA)
    assert fit.criterion == pytest.approx(like.criterion, abs=1e-7)


def slowly(part: pd.DataFrame) -> pd.DataFrame:
    time.sleep(0.4)
    return part


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_bit():
    frame = dd.from_pandas(DATA, npartitions=12).map_partitions(slowly, meta=DATA.head(0))
    plain = nm.summarise(FORMULA, frame)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        whole = nm.summarise(FORMULA, frame)
        pids = list(client.run(os.getpid).values())
        killer = threading.Timer(1.5, os.kill, (pids[0], signal.SIGKILL))
        killer.start()
        again = nm.summarise(FORMULA, frame)
        killer.join()
    for one in (whole, again):
        assert np.array_equal(one.cells.products, plain.cells.products)
        assert np.array_equal(one.cells.total, plain.cells.total)
    assert again.fit().criterion == plain.fit().criterion


@pytest.mark.slow
def test_a_partition_that_kills_its_workers_is_named():
    def deadly(part, partition_info=None):
        return part if not len(part) else part.assign(fatal=partition_info["number"] == 2)

    def read(fatal):  # in the formula: the task of the sums dies, not that of the partition
        if np.any(fatal):
            os._exit(1)
        return 1.0 * np.asarray(fatal) + 0.0

    frame = dd.from_pandas(DATA.assign(fatal=False), npartitions=4).map_partitions(
        deadly, meta=DATA.head(0).assign(fatal=False)
    )
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
        pytest.raises(PartitionError, match=r"^partition \d: every worker.* died.*smaller"),
    ):
        nm.summarise("score ~ ses + read(fatal) + (1 | school)", frame)


@pytest.mark.slow
def test_ten_million_rows_on_two_processes(tmp_path):
    bench_scale.write(tmp_path, 10_000_000)
    files = f"{tmp_path}/*.parquet"
    here = nm.summarise(bench_scale.FORMULA, files)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
    ):
        there = nm.summarise(bench_scale.FORMULA, dd.read_parquet(files))
    one, other = here.fit(), there.fit()
    assert one.nobs == other.nobs == 10_000_000
    assert one.converged and other.converged
    assert other.criterion == pytest.approx(one.criterion, rel=1e-13)
