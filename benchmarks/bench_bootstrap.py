"""1000 parametric bootstrap refits of the guide's M17 against lme4's bootMer, in one run.

    python benchmarks/bench_bootstrap.py [--nsim 1000] [--theirs 50] [--repeat 3] [--workers 1]

Both from a fit that exists already, one BLAS thread, one process, warm; both keep fixed effects,
standard deviations, correlations and sigma of every refit. lme4 runs where Rscript has it, with
fewer refits (its time is proportional to them): what is compared is time per refit, by the clock
and of the processor (on a busy machine only the latter says much). Standard errors are printed
beside each other so that the same thing is timed.
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
Times = tuple[list[float], list[float]]
SCRIPT = """
suppressMessages(library(lme4))
args <- commandArgs(TRUE)
d <- read.csv(args[1])
d$schoolid <- factor(d$schoolid); d$classid <- factor(d$classid)
m <- lmer({formula}, d)
f <- function(m) {
  v <- as.data.frame(VarCorr(m))
  setNames(c(fixef(m), v$sdcor), c(names(fixef(m)), paste(v$grp, v$var1, v$var2)))
}
once <- function(nsim, seed) suppressWarnings(suppressMessages(bootMer(m, f, nsim, seed = seed)))
warm <- once(2, 1)
seconds <- sapply(seq_len(as.integer(args[3])), function(i) {
  t <- system.time(b <<- once(as.integer(args[2]), i))
  c(t[["elapsed"]], t[["user.self"]] + t[["sys.self"]])
})
se <- apply(b$t, 2, sd)
cat(jsonlite::toJSON(list(clock = seconds[1, ], cpu = seconds[2, ], se = unname(se)), digits = 8))
"""


def ours(path: Path, nsim: int, repeat: int, workers: int) -> tuple[Times, nm.Bootstrap]:
    """Times of each run, and the last bootstrap."""
    import pandas as pd

    fit = nm.lmer(FORMULA, pd.read_csv(path))
    boot = fit.bootstrap(20, seed=0, progress=False)
    clock, cpu = [], []
    for seed in range(repeat):
        began = time.perf_counter(), time.process_time()
        boot = fit.bootstrap(nsim, seed=seed, workers=workers, progress=False)
        clock.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return (clock, cpu), boot


def theirs(path: Path, nsim: int, repeat: int) -> dict[str, list[float]] | None:
    """Times and standard errors of lme4; None without R."""
    program = shutil.which("Rscript")
    if program is None:
        return None
    code = SCRIPT.replace("{formula}", FORMULA)
    command = [program, "-e", code, str(path), str(nsim), str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def line(name: str, times: Times, nsim: int) -> str:
    """One program's times."""
    clock, cpu = (1000 * statistics.median(t) / nsim for t in times)
    return f"{name:<34}{clock:8.3f} ms by the clock, {cpu:8.3f} ms of processor   ({nsim} refits)"


def main() -> None:
    """Time both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nsim", type=int, default=1000)
    parser.add_argument("--theirs", type=int, default=50, help="refits of lme4 per run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    path = csv_of("classroom", FOLDER)[0].resolve()
    mine, boot = ours(path, asked.nsim, asked.repeat, asked.workers)
    other = theirs(path, asked.theirs, asked.repeat)
    print(line(f"nestedmlm bootstrap(workers={asked.workers})", mine, asked.nsim))
    if other is None:
        print("lme4: skipped, Rscript with lme4 and jsonlite is not there")
        return
    his = (other["clock"], other["cpu"])
    print(line("lme4      bootMer()", his, asked.theirs))
    clock, cpu = (
        statistics.median(b) / asked.theirs / (statistics.median(a) / asked.nsim)
        for a, b in zip(mine, his, strict=True)
    )
    print(f"ratio {clock:.1f} by the clock, {cpu:.1f} of processor time\n")
    se = boot.to_frame()["std_error"]
    table = se.rename("nestedmlm").to_frame().assign(lme4=other["se"])
    print("Standard errors\n" + table.to_string(float_format=lambda x: f"{x:.4g}"))


if __name__ == "__main__":
    main()
