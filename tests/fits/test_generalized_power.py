"""Power of tests of generalized models: simulated as by hand, planned against known information."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.scenario import scenario_of
from nestedmlm.inference.resampling.response_distribution import streams

FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def fit():
    return nm.glmer(FORMULA, nm.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def refits(fit):
    """Refits of the responses that a power analysis with seed 3 draws."""
    distribution = scenario_of(fit).distribution
    return [
        fit.refit(distribution.draw(np.random.default_rng(way))) for way in streams(3, 3)
    ]  # fmt: skip


def test_z_tests_are_those_of_summaries(fit, refits):
    found = fit.power("period2", 3, seed=3, progress=False)
    assert (found.test, found.nobs, found.effect_size) == ("z (Wald)", 56, fit.fixef["period2"])
    expected = [again.pvalues["period2"] for again in refits]
    assert found.pvalues.to_numpy() == pytest.approx(expected, rel=1e-4)
    whole = nm.power(fit, "period", 3, seed=3, progress=False)
    joint = [again.anova().to_frame().loc["period", "p_value"] for again in refits]
    assert whole.pvalues.to_numpy() == pytest.approx(joint, rel=1e-3)


def test_likelihood_ratios_are_those_of_drop1_and_ranova(fit, refits):
    found = fit.power("period", 3, test="lrt", seed=3, progress=False)
    expected = [again.drop1().table.loc["period", "Pr(Chi)"] for again in refits]
    assert found.pvalues.to_numpy() == pytest.approx(expected, rel=1e-4)
    found = fit.power("(1 | herd)", 3, seed=3, progress=False)
    expected = [again.ranova().table.loc["(1 | herd)", "Pr(>Chisq)"] for again in refits]
    assert found.pvalues.to_numpy() == pytest.approx(expected, rel=1e-3)


def test_planned_information_without_random_effects_is_fishers(fit):
    study = scenario_of(fit).with_params(sd={"herd": 0.0})
    X = fit.design.X
    p = 1.0 / (1.0 + np.exp(-X @ fit.fixef.to_numpy()))
    information = X.T @ ((fit.design.weights * p * (1.0 - p))[:, None] * X)
    expected = np.sqrt(np.linalg.inv(information)[1, 1])
    found = study.planned_power("period2")
    assert found.std_error == pytest.approx(expected, rel=1e-9)
    assert found.noncentrality == pytest.approx((fit.fixef["period2"] / expected) ** 2)
    assert "noncentral chi-squared" in str(found)


def test_planned_errors_are_near_those_of_the_fit(fit):
    ticks = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
                     family="negativebinomial")  # fmt: skip
    found = nm.planned_power(ticks, "cHEIGHT").std_error
    assert found == pytest.approx(ticks.bse["cHEIGHT"], rel=0.05)
    # twice the herds have twice the information
    half = nm.planned_power(fit.extend(along="herd", n=30), "period2").std_error
    assert half == pytest.approx(nm.planned_power(fit, "period2").std_error / np.sqrt(2), rel=0.05)
    wide = ticks.extend(along="BROOD", n=236)
    drawn = [
        wide.with_params(dispersion=phi, sd={"BROOD": 0.0}).simulate(1, seed=1)["sim_1"]
        for phi in (0.5, 1e6)
    ]
    assert drawn[0].var() > 1.5 * drawn[1].var()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sigma": 1.0}, "no residual standard deviation"),
        ({"icc": {"herd": 0.2}}, "no residual standard deviation"),
        ({"dispersion": 2.0}, "no dispersion parameter"),
        ({"correlation": {"herd": 0.5}}, "give the covariances once"),
    ],
)
def test_parameters_that_are_refused(fit, changed, message):
    with pytest.raises(OptionError, match=message):
        scenario_of(fit).with_params(**changed)


def test_tests_that_are_refused(fit):
    with pytest.raises(OptionError, match="those for them: z, lrt"):
        fit.power("period2", 2, test="satterthwaite")
    with pytest.raises(OptionError, match="those for them: lrt"):
        fit.power("(1 | herd)", 2, test="boundary")
    with pytest.raises(OptionError, match="test must be one of z"):
        nm.planned_power(fit, "period2", test="kenward-roger")
    with pytest.raises(OptionError, match="a GlmerFit has no draws"):
        scenario_of(fit).assurance(fit, "period2")
    penalised = nm.glmer(FORMULA, nm.load_dataset("cbpp"), family="binomial", penalty="wishart")
    with pytest.raises(OptionError, match="penalised"):
        penalised.extend(along="herd", n=20)
