"""Estimates without each case or group, refitted by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.fits.simulation.replicates import elsewhere
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.deletion import DeletionEstimates
from nestedmlm.inference.rows.leaveout import leave_out
from nestedmlm.likelihood.elimination.speed import Speed
from nestedmlm.progress import gather

_ROUNDS = 4  # times that each process is handed sets of rows, so that none waits long for another


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _LeaveOut:
    """Estimates without each of some sets of rows."""

    fitted: Fitted
    refit: str

    def __call__(self, sets: list[IntArray]) -> DeletionEstimates:
        return leave_out(self.fitted, sets, refit=self.refit, progress=False)


def leave_out_elsewhere(
    fitted: Fitted,
    sets: list[IntArray],
    refit: str,
    workers: int,
    chosen: Speed,
    *,
    progress: bool = True,
) -> DeletionEstimates:
    """As `leave_out`, to the last bit: each set is refitted from the same start by itself.

    Parameters
    ----------
    fitted : Fitted
    sets : list of int arrays
        Rows to leave out.
    refit : {"full", "one-step"}
    workers : int
        Processes.
    chosen : Speed
        Which copy of the sweeps they run: that of this process.
    progress : bool

    Raises
    ------
    OptionError, GroupingError, DataError
        As `leave_out`, and where processes cannot be started.
    """
    size = max(1, -(-len(sets) // (_ROUNDS * workers)))
    chunks = [sets[i : i + size] for i in range(0, len(sets), size)]
    task = _LeaveOut(fitted=fitted, refit=refit)

    def each() -> Iterator[DeletionEstimates | None]:
        """One item for each set, what was found with the first of its chunk: progress counts."""
        for found in elsewhere(task, chunks, workers, chosen):
            yield found
            yield from [None] * (len(found.sigma) - 1)

    done = [found for found in gather(each(), len(sets), "refits", show=progress) if found]
    joined = {f.name: np.concatenate([getattr(d, f.name) for d in done]) for f in fields(done[0])}
    return replace(done[0], **joined)
