"""Reference fits of generalized models, and their designs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pandas as pd

from nestedmlm.design.build import build_design
from nestedmlm.families import negative_binomial, resolve_family

IDS = """
cbpp_cbind cbpp_weights cbpp_nAGQ9 cbpp_nAGQ0 cbpp_probit cbpp_olre cbpp_nofix contra_int
contra_slope contra_agq7 contra_cauchit verbagg verbagg_nAGQ0 toenail_laplace toenail_agq20
respiratory bacteria grouse epil epil_agq5 epil2_slope mmmec_offset owls owls_sqrt salamanders
owls_nb_fixedtheta culcita_like culcita_like_agq singular_int singular_slope crossed_cbind_offset
nested_weights_slope owls_nb2 epil2_nb2_slope sleep_gamma_log sleep_gamma_log_slope
sleep_gamma_inverse sim_gamma_nested sim_beta cbpp_probit_observed sim_gamma_weights guImmun
rodriguez
""".split()
NAMES = {"nbinom2": "negativebinomial", "Gamma": "gamma"}


@cache
def read_fits(folder: Path):
    """The reference fits of a folder by id."""
    text = (folder / "goldens.json").read_text(encoding="utf-8")
    return {fit["id"]: fit for fit in json.loads(text)["fits"]}


@cache
def read_table(path: Path):
    """A reference table with the levels of its factors in R's order."""
    data = pd.read_csv(path, keep_default_na=False, na_values=["NA"])
    schema = json.loads(path.with_name("schema.json").read_text(encoding="utf-8"))
    for name, column in schema[path.stem].items():
        if "levels" in column:
            text = data[name].astype(str).where(data[name].notna())
            data[name] = pd.Categorical(text, column["levels"], ordered=column["ordered"])
    return data


def family_of(fit):
    name = NAMES.get(fit["family"], fit["family"])
    if name.startswith("Negative Binomial"):
        return negative_binomial(theta=float(name.partition("(")[2].rstrip(")")))
    return resolve_family(name, fit["link"])


def frame_of(folder, fit):
    return read_table(folder / fit["data"])


def design_of(folder, fit, family):
    options = {name: fit["args"][name] for name in ("weights", "offset")}
    return build_design(fit["formula"], frame_of(folder, fit), family=family, **options)
