"""Reference fits of generalized models: criterion, theta, beta, standard errors, certificates."""

from __future__ import annotations

import numpy as np
import pytest
from glmm_cases import IDS, design_of, family_of, read_fits

from nestedmlm.optimum.glmm.solve_glmm import solve_glmm


@pytest.fixture(scope="module")
def folder(reference):
    path = reference / "glmm"
    if not (path / "goldens.json").is_file():
        pytest.skip(f"{path} has no reference fits")
    return path


def close(found, expected):
    expected = np.atleast_1d(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_all_fits_are_tried(folder):
    assert sorted(IDS) == sorted(read_fits(folder))


@pytest.mark.parametrize("name", IDS)
def test_reference_fit(folder, name):
    fit = read_fits(folder)[name]
    family = family_of(fit)
    best, opt = fit.get("best", {}), fit["opt"]
    information = best.get("information", "auto")
    found = solve_glmm(
        design_of(folder, fit, family),
        family,
        nAGQ=fit["nAGQ"],
        information=information if information in ("expected", "observed") else "auto",
    )
    solution = found.solution
    reference = min(opt["crit_full"], best.get("crit", np.inf))
    assert solution.deviance <= reference + 1e-6
    assert solution.deviance >= reference - 1e-4
    assert found.certificate.holds
    numbers = best or opt
    theta = np.atleast_1d(numbers["theta"])
    # signs of columns are free
    close(np.abs(solution.theta), np.abs(theta))
    close(solution.beta, numbers["beta"])
    if best.get("dispersion"):
        close(solution.dispersion, best["dispersion"])
    if "se_hessian" in best and len(best["se_hessian"]) == len(solution.beta):
        close(np.sqrt(np.diag(found.cov_params("hessian"))), best["se_hessian"])
    if "se_rx" in opt and fit["reference"] == "lme4":
        conditional = np.sqrt(np.diag(found.cov_params("conditional")))
        np.testing.assert_allclose(conditional, np.atleast_1d(opt["se_rx"]), rtol=1e-3)
    if "deviance_conditional" in opt and not family.has_dispersion:
        np.testing.assert_allclose(
            solution.conditional_deviance, opt["deviance_conditional"], rtol=2e-3
        )
    # glmer counts a scale for MASS's negative.binomial(theta), whose theta is given
    assert solution.n_parameters == fit["npar"] - (family.dispersion == "fixed")


@pytest.mark.parametrize("name", ["cbpp_cbind", "contra_slope", "grouse", "epil"])
def test_modes_and_their_standard_deviations(folder, name):
    fit = read_fits(folder)[name]
    family = family_of(fit)
    design = design_of(folder, fit, family)
    solution = solve_glmm(design, family).solution
    tried = 0
    for row in fit["ranef"]:
        for term, b, V in zip(design.terms, solution.b, solution.covariances, strict=True):
            factor = design.factors[term.factor]
            if factor.name != row["grpvar"] or row["term"] not in term.columns:
                continue
            level, column = list(factor.levels).index(row["grp"]), term.columns.index(row["term"])
            assert abs(b[level, column] - row["condval"]) < 1e-5
            assert abs(np.sqrt(V[level, column, column]) - row["condsd"]) < 1e-5
            tried += 1
    assert tried == len(fit["ranef"])
