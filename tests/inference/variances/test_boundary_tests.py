"""Tests of variances: chi-bar-square, bootstrap and exact restricted likelihood ratios."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from designs import data
from scipy.optimize import minimize
from scipy.stats import chi2

import nestedmlm as nm
from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.inference.variances.added_effects import added_effects
from nestedmlm.inference.variances.boundary import null_distribution
from nestedmlm.inference.variances.chibar import _projections, mixture
from nestedmlm.inference.variances.rlrt import draw_rlrt, spectrum

QUIET = {"progress": False, "seed": 1}


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def classroom(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data / "classroom.csv")


@pytest.fixture(scope="module")
def guide(classroom) -> dict[str, nm.LmerFit]:
    formulas = {
        "M14": "mathscore ~ ses + (ses | schoolid)",
        "M17": "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
        "M16": "mathscore ~ ses + (ses | schoolid) + (ses || classid)",
    }
    return {name: nm.lmer(formula, classroom) for name, formula in formulas.items()}


def ml(formula: str, rows: pd.DataFrame, **options) -> nm.LmerFit:
    return nm.lmer(formula, rows, REML=False, **options)


# --- the boundary ----------------------------------------------------------------------------


def test_guide_m14_m17_both_p_values(guide):
    result = nm.anova(guide["M14"], guide["M17"], test="boundary", names=["M14", "M17"])
    row = result.table.loc["M17"]
    assert row["Chisq"] == pytest.approx(4.6584, abs=5e-5)
    assert row["Pr(>Chisq)"] == pytest.approx(0.0309, abs=5e-5)
    assert row["Pr(boundary)"] == pytest.approx(0.0309 / 2, abs=5e-5)
    assert result.notes == ("M17 against M14: 1/2 chisq(0) + 1/2 chisq(1)",)
    assert "0.0309      0.01545 *" in str(result)
    assert str(result).endswith(result.notes[0])


def test_default_is_untouched(guide):
    plain = nm.anova(guide["M14"], guide["M17"], names=["M14", "M17"])
    assert plain.notes == () and "Pr(boundary)" not in plain.table


def test_no_improvement_has_p_value_one(guide):
    table = nm.anova(guide["M17"], guide["M16"], test="boundary").table
    assert table["Pr(boundary)"].iloc[1] == 1.0


MIXTURES = {
    "a variance": (
        "y ~ x + (1 | f1)", "y ~ x + (1 | f1) + (0 + x | f1)",
        "1/2 chisq(0) + 1/2 chisq(1)", lambda t: 0.5 * chi2.sf(t, 1),
    ),
    "a variance and a covariance (Stram & Lee 1994)": (
        "y ~ x + (1 | f1)", "y ~ x + (x | f1)",
        "1/2 chisq(1) + 1/2 chisq(2)", lambda t: 0.5 * (chi2.sf(t, 1) + chi2.sf(t, 2)),
    ),
    "a variance and two covariances": (
        "y ~ x + (x | f1)", "y ~ x + (x + z | f1)",
        "1/2 chisq(2) + 1/2 chisq(3)", lambda t: 0.5 * (chi2.sf(t, 2) + chi2.sf(t, 3)),
    ),
    "a covariance alone": (
        "y ~ x + (x || f1)", "y ~ x + (x | f1)", "chisq(1)", lambda t: chi2.sf(t, 1),
    ),
    "another factor": (
        "y ~ x + (1 | f1)", "y ~ x + (1 | f1) + (1 | c1)",
        "1/2 chisq(0) + 1/2 chisq(1)", lambda t: 0.5 * chi2.sf(t, 1),
    ),
    "the same groups under another name": (
        "y ~ x + (1 | f1copy)", "y ~ x + (x | f1)",
        "1/2 chisq(1) + 1/2 chisq(2)", lambda t: 0.5 * (chi2.sf(t, 1) + chi2.sf(t, 2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MIXTURES)
def test_exact_mixtures(case):
    small, large, text, tail = MIXTURES[case]
    m0, m1 = ml(small, data()), ml(large, data())
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    assert null.text == text
    for statistic in (0.3, 2.7, 11.0):
        assert null.pvalue(statistic) == pytest.approx(tail(statistic), rel=1e-12)
    assert null.pvalue(0.0) == 1.0


def test_two_variances_have_weights_of_an_angle():
    m0 = ml("y ~ x + (1 | f1)", data())
    m1 = ml("y ~ x + (1 | f1) + (1 | c1) + (1 | c2)", data())
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    # crossed balanced-ish factors: nearly independent, so nearly 1/4, 1/2, 1/4
    assert null.weights == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert null.weights[1] == 0.5 and null.weights.sum() == pytest.approx(1.0)


def test_weights_do_not_depend_on_units(sleep):
    rows = sleep.assign(c=np.arange(180) % 7)
    m0 = ml("Reaction ~ Days + (1 | Subject)", rows)
    weights = []
    for unit in (1.0, 1e4):
        scaled = rows.assign(Days=rows.Days * unit)
        m1 = ml("Reaction ~ Days + (1 | Subject) + (0 + Days | c) + (1 | c)", scaled)
        null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
        weights.append(null.weights)
    assert weights[1] == pytest.approx(weights[0], abs=1e-6)


def test_weights_from_draws_agree_with_the_angle():
    information = np.array([[2.0, -0.7], [-0.7, 1.0]])
    rng = np.random.default_rng(3)
    exact = mixture(0, (1, 1), information, nsim=1, rng=rng).weights
    _, h, _ = _projections((1, 1), information, 40_000, rng)
    counts = np.bincount(np.sum(h > 0, axis=1), minlength=3) / 40_000
    assert counts == pytest.approx(exact, abs=4.5 * np.sqrt(0.25 / 40_000))


@pytest.mark.parametrize("REML", [False, True])
def test_weights_are_those_of_the_expected_information(REML):
    """Dense: I_ij = tr(P V_i P V_j) / 2 in (sigma^2, old variance, two new ones)."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 9, 600)
    b = (a + rng.integers(0, 2, 600)) % 9  # far from orthogonal to a
    rows = pd.DataFrame({"g": np.arange(600) // 10, "a": a, "b": b, "x": rng.normal(size=600)})
    scene = nm.scenario("y ~ x + (1 | g)", rows, beta=[0.0, 1.0], theta=[0.7], sigma=1.0)
    rows = rows.assign(y=scene.simulate(1, seed=4)["sim_1"])
    m0, m1 = (nm.lmer(f"y ~ x + (1 | g){more}", rows, REML=REML)
              for more in ("", " + (1 | a) + (1 | b)"))  # fmt: skip
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=REML)

    G, A, B = (pd.get_dummies(rows[c]).to_numpy(dtype=float) for c in "gab")
    V = np.eye(600) + m0.theta[0] ** 2 * G @ G.T
    P, X = np.linalg.inv(V), m0.design.X
    if REML:
        P = P - P @ X @ np.linalg.solve(X.T @ P @ X, X.T @ P)
    parts = [P @ V, *(P @ Z @ Z.T for Z in (G, A, B))]
    info = np.array([[0.5 * np.sum(one * two.T) for two in parts] for one in parts])
    C = np.linalg.inv(info)[2:, 2:]
    both = 0.25 + np.arcsin(C[0, 1] / np.sqrt(C[0, 0] * C[1, 1])) / (2 * np.pi)
    assert null.weights == pytest.approx([0.5 - both, 0.5, both], abs=1e-9)
    assert both < 0.2  # the two are hard to tell apart


def test_parameters_of_structures_are_profiled_out_as_those_of_their_unstructured_twins(sleep):
    """Two columns with their own variances and correlation, whatever they are called."""
    rows, weights = sleep.assign(c=np.arange(180) // 5 % 9), []
    for old in ("(Days | Subject)", "cs(Days | Subject)"):
        m0, m1 = (
            ml(f"Reaction ~ Days + {old}{new}", rows) for new in ("", " + (1 | c) + (0 + Days | c)")
        )
        null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
        weights.append(null.weights)
    assert weights[1] == pytest.approx(weights[0], abs=1e-5)


def test_structured_terms_of_both_models_are_nuisance():
    small = "y ~ x + cs(x + z | f1)"
    m0, m1 = ml(small, data()), ml(f"{small} + (1 | c1) + (1 | c2)", data())
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    assert null.weights == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_independent_variances_have_binomial_weights():
    found = mixture(1, (1, 1, 1), np.eye(3), nsim=40_000, rng=np.random.default_rng(1))
    assert found.weights == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8], abs=0.012)
    assert found.free == 1


