"""Residuals that differ or correlate, beside nlme and glmmTMB: CPU seconds of whole calls.

Usage: ``OPENBLAS_NUM_THREADS=1 python -m benchmarks.bench_residuals [--runs 3]``. Each program
reads the same CSV file and is timed warm, design included; R's programs run once on the large trial
(made: 10 visits, 55 covariance parameters), and only ours on ten times its patients. A program that
fails or does not express a model shows ``-``; the last columns say how far above our criterion it
stopped (glmmTMB's unstructured fits hold a tiny residual variance, hence a little below). R's mmrm
is not timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import nestedmlm as nm

# name: formula, our options, nlme's call, glmmTMB's call ("" where it has none)
MODELS = {
    "sleepstudy, intercepts, AR(1)": (
        "sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
        {"residual": "ar1(Days | Subject)"},
        "lme(Reaction ~ Days, random = ~ 1 | Subject, correlation = corAR1(form = ~ Days),"
        " data = d)",
        "",
    ),
    "Orthodont, slopes, SD by sex": (
        "Orthodont",
        "distance ~ age * Sex + (age | Subject)",
        {"dispersion": "~ Sex"},
        "lme(distance ~ age * Sex, random = ~ age | Subject, weights = varIdent(form = ~ 1 | Sex),"
        " data = d)",
        "glmmTMB(distance ~ age * Sex + (age | Subject), dispformula = ~ Sex, REML = TRUE,"
        " data = d)",
    ),
    "trial, 300 patients, 5 visits, unstructured": (
        (300, 5),
        "y ~ arm * visit",
        {"residual": "us(visit | id)"},
        "gls(y ~ arm * visit, correlation = corSymm(form = ~ as.integer(visit) | id),"
        " weights = varIdent(form = ~ 1 | visit), data = d)",
        "glmmTMB(y ~ arm * visit + us(0 + visit | id), dispformula = ~ 0, REML = TRUE, data = d)",
    ),
    "trial, 1,000 patients, 10 visits, unstructured": (
        (1000, 10),
        "y ~ arm * visit",
        {"residual": "us(visit | id)"},
        "",
        "glmmTMB(y ~ arm * visit + us(0 + visit | id), dispformula = ~ 0, REML = TRUE, data = d)",
    ),
    "trial, 10,000 patients, 10 visits, unstructured": (
        (10_000, 10),
        "y ~ arm * visit",
        {"residual": "us(visit | id)"},
        "",
        "",
    ),
}
_LARGE = 5000  # rows from which each program of R runs once
_R = """
suppressMessages({library(nlme); library(jsonlite)})
d <- read.csv("%(path)s", stringsAsFactors = TRUE)
for (v in intersect(c("Subject", "id"), names(d))) d[[v]] <- factor(d[[v]])
if ("Sex" %%in%% names(d)) d$Sex <- factor(d$Sex, levels = c("Male", "Female"))
once <- function(code) {
  fit <- NULL
  f <- function() fit <<- suppressWarnings(eval(parse(text = code)))
  ok <- tryCatch({f(); TRUE}, error = function(e) FALSE)
  if (!ok) return(list(seconds = NA, criterion = NA))
  times <- replicate(%(runs)d, sum(system.time(f())[1:2]))
  list(seconds = min(times), criterion = as.numeric(-2 * logLik(fit)))
}
out <- list()
if (nchar('%(nlme)s') > 0) out$nlme <- once('%(nlme)s')
if (nchar('%(tmb)s') > 0 && suppressWarnings(require(glmmTMB, quietly = TRUE)))
  out$glmmTMB <- once('%(tmb)s')
cat(toJSON(out, auto_unbox = TRUE, na = "null", digits = NA))
"""


def trial(patients: int = 300, visits: int = 5) -> pd.DataFrame:
    """A made trial of two arms; a tenth of the visits is missing."""
    rng = np.random.default_rng(1)
    L = np.tril(rng.normal(0.3, 0.2, (visits, visits))) + np.diag(np.linspace(1.0, 2.0, visits))
    y = 10.0 + rng.normal(size=(patients, visits)) @ L.T
    d = pd.DataFrame(
        {
            "id": np.repeat(np.arange(patients), visits),
            "visit": np.tile([f"v{i:02d}" for i in range(visits)], patients),
            "arm": np.repeat(np.where(np.arange(patients) % 2, "active", "placebo"), visits),
            "y": y.ravel(),
        }
    )
    return d[rng.uniform(size=len(d)) > 0.1]


def ours(data: pd.DataFrame, formula: str, options: dict[str, str], runs: int) -> dict[str, float]:
    """Least CPU seconds of a warm call, and the criterion."""
    fit, seconds = nm.lmer(formula, data, **options), []
    for _ in range(runs):
        before = time.process_time()
        fit = nm.lmer(formula, data, **options)
        seconds.append(time.process_time() - before)
    assert fit.converged
    return {"seconds": min(seconds), "criterion": fit.criterion}


def theirs(data: pd.DataFrame, nlme: str, tmb: str, runs: int) -> dict[str, dict[str, float]]:
    """The same of R's packages; empty without R."""
    if not (nlme or tmb):
        return {}
    runs = 1 if len(data) > _LARGE else runs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False)
        code = _R % {"path": path, "runs": runs, "nlme": nlme, "tmb": tmb}
        try:
            done = subprocess.run(
                ["Rscript", "-e", code], capture_output=True, text=True, check=True, timeout=900
            )
        except (OSError, subprocess.SubprocessError):
            return {}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def cell(found: dict[str, float] | None, key: str, less: float = 0.0) -> str:
    """A number, or a dash where there is none."""
    value = None if found is None else found.get(key)
    return "-" if value is None else f"{value - less:.3g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print("| model | rows | nestedmlm | nlme | glmmTMB | nlme above ours by | glmmTMB |")
    print("|---|---|---|---|---|---|---|")
    for name, (source, formula, options, nlme, tmb) in MODELS.items():
        data = nm.load_dataset(source) if isinstance(source, str) else trial(*source)
        own = ours(data, formula, options, runs)
        other = theirs(data, nlme, tmb, runs)
        times = [cell(other.get(k), "seconds") for k in ("nlme", "glmmTMB")]
        above = [cell(other.get(k), "criterion", own["criterion"]) for k in ("nlme", "glmmTMB")]
        print(f"| {name} | {len(data)} | {own['seconds']:.3g} | {' | '.join([*times, *above])} |")


if __name__ == "__main__":
    main()
