"""Generalized models beside glmer, glmmTMB, glmm and mixedlm: CPU seconds of whole calls, in turns.

    NESTEDMLM_BENCH_PEERS=PYTHON python benchmarks/bench_glmm.py FOLDER

FOLDER holds reference fits (goldens.json and their data); PYTHON has the Rust packages glmm and
mixedlm, where this one has not. The programs take turns, model by model, with one thread; the least
CPU time of several calls counts. Ours is the whole call: design, optimum, and standard errors from
the exact Hessian; theirs too. A time in brackets ended more than 1e-5 from the best criterion.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from glmm_cases import read_fits, read_table  # noqa: E402

from nestedmlm.design.build import build_design  # noqa: E402
from nestedmlm.families import resolve_family  # noqa: E402
from nestedmlm.likelihood.elimination import speed  # noqa: E402
from nestedmlm.optimum.glmm.solve_glmm import solve_glmm  # noqa: E402

IDS = (
    "cbpp_cbind contra_int contra_slope toenail_laplace toenail_agq20 grouse epil2_slope "
    "culcita_like salamanders verbagg guImmun rodriguez"
).split()
# for packages that read no cbind() and no I(): the formula, a column to add, weights
PLAIN = {
    "cbpp_cbind": ("share ~ period + (1 | herd)", "share = incidence / size", "size"),
    "contra_int": ("use ~ age + age2 + urban + livch + (1 | district)", "age2 = age ** 2", None),
    "contra_slope": ("use ~ age + age2 + ch + urban + (urban | district)", "age2 = age ** 2", None),
}
PEERS = ("glmm", "mixedlm")
LARGE = ("nested, 180,000 rows", "InstEval, y > 3")
ROWS = 180_000
LIMIT = 300  # seconds a Rust package may take for one model
WRONG = 1e-5  # from the best criterion


def nested_rows() -> pd.DataFrame:
    """9,000 groups in 300, with slopes; a seed of its own."""
    rng = np.random.default_rng(1)
    g, x, z = rng.integers(0, 9000, ROWS), rng.normal(size=ROWS), rng.normal(size=ROWS)
    h = g // 30
    b, u, v = 0.5 * rng.normal(size=9000), 0.3 * rng.normal(size=300), 0.3 * rng.normal(size=300)
    eta = -0.5 + 0.4 * x + 0.2 * z + b[g] + u[h] + v[h] * x
    y = (rng.random(ROWS) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g, "h": h})


def insteval() -> pd.DataFrame:
    """lme4's InstEval with a binary response, from R."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "InstEval.csv"
        code = f"library(lme4); write.csv(InstEval, '{path}', row.names = FALSE)"
        subprocess.run(["Rscript", "-e", code], check=True, capture_output=True)
        data = pd.read_csv(path)
    return data.assign(y=(data["y"] > 3).astype(int))


def models(folder: Path):
    """Name, model, data and calls to time."""
    fits = read_fits(folder)
    for name in IDS:
        fit = fits[name]
        fit = {k: fit[k] for k in ("formula", "family", "link", "nAGQ", "args")}
        yield name, fit, read_table(folder / fits[name]["data"]), 3
    plain = {"family": "binomial", "link": "logit", "nAGQ": 1, "args": {}}
    yield LARGE[0], plain | {"formula": "y ~ x + z + (1 | g) + (x | h)"}, nested_rows(), 1
    yield LARGE[1], plain | {"formula": "y ~ service + (1 | s) + (1 | d)"}, insteval(), 1


