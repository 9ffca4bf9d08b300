"""A session to read: sentences, Python statements, and what the statements return.

What is shown is what is run, as in a notebook.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a session: a sentence for the reader, then Python code; either may be empty."""

    text: str
    code: str = ""


def play(steps: Iterable[Step], namespace: dict[str, Any]) -> Iterator[str]:
    """Run the steps in order and yield what a reader sees of each.

    Parameters
    ----------
    steps : iterable of Step
        Sentences and code.
    namespace : dict
        Names the code can use; names that it assigns are added.

    Yields
    ------
    str
        The sentence, then each statement after ``>>>`` with the value of the last expression.
    """
    for step in steps:
        if step.text:
            yield step.text
        if step.code:
            yield _prompted(step.code)
            value = run(step.code, namespace)
            if value is not None:
                yield str(value)
        yield ""


def run(code: str, namespace: dict[str, Any]) -> Any:
    """Run code and return the value of its last line if that is an expression, else None.

    Parameters
    ----------
    code : str
        Python statements.
    namespace : dict
        Names the code reads and writes.

    Returns
    -------
    object
        Value of the last expression.
    """
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, type_ignores=[]), "<demo>", "exec"), namespace)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "<demo>", "eval"), namespace)


def _prompted(code: str) -> str:
    """Code as in a Python session: ``>>>`` before a statement, ``...`` before what continues it."""
    starts = {statement.lineno for statement in ast.parse(code).body}
    lines = enumerate(code.splitlines(), start=1)
    return "\n".join(f"{'>>>' if number in starts else '...'} {line}" for number, line in lines)
