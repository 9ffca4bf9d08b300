"""Hypotheses such as ``ses > 0``, evaluated for every draw.

An expression is read with Python's grammar, but only what `_EVALUATE` lists is understood:
names of parameters, numbers, arithmetic, a few functions, comparisons, ``and`` and ``or``. Names
that are no identifiers stand in backticks; ``[label]`` picks a level or a pair of columns.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.bayes.model.names import PAIR_DIM
from nestedmlm.errors import FormulaError

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "abs": np.abs, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
}  # fmt: skip
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le,
}  # fmt: skip
_OPERATORS = "only + - * / ** are understood; names such as `1|school` stand in backticks"
_PLACEHOLDER = "_quoted_"
_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")  # R's reader writes one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HypothesisDraws:
    """A hypothesis evaluated for every draw.

    Attributes
    ----------
    holds : (chains, draws) array of bool
        Whether it is true in each draw.
    difference : (chains, draws) array or None
        Larger minus smaller side where the hypothesis is one comparison.
    point : bool
        Whether it is an equality, which holds in no draw.
    """

    holds: BoolArray
    difference: FloatArray | None
    point: bool = False


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    quoted: tuple[str, ...]
    posterior: Any

    def error(self, message: str, node: ast.AST | None = None) -> FormulaError:
        at = getattr(node, "col_offset", None) if not self.quoted else None
        return FormulaError(message, self.text, at)


def evaluate(text: str, posterior: Any) -> HypothesisDraws:
    """Evaluate a hypothesis for every draw.

    Parameters
    ----------
    text : str
        For example ``"ses > 0"``, ``"ses = 0"``, ``"`1|schoolid_sigma` > `1|classid_sigma`"``,
        ``"0 < ses < 15"``, ``"`1|schoolid`[12] > 0"``.
    posterior : Dataset or DataTree node
        With dims chain and draw.

    Raises
    ------
    FormulaError
        If the text cannot be understood, or names something that is no parameter.
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(f"a hypothesis is a text such as 'ses > 0', got {text!r}")
    text = _EQUALS.sub("==", text)
    code, quoted = _place_names(text, [str(name) for name in posterior.data_vars])
    reader = _Reader(text.strip(), quoted, posterior)
    try:
        tree = ast.parse(code.strip(), mode="eval").body
    except SyntaxError as problem:
        at = None if quoted or problem.offset is None else problem.offset - 1
        message = (
            "this hypothesis cannot be read; write a comparison such as 'ses > 0', and names that "
            "are no identifiers in backticks: `1|schoolid_sigma`"
        )
        raise FormulaError(message, reader.text, at) from None
    except (RecursionError, MemoryError):
        raise FormulaError("this hypothesis is nested too deeply", reader.text) from None
    with np.errstate(all="ignore"):  # what is not finite is refused
        return _point(tree, reader) or _compare(tree, reader)


def _point(node: ast.expr, reader: _Reader) -> HypothesisDraws | None:
    """An equality of two sides, if that is all."""
    if not (isinstance(node, ast.Compare) and [type(op) for op in node.ops] == [ast.Eq]):
        return None
    difference = np.asarray(_side(node.left, reader) - _side(node.comparators[0], reader))
    if difference.ndim != 2:
        raise reader.error("a comparison needs a parameter on at least one side", node)
    holds = np.zeros(difference.shape, dtype=bool)
    return HypothesisDraws(holds=holds, difference=difference, point=True)


def _place_names(text: str, names: list[str]) -> tuple[str, tuple[str, ...]]:
    """Put placeholders where names in backticks stand; names may hold backticks themselves.

    Raises
    ------
    FormulaError
        If a backtick is not closed.
    """
    quoted: list[str] = []

    def place(name: str) -> str:
        quoted.append(name)
        return f"{_PLACEHOLDER}{len(quoted) - 1}"

    code = text
    for name in sorted((n for n in names if "`" in n), key=len, reverse=True):
        for written in (f"`{name}`", name):
            if written in code:
                code = code.replace(written, place(name))
    if code.count("`") % 2:
        raise FormulaError("a backtick is not closed", text, text.rindex("`"))
    return re.sub(r"`([^`]*)`", lambda match: place(match[1]), code), tuple(quoted)


def _compare(node: ast.expr, reader: _Reader) -> HypothesisDraws:
    if isinstance(node, ast.BoolOp):
        parts = [_compare(value, reader).holds for value in node.values]
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return HypothesisDraws(holds=combine.reduce(parts), difference=None)
    if not isinstance(node, ast.Compare):
        raise reader.error("a hypothesis compares two sides, for example 'ses > 0'", node)
    sides = [_side(side, reader) for side in (node.left, *node.comparators)]
    differences, holds = [], []
    for sign, left, right in zip(node.ops, sides[:-1], sides[1:], strict=True):
        compare = _COMPARE.get(type(sign))
        if compare is None:
            raise reader.error(
                "a hypothesis is one of >, >=, <, <=, or a single equality ('ses = 0'), which "
                "stands by itself",
                node,
            )
        swap = isinstance(sign, ast.Lt | ast.LtE)
        differences.append(np.asarray(right - left if swap else left - right))
        holds.append(np.asarray(compare(left, right)))
    if any(found.ndim != 2 for found in holds):
        raise reader.error("a comparison needs a parameter on at least one side", node)
    single = differences[0] if len(differences) == 1 else None
    return HypothesisDraws(holds=np.logical_and.reduce(holds), difference=single)


