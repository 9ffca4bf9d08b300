"""Compiled functions on disk, in a folder of their own for each state of the sources.

Numba looks at the file of the function that it loads, not at what that calls or takes: after an
upgrade, or a module that was moved, a file of old machine code would be used, or fail to load. So
the folder's name holds a hash of all sources that compiled code is made of, of this package's path
and of Numba's version: what was compiled from others is never opened.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
_SOURCES = ("likelihood", "statistics", "optimum")  # folders of the package
_PREFIX = "nestedmlm-"
_UNUSED_SECONDS = 2 * 86_400  # after the last file, another state's folder goes
_COMPLETE = "complete"  # a file that stands there once everything was compiled


def source_hash(package: Path = _PACKAGE) -> str:
    """Hash of everything that compiled functions are made of."""
    found = hashlib.sha256(f"{package} {version('numba')} {version('numpy')}".encode())
    for folder in _SOURCES:
        for path in sorted((package / folder).rglob("*.py")):
            found.update(path.name.encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where compiled functions are kept: ``NUMBA_CACHE_DIR``, beside the sources, or in home."""
    own = f"{_PREFIX}{source_hash()}"
    given, beside = os.environ.get("NUMBA_CACHE_DIR"), Path(__file__).parent / "__pycache__"
    if given:
        return Path(given) / own
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside / own
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / own


def open_folder() -> Path:
    """Make the folder; those of other states of these sources go, once nobody writes there.

    A process that began before an upgrade still compiles into the folder of its own sources.
    """
    folder = cache_folder()
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if folder.parent.name == "__pycache__":
            for other in set(folder.parent.glob(f"{_PREFIX}*")) - {folder}:
                if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
    return folder


def is_complete() -> bool:
    """Whether everything stands there, so that loading it costs a second and no compilation."""
    return (cache_folder() / _COMPLETE).exists()


def mark_complete() -> None:
    """Say so."""
    (open_folder() / _COMPLETE).touch()
