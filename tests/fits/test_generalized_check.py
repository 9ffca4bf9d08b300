"""Checks of generalized fits: what data of a known fault are told, and what sound data are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.fits.generalized.overdispersion import squares_given_modes
from nestedmlm.inference.rows.uniform_tests import distance_from_uniform, ranks_among
from nestedmlm.inference.rows.working_model import held_changes, working_design
from nestedmlm.inference.variances.icc_r2 import mean_predictor

GROUPS, EACH = 25, 12


def counts(seed: int, fault: str = "none") -> pd.DataFrame:
    """Counts of a Poisson model with a random intercept, or with one fault."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(GROUPS), EACH)
    x, z = rng.normal(size=(2, GROUPS * EACH))
    eta = 0.7 + 0.4 * x + 0.4 * rng.normal(size=GROUPS)[g]
    eta = eta + (0.35 * z**2 - 0.3 if fault == "bend" else 0.2 * z)
    mu = np.exp(eta)
    y = rng.poisson(mu * rng.gamma(1.0, 1.0, size=len(mu)) if fault == "spread" else mu)
    if fault == "zeros":
        y = np.where(rng.uniform(size=len(y)) < 0.3, 0, y)
    if fault == "row":
        y[17] = 60
    if fault == "group":
        y[g == 3] = rng.poisson(np.exp(0.7 - 1.5 * x[g == 3] + 3.0))
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str)})


def verdicts(fit: nm.GlmerFit) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in fit.check().findings}


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("spread", "overdispersion"), ("zeros", "zeros"), ("spread", "distribution"),
        ("bend", "linearity"), ("row", "outliers"),
    ],
)  # fmt: skip
def test_a_fault_is_found(fault: str, check: str) -> None:
    fit = nm.glmer("y ~ x + z + (1 | g)", counts(1, fault), family="poisson")
    assert verdicts(fit)[check] in ("look", "act")


def test_what_is_found_is_named() -> None:
    fit = nm.glmer("y ~ x + z + (1 | g)", counts(1, "row"), family="poisson")
    numbers = fit.check().to_frame()
    assert numbers[numbers.check == "outliers"]["term"].dropna().tolist() == ["17"]
    bent = nm.glmer("y ~ x + z + (1 | g)", counts(1, "bend"), family="poisson").check().to_frame()
    bends = bent[bent.check == "linearity"].set_index("term")
    assert bends.loc["z", "verdict"] != "fine" == bends.loc["x", "verdict"]
    assert 1.0 < bends.loc["z", "value"] < 2.5  # 1.4: the step of the algorithm goes too far
    group = nm.glmer("y ~ x + (1 | g)", counts(1, "group"), family="poisson").check().to_frame()
    assert group[group.check == "influence"]["group"].iloc[0] == "g 3"


def test_sound_data_are_fine() -> None:
    """Of 12 data sets from the model a test at 5 % speaks up in few; nothing is to be acted on."""
    found = [
        verdicts(nm.glmer("y ~ x + z + (1 | g)", counts(100 + i), family="poisson"))
        for i in range(12)
    ]
    for check in ("distribution", "overdispersion", "zeros", "linearity"):
        assert sum(v[check] != "fine" for v in found) <= 3, check
    assert not any("act" in v.values() for v in found)


