"""Shares of variance and tidy tables against performance and broom.mixed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.agreement.means import fitted
from benchmarks.agreement.record import FOLDER, Agreement, ask_r, largest_difference

PACKAGES = ("lme4", "lmerTest", "performance", "broom.mixed")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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
    r = ask_r(FOLDER / "summaries.R", PACKAGES)
    return [*_shares(r), *_tidied(r), *_rows(r)]
