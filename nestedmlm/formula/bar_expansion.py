"""Finding the bars in a tree, and expanding ``||``, ``/`` and structures.

Bars are found on the tree before any term algebra, so that one bar stays one block.
What each form means is lme4's (reference/lme4.md, 2.1 and 2.3).
"""

from __future__ import annotations

from nestedmlm.errors import FormulaError
from nestedmlm.formula.bars import Bar, left_side, term_nodes
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.grouping_factors import expand_group
from nestedmlm.formula.nodes import (
    Arg,
    Binary,
    Call,
    Group,
    Literal,
    Name,
    Node,
    Unary,
    children,
    joined,
    strip_groups,
    walk,
)
from nestedmlm.formula.smooths import Smooth, is_smooth, read_smooth
from nestedmlm.formula.structures import (
    DIAGONAL,
    UNSTRUCTURED,
    default_hom,
    is_known,
    known_names,
    takes_hom,
)
from nestedmlm.formula.terms import Variable, expand_terms, is_bar
from nestedmlm.formula.trampoline import Task, run


def _variables(group: Node) -> tuple[Variable, ...]:
    """What ``:`` joins in a grouping factor, left to right."""
    stack, found = [group], []
    while stack:
        node = strip_groups(stack.pop())
        if isinstance(node, Binary) and node.op == ":":
            stack += [node.right, node.left]
        else:
            found.append(Variable(deparse(node), node))
    return tuple(found)


def structure_call(node: Node) -> Call | None:
    """Return `node` if it is a call such as ``diag(x | g)``, whose first argument is a bar."""
    if not isinstance(node, Call) or not node.args or not is_bar(node.args[0].value):
        return None
    if is_known(node.func.name):
        return node
    if node.func.name in ("I", "ifelse"):
        return None
    known = ", ".join(known_names())
    raise FormulaError(
        f"{node.func.name}( | ) is no covariance structure (known: {known}; "
        "nm.covariance.register adds others); is an operator missing before the parenthesis?",
        None,
        node.pos,
    )


def covariance_names(node: Node) -> tuple[Name, ...]:
    """Return the names that say which covariance structure a term has, or that it is smooth."""
    calls = (n if is_smooth(n) else structure_call(n) for n in walk(node))
    return tuple(call.func for call in calls if isinstance(call, Call))


def _contains_bar(node: Node) -> Node | None:
    """Return the first random-effects term or smooth in `node`, or None."""
    stack = [node]
    while stack:
        node = stack.pop()
        if is_bar(node) or is_smooth(node) or structure_call(node) is not None:
            return node
        if not isinstance(node, Call):
            stack += reversed(list(children(node)))
    return None


def split_bars(node: Node) -> tuple[Node | None, tuple[Node, ...]]:
    """Split a right-hand side into its fixed part and its random-effects terms.

    Parameters
    ----------
    node : Node
        The right-hand side of the formula.

    Returns
    -------
    fixed : Node or None
        What is left without the bars, and what smooths do not penalise; None when nothing is.
    bars : tuple of Node
        Each a bar (``Binary``), a structure call or a smooth, in text order.

    Raises
    ------
    FormulaError
        For a bar without parentheses, under an operator other than ``+``, or after a minus.
    """
    if is_bar(node):
        message = "put the random-effects term in parentheses, for example y ~ x + (1 | g)"
        raise FormulaError(message, None, node.pos)
    bars: list[Node] = []
    return run(_strip(node, bars)), tuple(bars)


def _strip(node: Node, bars: list[Node]) -> Task:
    inner = strip_groups(node)
    if is_bar(inner) or structure_call(inner) is not None:
        bars.append(inner)
        return None
    if (smooth := read_smooth(inner)) is not None:
        bars.append(inner)
        return smooth.null_space
    if isinstance(node, Group):
        kept = yield _strip(node.inner, bars)
        return None if kept is None else Group(kept, pos=node.pos)
    if isinstance(node, Unary) and node.op == "+":
        return (yield _strip(node.operand, bars))
    if isinstance(node, Binary) and node.op == "+":
        left = yield _strip(node.left, bars)
        right = yield _strip(node.right, bars)
        if left is None or right is None:
            return left if right is None else right
        return Binary("+", left, right, pos=node.pos)
    if isinstance(node, Binary) and node.op == "-":
        _refuse_bar(node.right, f"{_BAR} cannot be taken out with '-': leave it out")
        left = yield _strip(node.left, bars)
        if left is None:
            return Unary("-", node.right, pos=node.pos)
        return Binary("-", left, node.right, pos=node.pos)
    message = f"{_BAR} can only be added with '+'"
    if isinstance(node, Unary) and node.op == "!":
        message = "'!' takes all that follows it, as in R: write I(!x) + (1 | g)"
    _refuse_bar(node, message)
    return node


_BAR = "a random-effects term or a smooth"


def _refuse_bar(node: Node, message: str) -> None:
    bar = _contains_bar(node)
    if bar is not None:
        raise FormulaError(message, None, bar.pos)


