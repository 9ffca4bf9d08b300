"""Labels of terms: they reach inside interactions, factor levels and variance parameters."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

TIMES = " × "
_RANDOM = re.compile(r"(sd|cor|var|cov)_(.*)\|(.*)\Z", re.DOTALL)


def label_of(
    name: str, labels: Mapping[str, str], variables: Collection[str], effects: Collection[str] = ()
) -> str:
    """Label of a parameter.

    Parameters
    ----------
    name : str
        ``recipeB:temp``, ``sd_Days|Subject``.
    labels : mapping of str to str
        Of whole names, of the parts of an interaction, of variables (what follows a factor's name
        is its level, which has a label of its own), and of grouping factors.
    variables : collection of str
        Of the models; a part begins with one of them.
    effects : collection of str
        Names of random effects, which a correlation joins by a dot.

    Returns
    -------
    str

    Examples
    --------
    >>> label_of("recipeB:temp", {"recipe": "Recipe", "temp": "°F"}, ["recipe", "temp"])
    'Recipe: B × °F'
    >>> label_of("sd_Days|Subject", {"Days": "Nights"}, ["Days"])
    'sd_Nights|Subject'
    """
    if name in labels or not labels:
        return labels.get(name, name)
    random = _RANDOM.match(name)
    if random is None:
        return _term(name, labels, variables)
    kind, inner, group = random.groups()
    pairs = [(inner[:i], inner[i + 1 :]) for i, c in enumerate(inner) if c == "."]
    pair = next((p for p in pairs if set(p) <= set(effects)), None) if kind == "cor" else None
    shown = [_term(part, labels, variables) for part in (pair or (inner,))]
    return f"{kind}_{'.'.join(shown)}|{group_label(group, labels)}"


def group_label(name: str, labels: Mapping[str, str]) -> str:
    """Label of a grouping factor, which may be a product."""
    return labels.get(name) or ":".join(labels.get(part, part) for part in _parts(name))


def _term(name: str, labels: Mapping[str, str], variables: Collection[str]) -> str:
    if name in labels:
        return labels[name]
    parts = _parts(name)
    shown = [_part(part, labels, variables) for part in parts]
    return name if shown == parts else TIMES.join(shown)


def _part(part: str, labels: Mapping[str, str], variables: Collection[str]) -> str:
    """One factor of a product: a variable, or a factor's name and what its coding adds."""
    if part in labels:
        return labels[part]
    found = max((v for v in variables if part.startswith(v)), key=len, default="")
    suffix = part[len(found) :]
    if found in labels:
        return f"{labels[found]}: {labels.get(suffix, suffix)}" if suffix else labels[found]
    return part


def _parts(name: str) -> list[str]:
    """Split at the colons that stand outside parentheses, backticks and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, char in enumerate(name):
        if quote:
            quote = "" if char == quote else quote
        elif char in "`\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == ":" and depth <= 0:
            parts.append(name[start:i])
            start = i + 1
    return [*parts, name[start:]]
