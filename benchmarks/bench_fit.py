"""Warm fits of the guide's models and sleepstudy: nestedmlm and lme4, interleaved in one run.

    python benchmarks/bench_fit.py [--fits 21] [--json bench_fit.json]

Each call is the whole `lmer(formula, data)` with default settings, from formula to certified
result; one thread each. Fits of the two programs alternate, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

import nestedmlm as nm
from nestedmlm.datasets import find_local

WORKER = Path(__file__).with_name("lme4_worker.R")
WARM_UP = 3

# above this, one of the two has stopped short of the optimum
SAME_OPTIMUM = 1e-5

MODELS = {
    "M14": ("classroom", "mathscore ~ ses + (ses | schoolid)"),
    "M15": ("classroom", "mathscore ~ ses + (ses | schoolid) + (ses | classid)"),
    "M16": ("classroom", "mathscore ~ ses + (ses | schoolid) + (ses || classid)"),
    "M17": ("classroom", "mathscore ~ ses + (ses | schoolid) + (1 | classid)"),
    "M18": ("classroom", "mathscore ~ ses + (1 | schoolid/classid2)"),
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
}

Fitter = Callable[[], tuple[float, float]]
"""Fits once and returns milliseconds and the REML criterion."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model: medians in milliseconds, criteria reached; lme4's are None where it is missing."""

    model: str
    fits: int
    nestedmlm_ms: float
    lme4_ms: float | None
    nestedmlm_criterion: float
    lme4_criterion: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.lme4_ms is None else self.lme4_ms / self.nestedmlm_ms

    @property
    def verdict(self) -> str:
        """Say who stopped above the other's optimum, if anybody did."""
        if self.lme4_criterion is None:
            return ""
        difference = self.nestedmlm_criterion - self.lme4_criterion
        if abs(difference) <= SAME_OPTIMUM:
            return "same optimum"
        wrong = "nestedmlm" if difference > 0 else "lme4"
        return f"{wrong} WRONG: {abs(difference):.2g} above the other"


class Lme4:
    """An R process that fits on demand; `versions` are lme4's and R's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )
        self.versions = tuple(self._answer())

    def fitter(self, dataset: str, formula: str) -> Fitter:
        path = self._folder / f"{dataset}.csv"
        if not path.exists():
            frame = nm.load_dataset(dataset)
            codes = frame.select_dtypes("category").columns
            # read.csv makes a factor of text only: a letter keeps identifiers from being numbers
            frame.assign(**{c: "g" + frame[c].astype("str") for c in codes}).to_csv(
                path, index=False
            )

        def fit() -> tuple[float, float]:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{path}\t{formula}\n")
            self._process.stdin.flush()
            milliseconds, criterion = map(float, self._answer())
            return milliseconds, criterion

        return fit

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("R stopped; its message is above")
        return line.rstrip("\n").split("\t")


def why_no_lme4() -> str | None:
    """Reason why lme4 cannot be timed, or None."""
    if shutil.which("Rscript") is None:
        return "Rscript is not installed"
    check = ["Rscript", "--vanilla", "-e", "loadNamespace('lme4')"]
    if subprocess.run(check, capture_output=True).returncode:
        return "R has no package lme4"
    return None


@contextmanager
def lme4_if_there() -> Iterator[Lme4 | None]:
    reason = why_no_lme4()
    if reason:
        print(f"lme4 is not timed: {reason}.\n")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        worker = Lme4(Path(folder))
        try:
            yield worker
        finally:
            worker.close()


def nestedmlm_fitter(dataset: str, formula: str) -> Fitter:
    frame = nm.load_dataset(dataset)

    def fit() -> tuple[float, float]:
        start = time.perf_counter()
        result = nm.lmer(formula, frame)
        return 1000 * (time.perf_counter() - start), result.reml_criterion

    return fit


def measure(model: str, fits: int, lme4: Lme4 | None) -> Row:
    """Alternate between the two programs; the criterion is that of the last fit."""
    fitters = [nestedmlm_fitter(*MODELS[model])]
    if lme4 is not None:
        fitters.append(lme4.fitter(*MODELS[model]))
    for fit in fitters:
        for _ in range(WARM_UP):
            fit()
    rounds = [[fit() for fit in fitters] for _ in range(fits)]
    medians = [statistics.median(t for t, _ in column) for column in zip(*rounds, strict=True)]
    criteria = [criterion for _, criterion in rounds[-1]]
    nothing = [None] * (2 - len(fitters))
    (ours, theirs), (our_criterion, their_criterion) = medians + nothing, criteria + nothing
    return Row(model, fits, ours, theirs, our_criterion, their_criterion)


def table(rows: list[Row]) -> str:
    lines = [
        "| model | nestedmlm ms | lme4 ms | lme4 / nestedmlm | REML nestedmlm | REML lme4 | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        theirs = ("–", "–", "–")
        if row.lme4_ms is not None:
            theirs = (f"{row.lme4_ms:.2f}", f"{row.ratio:.1f}", f"{row.lme4_criterion:.6f}")
        lines.append(
            f"| {row.model} | {row.nestedmlm_ms:.2f} | {theirs[0]} | {theirs[1]} "
            f"| {row.nestedmlm_criterion:.6f} | {theirs[2]} | {row.verdict} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=21, help="timed fits of each model (>= 15)")
    parser.add_argument("--json", type=Path, default=Path("bench_fit.json"))
    options = parser.parse_args()
    if options.fits < 15:
        parser.error("--fits must be 15 or more: a median of fewer says little")
    logging.getLogger("nestedmlm").setLevel(logging.ERROR)  # singular fits are part of the game

    there = {name: job for name, job in MODELS.items() if find_local(job[0]) is not None}
    if missing := [name for name in MODELS if name not in there]:
        print(f"No data for {', '.join(missing)}: set NESTEDMLM_DATA to their folder.\n")
    with threadpool_limits(limits=1), lme4_if_there() as lme4:
        conditions = machine()
        rows = [measure(name, options.fits, lme4) for name in there]
        versions = {p: version(p) for p in ("numpy", "scipy", "numba", "pytensor")}
        versions["nestedmlm"] = nm.__version__
        versions["python"] = platform.python_version()
        if lme4 is not None:
            versions["lme4"], versions["R"] = lme4.versions
    print(table(rows))
    print(f"\nMedians of {options.fits} warm fits each, one thread; {conditions['processor']}.")
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    record = {
        "machine": conditions,
        "versions": versions,
        "rows": [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows],
    }
    options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
