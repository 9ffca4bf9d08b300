"""One Python package in a process of its own.

    python -m benchmarks.worker PROGRAM                          serve requests (standard input)
    python -m benchmarks.worker PROGRAM CSV FACTORS FORMULA      one cold fit

Requests and answers are lines of tab-separated fields; `benchmarks.session` is the other side, and
`worker.R` speaks the same. A cold fit answers one line: seconds to import, to read the data and to
fit, criterion, memory (kB) after the import, after reading, and at its peak during the fit, and the
CPU seconds of the whole process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

Fields = tuple[object, ...]


def memory(name: str) -> float:
    """A field of /proc/self/status in kB: VmRSS, or VmHWM, its peak (not inherited from whoever
    started this process, which ``getrusage`` is)."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(float(line.split()[1]) for line in status if line.startswith(name + ":"))
    except (OSError, StopIteration):
        return float("nan")


def forget_peak() -> None:
    """Make the peak start again from what is used now (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def read(path: str, factors: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(factors, "category"))


class Server:
    """Answers requests for one adapter."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._frame: Any = None
        self._refits: Any = None
        self._responses: Any = None

    def load(self, path: str, factors: str) -> Fields:
        names = tuple(factors.split(","))
        self._frame = self._adapter.prepare(read(path, names), names)
        return ()

    def fit(self, formula: str) -> Fields:
        start, spent = time.perf_counter(), time.process_time()
        answer = self._adapter.fit(formula, self._frame)
        seconds, cpu = time.perf_counter() - start, time.process_time() - spent
        return seconds, answer.criterion, answer.evaluations, int(answer.converged), cpu

    def refits(self, formula: str, path: str) -> Fields:
        """Fit once, and have the responses ready."""
        import numpy as np

        if self._adapter.refits is None:
            raise NotImplementedError("no refits")
        self._responses = np.fromfile(path).reshape(-1, len(self._frame))
        self._refits = self._adapter.refits(formula, self._frame)
        return ()

    def more(self, count: str) -> Fields:
        """Refit the next `count` responses; seconds and criteria."""
        import numpy as np

        responses, self._responses = np.split(self._responses, [int(count)])
        start = time.perf_counter()
        answers = self._refits(responses)
        return time.perf_counter() - start, *(answer.criterion for answer in answers)


def serve(adapter: Any, version: str) -> None:
    server = Server(adapter)
    requests: dict[str, Callable[..., Fields]] = {
        "load": server.load,
        "fit": server.fit,
        "refits": server.refits,
        "more": server.more,
    }
    say("ready", version)
    for line in sys.stdin:
        command, *arguments = line.rstrip("\n").split("\t")
        try:
            say("ok", *requests[command](*arguments))
        except BaseException as error:  # Rust panics are no Exceptions
            text = " ".join(str(error).split())[:200]
            say("error", f"{type(error).__name__}: {text}")


def say(*fields: object) -> None:
    words = (repr(float(f)) if isinstance(f, float) else str(f) for f in fields)
    ANSWERS.write("\t".join(words) + "\n")
    ANSWERS.flush()


def cold(name: str, path: str, factors: str, formula: str) -> None:
    from benchmarks.adapters import load

    times = [time.perf_counter()]
    import pandas  # noqa: F401  every package takes its frames

    adapter = load(name, cold=True)
    times.append(time.perf_counter())
    after_import = memory("VmRSS")
    names = tuple(factors.split(","))
    frame = adapter.prepare(read(path, names), names)
    times.append(time.perf_counter())
    after_data = memory("VmRSS")
    forget_peak()
    answer = adapter.fit(formula, frame)
    times.append(time.perf_counter())
    spans = [later - sooner for sooner, later in pairwise(times)]
    cpu = time.process_time()  # since the process began
    say("ok", *spans, float(answer.criterion), after_import, after_data, memory("VmHWM"), cpu)


# answers go to the real standard output; what packages print is not mixed into them
ANSWERS = sys.stdout
sys.stdout = sys.stderr

if __name__ == "__main__":
    if len(sys.argv) == 2:
        from importlib.metadata import version

        from benchmarks.adapters import load

        serve(load(sys.argv[1]), version(sys.argv[1].split()[0]))
    else:
        cold(*sys.argv[1:5])
