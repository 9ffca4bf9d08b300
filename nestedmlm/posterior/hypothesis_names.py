"""Names in a hypothesis: those that tables print, and the posterior's without their backticks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.scalar_parameters import Parameter, named_parameters
from nestedmlm.design.design import Design

_BEFORE, _AFTER = r"(?<![\w.:|])", r"(?![\w.:|])"  # what no name ends or begins with


def spelled(text: Any, design: Design) -> Any:
    """Write a hypothesis with the posterior's names, in backticks where they need them.

    Parameters
    ----------
    text : str
        ``"sd_Days|Subject > 5"``, ``"x:fb > x:fc"``; what is no text is left to the reader.
    design : Design

    Returns
    -------
    str
        ``"`Days|Subject_sigma` > 5"``.
    """
    names = _expressions(design)
    if not isinstance(text, str) or any("`" in name for name in names):
        return text
    bare = [n for n in names if not re.fullmatch(r"[\w.]+|\(Intercept\)", n)]
    longest_first = "|".join(re.escape(n) for n in sorted(bare, key=len, reverse=True))
    pattern = re.compile(f"{_BEFORE}({longest_first}){_AFTER}" if bare else r"(?!)")
    parts = text.split("`")
    for i, part in enumerate(parts):
        if i % 2 == 0:
            parts[i] = pattern.sub(lambda found: names[found[1]], part)
        elif i + 1 < len(parts):
            parts[i] = names.get(part, f"`{part}`")
    closed = len(parts) % 2 == 1
    return "".join(parts) if closed else text


def _expressions(design: Design) -> Mapping[str, str]:
    """What stands for each name: the posterior's own, and those that tables print."""
    names = parameter_names(design)
    own = {name: f"`{name}`" for name in (*names.parameters, *names.effects)}
    printed = {term: _expression(p) for term, p in named_parameters(design).items()}
    return printed | own


def _expression(parameter: Parameter) -> str:
    variable = f"`{parameter.variable}`"
    if parameter.log:
        return f"exp({variable})"
    if not parameter.at:
        return variable
    label = parameter.name[len(parameter.variable) + 1 : -1]
    labels = label.split(", ") if len(parameter.at) == 2 else [label]
    return f"{variable}[{', '.join(map(repr, labels))}]"
