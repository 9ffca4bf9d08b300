"""The functions a formula knows that learn nothing: R's, and NumPy's under the same names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm.design.frame.call_arguments import Context, match_arguments
from nestedmlm.design.frame.contrast_calls import contrast_asked, level_contrast
from nestedmlm.design.frame.operators import as_numbers, elementwise, recycled, rounded, sequence
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    as_factor,
    drop_unused,
    factor_of_objects,
    factor_with_labels,
    flat_list,
    level_label,
    logical,
    missing_rows,
    object_array,
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


def _only(context: Context, node: Call) -> Any:
    return context.value(match_arguments(context, node, "x")["x"])


def _used_factor(context: Context, argument: Any, node: Call) -> Factor:
    """Evaluate an argument to a factor without the levels that no row has."""
    return drop_unused(as_factor(context.value(argument), name=deparse(node)))


def _as_numeric(context: Context, node: Call) -> Any:
    value = _only(context, node)
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
    value = _only(context, node)
    if not isinstance(value, np.ndarray | Factor | Matrix | Integers):
        value = as_numbers(value, deparse(node))
        missing = np.isnan(value)
        return bool(missing) if np.ndim(missing) == 0 else logical(missing)
    if isinstance(value, Matrix):
        raise DataError(f"{deparse(node)}: this needs one column, but there is a matrix")
    missing = missing_rows(value)
    return logical(np.zeros(vector_length(value), bool) if missing is None else missing)


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
    sides = [v if isinstance(v, Factor) else _constant(v, test.size, text) for v in (yes, no)]
    if any(side.codes.size != test.size for side in sides):
        raise DataError(f"{text}: test, yes and no have different lengths")
    merged = list(dict.fromkeys(label for side in sides for label in side.labels))
    tables = [np.array([merged.index(x) for x in s.labels] + [-1]) for s in sides]
    codes = np.where(test != 0, tables[0][sides[0].codes], tables[1][sides[1].codes])
    codes[np.isnan(test)] = -1
    return factor_of_objects(codes, merged, "string")


def _constant(value: Any, size: int, text: str) -> Factor:
    if isinstance(value, np.ndarray | Matrix | list):
        raise DataError(f"{text}: yes and no are text and numbers")
    if value != value:  # NA
        return Factor(codes=np.full(size, -1, np.int32), levels=object_array([]), kind="string")
    levels = object_array([level_label(value)])
    return Factor(codes=np.zeros(size, np.int32), levels=levels, kind="string")


def with_levels(factor: Factor, wanted: Any, name: str) -> Factor:
    """Put levels into the order asked for; values that are no level become missing.

    Raises
    ------
    DataError
        If no level asked for occurs, or one is asked for twice.
    """
    if isinstance(wanted, Factor):
        wanted = wanted.levels
    elif isinstance(wanted, str | int | float):
        wanted = [wanted]
    if np.ndim(wanted) != 1:
        raise DataError(f'{name}: levels are a list, such as c("a", "b")')
    wanted = list(wanted)
    position = {label: j for j, label in enumerate(map(level_label, wanted))}
    if len(position) < len(wanted):
        raise DataError(f"{name}: a level is asked for twice")
    table = np.array([position.get(label, -1) for label in factor.labels] + [-1], np.int32)
    if factor.levels.size and table.max() < 0:
        raise DataError(f"{name}: none of the levels asked for occurs")
    original = dict(zip(factor.labels, factor.levels, strict=True))
    levels = [original.get(level_label(level), level) for level in wanted]
    return replace(factor, codes=table[factor.codes], levels=object_array(levels), kind="category")


def _factor(parameters: str, ordered: bool | None) -> Handler:
    def run(context: Context, node: Call) -> Factor:
        text = deparse(node)
        matched = match_arguments(context, node, parameters)
        factor = _used_factor(context, matched["x"], node)
        if "levels" in matched:
            factor = with_levels(factor, context.value(matched["levels"]), text)
        if "labels" in matched:
            factor = factor_with_labels(factor, context.value(matched["labels"]), text)
        wanted = context.value(matched["ordered"]) if "ordered" in matched else ordered
        if not isinstance(wanted, bool | None):
            raise DataError(f"{text}: ordered is TRUE or FALSE")
        return replace(factor, ordered=factor.ordered if wanted is None else wanted,
                       kind=factor.kind if factor.kind == "logical" else "category")  # fmt: skip

    return run


def _c(context: Context, node: Call) -> Factor:
    parameters = "x contr levels contrast base scores reference"
    matched = match_arguments(context, node, parameters)
    if sum(name in matched for name in ("contr", "contrast", "reference")) > 1 or (
        len([arg for arg in node.args if arg.name is None]) > 2
    ):
        context.refuse("C() takes a column, contrasts and levels=", node, node.func.name)
    factor = _used_factor(context, matched["x"], node)
    if "levels" in matched:
        factor = with_levels(factor, context.value(matched["levels"]), deparse(node))
    wanted = matched.get("contr", matched.get("contrast"))
    if wanted is not None:
        extra = {name: node for name, node in matched.items() if name in ("base", "scores")}
        return replace(factor, contrast=contrast_asked(context, node, wanted, extra, factor))
    if "reference" in matched:
        level = context.value(matched["reference"])
        return replace(factor, contrast=level_contrast("treatment", level, factor, deparse(node)))
    return factor


def _named_contrast(name: str, parameters: str) -> Handler:
    """Make ``T(a, ref)`` and ``S(a, omit)``."""

    def run(context: Context, node: Call) -> Factor:
        matched = match_arguments(context, node, parameters)
        factor = _used_factor(context, matched["x"], node)
        level = matched.get(parameters.split()[1])
        value = None if level is None else context.value(level)
        contrast = level_contrast(name, value, factor, deparse(node))
        return replace(factor, contrast=contrast, ordered=False)

    return run


def _relevel(context: Context, node: Call) -> Factor:
    text = deparse(node)
    matched = match_arguments(context, node, "x ref", 2)
    factor = _used_factor(context, matched["x"], node)
    wanted = context.value(matched["ref"])
    reference = level_label(wanted)
    if reference not in factor.labels and wanted in range(1, len(factor.labels) + 1):
        reference = factor.labels[int(wanted) - 1]  # its number, as R has it
    if reference not in factor.labels:
        raise DataError(f"{text}: {reference} is no level; levels: {', '.join(factor.labels)}")
    first = factor.labels.index(reference)
    order = [first, *(j for j in range(len(factor.labels)) if j != first)]
    return with_levels(factor, [factor.levels[j] for j in order], text)


def _interaction(context: Context, node: Call) -> Factor:
    """Combine factors; the first varies fastest, labels joined by a dot, as R's."""
    named = {arg.name: context.value(arg.value) for arg in node.args if arg.name is not None}
    joint = named.pop("sep", ".")
    named.pop("drop", None)  # levels that no row has go anyway, as a model frame drops them
    given = [arg.value for arg in node.args if arg.name is None]
    if named or not given or not isinstance(joint, str):
        context.refuse("interaction() takes columns, sep and drop", node, node.func.name)
    text = deparse(node)
    values = [as_factor(context.value(value), name=text) for value in given]
    codes, labels = values[0].codes.astype(np.int64), list(values[0].labels)
    for factor in values[1:]:
        if factor.codes.size != codes.size:
            raise DataError(f"{text}: these have different lengths")
        missing = (codes < 0) | (factor.codes < 0)
        codes = factor.codes.astype(np.int64) * len(labels) + codes
        labels = [f"{a}{joint}{b}" for b in factor.labels for a in labels]
        codes[missing] = -1
    return drop_unused(Factor(codes=codes, levels=object_array(labels), kind="category"))


