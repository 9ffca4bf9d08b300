"""Compact letter display: letters that means share which do not differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_letters


def compact_letters(n: int, different: Iterable[tuple[int, int]]) -> list[str]:
    """Letters of n means: two of them share one exactly where they are not different.

    Parameters
    ----------
    n : int
    different : iterable of pairs of int
        Means that differ significantly, from 0.

    Returns
    -------
    list of str
        The letters of each mean, every letter in a column of its own, with blanks for those of
        others. There are as many as largest sets without a difference; the first means have the
        first letters. Beyond 52 they get a number: ``a1``.

    References
    ----------
    Piepho (2004), Journal of Computational and Graphical Statistics 13, 456-466: insert and absorb,
    as R's ``multcompView::multcompLetters``.
    """
    columns = [frozenset(range(n))] if n else []
    for i, j in different:
        both = [column for column in columns if i in column and j in column]
        apart = [column - {k} for column in both for k in (i, j)]
        columns = _absorbed([column for column in columns if column not in both] + apart)
    ordered = [(_letter(k), c) for k, c in enumerate(sorted(columns, key=sorted))]
    return ["".join(x if row in c else " " * len(x) for x, c in ordered) for row in range(n)]


def _absorbed(columns: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Leave out columns within others, which say nothing that these do not."""
    unique = set(columns)
    return [one for one in unique if not any(one < other for other in unique)]


def _letter(k: int) -> str:
    turn, place = divmod(k, len(ascii_letters))
    return ascii_letters[place] + (str(turn) if turn else "")
