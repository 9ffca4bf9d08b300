"""Grouping factors right of a bar: ``f/g``, ``f*g``, ``f + g`` and their mixtures, expanded."""

from __future__ import annotations

from collections.abc import Iterator

from nestedmlm.errors import FormulaError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Binary, Call, Name, Node, joined, strip_groups
from nestedmlm.formula.terms import expand_terms, is_bar

_GROUPING = frozenset("+-:*/^") | {"%in%"}  # what joins grouping factors


def expand_group(node: Node) -> tuple[Node, ...]:
    """Expand what stands right of a bar into grouping factors, as lme4 (>= 1.1-36) does.

    Parameters
    ----------
    node : Node

    Returns
    -------
    tuple of Node
        Products of variables: ``f*g`` is ``f``, ``g`` and ``f:g``; ``f + g`` both; with ``/``,
        the innermost first and named from the inside, ``a/b/c`` is ``c:b:a``, ``b:a``, ``a``, and
        ``f/(g + h)`` is ``h:f``, ``g:f``, ``f``.

    Raises
    ------
    FormulaError
        Where a part cannot be a grouping factor, or nothing is left.

    Examples
    --------
    >>> from nestedmlm.formula import parse_formula
    >>> [bar.text for bar in parse_formula("y ~ (1 | f/(g + h))").bars]
    ['1 | h:f', '1 | g:f', '1 | f']
    """
    operators = {op for op, _ in _group_parts(node)}
    if operators <= {":", ""}:
        return (strip_groups(node),)
    terms = expand_terms(node)
    found = [[terms.variables[i].node for i in term] for term in terms.terms]
    if not found:
        raise FormulaError("there is no grouping factor right of the bar", None, node.pos)
    if "/" in operators:
        found = [variables[::-1] for variables in reversed(found)]
    return tuple(joined(":", variables) for variables in found)


def _group_parts(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield operators and what they join; check that each part can be a factor."""
    stack = [node]
    while stack:
        node = strip_groups(stack.pop())
        if isinstance(node, Binary) and node.op in _GROUPING:
            yield node.op, node
            stack += [node.left] if node.op == "^" else [node.right, node.left]
        else:
            _check_group_part(node)
            yield "", node


def _check_group_part(node: Node) -> None:
    if is_bar(node):
        raise FormulaError("a random-effects term has one bar, not two", None, node.pos)
    if isinstance(node, Call) or (isinstance(node, Name) and node.name != "."):
        return
    raise FormulaError(
        f"{deparse(node)} cannot be a grouping factor: use columns joined by : / * or +, "
        "or a function call such as I()",
        None,
        node.pos,
    )
