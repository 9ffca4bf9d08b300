"""The programs that can be timed, and conversations with their processes."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
LME4 = "lme4"
PLAIN_LME4 = "lme4, calc.derivs = FALSE"
PYTHON_PROGRAMS = (
    "nestedmlm", "nestedmlm uncompiled", "glmm", "mixedlm", "lme-python", "mixedlm-rs",
    "interlace-lme", "statsmodels",
)  # fmt: skip

# packages that are known and not timed, with the reason
LEFT_OUT = {
    "kamino-lme": "requires formulae 0.5.4, nestedmlm formulae >= 0.6: not in one environment",
    "pymer4": "is lme4 (through rpy2)",
    "gpboost": "has no REML criterion and no correlated slopes",
    "pyreml": "takes PyTorch (1.1 GB) and 100 to 400 times lme4's time (measured elsewhere)",
}

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip
STARTUP_LIMIT = 120.0


class WorkerError(Exception):
    """The program answered with an error, or died."""


class UnfinishedError(Exception):
    """The program did not answer in time; its process has been ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that starts: name, command, and what it says of itself (versions)."""

    name: str
    command: tuple[str, ...]
    about: tuple[str, ...]


PEERS_PYTHON = "NESTEDMLM_BENCH_PEERS"  # a Python that has the peers, where this one has not


def environment(threads: int | None) -> dict[str, str]:
    """Environment with `threads` threads for every library; None: each library's default."""
    clean = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    if threads is None:
        return clean
    return clean | dict.fromkeys(THREAD_VARIABLES, str(threads))


def command_of(name: str) -> tuple[str, ...]:
    if name in (LME4, PLAIN_LME4):
        worker = str(Path(__file__).with_name("worker.R"))
        return ("Rscript", "--vanilla", worker, *(["plain"] if name == PLAIN_LME4 else []))
    own = name.startswith("nestedmlm")
    python = sys.executable if own else os.environ.get(PEERS_PYTHON, sys.executable)
    return (python, "-m", "benchmarks.worker", name)


def find_programs(wanted: Sequence[str]) -> tuple[list[Program], dict[str, str]]:
    """Start each program once; those that answer, and the reasons of those that do not."""
    there, absent = [], {}
    for name in wanted:
        if name in (LME4, PLAIN_LME4) and shutil.which("Rscript") is None:
            absent[name] = "Rscript is not installed"
            continue
        program = Program(name=name, command=command_of(name), about=())
        try:
            session = Session(program, threads=1)
        except (WorkerError, UnfinishedError) as reason:
            absent[name] = str(reason)
            continue
        there.append(Program(name=name, command=program.command, about=session.about))
        session.close()
    return there, absent


class Session:
    """A worker process that answers requests."""

    def __init__(self, program: Program, *, threads: int | None) -> None:
        self.program = program
        self._log: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(threads),
            cwd=ROOT,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.about = tuple(self._answer(STARTUP_LIMIT, "ready"))

    def ask(self, *request: object, limit: float) -> list[str]:
        """Send a request and return the fields of the answer.

        Raises
        ------
        WorkerError
            If the program says no, or dies.
        UnfinishedError
            After `limit` seconds.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\t".join(map(str, request)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self.program.name} stopped: {self._last_words()}") from None
        return self._answer(limit, "ok")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, limit: float, expected: str) -> list[str]:
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            raise UnfinishedError(f"unfinished after {limit:.0f} s") from None
        kind, *fields = line.rstrip("\n").split("\t")
        if not line:
            raise WorkerError(self._last_words())
        if kind != expected:
            raise WorkerError(" ".join(fields) or line)
        return fields

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1][:200] if lines else f"exit status {self._process.returncode}"


def run_once(
    program: Program,
    arguments: Sequence[str],
    *,
    threads: int | None,
    limit: float,
    extra: Mapping[str, str] | None = None,
) -> list[str]:
    """Run a fresh process to its end and return the fields of its answer."""
    try:
        done = subprocess.run(
            [*program.command, *arguments],
            capture_output=True,
            text=True,
            env=environment(threads) | dict(extra or {}),
            cwd=ROOT,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise UnfinishedError(f"unfinished after {limit:.0f} s") from None
    kind, *fields = (done.stdout.strip().splitlines() or [""])[-1].split("\t")
    if kind != "ok":
        raise WorkerError((done.stderr.strip().splitlines() or ["no answer"])[-1][:200])
    return fields
