"""The algebra of `terms()`: a tree of operators to a list of terms, in R's order.

A term is a set of variables, held as a bit set (an int) over the variables in the order in which
the formula names them. R's rules for each operator, for the intercept (``+ 0``, ``- 1``) and for
the order of terms (by number of variables, then first come) are in R's `modelling` C code; what
they do is documented in ``?formula`` and ``?terms.formula``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn, TypeGuard

from nestedmlm.errors import FormulaError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import (
    Binary,
    Call,
    Group,
    Items,
    Literal,
    Name,
    Node,
    Unary,
    strip_groups,
)
from nestedmlm.formula.trampoline import Task, run


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a model: a column or an expression, known by R's text for it."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one model matrix, before any data are seen.

    Attributes
    ----------
    intercept : bool
    variables : tuple of Variable
        In order of first mention; terms index into it.
    terms : tuple of tuple of int
        Variables of each term, ascending.
    contrast : tuple of tuple of bool
        Whether a factor in that place is coded by contrasts (else by all its indicators).
    labels : tuple of str
        R's term labels.
    offsets : tuple of Variable
        Arguments of ``offset()``.
    mentioned : tuple of Variable
        Variables that are in no term (taken out with ``-``); they still count for missing rows.
    """

    intercept: bool
    variables: tuple[Variable, ...]
    terms: tuple[tuple[int, ...], ...]
    contrast: tuple[tuple[bool, ...], ...]
    labels: tuple[str, ...]
    offsets: tuple[Variable, ...]
    mentioned: tuple[Variable, ...]

    @property
    def used(self) -> tuple[Variable, ...]:
        """Variables that are in some term: neither offsets nor what was taken out with ``-``."""
        indices = {index for term in self.terms for index in term}
        return tuple(v for index, v in enumerate(self.variables) if index in indices)


MOST_TERMS = 10_000  # of a formula; a*b*... of 13 factors has 8191
_FORMULA_OPS = frozenset(["+", "-", "*", "/", ":", "%in%", "^"])


def is_bar(node: Node) -> bool:
    """Tell whether `node` is ``lhs | group`` or ``lhs || group``."""
    return isinstance(node, Binary) and node.op in ("|", "||")


def _unique(terms: list[int]) -> list[int]:
    return list(dict.fromkeys(term for term in terms if term))


def _union(terms: list[int]) -> int:
    union = 0
    for term in terms:
        union |= term
    return union


class _Encoder:
    """Walks a tree once; keeps the variables met and the state of the intercept."""

    def __init__(self, dot: tuple[str, ...] | None) -> None:
        self.dot = dot
        self.index: dict[str, int] = {}
        self.nodes: list[Node] = []
        self.intercept = True
        self.adding = True  # False inside the right side of a minus

    def variable(self, node: Node) -> list[int]:
        name = deparse(node)
        if name not in self.index:
            self.index[name] = len(self.nodes)
            self.nodes.append(node)
        return [1 << self.index[name]]

    def encode(self, node: Node) -> Task:
        if isinstance(node, Group):
            return self.variable(node) if is_bar(node.inner) else (yield self.encode(node.inner))
        if isinstance(node, Name) and node.name == ".":
            return self._dot(node)
        if isinstance(node, Unary) and node.op == "+":
            return (yield self.encode(node.operand))
        if isinstance(node, Unary) and node.op == "-":
            return (yield self._minus(None, node.operand))
        if isinstance(node, Binary) and node.op in _FORMULA_OPS:
            return _unique((yield self._operator(node)))
        if isinstance(node, Literal | Items):
            return self._constant(node)
        _check_bare(node)
        return self.variable(node)

    def _operator(self, node: Binary) -> Task:
        if node.op == "-":
            return (yield self._minus(node.left, node.right))
        if node.op == "^":
            return (yield self._power(node))
        left = yield self.encode(node.left)
        right = yield self.encode(node.right)
        if len(left) * len(right) > MOST_TERMS and node.op in ":*":
            _refuse_size(node)
        return _COMBINE[node.op](left, right)

    def _minus(self, left: Node | None, right: Node) -> Task:
        kept = [] if left is None else (yield self.encode(left))
        self.adding = not self.adding
        removed = set((yield self.encode(right)))
        self.adding = not self.adding
        return [term for term in kept if term not in removed]

    def _power(self, node: Binary) -> Task:
        power = strip_groups(node.right)
        value = power.value if isinstance(power, Literal) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
            raise FormulaError("the power must be a number of at least 1", None, node.right.pos)
        base = yield self.encode(node.left)
        result = base
        count = 1
        while count + 1 <= value:
            if len(result) * len(base) > MOST_TERMS**2:
                _refuse_size(node)
            more = _unique([a | b for a in result for b in base])
            if more == result:  # all interactions that there are
                break
            if len(more) > MOST_TERMS:
                _refuse_size(node)
            result, count = more, count + 1
        return result

    def _constant(self, node: Node) -> list[int]:
        value = node.value if isinstance(node, Literal) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
            text = deparse(node)
            message = f"{text} is not a term: only 0 and 1 (the intercept) are; for arithmetic use"
            raise FormulaError(f"{message} I(), for an offset offset()", None, node.pos)
        self.intercept = (value == 1) == self.adding
        return []

    def _dot(self, node: Name) -> list[int]:
        if self.dot is None:
            raise FormulaError("'.' stands for the columns of the data only in the fixed part",
                               None, node.pos)  # fmt: skip
        return [bit for name in self.dot for bit in self.variable(Name(name, pos=node.pos))]


