"""Time from a fresh process to a posterior, and effective draws per second.

    python benchmarks/bench_bayes.py [--draws 1000] [--chains 4] [--json bench_bayes.json]
        [--programs marginal,psis,hierarchical,bambi] [--bambi-python PYTHON] [--runs 3]
        [--models M14,M17,sleepstudy,Penicillin]

Every posterior is drawn in a process of its own: import, then everything from formula and data
frame to draws. "cold" runs have empty PyTensor and Numba caches, "warm" ones the caches of the
cold run (medians of several). Bambi is timed by its own interpreter where that can import it
(BAMBI_PYTHON or --bambi-python).
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
# other back-ends, on request; the last needs JAX
MORE_PROGRAMS = ("marginal-numba", "hierarchical-c", "hierarchical-jax")
TIMES = ("import", "compile", "sample", "total")
PACKAGES = ("nestedmlm", "pymc", "pytensor", "nutpie", "arviz", "numba")
TIMEOUT = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model by one program with cold or warm caches; seconds, medians over the runs."""

    model: str
    program: str
    caches: str
    runs: int
    seconds: dict[str, float]
    cpu: float
    min_ess: float
    khat: float | None
    divergences: int | None

    @property
    def ess_per_second(self) -> float:
        return self.min_ess / self.seconds["sample"]

    @property
    def ess_per_cpu_second(self) -> float:
        return self.min_ess / self.cpu


def main() -> None:
    options = arguments()
    python = {name: sys.executable for name in (*PROGRAMS, *MORE_PROGRAMS)} | {
        "bambi": options.bambi_python
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
            for program in programs:
                job = (program, str(path), formula, factors)
                rows += measure(python[program], name, job, options, Path(folder))
                print(f"{name} {program}: done", file=sys.stderr)
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
        "load_before": load_before,
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
    python: str, model: str, job: tuple[str, ...], options: argparse.Namespace, folder: Path
) -> list[Row]:
    """One cold run, then warm ones with the caches that it left."""
    with tempfile.TemporaryDirectory(dir=folder) as caches:
        answers = [run(python, job, options, seed, caches) for seed in range(1 + options.runs)]
    cold, warm = answers[:1], answers[1:]
    return [
        summarise(model, job[0], "cold", cold),
        *([summarise(model, job[0], "warm", warm)] if warm else []),
    ]


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
    if job[0] != "bambi":
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


def summarise(model: str, program: str, caches: str, answers: list[dict[str, Any]]) -> Row:
    def median(name: str) -> float:
        return statistics.median(float(answer[name]) for answer in answers)

    khats = [answer["khat"] for answer in answers if answer["khat"] is not None]
    divergences = [a["divergences"] for a in answers if a["divergences"] is not None]
    return Row(
        model=model,
        program=program,
        caches=caches,
        runs=len(answers),
        seconds={name: median(name) for name in TIMES},
        cpu=median("cpu"),
        min_ess=median("min_ess"),
        khat=max(khats) if khats else None,
        divergences=sum(divergences) if divergences else None,
    )


def markdown(rows: list[Row], notes: list[str]) -> str:
    heads = ["model", "program", "caches", *(f"{t} s" for t in TIMES), "CPU s", "min ESS",
             "ESS / s", "ESS / CPU s", "divergences", "k"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * 3 + " ---: |" * (len(heads) - 3)]
    for row in rows:
        cells = [row.model, row.program, row.caches]
        cells += [f"{row.seconds[t]:.1f}" for t in TIMES]
        cells += [f"{row.cpu:.2f}", f"{row.min_ess:.0f}", f"{row.ess_per_second:.0f}"]
        cells += [f"{row.ess_per_cpu_second:.0f}"]
        cells += ["" if row.divergences is None else str(row.divergences)]
        cells += ["" if row.khat is None else f"{row.khat:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    if any(row.caches == "cold" for row in rows):
        lines += ["", "CPU seconds are those after the import, compilation included."]
    return "\n".join([*lines, "", *notes]).rstrip()


if __name__ == "__main__":
    main()
