"""Rounds of fits: the programs take turns in each round, so that all see the same machine."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.data import csv_of, responses_of
from benchmarks.session import (
    LME4,
    PLAIN_LME4,
    Program,
    Session,
    UnfinishedError,
    WorkerError,
    run_once,
)

WARM_UP = 3  # untimed fits where a fit takes less than SLOW seconds
SLOW = 2.0
TURN = 0.05  # seconds a turn lasts at least: fast programs fit several times in one

# Responses a program refits in one round, as a share of what nestedmlm does: R is slow. (lme4
# 1.1-31's refit() counts one fixed effect in the REML criterion, whatever their number:
# `mkRespMod(REML = isREML(object))`. Where p > 1 its optima are not REML's and print as WRONG.)
REFIT_SHARE = {LME4: 0.05}
REFIT_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often to repeat: `fits` at most, `floor` at least, else what `budget` seconds allow.

    `cold` fresh processes; `thorough`: default threads and memory of every case as well.
    """

    fits: int
    floor: int
    budget: float
    cold: int
    thorough: bool

    def repeats(self, seconds: float) -> int:
        """Timed fits of a program whose fit takes `seconds`."""
        floor = self.floor if seconds < 60.0 else min(self.floor, 3 if seconds < 90.0 else 1)
        return max(floor, min(self.fits, int(self.budget / max(seconds, 1e-9))))


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One program on one case; `problem` says why there is no time."""

    program: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    first: float | None = None
    criteria: list[float] = field(default_factory=list)
    evaluations: int | None = None
    converged: bool | None = None
    problem: str | None = None
    refits: int = 0

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def cpu_median(self) -> float | None:
        return statistics.median(self.cpu) if self.cpu else None


def warm(
    case: Case, programs: Sequence[Program], folder: Path, effort: Effort, *, threads: int | None
) -> list[Outcome]:
    """Fits in processes that live through all rounds."""
    path, factors = csv_of(case.dataset, folder)
    outcomes, live = [], []
    for program in programs:
        outcome = Outcome(program=program.name)
        outcomes.append(outcome)
        try:
            session = Session(program, threads=threads)
        except (WorkerError, UnfinishedError) as problem:
            outcome.problem = str(problem)
            continue
        try:
            session.ask("load", path, ",".join(factors), limit=case.limit)
            outcome.first = _fit(session, case, outcome)
            if outcome.first < SLOW:
                for _ in range(WARM_UP - 1):
                    seconds = _fit(session, case, outcome)
            else:
                # a compilation at the first fit is not part of a warm one
                seconds = outcome.first
            live.append((session, outcome, effort.repeats(seconds)))
        except (WorkerError, UnfinishedError) as problem:
            outcome.problem = str(problem)
            session.close()
    for turn in range(max((repeats for _, _, repeats in live), default=0)):
        for session, outcome, repeats in live:
            if turn < repeats and outcome.problem is None:
                _turn(session, case, outcome)
    for session, _, _ in live:
        session.close()
    return outcomes


def _turn(session: Session, case: Case, outcome: Outcome) -> None:
    """One turn. Where it holds several fits, the first only brings the program's data back."""
    seconds: list[float] = []
    cpu: list[float] = []
    try:
        while sum(seconds) < TURN:
            seconds.append(_fit(session, case, outcome, cpu))
    except (WorkerError, UnfinishedError) as problem:
        outcome.problem = str(problem)
        return
    outcome.seconds += seconds[1:] or seconds
    outcome.cpu += cpu[1:] or cpu


def _fit(session: Session, case: Case, outcome: Outcome, spent: list[float] | None = None) -> float:
    seconds, criterion, evaluations, converged, cpu = session.ask(
        "fit", case.formula, limit=case.limit
    )
    if spent is not None:
        spent.append(float(cpu))
    outcome.criteria = [float(criterion)]
    outcome.evaluations = int(evaluations) if evaluations.isdigit() else None
    outcome.converged = converged == "1"
    return float(seconds)


