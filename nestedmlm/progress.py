"""Progress bars for long work (layer 0: imports nothing of the package)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

_EVERY = 0.2  # seconds between two updates
_QUIET = 1.0  # seconds before the first: short work says nothing


def track[Item](
    items: Iterable[Item], total: int, label: str, *, show: bool = True
) -> Iterator[Item]:
    """Yield `items` beside tqdm's bar: a line on standard error, or a widget in a notebook.

    Parameters
    ----------
    items : iterable
    total : int
        How many there are.
    label : str
        What is being counted.
    show : bool
        False: only yield.
    """
    if not show or total < 1:
        yield from items
        return
    options = {"total": total, "desc": label, "delay": _QUIET, "mininterval": _EVERY}
    with _tqdm()(**options) as bar:
        for item in items:
            yield item
            bar.update()


def _tqdm() -> Any:
    """The bar for where we run; plain text, without a warning, in a notebook without widgets."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

    return tqdm
