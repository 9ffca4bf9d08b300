"""Arguments of a call in a formula, matched to a function's parameters as R does."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from nestedmlm.formula.nodes import Call, Node


class Context(Protocol):
    """The evaluator as functions of a formula see it.

    Attributes
    ----------
    states : dict
        What was learned at the fit, by R's text of the call.
    """

    states: dict[str, Any]

    def refuse(self, message: str, node: Node, name: str) -> NoReturn:
        """Raise a `FormulaError` that marks `name` in the formula."""

    def value(self, node: Node) -> Any:
        """Evaluate a node."""


def match_arguments(
    context: Context, node: Call, parameters: str, required: int = 1
) -> dict[str, Node]:
    """Give each argument its parameter: first those with a name, then the others in order.

    Parameters
    ----------
    context : Context
    node : Call
    parameters : str
        Names, separated by blanks.
    required : int
        How many of the first ones must be there.

    Returns
    -------
    dict of str to Node
        Not yet evaluated.

    Raises
    ------
    FormulaError
        For an argument that is unknown, given twice or too many, or one that is missing.
    """
    names = parameters.split()
    function = node.func.name
    takes = f"{function}() takes {', '.join(names)}"
    matched: dict[str, Node] = {}
    for arg in node.args:
        if arg.name is None:
            continue
        if arg.name not in names:
            context.refuse(f"{function}() has no argument {arg.name!r}: {takes}", node, function)
        if arg.name in matched:
            context.refuse(f"{function}() has {arg.name!r} twice", node, function)
        matched[arg.name] = arg.value
    free = [name for name in names if name not in matched]
    positional = [arg.value for arg in node.args if arg.name is None]
    if len(positional) > len(free):
        context.refuse(f"{function}() has too many arguments: {takes}", node, function)
    matched.update(zip(free, positional, strict=False))
    missing = [name for name in names[:required] if name not in matched]
    if missing:
        context.refuse(f"{function}() needs {' and '.join(missing)}: {takes}", node, function)
    return matched


def only_argument(context: Context, node: Call) -> Any:
    """The value of a call's one argument, ``x``."""
    return context.value(match_arguments(context, node, "x")["x"])
