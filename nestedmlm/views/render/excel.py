"""Blocks as an Excel workbook: the document on one sheet, all digits on others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.views.render.blocks import INDENT, Block, Table, Text, split_stars

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.(\d+))?\Z")
_SHEET_NAME = 31  # characters, Excel's limit
_WIDTH = 40  # characters; a wider column is cut
_FONT = {"name": "Calibri", "size": 11}  # of a new workbook; a Font without a name has no face


def write(blocks: Sequence[Block], path: Path) -> None:
    """Write blocks to an ``.xlsx`` file.

    Parameters
    ----------
    blocks : sequence of Text or Table
    path : Path

    Raises
    ------
    OptionError
        If openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError as problem:
        raise OptionError(
            "an Excel file needs openpyxl, which is not installed: pip install openpyxl"
        ) from problem
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "table"
    for block in blocks:
        if isinstance(block, Text):
            _add_text(sheet, block)
        else:
            _add_table(sheet, block)
    _set_widths(sheet)
    for block in blocks:
        if isinstance(block, Table) and block.name:
            _add_numbers(book, block)
    book.save(path)


def _add_text(sheet: Any, block: Text) -> None:
    from openpyxl.styles import Font

    for line in block.lines:
        sheet.append([line.rstrip()])
        cell = sheet.cell(sheet.max_row, 1)
        cell.font = Font(
            **_FONT, bold=block.role in ("title", "heading"), italic=block.role == "note"
        )


def _add_table(sheet: Any, block: Table) -> None:
    from openpyxl.styles import Alignment, Border, Font, Side

    labelled = 1 if block.labelled else 0
    sheet.append([""] * labelled + list(block.columns))
    head = first = sheet.max_row
    for i, row in enumerate(block.cells):
        label = [block.rows[i].strip()] if labelled else []
        found = [_value(cell, block.most_stars(j)) for j, cell in enumerate(row)]
        sheet.append([*label, *(value for value, _ in found)])
        at = sheet.max_row
        for j, (_, shown) in enumerate(found, start=1 + labelled):
            sheet.cell(at, j).number_format = shown
            if block.is_numeric(j - 1 - labelled):
                sheet.cell(at, j).alignment = Alignment(horizontal="right")
        if i in block.sections:
            sheet.cell(at, 1).font = Font(**_FONT, italic=True)
        elif labelled and block.sections:
            sheet.cell(at, 1).alignment = Alignment(horizontal="left", indent=1)
    thin, medium = Side(style="thin"), Side(style="medium")
    width, last = len(block.columns) + labelled, sheet.max_row
    for j in range(1, width + 1):
        sheet.cell(head, j).font = Font(**_FONT, bold=True)
        if j > labelled and block.is_numeric(j - 1 - labelled):
            sheet.cell(head, j).alignment = Alignment(horizontal="right")
            sheet.cell(head, j).number_format = _value("", block.most_stars(j - 1 - labelled))[1]
        sheet.cell(head, j).border = Border(top=medium, bottom=thin)
        if last > first:
            sheet.cell(last, j).border = Border(bottom=medium)


def _value(cell: str, room: int) -> tuple[Any, str]:
    """A cell's number, or its text, and a format with its stars and room for those of others."""
    text, stars = split_stars(cell)
    behind = (f'"{stars}"' if stars else "") + "_*" * (room - len(stars))
    found = _NUMBER.match(text)
    if found is None:
        return text + stars, f"@{'_*' * (room - len(stars))}" if room else "General"
    decimals = len(found[1] or "")
    thousands = "#,##0" if "," in text else "0"
    shown = thousands + ("." + "0" * decimals if decimals else "")
    return float(text.replace(",", "")), shown + behind


def _set_widths(sheet: Any) -> None:
    for column in sheet.columns:
        cells = [c for c in column if c.value is not None and not (c.column == 1 and c.font.italic)]
        widths = [
            len(str(c.value)) + c.number_format.count("*") + INDENT // 2  # a format has stars too
            for c in cells
        ]
        sheet.column_dimensions[column[0].column_letter].width = min(max([8, *widths]), _WIDTH)


def _add_numbers(book: Any, block: Table) -> None:
    frame = block.numbers
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    sheet = book.create_sheet(f"numbers {block.name}"[:_SHEET_NAME])
    sheet.append([str(name) for name in frame.columns])
    for row in frame.itertuples(index=False):
        sheet.append([_plain(value) for value in row])


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    item = value.item() if isinstance(value, np.generic) else value
    return item if isinstance(item, bool | int | float | str) else str(item)