def test_projections_on_matrices_are_the_nearest_in_the_metric():
    A = np.random.default_rng(5).normal(size=(4, 4))
    information = A @ A.T + np.eye(4)
    z, h, J = _projections((2, 1), information, 12, np.random.default_rng(6))

    def at(u: np.ndarray) -> np.ndarray:
        L = np.array([[u[0], 0.0], [u[1], u[2]]])
        S = L @ L.T
        return np.array([S[0, 0], np.sqrt(2.0) * S[1, 0], S[1, 1], u[3] ** 2])

    for own, nearest in zip(z, h, strict=True):
        best = min(
            minimize(lambda u, own=own: (own - at(u)) @ J @ (own - at(u)), start, tol=1e-12).fun
            for start in np.random.default_rng(7).normal(size=(6, 4))
        )
        assert (own - nearest) @ J @ (own - nearest) == pytest.approx(best, abs=1e-5)


def test_a_block_of_two_new_columns(sleep):
    rows = sleep.assign(D2=(sleep.Days - 4.5) ** 2)
    m0 = ml("Reaction ~ Days + (1 | Subject)", rows)
    m1 = ml("Reaction ~ Days + (Days + D2 | Subject)", rows)
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    assert null.free == 2 and null.weights is None
    # between chi-squared with the free entries only and with all of them
    for t in (3.0, 9.0):
        assert chi2.sf(t, 2) < null.pvalue(t) < chi2.sf(t, 5)
    again = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    assert again.pvalue(7.0) == null.pvalue(7.0)


