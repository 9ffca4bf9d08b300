"""Nodes back to text, spaced and spelled as R's `deparse` does it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary
from nestedmlm.formula.trampoline import Task, run

PRECEDENCE = {
    "~": 1, "|": 2, "||": 2, "&": 3, "!": 4,
    "==": 5, "!=": 5, "<": 5, "<=": 5, ">": 5, ">=": 5,
    "+": 6, "-": 6, "*": 7, "/": 7, "%in%": 8, "%%": 8, "%/%": 8, ":": 9, "unary": 10, "^": 11,
}  # fmt: skip
_TIGHT = {":", "^", "/", "%%", "%/%"}  # operators R prints without spaces
_ATOM = 99  # binds tighter than every operator
_SYNTACTIC = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*\Z")
_RESERVED = frozenset(
    "TRUE FALSE NULL NA NaN Inf if else for in function while repeat next break "
    "True False None and or not".split()  # of R, and of formulas here
)
_BARE = frozenset({".", "Inf", "NA", "NaN"})  # words of R that are no names
_NUMPY = re.compile(r"(?:np|numpy)\.(\w+)\Z")
# elementwise functions a formula knows under NumPy's name: np.log(x) is log(x)
NUMPY_FUNCTIONS = frozenset(
    "log log2 log10 log1p exp expm1 sqrt abs sign sin cos tan arcsin arccos arctan sinh cosh tanh "
    "square cbrt floor ceil trunc round minimum maximum power".split()
)


def quote_name(name: str) -> str:
    """Put a name in backticks when R would have to."""
    if _SYNTACTIC.match(name) and name not in _RESERVED:
        return name
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def format_number(value: float) -> str:
    """Write a number as R does: 15 significant digits, fixed unless that is longer."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    target = float(f"{value:.14e}")
    digits = next((d for d in range(15) if float(f"{value:.{d}e}") == target), 14)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    scientific = f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0').rjust(2, '0')}"
    fixed = f"{value:.{max(digits - int(exponent), 0)}f}"
    return fixed if len(fixed) <= len(scientific) else scientific


def _literal(node: Literal) -> str:
    value = node.value
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return format_number(value)


def _name(node: Name) -> str:
    if "::" in node.name or node.name in _BARE:
        return node.name
    return quote_name(node.name)


def _unary(node: Unary) -> Task:
    level = PRECEDENCE["!" if node.op == "!" else "unary"]
    return node.op + (yield _wrapped(node.operand, level))


def _binary(node: Binary) -> Task:
    level = PRECEDENCE[node.op]
    right_assoc = node.op == "^"
    # what ends in a not would take what follows into it: (a * !b) + c
    left = yield _wrapped(node.left, _ATOM if _ends_in_not(node.left) else level + right_assoc)
    # a sign after ^ needs no parentheses: 2^-1; nor does a not after anything: a * !b
    tightest = PRECEDENCE["unary"] if right_assoc else level + 1
    right = yield _wrapped(node.right, 0 if _is_not(node.right) else tightest)
    return left + (node.op if node.op in _TIGHT else f" {node.op} ") + right


def _call(node: Call) -> Task:
    # np.log(x) and log(x) are one variable, named as R names it
    match = _NUMPY.match(node.func.name)
    func = match[1] if match and match[1] in NUMPY_FUNCTIONS else _name(node.func)
    return f"{func}({(yield _listed(node.args))})"


def _listed(nodes: tuple[Node, ...]) -> Task:
    texts = []
    for node in nodes:
        texts.append((yield _text(node)))
    return ", ".join(texts)


def _arg(node: Arg) -> Task:
    value = yield _text(node.value)
    return value if node.name is None else f"{quote_name(node.name)} = {value}"


def _group(node: Group) -> Task:
    return f"({(yield _text(node.inner))})"


def _items(node: Items) -> Task:
    return f"c({(yield _listed(node.items))})"


_LEAVES: dict[type[Node], Callable[[Any], str]] = {Literal: _literal, Name: _name}
_WRITERS: dict[type[Node], Callable[[Any], Task]] = {
    Unary: _unary,
    Binary: _binary,
    Call: _call,
    Arg: _arg,
    Group: _group,
    Items: _items,
}


def _text(node: Node) -> Task:
    leaf = _LEAVES.get(type(node))
    return leaf(node) if leaf is not None else (yield _WRITERS[type(node)](node))


def _is_not(node: Node) -> bool:
    return isinstance(node, Unary) and node.op == "!"


def _ends_in_not(node: Node) -> bool:
    while isinstance(node, Binary):
        node = node.right
        if _is_not(node):
            return True
    return False


def _level(node: Node) -> int:
    if isinstance(node, Binary):
        return PRECEDENCE[node.op]
    if isinstance(node, Unary):
        return PRECEDENCE["!" if node.op == "!" else "unary"]
    return _ATOM


def _wrapped(node: Node, level: int) -> Task:
    """Write an operand, in parentheses if it binds less tightly than `level`."""
    text = yield _text(node)
    return f"({text})" if _level(node) < level else text


def deparse(node: Node) -> str:
    """Return R's text for `node`.

    Examples
    --------
    >>> from nestedmlm.formula.nodes import Binary, Literal, Name
    >>> deparse(Binary("^", Name("x"), Literal(2)))
    'x^2'
    """
    return str(run(_text(node)))
