"""Residuals, leverages, predictions with standard errors, and groups left out, against lme4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nestedmlm as nm
from benchmarks.agreement.record import FOLDER, Agreement, ask_r, largest_difference

PACKAGES = ("lme4",)
DENSE = "R: dense matrices (lme4 1.1-31 has no se.fit)"
REFITTED = "R: refits with a tight tolerance"


def compare() -> list[Agreement]:
    """Every verb about rows, for every model of rows.R."""
    return [
        found for theirs in ask_r(FOLDER / "rows.R", PACKAGES) for found in compare_case(theirs)
    ]


def compare_case(theirs: dict[str, Any]) -> list[Agreement]:
    """The verbs of one model."""
    data = nm.load_dataset(theirs["data"])
    fit = nm.lmer(theirs["formula"], data, weights=theirs.get("weights"))
    new = data.iloc[theirs["few"]]
    ours: dict[str, tuple[Callable[[], Any], str, str]] = {
        "residuals(pearson)": (lambda: fit.residuals("pearson"), "pearson", ""),
        "residuals(scaled)": (lambda: fit.residuals("deviance", scaled=True), "scaled", ""),
        "residuals(working)": (lambda: fit.residuals("working"), "working", ""),
        "hatvalues": (fit.hatvalues, "hat", ""),
        "rstudent": (fit.rstudent, "rstudent", ""),
        "cooks_distance": (fit.cooks_distance, "cooks", ""),
        "predict": (lambda: fit.predict(new), "all", ""),
        "predict(population)": (lambda: fit.predict(new, re_form=False), "none", ""),
        "predict(partial re_form)": (
            lambda: fit.predict(new, re_form=theirs["form"]), "partial", "",
        ),
        "predict(random_only)": (lambda: fit.predict(new, random_only=True), "random", ""),
        "predict(se_fit)": (lambda: fit.predict(new, se_fit=True).std_error, "se", DENSE),
    }  # fmt: skip
    out = [
        Agreement(
            verb=verb,
            case=theirs["id"],
            difference=largest_difference(make(), theirs[name]),
            note=note,
        )
        for verb, (make, name, note) in ours.items()
    ]
    return out + (influence(fit, theirs) if theirs.get("group") else [])


def influence(fit: nm.LmerFit, theirs: dict[str, Any]) -> list[Agreement]:
    """Groups left out, in R's order."""
    found = fit.influence(theirs["group"], progress=False)
    place = [list(map(str, found.converged.index)).index(label) for label in theirs["labels"]]
    pairs = {
        "influence cooks_distance": (found.cooks_distance(), "cooks_group"),
        "influence dfbetas": (found.dfbetas(), "dfbetas"),
        "influence sigma": (found.sigma_without, "sigma_without"),
    }
    return [
        Agreement(
            verb=verb,
            case=theirs["id"],
            difference=largest_difference(np.asarray(values)[place], theirs[name]),
            note=REFITTED,
        )
        for verb, (values, name) in pairs.items()
    ]
