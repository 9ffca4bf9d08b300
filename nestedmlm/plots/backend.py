"""matplotlib on first use, and where a picture is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.errors import OptionError

SIZE = (7.0, 4.2)  # inches: as wide as a notebook's column
PANEL = (3.4, 2.6)  # inches of one panel of several
MAX_WIDTH = 10.5  # inches of a figure with several panels


def axes(ax: Any = None, *, figsize: tuple[float, float] | None = None) -> Any:
    """Return the axes given, or new ones in a figure of its own.

    Raises
    ------
    OptionError
        If matplotlib is not installed, or `ax` is not one axes.
    """
    if ax is not None:
        return _own(ax, "one matplotlib axes here")
    return _pyplot().subplots(figsize=figsize or SIZE, layout="constrained")[1]


def panels(
    count: int,
    ax: Any = None,
    *,
    columns: int = 3,
    figsize: tuple[float, float] | None = None,
    panel: tuple[float, float] = PANEL,
    **options: Any,
) -> np.ndarray:
    """Return `count` axes: those given, or new ones in a grid of one figure.

    Parameters
    ----------
    count : int
    ax : axes or array of axes, optional
        As many as there are panels.
    columns : int
        Panels side by side, at most (four panels are a square).
    figsize : tuple, optional
        Inches; by default what `panel` needs.
    panel : tuple
        Inches of one panel.
    **options
        For ``plt.subplots``: ``sharex``, ``sharey``.

    Returns
    -------
    array of axes, shape (count,)

    Raises
    ------
    OptionError
        If `ax` holds another number of axes or something else, or there is nothing to draw.
    """
    if not count:
        raise OptionError("nothing to draw: no name was given")
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != count:
            raise OptionError(
                f"this picture has {count} panel{'s' if count > 1 else ''}, ax holds {len(given)}: "
                "give as many axes, or none"
            )
        return np.array([_own(one, "matplotlib axes") for one in given], dtype=object)
    columns = 2 if count == 4 else min(columns, count)  # 2 x 2, not 3 + 1
    rows = -(-count // columns)
    size = figsize or (min(panel[0] * columns, MAX_WIDTH), panel[1] * rows)
    figure, grid = _pyplot().subplots(
        rows, columns, figsize=size, layout="constrained", squeeze=False, **options
    )
    cells = grid.ravel()
    for spare in cells[count:]:
        figure.delaxes(spare)
    if options.get("sharex") and count < len(cells):
        for cell in cells[count - columns : count]:  # the panel below was taken away
            cell.tick_params(labelbottom=True)
    return np.asarray(cells[:count], dtype=object)


def _own(ax: Any, what: str) -> Any:
    """The axes given, if it is one."""
    _pyplot()
    from matplotlib.axes import Axes

    if isinstance(ax, Axes):
        return ax
    raise OptionError(f"ax must be {what}, not {type(ax).__name__}")


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as problem:
        raise OptionError(
            "plots need matplotlib, which is not installed: pip install matplotlib"
        ) from problem
    return plt
