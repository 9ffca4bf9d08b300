"""Memory of cells: refused with the numbers where they would not fit."""

from __future__ import annotations

import logging

from nestedmlm.errors import MemoryLimitError
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.memory import available_memory, written_bytes

_COPIES = 3  # of the cells that live at once while they are merged
FEW_ROWS = 5  # rows of a cell, on average, below which sums are hardly smaller than the data
_MANY = 1_000_000  # cells that are worth a hint
_log = logging.getLogger("nestedmlm")


def check_cells(cells: Cells) -> None:
    """Refuse cells that leave no room to merge them.

    Raises
    ------
    MemoryLimitError
    """
    needed = _COPIES * cells.nbytes
    if cells.size > _MANY and needed > available_memory():
        raise MemoryLimitError(
            f"the data have {cells.size:,} combinations of groups in {cells.tally.n:,} rows so "
            f"far, whose sums take {written_bytes(cells.nbytes)}, and "
            f"{written_bytes(available_memory())} are free. Sums by combination are small where "
            "groups are nested; here they are nearly as many as the rows. Take out a crossed "
            "factor or slopes"
        )


def hint_at_many(cells: Cells) -> None:
    """Say in the log that sums are hardly smaller than the data, where that is so."""
    if cells.size > _MANY and cells.size * FEW_ROWS > cells.tally.n:
        _log.warning(
            "%d combinations of groups in %d rows: the sums are hardly smaller than the data",
            cells.size,
            cells.tally.n,
        )
