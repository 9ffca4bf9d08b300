"""Speed of the sweeps: which copy of them runs, and on how many threads.

A process starts with NumPy's: nothing is compiled for a model of a few hundred groups, whose fit
takes milliseconds. Once its sweeps have cost what compiling repays, they are compiled (some
seconds, kept on disk for other processes), and later the whole descent.

The copies agree to rounding, not bit for bit. So the choice never follows a clock: work is counted
in the seconds that `visit_seconds` says, and the same calls make the same choices on a loaded
machine. A public call chooses once, for all that it does (`held`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination import (
    compiled_cache,
    entries,
    entries_information,
    information,
    selected_inverse,
)
from nestedmlm.likelihood.elimination import sweeps as nested
from nestedmlm.likelihood.elimination.primitives import is_full
from nestedmlm.statistics.crossproducts import CrossProducts

PATIENCE_SECONDS = 0.5  # seconds' worth of uncompiled sweeps before they are compiled
DESCENT_PATIENCE_SECONDS = 5.0  # the same before a whole descent is compiled
_CALL_SECONDS = 1e-6  # seconds of a NumPy call on a short vector
_NUMBER_SECONDS = 5e-9  # and of each number of a long one
_PAIR_SECONDS = 1.5e-8  # seconds for a pair of entries that meet in the dense block
_FULL_PAIR_SECONDS = 3e-10  # and where levels meet most columns: products of whole matrices


class Speed(IntEnum):
    """Speed by what is compiled: nothing, the sweeps, or whole descents too."""

    NUMPY = 0
    SWEEPS = 1
    DESCENT = 2


work_done = [0.0]  # seconds' worth of sweeps that this process has made
_lock = threading.Lock()
_holders: list[Speed] = []  # the choice in force, once for each call that holds it
_fixed: ContextVar[Speed | None] = ContextVar("_fixed", default=None)


def visit_seconds(stats: CrossProducts) -> float:
    """Seconds that one visit of a design takes NumPy, whatever runs it."""
    width, calls, numbers = 0, 40.0, 0.0
    for part in reversed(stats.chain_parts):
        width += part.k
        calls += 10.0 * width * width
        numbers += part.levels * width * (width + stats.p + 1)
    seconds = calls * _CALL_SECONDS + numbers * _NUMBER_SECONDS
    if stats.crossed is not None:
        columns = len(stats.crossed.Q)
        met = np.diff(stats.crossed.entries.first).tolist()
        for part, entries_met in zip(stats.chain_parts, met, strict=True):
            full = is_full(entries_met, part.levels, columns)
            pairs = part.k * entries_met**2 / max(part.levels, 1)
            seconds += pairs * (_FULL_PAIR_SECONDS if full else _PAIR_SECONDS)
    return seconds


def refit_seconds(stats: CrossProducts, responses: int) -> float:
    """Seconds that fits of a design to many responses take NumPy."""
    return responses * 10.0 * (2.0 * visit_seconds(stats) + 150.0 * _CALL_SECONDS)


def count(stats: CrossProducts) -> None:
    """Count one visit."""
    if work_done[0] <= DESCENT_PATIENCE_SECONDS:
        work_done[0] += visit_seconds(stats)


def speed(ahead: float = 0.0) -> Speed:
    """The choice in force; without one, what the work so far repays, and that ahead."""
    if (own := _fixed.get()) is not None:
        return own
    if _holders:
        return _holders[-1]
    work = work_done[0] + ahead
    if work <= PATIENCE_SECONDS:
        return Speed.NUMPY
    if work > DESCENT_PATIENCE_SECONDS or compiled_cache.is_complete():
        return Speed.DESCENT
    return Speed.SWEEPS


@contextmanager
def held(ahead: float = 0.0, *, choice: Speed | None = None) -> Iterator[Speed]:
    """Choose once for a call and everything below it, in all threads.

    Parameters
    ----------
    ahead : float
        Seconds of NumPy's work that the call brings (`refit_seconds`).
    choice : Speed, optional
        What another process has chosen.
    """
    with _lock:
        _holders.append(speed(ahead) if choice is None else choice)
        chosen = _holders[-1]
    try:
        yield chosen
    finally:
        with _lock:
            _holders.pop()


@contextmanager
def fixed(choice: Speed) -> Iterator[None]:
    """Keep to one choice in this thread, whatever the process did before or others hold."""
    token = _fixed.set(choice)
    try:
        yield
    finally:
        _fixed.reset(token)


def compile_from_now_on() -> None:
    """Have everything compiled in this process from here on."""
    work_done[0] = max(work_done[0], 2.0 * DESCENT_PATIENCE_SECONDS)


@cache
def _plain() -> SimpleNamespace:
    modules = (nested, information, entries, entries_information, selected_inverse)
    functions = {k: f for m in modules for k, f in vars(m).items() if callable(f)}
    return SimpleNamespace(**functions)


def sweeps() -> Any:
    """The functions of the sweeps: NumPy's, or the same compiled."""
    if speed() == Speed.NUMPY:
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
