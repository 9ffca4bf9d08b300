"""Run every comparison with R and print the largest difference of each verb.

Usage: ``python -m benchmarks.agreement [theme ...] [--cases]``.
"""

from __future__ import annotations

import argparse
import importlib
from itertools import groupby
from pkgutil import iter_modules

from benchmarks.agreement import __path__ as folder
from benchmarks.agreement.record import Agreement, RMissing


def themes() -> list[str]:
    """Modules of this folder that have a function ``compare``."""
    found = []
    for module in iter_modules(folder):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"benchmarks.agreement.{module.name}")
            found += [module.name] if hasattr(loaded, "compare") else []
    return found


def report(theme: str, *, cases: bool) -> list[str]:
    """Compare one theme and write what came out."""
    compare = importlib.import_module(f"benchmarks.agreement.{theme}").compare
    try:
        results: list[Agreement] = compare()
    except RMissing as error:
        return [f"{theme}: skipped, {error}"]
    lines = []
    for verb, group in groupby(sorted(results, key=lambda r: r.verb), key=lambda r: r.verb):
        own = list(group)
        worst = max(own, key=lambda r: r.difference)
        lines.append(f"{verb:<28}{len(own):>4} cases  {worst.difference:9.1e}  {worst.case}")
        if cases:
            lines += [f"    {r.difference:9.1e}  {r.case}  {r.note}".rstrip() for r in own]
    return [theme, *(f"  {line}" for line in lines)]


def main() -> None:
    """Read the arguments, compare, print."""
    known = themes()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("theme", nargs="*", choices=[*known, []], default=[])
    parser.add_argument("--cases", action="store_true", help="every comparison, not only the worst")
    asked = parser.parse_args()
    for theme in asked.theme or known:
        print("\n".join(report(theme, cases=asked.cases)), flush=True)


if __name__ == "__main__":
    main()
