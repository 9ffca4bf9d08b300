"""BLAS threads around small problems (layer 3).

The trailing block of a crossed design goes through BLAS many times. For blocks of a few hundred
columns, starting and joining threads costs several times the work itself on a small or busy
machine; from a thousand columns on, threads pay.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from nestedmlm.crossproducts import CrossProducts

_WORTH_THREADS = 1000  # columns of the trailing block


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # finding the libraries takes milliseconds

    return ThreadpoolController()


def blas_threads(stats: CrossProducts) -> AbstractContextManager[Any]:
    """Context in which BLAS uses one thread, where more would slow this problem down.

    Nested designs hardly use BLAS and are left alone.
    """
    if 0 < stats.Qtt.shape[0] < _WORTH_THREADS:
        limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
        return limited
    return nullcontext()
