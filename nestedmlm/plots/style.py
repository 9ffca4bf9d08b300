"""One look for all pictures: colours, titles, spines.

The colours are of middling lightness, so that they stand out on white and on dark pages, and
differ for people who confuse red and green. Text and neutral lines take matplotlib's own colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

BLUE = "#2f7fc1"
ORANGE = "#d9730d"
GREEN = "#1f9d78"
PURPLE = "#a35fb8"
GREY = "#8c8c8c"
GOLD = "#b8860b"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, GOLD, GREY)
MARKS = ("o", "D", "s", "^", "v", "P")
BAND = 0.22  # opacity of areas
SMALL = 9.0  # points: notes, legends, panel labels
TITLE = 10.5  # points
_HANDLE = 6  # characters that the mark of a legend's entry is wide
_LEGEND_ROW = 1.75 * SMALL  # points that a row of a legend is high
_CHARACTER = 0.52  # width of an average character in units of its size


def title(ax: Any, text: str) -> None:
    """Put a title at the left of the axes, broken into lines that fit the axes' width."""
    ax.set_title(fitted_text(ax, text), loc="left", fontsize=TITLE)


def fitted_text(ax: Any, text: str, *, size: float = TITLE) -> str:
    """Break a text into lines as wide as the axes."""
    points = 72.0 * ax.figure.get_size_inches()[0] * ax.get_position().width
    return textwrap.fill(text, max(20, int(points / (_CHARACTER * size))))


def dress(ax: Any, *, x: str = "", y: str = "", heading: str = "") -> Any:
    """Label axes and take away the box; labels that are empty stay as they are."""
    ax.spines[["top", "right"]].set_visible(False)
    if x:
        ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
    if heading:
        title(ax, heading)
    return ax


def zero_line(ax: Any, *, vertical: bool = False, at: float = 0.0) -> None:
    """Draw a thin neutral line of reference."""
    draw = ax.axvline if vertical else ax.axhline
    draw(at, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)


def categories(ax: Any, labels: list[str]) -> None:
    """Name rows from top to bottom: row i is at height ``len(labels) - 1 - i``."""
    ax.set_yticks(range(len(labels))[::-1], labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.tick_params(axis="y", length=0)


def name_points(ax: Any, x: Any, y: Any, names: Iterable[Any], color: str) -> None:
    """Write names above and to the right of points."""
    for place, height, name in zip(x, y, names, strict=True):
        ax.annotate(
            str(name), (place, height), xytext=(4, 4), textcoords="offset points",
            fontsize=SMALL - 1, color=color,
        )  # fmt: skip


def legend(ax: Any, **options: Any) -> None:
    """Add a legend without a frame, in small type."""
    ax.legend(frameon=False, fontsize=SMALL, **options)


def legend_above(ax: Any, **options: Any) -> None:
    """Add a legend between the title and the axes, in as many rows as its labels need.

    To be called when the title is there.
    """
    handles, labels = ax.get_legend_handles_labels()
    points = 72.0 * ax.figure.get_size_inches()[0] * ax.get_position().width
    wide = (max(map(len, labels), default=0) + _HANDLE) * _CHARACTER * SMALL
    columns = int(min(max(1, points // wide), max(len(labels), 1)))
    rows = -(-len(labels) // columns)
    corner = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.1}
    legend(ax, handles=handles, labels=labels, ncols=columns, **corner, **options)
    text = ax.get_title(loc="left")
    if text:
        ax.set_title(text, loc="left", fontsize=TITLE, pad=8.0 + _LEGEND_ROW * rows)


def shorten(text: str, width: int = 24) -> str:
    """Cut a label that is too long for a tick."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
