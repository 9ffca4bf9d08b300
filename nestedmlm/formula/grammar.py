"""formulae's scanner and parser, corrected, and the way from its tree to ours.

The only module that imports formulae. What is put right (see reference/formulae.md, 1.2, 1.8):
tokens have positions; ``^``, ``||``, ``%in%``, ``&``, ``1e-3``, ``TRUE``, names with leading
``_`` or ``.``, quotes inside quotes; R's operator precedence; list literals; and the end of the
text is checked, so nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from formulae import expr
from formulae.parser import Parser
from formulae.scanner import Scanner
from formulae.token import Token

from nestedmlm.errors import FormulaError
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary

_KEYWORDS: dict[str, Any] = {
    "True": True, "False": False, "TRUE": True, "FALSE": False, "None": None, "NULL": None,
}  # fmt: skip
_WORD_OPERATORS = {"and": "AND", "or": "PIPE", "not": "BANG"}
_PERCENT = {"%in%": "SPECIAL", "%%": "SPECIAL", "%/%": "SPECIAL"}
_COMPARISONS = ["EQUAL_EQUAL", "BANG_EQUAL", "LESS_EQUAL", "LESS", "GREATER_EQUAL", "GREATER"]
_SPELLING = {"**": "^", "&&": "&", "and": "&", "or": "|", "not": "!", "//": "%/%", "%": "%%"}
_CLOSERS = {"RIGHT_PAREN": ")", "RIGHT_BRACKET": "]", "RIGHT_BRACE": "}"}


def _fail(message: str, position: int) -> NoReturn:
    raise FormulaError(message, None, position)


class PlacedToken(Token):  # type: ignore[misc]
    """A token that knows where in the text it starts."""

    def __init__(self, kind: str, lexeme: str, literal: Any, pos: int) -> None:
        super().__init__(kind, lexeme, literal)
        self.pos = pos


class FormulaScanner(Scanner):  # type: ignore[misc]
    """formulae's scanner with R's operators, numbers, names and strings."""

    def add_token(self, kind: str, literal: Any = None) -> None:
        """Store the token that ends here, with its position."""
        lexeme = self.code[self.start : self.current]
        self.tokens.append(PlacedToken(kind, lexeme, literal, self.start))

    def tokenize(self) -> list[PlacedToken]:
        """Scan the whole text; the last token is EOF."""
        own: dict[str, Callable[[], None]] = {
            "^": lambda: self.add_token("STAR_STAR"),
            "|": lambda: self.add_token("PIPE_PIPE" if self.match("|") else "PIPE"),
            "&": lambda: (self.match("&"), self.add_token("AND"))[1],
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
            elif char.isdigit() or (char == "." and self.peek_next().isdigit()):
                self._number()
            elif char.isalpha() or char in "._":
                self._word()
            elif char.isspace() or char in "()[]{},+-*!=<>~:":
                self.scan_token()
            else:
                _fail(f"unexpected character {char!r}", self.current)
        self.start = self.current
        self.add_token("EOF")
        return list(self.tokens)

    def _percent(self) -> None:
        end = self.code.find("%", self.current)
        word = self.code[self.start : end + 1] if end >= 0 else ""
        if word in _PERCENT:
            self.current = end + 1
        elif word and " " not in word.strip("%") and word[1:-1].isalpha():
            _fail(f"unknown operator {word}; known: {', '.join(_PERCENT)}", self.start)
        self.add_token("SPECIAL")

    def _backtick(self) -> None:
        end = self.code.find("`", self.current)
        if end < 0:
            _fail("this backtick is never closed", self.start)
        self.current = end + 1
        self.add_token("BQNAME")

    def _string(self) -> None:
        quote = self.code[self.start]
        value = []
        while not self.at_end() and self.peek() != quote:
            if self.peek() == "\\" and self.peek_next():
                self.advance()
            value.append(self.advance())
        if self.at_end():
            _fail("this quote is never closed", self.start)
        self.advance()
        self.add_token("STRING", "".join(value))

    def _digits(self) -> None:
        while self.peek().isdigit():
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
            if self.peek().isdigit():
                self._digits()
            else:
                self.current = mark
        text = self.code[self.start : self.current]
        self.match("L")
        self.add_token("NUMBER", int(text) if text.isdigit() else float(text))

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


class FormulaParser(Parser):  # type: ignore[misc]
    """formulae's recursive-descent parser with R's precedence and an end-of-text check."""

    def parse_all(self) -> Any:
        """Parse every token or say which one does not belong."""
        tree = self.expression()
        if not self.at_end():
            self._unexpected()
        return tree

    def _unexpected(self) -> NoReturn:
        token = self.peek()
        if token.kind == "EOF":
            _fail("the formula ends too early: something is missing here", token.pos)
        if token.kind in _CLOSERS:
            _fail(f"this {token.lexeme!r} closes nothing", token.pos)
        if token.kind == "TILDE":
            _fail("a formula has only one '~'", token.pos)
        before = self.tokens[self.current - 1] if self.current else None
        if before is not None and before.kind in ("IDENTIFIER", "BQNAME", "RIGHT_PAREN", "NUMBER"):
            text = f"{token.lexeme!r} follows {before.lexeme!r} without an operator"
            _fail(f"{text}; write for example {before.lexeme} + {token.lexeme}", token.pos)
        _fail(f"{token.lexeme!r} cannot stand here", token.pos)

    def _left(self, kinds: list[str], operand: Callable[[], Any]) -> Any:
        """Parse left-associative operators of one precedence."""
        tree = operand()
        while self.match(kinds):
            operator = self.previous()
            tree = expr.Binary(tree, operator, operand())
        return tree

    def assignment(self) -> Any:
        """``name = value`` (only arguments may use it) or an expression."""
        tree = self.tilde()
        if self.match("EQUAL"):
            operator = self.previous()
            if not isinstance(tree, expr.Variable):
                _fail("only a name can stand left of '='; use == to compare", operator.pos)
            return expr.Assign(tree, self.random_effect())
        return tree

    def tilde(self) -> Any:
        """``response ~ terms``."""
        if self.check("TILDE"):
            _fail("the formula has no response: write y ~ ...", self.peek().pos)
        tree = self.random_effect()
        if self.match("TILDE"):
            operator = self.previous()
            tree = expr.Binary(tree, operator, self.random_effect())
        return tree

    def random_effect(self) -> Any:
        """``|`` and ``||``: a bar, or 'or' inside a call."""
        return self._left(["PIPE", "PIPE_PIPE"], self._and)

    def _and(self) -> Any:
        return self._left(["AND"], self._not)

    def _not(self) -> Any:
        if self.match(["BANG"]):
            operator = self.previous()
            return expr.Unary(operator, self._not())
        return self._left(_COMPARISONS, self.addition)

    def interaction(self) -> Any:
        """``%in%``, ``%%``, ``%/%``: looser than ``:``, tighter than ``*``."""
        return self._left(["SPECIAL"], lambda: self._left(["COLON"], self.unary))

    def unary(self) -> Any:
        """Sign: looser than a power, so that -x^2 is -(x^2)."""
        if self.match(["PLUS", "MINUS"]):
            operator = self.previous()
            return expr.Unary(operator, self.unary())
        return self._power()

    def _power(self) -> Any:
        base = self.call()
        if self.match(["STAR_STAR"]):
            operator = self.previous()
            return expr.Binary(base, operator, self.unary())
        return base

    def finishcall(self, callee: Any) -> Any:
        """Arguments and the closing bracket of a call."""
        opening = self.previous()
        if not isinstance(callee, expr.Variable | expr.QuotedName):
            _fail("only a named function can be called", opening.pos)
        return expr.Call(callee, self._items("RIGHT_PAREN", opening))

    def _items(self, closer: str, opening: PlacedToken) -> list[Any]:
        items: list[Any] = []
        if not self.check(closer):
            items.append(self.expression())
            while self.match("COMMA"):
                items.append(self.expression())
        self._close(closer, opening)
        return items

    def _close(self, closer: str, opening: PlacedToken) -> None:
        if self.match(closer):
            return
        if self.at_end() or self.peek().kind in _CLOSERS:
            _fail(f"this {opening.lexeme!r} is never closed", opening.pos)
        self._unexpected()

    def primary(self) -> Any:
        """Names, literals, brackets."""
        opening = self.peek()
        if self.match("LEFT_PAREN"):
            tree = expr.Grouping(self.expression())
            self._close("RIGHT_PAREN", opening)
        elif self.match("LEFT_BRACE"):
            inner = self.expression()
            self._close("RIGHT_BRACE", opening)
            callee = expr.Variable(PlacedToken("IDENTIFIER", "I", None, opening.pos))
            tree = expr.Call(callee, [inner])
        elif self.match("LEFT_BRACKET"):
            tree = ListExpr(self._items("RIGHT_BRACKET", opening))
        elif self.check(["IDENTIFIER", "BQNAME", "NUMBER", "STRING", "PYTHON_LITERAL"]):
            tree = self._atom()
        else:
            self._unexpected()
        tree.pos = opening.pos
        return tree

    def _atom(self) -> Any:
        token = self.advance()
        if token.kind == "IDENTIFIER":
            if self.check("LEFT_BRACKET"):
                _fail("indexing with [ ] is not possible in a formula", self.peek().pos)
            return expr.Variable(token)
        if token.kind == "BQNAME":
            return expr.QuotedName(token)
        return expr.Literal(token.literal, lexeme=token.lexeme)


class ListExpr:
    """A list literal, which formulae's tree lacks."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.pos = -1


