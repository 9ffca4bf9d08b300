"""BLAS threads around small problems.

The trailing block of a crossed design goes through BLAS many times. For blocks of a few hundred
columns, starting and joining threads costs several times the work itself on a small or busy
machine; from a thousand columns on, threads pay. A nested design's products are tall and narrow:
there threads never pay.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.one_thread import one_thread

_WORTH_THREADS = 1000  # columns of the trailing block
_NEVER_THREADED = 500  # nodes of the chain up to which BLAS takes one thread by itself


def blas_threads(stats: CrossProducts) -> AbstractContextManager[Any]:
    """Context in which BLAS uses one thread, where more would slow this problem down."""
    if stats.sparse is not None:
        return one_thread()
    columns = 0 if stats.crossed is None else len(stats.crossed.Q)
    levels = sum(part.levels for part in stats.parts)
    if columns < _WORTH_THREADS and (columns > 0 or levels > _NEVER_THREADED):
        return one_thread()
    return nullcontext()
