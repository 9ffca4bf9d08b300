"""Records (plain dictionaries, as they are in the JSON file) and their Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure import Cold, Outcome
from benchmarks.session import LEFT_OUT, LME4

OURS = "nestedmlm"
SAME_OPTIMUM = 1e-5  # above the best by more than this, a fit is wrong however fast
Record = dict[str, Any]


def record(case: Case, outcomes: Sequence[Outcome], threads: int | None) -> Record:
    """One case: every program's times, ratios and how far above the best criterion it ended."""
    # on a machine that others share, CPU seconds are what a fit costs
    kind = "cpu_median" if threads == 1 and any(o.cpu for o in outcomes) else "median"
    medians = {o.program: v for o in outcomes if (v := getattr(o, kind)) is not None}
    best = _best(outcomes)
    return {
        "case": case.name,
        "formula": case.formula,
        "threads": threads,
        "refits": case.refits,
        "best": best[0] if len(best) == 1 else None,
        "programs": [
            {
                "program": o.program,
                "problem": o.problem,
                "median": o.median,
                "cpu": o.cpu_median,
                "first": o.first,
                "repeats": len(o.seconds),
                "to_lme4": _ratio(medians, LME4, o.program),
                "of_nestedmlm": _ratio(medians, o.program, OURS),
                "criterion": o.criteria[-1] if o.criteria and not case.refits else None,
                **_excess(o, best),
                "evaluations": o.evaluations,
                "converged": o.converged,
                "refits": o.refits,
            }
            for o in outcomes
        ],
    }


def _best(outcomes: Sequence[Outcome]) -> list[float]:
    longest = max((len(o.criteria) for o in outcomes), default=0)
    return [min(o.criteria[i] for o in outcomes if len(o.criteria) > i) for i in range(longest)]


def _excess(outcome: Outcome, best: list[float]) -> Record:
    above = [c - b for c, b in zip(outcome.criteria, best, strict=False)]
    return {
        "above": max(above, default=None),
        "wrong": sum(not a <= SAME_OPTIMUM for a in above),
    }


def _ratio(medians: Mapping[str, float], numerator: str, denominator: str) -> float | None:
    if numerator not in medians or denominator not in medians:
        return None
    return medians[numerator] / medians[denominator]


def cold_record(case: Case, rows: Sequence[Cold | Outcome], threads: int | None) -> Record:
    """One case in fresh processes."""
    programs = [
        asdict(row) | {"problem": None}
        if isinstance(row, Cold)
        else {"program": row.program, "problem": row.problem}
        for row in rows
    ]
    return {"case": case.name, "threads": threads, "programs": programs}


def markdown(result: Record) -> str:
    """The whole report."""
    parts = ["# Benchmark: nestedmlm, lme4 and Python peers", _conditions(result)]
    parts += [_summary(result)]
    for title, threads in (("One thread each", 1), ("Every program's own threads", None)):
        rows = [r for r in result["warm"] if r["threads"] == threads]
        if rows:
            parts += [f"## Warm fits. {title}", _warm_table(rows)]
    if result["cold"]:
        parts += ["## Fresh processes", COLD_NOTE, _cold_table(result["cold"])]
    parts.append(_missing(result))
    return "\n\n".join(parts) + "\n"


COLD_NOTE = (
    "Import of pandas and the package, reading the CSV file, one fit. Memory: largest resident "
    "size during the fit, and what that is above the process once its packages are imported "
    "(with the data) and once the data are read (the fit alone)."
)


def _conditions(result: Record) -> str:
    m, versions = result["machine"], result["versions"]
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{result['date']}. {m['processor']}, {m['cores']} cores, {m['memory']}, {m['system']}; "
        f"load before the run {m['load_before']:.2f}.\n\n{listed}.\n\n"
        "Medians of whole calls from formula and data frame to result, default settings, the "
        "programs taking turns within one run; ratios are of CPU seconds where each has one "
        "thread. nestedmlm: what is compiled is loaded (`nm.warmup()`); uncompiled: as a process "
        "begins, and goes on with small fits. WRONG: the criterion is more than "
        f"{SAME_OPTIMUM:g} above the best that any program reached."
    )


