"""Sabotage of one function at a time: `python tools/mutate.py FILE TESTS … [-n 20] [-s SEED]`.

Flips a sign, a comparison, a constant or a condition, runs the tests, puts the file back, and
prints the mutations that no test noticed. The file is changed while it runs: use a clone.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def changed(node: ast.AST) -> ast.AST | None:
    """The node with another meaning; None where there is nothing to flip."""
    new = copy.deepcopy(node)
    match new:
        case ast.BinOp(op=op) if type(op) in OPERATORS and not _text(new):
            new.op = OPERATORS[type(op)]()
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            new.ops = [COMPARISONS[type(op)]()]
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            return new.operand
        case ast.Constant(value=bool()):
            new.value = not new.value
        case ast.Constant(value=int() | float()):
            new.value = new.value + 1
        case _:
            return None
    return new


def _text(node: ast.BinOp) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in ast.walk(node))


def mutations(source: str) -> Iterator[tuple[str, str]]:
    """What is changed, and the whole source with it."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                new = changed(node)
                if new is None or node.lineno != node.end_lineno:  # type: ignore[attr-defined]
                    continue
                line, start, end = node.lineno - 1, node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
                raw = lines[line].encode()
                text = raw[:start] + f"({ast.unparse(new)})".encode() + raw[end:]
                said = (
                    f"{function.name}:{line + 1}: {raw[start:end].decode()} -> {ast.unparse(new)}"
                )
                yield said, "".join([*lines[:line], text.decode(), *lines[line + 1 :]])


def survives(path: Path, source: str, tests: list[str]) -> bool:
    """Whether all tests pass with the file changed."""
    kept = path.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", *tests]
    try:
        path.write_text(source, encoding="utf-8")
        done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    except subprocess.TimeoutExpired:  # it hangs: noticed
        return False
    finally:
        path.write_text(kept, encoding="utf-8")
    return done.returncode == 0


def main() -> None:
    """Run a sample of the mutations of one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("-n", type=int, default=20, help="how many mutations")
    parser.add_argument("-s", "--seed", type=int, default=1)
    given = parser.parse_args()
    found = list(dict(mutations(given.file.read_text(encoding="utf-8"))).items())
    chosen = random.Random(given.seed).sample(found, min(given.n, len(found)))
    left = 0
    for said, source in chosen:
        if survives(given.file, source, given.tests):
            left += 1
            print(f"survives  {given.file.name} {said}", flush=True)
    print(f"{given.file}: {len(chosen)} of {len(found)} mutations, {left} survive", flush=True)


if __name__ == "__main__":
    main()
