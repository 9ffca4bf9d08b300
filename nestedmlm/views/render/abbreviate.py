"""R's ``abbreviate``: short unique labels for the headers of correlation matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_Test = Callable[[str, int], bool]


def _starts_word(text: str, i: int) -> bool:
    return text[i - 1].isspace()


def _ends_word(text: str, i: int) -> bool:
    return not text[i - 1].isspace() and (i + 1 == len(text) or text[i + 1].isspace())


def _is_vowel(text: str, i: int) -> bool:
    return text[i] in "aeiou"


# What goes first: vowels at word ends, vowels inside, lower case at word ends, lower case inside,
# and then anything but the first letter of a word. Each pass runs from the right.
_PASSES: tuple[_Test, ...] = (
    lambda text, i: _is_vowel(text, i) and _ends_word(text, i),
    lambda text, i: _is_vowel(text, i) and not _starts_word(text, i),
    lambda text, i: text[i].islower() and _ends_word(text, i),
    lambda text, i: text[i].islower() and not _starts_word(text, i),
    lambda text, i: not _starts_word(text, i) and not text[i].isspace(),
)


def abbreviate_one(text: str, minlength: int) -> str:
    """Shorten one label to `minlength` characters, spaces not counted.

    Parameters
    ----------
    text : str
    minlength : int

    Returns
    -------
    str

    Examples
    --------
    >>> abbreviate_one("(Intercept)", 6)
    '(Intr)'
    """
    text = text.strip(" ")
    if len(text) < minlength:
        return text
    spaces = sum(char.isspace() for char in text)
    for unwanted in _PASSES:
        for i in range(len(text) - 1, 0, -1):
            if len(text) - spaces <= minlength:
                break
            if i < len(text) and unwanted(text, i):
                text = text[:i] + text[i + 1 :]
    if len(text) <= minlength:
        return text
    return text[0] + "".join(char for char in text[1:] if not char.isspace())


def abbreviate(labels: Sequence[str], minlength: int) -> list[str]:
    """Shorten labels, keeping different ones different.

    Parameters
    ----------
    labels : sequence of str
    minlength : int
        Length to aim for; labels that would become equal stay longer.

    Returns
    -------
    list of str

    References
    ----------
    R's ``?abbreviate`` (``method = "left.kept"``, ``strict = FALSE``).
    """
    originals = list(dict.fromkeys(label.strip(" ") for label in labels))
    short = {label: abbreviate_one(label, minlength) for label in originals}
    limit = max(map(len, originals), default=0)
    for length in range(minlength + 1, limit + 1):
        taken = list(short.values())
        twice = {text for text in taken if taken.count(text) > 1}
        if not twice:
            break
        short |= {k: abbreviate_one(k, length) for k, text in short.items() if text in twice}
    return [short[label.strip(" ")] for label in labels]
