"""The two kinds of blocks that a view is made of, and their plain text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from nestedmlm.views.render.layout import matrix_lines, vector_lines

STARS = "*†‡+"  # what may stand behind a number, outside the column of digits
_STARRED = re.compile(rf"(.*[\d)\]])([{STARS}]+)\Z")


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Lines of text.

    Attributes
    ----------
    lines : tuple of str
        One logical line each; empty lines show in plain text only.
    role : {"text", "title", "heading", "note"}
        What the text is for.
    wrapped : tuple of str or None
        The lines as plain text shows them, where that differs.
    """

    lines: tuple[str, ...]
    role: Literal["text", "title", "heading", "note"] = "text"
    wrapped: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table:
    """A table: formatted cells and the numbers behind them.

    Attributes
    ----------
    name : str
        Key in `Viewable.tables`; empty for a table whose numbers are in another one.
    frame : DataFrame, or callable that makes it
        Raw numbers; made when they are asked for, since most tables are only printed.
    cells : tuple of tuple of str
        Formatted cells, row by row.
    rows : tuple of str
        Row labels; may be empty strings.
    columns : tuple of str
        Column labels.
    right : bool
        Whether plain text aligns the columns on the right.
    vector : bool
        Whether plain text shows the single row as R shows a named vector.
    gap : int
        Blanks between the columns of a vector.
    numeric : tuple of int or None
        Columns aligned on the right in HTML, Markdown and LaTeX; None for all.
    sections : tuple of int
        Rows that are headings of the rows below them.
    """

    name: str
    frame: pd.DataFrame | Callable[[], pd.DataFrame]
    cells: tuple[tuple[str, ...], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    right: bool = True
    vector: bool = False
    gap: int = 1
    numeric: tuple[int, ...] | None = None
    sections: tuple[int, ...] = ()

    @property
    def numbers(self) -> pd.DataFrame:
        """The raw numbers."""
        return self.frame() if callable(self.frame) else self.frame

    @property
    def labelled(self) -> bool:
        """Whether any row has a label."""
        return any(self.rows)

    def is_numeric(self, column: int) -> bool:
        """Whether a column is aligned on the right."""
        return self.numeric is None or column in self.numeric

    def most_stars(self, column: int) -> int:
        """How many stars stand behind a number of a column, at most; they hang outside."""
        if not self.is_numeric(column):
            return 0
        return max((len(split_stars(row[column])[1]) for row in self.cells), default=0)


Block = Text | Table
INDENT = 4  # blanks at the start of a line that mean something; fewer align R's labels


def split_stars(cell: str) -> tuple[str, str]:
    """What a cell says, without blanks around it, and the stars behind it."""
    found = _STARRED.match(cell.strip())
    return (found[1], found[2]) if found else (cell.strip(), "")


def empty(line: str) -> bool:
    """Whether a line is only there for plain text: blank, or R's rule of dashes."""
    return not line.strip(" -")


def text_lines(block: Block) -> list[str]:
    """Return the lines of a block in plain text, without trailing blanks."""
    if isinstance(block, Text):
        lines = block.lines if block.wrapped is None else block.wrapped
        return [line.rstrip() for line in lines]
    if block.vector:
        return vector_lines(block.cells[0], block.columns, gap=block.gap)
    return matrix_lines(block.cells, rows=block.rows, columns=block.columns, right=block.right)
