"""A line of progress on standard error for long work (layer 0: imports nothing of the package)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

_EVERY = 0.2  # seconds between two updates
_QUIET = 1.0  # seconds before the first: short work says nothing
_WIDTH = 30


def track[Item](
    items: Iterable[Item], total: int, label: str, *, show: bool = True
) -> Iterator[Item]:
    """Yield `items` and keep a line such as ``refits [####    ] 40/100 3 s`` up to date.

    Parameters
    ----------
    items : iterable
    total : int
        How many there are.
    label : str
        What is being counted.
    show : bool
        False: only yield.
    """
    if not show or total < 1:
        yield from items
        return
    began = time.monotonic()
    due, done, shown = began + _QUIET, 0, False
    try:
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now >= due:
                _write(label, done, total, now - began)
                due, shown = now + _EVERY, True
    finally:
        if shown:
            _write(label, done, total, time.monotonic() - began)
            sys.stderr.write("\n")
            sys.stderr.flush()


def _write(label: str, done: int, total: int, seconds: float) -> None:
    bar = "#" * (_WIDTH * done // total)
    sys.stderr.write(f"\r{label} [{bar:<{_WIDTH}}] {done}/{total} {seconds:.0f} s")
    sys.stderr.flush()
