"""formulae's parser, corrected, and the way from its tree to ours.

What is put right (reference/formulae.md, 1.2, 1.8): R's operator precedence, ``||``, list
literals, the end of the text is checked (nothing is dropped in silence), errors say where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from nestedmlm.formula.formulae_parts import Parser, expr
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary
from nestedmlm.formula.scanner import FormulaScanner, PlacedToken, fail

_COMPARISONS = ["EQUAL_EQUAL", "BANG_EQUAL", "LESS_EQUAL", "LESS", "GREATER_EQUAL", "GREATER"]
_SPELLING = {"**": "^", "&&": "&", "and": "&", "or": "|", "not": "!", "//": "%/%", "%": "%%"}
_CLOSERS = {"RIGHT_PAREN": ")", "RIGHT_BRACKET": "]", "RIGHT_BRACE": "}"}


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
            fail("the formula ends too early: something is missing here", token.pos)
        if token.kind in _CLOSERS:
            fail(f"this {token.lexeme!r} closes nothing", token.pos)
        if token.kind == "TILDE":
            fail("a formula has only one '~'", token.pos)
        before = self.tokens[self.current - 1] if self.current else None
        if before is not None and before.kind in ("IDENTIFIER", "BQNAME", "RIGHT_PAREN", "NUMBER"):
            text = f"{token.lexeme!r} follows {before.lexeme!r} without an operator"
            fail(f"{text}; write for example {before.lexeme} + {token.lexeme}", token.pos)
        fail(f"{token.lexeme!r} cannot stand here", token.pos)

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
                fail("only a name can stand left of '='; use == to compare", operator.pos)
            return expr.Assign(tree, self.random_effect())
        return tree

    def tilde(self) -> Any:
        """``response ~ terms``."""
        if self.check("TILDE"):
            fail("the formula has no response: write y ~ ...", self.peek().pos)
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
            fail("only a named function can be called", opening.pos)
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
            fail(f"this {opening.lexeme!r} is never closed", opening.pos)
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
                fail("indexing with [ ] is not possible in a formula", self.peek().pos)
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
    lexeme = str(token.lexeme)
    return _SPELLING.get(lexeme, lexeme)


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
    fail("'=' is only for arguments of functions; use == to compare", tree.name.name.pos)


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
        fail("the formula is empty", 0)
    return to_node(FormulaParser(tokens).parse_all())
