"""Every fit of the reference file against lme4 1.1-31, polished to the true optimum.

``goldens.json`` holds for each fit what lme4 returns by default and the optimum reached from
there and from several other starts; tolerances are those of the design (DESIGN section 7).
"""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest
from parts_of_tables import parts_of

import nestedmlm as nm
from nestedmlm.datasets import DATA_VARIABLE
from tools.golden_table import fit_like, model_like

IDS = """
sleep_corr sleep_corr_ML sleep_dv sleep_dv_ML sleep_int sleep_slope_only sleep_null sleep_quad
sleep_quad_re sleep_poly sleep_poly_raw sleep_scale sleep_nofix_RE0 sleep_norm_ML dyestuff
dyestuff_ML dyestuff2_singular dyestuff2_ML penicillin penicillin_ML pastes_nested pastes_sample
pastes_batch_sample pastes_ML cake_inter cake_temp cake_repl orthodont orthodont_sex
orthodont_dummy machines_full machines_cell machines_nested oats rail bodyweight exam_ML hsb
egsingle class_M14 class_M15 class_M16 class_M17 class_M18 class_M19 class_M20 class_M14_ML
class_M17_ML w_REML w_ML off rankdef NAy NAg bigscale bigscale_int singletons chr_group contr_sum
subset dayf few_levels facdv int_slope_product sim_slopes sim_max sim_fac_re gaugeRR_boundary
""".split()

# lme4 stops with "Downdated VtV is not positive definite" on this fit; multiplying the slope
# variable by 1e6 changes the REML criterion by 2 log 1e6 only, so the rescaled fit is its target
HOTPOWER = -3739.416872 + 2 * math.log(1e6)

# `f || g` with a factor f overlaps with the intercept: the split of the variance is arbitrary
NOT_IDENTIFIED = {"facdv"}

RELATIVE = 1e-4
CRITERION = 1e-6
ABOVE_LME4 = 1e-8
ZERO_SD = 1e-4  # relative to sigma: an SD that the reference reports as exactly 0

# a correlation says something only where both SDs are away from 0
SD_WITH_CORRELATION = 1e-3


@pytest.fixture(scope="module")
def goldens(reference) -> dict[str, dict]:
    path = reference / "goldens.json"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    return {entry["id"]: entry for entry in json.loads(path.read_text())["fits"]}


@pytest.fixture(scope="module")
def fitted(goldens, shared_data):
    """Return `id -> (fit, reference entry)`; each model is fitted once."""

    @cache
    def fit(name: str):
        entry = goldens[name]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(DATA_VARIABLE, str(shared_data))
            return fit_like(entry), entry

    return fit


def test_every_reference_fit_is_tested(goldens):
    assert set(goldens) == {*IDS, "hotpower_gh173"}


@pytest.mark.parametrize("name", IDS)
def test_criterion_is_the_optimum(fitted, name):
    fit, entry = fitted(name)
    assert fit.criterion == pytest.approx(entry["opt"]["crit"], rel=0, abs=CRITERION)
    assert fit.criterion <= entry["default"]["crit"] + ABOVE_LME4


@pytest.mark.parametrize("name", [*IDS, "hotpower_gh173"])
def test_sums_of_three_partitions_give_the_fit(fitted, name, monkeypatch, shared_data):
    fit, entry = fitted(name)
    monkeypatch.setenv(DATA_VARIABLE, str(shared_data))
    formula, data, options = model_like(entry)
    summed = nm.summarise(formula, parts_of(data), **options).fit(REML=fit.REML)
    assert summed.design.rows is None
    assert summed.criterion == pytest.approx(fit.criterion, rel=0, abs=1e-9)
    assert list(summed.fixef.index) == list(fit.fixef.index)
    assert np.abs((summed.fixef - fit.fixef) / fit.bse).max() < 1e-7 or fit.design.p == 0
    assert summed.messages == fit.messages
    assert summed.converged == fit.converged


@pytest.mark.parametrize("name", IDS)
def test_optimum_is_certified(fitted, name):
    fit, _ = fitted(name)
    assert fit.converged is True


