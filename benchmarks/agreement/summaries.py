"""Means, slopes, shares and tidy tables against emmeans, performance and broom.mixed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import nestedmlm as nm
from benchmarks.agreement.record import Agreement, ask_r, largest_difference

PACKAGES = ("lme4", "lmerTest", "pbkrtest", "emmeans", "performance", "broom.mixed")
NUMBERS = ("estimate", "std_error", "df", "conf_low", "conf_high", "statistic", "p_value")
R_INFINITE = 1e300  # how the script writes Inf

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
    if list(map(_key, frame[list(ours.labels)].itertuples(index=False))) != _listed(theirs["keys"]):
        return float("inf")
    gaps = []
    for name in NUMBERS:
        values = np.array(_listed(theirs[name]), dtype=float)
        values[values == R_INFINITE] = np.inf
        gaps.append(largest_difference(frame[name], values))
    return max(gaps)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _key(row: Any) -> str:
    return "|".join(f"{v:.15g}" if isinstance(v, float) else str(v) for v in row)


def _tables(r: dict[str, Any]) -> list[Agreement]:
    out = []
    for case, theirs in r["means"].items():
        out.append(_one("emmeans", case, table_difference(means(case), theirs)))
    for case, theirs in r["trends"].items():
        model, specs, var = TRENDS[case]
        ours = nm.emtrends(fitted(model), specs, var=var)
        out.append(_one("emtrends", case, table_difference(ours, theirs)))
    for case, theirs in r["contrasts"].items():
        out.append(_one("contrast", case, table_difference(CONTRASTS[case](), theirs)))
    return out


def _shares(r: dict[str, Any]) -> list[Agreement]:
    out = []
    for model, theirs in r["shares"].items():
        fit = fitted(model)
        ours = [*fit.icc(), *fit.r2()]
        out.append(_one("icc, r2", model, largest_difference(ours, theirs)))
    for model, theirs in r["by_group"]["icc"].items():
        ours = fitted(model).icc(by_group=True).iloc[:-1]
        out.append(_one("icc by group", model, largest_difference(ours, _listed(theirs))))
    for model, theirs in r["by_group"]["r2"].items():
        found = fitted(model).r2(by_group=True)
        ours = [found.iloc[-1], *found.iloc[:-1]]
        out.append(_one("r2 by group", model, largest_difference(ours, _listed(theirs))))
    return out


def _tidied(r: dict[str, Any]) -> list[Agreement]:
    out = []
    for model, theirs in r["tidy"].items():
        fit = fitted(model)
        fixed = fit.tidy("fixed", conf_int=True)
        columns = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
        out.append(_one("tidy fixed", model, largest_difference(fixed[columns], theirs["fixed"])))
        pars = fit.tidy("ran_pars")
        same = list(pars["group"] + " " + pars["term"]) == _listed(theirs["ran_terms"])
        gap = max(
            largest_difference(pars["estimate"], _listed(theirs["ran_pars"])),
            largest_difference(fit.tidy("ran_pars", scales="vcov")["estimate"], theirs["vcov"]),
        )
        out.append(_one("tidy ran_pars", model, gap if same else float("inf")))
        vals = _keyed(fit.tidy("ran_vals", conf_int=True))
        numbers = vals.loc[theirs["vals_keys"], ["estimate", "std_error", "conf_low", "conf_high"]]
        out.append(_one("tidy ran_vals", model, largest_difference(numbers, theirs["ran_vals"])))
        coefs = _keyed(fit.tidy("ran_coefs")).loc[theirs["coefs_keys"], "estimate"]
        out.append(_one("tidy ran_coefs", model, largest_difference(coefs, theirs["ran_coefs"])))
    return out


def _keyed(frame: pd.DataFrame) -> pd.DataFrame:
    keys = frame["group"] + " " + frame["term"] + " " + frame["level"].astype(str)
    return frame.set_axis(keys, axis=0)


def _rows(r: dict[str, Any]) -> list[Agreement]:
    out = []
    for model, theirs in r["rows"].items():
        fit = fitted(model)
        ours = fit.augment().iloc[:, -11:]
        out.append(_one("augment", model, largest_difference(ours, theirs["augment"])))
        g = fit.glance().iloc[0]
        criterion = g["reml_criterion"] if fit.REML else g["deviance"]
        numbers = [*g[["nobs", "sigma", "log_lik", "aic", "bic"]], criterion, g["df_residual"]]
        out.append(_one("glance", model, largest_difference(numbers, theirs["glance"])))
    return out


def _one(verb: str, case: str, difference: float) -> Agreement:
    return Agreement(verb=verb, case=case, difference=difference)


def compare() -> list[Agreement]:
    """Compare every verb of the theme."""
    r = ask_r("summaries.R", PACKAGES)
    return [*_tables(r), *_shares(r), *_tidied(r), *_rows(r)]
