"""All profile intervals of the guide's M17 against R's confint, in one run.

    python benchmarks/bench_profile.py [--repeat 5]

Both from a fit that exists already, one BLAS thread, warm. lme4 runs where Rscript has it; its
limits are printed beside ours so that the same thing is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nestedmlm as nm
from benchmarks.data import csv_of

FOLDER = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
FORMULA = "mathscore ~ ses + (ses | schoolid) + (1 | classid)"
SCRIPT = """
suppressMessages(library(lme4))
d <- read.csv(commandArgs(TRUE)[1])
d$schoolid <- factor(d$schoolid); d$classid <- factor(d$classid)
m <- lmer({formula}, d)
once <- function() system.time(ci <<- suppressWarnings(suppressMessages(confint(m))))[["elapsed"]]
seconds <- replicate(as.integer(commandArgs(TRUE)[2]), once())
cat(jsonlite::toJSON(list(seconds = seconds, lower = ci[, 1], upper = ci[, 2]), digits = 8))
"""


def ours(path: Path, repeat: int) -> tuple[list[float], nm.LmerFit]:
    """Seconds of each run, and the fit."""
    import pandas as pd

    fit = nm.lmer(FORMULA, pd.read_csv(path))
    fit.conf_int(progress=False)
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        fit.conf_int(progress=False)
        seconds.append(time.perf_counter() - began)
    return seconds, fit


def theirs(path: Path, repeat: int) -> dict[str, list[float]] | None:
    """Seconds and limits of lme4; None without R."""
    program = shutil.which("Rscript")
    if program is None:
        return None
    code = SCRIPT.replace("{formula}", FORMULA)
    command = [program, "-e", code, str(path), str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main() -> None:
    """Time both, side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    path = csv_of("classroom", FOLDER)[0].resolve()
    seconds, fit = ours(path, repeat)
    table = fit.conf_int(order="lme4-1", names="old", progress=False)
    other = theirs(path, repeat)
    mine = statistics.median(seconds)
    print(f"nestedmlm  conf_int()  {mine:8.3f} s   (median of {repeat}: {min(seconds):.3f} to "
          f"{max(seconds):.3f})")  # fmt: skip
    if other is None:
        print("lme4: skipped, Rscript with lme4 and jsonlite is not there")
        return
    his = statistics.median(other["seconds"])
    print(f"lme4       confint()   {his:8.3f} s   (median of {repeat}: {min(other['seconds']):.3f} "
          f"to {max(other['seconds']):.3f})")  # fmt: skip
    print(f"ratio {his / mine:.1f}\n")
    print(table.assign(lme4_lower=other["lower"], lme4_upper=other["upper"]).to_string())


if __name__ == "__main__":
    main()
