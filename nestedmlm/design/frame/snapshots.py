"""Snapshots: the caller's tables and arrays, out of reach of later edits in place."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

_UNCHANGING = (str, bytes, int, float, complex, tuple, frozenset, np.generic, ModuleType)

# before pandas 3 a shallow copy sees what is written to the original
_COPY_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


def snapshot(value: Any) -> Any:
    """Return what `value` holds now, whatever is done to it in place later.

    Parameters
    ----------
    value : object
        A table, an array, a mapping or list of such; anything else comes back as it is.

    Returns
    -------
    object
        Of the same type (a mapping: a dict). pandas' tables share their memory with the caller's
        until either is written to (copy on write), so that this costs nothing, as polars' do;
        before pandas 3 they are copied, as arrays and lists are.

    Notes
    -----
    What is written past a table reaches it: to an array of which a DataFrame was made with
    ``copy=False``, or polars and Arrow tables without a copy.

    Examples
    --------
    >>> data = pd.DataFrame({"x": [1.0, 2.0]})
    >>> before = snapshot(data)
    >>> data.loc[0, "x"] = 99.0
    >>> before["x"].tolist()
    [1.0, 2.0]
    """
    if value is None or callable(value) or isinstance(value, _UNCHANGING):
        return value
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.copy(deep=not _COPY_ON_WRITE)
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    for method in ("clone", "copy"):  # polars' copy on write, NumPy's and others' own
        if hasattr(value, method):
            return getattr(value, method)()
    return value  # Arrow's tables and arrays never change
