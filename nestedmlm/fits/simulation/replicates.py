"""Running replicates: chunk by chunk, here or in other processes, until done or interrupted.

Each replicate brings its random stream along, so neither the number of workers nor the size of
the chunks changes a number.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_count
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.fresh_processes import FreshProcesses
from nestedmlm.likelihood.elimination.speed import Speed, held
from nestedmlm.optimum.batch import on_arrays
from nestedmlm.progress import gather, interruptible
from nestedmlm.statistics.crossproducts import CrossProducts

_TOGETHER = 50  # refits that one thread is handed at a time, where they are refitted together
_ON_ARRAYS = 500  # the same where all of them are one computation on arrays

_BYTES = 2**28  # of responses that are held at once

Streams = Sequence[np.random.SeedSequence]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Results of some replicates.

    Attributes
    ----------
    values : (m, q) array
        NaN in the rows of replicates that failed.
    notes : tuple of str
        What there is to say about each; empty where nothing is.
    failed : (m,) array of bool
    """

    values: FloatArray
    notes: tuple[str, ...]
    failed: np.ndarray


type Task = Callable[[Streams], Outcome]


def together(design: Design, stats: CrossProducts, workers: int) -> int:
    """Replicates whose responses are drawn and refitted together, so that they fit in memory."""
    rows, most = design.rows, _ON_ARRAYS if on_arrays(design, stats) else _TOGETHER
    most = most if rows is None else min(most, _BYTES // (8 * max(rows.n, 1) * workers))
    return max(most, 1) * workers


def run_replicates(
    task: Task,
    ways: Streams,
    *,
    label: str,
    workers: int = 1,
    progress: bool = True,
    chunk: int = 1,
    ahead: float = 0.0,
) -> Outcome:
    """Run a task on every stream; Ctrl-C returns what is done so far (fewer rows than streams).

    Parameters
    ----------
    task : callable (streams) -> Outcome
    ways : sequence of SeedSequence
        One for each replicate.
    label : str
        Shown by the progress line.
    workers : int
        Processes; with more than one, the task must survive cloudpickle.
    progress : bool
    chunk : int
        Replicates handed out at a time.
    ahead : float
        Seconds that all of them take uncompiled (`refit_seconds`).

    Raises
    ------
    OptionError
        For a number of workers below one, and where processes cannot be started.
    KeyboardInterrupt
        If nothing was done yet.
    """
    check_workers(workers)
    chunks = [ways[i : i + chunk] for i in range(0, len(ways), chunk)]
    what = f"{label} replicates"
    with held(ahead) as chosen:
        here = workers == 1
        source = map(task, chunks) if here else elsewhere(task, chunks, workers, chosen)
        done = [o for o in gather(_each(source), len(ways), what, show=progress) if o is not None]
    return Outcome(
        values=np.concatenate([o.values for o in done]),
        notes=tuple(note for o in done for note in o.notes),
        failed=np.concatenate([o.failed for o in done]),
    )


def _each(source: Iterable[Outcome]) -> Iterator[Outcome | None]:
    """One item for each replicate, the outcome of a chunk with its first: progress counts them."""
    for outcome in source:
        yield outcome
        yield from repeat(None, len(outcome.notes) - 1)


def check_workers(workers: int) -> None:
    """Refuse anything but a positive integer."""
    check_count(workers, "workers")


def elsewhere[Item, Found](
    task: Callable[[Item], Found], chunks: Sequence[Item], workers: int, chosen: Speed
) -> Iterator[Found]:
    """What a task finds, in order, from a pool of fresh processes (fork is unsafe beside threads).

    The user's script is not run again in them: what a task needs comes pickled by value.

    Parameters
    ----------
    task : callable
        Must survive cloudpickle.
    chunks : sequence
        What it is called with, one after the other.
    workers : int
        Processes.
    chosen : Speed
        Which copy of the sweeps they run, so that numbers do not depend on where.

    Raises
    ------
    OptionError
        Where processes cannot be started.
    """
    import cloudpickle

    pool = ProcessPoolExecutor(
        workers,
        mp_context=FreshProcesses(),
        initializer=_receive,
        initargs=(cloudpickle.dumps(task), chosen),
    )
    try:
        yield from pool.map(_work, chunks)
    except BrokenProcessPool as error:
        raise OptionError(
            f"the {workers} processes could not be started, or were killed, perhaps for want of "
            "memory; workers=1 does the same work here"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_TASK: list[Any] = []  # in a worker process: the task it was started for, and the speed


def _receive(pickled: bytes, chosen: Speed) -> None:
    _TASK[:] = [pickle.loads(pickled), chosen]


def _work(chunk: Any) -> Any:
    task, chosen = _TASK
    with held(choice=chosen):
        return task(chunk)


def attempts(run: Callable[[np.random.Generator], tuple[FloatArray, str]], ways: Streams,
             size: int) -> Outcome:  # fmt: skip
    """Outcome of replicates that are run one by one and may fail one by one.

    Parameters
    ----------
    run : callable (rng) -> (values, note)
    ways : sequence of SeedSequence
    size : int
        How many values there are.
    """
    rows, notes, failed = [], [], []
    for way in ways:
        try:
            with interruptible():
                values, note = run(np.random.default_rng(way))
            bad = values.shape != (size,)
            if bad:
                values, note = np.full(size, np.nan), "fun returned another number of values"
        except Exception as error:  # a user's function may raise anything
            values, note, bad = np.full(size, np.nan), f"{type(error).__name__}: {error}", True
        rows.append(values)
        notes.append(note)
        failed.append(bad)
    return Outcome(values=np.vstack(rows), notes=tuple(notes), failed=np.array(failed))
