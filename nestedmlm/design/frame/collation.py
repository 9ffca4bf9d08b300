"""The order of levels: R's, made independent of the locale.

R sorts strings with the locale's collation. The one used here is the Unicode root collation
(what R does with ICU, whatever the language): punctuation, then symbols, digits, letters; case
and accents only break ties, lower case first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

_ORDER = "\t\n\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY = {ord(char): rank + 1 for rank, char in enumerate(_ORDER)}
_PRIMARY.update({ord(char.upper()): _PRIMARY[ord(char)] for char in _ORDER if char.isalpha()})


def collation_key(text: str) -> tuple[str, str, str]:
    """Return a sort key: letters alone, then accents, then case."""
    if text.isascii():
        return text.translate(_PRIMARY), "", text.swapcase()
    decomposed = unicodedata.normalize("NFD", text)
    base = "".join(char for char in decomposed if not unicodedata.combining(char))
    marks = "".join(char if unicodedata.combining(char) else "\0" for char in decomposed)
    return base.casefold().translate(_PRIMARY), marks.rstrip("\0"), text.swapcase()


def _key(level: Any) -> tuple[int, Any]:
    """Numbers before strings before the rest, each in its own order."""
    if isinstance(level, str):
        return 1, collation_key(level)
    if isinstance(level, bool | int | float):
        return 0, level
    return 2, (type(level).__name__, str(level))


def sort_levels(levels: Sequence[Any]) -> list[int]:
    """Return the order (a permutation) in which `levels` are sorted."""
    try:
        if not all(isinstance(level, str) for level in levels):
            return sorted(range(len(levels)), key=levels.__getitem__)  # dates, numbers: their own
    except TypeError:
        pass
    return sorted(range(len(levels)), key=lambda i: _key(levels[i]))
