"""Blocks as HTML: self-contained, escaped, no colours of its own (light and dark pages)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nestedmlm.views.render.blocks import INDENT, Block, Table, Text, empty, split_stars

# The class stands twice where a notebook's own rules for tables have to be outweighed.
STYLE = (
    "<style>"
    ".nm-view{font-size:.9em;line-height:1.4;overflow-x:auto}"
    ".nm-view .nm-title{font-weight:600}"
    ".nm-view .nm-heading{font-weight:600;margin-top:.6em}"
    ".nm-view .nm-note{font-size:.9em;opacity:.75}"
    ".nm-view.nm-view table{border-collapse:collapse;margin:.3em 0;border:0;table-layout:auto;"
    "border-top:1px solid;border-bottom:1px solid;color:inherit;background:none;font-size:1em}"
    ".nm-view.nm-view tbody tr:nth-child(n){background:none}"
    ".nm-view.nm-view th,.nm-view.nm-view td{padding:.1em .6em;border:0;text-align:left;"
    "white-space:pre;color:inherit;background:none}"
    ".nm-view.nm-view tbody :is(th,td):not(.nm-num){white-space:pre-wrap}"
    ".nm-view.nm-view thead th{border-bottom:1px solid;font-weight:600}"
    ".nm-view.nm-view tbody th{font-weight:400}"
    ".nm-view.nm-view tbody .nm-section{padding-top:.5em;font-weight:600}"
    ".nm-view.nm-view tbody .nm-sub{padding-left:1.6em}"
    ".nm-view.nm-view .nm-num{text-align:right;font-variant-numeric:tabular-nums}"
    ".nm-view .nm-stars{display:inline-block;width:0}"
    "</style>"
)


def render(blocks: Sequence[Block]) -> str:
    """Write blocks as one ``div`` with its style.

    Parameters
    ----------
    blocks : sequence of Text or Table

    Returns
    -------
    str
    """
    body = "".join(_text(b) if isinstance(b, Text) else _table(b) for b in blocks)
    return f'<div class="nm-view">{STYLE}{body}</div>'


def _text(block: Text) -> str:
    return "".join(
        f'<div class="nm-{block.role}"{_indent(line)}>{escape(line.strip())}</div>'
        for line in block.lines
        if not empty(line)
    )


def _indent(line: str) -> str:
    """Blanks at the start of a line as a style."""
    blanks = len(line) - len(line.lstrip(" "))
    return f' style="padding-left:{0.5 * blanks:g}em"' if blanks >= INDENT else ""


def _cell(tag: str, text: str, numeric: bool, room: int) -> str:
    """A cell; stars take no width, so that digits stand below each other, with room beside them."""
    kind = ' class="nm-num"' if numeric else ""
    if not room:
        return f"<{tag}{kind}>{escape(text.strip())}</{tag}>"
    shown, stars = split_stars(text)
    hung = f'<span class="nm-stars">{escape(stars)}</span>' if stars else ""
    return (
        f'<{tag}{kind} style="padding-right:{0.6 + 0.5 * room:g}em">{escape(shown)}{hung}</{tag}>'
    )


def _table(block: Table) -> str:
    corner = ["<th></th>"] if block.labelled else []
    numeric = [block.is_numeric(j) for j in range(len(block.columns))]
    rooms = [block.most_stars(j) for j in range(len(block.columns))]
    kinds = list(zip(numeric, rooms, strict=True))
    head = [*corner, *(_cell("th", c, *k) for c, k in zip(block.columns, kinds, strict=True))]
    rows = []
    for i, (label, row) in enumerate(zip(block.rows, block.cells, strict=True)):
        if i in block.sections:
            span = f'<th class="nm-section" colspan="{len(head)}">{escape(label.strip())}</th>'
            rows.append([span])
            continue
        kind = ' class="nm-sub"' if block.sections else ""
        first = [f"<th{kind}>{escape(label.strip())}</th>"] if block.labelled else []
        rows.append([*first, *(_cell("td", c, *k) for c, k in zip(row, kinds, strict=True))])
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(head)}</tr></thead><tbody>{body}</tbody></table>"
