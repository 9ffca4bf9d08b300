"""Compatibility of summaries: whether their sums are of the same columns, and of other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.design.frame.values import Factor
from nestedmlm.errors import DataError, OverlapError
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.cells.fingerprint import alike

if TYPE_CHECKING:
    from nestedmlm.fits.summaries.data_summary import Summary

MOST_NAMED = 3  # parts of the data named in one line


def check_same_columns(one: Summary, other: Summary) -> None:
    """Refuse to add sums of other columns.

    Raises
    ------
    DataError
        Saying what differs.
    """
    a, b = one.plan, other.plan
    if a is b:
        return
    if a.reading.formula != b.reading.formula:
        raise DataError(
            f"summaries of two formulas do not add up: {one.formula} and {other.formula}"
        )
    for name, value in a.known.items():
        other_value = b.known[name]
        if isinstance(value, Factor) and isinstance(other_value, Factor):
            if list(value.levels) != list(other_value.levels):
                raise DataError(
                    f"{name} has the levels {', '.join(value.labels[:20])} in one summary and "
                    f"{', '.join(other_value.labels[:20])} in the other; make the second with "
                    "like= the first"
                )
        elif isinstance(value, Factor) or isinstance(other_value, Factor):
            raise DataError(f"{name} is numbers in one summary and a factor in the other")
    for name, state in a.reading.states.items():
        if not _same(state, b.reading.states.get(name)):
            raise DataError(
                f"{name} learned other numbers in each of the summaries; make the second with "
                "like= the first, which keeps what it learned"
            )
    if a.columns != b.columns or a.groups != b.groups or a.reading.weights != b.reading.weights:
        raise DataError("the summaries have other columns; make the second with like= the first")


def check_no_overlap(parts: Sequence[Cells]) -> None:
    """Refuse to add sums that have a part of the data in common.

    Raises
    ------
    OverlapError
        Naming the parts.
    """
    if twice := alike(part.tally.marks for part in parts):
        raise OverlapError(
            f"{len(twice)} part(s) of the data are in several summaries and would count twice: "
            f"{', '.join(twice[:MOST_NAMED])}; leave them out, or, if these are other rows that "
            "have the same values, merge with allow_overlap=True"
        )


def _same(one: Any, other: Any) -> bool:
    if is_dataclass(one) and not isinstance(one, type) and type(one) is type(other):
        return _same(asdict(one), asdict(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
