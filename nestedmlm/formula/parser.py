"""formulae's parser with R's grammar, and our nodes as its result.

What is put right (reference/formulae.md, 1.2, 1.8): R's operator precedence, ``||``, list
literals, the end of the text is checked (nothing is dropped in silence), errors say where. No
depth is too deep: the grammar is a `nestedmlm.formula.trampoline`.
"""

from __future__ import annotations

from typing import NoReturn

from nestedmlm.formula.formulae_parts import Parser
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary
from nestedmlm.formula.scanner import FormulaScanner, PlacedToken, fail
from nestedmlm.formula.trampoline import Task, run

_LOOSEST, _NOT = 1, 3
# operators that group from the left: how tightly they bind
_BINDING = {
    "PIPE": 1, "PIPE_PIPE": 1, "AND": 2,
    "EQUAL_EQUAL": 4, "BANG_EQUAL": 4, "LESS_EQUAL": 4, "LESS": 4, "GREATER_EQUAL": 4, "GREATER": 4,
    "PLUS": 5, "MINUS": 5, "STAR": 6, "SLASH": 6, "SPECIAL": 7, "COLON": 8,
}  # fmt: skip
_SPELLING = {"**": "^", "&&": "&", "and": "&", "or": "|", "not": "!", "//": "%/%", "%": "%%"}
_CLOSERS = {"RIGHT_PAREN": ")", "RIGHT_BRACKET": "]", "RIGHT_BRACE": "}"}


class FormulaParser(Parser):  # type: ignore[misc]
    """formulae's stream of tokens, read by R's grammar up to the end of the text."""

    def parse_all(self) -> Node:
        """Parse every token or say which one does not belong."""
        tree: Node = run(self._formula())
        if not self.at_end():
            self._unexpected()
        return tree

    def _unexpected(self) -> NoReturn:
        token = self.peek()
        before = self.tokens[self.current - 1] if self.current else None
        if token.kind == "EOF":
            fail("the formula ends too early: something is missing here", token.pos)
        if token.kind in _CLOSERS:
            fail(f"this {token.lexeme!r} closes nothing", token.pos)
        if token.kind == "TILDE":
            fail("a formula has only one '~'", token.pos)
        if token.kind == "EQUAL":
            text = "'=' is only for arguments of functions, and only a name can stand left of '='"
            fail(f"{text}; use == to compare", token.pos)
        if before is not None and before.kind in ("IDENTIFIER", "BQNAME", "RIGHT_PAREN", "NUMBER"):
            text = f"{token.lexeme!r} follows {before.lexeme!r} without an operator"
            if before.kind == token.kind == "IDENTIFIER":
                name = f"`{before.lexeme} {token.lexeme}`"
                text += f"; a column whose name has a space stands in backticks, {name}"
                fail(f"{text}; else write for example {before.lexeme} + {token.lexeme}", token.pos)
            fail(f"{text}; write for example {before.lexeme} + {token.lexeme}", token.pos)
        fail(f"{token.lexeme!r} cannot stand here", token.pos)

    def _formula(self) -> Task:
        """``response ~ terms``, or an expression."""
        if self.check("TILDE"):
            fail("the formula has no response: write y ~ ...", self.peek().pos)
        tree = yield self._operators(_LOOSEST)
        if self.match("TILDE"):
            operator = self.previous()
            tree = Binary("~", tree, (yield self._operators(_LOOSEST)), pos=operator.pos)
        return tree

    def _operators(self, binding: int) -> Task:
        """Operators that bind at least so tightly, from left to right."""
        tree: Node = yield self._signed()
        while (own := _BINDING.get(self.peek().kind, 0)) >= binding:
            operator = self.advance()
            right = yield self._operators(own + 1)
            tree = Binary(_operator(operator), tree, right, pos=operator.pos)
        return tree

    def _signed(self) -> Task:
        """Sign, looser than a power: -x^2 is -(x^2); or not: x * !a == b is x * !(a == b)."""
        if self.match("BANG"):
            operator = self.previous()
            return Unary("!", (yield self._operators(_NOT)), pos=operator.pos)
        if self.match(["PLUS", "MINUS"]):
            operator = self.previous()
            return Unary(_operator(operator), (yield self._signed()), pos=operator.pos)
        tree = yield self._called()
        if self.match("STAR_STAR"):
            operator = self.previous()
            tree = Binary("^", tree, (yield self._signed()), pos=operator.pos)
        return tree

    def _called(self) -> Task:
        """A name, literal or bracket, called or not."""
        tree = yield self._primary()
        while self.match("LEFT_PAREN"):
            opening = self.previous()
            if not isinstance(tree, Name):
                fail("only a named function can be called", opening.pos)
            items = yield self._items("RIGHT_PAREN", opening, arguments=True)
            tree = Call(tree, tuple(items), pos=tree.pos)
        return tree

    def _items(self, closer: str, opening: PlacedToken, *, arguments: bool) -> Task:
        items: list[Node] = []
        if not self.check(closer):
            items.append((yield self._argument() if arguments else self._formula()))
            while self.match("COMMA"):
                items.append((yield self._argument() if arguments else self._formula()))
        self._close(closer, opening)
        return items

    def _argument(self) -> Task:
        """``name = value`` or a value."""
        is_name = self.check("IDENTIFIER")
        tree = yield self._formula()
        if is_name and isinstance(tree, Name) and self.match("EQUAL"):
            return Arg(tree.name, (yield self._operators(_LOOSEST)), pos=tree.pos)
        return Arg(None, tree, pos=tree.pos)

    def _close(self, closer: str, opening: PlacedToken) -> None:
        if self.match(closer):
            return
        if self.at_end() or self.peek().kind in _CLOSERS:
            fail(f"this {opening.lexeme!r} is never closed", opening.pos)
        self._unexpected()

    def _primary(self) -> Task:
        """Names, literals, brackets."""
        opening = self.peek()
        if self.match("LEFT_PAREN"):
            tree: Node = Group((yield self._formula()), pos=opening.pos)
            self._close("RIGHT_PAREN", opening)
            return tree
        if self.match("LEFT_BRACE"):
            inner = yield self._formula()
            self._close("RIGHT_BRACE", opening)
            return Call(
                Name("I", pos=opening.pos), (Arg(None, inner, pos=inner.pos),), pos=opening.pos
            )
        if self.match("LEFT_BRACKET"):
            items = yield self._items("RIGHT_BRACKET", opening, arguments=False)
            return Items(tuple(items), pos=opening.pos)
        return self._atom()

    def _atom(self) -> Node:
        if not self.check(["IDENTIFIER", "BQNAME", "NUMBER", "STRING", "PYTHON_LITERAL"]):
            self._unexpected()
        token = self.advance()
        if token.kind == "IDENTIFIER":
            if self.check("LEFT_BRACKET"):
                fail("indexing with [ ] is not possible in a formula", self.peek().pos)
            return Name(token.lexeme, pos=token.pos)
        if token.kind == "BQNAME":
            return Name(token.literal, pos=token.pos)
        return Literal(token.literal, pos=token.pos)


def _operator(token: PlacedToken) -> str:
    lexeme = str(token.lexeme)
    return _SPELLING.get(lexeme, lexeme)


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
    return FormulaParser(tokens).parse_all()
