"""Time nestedmlm, lme4 and Python peers side by side; see `benchmarks/README.md`.

python -m benchmarks            quick: small models, a few minutes
python -m benchmarks --all      everything (hours: some programs need minutes for one fit)
python -m benchmarks --publish  tables and picture of the last --all run into README and docs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.machine import machine, versions
from benchmarks.measure import Effort, cold, refits, warm
from benchmarks.report import Record, cold_record, markdown, record
from benchmarks.session import LME4, PLAIN_LME4, PYTHON_PROGRAMS, ROOT, Program, find_programs
from nestedmlm.errors import DatasetError

RESULTS = ROOT / "benchmarks" / "results"
QUICK = Effort(fits=15, floor=3, budget=3.0, cold=3, thorough=False)
FULL = Effort(fits=51, floor=5, budget=30.0, cold=7, thorough=True)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.publish:
        from benchmarks.publish import publish

        publish(RESULTS / "all.json")
        return
    effort = FULL if options.all or options.thorough else QUICK
    cases = _chosen(options.cases, everything=options.all)
    conditions = machine()
    programs, absent = find_programs(options.programs or (LME4, PLAIN_LME4, *PYTHON_PROGRAMS))
    result: Record = {
        "date": date.today().isoformat(),
        "machine": conditions,
        "versions": versions(programs),
        "absent": absent,
        "order": [p.name for p in programs],
        "warm": [],
        "cold": [],
    }
    name = options.name or ("all" if options.all else "quick")
    for case in cases:
        try:
            _time(case, programs, effort, options, result)
        except DatasetError as error:  # this case's data are not to be had here
            absent[case.name] = str(error)
        _write(result, name)  # after each case: an interrupted run leaves what it has
    print(markdown(result))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="all cases, more repetitions")
    parser.add_argument("--thorough", action="store_true", help="as with --all, for --cases")
    parser.add_argument("--publish", action="store_true", help="update README and docs")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--programs", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--name", help="name of the result files (default: quick or all)")
    parser.add_argument("--no-cold", action="store_true", help="no fresh processes")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "benchmarks")
    return parser.parse_args(arguments)


def _chosen(names: Sequence[str] | None, *, everything: bool) -> list[Case]:
    if names is None:
        return [case for case in CASES if everything or case.quick]
    by_name = {case.name: case for case in CASES}
    if unknown := [name for name in names if name not in by_name]:
        sys.exit(f"no case {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]


def _time(
    case: Case,
    programs: Sequence[Program],
    effort: Effort,
    options: argparse.Namespace,
    result: Record,
) -> None:
    try:
        for threads in (1, None) if case.defaults and effort.thorough else (1,):
            _progress(case, "warm", threads)
            if case.refits:
                count = case.refits if effort.thorough else case.refits // 5
                outcomes = refits(case, programs, options.data, count, threads=threads)
            else:
                outcomes = warm(case, programs, options.data, effort, threads=threads)
            result["warm"].append(record(case, outcomes, threads))
        if not options.no_cold and not case.refits and (case.cold or effort.thorough):
            _progress(case, "fresh processes", 1)
            runs = effort.cold if case.cold else 1
            # who did not finish warm will not finish cold
            able = {o.program for o in outcomes if o.problem is None}
            there = [p for p in programs if p.name in able]
            rows = cold(case, there, options.data, runs, threads=1)
            result["cold"].append(cold_record(case, rows, 1))
    except RuntimeError as problem:  # no data: R is missing
        result["absent"][f"case {case.name}"] = str(problem)


def _progress(case: Case, what: str, threads: int | None) -> None:
    told = "default threads" if threads is None else "one thread"
    print(f"{case.name}: {what}, {told}", file=sys.stderr, flush=True)


def _write(result: Record, name: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", markdown(result))):
        (RESULTS / (name + suffix)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
