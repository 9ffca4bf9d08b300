"""The caller's variables that a formula may use: data, and functions of the caller's own."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from nestedmlm.callers import PACKAGE

# where functions stand that are not the caller's own
_INSTALLED = (
    *PACKAGE,
    "<frozen ",
    *(
        path + os.sep
        for path in (
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            *site.getsitepackages([sys.prefix]),
            site.getusersitepackages(),
        )
    ),
)


class Environment:
    """Variables looked up where the data have no such column, by their whole name.

    Nothing is reached through them: no attribute of an object, no content of a module.

    Parameters
    ----------
    values : mapping of str to object
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def restricted(self, names: Iterable[str]) -> Environment:
        """Keep only what `names` need, so that nothing else stays alive."""
        wanted = set(names)
        return Environment({k: v for k, v in self.values.items() if k in wanted})

    def __reduce__(self) -> tuple[Any, ...]:
        return Environment, (self.values,)

    def find(self, name: str) -> Any:
        """Return the object called `name`.

        Raises
        ------
        KeyError
            If there is none, or it is a module, a class, or special to Python (``__name__``).
        """
        found = self.values[name]
        if name.startswith("__") or isinstance(found, ModuleType | type):
            raise KeyError(name)
        return found


def plain_variables(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the variables of a calling function that a formula may use unasked.

    Parameters
    ----------
    scope : mapping of str to object

    Returns
    -------
    dict
        Data of any kind, functions written by the caller (not those of installed packages or of
        Python itself), NumPy's and SciPy's elementwise functions; no name that begins with an
        underscore. Others can be passed by name.

    Examples
    --------
    >>> import os, shutil
    >>> half = eval("lambda x: x / 2")
    >>> sorted(plain_variables({"half": half, "n": 3, "os": os, "rmtree": shutil.rmtree}))
    ['half', 'n']
    """
    return {
        name: value
        for name, value in scope.items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and (not callable(value) or isinstance(value, np.ufunc) or _is_own(value))
    }


def _is_own(function: Any) -> bool:
    """Whether a function is written in Python, outside of what is installed."""
    return isinstance(function, FunctionType) and not function.__code__.co_filename.startswith(
        _INSTALLED
    )