def _name(tree: Any) -> Name:
    if isinstance(tree, expr.QuotedName):
        token = tree.expression
        return Name(token.lexeme[1:-1], pos=token.pos)
    return Name(tree.name.lexeme, pos=tree.name.pos)


def _operator(token: PlacedToken) -> str:
    return _SPELLING.get(token.lexeme, token.lexeme)


def _argument(tree: Any) -> Arg:
    if isinstance(tree, expr.Assign):
        name = _name(tree.name)
        return Arg(name.name, to_node(tree.value), pos=name.pos)
    value = to_node(tree)
    return Arg(None, value, pos=value.pos)


def _binary(tree: Any) -> Node:
    left, right = to_node(tree.left), to_node(tree.right)
    return Binary(_operator(tree.operator), left, right, pos=tree.operator.pos)


def _call(tree: Any) -> Node:
    func = _name(tree.callee)
    return Call(func, tuple(_argument(arg) for arg in tree.args), pos=func.pos)


def _no_assignment(tree: Any) -> NoReturn:
    _fail("'=' is only for arguments of functions; use == to compare", tree.name.name.pos)


_CONVERTERS: dict[type, Callable[[Any], Node]] = {
    expr.Variable: _name,
    expr.QuotedName: _name,
    expr.Literal: lambda t: Literal(t.value, pos=t.pos),
    expr.Unary: lambda t: Unary(_operator(t.operator), to_node(t.right), pos=t.operator.pos),
    expr.Binary: _binary,
    expr.Grouping: lambda t: Group(to_node(t.expression), pos=t.pos),
    expr.Call: _call,
    expr.Assign: _no_assignment,
    ListExpr: lambda t: Items(tuple(to_node(item) for item in t.items), pos=t.pos),
}


def to_node(tree: Any) -> Node:
    """Turn formulae's tree into ours."""
    return _CONVERTERS[type(tree)](tree)


def parse_text(text: str) -> Node:
    """Parse `text` into a tree.

    Raises
    ------
    FormulaError
        With the position of what cannot be understood (the text itself is added by the caller).
    """
    tokens = FormulaScanner(text).tokenize() if text.strip() else []
    if not tokens:
        _fail("the formula is empty", 0)
    return to_node(FormulaParser(tokens).parse_all())
