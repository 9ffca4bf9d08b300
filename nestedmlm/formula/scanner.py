"""formulae's scanner, corrected: text to tokens that know their place.

What is put right (reference/formulae.md, 1.2, 1.8): ``^``, ``||``, ``%in%``, ``&``, ``1e-3``,
``TRUE``, names with leading ``_`` or ``.``, quotes inside quotes, unterminated backticks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from nestedmlm.errors import FormulaError
from nestedmlm.formula.formulae_parts import Scanner, Token

_KEYWORDS: dict[str, Any] = {
    "True": True, "False": False, "TRUE": True, "FALSE": False, "None": None, "NULL": None,
}  # fmt: skip
_WORD_OPERATORS = {"and": "AND", "or": "PIPE", "not": "BANG"}
_PERCENT = {"%in%": "SPECIAL", "%%": "SPECIAL", "%/%": "SPECIAL"}


def fail(message: str, position: int) -> NoReturn:
    """Raise a `FormulaError` at a position (the caller adds the text)."""
    raise FormulaError(message, None, position)


def _is_digit(char: str) -> bool:
    """Whether a character is 0 to 9: ² and other scripts' digits are none."""
    return char.isascii() and char.isdigit()


class PlacedToken(Token):  # type: ignore[misc]
    """A token that knows where in the text it starts."""

    def __init__(self, kind: str, lexeme: str, literal: Any, pos: int) -> None:
        super().__init__(kind, lexeme, literal)
        self.pos = pos


class FormulaScanner(Scanner):  # type: ignore[misc]
    """formulae's scanner with R's operators, numbers, names and strings."""

    code: str
    start: int
    current: int

    def add_token(self, kind: str, literal: Any = None) -> None:
        """Store the token that ends here, with its position."""
        lexeme = self.code[self.start : self.current]
        self.tokens.append(PlacedToken(kind, lexeme, literal, self.start))

    def tokenize(self) -> list[PlacedToken]:
        """Scan the whole text; the last token is EOF."""
        own: dict[str, Callable[[], None]] = {
            "^": lambda: self.add_token("STAR_STAR"),
            "|": lambda: self.add_token("PIPE_PIPE" if self.match("|") else "PIPE"),
            "&": self._and,
            "/": lambda: self.add_token("SPECIAL" if self.match("/") else "SLASH"),
            "%": self._percent,
            "`": self._backtick,
            '"': self._string,
            "'": self._string,
        }
        while not self.at_end():
            self.start = self.current
            char = self.peek()
            if char in own:
                self.advance()
                own[char]()
            elif _is_digit(char) or (char == "." and _is_digit(self.peek_next())):
                self._number()
            elif char.isalpha() or char in "._":
                self._word()
            elif char.isspace() or char in "()[]{},+-*!=<>~:":
                self.scan_token()
            else:
                fail(f"unexpected character {char!r}", self.current)
        self.start = self.current
        self.add_token("EOF")
        return list(self.tokens)

    def _and(self) -> None:
        self.match("&")
        self.add_token("AND")

    def _percent(self) -> None:
        end = self.code.find("%", self.current)
        word = self.code[self.start : end + 1] if end >= 0 else ""
        if word in _PERCENT:
            self.current = end + 1
        elif word and " " not in word.strip("%") and word[1:-1].isalpha():
            fail(f"unknown operator {word}; known: {', '.join(_PERCENT)}", self.start)
        self.add_token("SPECIAL")

    def _backtick(self) -> None:
        name = self._quoted("`", "this backtick is never closed")
        if not name:
            fail("there is no name between these backticks", self.start)
        self.add_token("BQNAME", name)

    def _string(self) -> None:
        quote = self.code[self.start]
        self.add_token("STRING", self._quoted(quote, "this quote is never closed"))

    def _quoted(self, quote: str, message: str) -> str:
        """Read up to the closing quote; a backslash takes the next character as it is."""
        value = []
        while not self.at_end() and self.peek() != quote:
            if self.peek() == "\\" and self.peek_next():
                self.advance()
            value.append(self.advance())
        if self.at_end():
            fail(message, self.start)
        self.advance()
        return "".join(value)

    def _digits(self) -> None:
        while _is_digit(self.peek()):
            self.advance()

    def _number(self) -> None:
        self._digits()
        if self.match("."):
            self._digits()
        mark = self.current
        if self.peek() in ("e", "E"):
            self.advance()
            if self.peek() in ("+", "-"):
                self.advance()
            if _is_digit(self.peek()):
                self._digits()
            else:
                self.current = mark
        text = self.code[self.start : self.current]
        self.match("L")
        # more digits than an integer of the data can have are a float
        self.add_token("NUMBER", int(text) if text.isdigit() and len(text) < 19 else float(text))

    def _word(self) -> None:
        while self.peek().isalnum() or (self.peek() and self.peek() in "._"):
            self.advance()
            if self.code.startswith("::", self.current) and self.code[self.current + 2 :][:1]:
                self.current += 2
        word = self.code[self.start : self.current]
        if word in _KEYWORDS:
            self.add_token("PYTHON_LITERAL", _KEYWORDS[word])
        else:
            self.add_token(_WORD_OPERATORS.get(word, "IDENTIFIER"))
