"""R's `update`: a new formula from an old one, with ``.`` standing for the old part."""

from __future__ import annotations

from nestedmlm.errors import FormulaError
from nestedmlm.formula.bar_expansion import expand_double_bars
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula, located, parse_formula
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Name, Node, Unary
from nestedmlm.formula.terms import Terms, expand_terms, is_bar
from nestedmlm.formula.trampoline import Task, run


def _substitute(node: Node, old: Node) -> Task:
    """Put `old` (in parentheses) wherever `node` has a dot."""
    if isinstance(node, Name):
        return old if node.name == "." else node
    if isinstance(node, Group):
        return Group((yield _substitute(node.inner, old)), pos=node.pos)
    if isinstance(node, Unary):
        return Unary(node.op, (yield _substitute(node.operand, old)), pos=node.pos)
    if isinstance(node, Binary):
        left = yield _substitute(node.left, old)
        right = yield _substitute(node.right, old)
        return Binary(node.op, left, right, pos=node.pos)
    if isinstance(node, Arg):
        return Arg(node.name, (yield _substitute(node.value, old)), pos=node.pos)
    if not isinstance(node, Items | Call):
        return node
    parts = []
    for part in node.items if isinstance(node, Items) else node.args:
        parts.append((yield _substitute(part, old)))
    if isinstance(node, Items):
        return Items(tuple(parts), pos=node.pos)
    return Call(node.func, tuple(parts), pos=node.pos)


def _text(terms: Terms) -> str:
    """Write terms as R's `formula(terms(...))` does: by degree, offsets, intercept last."""
    labels = [label for label in terms.labels]
    labels += [f"offset({offset.name})" for offset in terms.offsets]
    if not terms.intercept:
        return " + ".join(labels) + " - 1" if labels else "-1"
    return " + ".join(labels) or "1"


def update_formula(formula: Formula | str, text: str) -> str:
    """Change a formula, with R's meaning of ``.``.

    Parameters
    ----------
    formula : Formula or str
        The formula to start from.
    text : str
        For example ``". ~ . + x"`` or ``". ~ . - (0 + Days | Subject)"``.

    Returns
    -------
    str
        The new formula: terms sorted by degree, ``||`` written out.

    Raises
    ------
    FormulaError
        When `text` cannot be understood.

    Examples
    --------
    >>> update_formula("y ~ x + (x || g)", ". ~ . - (0 + x | g)")
    'y ~ x + (1 | g)'
    """
    from nestedmlm.formula.parser import parse_text

    old = formula if isinstance(formula, Formula) else parse_formula(formula)
    with located(text):
        new = parse_text(f".{text}" if text.lstrip().startswith("~") else text)
        if not isinstance(new, Binary) or new.op != "~":
            raise FormulaError("an update needs a tilde: . ~ . + x", None, 0)
        rhs = expand_double_bars(old.tree.right, double_bar=old.double_bar)
        response = run(_substitute(new.left, old.response))
        if any(is_bar(node) for node in (new.right,)):
            raise FormulaError("put the random-effects term in parentheses", None, new.right.pos)
        right = expand_double_bars(new.right, double_bar=old.double_bar)
        changed = run(_substitute(right, Group(rhs)))
        terms = expand_terms(changed, dot=None)
    return f"{deparse(response)} ~ {_text(terms)}"
