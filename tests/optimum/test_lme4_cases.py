"""Numbers from lme4's own tests and from its version 2 (structured covariances).

Each id names the case; values are lme4's unless a comment says otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.likelihood.solution import results_at


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    rows = nm.load_dataset("sleepstudy")
    return rows.assign(Daysf=pd.Categorical(rows.Days, ordered=True))


@pytest.fixture(scope="module")
def dyestuff() -> nm.LmerFit:
    return nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))


def test_dyestuff_reml(dyestuff: nm.LmerFit) -> None:
    assert dyestuff.fixef.to_numpy() == pytest.approx([1527.5])
    assert dyestuff.varcorr().to_frame().vcov[0] == pytest.approx(1764.0500, rel=1e-5)
    assert dyestuff.sigma == pytest.approx(49.51012729, rel=1e-6)
    assert dyestuff.criterion == pytest.approx(319.654276842342, abs=1e-7)
    assert dyestuff.theta == pytest.approx([0.84832], rel=1e-4)
    assert dyestuff.cov_params().iloc[0, 0] == pytest.approx(375.7146, rel=1e-4)


@pytest.mark.parametrize("theta, expected", [(1.0, 319.792389042002), (0.0, 326.023232155879)])
def test_criterion_at_given_theta(dyestuff: nm.LmerFit, theta: float, expected: float) -> None:
    solution = results_at(dyestuff.design, np.array([theta]))
    assert solution.reml_criterion == pytest.approx(expected, abs=1e-9)


def test_dyestuff_ml(dyestuff: nm.LmerFit) -> None:
    ml = dyestuff.refit_ml()
    assert ml.deviance == pytest.approx(327.327059881135, abs=1e-8)
    assert ml.sigma == pytest.approx(49.5100999308, rel=1e-6)
    assert ml.cov_params().iloc[0, 0] == pytest.approx(313.09721874266, rel=1e-5)
    assert (ml.npar, ml.aic) == (3, pytest.approx(333.327059881135, abs=1e-8))


def test_refit_to_a_response_without_group_variance(dyestuff: nm.LmerFit) -> None:
    fit = dyestuff.refit(nm.load_dataset("Dyestuff2").Yield)
    assert fit.fixef.to_numpy() == pytest.approx([5.6656])
    assert fit.theta.tolist() == [0.0]
    assert fit.is_singular() and fit.is_singular(rule="lme4") and fit.converged
    assert np.ptp(fit.coef()["Batch"].to_numpy()) == 0.0


def test_deviance_of_a_reml_fit_reprofiles_sigma(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    assert fit.reml_criterion == pytest.approx(1743.6282722424, abs=1e-6)
    assert fit.deviance == pytest.approx(1751.98585, abs=1e-4)
    assert lme4.REMLcrit(fit.refit_ml()) > fit.reml_criterion
    assert fit.refit_ml().deviance == pytest.approx(1751.93934446320, abs=1e-7)


def test_conditional_variances(sleepstudy: pd.DataFrame) -> None:
    # what lme4 1.1-31 prints; the values stored in its tests are those of an older optimizer
    ml = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"), REML=False)
    assert ml.ranef().std_error.to_numpy() ** 2 == pytest.approx(
        np.full(6, 19.0344549**2), rel=1e-5
    )
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    sd = fit.ranef().groupby("term", sort=False).std_error.first()
    assert sd.to_numpy() ** 2 == pytest.approx([145.71273, 5.310927], rel=3e-4)
    split = nm.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy).ranef()
    first = split.groupby("term", sort=False).first()
    assert first.estimate.to_numpy() == pytest.approx([1.51266477, 9.32349704], rel=1e-4)
    assert first.std_error.to_numpy() == pytest.approx([12.2389411, 2.33546391], rel=1e-5)


def test_residuals(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    assert [fit.resid.min(), fit.resid.max()] == pytest.approx([-101.17996, 132.54664], rel=5e-5)
    scaled = fit.residuals("pearson", scaled=True)
    assert [scaled.min(), scaled.max()] == pytest.approx([-3.9536067, 5.1792598], rel=5e-5)
    with pytest.raises(nm.NestedMLMError, match="partial residuals are not implemented"):
        fit.residuals("partial")


def test_fitted_values(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy)
    expected = [252.917801, 272.708577, 292.499352, 312.290127]
    assert fit.fittedvalues[:4].to_numpy() == pytest.approx(expected, rel=1e-6)
    penicillin = nm.load_dataset("Penicillin")
    crossed = nm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin)
    assert crossed.fittedvalues[:2].to_numpy() == pytest.approx([25.9638, 22.7663], abs=1e-4)
    population = crossed.predict(penicillin, re_form=False)
    assert population.to_numpy() == pytest.approx(np.full(144, 22.9722222))


def test_update_drops_a_random_term(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy)
    smaller = fit.update(". ~ . - (0 + Days | Subject)")
    direct = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
    assert smaller.formula == direct.formula
    assert smaller.criterion == pytest.approx(direct.criterion, abs=1e-9)


STRUCTURED = {
    "ar1 ML": ("Reaction ~ Daysf + ar1(0 + Daysf | Subject)", False, 1736.576161, 1e-5),
    "ar1 REML": ("Reaction ~ Daysf + ar1(0 + Daysf | Subject)", True, 1681.022940, 1e-5),
    "ar1 with a line": ("Reaction ~ Days + ar1(0 + Daysf | Subject)", True, 1734.186468, 1e-5),
    "cs of two is us": ("Reaction ~ Days + cs(Days | Subject)", True, 1743.628272, 1e-5),
    "homogeneous cs": ("Reaction ~ Days + cs(Days | Subject, hom = TRUE)", True, 1757.774308, 1e-5),
}


@pytest.mark.parametrize("formula, REML, expected, tol", STRUCTURED.values(), ids=list(STRUCTURED))
def test_structured_covariances(
    sleepstudy: pd.DataFrame, formula: str, REML: bool, expected: float, tol: float
) -> None:
    fit = nm.lmer(formula, sleepstudy, REML=REML)
    assert fit.criterion == pytest.approx(expected, abs=tol)
    assert fit.converged


def test_parameters_of_ar1(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ Daysf + ar1(0 + Daysf | Subject)", sleepstudy, REML=False)
    assert fit.theta[0] * fit.sigma == pytest.approx(46.120558, rel=1e-4)
    assert fit.theta[1] == pytest.approx(0.8802567, rel=1e-4)
    assert fit.sigma == pytest.approx(14.571536, rel=1e-4)
    assert fit.theta_names == ("Subject.*", "Subject.rho")
    assert fit.npar == 10 + 2 + 1


MACHINES = {
    "us": ("(0 + Machine | Worker)", 208.311218),
    "cs": ("cs(0 + Machine | Worker)", 209.220442),
    "homogeneous cs": ("cs(0 + Machine | Worker, hom = TRUE)", 215.687568),
    "nested": ("(1 | Worker/Machine)", 215.687568),
    "diag": ("diag(0 + Machine | Worker)", 217.651079),
    "homogeneous diag": ("diag(0 + Machine | Worker, hom = TRUE)", 221.255590),
}


@pytest.mark.parametrize("term, expected", MACHINES.values(), ids=list(MACHINES))
def test_structures_on_machines(shared_data: Path, term: str, expected: float) -> None:
    machines = pd.read_csv(shared_data / "Machines.csv")
    fit = nm.lmer(f"score ~ Machine + {term}", machines)
    assert fit.criterion == pytest.approx(expected, abs=1e-5)
    assert fit.converged


def test_hotpower_which_lme4_cannot_fit(shared_data: Path) -> None:
    # lme4 stops with "Downdated VtV is not positive definite"; the target follows from the fit
    # with the frequency in other units: a recoding that adds 2 log(1e6) to the REML criterion
    hotpower = pd.read_csv(shared_data / "hotpower.csv")
    fit = nm.lmer("meanpower ~ frequency + (1 | benchmark) + (frequency | processor)", hotpower)
    assert fit.converged
    assert fit.criterion == pytest.approx(-3739.416872 + 2.0 * np.log(1e6), abs=1e-5)


def test_mixedmodels_saddle_point(shared_data: Path) -> None:
    # MixedModels.jl issue 705: bounded optimizers stopped at a saddle, -284.331
    rows = pd.read_csv(shared_data / "saddlepoint705.csv", dtype={"sub": str, "per": str})
    rows["row"] = np.arange(len(rows)).astype(str)
    rows["R"], rows["T"] = (rows.trt == "R") * 1.0, (rows.trt == "T") * 1.0
    from nestedmlm.likelihood.plan import make_plan
    from nestedmlm.optimum.optimize import optimize
    from nestedmlm.statistics.crossproducts import cross_products

    design = nm.build_design(
        "log(AUCT) ~ trt + seq + per + (0 + trt | sub) + (0 + R | row) + (0 + T | row)",
        rows,
        check=False,  # one level per row: lme4's checks refuse it
    )
    stats = cross_products(design)
    optimum = optimize(make_plan(design, stats), stats, REML=True)
    assert optimum.certificate.holds
    assert optimum.evaluation.criterion == pytest.approx(-286.169416, abs=1e-6)


@pytest.mark.parametrize(
    "name, formula, expected",
    [
        (
            "kb07",
            "RTtrunc ~ 1+S+P+C+SP+SC+PC+SPC + (1+S+P+C|subj) + (1+S+P+C|item)",
            28644.283236,
        ),
        ("bs10", "dif ~ 1+S+F+SF + (1+S+F+SF|subj) + (1+S+F+SF|item)", 1030.955295),
        ("classroom", "mathscore ~ ses + (ses | schoolid/classid)", 11880.884472),
    ],
)
def test_optima_that_other_optimizers_miss(
    shared_data: Path, name: str, formula: str, expected: float
) -> None:
    rows = pd.read_csv(shared_data / f"{name}.csv")
    fit = nm.lmer(formula, rows, REML=False)
    assert fit.criterion == pytest.approx(expected, abs=2e-6)
    assert fit.converged and fit.is_singular()