def trials(seed: int) -> pd.DataFrame:
    """Successes of 12 trials whose complementary log-log is linear."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(40), 15)
    x, z = rng.normal(size=(2, 600))
    p = -np.expm1(-np.exp(0.6 * x + 0.6 * z + 0.36 * rng.normal(size=40)[g]))
    return pd.DataFrame({"k": rng.binomial(12, p), "n": 12, "x": x, "z": z, "g": g.astype(str)})


@pytest.mark.parametrize(("link", "verdict"), [("logit", "look"), ("cloglog", "fine")])
def test_the_wrong_link_bends(link: str, verdict: str) -> None:
    fit = nm.glmer("cbind(k, n - k) ~ x + z + (1 | g)", trials(1), family="binomial", link=link)
    assert verdicts(fit)["link"] == verdict


def test_overdispersion_is_judged_by_draws() -> None:
    """Modes of all draws follow their data: an effect of each row takes what there is of it."""
    ticks = nm.load_dataset("grouseticks")
    rows = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)", ticks, family="poisson")
    found = rows.check(nsim=99).to_frame().set_index("check").loc["overdispersion"]
    assert 0.8 < found["value"] < 1.3 and found["verdict"] == "fine"
    assert rows.overdispersion()["ratio"] < 0.5  # chi-squared does not know that they do
    cbpp = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
                    nm.load_dataset("cbpp"), family="binomial")  # fmt: skip
    own = cbpp.solved.here._evaluation.approximation.modes
    assert squares_given_modes(cbpp, cbpp.design.y) == pytest.approx(
        cbpp.overdispersion()["statistic"], rel=1e-6
    )
    assert np.allclose(own.eta, cbpp.solution.eta)


def test_families_are_asked_what_they_have() -> None:
    """Zeros and overdispersion of counts; single trials have neither."""
    rng = np.random.default_rng(2)
    d = counts(2).assign(k=rng.integers(0, 2, GROUPS * EACH), t=rng.gamma(3.0, 1.0, GROUPS * EACH))
    two = {"overdispersion", "zeros"}
    assert two <= set(verdicts(nm.glmer("y ~ x + (1 | g)", d, family="poisson")))
    assert not two & set(verdicts(nm.glmer("k ~ x + (1 | g)", d, family="binomial")))
    assert not two & set(verdicts(nm.glmer("t ~ x + (1 | g)", d, family="gamma", link="log")))


def test_an_offset_of_the_predictors_moves_their_coefficients_only() -> None:
    """The same model: its working responses are without the offset, its mean is with it."""
    d = counts(3)
    plain, moved = (
        nm.glmer(f"y ~ x + z{more} + (1 | g)", d.assign(o=0.5 + 0.3 * d.x), family="poisson")
        for more in ("", " + offset(o)")
    )
    np.testing.assert_allclose(moved.params, plain.params - [0.5, 0.3, 0.0], atol=1e-5)
    working = working_design(moved.core), working_design(plain.core)
    offset = 0.5 + 0.3 * d.x.to_numpy()
    np.testing.assert_allclose(working[0].y, working[1].y - offset, atol=1e-4)
    np.testing.assert_allclose(working[0].weights, working[1].weights, rtol=1e-4)
    means = [mean_predictor(fit.design, fit.solution.beta) for fit in (moved, plain)]
    assert means[0] == pytest.approx(means[1], abs=1e-6)


def test_changes_without_a_group_are_those_of_the_working_model() -> None:
    """Against generalized least squares on the other groups' rows, dense."""
    d = counts(3)
    fit = nm.glmer("y ~ x + z + (1 | g)", d, family="poisson")
    codes = fit.design.factors[0].codes
    sets = [np.flatnonzero(codes == level) for level in range(GROUPS)]
    changes = held_changes(fit.core, sets)
    design = working_design(fit.core)
    y, w = design.y, design.weights
    Z = np.equal.outer(codes, np.arange(GROUPS)).astype(float)
    V = np.diag(1.0 / w) + fit.theta[0] ** 2 * Z @ Z.T

    def gls(rows: np.ndarray) -> np.ndarray:
        X, inverse = design.X[rows], np.linalg.inv(V[np.ix_(rows, rows)])
        return np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ y[rows])

    every = np.arange(len(y))
    # the fit's own optimum, but for the intercept, which Laplace's criterion moves
    np.testing.assert_allclose(gls(every)[1:], fit.params[1:], atol=1e-3)
    for level in (0, 7):
        without = np.flatnonzero(codes != level)
        np.testing.assert_allclose(changes[level], gls(without) - gls(every), atol=1e-10)


def test_changes_without_a_group_are_near_those_of_a_refit() -> None:
    fit = nm.glmer("y ~ x + (1 | g)", counts(1, "group"), family="poisson")
    factor = fit.design.factors[0]
    own = factor.codes == list(factor.levels).index("3")
    (change,) = held_changes(fit.core, [np.flatnonzero(own)])
    data = counts(1, "group")
    refit = nm.glmer("y ~ x + (1 | g)", data[data.g != "3"], family="poisson")
    np.testing.assert_allclose(change[1], refit.params["x"] - fit.params["x"], rtol=0.35)


def test_places_of_ties_are_exchangeable() -> None:
    """A column of 0 and 1 among its like is as uniform as the others are."""
    rng = np.random.default_rng(5)
    u = ranks_among((rng.uniform(size=(400, 60)) < 0.3).astype(float), rng)
    assert np.allclose(np.sort(np.floor(u * 60), axis=1), np.arange(60))
    assert distance_from_uniform(u).max() < 1.63 / np.sqrt(400) * 1.3


def test_separated_outcomes_and_small_groups_are_said() -> None:
    rng = np.random.default_rng(2)
    d = pd.DataFrame({"g": np.repeat(np.arange(60), 4), "cell": np.tile([0.0, 0.0, 0.0, 1.0], 60)})
    d["y"] = np.where(d.cell == 1.0, 1, rng.integers(0, 2, 240))
    with pytest.warns(nm.errors.ConvergenceWarning, match="separate"):
        fit = nm.glmer("y ~ cell + (1 | g)", d, family="binomial")
    found = {f.check: f for f in fit.check(nsim=9).findings}
    assert found["separation"].verdict == "act" and "by cell." in found["separation"].found
    assert found["approximation"].verdict == "look" and "4 rows" in found["approximation"].found
    cbpp = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
                    nm.load_dataset("cbpp"), family="binomial")  # fmt: skip
    sound = {f.check: f.verdict for f in cbpp.check(nsim=9).findings}
    assert sound["separation"] == "fine" and "approximation" not in sound
