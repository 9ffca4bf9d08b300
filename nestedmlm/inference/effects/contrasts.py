"""Contrasts of the fixed effects: what users write, to a matrix and a right-hand side.

``"ses = 0"``, ``"a1 - a2"``, ``"2 * Days - 10 = 0.5"``: sums of coefficients with numbers in front.
Coefficients go by their names in the table of fixed effects; backticks end all doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import real_array
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[\w.:]+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrasts:
    """Rows of ``L beta = rhs``.

    Attributes
    ----------
    L : (m, p) array
    rhs : (m,) array
    labels : tuple of str
    """

    L: FloatArray
    rhs: FloatArray
    labels: tuple[str, ...]


def read_contrasts(given: Any, design: Design, *, rhs: Any = 0.0) -> Contrasts:
    """Read contrasts of any form.

    Parameters
    ----------
    given : str, sequence of str, mapping, array (p,) or (m, p), Series, DataFrame
        Strings are hypotheses; a mapping gives each a label; the index of a Series or the columns
        of a DataFrame are names of coefficients (those not named get 0), and a DataFrame's index
        gives the labels.
    design : Design
    rhs : float or (m,) array
        Hypothetical values, on top of those in strings.

    Raises
    ------
    OptionError
        For names that are no coefficients, products of coefficients, wrong shapes, values that
        are not finite.
    """
    rows = list(_rows(given, design))
    L = np.array([row for _, row, _ in rows], dtype=float).reshape(len(rows), design.p)
    try:
        numbers = real_array(rhs)
    except (TypeError, ValueError):
        raise OptionError(f"rhs must hold numbers, not {rhs!r:.60}") from None
    try:
        added = np.broadcast_to(numbers, len(rows))
    except ValueError:
        raise OptionError(f"rhs holds {numbers.size} numbers for {len(rows)} contrasts") from None
    total = np.array([constant for _, _, constant in rows], dtype=float) + added
    if not (np.all(np.isfinite(L)) and np.all(np.isfinite(total))):
        raise OptionError("contrasts and their right-hand sides must be finite numbers")
    return Contrasts(L=L, rhs=total, labels=tuple(label for label, _, _ in rows))


def _rows(given: Any, design: Design) -> Iterator[tuple[str, FloatArray, float]]:
    """Yield (label, coefficients, constant)."""
    if isinstance(given, str):
        row, constant = parse_contrast(given, design)
        yield given.strip(), row, constant
    elif isinstance(given, Mapping):
        for name, one in given.items():
            found = list(_rows(one, design))
            for number, (_, row, constant) in enumerate(found, start=1):
                label = str(name) if len(found) == 1 else f"{name}.{number}"
                yield label, row, constant
    elif isinstance(given, pd.Series):
        yield from _rows(given.to_frame().T, design)
    elif isinstance(given, pd.DataFrame):
        places = [_place(str(name), design) for name in given.columns]
        try:
            numbers = real_array(given)
        except (TypeError, ValueError):
            raise OptionError("a table of contrasts must hold numbers only") from None
        for label, values in zip(given.index, numbers, strict=True):
            row = np.zeros(design.p)
            np.add.at(row, places, values)
            yield str(label), row, 0.0
    elif isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
        for one in given:
            yield from _rows(one, design)
    else:
        yield from _array_rows(given, design)


def _array_rows(given: Any, design: Design) -> Iterator[tuple[str, FloatArray, float]]:
    try:
        values = np.atleast_2d(real_array(given))
    except (TypeError, ValueError):
        raise OptionError(
            f"contrasts are text, numbers or a table, not {type(given).__name__}"
        ) from None
    if values.ndim != 2 or values.shape[1] != design.p:
        raise OptionError(
            f"a contrast needs one number for each of the {design.p} fixed effects "
            f"({', '.join(design.x_names)}), got an array of shape {np.shape(given)}"
        )
    for number, row in enumerate(values, start=1):
        yield str(number), row, 0.0


def _place(name: str, design: Design) -> int:
    if name == "Intercept" and "Intercept" not in design.x_names:
        name = "(Intercept)"
    if name not in design.x_names and f"`{name}`" in (*design.x_names, *design.dropped):
        name = f"`{name}`"  # an odd name, as it is in the data
    if name in design.x_names:
        return design.x_names.index(name)
    if name in design.dropped:
        raise OptionError(
            f"the coefficient {name!r} was dropped (the fixed effects are rank deficient), so a "
            "contrast with it cannot be estimated"
        )
    raise OptionError(f"{name!r} is no coefficient; there are: {', '.join(design.x_names)}")


def parse_contrast(text: str, design: Design) -> tuple[FloatArray, float]:
    """Read one hypothesis.

    Returns
    -------
    row : (p,) array
    rhs : float
        Its hypothetical value: constants are carried to the right.

    Examples
    --------
    >>> from nestedmlm import build_design, load_dataset
    >>> design = build_design("Reaction ~ Days + (1 | Subject)", load_dataset("sleepstudy"))
    >>> row, rhs = parse_contrast("2 * Days - 10 = 0.5", design)
    >>> row.tolist(), rhs
    ([0.0, 2.0], 10.5)
    """
    reader = _Reader(text, design)
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

    def __init__(self, text: str, design: Design) -> None:
        self.text, self.at = text, 0
        self.tokens = list(_tokens(text, design, self.error))

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


def _tokens(text: str, design: Design, error: Any) -> Iterator[tuple[int, str | FloatArray]]:
    """Yield (position, operator) or (position, value)."""
    names = sorted((*design.x_names, *design.dropped), key=len, reverse=True)
    pos = 0
    while pos < len(text):
        if text[pos].isspace():
            pos += 1
            continue
        name, after = _name_at(text, pos, names, error)
        value: str | FloatArray
        if name is not None:
            value = np.zeros(design.p + 1)
            value[_place(name, design)] = 1.0
        elif number := _NUMBER.match(text, pos):
            value, after = np.zeros(design.p + 1), number.end()
            value[-1] = float(number[0])
        elif text[pos] in "+-*/()=":
            value, after = text[pos], pos + (2 if text.startswith("==", pos) else 1)
        else:
            word = _WORD.match(text, pos)
            raise error(f"{word[0] if word else text[pos]!r} is no coefficient; there are: "
                        f"{', '.join(design.x_names)}", pos)  # fmt: skip
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
