"""The functions a formula knows that learn nothing: R's, and NumPy's under the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nestedmlm.design.frame.call_arguments import Context, match_arguments, only_argument
from nestedmlm.design.frame.factor_functions import FACTOR_FUNCTIONS, constant
from nestedmlm.design.frame.operators import (
    as_numbers,
    elementwise,
    recycled,
    rounded,
    sequence,
    significant,
)
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    factor_of_objects,
    flat_list,
    logical,
    missing_rows,
    vector_length,
)
from nestedmlm.errors import DataError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call

Handler = Callable[[Context, Call], Any]


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


# name: function, its parameters, how many of them it needs
_ELEMENTWISE: dict[str, tuple[Callable[..., Any], str, int]] = {
    "log": (_log, "x base", 1),
    "round": (rounded, "x digits", 1),
    "signif": (significant, "x digits", 1),
    **{name: (function, "x y", 2) for name, function in {
        "minimum": np.minimum, "maximum": np.maximum, "power": np.power,
    }.items()},
    **{name: (function, "x", 1) for name, function in {
        "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "expm1": np.expm1,
        "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign, "sin": np.sin, "cos": np.cos,
        "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
        "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh,
        "cosh": np.cosh, "tanh": np.tanh, "square": np.square, "cbrt": np.cbrt,
        "floor": np.floor, "ceiling": np.ceil, "ceil": np.ceil, "trunc": np.trunc,
    }.items()},
}  # fmt: skip


def _elementwise(function: Callable[..., Any], parameters: str, required: int) -> Handler:
    def run(context: Context, node: Call) -> Any:
        matched = match_arguments(context, node, parameters, required)
        values = [context.value(matched[p]) for p in parameters.split() if p in matched]
        try:
            return elementwise(function, values, deparse(node))
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            context.refuse(f"{deparse(node)}: {error}", node, node.func.name)

    return run


def _extreme(function: Callable[..., Any]) -> Handler:
    """Make ``pmin`` and ``pmax`` of any number of vectors."""

    def run(context: Context, node: Call) -> Any:
        if not node.args or any(arg.name for arg in node.args):
            context.refuse(f"{node.func.name}() takes vectors", node, node.func.name)
        values = [context.value(arg.value) for arg in node.args]
        return elementwise(lambda *all: _reduced(function, all), values, deparse(node))

    return run


def _reduced(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


def _as_numeric(context: Context, node: Call) -> Any:
    value = only_argument(context, node)
    if isinstance(value, Factor) and value.kind in ("category", "string"):
        places = np.arange(1.0, len(value.labels) + 1)  # as R does for a factor
        if value.kind == "string":
            places = _numbers_of_text(value.labels, deparse(node))
        return np.append(places, np.nan)[value.codes]
    return as_numbers(value, deparse(node))


def _numbers_of_text(labels: tuple[str, ...], text: str) -> Any:
    try:
        return np.array([float(label) for label in labels])
    except ValueError as error:
        raise DataError(
            f"{text}: {error}; factor() makes categories of text, and as.numeric(factor()) their "
            "numbers"
        ) from None


def _as_integer(context: Context, node: Call) -> Any:
    return elementwise(np.trunc, [_as_numeric(context, node)], deparse(node))


def _is_na(context: Context, node: Call) -> Any:
    value = only_argument(context, node)
    if not isinstance(value, np.ndarray | Factor | Matrix | Integers):
        value = as_numbers(value, deparse(node))
        missing = np.isnan(value)
        return bool(missing) if np.ndim(missing) == 0 else logical(missing)
    if isinstance(value, Matrix):
        raise DataError(f"{deparse(node)}: this needs one column, but there is a matrix")
    missing = missing_rows(value)
    return logical(np.zeros(vector_length(value), bool) if missing is None else missing)


def _xor(context: Context, node: Call) -> Any:
    text = deparse(node)
    matched = match_arguments(context, node, "x y", 2)
    sides = [as_numbers(context.value(matched[name]), text) for name in ("x", "y")]
    if any(isinstance(side, Matrix) for side in sides):
        raise DataError(f"{text}: a matrix is neither true nor false")
    a, b = recycled([np.atleast_1d(side) for side in sides], text)
    return logical((a != 0) != (b != 0), np.isnan(a) | np.isnan(b))


def _ifelse(context: Context, node: Call) -> Any:
    matched = match_arguments(context, node, "test yes no", 3)
    text = deparse(node)
    test, yes, no = (context.value(matched[name]) for name in ("test", "yes", "no"))
    test = as_numbers(test, text)
    if isinstance(test, Matrix):
        raise DataError(f"{text}: the test is a matrix")
    if any(isinstance(value, str | Factor) for value in (yes, no)):
        return _ifelse_factor(np.atleast_1d(test), yes, no, text)
    values = [test, as_numbers(yes, text), as_numbers(no, text)]
    if any(isinstance(value, Matrix) for value in values):
        raise DataError(f"{text}: a matrix cannot be chosen from")
    test, yes, no = recycled(values, text)
    return np.where(np.isnan(test), np.nan, np.where(test != 0, yes, no))


def _ifelse_factor(test: Any, yes: Any, no: Any, text: str) -> Factor:
    sides = [v if isinstance(v, Factor) else constant(v, test.size, text) for v in (yes, no)]
    if any(side.codes.size != test.size for side in sides):
        raise DataError(f"{text}: test, yes and no have different lengths")
    merged = list(dict.fromkeys(label for side in sides for label in side.labels))
    tables = [np.array([merged.index(x) for x in s.labels] + [-1]) for s in sides]
    codes = np.where(test != 0, tables[0][sides[0].codes], tables[1][sides[1].codes])
    codes[np.isnan(test)] = -1
    return factor_of_objects(codes, merged, "string")


def _list(context: Context, node: Call) -> list[Any]:
    return flat_list([context.value(arg.value) for arg in node.args], deparse(node))


def _seq(context: Context, node: Call) -> list[float]:
    text = deparse(node)
    matched = match_arguments(context, node, "from to by length.out", 2)
    first, last, by, count = (
        None if name not in matched else as_numbers(context.value(matched[name]), text)
        for name in ("from", "to", "by", "length.out")
    )
    if count is None:
        return sequence(first, last, 1.0 if by is None else by, text)
    if by is not None or not isinstance(count, float) or count < 2 or count % 1:
        context.refuse("seq() takes by, or length.out of 2 or more", node, node.func.name)
    whole = elementwise(np.subtract, [last, first], text)
    return sequence(first, last, elementwise(np.divide, [whole, count - 1], text), text)


def _cbind(context: Context, node: Call) -> Matrix:
    text = deparse(node)
    if not node.args:
        context.refuse("cbind() needs columns", node, node.func.name)
    columns = [as_numbers(context.value(arg.value), text) for arg in node.args]
    if any(isinstance(column, Matrix) for column in columns):
        raise DataError(f"{text}: a column is needed, but there is a matrix")
    names = tuple(arg.name or deparse(arg.value) for arg in node.args)
    columns = recycled([np.atleast_1d(column) for column in columns], text)
    return Matrix(np.column_stack(columns), names)


def _smooth(context: Context, node: Call) -> Any:
    """The penalised functions of a smooth, at new values."""
    basis = context.states.get(deparse(node))
    if basis is None:
        context.refuse(
            "s() is a term of its own: y ~ s(x) + ..., or (s(x) | g)", node, node.func.name
        )
    x = as_numbers(context.value(node.args[0].value), deparse(node))
    return Matrix(basis(x))


FUNCTIONS: dict[str, Handler] = {
    "s": _smooth,
    **{name: _elementwise(*row) for name, row in _ELEMENTWISE.items()},
    "pmin": _extreme(np.minimum),
    "pmax": _extreme(np.maximum),
    "I": only_argument,
    "as.numeric": _as_numeric,
    "as.integer": _as_integer,
    "is.na": _is_na,
    "ifelse": _ifelse,
    "xor": _xor,
    **FACTOR_FUNCTIONS,
    "c": _list,
    "seq": _seq,
    "cbind": _cbind,
}
