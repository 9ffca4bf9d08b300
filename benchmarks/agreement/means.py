"""Marginal means, slopes and contrasts against emmeans."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import nestedmlm as nm
from benchmarks.agreement.record import REFERENCE, Agreement, ask_r, largest_difference

SCRIPT = REFERENCE / "means" / "means.R"
PACKAGES = ("lme4", "lmerTest", "pbkrtest", "emmeans")
NUMBERS = ("estimate", "std_error", "df", "conf_low", "conf_high", "statistic", "p_value")

FORMULAS = {
    "cake": ("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake"),
    "cake_temp": ("angle ~ recipe * temp + (1 | recipe:replicate)", "cake"),
    "oats": ("yield ~ factor(nitro) + Variety + (1 | Block/Variety)", "Oats"),
    "cross": ("y ~ x * f + half + (x | g1) + (1 | g2)", "sim"),
    "weights": ("y ~ f * half + x + (1 | g1)", "sim"),
    "two": ("y ~ two * f + (1 | g1)", "sim"),
    "log": ("log(y + 20) ~ log(z + 5) + f + (1 | g1)", "sim"),
    "poly": ("y ~ poly(x, 2) * half + (1 | g1)", "sim"),
    "logical": ("y ~ I(x > 0) + f + (1 | g1)", "sim"),
    "offset": ("y ~ f + x + offset(z) + (1 | g1)", "sim"),
    "gap": ("y ~ f * half + (1 | g1)", "gap"),
    "nested": ("y ~ f + inner + (1 | g1)", "sim"),
    "slash": ("y ~ f / rep + (1 | g1)", "sim"),
    "ml": ("y ~ f * x + (1 | g1)", "sim"),
    "body": ("weight ~ Time * Diet + (Time | Rat)", "BodyWeight"),
    "sum": ("y ~ f * half + (1 | g1)", "sim"),
    "dose": ("y ~ factor(dose) * x + (1 | g1)", "sim"),
    "sleep_int": ("Reaction ~ Days + (1 | Subject)", "sleepstudy"),
    "sleep_corr": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "pastes": ("strength ~ 1 + (1 | batch/cask)", "Pastes"),
    "class_M17": ("mathscore ~ ses + (ses | schoolid) + (1 | classid)", "classroom"),
    "exam": ("normexam ~ standLRT + schgend + (1 | school)", "Exam"),
    "hsb": ("mAch ~ meanses * cses + sector * cses + (cses | school)", "Hsb82"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "weights": {"weights": "w"},
    "ml": {"REML": False},
    "exam": {"REML": False},
    "sum": {"contrasts": {"f": "sum"}},
}
SATTERTHWAITE = {"ddf": "satterthwaite"}

MEANS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "cake recipe": ("cake", "recipe", {}),
    "cake recipe | temperature": ("cake", "recipe", {"by": "temperature"}),
    "cake recipe, temperature": ("cake", ["recipe", "temperature"], {}),
    "cake recipe satterthwaite": ("cake", "recipe", SATTERTHWAITE),
    "cake recipe none": ("cake", "recipe", {"ddf": "none"}),
    "cake recipe level .9": ("cake", "recipe", {"level": 0.9}),
    "cake_temp at two temps": ("cake_temp", "recipe", {"at": {"temp": [180, 200]}, "by": "temp"}),
    "cake_temp averaged over at": ("cake_temp", "recipe", {"at": {"temp": [180, 200, 250]}}),
    "cake_temp 1": ("cake_temp", "1", {}),
    "oats nitro": ("oats", "nitro", {}),
    "oats Variety": ("oats", "Variety", {}),
    "oats at nitro": ("oats", "Variety", {"at": {"nitro": [0, 0.4]}}),
    "cross f equal": ("cross", "f", {}),
    "cross f proportional": ("cross", "f", {"weights": "proportional"}),
    "cross half outer": ("cross", "half", {"weights": "outer"}),
    "cross f cells": ("cross", "f", {"weights": "cells"}),
    "weights f": ("weights", "f", SATTERTHWAITE),
    "weights f proportional": ("weights", "f", {**SATTERTHWAITE, "weights": "proportional"}),
    "weights f cells": ("weights", "f", {**SATTERTHWAITE, "weights": "cells"}),
    "two f": ("two", "f", {}),
    "two f | two": ("two", "f", {"by": "two"}),
    "log f": ("log", "f", {}),
    "poly half": ("poly", "half", {}),
    "logical f": ("logical", "f", {}),
    "offset f": ("offset", "f", {}),
    "gap f": ("gap", "f", SATTERTHWAITE),
    "gap f, half": ("gap", ["f", "half"], SATTERTHWAITE),
    "gap f cells": ("gap", "f", {**SATTERTHWAITE, "weights": "cells"}),
    "gap f flat": ("gap", "f", {**SATTERTHWAITE, "weights": "flat"}),
    "nested f": ("nested", "f", SATTERTHWAITE),
    "nested inner": ("nested", "inner", SATTERTHWAITE),
    "slash f": ("slash", "f", {}),
    "slash rep": ("slash", "rep", {}),
    "ml f": ("ml", "f", {}),
    "body Diet": ("body", "Diet", {}),
    "sum f": ("sum", "f", {}),
    "dose dose": ("dose", "dose", {}),
}
TRENDS = {
    "cake_temp recipe": ("cake_temp", "recipe", "temp"),
    "cross f": ("cross", "f", "x"),
    "body Diet": ("body", "Diet", "Time"),
    "cross 1": ("cross", "1", "x"),
    "log z": ("log", "1", "z"),
    "poly half": ("poly", "half", "x"),
    "dose x": ("dose", "dose", "x"),
}
CONTRASTS: dict[str, Callable[[], nm.Emmeans]] = {
    "cake pairs tukey": lambda: recipe().pairs(),
    "cake pairs none": lambda: recipe().pairs(adjust="none"),
    "cake pairs holm": lambda: recipe().pairs(adjust="holm"),
    "cake pairs bonferroni": lambda: recipe().pairs(adjust="bonferroni"),
    "cake pairs sidak": lambda: recipe().pairs(adjust="sidak"),
    "cake pairs scheffe": lambda: recipe().pairs(adjust="scheffe"),
    "cake pairs fdr": lambda: recipe().pairs(adjust="fdr"),
    "cake revpairwise": lambda: recipe().contrast("revpairwise"),
    "cake trt.vs.ctrl": lambda: recipe().contrast("trt.vs.ctrl"),
    "cake trt.vs.ctrl ref C": lambda: recipe().contrast("trt.vs.ctrl", ref="C"),
    "cake eff": lambda: recipe().contrast("eff"),
    "cake del.eff": lambda: recipe().contrast("del.eff"),
    "cake poly": lambda: temperature().contrast("poly"),
    "cake temperature pairs": lambda: temperature().pairs(),
    "cake temperature consec holm": lambda: temperature().contrast("consec", adjust="holm"),
    "cake temperature mean_chg none": lambda: temperature().contrast("mean_chg", adjust="none"),
    "cake dict": lambda: recipe().contrast({"A - rest": [1, -0.5, -0.5]}),
    "cake pairs by": lambda: means("cake recipe | temperature").pairs(),
    "cake both pairs": lambda: nm.emmeans(
        fitted("cake_temp"), ["recipe", "temp"], at={"temp": [180, 200]}
    ).pairs(),
    "body trends pairs": lambda: nm.emtrends(fitted("body"), "Diet", var="Time").pairs(),
    "gap pairs": lambda: means("gap f").pairs(),
    "gap pairs by": lambda: nm.emmeans(fitted("gap"), "f", by="half", **SATTERTHWAITE).pairs(),
    "nested pairs": lambda: means("nested inner").pairs(),
    "offset pairs": lambda: means("offset f").pairs(),
}


@cache
def data(name: str) -> pd.DataFrame:
    """A data set with the columns that the R script adds."""
    if name not in ("sim", "gap"):
        return nm.load_dataset(name)
    d = nm.load_dataset("sim").copy()
    row = np.arange(1, len(d) + 1)
    d["two"] = np.where(d["z"] > 0, 1.0, 3.0)
    d["half"] = pd.Categorical(np.where(row % 5 < 2, "u", "v"))
    d["w"] = 1 + (row % 7) / 3
    d["inner"] = pd.Categorical([f"{f}{1 + i % 3}" for f, i in zip(d["f"], row, strict=True)])
    d["rep"] = pd.Categorical(1 + row % 3)
    d["dose"] = np.array([1.0, 2.0, 4.0])[row % 3]
    return d[~((d["f"] == "hi") & (d["half"] == "v"))] if name == "gap" else d


@cache
def fitted(model: str) -> nm.LmerFit:
    """One of `FORMULAS`, fitted."""
    formula, name = FORMULAS[model]
    return nm.lmer(formula, data(name), **OPTIONS.get(model, {}))


def means(case: str) -> nm.Emmeans:
    """One of `MEANS`."""
    model, specs, options = MEANS[case]
    return nm.emmeans(fitted(model), specs, **options)


def recipe() -> nm.Emmeans:
    return means("cake recipe")


def temperature() -> nm.Emmeans:
    return nm.emmeans(fitted("cake"), "temperature")


def table_difference(ours: nm.Emmeans, theirs: dict[str, Any]) -> float:
    """Largest difference of any number; rows in the same order with the same labels."""
    frame = ours.to_frame()
    if list(map(_key, frame[list(ours.labels)].itertuples(index=False))) != theirs["keys"]:
        return float("inf")
    return max(largest_difference(frame[name], theirs[name]) for name in NUMBERS)


def _key(row: Any) -> str:
    return "|".join(f"{v:.15g}" if isinstance(v, float) else str(v) for v in row)


def trends(case: str) -> nm.Emmeans:
    """One of `TRENDS`."""
    model, specs, var = TRENDS[case]
    return nm.emtrends(fitted(model), specs, var=var)


def compare() -> list[Agreement]:
    """Every case of the script."""
    r = ask_r(SCRIPT, PACKAGES, "--print")
    verbs = {
        "emmeans": (means, r["means"]),
        "emtrends": (trends, r["trends"]),
        "contrast": (lambda case: CONTRASTS[case](), r["contrasts"]),
    }
    return [
        Agreement(verb=verb, case=case, difference=table_difference(ours(case), theirs))
        for verb, (ours, answers) in verbs.items()
        for case, theirs in answers.items()
    ]
