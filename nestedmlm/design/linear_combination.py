"""Linear combinations of coefficients as users write them: ``a1 - a2``, ``2 * Days - 10 = 0.5``.

Sums of coefficients with numbers in front. Coefficients go by the names that the caller knows them
by; backticks end all doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[\w.:]+")


def coefficient_place(name: str, names: Sequence[str], dropped: Sequence[str] = ()) -> int:
    """Place of a coefficient among the names.

    Raises
    ------
    OptionError
        If there is none of this name, or it was dropped.
    """
    if name == "Intercept" and "Intercept" not in names:
        name = "(Intercept)"
    if name not in names and f"`{name}`" in (*names, *dropped):
        name = f"`{name}`"  # an odd name, as it is in the data
    if name in names:
        return names.index(name)
    if name in dropped:
        raise OptionError(
            f"the coefficient {name!r} was dropped (the fixed effects are rank deficient), so a "
            "contrast with it cannot be estimated"
        )
    raise OptionError(f"{name!r} is no coefficient; there are: {', '.join(names)}")


def parse_combination(
    text: str, names: Sequence[str], dropped: Sequence[str] = ()
) -> tuple[FloatArray, float]:
    """Read one linear combination, or an equation of two.

    Parameters
    ----------
    text : str
    names : sequence of str
        Of the p coefficients.
    dropped : sequence of str
        Of coefficients that there would be if the columns were independent.

    Returns
    -------
    row : (p,) array
    rhs : float
        Constants are carried to the right.

    Raises
    ------
    OptionError
        For names that are no coefficients, products of coefficients, what cannot be read.

    Examples
    --------
    >>> row, rhs = parse_combination("2 * Days - 10 = 0.5", ["(Intercept)", "Days"])
    >>> row.tolist(), rhs
    ([0.0, 2.0], 10.5)
    """
    reader = _Reader(text, tuple(names), tuple(dropped))
    try:
        left = reader.sum()
        right = np.zeros_like(left)
        if reader.take("="):
            right = reader.sum()
    except RecursionError:
        raise OptionError(
            f"contrast not understood: too many parentheses are nested in {text!r:.60}"
        ) from None
    reader.end()
    both = left - right
    if not np.any(both[:-1]):
        raise reader.error("no coefficient is left in it", 0)
    return both[:-1], float(-both[-1])


class _Reader:
    """Recursive descent over one contrast; values are (p + 1,) arrays, the constant last."""

    def __init__(self, text: str, names: tuple[str, ...], dropped: tuple[str, ...]) -> None:
        self.text, self.at = text, 0
        self.tokens = list(_tokens(text, names, dropped, self.error))

    def error(self, message: str, pos: int) -> OptionError:
        return OptionError(f"contrast not understood: {message}\n  {self.text}\n  {' ' * pos}^")

    def take(self, *wanted: str) -> str | None:
        token = self.tokens[self.at][1] if self.at < len(self.tokens) else None
        if not isinstance(token, str) or token not in wanted:
            return None
        self.at += 1
        return token

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.error("something is left over", self.tokens[self.at][0])

    def sum(self) -> FloatArray:
        total = self.product()
        while op := self.take("+", "-"):
            total = total + self.product() if op == "+" else total - self.product()
        return total

    def product(self) -> FloatArray:
        value = self.signed()
        while op := self.take("*", "/"):
            pos = self.tokens[self.at - 1][0]
            other = self.signed()
            if np.any(other[:-1]) and (op == "/" or np.any(value[:-1])):
                raise self.error("coefficients can only be added and multiplied by numbers", pos)
            if op == "/" and other[-1] == 0:
                raise self.error("division by zero", pos)
            number, vector = (value, other) if np.any(other[:-1]) else (other, value)
            value = vector / number[-1] if op == "/" else vector * number[-1]
        return value

    def signed(self) -> FloatArray:
        sign = 1.0
        while op := self.take("+", "-"):
            sign = -sign if op == "-" else sign
        return sign * self.atom()

    def atom(self) -> FloatArray:
        if self.at >= len(self.tokens):
            raise self.error("it ends too early", len(self.text))
        if self.take("("):
            value = self.sum()
            if not self.take(")"):
                raise self.error("a parenthesis is not closed", len(self.text))
            return value
        pos, token = self.tokens[self.at]
        self.at += 1
        if isinstance(token, str):
            raise self.error(f"{token!r} is out of place", pos)
        return np.asarray(token)


def _tokens(
    text: str, names: tuple[str, ...], dropped: tuple[str, ...], error: Any
) -> Iterator[tuple[int, str | FloatArray]]:
    """Yield (position, operator) or (position, value)."""
    longest = sorted((*names, *dropped), key=len, reverse=True)
    pos = 0
    while pos < len(text):
        if text[pos].isspace():
            pos += 1
            continue
        name, after = _name_at(text, pos, longest, error)
        value: str | FloatArray
        if name is not None:
            value = np.zeros(len(names) + 1)
            value[coefficient_place(name, names, dropped)] = 1.0
        elif number := _NUMBER.match(text, pos):
            value, after = np.zeros(len(names) + 1), number.end()
            value[-1] = float(number[0])
        elif text[pos] in "+-*/()=":
            value, after = text[pos], pos + (2 if text.startswith("==", pos) else 1)
        else:
            word = _WORD.match(text, pos)
            raise error(f"{word[0] if word else text[pos]!r} is no coefficient; there are: "
                        f"{', '.join(names)}", pos)  # fmt: skip
        yield pos, value
        pos = after


def _name_at(text: str, pos: int, names: Sequence[str], error: Any) -> tuple[str | None, int]:
    """The coefficient that starts at a position, and where it ends."""
    for name in (*names, "Intercept"):
        after = pos + len(name)
        if text.startswith(name, pos) and not (
            _is_word(name[-1]) and after < len(text) and _is_word(text[after])
        ):
            return name, after
    if text[pos] == "`":
        end = text.find("`", pos + 1)
        if end < 0:
            raise error("a backtick is not closed", pos)
        return text[pos + 1 : end], end + 1
    return None, pos


def _is_word(char: str) -> bool:
    return char.isalnum() or char in "_.:"
