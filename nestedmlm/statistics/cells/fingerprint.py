"""Fingerprint of a part of the data: tells rows that were summed before, wherever they come from.

A file's path, size and time say where rows are, not which: a file that is touched, copied or
renamed has the same rows, and one that is overwritten has others. So a part is known by its rows:
their number, and the values of up to two thousand of them at even distances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.values import Factor, Integers, Matrix, Vector, take_rows
from nestedmlm.design.partitions.reading import CompleteRows

_LOOKED_AT = 1_000  # rows at least, of more
_BYTES = 16  # of a fingerprint: two of a billion parts are alike by chance once in 10^21


def fingerprint(rows: CompleteRows, ends: tuple[float, float], keys: Mapping[str, Vector]) -> str:
    """Fingerprint of the complete rows of a part of the data.

    Parameters
    ----------
    rows : CompleteRows
        At least one.
    ends : tuple of float
        The smallest and the largest response.
    keys : mapping of str to Vector
        Their grouping variables.

    Returns
    -------
    str
        The same for the same rows in the same order, whichever reader they came through.
    """
    n = len(rows.y)
    some = slice(None, None, max(n // _LOOKED_AT, 1))
    digest = blake2b(f"{n} of {rows.rows}".encode(), digest_size=_BYTES)
    digest.update(np.array([*ends, rows.y[-1]]).tobytes())
    for numbers in (rows.y, rows.weights, rows.offset):
        digest.update(b"none" if numbers is None else _bytes(numbers, some))
    for name, value in sorted({**(rows.columns or {}), **keys}.items()):
        digest.update(name.encode() + b"\0" + _bytes(value, some))
    return digest.hexdigest()


def _bytes(value: Vector, some: slice) -> bytes:
    """Values of some rows, the same for numbers of any width and levels in any order."""
    taken = take_rows(value, some)
    if isinstance(taken, Factor):
        labels = np.append(np.array(taken.labels, dtype=object), "NA")
        return "\0".join(labels[taken.codes]).encode()
    if isinstance(taken, Integers):
        return taken.numbers().tobytes()
    numbers: FloatArray = np.asarray(
        taken.values if isinstance(taken, Matrix) else taken, dtype=float
    )
    return numbers.tobytes()


def alike(marks: Iterable[Iterable[tuple[str, str]]]) -> list[str]:
    """Names of the parts that are in several of some sums.

    Parameters
    ----------
    marks : iterable of iterable of (fingerprint, name)
        Of each of the sums.

    Returns
    -------
    list of str
        A part that has another name there is named with both.
    """
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for own in marks:
        before = dict(names)
        for mark, name in own:
            if mark in before:
                first = before[mark]
                found[mark] = name if name == first else f"{name} (the rows of {first})"
            names.setdefault(mark, name)
    return list(dict.fromkeys(found.values()))