@pytest.mark.slow
def test_the_mixture_is_the_distribution_of_the_statistic():
    """Size at 5 % of the boundary test, two new variances, under the smaller model."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"g": np.arange(400) // 10, "a": rng.integers(0, 12, 400),
                         "b": rng.integers(0, 12, 400)})  # fmt: skip
    scene = nm.scenario("y ~ 1 + (1 | g)", rows, beta=[0.0], theta=[0.5], sigma=1.0)
    y = scene.simulate(300, seed=2)
    rows = rows.assign(y=y["sim_1"])
    m0, m1 = ml("y ~ (1 | g)", rows), ml("y ~ (1 | g) + (1 | a) + (1 | b)", rows)
    null = null_distribution(m0.design, m0.solution, m1.design, m1.solution, REML=False)
    from nestedmlm.optimum.batch import refit_many

    small, large = (refit_many(m.design, y.to_numpy(), REML=False) for m in (m0, m1))
    p = np.array([null.pvalue(t) for t in small.criterion - large.criterion])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=4.5 * np.sqrt(0.05 * 0.95 / 300))


REFUSED = {
    "fixed effects": ("y ~ x + (1 | f1)", "y ~ x + z + (1 | f1) + (1 | c1)", "fixed effects"),
    "no effect of the smaller": ("y ~ x + (1 | f1)", "y ~ x + (x | c1)", "no random effect"),
    "lost covariance": ("y ~ x + (x | f1)", "y ~ x + (x || f1) + (1 | c1) + (1 | c2)",
                        "does not"),
    "structured": ("y ~ x + (1 | f1) + cs(x | c1)", "y ~ x + (1 | f1) + (x | c1) + (1 | c2)",
                   "structured"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_cannot_be_compared_are_refused(case):
    small, large, text = REFUSED[case]
    with pytest.raises(ModelComparisonError, match=text):
        nm.anova(ml(small, data()), ml(large, data()), test="boundary")


def test_one_model_has_nothing_to_be_compared_with(guide):
    with pytest.raises(ModelComparisonError, match="give two or more"):
        nm.anova(guide["M14"], test="boundary")


@pytest.mark.parametrize("seed", range(3))
def test_lme4_57_statistics_do_not_depend_on_the_unit_of_weights(seed):
    """priorWeightsModComp.R: anova's Chisq is the same with weights w and 10 w."""
    w = np.random.default_rng(seed).uniform(0.2, 3.0, 150)
    rows = data().assign(once=w, ten=10 * w)
    tables = [
        nm.anova(
            *(ml(f, rows, weights=name) for f in ("y ~ x + (1 | f1)", "y ~ x + (x | f1)")),
            test="boundary",
        ).table.iloc[1]
        for name in ("once", "ten")
    ]
    assert tables[0]["Chisq"] == pytest.approx(tables[1]["Chisq"], abs=1e-7)
    assert tables[0]["Pr(boundary)"] == pytest.approx(tables[1]["Pr(boundary)"], abs=1e-7)