def in_r(model: dict, data: pd.DataFrame, times: int) -> dict:
    """R's seconds and criteria."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False, na_rep="NA")
        given = model | {
            "data": str(path),
            "times": times,
            "weights": model["args"].get("weights"),
            "factors": [c for c in data if str(data[c].dtype) == "category"],
        }
        (Path(folder) / "model.json").write_text(json.dumps(given))
        script = str(ROOT / "benchmarks" / "bench_glmm.R")
        done = subprocess.run(
            ["Rscript", script, f"{folder}/model.json"], capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout)


def in_rust(package: str, name: str, model: dict, data: pd.DataFrame, times: int) -> dict:
    """A Rust package's seconds and criterion, or its problem."""
    if name in PLAIN:
        formula, column, weights = PLAIN[name]
        model, data = model | {"formula": formula, "args": {"weights": weights}}, data.eval(column)
    levels = {
        c: data[c].cat.categories.astype(str).tolist() for c in data.select_dtypes("category")
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False, na_rep="NA")
        given = model | {"data": str(path), "times": times, "levels": levels}
        (Path(folder) / "model.json").write_text(json.dumps(given))
        python = os.environ.get("NESTEDMLM_BENCH_PEERS", sys.executable)
        command = [python, str(ROOT / "benchmarks" / "glmm_peer.py"), package]
        try:
            done = subprocess.run(
                [*command, f"{folder}/model.json"], capture_output=True, text=True, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return {"problem": f"not done in {LIMIT} s"}
    lines = (done.stderr or "no answer").splitlines()
    return json.loads(done.stdout) if done.stdout else {"problem": lines[-1]}


def ours(model: dict, data: pd.DataFrame, times: int) -> tuple[float, float, float]:
    """Least CPU seconds of the whole call and of the fit alone, and the criterion."""
    family = resolve_family(model["family"], model["link"])
    calls, fits = [], []
    for _ in range(times + 1):
        start = time.process_time()
        design = build_design(
            model["formula"], data, weights=model["args"].get("weights"),
            offset=model["args"].get("offset"), family=family,
        )  # fmt: skip
        begun = time.process_time()
        found = solve_glmm(design, family, nAGQ=model["nAGQ"])
        fits.append(time.process_time() - begun)
        found.cov_params()
        calls.append(time.process_time() - start)
    return min(calls[1:]), min(fits[1:]), found.solution.deviance


def cell(answer: dict | None, best: float) -> str:
    """Milliseconds; in brackets with the distance where the criterion is not the best."""
    if not answer or answer.get("seconds") is None:
        return "–"
    time_taken, above = f"{1e3 * answer['seconds']:.3g}", answer["criterion"] - best
    return time_taken if abs(above) <= WRONG else f"({time_taken}, {above:+.1g})"


def main() -> None:
    """Print a table in Markdown."""
    speed.compile_from_now_on()
    names = ("glmer", "glmmTMB", *PEERS)
    load = "{:.0f}, {:.0f}, {:.0f}".format(*os.getloadavg())
    print(f"| model | rows | {' | '.join(names)} | nestedmlm (fit alone) | glmer / ours |")
    print("|---|---|" + "---|" * (len(names) + 2))
    whole, alone, problems = [], [], []
    for name, model, data, times in models(Path(sys.argv[1])):
        found = in_r(model, data, times)
        found |= {peer: in_rust(peer, name, model, data, times) for peer in PEERS}
        call, fit, criterion = ours(model, data, 3 * times)
        reached = [a["criterion"] for a in found.values() if a.get("seconds")]
        # glmer's quadrature is not taken about the modes, and may lie below the likelihood
        best = criterion if model["nAGQ"] > 1 else min([criterion, *reached])
        whole.append(found["glmer"]["seconds"] / call)
        alone.append(found["glmer"]["seconds"] / fit)
        problems += [f"{p}, {name}: {found[p]['problem']}" for p in PEERS if "problem" in found[p]]
        cells = " | ".join(cell(found.get(program), best) for program in names)
        own = cell({"seconds": call, "criterion": criterion}, best)
        print(
            f"| {name} | {len(data)} | {cells} | {own} ({1e3 * fit:.3g}) | {whole[-1]:.0f} |",
            flush=True,
        )
    calls, fits = (f"{statistics.median(ratios):.0f}" for ratios in (whole, alone))
    print(f"\nCPU ms; load {load} at the beginning.", end=" ")
    print(f"Median of glmer / ours: {calls} (whole calls), {fits} (fit alone).")
    print("\n".join(f"- {problem}" for problem in problems))


if __name__ == "__main__":
    main()
