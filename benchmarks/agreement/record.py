"""What a comparison with R yields, and how R is asked."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
REFERENCE = FOLDER.parents[1] / "tests" / "reference"  # scripts whose answers the tests keep
DATA = Path(os.environ.get("NESTEDMLM_DATA", FOLDER.parents[2] / "shared" / "data"))


# how R's numbers are written that JSON has not
SPECIAL = {"NA": math.nan, "NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}


class RMissing(RuntimeError):
    """R, or one of its packages, is not there; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One comparison.

    Attributes
    ----------
    verb : str
    case : str
        Model and data.
    difference : float
        Largest difference, relative to the larger of 1 and R's value unless `note` says otherwise.
    note : str
    """

    verb: str
    case: str
    difference: float
    note: str = ""


def read_json(text: str) -> Any:
    """What R wrote, its special numbers as floats."""
    return _with_floats(json.loads(text))


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_floats(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_with_floats(own) for own in value]
    return SPECIAL.get(value, value) if isinstance(value, str) else value


def ask_r(script: Path, packages: Sequence[str], *arguments: str) -> Any:
    """Run an R script that prints JSON, and read what it printed.

    Parameters
    ----------
    script : Path
        The working directory is its folder, ``NESTEDMLM_DATA`` is set.
    packages : sequence of str
        What it needs.

    Raises
    ------
    RMissing
        Without Rscript or a package.
    """
    program = shutil.which("Rscript")
    if program is None:
        raise RMissing("Rscript is not installed")
    wanted = ", ".join(f'"{name}"' for name in (*packages, "jsonlite"))
    check = f"for (p in c({wanted})) if (!requireNamespace(p, quietly = TRUE)) cat(p, '')"
    missing = subprocess.run([program, "-e", check], capture_output=True, text=True, check=True)
    if missing.stdout.strip():
        raise RMissing(f"R packages are not installed: {missing.stdout.strip()}")
    done = subprocess.run(
        [program, script.name, *arguments],
        cwd=script.parent,
        env={**os.environ, "NESTEDMLM_DATA": str(DATA)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr[-2000:]}")
    return read_json(done.stdout)


def largest_difference(ours: Any, theirs: Any) -> float:
    """Largest ``|a - b| / max(1, |b|)``; infinite where shapes or missing values differ."""
    a, b = np.asarray(ours, dtype=float).ravel(), np.asarray(theirs, dtype=float).ravel()
    if a.shape != b.shape or np.any(np.isnan(a) != np.isnan(b)):
        return float("inf")
    known = ~np.isnan(b) & (a != b)  # equal infinities are equal
    gap = np.abs(a[known] - b[known]) / np.maximum(1.0, np.abs(b[known]))
    return float(gap.max(initial=0.0))