def test_unknown_tests_are_refused(guide):
    with pytest.raises(OptionError, match="test must be one of chisq, boundary, bootstrap"):
        nm.anova(guide["M14"], guide["M17"], test="f")


def test_a_singular_smaller_model_is_said():
    rows = data().assign(even=np.arange(150) % 5)
    m0 = ml("y ~ x + (1 | f1) + (1 | even)", rows)
    m1 = ml("y ~ x + (1 | f1) + (1 | even) + (1 | c1)", rows)
    assert m0.is_singular()
    assert "smaller model is singular" in nm.anova(m0, m1, test="boundary").notes[0]


def test_what_the_larger_model_adds():
    small = ml("y ~ x + (x | f1)", data()).design
    large = ml("y ~ x + (x + z | f1) + (1 | c1)", data()).design
    added = added_effects(small, large)
    assert len(added.covariances) == 2 and added.sizes == (1, 1) and len(added.shared) == 3


# --- parametric bootstrap --------------------------------------------------------------------


def test_bootstrap_p_value_is_counted_from_refits_of_both():
    m0, m1 = ml("y ~ x + (1 | f1)", data()), ml("y ~ x + (1 | f1) + (1 | c2)", data())
    result = nm.anova(m0, m1, test="bootstrap", nsim=25, names=["m0", "m1"], **QUIET)
    y = m0.simulate(25, seed=1)
    expected = [max(0.0, m0.refit(y[s]).deviance - m1.refit(y[s]).deviance) for s in y]
    draws = result.draws["m1"]
    assert draws == pytest.approx(expected, abs=1e-6)
    extreme = np.sum(draws >= result.table.loc["m1", "Chisq"])
    assert result.table.loc["m1", "Pr(bootstrap)"] == (1 + extreme) / 26
    assert result.notes == (f"m1 against m0: 25 bootstrap draws, {extreme} as large",)


def test_bootstrap_of_fixed_effects_is_near_chi_squared_in_large_samples():
    m0, m1 = ml("y ~ x + (1 | f1)", data()), ml("y ~ x + z + (1 | f1)", data())
    result = nm.anova(m0, m1, test="bootstrap", nsim=400, **QUIET)
    row = result.table.iloc[1]
    error = np.sqrt(row["Pr(>Chisq)"] * (1 - row["Pr(>Chisq)"]) / 400)
    assert row["Pr(bootstrap)"] == pytest.approx(row["Pr(>Chisq)"], abs=4.5 * error + 0.02)


