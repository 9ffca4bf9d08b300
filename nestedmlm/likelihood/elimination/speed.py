"""Speed of the sweeps: which copy of them runs, and on how many threads.

A process starts with NumPy's: nothing is compiled for a model of a few hundred groups, whose fit
takes milliseconds. Once it has spent half a second in sweeps, they are compiled (some seconds, kept
on disk for other processes).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination import entries, entries_information, information
from nestedmlm.likelihood.elimination import sweeps as nested

PATIENCE_SECONDS = 0.5  # seconds in uncompiled sweeps before they are compiled
_spent = [0.0]


@cache
def _plain() -> SimpleNamespace:
    modules = (nested, information, entries, entries_information)
    functions = {k: f for m in modules for k, f in vars(m).items() if callable(f)}
    return SimpleNamespace(**functions)


def compiled() -> bool:
    """Whether the compiled sweeps run by now."""
    return _spent[0] > PATIENCE_SECONDS


def sweeps() -> Any:
    """The functions of the sweeps: NumPy's, or the same compiled."""
    if not compiled():
        return _plain()
    from nestedmlm.likelihood.elimination.compiled import compiled_sweeps  # Numba is slow to load

    return compiled_sweeps()


def processors() -> int:
    """Processors that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def on_blocks[R](work: Callable[..., R], *parts: Iterable[Any]) -> list[R]:
    """Results of `work` for each block, in their order, from as many threads as help."""
    blocks = list(zip(*parts, strict=True))
    if len(blocks) == 1:
        return [work(*blocks[0])]
    threads = min(len(blocks), processors())
    if threads == 1:
        return [work(*block) for block in blocks]

    def quiet(block: tuple[Any, ...]) -> R:
        with np.errstate(all="ignore"):  # each thread has its own state
            return work(*block)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(quiet, blocks))


def compile_from_now_on() -> None:
    """Have compiled sweeps in this process from here on."""
    _spent[0] = 2.0 * PATIENCE_SECONDS


@contextmanager
def counted() -> Iterator[None]:
    """Count the time of uncompiled sweeps."""
    began = time.perf_counter()
    yield
    if _spent[0] <= PATIENCE_SECONDS:
        _spent[0] += time.perf_counter() - began
