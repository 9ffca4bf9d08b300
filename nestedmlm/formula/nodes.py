"""The syntax tree of a formula: frozen, hashable, picklable nodes of our own.

formulae's tree is turned into these right after parsing, so that nothing above this package
knows formulae, and a `Formula` can be frozen, pickled and compared. Positions (`pos`, an index
into the formula text) take no part in comparisons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes."""

    pos: int = field(default=-1, compare=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A column, variable or function; `name` may be dotted (``np.log``, ``splines::ns``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, string, boolean or None."""

    value: float | int | str | bool | None

    def __eq__(self, other: object) -> bool:  # 1, 1.0 and True are different literals
        if not isinstance(other, Literal):
            return NotImplemented
        return type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value).__name__, self.value))


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-x``, ``+x`` or ``!x``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Two operands and an operator, spelled as in R (``^`` also for ``**``)."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Arg(Node):
    """An argument of a call; `name` is None for a positional one."""

    name: str | None
    value: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function call."""

    func: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Group(Node):
    """An expression in parentheses."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list literal ``[a, b]``, R's ``c(a, b)``."""

    items: tuple[Node, ...]


def children(node: Node) -> Iterator[Node]:
    """Yield the direct sub-nodes of `node`, left to right."""
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from (part for part in value if isinstance(part, Node))


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and everything below it, in text order."""
    yield node
    for child in children(node):
        yield from walk(child)


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
    functions = {id(n.func) for n in walk(node) if isinstance(n, Call)}
    found = (n.name for n in walk(node) if isinstance(n, Name) and id(n) not in functions)
    return tuple(dict.fromkeys(found))
