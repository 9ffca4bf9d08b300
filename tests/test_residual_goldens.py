"""Residuals that differ or correlate, relatives and smooths, against fits polished to the optimum.

The fits are those of nlme, glmmTMB, mmrm, mgcv and gamm4, minimised on until nothing was left.
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
 animal_ped animal_ped_herd bw_car1 bw_power chick_car1 dialyzer_power egsingle_ar1_3level
fev_mmrm_ar1 fev_mmrm_ar1h fev_mmrm_toeph fev_mmrm_us machines_mach ortho_cs_negative
ortho_mmrm_adh ortho_mmrm_ar1 ortho_mmrm_ar1h ortho_mmrm_cs ortho_mmrm_toeph ortho_mmrm_us
ortho_sex_ri ortho_sex_rs ortho_site_us ovary_ar1 ovary_car1 oxboys_car1 penicillin_half
sleep_ar1_gls sleep_ar1_ri sleep_ar1_rs sleep_days_exp sleep_paired_us sleep_phase
""".split()
HETEROGENEOUS = {"arh1": "ar1", "toeph": "toep", "adh": "ad1", "csh": "cs"}
SMOOTHS = ("mcycle_cr", "mcycle_tp", "sleep_smooth")  # mgcv codes the lines of a curve otherwise
RELATIVES = ("animal_ped", "animal_ped_herd")


@pytest.fixture(scope="module")
def goldens(reference) -> dict[str, dict]:
    path = reference / "residual" / "goldens.json"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    return {entry["id"]: entry for entry in json.loads(path.read_text())["fits"]}


def test_every_reference_fit_is_tested(goldens):
    assert set(goldens) == {*IDS, *SMOOTHS}


def arguments(args: dict) -> dict[str, str | None]:
    """The reference's arguments as ours: ``power(x)`` is ``~ log(x)``, ``arh1`` ``hom=False``."""
    dispersion, residual = args.get("dispersion"), args.get("residual")
    if dispersion and dispersion.startswith("power("):
        dispersion = f"~ log({dispersion[6:-1]})"
    if residual:
        name, rest = residual.split("(", 1)
        if name in HETEROGENEOUS:
            residual = f"{HETEROGENEOUS[name]}({rest[:-1]}, hom=False)"
    return {"dispersion": dispersion, "residual": residual}


def relatives(args: dict, reference) -> dict[str, nm.Pedigree] | None:
    """The pedigrees that the reference names."""
    files = args.get("relationship", {})
    folder = reference / "residual" / "data"
    return {f: nm.pedigree(pd.read_csv(folder / name)) for f, name in files.items()} or None


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
                  relationship=relatives(args, reference), **arguments(args))  # fmt: skip
    assert fit.converged, fit.certificate.message
    assert fit.npar == entry.get("npar", fit.npar)
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
    for value in np.atleast_1d(np.array(entry["peers"].get("nlme"), dtype=float)):
        assert np.isnan(value) or fit.criterion <= value + 1e-8


@pytest.mark.parametrize("name", RELATIVES)
def test_effects_of_relatives(name, goldens, reference):
    """Those of animals with records and of the five first, which have none."""
    entry = goldens[name]
    fit = nm.lmer(entry["formula"], table(entry["data"], reference),
                  relationship=relatives(entry["args"], reference))  # fmt: skip
    best = entry["opt"]
    sd = fit.varcorr().to_frame().set_index("group").estimate
    assert sd["id"] == pytest.approx(best["sd_id"], rel=1e-6)
    assert sd.get("herd", []) == pytest.approx(best["sd_other"], rel=1e-6)
    modes = fit.ranef().query("group == 'id'").set_index("level").estimate
    np.testing.assert_allclose(modes[best["blup_ids"]], best["blup_first10_phenotyped"], atol=1e-6)
    np.testing.assert_allclose(modes.iloc[:5], best["blup_unphenotyped"], atol=1e-6)


@pytest.mark.parametrize("name", SMOOTHS)
def test_reference_smooth(name, goldens, reference):
    """The reference's lines are ours in another basis, which only moves log|X'V^-1 X|."""
    entry = goldens[name]
    best, data = entry["opt"], table(entry["data"], reference)
    fit = nm.lmer(entry["formula"], data, REML=entry["args"]["REML"])
    assert fit.converged, fit.certificate.message
    X = pd.read_csv(reference / "residual" / "data" / f"{name}_X.csv").iloc[:, 1:].to_numpy()
    change, left, *_ = np.linalg.lstsq(X, fit.design.X, rcond=None)
    assert left == pytest.approx(0.0, abs=1e-8)
    moved = 2.0 * np.linalg.slogdet(change)[1]
    assert fit.criterion - moved == pytest.approx(best["crit"], abs=1e-8)
    assert fit.sigma == pytest.approx(best["sigma"], rel=1e-6)
    np.testing.assert_allclose(fit.fittedvalues, best["fitted"], atol=1e-6)
    assert fit.hatvalues().sum() == pytest.approx(best["edf_total"], abs=1e-6)
    own = np.atleast_1d(entry["peers"]["mgcv_smooth_edf"])[0]
    assert fit.smooths().terms.edf.iloc[0] == pytest.approx(own, abs=1e-6)