def test_bootstrap_of_reml_criteria(guide):
    result = nm.anova(guide["M14"], guide["M17"], refit=False, test="bootstrap", nsim=40, **QUIET)
    assert 0.0 < result.table["Pr(bootstrap)"].iloc[1] < 0.2


def test_guide_m14_m17_by_bootstrap(guide):
    table = nm.anova(guide["M14"], guide["M17"], test="bootstrap", nsim=1000, **QUIET).table
    # R: PBmodcomp(M17, M14) counts positive draws only; all three must say about 0.015
    p = table["Pr(bootstrap)"].iloc[1]
    assert p == pytest.approx(0.0155, abs=4.5 * np.sqrt(0.0155 / 1000))


def test_bootstrap_does_not_depend_on_workers():
    m0, m1 = ml("y ~ x + (1 | f1)", data()), ml("y ~ x + (1 | f1) + (1 | c2)", data())
    p = [
        nm.anova(m0, m1, test="bootstrap", nsim=60, workers=w, **QUIET).table.iloc[1, -1]
        for w in (1, 2)
    ]
    assert p[0] == p[1]


def test_bootstrap_refuses_what_is_not_nested():
    m0, m1 = ml("y ~ z + (1 | f1)", data()), ml("y ~ x + a + (1 | f1)", data())
    with pytest.raises(ModelComparisonError, match="not nested"):
        nm.anova(m0, m1, test="bootstrap", nsim=5, **QUIET)
    r0, r1 = nm.lmer("y ~ x + (1 | f1)", data()), nm.lmer("y ~ x + z + (1 | f1)", data())
    with pytest.raises(ModelComparisonError, match="leave refit=True"):
        nm.anova(r0, r1, test="bootstrap", refit=False, nsim=5, **QUIET)


# --- the exact restricted likelihood ratio test ----------------------------------------------

# R: RLRsim::exactRLRT(m, mA, m0, nsim = 1e5 or 1e6, seed = 1): statistic, p-value, share of
# zeros, and the 90, 95 and 99 % quantiles of the sample
RLRSIM = {
    "Dyestuff": (6.36896, 0.004484, 0.561492, (1.33327, 2.332965, 4.963724)),
    "sleepstudy": (42.796, 0.0, 0.5417, (1.395906, 2.38814, 4.956952)),
    "classroom M14 M17": (4.6528, 0.01518, 0.51082, (1.587566, 2.65871, 5.382195)),
}


@pytest.fixture(scope="module")
def pairs(sleep, guide) -> dict[str, tuple[nm.LmerFit, ...]]:
    return {
        "Dyestuff": (nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff")),),
        "sleepstudy": (
            nm.lmer("Reaction ~ Days + (1 | Subject)", sleep),
            nm.lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep),
        ),
        "classroom M14 M17": (guide["M14"], guide["M17"]),
    }


@pytest.mark.parametrize("case", RLRSIM)
def test_rlrt_is_that_of_rlrsim(pairs, case):
    statistic, p, zeros, quantiles = RLRSIM[case]
    found = nm.rlrt(*pairs[case], nsim=40_000, seed=1)
    assert found.statistic == pytest.approx(statistic, abs=2e-3)
    error = np.sqrt(1 / 40_000 + 1 / 100_000)
    assert found.pvalue == pytest.approx(p, abs=4.5 * error * np.sqrt(p * (1 - p)))
    assert np.mean(found.draws == 0) == pytest.approx(zeros, abs=4.5 * error * 0.5)
    assert np.quantile(found.draws, [0.9, 0.95]) == pytest.approx(quantiles[:2], rel=0.05)
    assert np.quantile(found.draws, 0.99) == pytest.approx(quantiles[2], rel=0.06)
    assert found.exact == (len(pairs[case]) == 1)


def test_rlrt_in_either_order_and_after_ml(pairs):
    small, large = pairs["sleepstudy"]
    one = nm.rlrt(small, large, nsim=200, seed=1)
    other = nm.rlrt(large.refit_ml(), small.refit_ml(), nsim=200, seed=1)
    assert other.statistic == pytest.approx(one.statistic, abs=1e-6)
    assert other.draws.tolist() == one.draws.tolist()