@pytest.mark.parametrize("name", IDS)
def test_fixed_effects(fitted, name):
    fit, entry = fitted(name)
    optimum = entry["opt"]
    se = np.atleast_1d(optimum["se"])
    assert list(fit.fixef.index) == list(np.atleast_1d(optimum["fixef_names"]))
    # an estimate that is small beside its own standard error is compared on that scale
    error = np.abs(fit.fixef.to_numpy() - np.atleast_1d(optimum["fixef"]))
    assert (error <= RELATIVE * np.maximum(np.abs(np.atleast_1d(optimum["fixef"])), se)).all()
    np.testing.assert_allclose(fit.bse.to_numpy(), se, rtol=RELATIVE)


@pytest.mark.parametrize("name", [n for n in IDS if n not in NOT_IDENTIFIED])
def test_standard_deviations_and_correlations(fitted, name):
    fit, entry = fitted(name)
    expected = entry["opt"]["varcorr"]
    sigma = entry["opt"]["sigma"]
    assert fit.sigma == pytest.approx(sigma, rel=RELATIVE)
    frame = fit.varcorr().to_frame().rename(columns={"group": "grp"})  # as in the reference
    assert [label(row) for row in frame.to_dict("records")] == [label(row) for row in expected]
    units = column_units(fit)
    sds = {(r["grp"], r["var1"]): r["sdcor"] for r in expected if r["var2"] is None}
    for value, row in zip(frame["estimate"], expected, strict=True):
        if row["var2"] is None:
            near_zero = ZERO_SD * sigma if row["sdcor"] == 0 else 0.0
            assert value == pytest.approx(row["sdcor"], rel=RELATIVE, abs=near_zero), label(row)
        elif all(
            sds[row["grp"], row[v]] * units[row["grp"], row[v]] > SD_WITH_CORRELATION * sigma
            for v in ("var1", "var2")
        ):
            assert value == pytest.approx(row["sdcor"], rel=RELATIVE), label(row)


@pytest.mark.parametrize("name", IDS)
def test_sizes_and_information_criteria(fitted, name):
    fit, entry = fitted(name)
    optimum = entry["opt"]
    assert (fit.nobs, fit.npar) == (entry["nobs"], entry["npar"])
    assert fit.ngrps.to_dict() == entry["ngrps"]
    assert list(fit.ngrps.index) == list(entry["ngrps"])
    assert fit.aic == pytest.approx(optimum["AIC"], rel=0, abs=2 * CRITERION)
    assert fit.bic == pytest.approx(optimum["BIC"], rel=0, abs=2 * CRITERION)
    assert fit.llf == pytest.approx(optimum["logLik"], rel=0, abs=CRITERION)


def test_the_fit_that_lme4_refuses(fitted):
    fit, entry = fitted("hotpower_gh173")
    assert "not positive definite" in entry["error"]
    assert fit.converged is True
    assert fit.criterion == pytest.approx(HOTPOWER, rel=0, abs=CRITERION)


@pytest.mark.parametrize(
    ("scaled", "plain", "column"),
    [("bigscale", "sleep_corr", "Dbig"), ("bigscale_int", "sleep_int", "Dbig")],
)
def test_units_change_units_only(fitted, scaled, plain, column):
    """`Dbig` is 1e6 times `Days`: REML moves by 2 log 1e6, slopes by 1e-6, nothing else."""
    big, _ = fitted(scaled)
    small, _ = fitted(plain)
    assert big.criterion - small.criterion == pytest.approx(2 * math.log(1e6), rel=0, abs=1e-8)
    assert big.sigma == pytest.approx(small.sigma, rel=1e-9)
    assert big.fixef[column] * 1e6 == pytest.approx(small.fixef["Days"], rel=1e-9)
    assert big.is_singular() == small.is_singular()


def label(row: dict) -> tuple:
    return tuple(None if v is None or v != v else v for v in (row["grp"], row["var1"], row["var2"]))


def column_units(fit) -> dict[tuple[str, str], float]:
    """Root mean square of each random-effect column, by VarCorr name and column."""
    return {
        (term.name, column): float(np.sqrt(np.mean(np.square(term.X[:, i]))))
        for term in fit.design.terms
        for i, column in enumerate(term.columns)
    }
