"""Functions of a formula that make factors: R's, and patsy's names for contrasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray
from nestedmlm.design.frame.call_arguments import Context, match_arguments, only_argument
from nestedmlm.design.frame.contrast_calls import (
    contrast_asked,
    leading_contrasts,
    level_contrast,
)
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    as_factor,
    drop_unused,
    factor_of_objects,
    factor_with_labels,
    level_label,
    object_array,
    vector_length,
)
from nestedmlm.errors import DataError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call

Handler = Callable[[Context, Call], Any]


def _used_factor(context: Context, argument: Any, node: Call) -> Factor:
    """Evaluate an argument to a factor without the levels that no row has."""
    return drop_unused(as_factor(context.value(argument), name=deparse(node)))


def constant(value: Any, size: int, text: str) -> Factor:
    """The same text or number in every row.

    Raises
    ------
    DataError
        For a column or a list.
    """
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
        if "exclude" in matched:
            factor = _without(
                factor, context.value(matched["exclude"]), text, as_level="levels" not in matched
            )
        if "labels" in matched:
            factor = factor_with_labels(factor, context.value(matched["labels"]), text)
        wanted = context.value(matched["ordered"]) if "ordered" in matched else ordered
        if not isinstance(wanted, bool | None):
            raise DataError(f"{text}: ordered is TRUE or FALSE")
        return replace(factor, ordered=factor.ordered if wanted is None else wanted,
                       kind=factor.kind if factor.kind == "logical" else "category")  # fmt: skip

    return run


def _without(factor: Factor, excluded: Any, text: str, *, as_level: bool) -> Factor:
    """R's ``exclude``: make values missing; with `as_level`, missing ones a level."""
    if isinstance(excluded, np.ndarray | Factor | Matrix):
        raise DataError(f"{text}: exclude is a value, a list of them or NULL")
    values = [] if excluded is None else excluded if isinstance(excluded, list) else [excluded]
    gone = {level_label(value) for value in values if value == value}
    kept = [level for level in factor.levels if level_label(level) not in gone]
    missing = factor.codes < 0
    if len(kept) < factor.levels.size:
        factor = with_levels(factor, kept, text)
    if not as_level or any(value != value for value in values):
        return factor
    return _with_missing(factor, missing, text)


def _with_missing(factor: Factor, missing: BoolArray, text: str) -> Factor:
    """Make a level of the missing values, the last one, where there are any."""
    if not missing.any():
        return factor
    if "NA" in factor.labels:
        raise DataError(f"{text}: NA is the name of a level already")
    codes = np.where(missing, factor.levels.size, factor.codes)
    return factor_of_objects(codes, [*factor.levels, "NA"], "category")


def _add_na(context: Context, node: Call) -> Factor:
    matched = match_arguments(context, node, "x ifany")
    factor = _used_factor(context, matched["x"], node)
    return replace(_with_missing(factor, factor.codes < 0, deparse(node)), ordered=factor.ordered)


def _c(context: Context, node: Call) -> Factor:
    parameters = "x contr how.many levels contrast base scores reference"
    matched = match_arguments(context, node, parameters)
    if sum(name in matched for name in ("contr", "contrast", "reference")) > 1 or (
        len([arg for arg in node.args if arg.name is None]) > 3
    ):
        context.refuse("C() takes a column, contrasts and levels=", node, node.func.name)
    factor = _used_factor(context, matched["x"], node)
    if "levels" in matched:
        factor = with_levels(factor, context.value(matched["levels"]), deparse(node))
    wanted = matched.get("contr", matched.get("contrast"))
    if wanted is not None:
        extra = {name: node for name, node in matched.items() if name in ("base", "scores")}
        asked = contrast_asked(context, node, wanted, extra, factor)
        if "how.many" in matched:
            asked = leading_contrasts(asked, context.value(matched["how.many"]), factor, node)
        return replace(factor, contrast=asked)
    if "how.many" in matched:
        context.refuse("C() takes how.many after contrasts", node, node.func.name)
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
    if np.ndim(wanted) or isinstance(wanted, Factor):
        raise DataError(f"{text}: ref is one level, not a column")
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
                   else constant(v, size, text) for v in values]  # fmt: skip
        if any(factor.codes.size != size for factor in factors):
            raise DataError(f"{text}: these have different lengths")
        # a missing value is the text "NA", as in R
        labels = [np.array([*factor.labels, "NA"], object)[factor.codes] for factor in factors]
        rows = [joint.join(row) for row in zip(*labels, strict=True)]
        unique = {label: code for code, label in enumerate(dict.fromkeys(rows))}
        return factor_of_objects(np.array([unique[row] for row in rows]), list(unique), "string")

    return run


def _nchar(context: Context, node: Call) -> Any:
    factor = as_factor(only_argument(context, node), name=deparse(node))
    return np.array([*map(len, factor.labels), np.nan], dtype=float)[factor.codes]


FACTOR_FUNCTIONS: dict[str, Handler] = {
    "factor": _factor("x levels labels exclude ordered", None),
    "as.factor": _factor("x", None),
    "ordered": _factor("x levels labels", True),
    "as.ordered": _factor("x", True),
    "addNA": _add_na,
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
}