def test_balanced_one_way_draws_agree_with_their_closed_form():
    # the supremum is explicit where all eigenvalues are equal
    rng = np.random.default_rng(2)
    w, rest = rng.chisquare(5, 100_000), rng.chisquare(24, 100_000)
    grown = np.maximum(24 / 5 * w / rest, 1.0)
    exact = 29 * (np.log(w + rest) - np.log(w / grown + rest)) - 5 * np.log(grown)
    ones = (np.array([1.0]), np.array([5.0]), 24)
    found = draw_rlrt(*ones, nsim=100_000, rng=np.random.default_rng(3))
    for q in (0.7, 0.9, 0.97, 0.99):
        above = np.mean(found > np.quantile(exact, q))
        assert above == pytest.approx(1 - q, abs=4.5 * np.sqrt(2 * q * (1 - q) / 100_000))


@pytest.mark.parametrize("weighted", [False, True])
def test_spectrum_is_that_of_dense_matrices(weighted):
    fit = nm.lmer("y ~ x + (0 + z | f1)", data(), weights="w" if weighted else None)
    d = fit.design
    root = np.sqrt(d.weights) if weighted else np.ones(d.n)
    X = root[:, None] * d.X
    Z = np.zeros((d.n, 30))
    Z[np.arange(d.n), d.factors[0].codes] = root * d.terms[0].X[:, 0]
    P = np.eye(d.n) - X @ np.linalg.solve(X.T @ X, X.T)
    mu = np.linalg.eigvalsh(Z.T @ P @ Z)
    found, counts, rest = spectrum(d, 0)
    assert np.repeat(found, counts.astype(int)) == pytest.approx(mu / mu[-1], abs=1e-9)
    assert rest == d.n - d.p - len(mu)


def test_a_statistic_of_zero_has_p_value_one():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    found = nm.rlrt(fit, nsim=500, seed=1)
    assert found.statistic == 0.0 and found.pvalue == 1.0


def test_printed(pairs):
    text = str(nm.rlrt(*pairs["classroom M14 M17"], nsim=1000, seed=1))
    assert text.startswith("Restricted likelihood ratio test of a variance")
    assert "(1 | classid)" in text and "approximate (other variances are in the model)" in text
    assert "< 0.001" in str(nm.rlrt(*pairs["sleepstudy"], nsim=1000, seed=1))


RLRT_REFUSED = {
    "two variances": (("y ~ x + (1 | f1)", "y ~ x + (1 | f1) + (1 | c1) + (1 | c2)"),
                      r"2 variance\(s\)"),
    "a covariance": (("y ~ x + (1 | f1)", "y ~ x + (x | f1)"), r"1 covariance\(s\)"),
    "fixed effects": (("y ~ x + (1 | f1)", "y ~ z + (1 | f1) + (1 | c1)"), "fixed effects"),
    "one model, two variances": (("y ~ x + (1 | f1) + (1 | c1)",), "single variance"),
    "one model, a block": (("y ~ x + (x | f1)",), "single variance"),
    "responses": (("y ~ x + (1 | f1)", "off ~ x + (1 | f1) + (1 | c1)"), "different responses"),
}  # fmt: skip


@pytest.mark.parametrize("case", RLRT_REFUSED)
def test_rlrt_refuses(case):
    formulas, text = RLRT_REFUSED[case]
    with pytest.raises(ModelComparisonError, match=text):
        nm.rlrt(*(nm.lmer(f, data()) for f in formulas))


def test_rlrt_refuses_bad_options(pairs):
    with pytest.raises(OptionError, match="nsim"):
        nm.rlrt(*pairs["Dyestuff"], nsim=0)
    with pytest.raises(OptionError, match="takes fits of lmer"):
        nm.rlrt("y ~ x")
