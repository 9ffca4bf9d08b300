"""Who misses the optimum: small three-level designs, fitted by nestedmlm, lme4 and peers.

    python -m benchmarks.sweep [--designs 80] [--seed 4]

Writes `results/sweep.json` and `.md`; ends with status 1 if nestedmlm missed one, or said of one
that it has not converged.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks.designs import FORMULA, SmallDesign, small_designs
from benchmarks.machine import machine, versions
from benchmarks.report import OURS, Record
from benchmarks.session import (
    LME4,
    ROOT,
    Program,
    Session,
    UnfinishedError,
    WorkerError,
    find_programs,
)

RESULTS = ROOT / "benchmarks" / "results"
MISSES = (1e-6, 1e-3, 0.1, 1.0)
LIMIT = 120.0
OPTIMIZERS = {LME4: ("", "bobyqa")}  # "": lme4's default, nloptwrap
PROGRAMS = (OURS, LME4, "mixedlm", "lme-python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--programs", nargs="+", default=PROGRAMS)
    options = parser.parse_args()
    designs = list(small_designs(options.designs, seed=options.seed))
    programs, absent = find_programs(options.programs)
    with tempfile.TemporaryDirectory() as folder:
        fits = {
            name: found
            for program in programs
            for name, found in fit_all(program, designs, Path(folder)).items()
        }
    result = summary(designs, fits) | {
        "date": date.today().isoformat(),
        "seed": options.seed,
        "machine": machine(),
        "versions": versions(programs),
        "absent": absent,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sweep.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "sweep.md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))
    ours = next((row for row in result["programs"] if row["program"] == OURS), None)
    sys.exit(bool(ours and (ours["above"][str(MISSES[0])] or ours["converged"] < len(designs))))


def fit_all(
    program: Program, designs: Sequence[SmallDesign], folder: Path
) -> dict[str, list[tuple[float, float, bool] | str]]:
    """Criterion, seconds and verdict of each design, for each optimizer; or what went wrong."""
    session = Session(program, threads=1)
    out: dict[str, list[tuple[float, float, bool] | str]] = {}
    for number, design in enumerate(designs):
        path = folder / f"{number}.csv"
        if not path.exists():
            design.frame.to_csv(path, index=False)
        for optimizer in OPTIMIZERS.get(program.name, ("",)):
            found = out.setdefault(f"{program.name} {optimizer}".strip(), [])
            try:
                session.ask("load", path, "s,c", limit=LIMIT)
                # an empty last field would be lost on its way to R
                request = ("fit", FORMULA, optimizer) if optimizer else ("fit", FORMULA)
                seconds, criterion, _, converged = session.ask(*request, limit=LIMIT)
                found.append((float(criterion), float(seconds), converged == "1"))
            except (WorkerError, UnfinishedError) as problem:
                found.append(str(problem))
                session.close()
                session = Session(program, threads=1)
    session.close()
    return out


def summary(
    designs: Sequence[SmallDesign], fits: dict[str, list[tuple[float, float, bool] | str]]
) -> Record:
    """Counts of fits above the best of all programs, per program."""
    best = [
        min((f[i][0] for f in fits.values() if not isinstance(f[i], str)), default=float("nan"))
        for i in range(len(designs))
    ]
    return {
        "formula": FORMULA,
        "designs": [d.label for d in designs],
        "best": best,
        "programs": [_row(name, found, best) for name, found in fits.items()],
    }


def _row(
    name: str, found: Sequence[tuple[float, float, bool] | str], best: Sequence[float]
) -> Record:
    done = [(f, b) for f, b in zip(found, best, strict=True) if not isinstance(f, str)]
    excess = [f[0] - b for f, b in done]
    seconds = sorted(f[1] for f, _ in done)
    return {
        "program": name,
        "fits": len(done),
        "above": {str(limit): sum(e > limit for e in excess) for limit in MISSES},
        "worst": max(excess, default=None),
        "converged": sum(f[2] for f, _ in done),
        "median": seconds[len(seconds) // 2] if seconds else None,
        "excess": excess,
    }


def markdown(result: Record) -> str:
    """The counts as a table."""
    count = len(result["designs"])
    lines = [
        f"{count} designs, `{result['formula']}` (seed {result['seed']}): fits above the best of "
        "all programs.",
        "",
        "| program | fits | " + " | ".join(f"> {m:g}" for m in MISSES) + " | worst "
        "| says converged | median |",
        "|---|---:|" + "---:|" * (len(MISSES) + 3),
    ]
    for row in result["programs"]:
        above = " | ".join(str(row["above"][str(m)]) for m in MISSES)
        worst = "–" if row["worst"] is None else f"{row['worst']:.2g}"
        median = "–" if row["median"] is None else f"{1000 * row['median']:.1f} ms"
        cells = (row["program"], row["fits"], above, worst, row["converged"], median)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [f"\n{name}: not there ({reason})" for name, reason in result["absent"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
