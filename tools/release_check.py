"""What is released works: `make release-check`.

Builds the source distribution, the wheel from that, and installs it, not the checkout, into a new
environment in a temporary folder; there the versions agree, the README's examples run, and so does
the demo.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command without this checkout on the path; its output."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    print("$", *command, flush=True)
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def versions() -> set[str]:
    """The version, from every file that says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = (ROOT / "nestedmlm" / "__init__.py").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    return {
        project["version"],
        re.findall(r'__version__ = "(.+)"', package)[0],
        re.findall(r"^version: (.+)$", citation, re.MULTILINE)[0],
    }


def main() -> None:
    """Build, install, try."""
    said = versions()
    if len(said) != 1:
        sys.exit(f"versions differ: {', '.join(sorted(said))}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "build")
        builder = folder / "build" / "bin" / "python"
        run(builder, "-m", "pip", "install", "--quiet", "hatchling>=1.26")
        run(builder, "-m", "hatchling", "build", "-t", "sdist", "-d", folder)
        source = next(folder.glob("nestedmlm-*.tar.gz"))
        run(
            builder, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source,
            cwd=folder,
        )  # fmt: skip
        wheel = next(folder.glob("nestedmlm-*.whl"))
        run(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[plots]", cwd=folder)
        where = run(python, "-c", "import nestedmlm; print(nestedmlm.__file__)", cwd=folder)
        if str(folder) not in where:
            sys.exit(f"not the wheel: {where}")
        shutil.copy(ROOT / "README.md", folder)
        print(run(python, ROOT / "tools" / "readme.py", "README.md", cwd=folder), end="")
        print(run(folder / "venv" / "bin" / "nestedmlm", "--version", cwd=folder), end="")
        print(run(python, "-m", "nestedmlm", "demo", cwd=folder)[-400:])
    print(f"{wheel.name}, built from {source.name}: README and demo run from it")


if __name__ == "__main__":
    main()
