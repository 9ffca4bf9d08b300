"""matplotlib on first use (layer 6)."""

from __future__ import annotations

from typing import Any

from nestedmlm.errors import OptionError


def axes(ax: Any = None, *, figsize: tuple[float, float] = (7.0, 4.0)) -> Any:
    """Return the axes given, or new ones in a figure of its own.

    Raises
    ------
    OptionError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as problem:
        raise OptionError(
            "plots need matplotlib, which is not installed: pip install 'nestedmlm[plots]'"
        ) from problem
    return plt.subplots(figsize=figsize, layout="constrained")[1]