def _as_character(context: Context, node: Call) -> Factor:
    factor = _used_factor(context, match_arguments(context, node, "x")["x"], node)
    return factor_of_objects(factor.codes, list(factor.labels), "string")


def _paste(separator: str) -> Handler:
    """Make ``paste`` and ``paste0``: one label per row."""

    def run(context: Context, node: Call) -> Factor:
        text = deparse(node)
        given = [arg.value for arg in node.args if arg.name is None]
        named = {arg.name: context.value(arg.value) for arg in node.args if arg.name is not None}
        joint = named.pop("sep", separator)
        if named or not given or not isinstance(joint, str):
            context.refuse(f"{node.func.name}() takes columns and sep", node, node.func.name)
        values = [context.value(value) for value in given]
        columns = [v for v in values if isinstance(v, np.ndarray | Factor | Integers | Matrix)]
        if not columns:
            raise DataError(f"{text}: this needs a column")
        size = vector_length(columns[0])
        factors = [as_factor(v, name=text) if any(v is c for c in columns)
                   else _constant(v, size, text) for v in values]  # fmt: skip
        if any(factor.codes.size != size for factor in factors):
            raise DataError(f"{text}: these have different lengths")
        # a missing value is the text "NA", as in R
        labels = [np.array([*factor.labels, "NA"], object)[factor.codes] for factor in factors]
        rows = [joint.join(row) for row in zip(*labels, strict=True)]
        unique = {label: code for code, label in enumerate(dict.fromkeys(rows))}
        return factor_of_objects(np.array([unique[row] for row in rows]), list(unique), "string")

    return run


def _nchar(context: Context, node: Call) -> Any:
    factor = as_factor(_only(context, node), name=deparse(node))
    return np.array([*map(len, factor.labels), np.nan], dtype=float)[factor.codes]


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
    "I": _only,
    "as.numeric": _as_numeric,
    "as.integer": _as_integer,
    "is.na": _is_na,
    "ifelse": _ifelse,
    "factor": _factor("x levels labels ordered", None),
    "as.factor": _factor("x", None),
    "ordered": _factor("x levels labels", True),
    "as.ordered": _factor("x", True),
    "as.character": _as_character,
    "droplevels": lambda context, node: _used_factor(
        context, match_arguments(context, node, "x")["x"], node
    ),
    "paste": _paste(" "),
    "paste0": _paste(""),
    "nchar": _nchar,
    "C": _c,
    "T": _named_contrast("treatment", "x ref"),
    "S": _named_contrast("sum", "x omit"),
    "relevel": _relevel,
    "interaction": _interaction,
    "c": _list,
    "seq": _seq,
    "cbind": _cbind,
}
