"""A trampoline: recursive functions on a stack of their own, so that depth has no limit."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

type Task = Generator[Any, Any, Any]  # yields a task for each part, gets what that returns


def run(task: Task) -> Any:
    """Run a generator that yields other such generators where it would call itself.

    Parameters
    ----------
    task : generator

    Returns
    -------
    object
        What it returns.

    Examples
    --------
    >>> def depth(n):
    ...     return 0 if n == 0 else 1 + (yield depth(n - 1))
    >>> run(depth(100_000))
    100000
    """
    stack = [task]
    value: Any = None
    while stack:
        try:
            part = stack[-1].send(value)
        except StopIteration as done:
            stack.pop()
            value = done.value
        else:
            stack.append(part)
            value = None
    return value
