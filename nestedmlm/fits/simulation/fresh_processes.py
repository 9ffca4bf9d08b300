"""Fresh processes that do not run the user's script again: no ``if __name__ == "__main__"``."""

from __future__ import annotations

import sys
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock
from types import ModuleType
from typing import Any

_STARTING = Lock()


class _FreshProcess(SpawnProcess):
    """A process whose ``__main__`` is empty.

    Python runs the script of the parent again in each spawned process, for functions that are
    pickled by name. Ours come pickled by value (cloudpickle), so a script without a guard would
    be run, and its processes started, over and over for nothing.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _STARTING:
            script = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                sys.modules["__main__"] = script


class FreshProcesses(SpawnContext):
    """The context of a `ProcessPoolExecutor` of such processes."""

    Process = _FreshProcess
