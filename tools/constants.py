"""The numeric constants of the package as a Markdown table: `python tools/constants.py [room …]`.

A constant is a module's own number (or tuple of numbers) in capitals. What it means is the comment
beside it, above it, or the string below it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "nestedmlm"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number with a name.

    Attributes
    ----------
    name, value, meaning : str
        As they stand in the code; `meaning` is empty where nothing is said.
    file : str
        Below the package.
    """

    name: str
    value: str
    meaning: str
    file: str


def constants(package: Path = PACKAGE) -> list[Constant]:
    """All constants, file by file."""
    return [found for path in sorted(package.rglob("*.py")) for found in _of_file(path, package)]


def _of_file(path: Path, package: Path) -> Iterator[Constant]:
    text = path.read_text("utf-8")
    lines, body = text.splitlines(), ast.parse(text).body
    for i, node in enumerate(body):
        name, value = _assigned(node)
        if name is None or value is None or not _is_number(value):
            continue
        following = body[i + 1] if i + 1 < len(body) else None
        yield Constant(
            name=name,
            value=ast.unparse(value) if isinstance(value, ast.Tuple) else _written(lines, value),
            meaning=_beside(lines, node) or _below(following) or _above(lines, node),
            file=path.relative_to(package).as_posix(),
        )


def _assigned(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    """Name and value of ``NAME = value`` or ``NAME: type = value``."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None, None
    if not isinstance(target, ast.Name) or target.id != target.id.upper():
        return None, None
    return target.id, node.value


def _is_number(value: ast.expr) -> bool:
    """Whether an expression is made of numbers alone."""
    if isinstance(value, ast.Tuple):
        return bool(value.elts) and all(map(_is_number, value.elts))
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    if isinstance(value, ast.UnaryOp):
        return _is_number(value.operand)
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def _written(lines: list[str], value: ast.expr) -> str:
    """The number as its author wrote it: 1e-10, 16_384, 2**26."""
    return lines[value.lineno - 1][value.col_offset : value.end_col_offset]


def _beside(lines: list[str], node: ast.stmt) -> str:
    assert node.end_lineno is not None
    return lines[node.end_lineno - 1][node.end_col_offset :].partition("#")[2].strip()


def _above(lines: list[str], node: ast.stmt) -> str:
    """The comment above a constant, or above the group of constants that it stands in."""
    said: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if line.startswith("#"):
            said.insert(0, line.lstrip("#: "))
        elif said or not line.strip() or "#" in line:
            break
    return " ".join(said)


def _below(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


def table(found: list[Constant]) -> str:
    """A Markdown table, file by file."""
    rows = ["| name | value | meaning | file |", "| :--- | ---: | :--- | :--- |"]
    for c in found:
        meaning = c.meaning.replace("|", "\\|")
        rows.append(f"| `{c.name}` | {c.value} | {meaning} | `{c.file}` |")
    return "\n".join(rows)


if __name__ == "__main__":
    rooms = tuple(f"{room}/" for room in sys.argv[1:])
    chosen = [c for c in constants() if not rooms or c.file.startswith(rooms)]
    sys.stdout.write(table(chosen) + "\n")
