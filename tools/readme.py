"""The README's examples run: `python tools/readme.py [README.md]`.

Its code has no prompts, so that it can be copied. Each block of ``python`` is run after those
before it, and what its last line gives must print as the block of ``text`` that follows, if any.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

BLOCKS = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def differences(page: str) -> list[str]:
    """Run the blocks of a page; what printed otherwise than it stands there."""
    namespace: dict[str, Any] = {}
    found = []
    for code, wanted in BLOCKS.findall(page):
        given = str(run(code, namespace))
        if wanted and given.split() != wanted.split():
            found.append(f"{code}\nprints\n{given}\nnot\n{wanted}")
    return found


def run(code: str, namespace: dict[str, Any]) -> Any:
    """Run statements; the value of the last one, if it is an expression."""
    body = ast.parse(code).body
    last = body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(code, "README", "exec"), namespace)
        return None
    exec(compile(ast.Module(body[:-1], []), "README", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "README", "eval"), namespace)


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    wrong = differences(path.read_text(encoding="utf-8"))
    sys.exit("\n\n".join(wrong) or 0)
