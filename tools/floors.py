"""The oldest and the newest dependencies: `python tools/floors.py oldest` (or ``newest``).

Makes a virtual environment in a temporary folder, installs the floors of pyproject.toml (the oldest
releases that they admit, as far as PyMC's own floors allow) or whatever is newest, and runs the
tests of some rooms there: first without PyMC, whose SciPy is newer than ours need be, then those
that take a posterior too. SPEC 0: floors are about two years old.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# PyMC's half follows PyTensor, whose SciPy is newer than ours need be: tested in a second step
BAYES = ("arviz", "nutpie", "pymc", "pytensor", "xarray")
TOOLS = ("pytest>=9,<10", "pytest-xdist>=3.8,<4", "hypothesis>=6", "polars>=1.30")
ROOMS = "formula design inference fits".split()
OF_POSTERIORS = re.compile(r"arviz|pymc|pytensor|psis|\.sample\(|fake_fit|fake_posterior|verb_row")


def tests(posteriors: bool) -> list[str]:
    """Test files that take a posterior somewhere, or those that do not."""
    files = [path for room in ROOMS for path in sorted((ROOT / "tests" / room).rglob("test_*.py"))]
    chosen = [
        path.relative_to(ROOT)
        for path in files
        if posteriors is bool(OF_POSTERIORS.search(path.read_text(encoding="utf-8")))
    ]
    more = ["bayes/test_bayes_psis.py", "posterior"] if posteriors else ["test_goldens.py"]
    return [*map(str, chosen), *(f"tests/{name}" for name in more)]


def requirements() -> dict[str, str]:
    """What the package needs, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["plots"]]
    return {re.split(r"[<>=!\[ ]", line, maxsplit=1)[0]: line for line in lines}


def floor(requirement: str) -> str:
    """The oldest releases that a requirement admits: ``pandas>=2.2,<4`` is ``pandas==2.2.*``."""
    name, version = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"{name}=={version}.*" if version.count(".") < 2 else f"{name}=={version}"


def run(*command: str | Path) -> None:
    """Run a command from the checkout, one BLAS thread."""
    print("$", *command, flush=True)
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(list(map(str, command)), cwd=ROOT, env=env, check=True)


def main() -> None:
    """Install and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["oldest", "newest"])
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    needed = requirements()
    oldest = options.which == "oldest"
    first = {n: floor(r) if oldest else r for n, r in needed.items() if n not in BAYES}
    second = {**needed, **first, "numpy": needed["numpy"], "scipy": needed["scipy"]}
    with tempfile.TemporaryDirectory() as name:
        run(options.python, "-m", "venv", name)
        python = Path(name) / "bin" / "python"
        # "-W default": old SWIG modules (nlopt 2.9) warn while they load, and crash where
        # that is an error; the newest releases warn of what comes
        test = (
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not r"),
            *("--numprocesses", "auto", "--dist", "loadscope"),
        )
        run(python, "-m", "pip", "install", "--quiet", *first.values(), *TOOLS)
        run(*test, "-W", "default", *tests(posteriors=False))
        run(python, "-m", "pip", "install", "--quiet", *second.values())
        run(*test, "-W", "default", *tests(posteriors=True))


if __name__ == "__main__":
    main()
