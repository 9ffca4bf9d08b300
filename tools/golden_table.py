"""The table of docs/explanation/how_it_matches_lmer.md: `python tools/golden_table.py`.

It reads lme4's results (goldens.json, in the reference folder beside `NESTEDMLM_DATA`, and
tests/reference/stops/), fits the same models twice, to the optimum and to where lme4 stops, and
writes docs/explanation/_goldens.md and _stops.md, which are kept in the repository.
"""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import nestedmlm as nm
from nestedmlm import lme4

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "explanation" / "_goldens.md"
STOPS = ROOT / "docs" / "explanation" / "_stops.md"
KEPT = ROOT / "tests" / "reference" / "stops"
EXACT = 5e-8  # differences below this are shown as 0


def fit_like(entry: dict[str, Any]) -> nm.LmerFit:
    """Fit a reference entry; `args` are R's, in R's spelling."""
    formula, data, options = model_like(entry)
    return nm.lmer(formula, data, REML=(entry["args"] or {}).get("REML") != "FALSE", **options)


def model_like(entry: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """Formula, data and options of a reference entry's model."""
    args = entry["args"] or {}
    data = nm.load_dataset(entry["data"])
    if "subset" in args:
        data = data.query(args["subset"])
    contrasts = dict(re.findall(r'(\w+) = "contr\.(\w+)"', args.get("contrasts", "")))
    options = {"weights": args.get("weights"), "contrasts": contrasts or None}
    return entry["formula"], data, options


def largest_difference(fit: nm.LmerFit, optimum: dict[str, Any]) -> float:
    """Largest difference of a fixed effect from lme4's polished optimum, in standard errors."""
    beta, se = (v if isinstance(v, list) else [v] for v in (optimum["fixef"], optimum["se"]))
    pairs = zip(fit.fixef, beta, se, strict=True)
    return max((abs(a - b) / s for a, b, s in pairs), default=0.0)


def row(entry: dict[str, Any]) -> str:
    """One line of the table."""
    fit = fit_like(entry)
    gap = entry["default"]["crit"] - fit.criterion
    theirs, ours = entry["default"]["isSingular"], fit.is_singular()
    verdict = "yes" if ours else "no"
    if theirs != ours:
        verdict += f" (lme4: {'yes' if theirs else 'no'})"
    formula = entry["formula"].replace("|", "\\|")
    method = "" if fit.REML else " (ML)"
    return (
        f"| {entry['data']} | `{formula}`{method} | {fit.criterion:.4f} | {_small(gap)} "
        f"| {_bounded(largest_difference(fit, entry['opt']))} | {verdict} |"
    )


def stop_row(case: dict[str, Any], kept: dict[str, Any]) -> str:
    """One line of the table of places where lme4 stops."""
    data = nm.load_dataset(case["data"])
    if "subset" in case:
        data = data.query(case["subset"])
    options = {k: case[k] for k in ("REML", "weights", "contrasts", "start") if k in case}
    method = "" if case["REML"] else " (ML)"
    for name in ("subset", "weights", "start"):
        method += f", {name} {case[name]}" if name in case else ""
    formula = case["formula"].replace("|", "\\|")
    head = f"| {case['data']} | `{formula}`{method} | {kept['feval']} | "
    steady = "yes" if kept["steady"] else "no"
    try:
        fit = lme4.lmer(case["formula"], data, **options)
    except nm.errors.DataError:
        return f"{head}refused | | {steady} | | |"
    theta = np.array(kept["theta"])
    apart = np.max(np.abs(fit.theta - theta) / np.maximum(1.0, np.abs(theta)))
    return (
        f"{head}{fit.certificate.evaluations} | {_bounded(apart)} | {steady} | "
        f"{_printed(fit, kept)} | {fit.certificate.gap:.1e} |"
    )


def _printed(fit: nm.LmerFit, kept: dict[str, Any]) -> str:
    """Whether VarCorr and fixef print the same; empty where R has no such fit."""
    if "VarCorr" not in kept:
        return ""
    words = [line.split() for line in str(fit.varcorr()).splitlines()]
    varcorr = words == [line.split() for line in kept["VarCorr"]]
    pairs = zip(fit.fixef, map(float, kept["fixef"]), strict=True)
    fixef = all(abs(a - b) <= 5.1e-7 * abs(b) for a, b in pairs)  # seven digits
    return "same" if varcorr and fixef else "other digits"


def write_stops() -> None:
    """Write the table of places where lme4 stops."""
    cases = json.loads((KEPT / "cases.json").read_text(encoding="utf-8"))
    kept = {r["id"]: r for r in json.loads((KEPT / "stops.json").read_text(encoding="utf-8"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.errors.ConvergenceWarning)
        rows = [stop_row(case, kept[case["id"]]) for case in cases]
    head = (
        "| data | formula | lme4's evaluations | here | theta apart | steady | prints | "
        "above the optimum |\n|---|---|---:|---:|---:|---|---|---:|\n"
    )
    STOPS.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{STOPS}: {len(rows)} fits")


def _small(gap: float) -> str:
    return "0" if abs(gap) < EXACT else f"{gap:.1e}"


def _bounded(difference: float) -> str:
    bound = 1e-6
    return f"< {bound:.0e}" if difference < bound else f"{difference:.0e}"


def main() -> None:
    """Write the table."""
    logging.disable()
    folder = Path(os.environ["NESTEDMLM_DATA"]).parent / "reference"
    reference = json.loads((folder / "goldens.json").read_text(encoding="utf-8"))
    rows, refused = [], []
    for entry in reference["fits"]:
        if entry.get("opt") is None or entry.get("default") is None:
            refused.append(entry["id"])
            continue
        rows.append(row(entry))
    head = (
        "| data | formula | criterion here | lme4 above it | fixed effects, SE | singular |\n"
        "|---|---|---:|---:|---:|---|\n"
    )
    said = f"{len(rows)} fits; {reference['made_with'].split(';')[0]}.\n\n"
    TARGET.write_text(said + head + "\n".join(rows) + "\n", encoding="utf-8")
    write_stops()
    print(f"{TARGET}: {len(rows)} fits, without {', '.join(refused) or 'exception'}")


if __name__ == "__main__":
    main()