def _summary(result: Record) -> str:
    return "## Times as ratios to nestedmlm's\n\n" + ratio_table(result)


def ratio_table(result: Record) -> str:
    """One row per case: nestedmlm's time, and how many times longer each program took."""
    rows = [r for r in result["warm"] if r["threads"] == 1]
    names = [n for n in result["order"] if n != OURS]
    lines = [
        "| model | nestedmlm (CPU) | " + " | ".join(names) + " |",
        "|---|---:|" + "---:|" * len(names),
    ]
    for row in rows:
        by_name = {p["program"]: p for p in row["programs"]}
        ours = by_name.get(OURS, {})
        cells = [_ratio_cell(by_name.get(name), ours) for name in names]
        mark = " WRONG" if ours.get("wrong") else ""
        lines.append(f"| {row['case']} | {duration(ours.get('cpu') or ours.get('median'))}{mark} | "
                     + " | ".join(cells) + " |")  # fmt: skip
    return "\n".join(lines)


def _ratio_cell(program: Record | None, ours: Record) -> str:
    if program is None:
        return "–"
    if program["median"] is None:
        problem = program["problem"] or ""
        if problem.startswith("unfinished") and ours.get("median"):
            limit = float(problem.split()[2])
            return f"> {limit / ours['median']:.0f}×"
        return "cannot" if "NotExpressible" in problem else "error"
    text = "–" if program["of_nestedmlm"] is None else f"{program['of_nestedmlm']:.1f}×"
    return f"{text} WRONG" if program["wrong"] else text


def _warm_table(rows: Sequence[Record]) -> str:
    lines = [
        "| model | program | median | CPU | fits | faster than lme4 | first fit | criterion "
        "| above best | evaluations | says converged | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        for p in row["programs"]:
            ratio = "" if p["to_lme4"] is None else f"{p['to_lme4']:.1f}×"
            criterion = "" if p["criterion"] is None else f"{p['criterion']:.6f}"
            above = "" if p["above"] is None else f"{p['above']:.1e}"
            fits = f"{p['refits']} refits" if p["refits"] else p["repeats"] or ""
            says = "" if p["converged"] is None else ("yes" if p["converged"] else "no")
            cells = (
                row["case"], p["program"], duration(p["median"]), duration(p["cpu"]), fits, ratio,
                duration(p["first"]), criterion, above, p["evaluations"] or "", says,
                _verdict(p, row),
            )  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _verdict(program: Record, row: Record) -> str:
    if program["problem"]:
        return str(program["problem"]).replace("|", "\\|")
    if not program["wrong"]:
        return ""
    return f"WRONG in {program['wrong']} of {program['refits']}" if row["refits"] else "WRONG"


def _cold_table(records: Sequence[Record]) -> str:
    lines = [
        "| model | program | wall | CPU | import | read | fit | runs | peak MB | over import "
        "| over data | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for r in records:
        for p in r["programs"]:
            if p["problem"]:
                cells = [""] * 9 + [p["problem"].replace("|", "\\|")]
            else:
                times = [duration(p[k]) for k in ("wall", "cpu", "imports", "reads", "fits")]
                sizes = [f"{p[k]:.0f}" for k in ("peak", "over_import", "over_data")]
                cells = [*times, str(p["runs"]), *sizes, ""]
            lines.append("| " + " | ".join([r["case"], p["program"], *cells]) + " |")
    return "\n".join(lines)


def _missing(result: Record) -> str:
    lines = [f"- {name}: {reason}" for name, reason in result["absent"].items()]
    lines += [f"- {name}: {reason}" for name, reason in LEFT_OUT.items()]
    return "## Not timed\n\n" + "\n".join(lines)


UNITS = ((1.0, 1e3, "ms"), (120.0, 1.0, "s"), (float("inf"), 1 / 60, "min"))


def duration(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "–"
    factor, unit = next((f, u) for limit, f, u in UNITS if seconds < limit)
    value = seconds * factor
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
