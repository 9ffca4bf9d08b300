"""The table of docs/explanation/how_it_matches_lmer.md: `python tools/golden_table.py`.

It reads lme4's results (goldens.json) from the reference folder beside `NESTEDMLM_DATA`, fits the
same models and writes docs/explanation/_goldens.md, which is kept in the repository.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import nestedmlm as nm

TARGET = Path(__file__).parents[1] / "docs" / "explanation" / "_goldens.md"
EXACT = 5e-8  # differences below this are shown as 0


def fit_like(entry: dict[str, Any]) -> nm.LmerFit:
    """Fit a reference entry; `args` are R's, in R's spelling."""
    args = entry["args"] or {}
    data = nm.load_dataset(entry["data"])
    if "subset" in args:
        data = data.query(args["subset"])
    contrasts = dict(re.findall(r'(\w+) = "contr\.(\w+)"', args.get("contrasts", "")))
    return nm.lmer(
        entry["formula"],
        data,
        REML=args.get("REML") != "FALSE",
        weights=args.get("weights"),
        contrasts=contrasts or None,
    )


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
    print(f"{TARGET}: {len(rows)} fits, without {', '.join(refused) or 'exception'}")


if __name__ == "__main__":
    main()
