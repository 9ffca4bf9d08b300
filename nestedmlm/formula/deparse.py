"""Nodes back to text, spaced and spelled as R's `deparse` does it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary

PRECEDENCE = {
    "~": 1, "|": 2, "||": 2, "&": 3, "!": 4,
    "==": 5, "!=": 5, "<": 5, "<=": 5, ">": 5, ">=": 5,
    "+": 6, "-": 6, "*": 7, "/": 7, "%in%": 8, "%%": 8, "%/%": 8, ":": 9, "unary": 10, "^": 11,
}  # fmt: skip
_TIGHT = {":", "^", "/", "%%", "%/%"}  # operators R prints without spaces
_ATOM = 99  # binds tighter than every operator
_SYNTACTIC = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*\Z")
_RESERVED = {"TRUE", "FALSE", "NULL", "NA", "NaN", "Inf", "if", "else", "for", "in", "function"}
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
    return f"`{name}`"


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
    if "::" in node.name or node.name == ".":
        return node.name
    return quote_name(node.name)


def _unary(node: Unary) -> str:
    level = PRECEDENCE["!" if node.op == "!" else "unary"]
    return node.op + _wrapped(node.operand, level)


def _binary(node: Binary) -> str:
    level = PRECEDENCE[node.op]
    right_assoc = node.op == "^"
    left = _wrapped(node.left, level + right_assoc)
    # a sign after ^ needs no parentheses: 2^-1
    right = _wrapped(node.right, PRECEDENCE["unary"] if right_assoc else level + 1)
    return left + (node.op if node.op in _TIGHT else f" {node.op} ") + right


def _call(node: Call) -> str:
    # np.log(x) and log(x) are one variable, named as R names it
    match = _NUMPY.match(node.func.name)
    func = match[1] if match and match[1] in NUMPY_FUNCTIONS else node.func.name
    return f"{func}({', '.join(deparse(arg) for arg in node.args)})"


def _arg(node: Arg) -> str:
    value = deparse(node.value)
    return value if node.name is None else f"{quote_name(node.name)} = {value}"


_WRITERS: dict[type[Node], Callable[[Any], str]] = {
    Literal: _literal,
    Name: _name,
    Unary: _unary,
    Binary: _binary,
    Call: _call,
    Arg: _arg,
    Group: lambda node: f"({deparse(node.inner)})",
    Items: lambda node: f"c({', '.join(deparse(item) for item in node.items)})",
}


def _level(node: Node) -> int:
    if isinstance(node, Binary):
        return PRECEDENCE[node.op]
    if isinstance(node, Unary):
        return PRECEDENCE["!" if node.op == "!" else "unary"]
    return _ATOM


def _wrapped(node: Node, level: int) -> str:
    """Write an operand, in parentheses if it binds less tightly than `level`."""
    text = deparse(node)
    return f"({text})" if _level(node) < level else text


def deparse(node: Node) -> str:
    """Return R's text for `node`.

    Examples
    --------
    >>> from nestedmlm.formula.nodes import Binary, Literal, Name
    >>> deparse(Binary("^", Name("x"), Literal(2)))
    'x^2'
    """
    return _WRITERS[type(node)](node)
