"""Notice that kernels are being compiled, where that takes long enough to be noticed.

Numba keeps what it compiled beside the source (or in ``NUMBA_CACHE_DIR``), so this is seen once
per installation.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from numba.core import event

PATIENCE_SECONDS = 2.0  # seconds of compilation before anything is said
MESSAGE = (
    "nestedmlm: compiling what this call spends its time in; this takes some 15 seconds and is "
    "kept on disk (nestedmlm.warmup() does it ahead)"
)


class CompilationNotice(event.Listener):
    """Write one line to standard error once kernels of this package have compiled for long."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._began: float | None = None
        self._told = False

    def on_start(self, event: Any) -> None:
        """Look at the clock whenever the compilation of a function begins."""
        function = event.data["dispatcher"].py_func
        if self._told or not (function.__module__ or "").startswith("nestedmlm."):
            return
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if now - self._began >= self._patience:
            self._told = True
            sys.stderr.write(f"{MESSAGE}\n")
            sys.stderr.flush()

    def on_end(self, event: Any) -> None:
        """Nothing to do: a compilation that is over needs no notice."""


event.register("numba:compile", CompilationNotice())  # type: ignore[no-untyped-call]
