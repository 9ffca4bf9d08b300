"""Blocks as a Word document: tables with three rules, as journals set them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestedmlm.errors import OptionError
from nestedmlm.views.render.blocks import INDENT, Block, Table, Text, empty, split_stars

_SIZE = {"title": 11, "heading": 11, "text": 10, "note": 9}  # points
_CELL_SIZE = 10  # points
_RULES = {"top": 8, "header": 4, "bottom": 8}  # eighths of a point
_STAR = 5  # points, the width of an asterisk of that size
_SUB = 0.15  # inches that a row stands in below its section
_CHARACTER = 0.08  # inches, a wide character of a cell's size
_MARGINS = 0.2  # inches, both margins of a cell
_LABELS = 1.2  # inches that the labels keep on a page that is too narrow


def write(blocks: Sequence[Block], path: Path) -> None:
    """Write blocks to a ``.docx`` file.

    Parameters
    ----------
    blocks : sequence of Text or Table
    path : Path

    Raises
    ------
    OptionError
        If python-docx is not installed.
    """
    try:
        import docx
    except ImportError as problem:
        raise OptionError(
            "a Word file needs python-docx, which is not installed: pip install python-docx"
        ) from problem
    document = docx.Document()
    for block in blocks:
        if isinstance(block, Text):
            _add_text(document, block)
        else:
            _add_table(document, block)
    document.save(str(path))


def _add_text(document: Any, block: Text) -> None:
    for line in block.lines:
        if not empty(line):
            paragraph = document.add_paragraph()
            _fill(
                paragraph, line.strip(), _SIZE[block.role], bold=block.role in ("title", "heading")
            )
            if line.startswith(" " * INDENT):
                paragraph.paragraph_format.left_indent = _inches(_SUB)


def _add_table(document: Any, block: Table) -> None:
    head = ["", *block.columns] if block.labelled else list(block.columns)
    table = document.add_table(rows=1 + len(block.cells), cols=len(head))
    table.autofit = True
    numeric = [block.is_numeric(j) for j in range(len(block.columns))]
    right = [False, *numeric] if block.labelled else numeric
    rooms = [block.most_stars(j) for j in range(len(block.columns))]
    room = [0, *rooms] if block.labelled else rooms
    for j, name in enumerate(head):
        _cell(table, 0, j, name, right=right[j], room=room[j], bold=True)
    for i, row in enumerate(block.cells, start=1):
        label = block.rows[i - 1] if block.labelled else ""
        section = i - 1 in block.sections
        texts = [label, *row] if block.labelled else list(row)
        for j, text in enumerate(texts):
            paragraph = _cell(table, i, j, text, right=right[j], room=room[j], italic=section)
            if j == 0 and block.sections and not section:
                paragraph.paragraph_format.left_indent = _inches(_SUB)
    _set_widths(document, table, room, block.sections != ())
    _rule(table.rows[0], "top", _RULES["top"])
    _rule(table.rows[0], "bottom", _RULES["header"])
    _rule(table.rows[-1], "bottom", _RULES["bottom"])
    _repeat_header(table.rows[0])


def _set_widths(document: Any, table: Any, stars: Sequence[int], indented: bool) -> None:
    """Columns as wide as their texts; what is too wide for the page, the labels give up."""
    page = document.sections[0]
    room = (page.page_width - page.left_margin - page.right_margin) / _inches(1.0)
    texts = ([cell.text for cell in column.cells] for column in table.columns)
    longest = [max(map(len, column)) + more for column, more in zip(texts, stars, strict=True)]
    widths = [_MARGINS + _CHARACTER * count for count in longest]
    widths[0] += _SUB * indented
    widths[0] = max(min(widths[0], room - sum(widths[1:])), min(widths[0], _LABELS))
    for column, width in zip(table.columns, widths, strict=True):
        column.width = _inches(width)
        for cell in column.cells:  # Word reads the cells', others the columns'
            cell.width = _inches(width)


def _cell(
    table: Any, i: int, j: int, text: str, *, right: bool, room: int, bold: bool = False,
    italic: bool = False,
) -> Any:  # fmt: skip
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    paragraph = table.cell(i, j).paragraphs[0]
    shown = text.strip()
    if shown.startswith("-") and shown[1:2].isdigit():
        shown = "\u2212" + shown[1:]  # a minus sign, not a hyphen
    _fill(paragraph, shown.replace(", -", ", \u2212").replace("[-", "[\u2212"), _CELL_SIZE,
          bold=bold, italic=italic)  # fmt: skip
    if right:
        paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        missing = room - len(split_stars(text)[1])
        if missing:  # stars hang outside, so that digits stand below each other
            paragraph.paragraph_format.right_indent = Pt(_STAR * missing)
    return paragraph


def _fill(
    paragraph: Any, text: str, size: int, *, bold: bool = False, italic: bool = False
) -> None:
    from docx.shared import Pt

    run = paragraph.add_run(text)
    run.font.size, run.bold, run.italic = Pt(size), bold, italic
    paragraph.paragraph_format.space_after = paragraph.paragraph_format.space_before = Pt(0)


def _inches(length: float) -> Any:
    from docx.shared import Inches

    return Inches(length)


def _rule(row: Any, edge: str, width: int) -> None:
    """Draw a rule along one edge of every cell of a row."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for cell in row.cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = OxmlElement("w:tcBorders")
            properties.append(borders)
        line = OxmlElement(f"w:{edge}")
        for name, value in (("val", "single"), ("sz", str(width)), ("space", "0"),
                            ("color", "auto")):  # fmt: skip
            line.set(qn(f"w:{name}"), value)
        borders.append(line)


def _repeat_header(row: Any) -> None:
    """Repeat the heading where a table goes on to the next page."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    row._tr.get_or_add_trPr().append(mark)
