"""What the numbers were measured on, and with which versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.session import LME4, Program

LIBRARIES = ("numpy", "scipy", "pandas", "numba", "pytensor", "pymc")


def machine() -> dict[str, object]:
    """Processor, cores, memory, system and the load before the run."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
    }


def _field(path: str, name: str) -> str:
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith(name)), "")


def versions(programs: Sequence[Program]) -> dict[str, str]:
    """Versions of the programs and of what is below them; R's BLAS and LAPACK by their files."""
    out = {program.name: program.about[0] for program in programs}
    out["python"] = platform.python_version()
    for name in LIBRARIES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "not installed"
    for program in programs:
        if program.name == LME4:
            out |= dict(zip(("R", "R's BLAS", "R's LAPACK"), program.about[1:], strict=False))
    out["NumPy's BLAS"] = _numpy_blas()
    return out


def _numpy_blas() -> str:
    import numpy as np

    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found['name']} {found['version']}"
