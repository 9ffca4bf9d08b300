"""Contrasts that a formula asks for: ``C(a, contr.sum)``, ``T(a, "p")``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.design.frame.call_arguments import Context, match_arguments
from nestedmlm.design.frame.values import Factor, Matrix, level_label
from nestedmlm.design.matrices.contrast_coding import Contrast, Leading, contrast_kind
from nestedmlm.errors import DataError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call, Literal, Name, Node

# what R's functions take, and patsy's classes
_R_PARAMETERS = {"treatment": "n base", "poly": "n scores"}
_PARAMETERS = {"treatment": "reference", "sum": "omit", "poly": "scores"}


def contrast_asked(
    context: Context, call: Call, node: Node, extra: dict[str, Node], factor: Factor
) -> Any:
    """Read the contrasts asked for: a known name, a known name called, or a matrix.

    Parameters
    ----------
    context : Context
    call : Call
        The whole ``C(...)``.
    node : Node
        What stands for the contrasts in it.
    extra : dict of str to Node
        Its arguments ``base`` and ``scores``.
    factor : Factor

    Returns
    -------
    Contrast or ndarray

    Raises
    ------
    DataError
        For a level, a number of levels or scores that the factor does not have.
    """
    text = deparse(call)
    if isinstance(node, Literal) and isinstance(node.value, str):
        return Contrast(node.value)
    name = node.func if isinstance(node, Call) else node
    kind = contrast_kind(name.name) if isinstance(name, Name) else None
    if not isinstance(name, Name) or kind is None:
        value = context.value(node)
        if isinstance(value, list) and all(isinstance(v, int | float) for v in value):
            return np.array(value, dtype=float)
        if not isinstance(value, Matrix):
            raise DataError(
                f"{text}: contrasts are a name (treatment, sum, helmert, poly, sdif) or a matrix"
            )
        return value.values
    in_r = name.name.rpartition("::")[2].startswith("contr.")
    table = _R_PARAMETERS if in_r else _PARAMETERS
    parameters = table.get(kind, "n" if in_r else "")
    matched = match_arguments(context, node, parameters, 0) if isinstance(node, Call) else {}
    given = {key: context.value(value) for key, value in {**matched, **extra}.items()}
    _check_count(given.pop("n", None), factor, text)
    if "base" in given:
        argument: Any = _base(given["base"], factor, text)
    elif "scores" in given:
        argument = _scores(given["scores"], factor, text)
    elif given:
        return level_contrast(kind, next(iter(given.values())), factor, text)
    else:
        argument = None
    # R makes contr.treatment(3, base = 2) without knowing the levels: columns have numbers
    return Contrast(name.name, argument, in_r)


def leading_contrasts(asked: Any, count: Any, factor: Factor, call: Call) -> Leading:
    """Take the first of the contrasts asked for: ``C(a, contr.poly, 2)``.

    Raises
    ------
    DataError
        For a number that is not between 1 and the levels minus 1.
    """
    most = len(factor.labels) - 1
    if isinstance(count, bool) or count not in range(1, most + 1):
        raise DataError(f"{deparse(call)}: how.many is 1 to {most}, not {count!r}")
    return Leading(asked, int(count))


def level_contrast(kind: str, level: Any, factor: Factor, text: str) -> Contrast:
    """Make contrasts with one level that is the reference, or left out."""
    if level is not None and level_label(level) not in factor.labels:
        known = ", ".join(factor.labels)
        raise DataError(f"{text}: {level_label(level)} is no level; the levels are {known}")
    return Contrast(kind, None if level is None else level_label(level))


def _check_count(count: Any, factor: Factor, text: str) -> None:
    size = len(count) if isinstance(count, list) else count
    if size is not None and size != len(factor.labels):
        raise DataError(
            f"{text}: contrasts for {level_label(count)} levels, but there are "
            f"{len(factor.labels)}: {', '.join(factor.labels)}"
        )


def _base(base: Any, factor: Factor, text: str) -> Any:
    size = len(factor.labels)
    if isinstance(base, bool) or not isinstance(base, int) or not 1 <= base <= size:
        raise DataError(f"{text}: base is the number of a level, 1 to {size}, not {base!r}")
    return factor.levels[base - 1]


def _scores(scores: Any, factor: Factor, text: str) -> Any:
    numbers = isinstance(scores, list) and all(isinstance(s, int | float) for s in scores)
    if not numbers or len(scores) != len(factor.labels):
        raise DataError(f"{text}: scores are {len(factor.labels)} numbers, one for each level")
    return scores
