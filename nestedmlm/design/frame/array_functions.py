"""NumPy's and SciPy's elementwise functions, as formulas reach them: by name, from a list."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

_MODULES = {
    "np": "numpy",
    "numpy": "numpy",
    "special": "scipy.special",
    "sp.special": "scipy.special",
    "scipy.special": "scipy.special",
}
_NUMBERS = {"pi": np.pi, "e": np.e, "nan": np.nan, "inf": np.inf}
CONSTANTS: Mapping[str, float] = {
    "pi": np.pi,
    "Inf": np.inf,
    "NA": np.nan,
    "NaN": np.nan,
    **{f"{library}.{name}": value for library in ("np", "numpy")
       for name, value in _NUMBERS.items()},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArrayFunction:
    """An elementwise function of one or more numeric vectors.

    Attributes
    ----------
    function : callable
    least, most : int
        How many arguments it takes, all by position: an output array is never one of them.
    """

    function: Callable[..., Any]
    least: int
    most: int


# elementwise, although NumPy has them as plain functions
_PLAIN = {
    "around": ArrayFunction(lambda x, decimals=0: np.around(x, int(decimals)), 1, 2),
    "clip": ArrayFunction(lambda x, low, high: np.clip(x, low, high), 3, 3),
    "fix": ArrayFunction(np.trunc, 1, 1),
    "nan_to_num": ArrayFunction(lambda x: np.nan_to_num(x), 1, 1),
    "round": ArrayFunction(lambda x, decimals=0: np.around(x, int(decimals)), 1, 2),
    "sinc": ArrayFunction(lambda x: np.sinc(x), 1, 1),
    "where": ArrayFunction(lambda test, yes, no: np.where(test, yes, no), 3, 3),
}


@cache
def _known(module: str) -> Mapping[str, ArrayFunction]:
    """Elementwise functions of a module; nothing that its attributes lead to."""
    found = {name: own for name, f in vars(importlib.import_module(module)).items()
             if not name.startswith("_") and (own := of_ufunc(f)) is not None}  # fmt: skip
    return {**found, **_PLAIN} if module == "numpy" else found


def of_ufunc(function: Any) -> ArrayFunction | None:
    """Describe a universal function that gives one array, element by element; else None."""
    if not isinstance(function, np.ufunc) or function.nout != 1 or function.signature is not None:
        return None
    return ArrayFunction(function, function.nin, function.nin)


def find_array_function(name: str) -> ArrayFunction | None:
    """Find a function by its dotted name.

    Parameters
    ----------
    name : str

    Returns
    -------
    ArrayFunction or None

    Examples
    --------
    >>> find_array_function("np.log1p").most
    1
    >>> find_array_function("scipy.special.expit").function
    <ufunc 'expit'>
    >>> find_array_function("np.save") is find_array_function("np.add.reduce") is None
    True
    """
    prefix, _, short = name.rpartition(".")
    module = _MODULES.get(prefix)
    return None if module is None else _known(module).get(short)
