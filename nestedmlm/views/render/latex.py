"""Blocks as LaTeX that needs no package."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nestedmlm.views.render.blocks import INDENT, Block, Table, Text, empty, split_stars

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "*": r"\textasteriskcentered{}",
        **{char: f"\\{char}" for char in "&%$#_{}"},
    }
)
_ROLES = {
    "title": r"\textbf{{{}}}",
    "heading": r"\textbf{{{}}}",
    "note": r"{{\footnotesize {}}}",
    "text": "{}",
}


PLAIN = (r"\hline", r"\hline", r"\hline")
BOOKTABS = (r"\toprule", r"\midrule", r"\bottomrule")


def render(blocks: Sequence[Block], *, booktabs: bool = False) -> str:
    """Write blocks as LaTeX, paragraphs and ``tabular`` environments.

    Parameters
    ----------
    blocks : sequence of Text or Table
    booktabs : bool
        Rules of the package booktabs.

    Returns
    -------
    str
        Ends with a newline.
    """
    rules = BOOKTABS if booktabs else PLAIN
    parts = (_text(b) if isinstance(b, Text) else _table(b, rules) for b in blocks)
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Write text so that LaTeX sets every character as it is."""
    return text.strip().translate(_ESCAPES)


def _text(block: Text) -> str:
    lines = [
        _indent(line) + _ROLES[block.role].format(escape(line))
        for line in block.lines
        if not empty(line)
    ]
    return "\\\\\n".join(lines)


def _indent(line: str) -> str:
    return r"\hspace*{1em}" if line.startswith(" " * INDENT) else ""


def _cell(text: str) -> str:
    """Negative numbers are mathematics: a minus sign, not a hyphen. Stars take no width."""
    shown, stars = split_stars(text)
    number = _NEGATIVE.sub(r"$\1$", escape(shown))  # nothing of a number is escaped
    return rf"{number}\rlap{{{stars}}}" if stars else number


# at the beginning, or behind a bracket or a blank: neither a range nor an exponent
_NEGATIVE = re.compile(r"(?<![^\s(\[])(-\d[\d.,]*(?<!,)(?:e[-+]\d+)?)")


def _align(block: Table, column: int) -> str:
    """Of a column: on the right where it is numeric, with room for its stars behind."""
    room = block.most_stars(column)
    behind = rf"@{{\hspace{{{1 + 0.5 * room:g}em}}}}" if room else ""
    return ("r" if block.is_numeric(column) else "l") + behind


def _table(block: Table, rules: tuple[str, str, str]) -> str:
    aligns = [_align(block, j) for j in range(len(block.columns))]
    rows = [[_cell(cell) for cell in row] for row in block.cells]
    head = [escape(name) for name in block.columns]
    if block.labelled:
        aligns, head = ["l", *aligns], ["", *head]
        labels = [escape(name) for name in block.rows]
        for i in block.sections:
            labels[i] = rf"\textit{{{labels[i]}}}"
        if block.sections:
            inside = set(range(len(labels))).difference(block.sections)
            labels = [rf"\quad {n}" if i in inside and n else n for i, n in enumerate(labels)]
        rows = [[name, *row] for name, row in zip(labels, rows, strict=True)]
    body = [" & ".join(row) + r" \\" for row in rows]
    lines = [
        rf"\begin{{tabular}}{{{''.join(aligns)}}}",
        rules[0],
        " & ".join(head) + r" \\",
        rules[1],
        *body,
        rules[2],
        r"\end{tabular}",
    ]
    return "\n".join(lines)
