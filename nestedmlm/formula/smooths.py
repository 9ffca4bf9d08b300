"""Smooth terms of a formula: ``s(x, k = 10, bs = "tp", by = f)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestedmlm.errors import FormulaError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Binary, Call, Group, Literal, Name, Node, joined, strip_groups
from nestedmlm.formula.terms import Terms, Variable, expand_terms

SMOOTH = "s"
BASES = ("tp", "cr", "ps")
_DEFAULT_K = 10  # functions of a smooth, as in mgcv for one variable


@dataclass(frozen=True, slots=True)
class Smooth:
    """One smooth term.

    Attributes
    ----------
    node : Call
        As it was written.
    x : Variable
        What it is a smooth function of.
    by : Variable or None
        A factor with a curve for each level, or numbers that multiply the curve.
    k : int
        Number of functions, of which two are a constant and x itself.
    bs : str
        ``"tp"``, ``"cr"`` or ``"ps"``.
    """

    node: Call
    x: Variable
    by: Variable | None
    k: int
    bs: str

    @property
    def name(self) -> str:
        """R's text of the call: the name of its columns."""
        return deparse(self.node)

    @property
    def label(self) -> str:
        """Label as mgcv's: ``s(x)``, ``s(x):z``."""
        own = f"{SMOOTH}({self.x.name})"
        return own if self.by is None else f"{own}:{self.by.name}"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The columns that it needs."""
        return (self.x,) if self.by is None else (self.x, self.by)

    @property
    def null_space(self) -> Node:
        """What is not penalised, for the fixed part: ``x``, or ``by + by:x``."""
        if self.by is None:
            return self.x.node
        return Group(joined("+", [self.by.node, Binary(":", self.by.node, self.x.node)]))

    @property
    def terms(self) -> Terms:
        """Columns of what is penalised, before they are cut at the levels of a factor `by`."""
        own: Node = self.node if self.by is None else Binary(":", self.node, self.by.node)
        return expand_terms(Binary("+", Literal(0), own))


def is_smooth(node: Node) -> bool:
    """Tell whether `node` is a call of ``s``."""
    return isinstance(node, Call) and node.func.name == SMOOTH


def read_smooth(node: Node) -> Smooth | None:
    """Read a smooth term.

    Parameters
    ----------
    node : Node

    Returns
    -------
    Smooth or None
        None if it is something else.

    Raises
    ------
    FormulaError
        For arguments that a smooth does not have.

    Examples
    --------
    >>> from nestedmlm.formula.parser import parse_text
    >>> smooth = read_smooth(parse_text("s(age, k=20, by=sex)"))
    >>> smooth.label, smooth.k, smooth.bs, deparse(smooth.null_space)
    ('s(age):sex', 20, 'tp', '(sex + sex:age)')
    """
    node = strip_groups(node)
    if not isinstance(node, Call) or not is_smooth(node):
        return None
    plain = [arg.value for arg in node.args if arg.name is None]
    if len(plain) != 1:
        raise FormulaError(
            "a smooth is of one variable, its options have names: s(x, k=20, bs='cr', by=f)",
            None,
            node.pos,
        )
    named = {str(arg.name): arg.value for arg in node.args if arg.name is not None}
    for name, value in named.items():
        if name not in _READERS:
            raise FormulaError(
                f"s() has no option {name}; there are {', '.join(_READERS)}", None, value.pos
            )
    found: dict[str, Any] = {name: _READERS[name](value) for name, value in named.items()}
    return Smooth(
        node=node,
        x=_variable(plain[0]),
        by=found.get("by"),
        k=found.get("k", _DEFAULT_K),
        bs=found.get("bs", BASES[0]),
    )


def _variable(node: Node) -> Variable:
    node = strip_groups(node)
    if isinstance(node, Literal) or (isinstance(node, Name) and node.name == "."):
        raise FormulaError(f"s() needs columns, and {deparse(node)} is none", None, node.pos)
    return Variable(deparse(node), node)


def _whole_number(node: Node) -> int:
    value = node.value if isinstance(node, Literal) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise FormulaError("k= of s() is a whole number: s(x, k=20)", None, node.pos)
    return int(value)


def _basis(node: Node) -> str:
    value = node.value if isinstance(node, Literal) else None
    if value not in BASES:
        known = ", ".join(f'"{name}"' for name in BASES)
        raise FormulaError(
            f"bs={deparse(node)} is no basis of s(); there are {known}", None, node.pos
        )
    return str(value)


_READERS: Mapping[str, Any] = {"k": _whole_number, "bs": _basis, "by": _variable}
