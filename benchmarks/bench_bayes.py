"""Time to the first posterior, and effective draws per CPU second.

    python benchmarks/bench_bayes.py [--draws 1000] [--chains 4] [--json bench_bayes.json]
        [--programs marginal,psis,hierarchical,bambi] [--bambi-python PYTHON] [--runs 3]
        [--models M14,M17,sleepstudy,Penicillin]

"cold" is a process with empty PyTensor and Numba caches, "fresh" one with the caches that it left:
both from the process's start (imports, then formula and data frame to all draws). "warm" is the
second posterior of a process. Bambi is timed by its own interpreter where that can import it
(BAMBI_PYTHON or --bambi-python). Programs take turns, so that all see the same load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nestedmlm as nm
from nestedmlm.datasets import find_local

WORKER = Path(__file__).with_name("bayes_worker.py")
ROOT = Path(__file__).parents[1]
MODELS = {
    "M14": ("classroom", "mathscore ~ ses + (ses | schoolid)"),
    "M17": ("classroom", "mathscore ~ ses + (ses | schoolid) + (1 | classid)"),
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "Penicillin": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
}
PROGRAMS = ("marginal", "psis", "hierarchical", "bambi")
# other back-ends, on request
MORE_PROGRAMS = ("hierarchical-c", "hierarchical-jax", "bambi-pymc")
PACKAGES = ("nestedmlm", "pymc", "pytensor", "nutpie", "arviz", "numba")
TIMEOUT = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model by one program; (seconds, CPU seconds), medians over the runs but for the cold."""

    model: str
    program: str
    runs: int
    cold: tuple[float, float]
    fresh: tuple[float, float]
    warm: tuple[float, float]
    min_ess: float
    khat: float | None
    divergences: int | None

    @property
    def ess_per_cpu_second(self) -> float:
        return self.min_ess / self.warm[1]


def main() -> None:
    options = arguments()
    python = {name: sys.executable for name in (*PROGRAMS, *MORE_PROGRAMS)} | {
        name: options.bambi_python for name in ("bambi", "bambi-pymc")
    }
    programs = options.programs.split(",")
    notes = []
    if "bambi" in programs and not imports_bambi(options.bambi_python):
        programs.remove("bambi")
        notes.append(f"Bambi was left out: {options.bambi_python} cannot import it.")
    load_before = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (dataset, formula) in MODELS.items():
            if name not in options.models.split(","):
                continue
            if dataset == "classroom" and find_local("classroom") is None:
                notes.append(f"{name} was left out: set NESTEDMLM_DATA to classroom.csv's folder.")
                continue
            path, factors = export(dataset, Path(folder))
            jobs = {program: (program, str(path), formula, factors) for program in programs}
            rows += measure(python, name, jobs, options, Path(folder))
    print(markdown(rows, notes))
    record = {
        "rows": [asdict(row) for row in rows],
        "notes": notes,
        "draws": options.draws,
        "chains": options.chains,
        "python": platform.python_version(),
        "versions": {p: version(p) for p in PACKAGES if installed(p)},
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "load": (load_before, os.getloadavg()[0]),
    }
    Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3, help="warm runs")
    more = f"also: {', '.join(MORE_PROGRAMS)}"
    parser.add_argument("--programs", default=",".join(PROGRAMS), help=more)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--json", default="bench_bayes.json")
    default = os.environ.get("BAMBI_PYTHON", sys.executable)
    parser.add_argument("--bambi-python", default=default)
    return parser.parse_args()


def installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def imports_bambi(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", "import bambi, nutpie"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def export(dataset: str, folder: Path) -> tuple[Path, str]:
    frame = nm.load_dataset(dataset)
    path = folder / f"{dataset}.csv"
    frame.to_csv(path, index=False)
    return path, ",".join(frame.select_dtypes("category").columns)


def measure(
    python: dict[str, str], model: str, jobs: dict[str, tuple[str, ...]],
    options: argparse.Namespace, folder: Path,
) -> list[Row]:  # fmt: skip
    """One cold run of each program, then fresh ones with the caches that it left, in turns."""
    caches = {program: tempfile.mkdtemp(dir=folder) for program in jobs}
    answers: dict[str, list[dict[str, Any]]] = {program: [] for program in jobs}
    for seed in range(1 + options.runs):
        for program, job in jobs.items():
            answers[program].append(run(python[program], job, options, seed, caches[program]))
            print(f"{model} {program}: run {seed}", file=sys.stderr)
    return [summarise(model, program, own) for program, own in answers.items()]


def run(
    python: str, job: tuple[str, ...], options: argparse.Namespace, seed: int, caches: str
) -> dict[str, Any]:
    env = os.environ | {
        "PYTENSOR_FLAGS": f"base_compiledir={caches}/pytensor",
        "NUMBA_CACHE_DIR": f"{caches}/numba",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    if not job[0].startswith("bambi"):
        env["PYTHONPATH"] = str(ROOT)
    else:
        env.pop("PYTHONPATH", None)
    numbers = (str(options.draws), str(options.chains), str(seed))
    done = subprocess.run(
        [python, str(WORKER), *job, *numbers], env=env, capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(job)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def summarise(model: str, program: str, answers: list[dict[str, Any]]) -> Row:
    def median(which: str, name: str, of: list[dict[str, Any]]) -> float:
        return statistics.median(float(answer[which][name]) for answer in of)

    def times(which: str, of: list[dict[str, Any]]) -> tuple[float, float]:
        return median(which, "seconds", of), median(which, "cpu", of)

    after = answers[1:]
    every = [answer[which] for answer in answers for which in ("first", "second")]
    khats = [each["khat"] for each in every if each["khat"] is not None]
    divergences = [each["divergences"] for each in every if each["divergences"] is not None]
    return Row(
        model=model,
        program=program,
        runs=len(after),
        cold=times("first", answers[:1]),
        fresh=times("first", after),
        warm=times("second", after),
        min_ess=median("second", "min_ess", after),
        khat=max(khats) if khats else None,
        divergences=sum(divergences) if divergences else None,
    )


def markdown(rows: list[Row], notes: list[str]) -> str:
    heads = ["model", "program", "cold s (CPU)", "fresh s (CPU)", "warm s (CPU)", "min ESS",
             "ESS / CPU s", "divergences", "k"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * 2 + " ---: |" * (len(heads) - 2)]
    for row in rows:
        times = [f"{s:.2f} ({c:.2f})" for s, c in (row.cold, row.fresh, row.warm)]
        cells = [row.model, row.program, *times, f"{row.min_ess:.0f}"]
        cells += [f"{row.ess_per_cpu_second:.0f}"]
        cells += ["" if row.divergences is None else str(row.divergences)]
        cells += ["" if row.khat is None else f"{row.khat:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "ESS per CPU second is that of warm posteriors; divergences are those of all runs.",
    ]
    return "\n".join([*lines, "", *notes]).rstrip()


if __name__ == "__main__":
    main()
