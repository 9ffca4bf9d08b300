"""Progress bars of long work, and what Ctrl-C leaves of it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nestedmlm.notebook import Line, in_notebook

_COLUMNS = 79  # characters that a bar is wide in a notebook
_EVERY_SECONDS = 0.2  # seconds between two updates
_FIRST_SECONDS = 1.0  # seconds before the first: short work says nothing
_log = logging.getLogger("nestedmlm")


def track[Item](
    items: Iterable[Item], total: int, label: str, *, show: bool = True
) -> Iterator[Item]:
    """Yield `items` beside tqdm's bar: a line on standard error, in a notebook one that goes.

    Time left is reckoned from the second item on.

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
    options: dict[str, Any] = {
        "total": total,
        "desc": label,
        "delay": _FIRST_SECONDS,
        "mininterval": _EVERY_SECONDS,
    }
    if in_notebook():  # a line of output that is empty in the end: nothing is left in the page
        options |= {"file": Line(), "leave": False, "ncols": _COLUMNS}
    rest = iter(items)
    for first in rest:  # may wait for a compilation, so that its time tells nothing of the others'
        yield first
        break
    with _tqdm()(**options, initial=1) as bar:
        for item in rest:
            yield item
            bar.update()


def gather[Item](items: Iterable[Item], total: int, label: str, *, show: bool = True) -> list[Item]:
    """Collect what `track` yields; after Ctrl-C what has come so far, with a warning in the log.

    Raises
    ------
    KeyboardInterrupt
        If nothing has come yet.
    """
    done: list[Item] = []
    try:
        with interruptible():
            for item in track(items, total, label, show=show):
                done.append(item)
    except KeyboardInterrupt:
        if not done:
            raise
        _log.warning("interrupted: %d of %d %s are done", len(done), total, label)
    return done


@contextmanager
def interruptible() -> Iterator[None]:
    """Context in which Ctrl-C is a KeyboardInterrupt, whatever was running.

    Numba runs Python between its own work. An interrupt that arrives there comes out as a chain
    of SystemErrors caused by it, which whoever catches exceptions would take for a failed fit.
    """
    try:
        yield
    except SystemError as error:
        cause: BaseException | None = error
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def _tqdm() -> Any:
    """The bar, without warnings."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm import tqdm

    return tqdm
