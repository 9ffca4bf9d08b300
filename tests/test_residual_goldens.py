"""Residuals that differ or correlate, against nlme, glmmTMB and mmrm polished to the true optimum.

Kenward and Roger's method is compared with mmrm's ``Kenward-Roger-Linear``, whose optimizer stops a
little earlier: to 1e-4 in standard errors, 2e-4 in degrees of freedom.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.inference.effects.ddf import df_method

IDS = """
bw_car1 bw_power chick_car1 dialyzer_power egsingle_ar1_3level fev_mmrm_ar1 fev_mmrm_ar1h
fev_mmrm_toeph fev_mmrm_us machines_mach ortho_cs_negative ortho_mmrm_adh ortho_mmrm_ar1
ortho_mmrm_ar1h ortho_mmrm_cs ortho_mmrm_toeph ortho_mmrm_us ortho_sex_ri ortho_sex_rs
ortho_site_us ovary_ar1 ovary_car1 oxboys_car1 penicillin_half sleep_ar1_gls sleep_ar1_ri
sleep_ar1_rs sleep_days_exp sleep_paired_us sleep_phase
""".split()
HETEROGENEOUS = {"arh1": "ar1", "toeph": "toep", "adh": "ad1", "csh": "cs"}
OTHER_TERMS = ("relationship", "s(")  # kinship: fits/test_relationships.py; smooths


@pytest.fixture(scope="module")
def goldens(reference) -> dict[str, dict]:
    path = reference / "residual" / "goldens.json"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    return {entry["id"]: entry for entry in json.loads(path.read_text())["fits"]}


def test_every_reference_fit_is_tested(goldens):
    left = {name for name in set(goldens) - set(IDS)}
    assert all(any(w in str(goldens[name]["args"]) + goldens[name]["formula"] for w in OTHER_TERMS)
               for name in left)  # fmt: skip


def arguments(args: dict) -> dict[str, str | None]:
    """The reference's arguments as ours: ``power(x)`` is ``~ log(x)``, ``arh1`` ``hom=False``."""
    dispersion, residual = args["dispersion"], args["residual"]
    if dispersion and dispersion.startswith("power("):
        dispersion = f"~ log({dispersion[6:-1]})"
    if residual:
        name, rest = residual.split("(", 1)
        if name in HETEROGENEOUS:
            residual = f"{HETEROGENEOUS[name]}({rest[:-1]}, hom=False)"
    return {"dispersion": dispersion, "residual": residual}


def table(name: str, reference) -> pd.DataFrame:
    folder = reference / "residual" / "data"
    out = pd.read_csv(folder / f"{name}.csv")
    for column, levels in json.loads((folder / "schema.json").read_text()).get(name, {}).items():
        if levels:
            out[column] = pd.Categorical(out[column].astype(str), [str(x) for x in levels])
    return out


@pytest.mark.parametrize("name", IDS)
def test_reference_fit(name, goldens, reference):
    entry = goldens[name]
    best, args = entry["opt"], entry["args"]
    fit = nm.lmer(entry["formula"], table(entry["data"], reference), REML=args["REML"],
                  **arguments(args))  # fmt: skip
    assert fit.converged, fit.certificate.message
    assert fit.npar == entry["npar"]
    assert fit.criterion == pytest.approx(best["crit"], abs=1e-8)
    beta, se = np.array(best["fixef"]), np.array(best["se"])
    np.testing.assert_allclose(fit.params, beta, rtol=1e-6, atol=1e-6 * np.abs(beta).max())
    np.testing.assert_allclose(fit.bse, se, rtol=1e-5)
    assert fit.sigma == pytest.approx(best["sigma"], rel=1e-5)
    if best.get("satterthwaite_df") is not None:
        df = df_method(fit.core).rows(np.eye(fit.design.p))
        np.testing.assert_allclose(df, best["satterthwaite_df"], rtol=1e-4)
    if "mmrm_kr_linear" in entry["peers"]:
        other = entry["peers"]["mmrm_kr_linear"]
        method = df_method(fit.core, "kenward-roger")
        np.testing.assert_allclose(np.sqrt(np.diag(method.cov)), other["se"], rtol=1e-4)
        df = method.rows(np.eye(fit.design.p))
        np.testing.assert_allclose(df, other["df"], rtol=2e-4)
    for value in np.atleast_1d(np.array(entry["peers"].get("nlme", [np.nan]), dtype=float)):
        assert np.isnan(value) or fit.criterion <= value + 1e-8
