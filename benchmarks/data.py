"""CSV files for all programs: shipped, exported from R packages, or simulated; made once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import simulated

EXPORT = Path(__file__).with_name("export.R")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set comes from, and which of its columns are factors."""

    factors: tuple[str, ...]
    make: Callable[[Path], None]


def _of_nestedmlm(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        import nestedmlm as nm

        frame = nm.load_dataset(name)
        codes = frame.select_dtypes("category").columns
        # a letter keeps identifiers from being read as numbers
        frame.assign(**{c: "g" + frame[c].astype("str") for c in codes}).to_csv(path, index=False)

    return make


def _of_r(package: str, name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        command = ["Rscript", "--vanilla", str(EXPORT), package, name, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["Rscript failed"])[-1]
            raise RuntimeError(f"{package}::{name} cannot be exported: {reason}")

    return make


def _simulated(make_frame: Callable[[], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda path: make_frame().to_csv(path, index=False)


SOURCES = {
    "sleepstudy": Source(("Subject",), _of_nestedmlm("sleepstudy")),
    "classroom": Source(("classid", "schoolid", "classid2"), _of_nestedmlm("classroom")),
    "Chem97": Source(("lea", "school"), _of_r("mlmRev", "Chem97")),
    "InstEval": Source(("s", "d", "dept", "service"), _of_r("lme4", "InstEval")),
    "million": Source(("school", "class"), _simulated(simulated.million)),
    "maximal": Source(("subject", "item"), _simulated(simulated.maximal)),
    "maximal-singular": Source(
        ("subject", "item"), _simulated(partial(simulated.maximal, simulated.MAXIMAL_SINGULAR))
    ),
    "twenty": Source(("school", "class"), _simulated(simulated.twenty)),
    "pairs": Source(("g",), _simulated(simulated.pairs)),
}


def csv_of(dataset: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Path of the data set's CSV file (made if it is not there) and its factor columns."""
    folder.mkdir(parents=True, exist_ok=True)
    path, source = folder / f"{dataset}.csv", SOURCES[dataset]
    if not path.exists():
        part = path.with_suffix(".part")
        source.make(part)
        part.rename(path)
    return path, source.factors


def responses_of(dataset: str, count: int, folder: Path) -> Path:
    """Binary file (float64, one response after the other) of responses to refit."""
    csv, _ = csv_of(dataset, folder)
    path = folder / f"{dataset}-responses-{count}.bin"
    if not path.exists():
        np.ascontiguousarray(simulated.responses(pd.read_csv(csv), count)).tofile(path)
    return path
