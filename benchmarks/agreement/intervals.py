"""Profile and Wald intervals against lme4's confint, standard errors against lmerTest."""

from __future__ import annotations

from typing import Any

import numpy as np

import nestedmlm as nm
from benchmarks.agreement.record import FOLDER, Agreement, ask_r, largest_difference

PACKAGES = ("lme4", "lmerTest", "numDeriv")
SPLINE = "relative to the interval's length; lme4 interpolates its profile by splines"
FITS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {}),
    "double bar": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", {}),
    "Dyestuff": ("Yield ~ 1 + (1 | Batch)", "Dyestuff", {}),
    "Dyestuff2": ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", {}),
    "Penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {}),
    "Pastes": ("strength ~ 1 + (1 | batch/cask)", "Pastes", {}),
    "offset": ("Reaction ~ Days + offset(off) + (Days | Subject)", "sleep_ext", {}),
    "rank-deficient X": ("Reaction ~ Days + x2 + noise + (1 | Subject)", "sleep_ext", {}),
    "weights": ("Reaction ~ Days + (Days | Subject)", "sleep_ext", {"weights": "w"}),
    "M14": ("mathscore ~ ses + (ses | schoolid)", "classroom", {}),
    "M17": ("mathscore ~ ses + (ses | schoolid) + (1 | classid)", "classroom", {}),
}


def compare() -> list[Agreement]:
    """Every model of intervals.R, then the standard errors of variance parameters."""
    theirs = ask_r(FOLDER / "intervals.R", PACKAGES)
    out = [found for case in theirs["cases"] for found in compare_case(case)]
    for label, REML, key in (("REML", True, "se_reml"), ("ML", False, "se_ml")):
        out.append(
            Agreement(
                verb="variance_parameters",
                case=f"sleepstudy {label}",
                difference=largest_difference(_log_scale(REML), theirs[key]),
                note="standard errors of log SDs and atanh correlations",
            )
        )
    return out


def compare_case(theirs: dict[str, Any]) -> list[Agreement]:
    """Profile limits, then Wald limits of the fixed effects."""
    formula, data, options = FITS[theirs["id"]]
    fit = nm.lmer(formula, nm.load_dataset(data), **options)
    names = theirs["names"]
    names = [names] if isinstance(names, str) else names
    ours = fit.conf_int(names, order="lme4-1", names="old", progress=False).to_numpy()
    limits = np.column_stack([theirs["lower"], theirs["upper"]]).astype(float)
    length = limits[:, 1] - limits[:, 0]
    gap = np.abs(ours - limits) / length[:, None]
    wald = fit.conf_int("beta_", method="wald")
    return [
        Agreement(
            verb="conf_int(profile)",
            case=theirs["id"],
            difference=float(np.nanmax(gap)),
            note=SPLINE,
        ),
        Agreement(
            verb="conf_int(wald)",
            case=theirs["id"],
            difference=largest_difference(wald.loc[theirs["fixef"]], theirs["wald"]),
        ),
    ]


def _log_scale(REML: bool) -> list[float]:
    rows = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", rows, REML=REML)
    found = fit.variance_parameters()
    scale = np.where(found["kind"] == "cor", 1.0 - found["estimate"] ** 2, found["estimate"])
    return list(found["std_error"] / scale)
