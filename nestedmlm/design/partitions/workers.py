"""Values that stay on Dask's workers, and functions that go there.

Without a client of `distributed`, Dask's threads are the workers, and the values stay in this
process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from nestedmlm.errors import NestedMLMError, SumsNotHereError


class OnWorkers:
    """Stands where an array would, and says so when it is asked for its numbers."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SumsNotHereError(
            'the sums of the groups stay on Dask\'s workers (cells="workers"), and this needs them '
            "in one place: ask it of nm.summarise(formula, data), which brings them here"
        )

    __iter__ = __len__ = __bool__ = __getitem__ = __array__ = __reduce__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # NumPy and copy ask for these
            raise AttributeError(name)
        self._refuse()


def later(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call that Dask makes once something asks for its result.

    Parameters
    ----------
    function : callable
        Pure, so that it can be run again elsewhere.
    *arguments
        Values, and what `later` or `stays` returned.
    """
    from dask.delayed import delayed

    return delayed(function, pure=False, traverse=False)(*arguments)


def stays(calls: Sequence[Any]) -> tuple[Any, ...]:
    """Make the calls; their results stay where they were made."""
    from dask.base import persist

    return _asked(lambda: tuple(persist(*calls)))  # type: ignore[no-untyped-call]


def comes(calls: Sequence[Any]) -> list[Any]:
    """Make the calls; their results come here, in their order.

    Raises
    ------
    SumsNotHereError
        If what they need is gone with its workers.
    """
    from dask.base import compute

    return _asked(lambda: list(compute(*calls)))  # type: ignore[no-untyped-call]


def _asked[Result](ask: Callable[[], Result]) -> Result:
    try:
        return ask()
    except (NestedMLMError, MemoryError, ArithmeticError, np.linalg.LinAlgError):
        raise
    except Exception as error:  # Dask's are of many classes
        raise SumsNotHereError(
            "the sums that stay on Dask's workers cannot be had any more; is the client closed, or "
            f"are the workers gone? Summarise the data again ({type(error).__name__}: {error})"
        ) from error
