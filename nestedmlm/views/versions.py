"""Versions: of Python, the machine, nestedmlm and what it needs, for a bug report."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from nestedmlm.views.render.blocks import Text
from nestedmlm.views.render.view import View


def show_versions() -> View:
    """Versions of Python, nestedmlm and its dependencies, as a bug report should have them.

    Returns
    -------
    View
        Prints itself: one line for each; optional packages that are missing are said to be.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> lines = str(nm.show_versions()).splitlines()
    >>> lines[0].split()[0], any(line.startswith("scipy") for line in lines)
    ('python', True)
    """
    found = {
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        **{name: _version(name) for name in ("nestedmlm", *_dependencies())},
    }
    width = max(map(len, found)) + 2
    return View((Text(tuple(f"{name:{width}}{said}" for name, said in found.items())),))


def _dependencies() -> list[str]:
    """Names of what the package requires, extras last but those of developers."""
    try:
        lines = requires("nestedmlm") or []
    except PackageNotFoundError:  # run from a folder that was never installed
        lines = ["numpy", "scipy", "pandas", "numba", "formulae", "narwhals"]
    kept = [line for line in lines if not re.search(r"extra == .(test|docs|bench).", line)]
    return list(dict.fromkeys(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in kept))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
