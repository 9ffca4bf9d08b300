"""Warm fits of the guide's models and sleepstudy against lme4, in one run.

    python benchmarks/bench_fit.py

The short form of ``python -m benchmarks``: only these cases, only these two programs; lme4 runs
where Rscript has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.__main__ import main

CASES = ("sleepstudy", "M14", "M15", "M16", "M17", "M18")
PROGRAMS = ("lme4", "nestedmlm")

if __name__ == "__main__":
    main(["--cases", *CASES, "--programs", *PROGRAMS, "--name", "fit", *sys.argv[1:]])
