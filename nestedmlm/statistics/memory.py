"""Memory: what is free, and the dense block of crossed factors, whose size decides."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nestedmlm.errors import MemoryLimitError

_COPIES = 5  # the block, its factor, inverse and two products live at once
_PRODUCTS_PER_SECOND = 2e9  # of one processor, for the time that a fit would take
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def available_memory() -> int:
    """Bytes of memory that can still be used, as far as the operating system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as info:  # noqa: PTH123
            for line in info:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return 2**62


def written_bytes(size: float) -> str:
    """A number of bytes as people write it.

    Examples
    --------
    >>> written_bytes(5 * 8 * 30_000**2)
    '33.5 GiB'
    """
    size /= 1024
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} {_UNITS[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseBlock:
    """The square block that factors crossed with the chain are eliminated in.

    Attributes
    ----------
    factors : tuple of str
    columns : int
        Levels times columns of all of them.
    related : bool
        Whether levels of some factor are not independent, which only the exact elimination knows.
    """

    factors: tuple[str, ...]
    columns: int
    related: bool = False

    @property
    def needed(self) -> int:
        """Bytes at the time it is factored."""
        return _COPIES * 8 * self.columns**2

    def __str__(self) -> str:
        q, size = self.columns, written_bytes(self.needed)
        return (
            f"crossed grouping factors ({', '.join(self.factors)}) need a dense block of "
            f"{q:,} x {q:,} numbers, about {size} in all"
        )

    def fits(self) -> bool:
        """Whether the block is not larger than what is free."""
        return not self.columns or self.needed <= available_memory()

    def refuse_what_does_not_fit(self) -> None:
        """Raise MemoryLimitError if the block is larger than what is free."""
        if not self.fits() and self.related:
            minutes = 20 * self.columns**3 / _PRODUCTS_PER_SECOND / 60
            raise MemoryLimitError(
                f"the {self}, and {written_bytes(available_memory())} are free; it would take "
                f"about {minutes:,.0f} minutes. Leave out levels without rows that have no "
                "relatives with some, or take fewer functions of a smooth."
            )
        if not self.fits():
            raise MemoryLimitError(
                f"the {self}, and {written_bytes(available_memory())} are free. Drop a crossed "
                "factor or its slopes, group its rare levels together, or fit by "
                'control=nm.Control(method="iterative").'
            )
