"""The caller's variables that a formula uses: a plain mapping that can be pickled."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

_MODULES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}
_MISSING = object()


def _restore(items: tuple[tuple[str, bool, Any], ...]) -> Environment:
    loaded = {k: importlib.import_module(v) if is_module else v for k, is_module, v in items}
    return Environment(loaded)


class Environment:
    """Names looked up where the data have no such column; modules are pickled by import path.

    Parameters
    ----------
    values : mapping of str to object
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def restricted(self, names: Iterable[str]) -> Environment:
        """Keep only what the roots of `names` need, so that nothing else stays alive."""
        roots = {root for name in names for root in (name, name.split(".")[0])}
        return Environment({k: v for k, v in self.values.items() if k in roots})

    def __reduce__(self) -> tuple[Any, ...]:
        items = tuple(
            (k, True, v.__name__) if isinstance(v, ModuleType) else (k, False, v)
            for k, v in self.values.items()
        )
        return _restore, (items,)

    def find(self, name: str) -> Any:
        """Return the object called `name` (attributes after dots), or raise KeyError."""
        if name in self.values:
            return self.values[name]
        root, *attributes = name.split(".")
        found = self.values.get(root, _MISSING)
        if found is _MISSING and root in _MODULES:
            found = importlib.import_module(_MODULES[root])
        if found is _MISSING and not attributes:
            found = getattr(builtins, root, _MISSING) if root in ("len", "float", "int") else found
        for attribute in attributes:
            found = getattr(found, attribute, _MISSING)
        if found is _MISSING:
            raise KeyError(name)
        return found