def _side(node: ast.expr, reader: _Reader) -> Any:
    """The value of a side, which is a number in every draw."""
    try:
        value = _value(node, reader)
    except RecursionError:
        raise FormulaError("this hypothesis is nested too deeply", reader.text) from None
    if not np.isfinite(value).all():
        raise reader.error(f"{ast.unparse(node)!r} is not a finite number in every draw", node)
    return value


def _value(node: ast.expr, reader: _Reader) -> Any:
    handler = _EVALUATE.get(type(node))
    if handler is None:
        raise reader.error(f"{ast.unparse(node)!r} has no meaning in a hypothesis", node)
    return handler(node, reader)


def _constant(node: Any, reader: _Reader) -> np.float64:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise reader.error(f"{node.value!r} is no number", node)
    try:
        return np.float64(node.value)
    except OverflowError:
        return np.float64(np.inf)


def _binary(node: Any, reader: _Reader) -> Any:
    apply = _ARITHMETIC.get(type(node.op))
    if apply is None:
        raise reader.error(_OPERATORS, node)
    return apply(_value(node.left, reader), _value(node.right, reader))


def _unary(node: Any, reader: _Reader) -> Any:
    if not isinstance(node.op, ast.USub | ast.UAdd):
        raise reader.error(_OPERATORS, node)
    value = _value(node.operand, reader)
    return -value if isinstance(node.op, ast.USub) else value


def _call(node: Any, reader: _Reader) -> Any:
    name = ast.unparse(node.func)
    if name not in _FUNCTIONS or len(node.args) != 1 or node.keywords:
        known = ", ".join(_FUNCTIONS)
        raise reader.error(f"{name}() is no function of one argument known here: {known}", node)
    return _FUNCTIONS[name](_value(node.args[0], reader))


def _variable(node: ast.expr, reader: _Reader) -> Any:
    """Look up a parameter; a dotted name is one name, as in R."""
    name = ast.unparse(node)
    number = name.removeprefix(_PLACEHOLDER)
    if number != name and number.isdecimal() and int(number) < len(reader.quoted):
        name = reader.quoted[int(number)]
    # R writes a name with blanks in backticks, which are no part of what the user calls it
    same = [v for v in reader.posterior.data_vars if str(v).replace("`", "") == name]
    if name not in reader.posterior.data_vars and len(same) == 1:
        name = str(same[0])
    if name not in reader.posterior.data_vars:
        known = ", ".join(map(str, reader.posterior.data_vars))
        raise reader.error(f"no parameter {name!r}; the posterior has: {known}", node)
    return reader.posterior[name].transpose("chain", "draw", ...)


def _scalar(node: ast.expr, reader: _Reader) -> FloatArray:
    found = _variable(node, reader)
    if found.ndim > 2:
        dims = ", ".join(map(str, found.dims[2:]))
        raise reader.error(
            f"{found.name} has dimensions {dims}; pick one, as in `name`[label]", node
        )
    values: FloatArray = np.asarray(found.values)
    return values


def _subscript(node: Any, reader: _Reader) -> FloatArray:
    found = _variable(node.value, reader)
    try:
        label = ast.literal_eval(node.slice)
    except ValueError:
        raise reader.error("a label is a number or a text in quotes", node.slice) from None
    labels = label if isinstance(label, tuple) else (label,)
    dims = found.dims[2:]
    if len(labels) == 2 and len(dims) == 1 and str(dims[0]).endswith(PAIR_DIM):
        labels = (_pair(found[dims[0]].values, *labels),)
    if len(labels) != len(dims):
        raise reader.error(f"{found.name} needs {len(dims)} labels, got {len(labels)}", node)
    for dim, one in zip(dims, labels, strict=True):
        places = np.flatnonzero(found[dim].values.astype(str) == str(one))
        if not places.size:
            raise reader.error(f"{found.name} has no {dim} {one!r}", node)
        found = found.isel({dim: int(places[0])})
    values: FloatArray = np.asarray(found.values)
    return values


def _pair(pairs: Any, one: Any, other: Any) -> str:
    """The label of a correlation of two columns, in whichever order they are named."""
    turned = f"{other}, {one}"
    return turned if turned in pairs else f"{one}, {other}"


_EVALUATE: Mapping[type, Callable[[Any, _Reader], Any]] = {
    ast.Constant: _constant,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Call: _call,
    ast.Name: _scalar,
    ast.Attribute: _scalar,
    ast.Subscript: _subscript,
}