def refits(
    case: Case, programs: Sequence[Program], folder: Path, count: int, *, threads: int | None
) -> list[Outcome]:
    """Refits of the same responses by all programs; times are scaled to `case.refits`."""
    path, factors = csv_of(case.dataset, folder)
    responses = responses_of(case.dataset, case.refits, folder)
    outcomes, live = [], []
    for program in programs:
        outcome = Outcome(program=program.name)
        outcomes.append(outcome)
        try:
            session = Session(program, threads=threads)
        except (WorkerError, UnfinishedError) as problem:
            outcome.problem = str(problem)
            continue
        try:
            session.ask("load", path, ",".join(factors), limit=case.limit)
            session.ask("refits", case.formula, responses, limit=case.limit)
            chunk = max(1, round(count * REFIT_SHARE.get(program.name, 1.0) / REFIT_ROUNDS))
            live.append((session, outcome, chunk))
        except (WorkerError, UnfinishedError) as problem:
            outcome.problem = str(problem)
            session.close()
    for _ in range(REFIT_ROUNDS):
        for session, outcome, chunk in live:
            if outcome.problem is not None:
                continue
            try:
                seconds, *criteria = map(float, session.ask("more", chunk, limit=case.limit))
                outcome.seconds.append(seconds * case.refits / chunk)
                outcome.criteria += criteria
                outcome.refits += chunk
            except (WorkerError, UnfinishedError) as problem:
                outcome.problem = str(problem)
    for session, _, _ in live:
        session.close()
    return outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """Medians over fresh processes: seconds in all and of each part, memory in MB.

    `peak` is the largest resident size during the fit, `over_import` what that is above the
    process with its packages imported and nothing read.
    """

    program: str
    runs: int
    wall: float
    cpu: float
    imports: float
    reads: float
    fits: float
    peak: float
    over_import: float
    over_data: float


# in a fresh process nothing is compiled anyway, and lme4 reads its arguments another way
WARM_ONLY = ("nestedmlm uncompiled", PLAIN_LME4)
COLD_FIELDS = ("imports", "reads", "fits", "criterion", "after_import", "after_data", "peak", "cpu")


def cold(
    case: Case, programs: Sequence[Program], folder: Path, runs: int, *, threads: int | None
) -> list[Cold | Outcome]:
    """Fresh processes: import, read the data, one fit."""
    import time

    path, factors = csv_of(case.dataset, folder)
    arguments = (str(path), ",".join(factors), case.formula)
    programs = [p for p in programs if p.name not in WARM_ONLY]
    starts = [(program, program.name, {}) for program in programs]
    starts += [
        (program, f"{program.name}, first use", {"NUMBA_CACHE_DIR": str(folder / "empty")})
        for program in programs
        if program.name == "nestedmlm"
    ]
    rows: dict[str, list[dict[str, float]]] = {name: [] for _, name, _ in starts}
    problems: dict[str, str] = {}
    for _ in range(runs):
        for program, name, extra in starts:
            if name in problems:
                continue
            shutil.rmtree(folder / "empty", ignore_errors=True)
            began = time.perf_counter()
            try:
                fields = run_once(
                    program, arguments, threads=threads, limit=case.limit, extra=extra
                )
            except (WorkerError, UnfinishedError) as problem:
                problems[name] = str(problem)
                continue
            row = dict(zip(COLD_FIELDS, map(float, fields), strict=True))
            rows[name].append(row | {"wall": time.perf_counter() - began})
    return [
        Outcome(program=name, problem=problems[name]) if name in problems else _medians(name, found)
        for name, found in rows.items()
    ]


def _medians(name: str, rows: list[dict[str, float]]) -> Cold:
    middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return Cold(
        program=name,
        runs=len(rows),
        wall=middle["wall"],
        cpu=middle["cpu"],
        imports=middle["imports"],
        reads=middle["reads"],
        fits=middle["fits"],
        peak=middle["peak"] / 1024,
        over_import=(middle["peak"] - middle["after_import"]) / 1024,
        over_data=(middle["peak"] - middle["after_data"]) / 1024,
    )
