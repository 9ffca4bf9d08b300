"""Parts of formulae: its scanner, parser and tree, without the rest of the package.

formulae's ``__init__`` loads design matrices and with them two hundred modules of SciPy, half a
second that a formula does not need. So the four files are loaded under a package name of our own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_NAME = "nestedmlm_formulae"


def _load(part: str) -> Any:
    return import_module(f"{_NAME}.{part}")


def _open() -> None:
    spec = find_spec("formulae")  # finds the package, runs nothing of it
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("formulae is not installed", name="formulae")
    package, utils = ModuleType(_NAME), ModuleType(f"{_NAME}.utils")
    package.__path__ = list(spec.submodule_search_locations)
    utils.listify = lambda obj: obj if isinstance(obj, list | tuple) else [obj]  # type: ignore[attr-defined]
    sys.modules |= {_NAME: package, utils.__name__: utils}


_open()
expr = _load("expr")
Parser: Any = _load("parser").Parser
Scanner: Any = _load("scanner").Scanner
Token: Any = _load("token").Token
