"""The syntax tree of a formula: frozen, hashable, picklable nodes of our own.

formulae's tree is turned into these right after parsing, so that nothing above this package
knows formulae, and a `Formula` can be frozen, pickled and compared. Positions (`pos`, an index
into the formula text) take no part in comparisons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Base of all nodes."""

    pos: int = field(default=-1, compare=False, kw_only=True, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self is other or _postfix(self) == _postfix(other)

    def __hash__(self) -> int:
        return hash(_postfix(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_postfix, (_postfix(self, positions=True),)


@dataclass(frozen=True, slots=True, eq=False)
class Name(Node):
    """A column, variable or function; `name` may be dotted (``np.log``, ``splines::ns``)."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Node):
    """A number, string, boolean or None."""

    value: float | int | str | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Node):
    """``-x``, ``+x`` or ``!x``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Node):
    """Two operands and an operator, spelled as in R (``^`` also for ``**``)."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Arg(Node):
    """An argument of a call; `name` is None for a positional one."""

    name: str | None
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """A function call."""

    func: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group(Node):
    """An expression in parentheses."""

    inner: Node


@dataclass(frozen=True, slots=True, eq=False)
class Items(Node):
    """A list literal ``[a, b]``, R's ``c(a, b)``."""

    items: tuple[Node, ...]


def children(node: Node) -> Iterator[Node]:
    """Yield the direct sub-nodes of `node`, left to right."""
    for name in _FIELDS[type(node)]:
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from value


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and everything below it, in text order."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(list(children(node)))


_FIELDS: dict[type[Node], tuple[str, ...]] = {
    Name: ("name",),
    Literal: ("value",),
    Unary: ("op", "operand"),
    Binary: ("op", "left", "right"),
    Arg: ("name", "value"),
    Call: ("func", "args"),
    Group: ("inner",),
    Items: ("items",),
}
_PART, _PARTS = object, tuple  # what stands in a record for one node, and for several


def _postfix(node: Node, *, positions: bool = False) -> tuple[Any, ...]:
    """Flat records of all nodes, parts before wholes: equal for equal trees, however deep."""
    records = [_record(own, positions) for own in walk(node)]
    return tuple(reversed(records))  # walk gives wholes before parts


def _record(node: Node, positions: bool) -> tuple[Any, ...]:
    kind = type(node)
    values: list[Any] = []
    for name in _FIELDS[kind]:
        value = getattr(node, name)
        if isinstance(value, Node):
            values.append((_PART, 1))
        elif isinstance(value, tuple):
            values.append((_PARTS, len(value)))
        else:  # 1, 1.0 and True are different literals
            values.append((type(value), value))
    return (kind, tuple(values), node.pos) if positions else (kind, tuple(values))


def _from_postfix(records: tuple[Any, ...]) -> Node:
    """Build the tree again from its records with positions."""
    stack: list[Node] = []
    for kind, values, pos in records:
        arguments: list[Any] = []
        for mark, value in values:
            if mark is _PART:
                arguments.append(stack.pop())
            elif mark is _PARTS:
                arguments.append(tuple(stack.pop() for _ in range(value)))
            else:
                arguments.append(value)
        stack.append(kind(*arguments, pos=pos))
    return stack[0]


def joined(op: str, nodes: Sequence[Node]) -> Node:
    """Chain nodes by an operator, from left to right."""
    chain = nodes[0]
    for node in nodes[1:]:
        chain = Binary(op, chain, node)
    return chain


def strip_groups(node: Node) -> Node:
    """Remove the parentheses around `node`."""
    while isinstance(node, Group):
        node = node.inner
    return node


def names_in(node: Node, *, without: Collection[Name] = ()) -> tuple[str, ...]:
    """Return the names used in `node`, functions included, in order and without repetition.

    `without` leaves out these very nodes, not others that are spelled alike.
    """
    left_out = {id(n) for n in without}
    found = (n for n in walk(node) if isinstance(n, Name) and id(n) not in left_out)
    return tuple(dict.fromkeys(n.name for n in found))


def variables_in(node: Node) -> tuple[str, ...]:
    """Return the names used in `node` as values (called functions are left out)."""
    if isinstance(node, Name):
        return (node.name,)
    functions = {id(n.func) for n in walk(node) if isinstance(n, Call)}
    found = (n.name for n in walk(node) if isinstance(n, Name) and id(n) not in functions)
    return tuple(dict.fromkeys(found))