def expand_bar(node: Node, *, double_bar: str) -> tuple[Bar, ...]:
    """Expand one bar into blocks, in lme4's order: ``||`` first, then ``/`` (inner first).

    Parameters
    ----------
    node : Node
        A bar or a structure call, as `split_bars` returns them.
    double_bar : str
        What ``||`` means: ``"split"`` (lme4: a term for each) or ``"diag"`` (one diagonal block).

    Returns
    -------
    tuple of Bar
    """
    if (smooth := read_smooth(node)) is not None:
        return (_smooth_bar(smooth, Literal(1), smooth.label, node.pos),)
    structure, hom, bar = _unwrap(node)
    if any(map(is_bar, walk(bar.left))):
        raise FormulaError("a random-effects term has one bar, not two", None, bar.pos)
    if any(map(is_smooth, walk(bar.left))):
        return _curves(bar, structure)
    groups = expand_group(bar.right)
    together = bar.op == "||" and double_bar == "diag"
    if together:
        structure = DIAGONAL
    sides = split_double_bar(bar) if bar.op == "||" and not together else (bar.left,)
    return tuple(
        Bar(
            lhs=side,
            group=group,
            structure=structure,
            hom=hom,
            terms=expand_terms(side),
            lhs_text=deparse(side),
            group_text=deparse(group),
            parts=_variables(group),
            pos=bar.pos,
        )
        for side in sides
        for group in groups
    )


def _curves(bar: Binary, structure: str) -> tuple[Bar, ...]:
    """A term ``(s(x) | g)``: what is penalised of each level's curve."""
    smooth = read_smooth(bar.left)
    if smooth is None or structure != UNSTRUCTURED or bar.op != "|":
        text = "a smooth stands alone left of its bar, beside (x | g): (s(x) | g)"
        raise FormulaError(text, None, bar.pos)
    groups = expand_group(bar.right)
    return tuple(_smooth_bar(smooth, group, deparse(group), bar.pos) for group in groups)


def _smooth_bar(smooth: Smooth, group: Node, group_text: str, pos: int) -> Bar:
    """The term of what is penalised: independent coefficients with one SD."""
    return Bar(
        lhs=smooth.node,
        group=group,
        structure=DIAGONAL,
        hom=True,
        terms=smooth.terms,
        lhs_text=smooth.name,
        group_text=group_text,
        parts=() if isinstance(group, Literal) else _variables(group),
        pos=pos,
        smooth=smooth,
    )


def _unwrap(node: Node) -> tuple[str, bool, Binary]:
    """Return structure, hom and the bar itself."""
    if isinstance(node, Binary):
        return UNSTRUCTURED, default_hom(UNSTRUCTURED), node
    if not isinstance(node, Call) or not isinstance(bar := node.args[0].value, Binary):
        raise FormulaError("this is no random-effects term", None, node.pos)
    if bar.op == "||":
        raise FormulaError("a covariance structure takes a single bar '|'", None, bar.pos)
    structure = node.func.name
    hom = default_hom(structure)
    for arg in node.args[1:]:
        value = arg.value.value if isinstance(arg.value, Literal) else None
        if arg.name != "hom" or not isinstance(value, bool) or not takes_hom(structure):
            options = "takes hom=True or hom=False" if takes_hom(structure) else "takes no option"
            raise FormulaError(f"{structure}() {options} after the bar", None, arg.pos)
        hom = value
    return structure, hom, bar


def split_double_bar(bar: Binary) -> tuple[Node, ...]:
    """Return the left sides that ``lhs || group`` stands for: ``1``, then ``0 + term`` for each."""
    terms = expand_terms(bar.left)
    sides = [left_side(True, ())] if terms.intercept else []
    sides += [left_side(False, [product]) for product in term_nodes(terms).values()]
    if not sides:
        raise FormulaError("there is nothing left of this '||'", None, bar.pos)
    return tuple(sides)


def expand_double_bars(node: Node, *, double_bar: str) -> Node:
    """Write out every ``||`` in a right-hand side the way lme4 prints it."""
    expanded: Node = run(_expand_double_bars(node, double_bar))
    return expanded


def _expand_double_bars(node: Node, double_bar: str) -> Task:
    if isinstance(node, Group) and isinstance(bar := strip_groups(node), Binary) and bar.op == "||":
        if double_bar == "diag":
            single = Binary("|", bar.left, bar.right, pos=bar.pos)
            return Call(Name(DIAGONAL, pos=node.pos), (Arg(None, single),), pos=node.pos)
        bars: list[Node] = [Group(Binary("|", s, bar.right)) for s in split_double_bar(bar)]
        return Group(joined("+", bars), pos=node.pos)
    if isinstance(node, Group):
        return Group((yield _expand_double_bars(node.inner, double_bar)), pos=node.pos)
    if isinstance(node, Binary) and node.op in "+-":
        left = yield _expand_double_bars(node.left, double_bar)
        right = yield _expand_double_bars(node.right, double_bar)
        return Binary(node.op, left, right, pos=node.pos)
    return node
