"""BLAS on one thread, where more would cost more than they bring."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

FEW_ROWS = 2000  # products of so few rows take one thread by themselves


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # finding the libraries takes milliseconds

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Context in which BLAS uses one thread."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


def thread_for_rows(n: int) -> AbstractContextManager[Any]:
    """Context for products of n rows and a few columns: threads never pay for those."""
    return one_thread() if n > FEW_ROWS else nullcontext()
