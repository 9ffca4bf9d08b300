"""Output in notebooks: messages without a red box, bars that leave nothing behind."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

IN_RESULT = {"in_result": True}  # `extra` of a message that the result will say as well


@contextmanager
def said_by_result() -> Iterator[None]:
    """Context of several fits of which one result tells: messages of `IN_RESULT` are not logged."""
    log = logging.getLogger("nestedmlm")

    def others(record: logging.LogRecord) -> bool:
        return not getattr(record, "in_result", False)

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs us."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class PlainNotices(logging.Handler):
    """Handler that prints messages as output of the cell, where Python would put them on stderr.

    A notebook sets standard error in a red box. Handlers that the user gave the root logger have
    the word: with them nothing is printed here. What a result says too (`IN_RESULT`) waits for the
    end of the cell, and is printed unless the cell shows that result.
    """

    def __init__(self, level: int, shell: Any) -> None:
        super().__init__(level)
        self._waiting: list[str] = []
        shell.events.register("post_run_cell", self._print_rest)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message, or let it wait."""
        if logging.getLogger().handlers:
            return
        if getattr(record, "in_result", False):
            self._waiting.append(record.getMessage())
        else:
            sys.stdout.write(f"{record.getMessage()}\n")

    def _print_rest(self, cell: Any) -> None:
        """Print what waits and does not stand in the result that the cell showed."""
        waiting, self._waiting = self._waiting, []
        shown = getattr(cell, "result", None)
        ours = bool(waiting) and type(shown).__module__.startswith(f"{__package__}.")
        text = str(shown) if ours else ""
        for message in dict.fromkeys(waiting):
            if message not in text:
                sys.stdout.write(f"{message}\n")


class Line:
    """A stream for one line that is written again and again, and gone when it is empty."""

    def __init__(self) -> None:
        self._handle: Any = None

    def write(self, text: str) -> None:
        """Show a text in the place of the one before."""
        from IPython.display import display

        line = text.strip()
        # pages draw an empty line of plain text as a grey box, empty HTML as nothing
        shown = {"text/plain": line} if line else {"text/plain": "", "text/html": ""}
        if self._handle is not None:
            self._handle.update(shown, raw=True)
        elif line:
            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """Nothing waits to be written."""


def plain_notices() -> None:
    """Print messages plainly in a notebook; once, however often it is called."""
    log = logging.getLogger("nestedmlm")
    if in_notebook() and not any(isinstance(one, PlainNotices) for one in log.handlers):
        shell = sys.modules["IPython"].get_ipython()
        log.addHandler(PlainNotices(logging.WARNING, shell))
