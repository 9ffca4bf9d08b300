"""Laying out strings on a page of 80 characters the way R's console does.

No numbers here: cells come formatted. Lines carry no trailing blanks (R's do).
"""

from __future__ import annotations

from collections.abc import Sequence

from nestedmlm.views.render.rformat import justify

WIDTH = 80  # R's getOption("width")


def matrix_lines(
    cells: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    right: bool,
    width: int = WIDTH,
) -> list[str]:
    """Lay out a table as R prints a character matrix without quotes.

    Parameters
    ----------
    cells : sequence of rows of str
    rows : sequence of str
        Row labels; left-aligned.
    columns : sequence of str
        Column labels.
    right : bool
        Align columns on the right.
    width : int
        Page width; columns that do not fit follow below, under the row labels again.

    Returns
    -------
    list of str
    """
    labels = justify(["", *rows], right=False)
    blocks = [
        justify([name, *(row[j] for row in cells)], right=right) for j, name in enumerate(columns)
    ]
    lines: list[str] = []
    while blocks:
        count = _columns_that_fit([len(block[0]) for block in blocks], width - len(labels[0]))
        page = zip(labels, *blocks[:count], strict=True)
        lines += [" ".join(line).rstrip() for line in page]
        blocks = blocks[count:]
    return lines


def _columns_that_fit(widths: Sequence[int], room: int) -> int:
    """Count the columns of one page; at least one."""
    used = 0
    for count, width in enumerate(widths):
        used += width + 1
        if count and used >= room:
            return count
    return len(widths)


def vector_lines(
    values: Sequence[str], names: Sequence[str], *, gap: int = 1, width: int = WIDTH
) -> list[str]:
    """Lay out a named vector as R prints it: names above values, in equal columns.

    Parameters
    ----------
    values, names : sequence of str
    gap : int
        Blanks after each column.
    width : int
        Page width.

    Returns
    -------
    list of str
    """
    cell = max(map(len, (*values, *names)), default=0)
    per_line = max(width // (cell + gap), 1)
    lines: list[str] = []
    for start in range(0, len(values), per_line):
        for texts in (names, values):
            part = [text.rjust(cell) for text in texts[start : start + per_line]]
            lines.append((" " * gap).join(part).rstrip())
    return lines


def fill_lines(pieces: Sequence[str], *, width: int = WIDTH) -> list[str]:
    """Put pieces on lines, separated by blanks, as R's ``cat(..., fill = TRUE)`` does."""
    lines, used = [""], 0
    for piece in pieces:
        if used + len(piece) + 1 > width:
            lines.append("")
            used = 0
        lines[-1] += piece + " "
        used += len(piece) + 1
    return [line.rstrip() for line in lines if line]


CUTOFF = 60  # R's deparse breaks after an operator when a line is longer than this
_OPERATORS = ("~", "|", "||", "+", "-", "*", "<", ">", "<=", ">=", "==", "!=", "&", "&&")


def formula_pieces(text: str, *, cutoff: int = CUTOFF) -> list[str]:
    """Break a formula's text where R's ``deparse`` breaks it.

    Parameters
    ----------
    text : str
        A formula as R would print it on one line.
    cutoff : int
        A line longer than this ends after its next operator or comma.

    Returns
    -------
    list of str
        Lines; those after the first are indented.
    """
    lines: list[str] = []
    line, depth = "", 0
    open_breaks: list[int] = []  # depths of breaks whose right operand is still being written
    tokens = text.split(" ")
    for i, token in enumerate(tokens[:-1]):
        line += token + " "
        depth += token.count("(") - token.count(")")
        in_call = token.endswith(",")
        operator = token in _OPERATORS and i > 0
        if not operator:
            while open_breaks and depth <= open_breaks[-1]:
                open_breaks.pop()
        if (operator or in_call) and len(line) > cutoff:
            lines.append(line)
            # what follows a comma lasts until the call is closed
            open_breaks.append(depth - in_call)
            line = "    " * len(open_breaks)
    return [*lines, line + tokens[-1]]
