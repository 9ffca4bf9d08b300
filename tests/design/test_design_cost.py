"""Time and memory of the design builder: no dense indicator matrices, ever."""

from __future__ import annotations

import cProfile
import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design


def peak_mb(make: Callable[[], Design]) -> float:
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("strings", [False, True])
def test_many_levels_crossed(strings: bool) -> None:
    rng = np.random.default_rng(1)
    n = 73_421
    data = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "s": rng.integers(0, 2972, n),
            "d": rng.integers(0, 1128, n),
        }
    )
    if strings:
        data = data.assign(s="s" + data.s.astype(str), d="d" + data.d.astype(str))
    assert peak_mb(lambda: build_design("y ~ 1 + (1|s) + (1|d)", data)) < 50
    assert peak_mb(lambda: build_design("y ~ 1 + (1|s/d)", data, check=False)) < 50


def test_a_million_rows() -> None:
    rng = np.random.default_rng(2)
    n = 1_000_000
    data = pd.DataFrame(
        {"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, 100_000, n)}
    )
    assert peak_mb(lambda: build_design("y ~ x + (x|g)", data)) < 500


def test_small_designs_take_few_calls() -> None:
    n = 180
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "g": np.arange(n) // 10})
    build_design("y ~ x + (x | g)", data)  # facts of the formula are kept
    profile = cProfile.Profile()
    profile.runcall(build_design, "y ~ x + (x | g)", data)
    calls = sum(entry.callcount for entry in profile.getstats())
    assert calls < 2000
