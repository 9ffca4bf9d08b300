"""Deferred arrays of a posterior: computed when they are first asked for.

Random effects and the rows' log-likelihood follow from a posterior's parameters and a seed. They
are most of its numbers, and a first look at the parameters needs none of them: xarray holds such
an array as it holds one of a file that has not been read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from nestedmlm._typing import FloatArray


@dataclass(slots=True, eq=False)
class _Computed:
    """Arrays by their names, computed together and once."""

    compute: Callable[[], Mapping[str, FloatArray]]
    known: dict[str, FloatArray] = field(default_factory=dict)

    def of(self, name: str) -> FloatArray:
        if not self.known:
            self.known.update(self.compute())
        return self.known[name]


class _DeferredArray(BackendArray):
    """One of them, as xarray asks for a part of it."""

    def __init__(self, computed: _Computed, name: str, shape: tuple[int, ...]) -> None:
        self.computed, self.name, self.shape = computed, name, shape
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._part
        )

    def _part(self, key: tuple[Any, ...]) -> FloatArray:
        part: FloatArray = self.computed.of(self.name).reshape(self.shape)[key]
        return part


def deferred_arrays(
    shapes: Mapping[str, tuple[int, ...]], compute: Callable[[], Mapping[str, FloatArray]]
) -> dict[str, Any]:
    """Make arrays that are computed when one of them is asked for.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        By name.
    compute : callable
        Gives all of them, in these shapes or flat; can be pickled if the posterior is to be.

    Returns
    -------
    dict of str to array
        What `xarray.Dataset` takes as a variable's data.
    """
    computed = _Computed(compute)
    return {
        name: indexing.LazilyIndexedArray(_DeferredArray(computed, name, shape))
        for name, shape in shapes.items()
    }
