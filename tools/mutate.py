"""Sabotage of one function at a time: `python tools/mutate.py WHERE [TESTS …] [-n 20] [-s SEED]`.

Flips a sign, a comparison, a constant or a condition, or removes a statement, in a file or any of
a folder; runs the tests (those of its room, the files that name the module first), puts the file
back, and prints the mutations that no test noticed, and those under which the tests took so much
CPU time that nothing is known. Files are changed while it runs: use a clone.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_CPU_SECONDS = 600  # of the tests of one mutation
_VERDICTS = {False: "killed", True: "survives", None: "not judged"}


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
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            return ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            return ast.Pass()
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
                put = ast.unparse(new) if isinstance(new, ast.Pass) else f"({ast.unparse(new)})"
                text = raw[:start] + put.encode() + raw[end:]
                said = (
                    f"{function.name}:{line + 1}: {raw[start:end].decode()} -> {ast.unparse(new)}"
                )
                yield said, "".join([*lines[:line], text.decode(), *lines[line + 1 :]])


def room_tests(path: Path) -> list[str]:
    """Test files of the deepest room that has any, those that name the module first."""
    room = next(t for f in path.parents if (t := Path("tests", *f.parts[1:])).is_dir())
    found = sorted(room.rglob("test_*.py"))
    named = {t for t in found if path.stem in t.read_text(encoding="utf-8")}
    return [str(t) for t in sorted(found, key=lambda t: t not in named)]


def survives(path: Path, source: str, tests: list[str]) -> bool | None:
    """Whether all tests pass with the file changed; None where they did not come to an end."""
    kept = path.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", *tests]
    try:
        path.write_text(source, encoding="utf-8")
        done = subprocess.run(command, capture_output=True, check=False, preexec_fn=_limit_cpu)
    finally:
        path.write_text(kept, encoding="utf-8")
    return None if done.returncode == -signal.SIGXCPU else done.returncode == 0


def _limit_cpu() -> None:
    """End a process by its CPU time, which other processes do not spend."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))  # SIGXCPU, SIGKILL


def main() -> None:
    """Run a sample of the mutations of a file or a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where", type=Path)
    parser.add_argument("tests", nargs="*")
    parser.add_argument("-n", type=int, default=20, help="how many mutations")
    parser.add_argument("-s", "--seed", type=int, default=1)
    given = parser.parse_args()
    files = sorted(given.where.rglob("*.py")) if given.where.is_dir() else [given.where]
    found = [
        (path, said, source)
        for path in files
        for said, source in dict(mutations(path.read_text(encoding="utf-8"))).items()
    ]
    chosen = random.Random(given.seed).sample(found, min(given.n, len(found)))
    count = Counter[str]()
    for path, said, source in chosen:
        verdict = _VERDICTS[survives(path, source, given.tests or room_tests(path))]
        count[verdict] += 1
        if verdict != "killed":
            print(f"{verdict}  {path} {said}", flush=True)
    told = ", ".join(f"{count[verdict]} {verdict}" for verdict in _VERDICTS.values())
    print(f"{given.where}: {len(chosen)} of {len(found)} mutations: {told}", flush=True)


if __name__ == "__main__":
    main()
