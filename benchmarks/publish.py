"""From the results to the README's table, docs/benchmarks.md and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.report import OURS, Record, duration, markdown
from benchmarks.session import LME4, ROOT

README = ROOT / "README.md"
DOCS = ROOT / "docs"
START, END = "<!-- benchmark: made by `make bench-publish` -->", "<!-- end of benchmark -->"
SHORT = {  # rows of the README's table: what a reader who knows no data set is told of each
    "sleepstudy": "180 rows, 18 subjects, random slopes",
    "M14": "1,190 pupils in 107 schools, random slopes",
    "M17": "the same pupils in 312 classes in the schools",
    "1000 refits of M17": "1,000 refits of that (a bootstrap)",
    "Chem97": "31,022 exams in 2,410 schools",
    "InstEval": "73,421 ratings, students crossed with lecturers",
    "1e6 rows nested": "1,000,000 rows, random slopes at two levels",
    "maximal 72 theta": "72 variance parameters, subjects crossed with items",
}
PEER = "mixedlm"  # the Python package that reaches (nearly) every optimum
TABLE = (LME4, "glmm", PEER)  # the README's columns

INK, MUTED, GRID = "#1f2328", "#6e7781", "#e5e8eb"
COLOURS = {OURS: "#0b6e4f", PEER: "#d9822b", "other": "#b8bfc6"}


def publish(path: Path) -> None:
    """Write all three from a result file."""
    result = json.loads(path.read_text(encoding="utf-8"))
    sweep_path = path.with_name("sweep.json")
    sweep = json.loads(sweep_path.read_text(encoding="utf-8")) if sweep_path.exists() else None
    picture(result, DOCS / "benchmarks.png")
    (DOCS / "benchmarks.md").write_text(_page(result, sweep), encoding="utf-8")
    index = DOCS / "index.md"
    index.write_text(with_page(index.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(
        with_section(README.read_text(encoding="utf-8"), readme_section(result, sweep)),
        encoding="utf-8",
    )


def with_page(index: str) -> str:
    """List the page in the documentation's contents."""
    if "\nbenchmarks\n" in index:
        return index
    return index.replace("\nlimitations\n", "\nlimitations\nbenchmarks\n", 1)


def with_section(text: str, section: str) -> str:
    """Put the section between the markers, or (the first time) in front of "Installing"."""
    block = f"{START}\n{section}\n{END}"
    if START in text:
        before, rest = text.split(START, 1)
        return before + block + rest.split(END, 1)[1]
    return text.replace("## Installing", f"{block}\n\n## Installing", 1)


def readme_section(result: Record, sweep: Record | None) -> str:
    """A row per model: nestedmlm's time, lme4's and mixedlm's as multiples of it."""
    lines = [
        "## Speed",
        "",
        "| model | nestedmlm | "
        + " | ".join(f"{name} {result['versions'].get(name, '')}" for name in TABLE)
        + " |",
        "|---|---:|" + "---:|" * len(TABLE),
    ]
    rows = {row["case"]: row for row in one_thread(result)}
    for row in (rows[case] for case in SHORT if case in rows):
        by_name = {p["program"]: p for p in row["programs"]}
        cells = [_times(by_name.get(name), by_name[OURS]) for name in TABLE]
        cells = [SHORT[row["case"]], duration(_cost(by_name[OURS])), *cells]
        lines.append(f"| {' | '.join(cells)} |")
    m = result["machine"]
    lines += [
        "",
        "CPU time of one fit, and how many times that the others take; one thread each, "
        f"{m['processor']}, {result['date']}. "
        "†: stopped more than 1e-5 above the best value of the criterion. "
        "[All models and programs, memory, first calls](docs/benchmarks.md)",
    ]
    if sweep is not None:
        lines += ["", _sweep_sentence(sweep)]
    return "\n".join(lines)


def _times(program: Record | None, ours: Record) -> str:
    if program is None or ours["median"] is None:
        return "–"
    if program["median"] is None:
        limit = _limit(program)
        return "–" if limit is None else f"> {limit / ours['median']:.0f}×"
    mark = " †" if program["wrong"] else ""
    return f"{_cost(program) / _cost(ours):.1f}×{mark}"


def _cost(program: Record) -> float:
    """CPU seconds of a fit; of refits, which are counted by the clock only, those."""
    return float(program.get("cpu") or program["median"])


def _limit(program: Record) -> float | None:
    """Seconds after which a program was ended, if that is why it has no time."""
    problem = program["problem"] or ""
    return float(problem.split()[2]) if problem.startswith("unfinished") else None


def _sweep_sentence(sweep: Record) -> str:
    counts = {row["program"]: row["above"]["0.1"] for row in sweep["programs"]}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    return (
        f"Optima missed by more than 0.1 on {len(sweep['designs'])} small three-level designs: "
        f"{listed}."
    )