def _refuse_size(node: Node) -> NoReturn:
    raise FormulaError(f"this makes more than {MOST_TERMS} terms", None, node.pos)


def _check_bare(node: Node) -> None:
    """Refuse ``a + b == 1`` and ``x // z``: R might take them, but few who write them mean that."""
    if not isinstance(node, Binary):
        return
    operands = (node.left, node.right)
    arithmetic = any(isinstance(n, Binary) and n.op in _FORMULA_OPS for n in operands)
    if arithmetic or node.op in ("%%", "%/%"):
        raise FormulaError(f"wrap this in I(): I({deparse(node)})", None, node.pos)


def _cross(left: list[int], right: list[int]) -> list[int]:
    return left + right + [a | b for a in left for b in right]


_COMBINE: dict[str, Callable[[list[int], list[int]], list[int]]] = {
    "+": lambda left, right: left + right,
    ":": lambda left, right: [a | b for a in left for b in right],
    "*": _cross,
    "/": lambda left, right: left + [_union(left) | b for b in right],
    "%in%": lambda left, right: [a | _union(right) for a in left],
}


def _bits(term: int) -> tuple[int, ...]:
    return tuple(i for i in range(term.bit_length()) if term >> i & 1)


def _contrast_pattern(terms: list[int]) -> tuple[tuple[bool, ...], ...]:
    """R's rule: contrasts iff the rest of the term is empty or part of an earlier term."""
    pattern = []
    known = set(terms)
    place = {term: number for number, term in enumerate(terms)}
    for number, term in enumerate(terms):
        rests = (term & ~(1 << bit) for bit in _bits(term))
        earlier = terms[:number]
        pattern.append(
            tuple(
                not r
                or (r in known and place[r] < number)
                or any(not r & ~other for other in earlier)
                for r in rests
            )
        )
    return tuple(pattern)


def _is_offset(node: Node) -> TypeGuard[Call]:
    return isinstance(node, Call) and node.func.name in ("offset", "stats::offset")


def _offset_argument(node: Call) -> Variable:
    if len(node.args) != 1:
        raise FormulaError("offset() takes one argument", None, node.pos)
    argument = node.args[0].value
    return Variable(deparse(argument), argument)


@lru_cache(maxsize=512)
def expand_terms(
    node: Node | None,
    *,
    dot: tuple[str, ...] | None = None,
    response: str | None = None,
) -> Terms:
    """Expand a right-hand side into R's terms.

    Parameters
    ----------
    node : Node or None
        The right-hand side; None is an intercept alone.
    dot : tuple of str, optional
        The columns that ``.`` stands for.
    response : str, optional
        R's text for the response; a term that is just this is dropped, as R does.

    Returns
    -------
    Terms

    Raises
    ------
    FormulaError
        For a number that is no intercept, a bad power, or a ``.`` where none can stand.
    """
    encoder = _Encoder(dot)
    found = run(encoder.encode(node)) if node is not None else []
    variables = tuple(Variable(name, encoder.nodes[i]) for name, i in encoder.index.items())
    is_offset = [_is_offset(v.node) for v in variables]
    offset_bits = _union([1 << i for i, is_one in enumerate(is_offset) if is_one])
    response_bit = _union([1 << i for i, v in enumerate(variables) if v.name == response])
    kept = [t for t in found if not t & offset_bits and t != response_bit]
    ordered = sorted(kept, key=int.bit_count)
    used = _union(ordered)
    loose = [v for i, v in enumerate(variables) if not used >> i & 1 and v.name != response]
    return Terms(
        intercept=encoder.intercept,
        variables=variables,
        terms=tuple(_bits(term) for term in ordered),
        contrast=_contrast_pattern(ordered),
        labels=tuple(":".join(variables[i].name for i in _bits(term)) for term in ordered),
        offsets=tuple(_offset_argument(v.node) for v in variables if _is_offset(v.node)),
        mentioned=tuple(v for v in loose if not _is_offset(v.node)),
    )
