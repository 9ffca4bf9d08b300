"""Cells that stay on Dask's workers: the numbers of cells here, share by share."""

from __future__ import annotations

import os
import pickle
import signal

import numpy as np
import pytest
from test_sources import pupils

import nestedmlm as nm
from nestedmlm.errors import OptionError, SumsNotHereError

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe", reason="needs Dask: pip install nestedmlm[dask]")
distributed = pytest.importorskip("distributed")

FORMULA = "score ~ ses + sector + (ses | school) + (1 | room)"
DATA = pupils(3_000)
FRAME = dd.from_pandas(DATA.sample(frac=1.0, random_state=1, ignore_index=True), npartitions=3)
HERE = nm.summarise(FORMULA, FRAME)
AWAY = nm.summarise(FORMULA, FRAME, cells="workers")


@pytest.fixture(scope="module")
def fits():
    return HERE.fit(), AWAY.fit()


def test_groups_in_all_partitions_are_brought_together(fits):
    assert len(AWAY.model().fit().solution.stats.on_workers.shares) == 3
    here, away = fits
    assert away.converged
    assert away.criterion == pytest.approx(here.criterion, rel=1e-13)
    np.testing.assert_allclose(away.theta, here.theta, rtol=1e-9)
    np.testing.assert_allclose(away.fixef, here.fixef, rtol=1e-9)
    np.testing.assert_allclose(away.cov_params(), here.cov_params(), rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "how"),
    [
        ("score ~ ses + (0 + ses | school) + (1 | room)", {"REML": False}),
        (FORMULA, {"start": [2.0, -0.3, 0.1, 0.5]}),
    ],
)
def test_parts_of_the_formula_and_options(formula, how):
    here, away = HERE.fit(formula, **how), AWAY.fit(formula, **how)
    assert away.criterion == pytest.approx(here.criterion, rel=1e-12)
    np.testing.assert_allclose(away.theta, here.theta, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "numbers",
    [
        lambda fit: fit.tidy().select_dtypes(float),  # Satterthwaite's
        lambda fit: fit.contest(np.eye(len(fit.fixef))[2], ddf="kenward-roger").to_frame(),
        lambda fit: fit.ranef().select_dtypes(float),  # with standard deviations
        pytest.param(
            lambda fit: fit.profile(parm="sigma", progress=False).conf_int(),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["satterthwaite", "kenward-roger", "modes", "profile"],
)
def test_verbs_sum_over_shares(fits, numbers):
    here, away = map(numbers, fits)
    np.testing.assert_allclose(np.asarray(away, float), np.asarray(here, float), rtol=1e-6)


def test_the_scheduler_changes_no_bit(fits):
    with dask.config.set(scheduler="synchronous"):
        again = nm.summarise(FORMULA, FRAME, cells="workers").fit()
    assert again.criterion == fits[1].criterion
    np.testing.assert_array_equal(again.theta, fits[1].theta)


def test_starts_from_moments_of_the_shares(monkeypatch):
    monkeypatch.setattr("nestedmlm.optimum.nested_moments.MANY_LEVELS", 10)
    here, away = HERE.fit().certificate, AWAY.fit().certificate
    assert here.start != tuple(nm.lmer(FORMULA, DATA[:400]).certificate.start)
    np.testing.assert_allclose(away.start, here.start, rtol=1e-8)
    assert away.evaluations == here.evaluations


@pytest.mark.parametrize(
    "ask",
    [
        lambda path: AWAY.save(path / "x.nms"),
        lambda path: AWAY + HERE.share(),
        lambda _: AWAY.merge(HERE, allow_overlap=True),
        lambda _: AWAY.share(groups=["school"]),
        lambda _: AWAY.sample(progress=False),
        lambda _: AWAY.fit().bootstrap(2, progress=False),
        lambda _: pickle.dumps(AWAY.fit()),
        lambda _: pickle.dumps(AWAY),
    ],
    ids=["save", "add", "merge", "share", "sample", "bootstrap", "pickle fit", "pickle"],
)
def test_what_needs_the_cells_says_so(tmp_path, ask):
    with pytest.raises(SumsNotHereError, match="stay on Dask's workers"):
        ask(tmp_path)


def test_crossed_factors_are_refused_by_name():
    frame = dd.from_pandas(DATA.assign(item=np.arange(len(DATA)) % 7), npartitions=3)
    away = nm.summarise("score ~ ses + (1 | room) + (1 | item)", frame, cells="workers")
    with pytest.raises(SumsNotHereError, match="item is crossed with room"):
        away.fit()
    nested = "score ~ ses + (1 | room)"
    assert away.fit(nested).criterion == pytest.approx(HERE.fit(nested).criterion, rel=1e-12)


def test_only_dasks_workers_keep_cells():
    with pytest.raises(OptionError, match=r'cells="workers" is for a Dask DataFrame.*a table'):
        nm.summarise(FORMULA, DATA, cells="workers")
    with pytest.raises(OptionError, match="cells must be one of here, workers"):
        nm.summarise(FORMULA, FRAME, cells="there")


def test_errors_of_a_partition_name_it():
    frame = FRAME.map_partitions(
        lambda part, partition_info=None: part.assign(
            ses=part.ses.astype(object) if (partition_info or {}).get("number") != 2 else "x"
        ),
        meta=DATA.head(1).assign(ses=DATA.ses.head(1).astype(object)),
    )
    with pytest.raises(nm.errors.PartitionError, match="partition 2: the column ses holds text"):
        nm.summarise("score ~ ses + (1 | school)", frame, cells="workers")


@pytest.mark.slow
def test_any_number_of_workers_and_a_dead_one_change_no_bit(fits):
    for workers in (1, 2):
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            away = nm.summarise(FORMULA, FRAME, cells="workers")
            found = [away.fit()]
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            found.append(away.fit())
        for fit in found:
            assert fit.criterion == fits[1].criterion
            np.testing.assert_array_equal(fit.theta, fits[1].theta)
            np.testing.assert_array_equal(fit.fixef, fits[1].fixef)
    with pytest.raises(SumsNotHereError, match="client closed"):
        away.fit()
