"""Blocks as Markdown (pipe tables)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nestedmlm.views.render.blocks import INDENT, Block, Table, Text, empty

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#^$])")
_ROLES = {"title": "**{}**", "heading": "**{}**", "note": "{}", "text": "{}"}


def render(blocks: Sequence[Block]) -> str:
    """Write blocks as Markdown.

    Parameters
    ----------
    blocks : sequence of Text or Table

    Returns
    -------
    str
        Ends with a newline.
    """
    parts = (_text(b) if isinstance(b, Text) else _table(b) for b in blocks)
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Put a backslash before what Markdown would take for markup."""
    return _SPECIAL.sub(r"\\\1", text.strip())


def _text(block: Text) -> str:
    lines = [
        _indent(line) + _ROLES[block.role].format(escape(line))
        for line in block.lines
        if not empty(line)
    ]
    return "  \n".join(lines)


def _indent(line: str) -> str:
    return "&emsp;" if line.startswith(" " * INDENT) else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(block: Table) -> str:
    head = [escape(name) for name in block.columns]
    rules = ["---:" if block.is_numeric(j) else ":---" for j in range(len(head))]
    rows = [[escape(cell) for cell in row] for row in block.cells]
    if block.labelled:
        head, rules = ["", *head], [":---", *rules]
        labels = [escape(name) for name in block.rows]
        for i in block.sections:
            labels[i] = f"**{labels[i]}**"
        rows = [[name, *row] for name, row in zip(labels, rows, strict=True)]
    return "\n".join(_row(row) for row in (head, rules, *rows))