def one_thread(result: Record) -> list[Record]:
    """The rows of warm fits with one thread in which nestedmlm has a time."""
    return [
        row
        for row in result["warm"]
        if row["threads"] == 1
        and any(p["program"] == OURS and p["median"] for p in row["programs"])
    ]


def _page(result: Record, sweep: Record | None) -> str:
    from benchmarks.sweep import markdown as sweep_markdown

    page = markdown(result)
    head, rest = page.split("\n\n", 1)
    parts = [head, "![Times as multiples of lme4's](benchmarks.png)", rest.rstrip()]
    parts += ["## The models", models(result)]
    if sweep is not None:
        parts += ["## Optima missed", sweep_markdown(sweep).rstrip()]
    return "\n\n".join(parts) + "\n"


def models(result: Record) -> str:
    """What the rows are: formula and data of each case that was timed."""
    timed = {row["case"] for row in result["warm"]}
    lines = ["| model | formula | data |", "|---|---|---|"]
    for case in CASES:
        if case.name in timed:
            formula = case.formula.replace("|", "\\|")
            lines.append(f"| {case.name} | `{formula}` | {case.dataset} |")
    return "\n".join(lines)


def picture(result: Record, path: Path) -> None:
    """Time of each program as a multiple of lme4's, a line per model, logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in one_thread(result) if _reference(row) is not None][::-1]
    with mpl.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "text.color": INK}):
        figure, axes = plt.subplots(figsize=(8.4, 0.42 * len(rows) + 1.5), layout="constrained")
        for height, row in enumerate(rows):
            _draw(axes, height, row)
        _dress(axes, rows)
        figure.legend(
            handles=_key(rows),
            loc="outside lower center",
            ncols=4,
            frameon=False,
            handletextpad=0.2,
        )
        figure.savefig(path, dpi=160)
        plt.close(figure)


def _reference(row: Record) -> tuple[float, bool] | None:
    """lme4's CPU seconds, and whether that is only a lower bound."""
    lme4 = next((p for p in row["programs"] if p["program"] == LME4), None)
    if lme4 is None:
        return None
    limit = _limit(lme4)
    if limit is not None:
        return limit, True
    return None if lme4["median"] is None else (_cost(lme4), False)


def _draw(axes: Any, height: int, row: Record) -> None:
    reference, bound = _reference(row) or (1.0, False)
    own = next(p for p in row["programs"] if p["program"] == OURS)
    ours = (own["median"] if bound else _cost(own)) / reference  # a bound is by the clock
    leftmost = min(_cost(p) for p in row["programs"] if p["median"]) / reference
    axes.plot([ours, 1.0], [height, height], color=COLOURS[OURS], lw=5, alpha=0.22, zorder=1,
              solid_capstyle="butt")  # fmt: skip
    for p in row["programs"]:
        if p["median"] is None or p["program"] == LME4:
            continue
        colour = COLOURS.get(p["program"], COLOURS["other"])
        style = {"marker": "x", "color": colour} if p["wrong"] else {
            "marker": "o", "color": colour, "markeredgecolor": "white"}  # fmt: skip
        order = 3 if p["program"] in COLOURS else 2
        size = 9 if p["program"] == OURS else 7
        axes.plot(_cost(p) / reference, height, ls="", ms=size, zorder=order, **style)
    axes.annotate(
        f"{'> ' if bound else ''}{1 / ours:.0f}× faster" if ours < 1 else f"{ours:.1f}× slower",
        (leftmost, height), xytext=(-9, 0), textcoords="offset points", ha="right", va="center",
        color=COLOURS[OURS], fontsize=9,
    )  # fmt: skip


def _dress(axes: Any, rows: list[Record]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 6.0, max(high, 2.0) * 1.3)  # room for the words on the left
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.axvline(1.0, color=INK, lw=1.2, zorder=0)
    axes.annotate("lme4", (1.0, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
                  textcoords="offset points", ha="center", va="bottom", color=INK)  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["case"] for row in rows])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.set_xlabel(
        "CPU time of a fit ÷ lme4's (one thread, warm; >: lme4 was ended unfinished)",
        color=MUTED,
    )


def _key(rows: list[Record]) -> list[Any]:
    from matplotlib.lines import Line2D

    present = {p["program"] for row in rows for p in row["programs"] if p["median"]}
    names = [n for n in (OURS, PEER) if n in present]
    dots = [Line2D([], [], marker="o", ls="", ms=7, color=COLOURS[n], label=n) for n in names]
    grey = COLOURS["other"]
    if present - {OURS, PEER, LME4}:
        dots.append(Line2D([], [], marker="o", ls="", ms=7, color=grey, label="other Python peers"))
    dots.append(Line2D([], [], marker="x", ls="", ms=7, color=MUTED, label="optimum missed"))
    return dots
