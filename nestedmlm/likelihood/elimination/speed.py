"""Speed of the sweeps: which copy of them runs, and on how many threads.

Nothing is compiled for a model of a few hundred groups, whose fit takes milliseconds. A call whose
sweeps cost what compiling repays has them compiled (some seconds, kept on disk for other
processes), and one of more work the whole descent.

The copies agree to rounding, not bit for bit. So neither a clock nor what the process or another
thread did before has a say: a public call chooses once, for all that it does (`held`), by its own
design and the seconds that `visit_seconds` says. The same call has the same digits alone, in a
loop and in threads; `compile_from_now_on` alone changes that.
"""

from __future__ import annotations

import os
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

PATIENCE_SECONDS = 0.5  # seconds of NumPy's work from which compiled code is read from disk
SWEEPS_PATIENCE_SECONDS = 10.0  # the same where the sweeps have to be compiled first
DESCENT_PATIENCE_SECONDS = 15.0  # and from which whole descents are compiled, too
_CALL_SECONDS = 1e-6  # seconds of a NumPy call on a short vector
_NUMBER_SECONDS = 5e-9  # and of each number of a long one
_PAIR_SECONDS = 1.5e-8  # seconds for a pair of entries that meet in the dense block
_FULL_PAIR_SECONDS = 3e-10  # and where levels meet most columns: products of whole matrices


class Speed(IntEnum):
    """Speed by what is compiled: nothing, the sweeps, or whole descents too."""

    NUMPY = 0
    SWEEPS = 1
    DESCENT = 2


everything_compiled = [False]  # whether this process was told to compile
_held: ContextVar[Speed | None] = ContextVar("_held", default=None)  # the choice in force


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


def repaid(ahead: float) -> Speed:
    """What so many seconds of NumPy's work repay."""
    if everything_compiled[0]:
        return Speed.DESCENT
    if ahead <= PATIENCE_SECONDS:
        return Speed.NUMPY
    if ahead > DESCENT_PATIENCE_SECONDS or compiled_cache.is_complete():
        return Speed.DESCENT
    return Speed.SWEEPS if ahead > SWEEPS_PATIENCE_SECONDS else Speed.NUMPY


def speed(stats: CrossProducts) -> Speed:
    """The choice in force; without one, what a fit of the design repays."""
    chosen = _held.get()
    return repaid(refit_seconds(stats, 1)) if chosen is None else chosen


@contextmanager
def held(ahead: float = 0.0, *, choice: Speed | None = None) -> Iterator[Speed]:
    """Choose once for a call and everything below it, unless a call above has chosen.

    Parameters
    ----------
    ahead : float
        Seconds of NumPy's work that the call brings (`refit_seconds`).
    choice : Speed, optional
        What another process or thread has chosen; it overrules a call above.
    """
    above = _held.get()
    chosen = choice if choice is not None else repaid(ahead) if above is None else above
    token = _held.set(chosen)
    try:
        yield chosen
    finally:
        _held.reset(token)


def keeping[**P, R](work: Callable[P, R]) -> Callable[P, R]:
    """The function with the choice in force here, for threads that others start."""
    chosen = _held.get()

    def kept(*args: P.args, **options: P.kwargs) -> R:
        with held(choice=chosen):
            return work(*args, **options)

    return kept if chosen is not None else work


def compile_from_now_on() -> None:
    """Have everything compiled in this process from here on."""
    everything_compiled[0] = True


@cache
def _plain() -> SimpleNamespace:
    modules = (nested, information, entries, entries_information, selected_inverse)
    functions = {k: f for m in modules for k, f in vars(m).items() if callable(f)}
    return SimpleNamespace(**functions)


def sweeps(stats: CrossProducts) -> Any:
    """The functions of the sweeps: NumPy's, or the same compiled."""
    if speed(stats) == Speed.NUMPY:
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
