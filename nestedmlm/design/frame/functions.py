"""The functions a formula knows that learn nothing: R's, and NumPy's under the same names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn, Protocol

import numpy as np

from nestedmlm.design.frame.operators import as_numbers, elementwise
from nestedmlm.design.frame.values import (
    Factor,
    Matrix,
    as_factor,
    drop_unused,
    factor_of_objects,
    level_label,
    logical,
    missing_rows,
    object_array,
)
from nestedmlm.design.matrices.contrast_coding import Contrast, contrast_kind
from nestedmlm.errors import DataError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call, Literal, Name, Node


class Context(Protocol):
    """The evaluator as functions of a formula see it."""

    def refuse(self, message: str, node: Node, name: str) -> NoReturn:
        """Raise a `FormulaError` that marks `name` in the formula."""

    def value(self, node: Node) -> Any:
        """Evaluate a node."""

    def arguments(self, node: Call) -> tuple[list[Any], dict[str, Any]]:
        """Evaluate the arguments of a call."""


Handler = Callable[[Context, Call], Any]


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _round(x: Any, digits: Any = 0) -> Any:
    return np.round(x, int(digits))


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "log": _log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "exp": np.exp, "expm1": np.expm1, "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "square": np.square, "cbrt": np.cbrt,
    "floor": np.floor, "ceiling": np.ceil, "ceil": np.ceil, "trunc": np.trunc, "round": _round,
    "pmin": np.minimum, "pmax": np.maximum, "minimum": np.minimum, "maximum": np.maximum,
    "power": np.power, "as.integer": np.trunc,
}  # fmt: skip


def _elementwise(function: Callable[..., Any]) -> Handler:
    def run(context: Context, node: Call) -> Any:
        positional, named = context.arguments(node)
        values = positional + list(named.values())
        if not values:
            context.refuse(f"{node.func.name}() needs an argument", node, node.func.name)
        try:
            return elementwise(function, values, deparse(node))
        except (TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            context.refuse(f"{deparse(node)}: {error}", node, node.func.name)

    return run


def _only(context: Context, node: Call) -> Any:
    if not node.args:
        context.refuse(f"{node.func.name}() needs an argument", node, node.func.name)
    return context.value(node.args[0].value)


def _as_numeric(context: Context, node: Call) -> Any:
    value = _only(context, node)
    if isinstance(value, Factor) and value.kind in ("category", "string"):
        numbers = value.codes + 1.0  # as R does for a factor
        numbers[value.codes < 0] = np.nan
        return numbers
    return as_numbers(value, deparse(node))


def _is_na(context: Context, node: Call) -> Factor:
    value = _only(context, node)
    missing = missing_rows(value)
    size = len(value.codes) if isinstance(value, Factor) else len(value)
    return logical(np.zeros(size, bool) if missing is None else missing)


def _ifelse(context: Context, node: Call) -> Any:
    positional, named = context.arguments(node)
    values = positional + [named[key] for key in ("yes", "no") if key in named]
    if len(values) != 3:
        context.refuse("ifelse() takes test, yes and no", node, node.func.name)
    test = np.asarray(as_numbers(values[0], deparse(node)))
    if any(isinstance(value, str | Factor) for value in values[1:]):
        return _ifelse_factor(test, values[1], values[2])
    yes, no = (as_numbers(value, deparse(node)) for value in values[1:])
    return np.where(np.isnan(test), np.nan, np.where(test != 0, yes, no))


def _ifelse_factor(test: Any, yes: Any, no: Any) -> Factor:
    sides = [v if isinstance(v, Factor) else _constant(v, test.size) for v in (yes, no)]
    merged = list(dict.fromkeys(label for side in sides for label in side.labels))
    tables = [np.array([merged.index(x) for x in s.labels] + [-1]) for s in sides]
    codes = np.where(test != 0, tables[0][sides[0].codes], tables[1][sides[1].codes])
    codes[np.isnan(test)] = -1
    return _reordered(codes, merged, sorted(merged))


def _constant(value: Any, size: int) -> Factor:
    levels = object_array([level_label(value)])
    return Factor(codes=np.zeros(size, np.int32), levels=levels, kind="string")


def _reordered(codes: Any, old: list[Any], new: list[Any]) -> Factor:
    table = np.array([new.index(level) if level in new else -1 for level in old] + [-1])
    return Factor(codes=table[codes].astype(np.int32), levels=object_array(new), kind="string")


def with_levels(factor: Factor, wanted: Any, name: str) -> Factor:
    """Put levels into the order asked for; values that are no level become missing.

    Raises
    ------
    DataError
        If no level asked for occurs.
    """
    wanted = list(wanted.levels if isinstance(wanted, Factor) else wanted)
    position = {label: j for j, label in enumerate(map(level_label, wanted))}
    table = np.array([position.get(label, -1) for label in factor.labels] + [-1], np.int32)
    if factor.levels.size and table.max() < 0:
        raise DataError(f"{name}: none of the levels asked for occurs")
    original = dict(zip(factor.labels, factor.levels, strict=True))
    levels = [original.get(level_label(level), level) for level in wanted]
    return replace(factor, codes=table[factor.codes], levels=object_array(levels), kind="category")


def _factor(ordered: bool | None) -> Handler:
    def run(context: Context, node: Call) -> Factor:
        text = deparse(node)
        factor = drop_unused(as_factor(_only(context, node), name=text))
        options = {arg.name: arg.value for arg in node.args[1:] if arg.name}
        positional = [arg.value for arg in node.args[1:] if arg.name is None]
        levels = options.get("levels", positional[0] if positional else None)
        if levels is not None:
            factor = with_levels(factor, context.value(levels), text)
        if "labels" in options:
            factor = replace(factor, levels=object_array(context.value(options["labels"])))
        wanted = context.value(options["ordered"]) if "ordered" in options else ordered
        return replace(factor, ordered=factor.ordered if wanted is None else bool(wanted),
                       kind="category" if factor.kind == "other" else factor.kind)  # fmt: skip

    return run


def _contrast(context: Context, node: Node, extra: dict[str, Node]) -> Any:
    """Read the contrasts asked for: a known name, a known name called, or a matrix."""
    if isinstance(node, Literal) and isinstance(node.value, str):
        return Contrast(node.value)
    name = node.func if isinstance(node, Call) else node
    if isinstance(name, Name) and contrast_kind(name.name) is not None:
        arguments = list(node.args) if isinstance(node, Call) else []
        given = [context.value(argument.value) for argument in arguments]
        given += [context.value(extra[key]) for key in ("base", "scores") if key in extra]
        # contr.treatment(3, base = 2): the first is the number of levels
        numbered = name.name.rpartition("::")[2].startswith("contr.")
        return Contrast(name.name, given[-1] if given else None, numbered)
    value = context.value(node)
    if isinstance(value, Matrix):
        return value.values
    return value


def _c(context: Context, node: Call) -> Factor:
    text = deparse(node)
    factor = drop_unused(as_factor(_only(context, node), name=text))
    positional = [arg.value for arg in node.args[1:] if arg.name is None]
    named = {arg.name: arg.value for arg in node.args[1:] if arg.name}
    unknown = set(named) - {"levels", "contrast", "contr", "base", "scores", "reference"}
    if unknown or len(positional) > 1:
        context.refuse("C() takes a column, contrasts and levels=", node, node.func.name)
    if "levels" in named:
        factor = with_levels(factor, context.value(named["levels"]), text)
    wanted = named.get("contrast", named.get("contr", positional[0] if positional else None))
    if wanted is not None:
        factor = replace(factor, contrast=_contrast(context, wanted, named))
    elif "reference" in named:
        factor = replace(factor, contrast=Contrast("treatment", context.value(named["reference"])))
    return factor


def _named_contrast(name: str) -> Handler:
    """Make ``T(a, ref)`` and ``S(a, omit)``."""

    def run(context: Context, node: Call) -> Factor:
        factor = drop_unused(as_factor(_only(context, node), name=deparse(node)))
        argument = context.value(node.args[1].value) if len(node.args) > 1 else None
        return replace(factor, contrast=Contrast(name, argument), ordered=False)

    return run


def _relevel(context: Context, node: Call) -> Factor:
    text = deparse(node)
    factor = drop_unused(as_factor(_only(context, node), name=text))
    if len(node.args) != 2:
        context.refuse("relevel() takes a column and a level", node, node.func.name)
    reference = level_label(context.value(node.args[1].value))
    if reference not in factor.labels:
        raise DataError(f"{text}: {reference} is no level; levels: {', '.join(factor.labels)}")
    first = factor.labels.index(reference)
    order = [first, *(j for j in range(len(factor.labels)) if j != first)]
    return with_levels(factor, [factor.levels[j] for j in order], text)


def _interaction(context: Context, node: Call) -> Factor:
    """Combine factors; the first varies fastest, labels joined by a dot, as R's."""
    values = [as_factor(context.value(a.value), name=deparse(node)) for a in node.args]
    codes, labels = values[0].codes.astype(np.int64), list(values[0].labels)
    for factor in values[1:]:
        missing = (codes < 0) | (factor.codes < 0)
        codes = factor.codes.astype(np.int64) * len(labels) + codes
        labels = [f"{a}.{b}" for b in factor.labels for a in labels]
        codes[missing] = -1
    return drop_unused(Factor(codes=codes, levels=object_array(labels), kind="category"))


def _as_character(context: Context, node: Call) -> Factor:
    factor = drop_unused(as_factor(_only(context, node), name=deparse(node)))
    return factor_of_objects(factor.codes, list(factor.labels), "string")


def _list(context: Context, node: Call) -> list[Any]:
    return [context.value(arg.value) for arg in node.args]


def _cbind(context: Context, node: Call) -> Matrix:
    columns = [as_numbers(context.value(arg.value), deparse(node)) for arg in node.args]
    names = tuple(arg.name or deparse(arg.value) for arg in node.args)
    return Matrix(np.column_stack(columns), names)


FUNCTIONS: dict[str, Handler] = {
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
    "I": _only,
    "as.numeric": _as_numeric,
    "is.na": _is_na,
    "ifelse": _ifelse,
    "factor": _factor(None),
    "as.factor": _factor(None),
    "ordered": _factor(True),
    "as.ordered": _factor(True),
    "as.character": _as_character,
    "C": _c,
    "T": _named_contrast("treatment"),
    "S": _named_contrast("sum"),
    "relevel": _relevel,
    "interaction": _interaction,
    "c": _list,
    "cbind": _cbind,
}
