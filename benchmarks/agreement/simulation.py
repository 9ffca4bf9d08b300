"""Simulation beside R: bootMer's standard errors, PBmodcomp's and exactRLRT's p-values.

Both sides are Monte Carlo, so differences are in standard errors of the difference: 1 is usual,
more than 4 would be news.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import nestedmlm as nm
from benchmarks.agreement.record import DATA, FOLDER, Agreement, ask_r

UNIT = "Monte Carlo standard errors"
NSIM = 20_000
QUIET = {"seed": 2, "progress": False}


def _data(name: str) -> Any:
    return pd.read_csv(DATA / f"{name}.csv") if name == "classroom" else nm.load_dataset(name)


def _fits(name: str, *formulas: str, REML: bool) -> list[nm.LmerFit]:
    return [nm.lmer(formula, _data(name), REML=REML) for formula in formulas]


RLRT = {
    "Dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    "sleepstudy": (
        "sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
        "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
    ),
    "classroom": (
        "classroom",
        "mathscore ~ ses + (ses | schoolid)",
        "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
    ),
}
TESTS = {
    "cake": (
        "cake",
        "angle ~ temperature + (1 | recipe:replicate)",
        "angle ~ recipe + temperature + (1 | recipe:replicate)",
    ),
    "sleepstudy": (
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        "Reaction ~ Days + I(Days^2) + (Days | Subject)",
    ),
    "batches": (
        "Pastes",
        "strength ~ 1 + (1 | sample)",
        "strength ~ 1 + (1 | sample) + (1 | batch)",
    ),
}
BOOT = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "Dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
}


def _rlrt(case: str, theirs: dict[str, Any]) -> list[Agreement]:
    found = nm.rlrt(*_fits(*RLRT[case], REML=True), nsim=100_000, seed=1)
    statistic = abs(found.statistic - theirs["statistic"]) / max(1.0, theirs["statistic"])
    p = theirs["p"]
    error = np.sqrt(max(p * (1 - p), 1e-5) * (1 / 100_000 + 1 / theirs["nsim"]))
    out = [
        Agreement(verb="rlrt statistic", case=case, difference=statistic),
        Agreement(verb="rlrt p-value", case=case, difference=abs(found.pvalue - p) / error,
                  note=f"{UNIT}; R {p:.4g}, here {found.pvalue:.4g}"),
    ]  # fmt: skip
    for level, q in zip((0.75, 0.9, 0.95, 0.99), theirs["quantiles"], strict=True):
        above = np.mean(found.draws > q)
        error = np.sqrt(level * (1 - level) * (1 / 100_000 + 1 / theirs["nsim"]))
        out.append(Agreement(verb="rlrt null distribution", case=f"{case}, {level:.0%}",
                             difference=abs(above - (1 - level)) / error, note=UNIT))  # fmt: skip
    return out


def _bootstrap_test(case: str, theirs: dict[str, Any]) -> list[Agreement]:
    fits = _fits(*TESTS[case], REML=False)
    row = nm.anova(*fits, test="bootstrap", nsim=NSIM, **QUIET).table.iloc[1]
    p = row["Pr(bootstrap)"]
    error = np.sqrt(p * (1 - p) * (1 / NSIM + 1 / theirs["nsim"]))
    statistic = abs(row["Chisq"] - theirs["statistic"]) / max(1.0, theirs["statistic"])
    return [
        Agreement(verb="anova statistic", case=case, difference=statistic),
        Agreement(verb="anova(test='bootstrap')", case=case,
                  difference=abs(p - theirs["p"]) / error,
                  note=f"{UNIT}; PBmodcomp's draws {theirs['p']:.4g}, here {p:.4g}"),
    ]  # fmt: skip


def _standard_errors(case: str, theirs: dict[str, Any]) -> list[Agreement]:
    (fit,) = _fits(*BOOT[case], REML=True)
    ours = fit.bootstrap(NSIM, **QUIET).to_frame()["std_error"]
    se, kurtosis = np.array(theirs["se"]), np.array(theirs["kurtosis"])
    # Var(sd) = sd^2 (kurtosis - 1) / (4 n); ours is 30 times more precise
    error = se * np.sqrt((kurtosis - 1) / 4 * (1 / theirs["nsim"] + 1 / NSIM))
    z = np.abs(ours.to_numpy() - se) / error
    return [
        Agreement(verb="bootstrap standard errors", case=f"{case}: {name}", difference=float(d),
                  note=UNIT)
        for name, d in zip(ours.index, z, strict=True)
    ]  # fmt: skip


def compare() -> list[Agreement]:
    """Compare all; R needs about a minute."""
    theirs = ask_r(FOLDER / "simulation.R", ["lme4", "pbkrtest", "RLRsim"])
    parts = {"rlrt": _rlrt, "test": _bootstrap_test, "se": _standard_errors}
    return [
        one
        for part, function in parts.items()
        for case, numbers in theirs[part].items()
        for one in function(case, numbers)
    ]
