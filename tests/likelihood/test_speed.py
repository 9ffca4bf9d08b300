"""Which copy of the sweeps runs: chosen by counted work, once for a call; what stands on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.likelihood.elimination import compiled_cache, speed
from nestedmlm.likelihood.elimination.speed import Speed, held, refit_seconds, visit_seconds
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import FORMULAS, design

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def fresh(monkeypatch):
    """A process that has not worked yet, with nothing on disk."""
    monkeypatch.setattr(speed, "work_done", [0.0])
    monkeypatch.setattr(speed, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(speed, "DESCENT_PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(compiled_cache, "is_complete", lambda: False)


def test_work_raises_the_speed_and_disk_does_it_sooner(fresh, monkeypatch) -> None:
    stats = cross_products(design("nested chain of two"))
    assert speed.speed() == Speed.NUMPY
    assert speed.speed(1.0) == Speed.SWEEPS
    assert speed.speed(6.0) == Speed.DESCENT
    speed.count(stats)
    assert speed.work_done[0] == visit_seconds(stats) > 0.0
    speed.work_done[0] = 0.6
    assert speed.speed() == Speed.SWEEPS
    monkeypatch.setattr(compiled_cache, "is_complete", lambda: True)
    assert speed.speed() == Speed.DESCENT


def test_no_clock_decides(fresh) -> None:
    """Two processes that do the same count the same, however long it takes."""
    counted = []
    for _ in range(2):
        speed.work_done[0] = 0.0
        nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
        counted.append(speed.work_done[0])
    assert counted[0] == counted[1] > 0.0
    source = Path(speed.__file__).read_text(encoding="utf-8")
    assert "import time" not in source
    assert "perf_counter" not in source


def test_a_call_keeps_its_choice(fresh) -> None:
    with held() as outer:
        speed.work_done[0] = 100.0
        assert speed.speed() == outer == Speed.NUMPY
        with held(100.0) as inner:
            assert inner == Speed.NUMPY
    assert speed.speed() == Speed.DESCENT
    with held(choice=Speed.NUMPY):
        assert speed.speed() == Speed.NUMPY


def test_a_bootstrap_is_the_same_in_any_number_of_threads(fresh) -> None:
    """Also where the work done so far would repay compilation in the middle of it."""
    fit = nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
    draws = []
    for workers in (1, 2, 3):
        speed.work_done[0] = 0.4
        found = fit.bootstrap(120, seed=3, workers=workers, progress=False)
        draws.append(found.t.to_numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])


@pytest.mark.parametrize("kind", FORMULAS)
def test_costs_grow_with_the_work(kind) -> None:
    stats = cross_products(design(kind))
    assert 2e-5 < visit_seconds(stats) < 0.1
    assert refit_seconds(stats, 10) == pytest.approx(10 * refit_seconds(stats, 1))


def test_the_folder_on_disk_belongs_to_the_sources(tmp_path) -> None:
    package = tmp_path / "nestedmlm"
    for folder in ("likelihood", "statistics", "optimum"):
        (package / folder).mkdir(parents=True)
        (package / folder / "a.py").write_text("x = 1\n")
    first = compiled_cache.source_hash(package)
    assert compiled_cache.source_hash(package) == first
    (package / "statistics" / "a.py").write_text("x = 2\n")  # what the sweeps take
    changed = compiled_cache.source_hash(package)
    (package / "statistics" / "a.py").rename(package / "statistics" / "b.py")
    assert len({first, changed, compiled_cache.source_hash(package)}) == 3


CALLEE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from nestedmlm.likelihood.elimination import compiled_cache, speed
from nestedmlm.likelihood.elimination.compiled import compiled_sweeps
out = np.zeros((1, 1))
compiled_sweeps().add_products(out, 1.0, np.ones((1, 3)), np.ones((1, 3)))
print(out[0, 0], compiled_cache.cache_folder().name)
"""


@pytest.mark.slow
def test_a_changed_callee_is_compiled_anew(tmp_path) -> None:
    """`add_products` calls `dot`: Numba alone would go on with the old `dot`."""
    root = Path(nm.__file__).parent
    copy = tmp_path / "copy"
    shutil.copytree(root, copy / "nestedmlm", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH",)}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "kept")

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", CALLEE, str(copy)],
            capture_output=True, text=True, check=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
        return done.stdout.split()

    first, folder = run()
    assert run() == [first, folder] == ["3.0", folder]
    source = copy / "nestedmlm" / "likelihood" / "elimination" / "loops.py"
    text = source.read_text(encoding="utf-8")
    assert "s += x[j] * y[j]" in text
    source.write_text(text.replace("s += x[j] * y[j]", "s += 2.0 * x[j] * y[j]", 1))
    second, other = run()
    assert second == "6.0"
    assert other != folder
