"""Which copy of the sweeps runs: chosen by a call's own work; what stands on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.likelihood.elimination import compiled_cache, speed
from nestedmlm.likelihood.elimination.speed import (
    Speed,
    held,
    keeping,
    refit_seconds,
    visit_seconds,
)
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import FORMULAS, design

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def fresh(monkeypatch):
    """A process that was not told to compile, with nothing on disk."""
    monkeypatch.setattr(speed, "everything_compiled", [False])
    monkeypatch.setattr(speed, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(speed, "SWEEPS_PATIENCE_SECONDS", 10.0)
    monkeypatch.setattr(speed, "DESCENT_PATIENCE_SECONDS", 15.0)
    monkeypatch.setattr(compiled_cache, "is_complete", lambda: False)


def test_work_raises_the_speed_and_disk_does_it_sooner(fresh, monkeypatch) -> None:
    assert speed.repaid(0.4) == Speed.NUMPY
    assert speed.repaid(9.0) == Speed.NUMPY
    assert speed.repaid(11.0) == Speed.SWEEPS
    assert speed.repaid(16.0) == Speed.DESCENT
    monkeypatch.setattr(compiled_cache, "is_complete", lambda: True)
    assert speed.repaid(0.4) == Speed.NUMPY
    assert speed.repaid(1.0) == Speed.DESCENT


def test_a_design_chooses_for_itself(fresh, monkeypatch) -> None:
    """Neither a clock, nor the fits before, nor those in other threads have a say."""
    stats = cross_products(design("nested chain of two"))
    for _ in range(5):
        nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
    assert speed.speed(stats) == Speed.NUMPY
    with held(100.0), ThreadPoolExecutor(1) as pool:
        assert speed.speed(stats) == Speed.DESCENT
        assert pool.submit(speed.speed, stats).result() == Speed.NUMPY
        assert pool.submit(keeping(speed.speed), stats).result() == Speed.DESCENT
    for name in ("PATIENCE_SECONDS", "SWEEPS_PATIENCE_SECONDS"):
        monkeypatch.setattr(speed, name, 0.5 * refit_seconds(stats, 1))
    assert speed.speed(stats) == Speed.SWEEPS
    source = Path(speed.__file__).read_text(encoding="utf-8")
    assert "import time" not in source
    assert "perf_counter" not in source


def test_whoever_says_so_has_everything_compiled(fresh) -> None:
    speed.compile_from_now_on()
    assert speed.speed(cross_products(design("nested chain of two"))) == Speed.DESCENT


def test_a_call_keeps_its_choice(fresh) -> None:
    stats = cross_products(design("nested chain of two"))
    with held() as outer:
        assert speed.speed(stats) == outer == Speed.NUMPY
        with held(100.0) as inner:
            assert inner == Speed.NUMPY
        with held(choice=Speed.SWEEPS):
            assert speed.speed(stats) == Speed.SWEEPS
        assert speed.speed(stats) == Speed.NUMPY


def test_a_bootstrap_is_the_same_in_any_number_of_threads(fresh) -> None:
    fit = nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
    draws = []
    for workers in (1, 2, 3):
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


def test_folders_in_use_stay(tmp_path, monkeypatch) -> None:
    """A process of other sources may be compiling; what nobody wrote to for days goes."""
    beside = tmp_path / "__pycache__"
    for name, days in (("nestedmlm-now", 1), ("nestedmlm-old", 3)):
        (beside / name).mkdir(parents=True)
        then = time.time() - 86_400 * days
        os.utime(beside / name, (then, then))
    monkeypatch.setattr(compiled_cache, "cache_folder", lambda: beside / "nestedmlm-own")
    compiled_cache.open_folder()
    assert {path.name for path in beside.iterdir()} == {"nestedmlm-own", "nestedmlm-now"}


CALLEE = """
import sys
sys.path.insert(0, sys.argv[1])
import caller
import numpy as np
from nestedmlm.likelihood.elimination import compiled_cache
from nestedmlm.likelihood.elimination.compiled import compiled_copies
out = np.zeros((1, 1))
compiled_copies(caller, called=("summed",)).summed(out, np.ones((1, 3)), np.ones((1, 3)))
print(out[0, 0], compiled_cache.cache_folder().name)
"""


@pytest.mark.slow
def test_a_changed_callee_is_compiled_anew(tmp_path) -> None:
    """`add_products` calls `dot`: Numba alone would go on with the old `dot`."""
    root = Path(nm.__file__).parent
    copy = tmp_path / "copy"
    shutil.copytree(root, copy / "nestedmlm", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "caller.py").write_text("def summed(out, X, Y): add_products(out, 1.0, X, Y)\n")
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
