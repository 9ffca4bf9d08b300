"""Optima of generalized models: identities between models, separation, boundaries, hard starts."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.errors import ConvergenceWarning, DataError, OptionError
from nestedmlm.families import resolve_family
from nestedmlm.likelihood.glmm import fused_laplace, laplace_likelihood
from nestedmlm.likelihood.glmm.dense import dense_laplace
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.optimum import minque
from nestedmlm.optimum.glmm.exact_hessian import exact_hessian
from nestedmlm.optimum.glmm.glmm_start import least_squares_start, other_least_squares
from nestedmlm.optimum.glmm.solve_glmm import (
    inverse_of_curvature,
    solve_glmm,
    warn_uncertified_glmm,
)


def solved(formula, data, family, link=None, *, weights=None, offset=None, **options):
    design = build_design(formula, data, weights=weights, offset=offset, check=False)
    return solve_glmm(design, resolve_family(family, link), **options)


def grouped(seed=1, n=160, J=14):
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.arange(n) % J)
    x = rng.normal(size=n)
    eta = 0.2 + 0.5 * x + 0.8 * rng.normal(size=J)[g]
    return rng, {"x": x, "g": np.array([f"g{i:02d}" for i in g])}, eta


def counts(**more):
    rng, data, eta = grouped(**more)
    return data | {"y": rng.poisson(np.exp(eta)).astype(float)}


def outcomes(**more):
    rng, data, eta = grouped(**more)
    return data | {"y": (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)}


def same(one, other, tolerance=1e-6):
    np.testing.assert_allclose(one.solution.theta, other.solution.theta, atol=tolerance)
    np.testing.assert_allclose(one.solution.beta, other.solution.beta, atol=tolerance)


def test_shares_with_trials_are_the_expanded_rows():
    rng, data, eta = grouped()
    a = rng.integers(1, 6, len(eta)).astype(float)
    k = rng.binomial(a.astype(int), 1 / (1 + np.exp(-eta)))
    shares = solved("y ~ x + (1 | g)", data | {"y": k / a, "a": a}, "binomial", weights="a")
    rows = np.repeat(np.arange(len(a)), a.astype(int))
    trial = np.concatenate([np.arange(m) for m in a.astype(int)])
    expanded = {name: column[rows] for name, column in data.items()}
    single = solved("y ~ x + (1 | g)", expanded | {"y": (trial < k[rows]) * 1.0}, "binomial")
    same(shares, single)
    constant = resolve_family("binomial").log_constant(k / a, a).sum()
    assert abs(shares.solution.deviance + 2 * constant - single.solution.deviance) < 1e-8


def test_poisson_weights_are_duplicated_rows():
    data = counts()
    w = np.random.default_rng(2).integers(1, 4, len(data["y"]))
    weighted = solved("y ~ x + (x | g)", data | {"w": w * 1.0}, "poisson", weights="w")
    rows = np.repeat(np.arange(len(w)), w)
    twice = solved("y ~ x + (x | g)", {k: v[rows] for k, v in data.items()}, "poisson")
    assert abs(weighted.solution.deviance - twice.solution.deviance) < 1e-8
    np.testing.assert_allclose(weighted.solution.beta, twice.solution.beta, atol=1e-6)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)"])
def test_gaussian_identity_is_maximum_likelihood_of_lmer(formula):
    rng, data, eta = grouped()
    data |= {"y": eta + 0.3 * data["x"] * (np.char.find(data["g"], "1") + 1)}
    data["y"] = data["y"] + 0.5 * rng.normal(size=len(eta))
    found, linear = (
        solved(formula, data, "gaussian", "identity"),
        nm.lmer(formula, data, REML=False),
    )
    assert abs(found.solution.deviance - linear.criterion) < 1e-8
    np.testing.assert_allclose(found.solution.dispersion, linear.sigma**2, rtol=1e-5)
    np.testing.assert_allclose(found.solution.theta, linear.sigma * linear.theta, rtol=1e-4)
    assert found.certificate.holds


def test_negative_binomial_with_large_theta_is_poisson():
    data = counts()
    poisson = solved("y ~ x + (1 | g)", data, "poisson")
    far = solved("y ~ x + (1 | g)", data, nm.families.negative_binomial(theta=1e8))
    # 1e-4 standard errors: both stop where the criterion is flat to rounding
    same(poisson, far, tolerance=1e-5)
    assert abs(poisson.solution.deviance - far.solution.deviance) < 1e-5


def test_one_node_is_laplace_and_more_nodes_converge():
    data = outcomes()
    value = {
        nodes: solved("y ~ x + (x | g)", data, "binomial", nAGQ=nodes).solution.deviance
        for nodes in (1, 3, 7, 11)
    }
    assert abs(value[11] - value[7]) < 1e-3 < abs(value[3] - value[1])


@pytest.mark.parametrize("nodes", [2, 3])
def test_few_nodes_for_slopes_are_certified(nodes):
    # a grid turns with the columns of T: the approximation's M promised decreases that are none
    found = solved("y ~ x + (x | g)", outcomes(seed=4, n=90), "binomial", nAGQ=nodes)
    assert found.certificate.holds


@pytest.mark.parametrize("T", [[[0.9, 0.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
@pytest.mark.parametrize("link", ["logit", "probit"])
def test_the_way_off_the_boundary_is_that_of_the_integral(T, link):
    here = solved("y ~ x + (x | g)", outcomes(), "binomial", link, nAGQ=3).here
    objective, T = here._objective, np.array(T)
    gamma = objective.split(here.point)[1]
    base = objective.criterion_at(T.ravel(), gamma, 1.0)
    away = np.array([-0.5, 0.9]) if T.any() else np.array([1.0, 0.0])
    more, step = np.outer(away, away), 1e-5
    grown = np.linalg.qr(np.column_stack([T, np.sqrt(step) * away]).T, mode="r").T
    value = objective.criterion_at(grown.ravel(), gamma, 1.0).value
    slope = float(np.sum(base.slopes.M.reshape(2, 2) * more))
    assert abs((value - base.value) / step - slope) < 1e-3 * (1 + abs(slope))


def test_units_of_a_slope_change_nothing():
    data = counts()
    base = solved("y ~ x + (x | g)", data, "poisson")
    for unit in (1e6, 1e-6):
        other = solved("y ~ x + (x | g)", data | {"x": unit * data["x"]}, "poisson")
        assert abs(base.solution.deviance - other.solution.deviance) < 1e-8
        assert other.certificate.evaluations == base.certificate.evaluations
        np.testing.assert_allclose(other.solution.beta[1] * unit, base.solution.beta[1], rtol=1e-6)


def test_exchanged_outcomes_change_signs():
    data = outcomes()
    one = solved("y ~ x + (1 | g)", data, "binomial", "probit")
    other = solved("y ~ x + (1 | g)", data | {"y": 1 - data["y"]}, "binomial", "probit")
    np.testing.assert_allclose(one.solution.beta, -other.solution.beta, atol=1e-6)
    np.testing.assert_allclose(one.solution.b[0], -other.solution.b[0], atol=1e-5)


@pytest.mark.parametrize("term", ["(x | g)", pytest.param("cs(x | g)", marks=pytest.mark.slow)])
def test_second_derivatives_of_bare_loops_are_those_of_evaluations(term, monkeypatch):
    found = solved(f"y ~ x + {term}", counts(n=24, J=4), "poisson")
    expected = exact_hessian(found.here)
    monkeypatch.setattr(laplace_likelihood, "in_loops", lambda model: True)
    monkeypatch.setattr(laplace_likelihood, "compiled_laplace", lambda: fused_laplace)  # in Python
    monkeypatch.setattr(laplace_likelihood, "first_order", None)  # an evaluation fails
    np.testing.assert_allclose(exact_hessian(found.here), expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("nAGQ", [1, 5])
def test_standard_errors_are_those_of_a_differenced_hessian(nAGQ):
    found = solved("y ~ x + (1 | g)", outcomes(), "binomial", nAGQ=nAGQ)
    H = found.hessian
    objective, point = found.here.objective, found.here.point
    step, n = 1e-3, len(point)
    numeric = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            e, f = np.eye(n)[i] * step, np.eye(n)[j] * step
            numeric[i, j] = (
                objective.value_at(point + e + f)
                - objective.value_at(point + e - f)
                - objective.value_at(point - e + f)
                + objective.value_at(point - e - f)
            ) / (4 * step**2)
    np.testing.assert_allclose(H, numeric, rtol=1e-4, atol=1e-4 * np.abs(H).max())
    V = np.linalg.inv(numeric)[1:, 1:]
    Ri = np.linalg.inv(found.solution.stats.R_x)
    np.testing.assert_allclose(found.cov_params(), 2 * Ri @ V @ Ri.T, rtol=1e-3, atol=1e-6)


def test_the_joint_mode_lies_near_and_keeps_conditional_errors():
    data = outcomes()
    joint, laplace = (solved("y ~ x + (1 | g)", data, "binomial", nAGQ=k) for k in (0, 1))
    assert joint.certificate.holds
    np.testing.assert_allclose(joint.solution.beta, laplace.solution.beta, atol=0.1)
    assert joint.solution.deviance > laplace.solution.deviance
    np.testing.assert_array_equal(joint.cov_params("hessian"), joint.cov_params("conditional"))


def test_a_zero_variance_is_exactly_zero_and_certified():
    rng, data, _ = grouped(n=90)
    data["y"] = rng.binomial(4, 0.4, 90) / 4
    data["a"] = np.full(90, 4.0)
    found = solved("y ~ x + (1 | g)", data, "binomial", weights="a")
    assert found.solution.theta[0] == 0.0
    assert found.certificate.holds
    assert found.certificate.min_eigenvalue > 0.0


def test_the_optimum_leaves_a_zero_column():
    data = counts()
    base = solved("y ~ x + (x | g)", data, "poisson")
    left = solved("y ~ x + (x | g)", data, "poisson", start=[1e-9, 0.0, 0.0])
    assert abs(base.solution.deviance - left.solution.deviance) < 1e-7


def test_effects_of_every_row():
    data = counts(n=120)
    data["row"] = np.array([f"r{i}" for i in range(120)])
    data["y"] = np.random.default_rng(3).poisson(data["y"] * np.exp(np.arange(120) % 5 / 2)) * 1.0
    found = solved("y ~ x + (1 | g) + (1 | row)", data, "poisson")
    assert found.certificate.holds
    dense = dense_laplace(
        build_design("y ~ x + (1 | g) + (1 | row)", data, check=False),
        resolve_family("poisson"),
        found.solution.theta,
        found.solution.beta,
    )
    assert abs(found.solution.deviance - dense) < 1e-8


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_separation_names_the_coefficient(link):
    data = outcomes()
    level = np.arange(len(data["y"])) % 3
    data |= {"f": np.array(["a", "b", "c"])[level], "y": np.where(level == 2, 1.0, data["y"])}
    found = solved("y ~ x + f + (1 | g)", data, "binomial", link)
    assert found.separated == ("fc",)
    assert not found.certificate.holds
    with pytest.warns(ConvergenceWarning, match="separate the outcomes by fc"):
        warn_uncertified_glmm(found)
    errors = np.sqrt(np.diag(found.cov_params()))
    assert np.isfinite(errors).all()
    assert errors[3] > 5.0 * errors[2]  # of the level without a bound beside the one that has one


def test_a_weak_prior_cures_separation_and_is_a_ridge():
    data = outcomes()
    data |= {"z": (data["x"] > 0) * 1.0}
    data["y"] = np.where(data["z"] == 1.0, 1.0, data["y"])
    found = solved("y ~ z + (1 | g)", data, "binomial", penalty="normal")
    assert found.certificate.holds
    assert found.separated == ()
    assert 2.0 < found.solution.beta[1] < 20.0
    design = build_design("y ~ z + (1 | g)", data, check=False)
    sd = 2.5 / data["z"].std()

    def penalised(b):
        beta = found.solution.beta + np.array([0.0, b])
        return dense_laplace(
            design, resolve_family("binomial"), found.solution.theta, beta
        ) + (beta[1] / sd) ** 2  # fmt: skip

    assert abs(penalised(1e-3) - penalised(-1e-3)) / 2e-3 < 1e-4
    both = solved("y ~ z + (1 | g)", data, "binomial", penalty=("normal", "wishart"))
    assert both.solution.theta[0] > found.solution.theta[0]


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_outcomes_told_apart_by_a_hair_are_separated(link):
    # slopes so large that most rows' means are 0 and 1 to the computer
    data = outcomes()
    x = np.where(np.abs(data["x"]) < 0.02, 0.02, data["x"])
    x[:2] = (1e-4, -1e-4)
    data |= {"x": x, "y": (x > 0) * 1.0}
    found = solved("y ~ x + (1 | g)", data, "binomial", link)
    assert found.separated == ("x",)
    assert found.solution.deviance < 1e-3


def test_complete_separation_and_a_cell_without_events():
    data = outcomes()
    assert solved("y ~ x + (1 | g)", data | {"y": (data["x"] > 0) * 1.0}, "binomial").separated == (
        "x",
    )
    data = counts()
    f = np.where(np.arange(len(data["y"])) % 4 == 0, "none", "all")
    data |= {"f": f, "y": np.where(f == "none", 0.0, data["y"])}
    assert solved("y ~ x + f + (1 | g)", data, "poisson").separated == ("fnone",)
    assert solved("y ~ x + (1 | g)", outcomes(), "binomial").separated == ()


@pytest.mark.parametrize("link", ["log", "inverse", "identity"])
@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian"])
def test_hard_families_end_in_a_result_or_a_typed_error(family, link):
    for seed, formula in enumerate(("y ~ x + (1 | g)", "y ~ x + (x | g)", "y ~ x + (x || g)")):
        rng, data, eta = grouped(seed=seed, n=60, J=8)
        made = resolve_family(family, link)
        level = {"log": 0.3 * eta, "inverse": 1.5 + 0.2 * eta, "identity": 4.0 + 0.5 * eta}[link]
        data["y"] = made.random(made.link.mu(np.maximum(level, 0.2)), 1.0, 0.3, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = solved(formula, data, family, link)
            except DataError:
                continue
        assert np.isfinite(found.solution.deviance)
        assert found.certificate.holds or (family, link) == ("inverse_gaussian", "identity")
        assert found.certificate.evaluations <= 1200


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ("y ~ x + (1 | g) + (1 | h)", {"nAGQ": 3}, "this model has 2"),
        ("y ~ x + (x + I(x^2) + I(x^3) | g)", {"nAGQ": 3}, "at most 3 random effects"),
        ("y ~ x + (1 | g)", {"nAGQ": 101}, "at most 100"),
        ("y ~ x + (1 | g)", {"nAGQ": -1}, "nAGQ"),
        ("y ~ x + (1 | g)", {"information": "fisher"}, "expected, observed"),
        ("y ~ x + (1 | g)", {"start": [1.0, 2.0]}, "covariance parameters"),
        ("y ~ x + (1 | g)", {"start": {"sd": 1.0}}, "theta, beta and dispersion"),
        ("y ~ x + (1 | g)", {"start": {"beta": [1.0]}}, "beta must hold 2"),
        ("y ~ x + (1 | g)", {"penalty": "cauchy"}, "wishart, normal"),
        ("y ~ x + (1 | g)", {"penalty": ("normal", "normal")}, "two of a kind"),
        ("y ~ x + (1 | g)", {"penalty": "normal", "nAGQ": 0}, "not for nAGQ=0"),
        ("y ~ x + (1 | g)", {"control": nm.Control(optimizer="lme4")}, "linear models"),
    ],
)
def test_options_that_do_not_fit(formula, options, said):
    data = counts()
    data["h"] = np.array([f"h{i % 5}" for i in range(len(data["y"]))])
    with pytest.raises(OptionError, match=said):
        solved(formula, data, "poisson", **options)


def test_a_start_leads_to_the_same_optimum():
    data = counts()
    base = solved("y ~ x + (1 | g)", data, "negativebinomial")
    other = solved(
        "y ~ x + (1 | g)",
        data,
        "negativebinomial",
        start={"theta": [2.0], "beta": [1.0, -1.0], "dispersion": 30.0},
    )
    assert abs(base.solution.deviance - other.solution.deviance) < 1e-6


def test_large_crossed_factors_start_without_sums(monkeypatch):
    # the sums that moments are made of are not there before the first weights are
    rng = np.random.default_rng(5)
    d = pd.DataFrame({"u": rng.integers(0, 9, 120), "v": rng.integers(0, 7, 120)})
    d["y"] = rng.poisson(np.exp(0.4 * rng.normal(size=9)[d.u] + 0.4 * rng.normal(size=7)[d.v]))
    usual = nm.glmer("y ~ 1 + (1 | u) + (1 | v)", d, family="poisson")
    monkeypatch.setattr(minque, "LARGE_COLUMNS", 1)
    fit = nm.glmer("y ~ 1 + (1 | u) + (1 | v)", d, family="poisson")
    assert fit.criterion == pytest.approx(usual.criterion, abs=1e-6)


def test_what_is_found_survives_pickling():
    found = solved("y ~ x + (1 | g)", counts(), "negativebinomial")
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.cov_params(), found.cov_params())


@pytest.mark.parametrize("structure", ["cs", "ar1"])
def test_structures_of_two_columns_are_the_unstructured_one(structure):
    data = counts(seed=4)
    free = solved("y ~ x + (x | g)", data, "poisson")
    hom = ", hom = FALSE" if structure == "ar1" else ""
    other = solved(f"y ~ x + {structure}(x | g{hom})", data, "poisson")
    assert abs(free.solution.deviance - other.solution.deviance) < 1e-6
    assert other.certificate.holds


def test_a_penalty_keeps_the_variance_off_zero():
    rng, data, _ = grouped(n=90)
    data["y"] = rng.poisson(2.0, 90) * 1.0
    found = solved("y ~ x + (1 | g)", data, "poisson", penalty="wishart")
    assert found.solution.theta[0] > 0.01
    assert found.certificate.holds


@pytest.mark.parametrize("seed", [0, 14])
def test_an_optimum_beside_a_pole(seed):
    """Observed information that loses its definiteness takes the approximation to -infinity.

    A descent that follows it down is not certified; the optimum is the one of quadrature, which
    has no pole there.
    """
    rng = np.random.default_rng(seed)
    J = int(rng.integers(6, 15))
    n = J * int(rng.integers(4, 12))
    g, x = np.arange(n) % J, rng.normal(size=n)
    rng.integers(0, 5, n)
    mu = np.maximum(2.5 + 0.5 * x + rng.normal(0.0, 0.4, J)[g] * (seed % 3 > 0), 0.3)
    family = nm.families.inverse_gaussian("identity")
    y = np.maximum(family.random(mu, 1.0, float(rng.choice([0.05, 0.2, 0.6])), rng), 1e-6)
    data = pd.DataFrame({"x": x, "g": g.astype(str), "y": y})
    form = {0: "y ~ x + (1 | g)", 14: "y ~ x + (x || g)"}[seed]
    fit = nm.glmer(form, data, family=family)
    assert fit.converged
    bounded = nm.glmer(form, data, family=family, information="expected")
    assert fit.criterion == pytest.approx(bounded.criterion, abs=1e-6)
    assert (fit.fittedvalues > 0.0).all()


@pytest.mark.parametrize("seed", [12, 16])
def test_a_fit_above_a_pole_of_the_approximation_says_so(seed):
    """Of inverse Gaussian rows with a log link: the likelihood itself is nowhere lower."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.arange(12) % 4, "y": (rng.gamma(0.7, 2.0, 12) + 0.02).round(2)})
    family = nm.families.inverse_gaussian("log")
    fit = nm.glmer("y ~ 1 + (1 | g)", data, family=family)
    said = "local optimum certified; other starts lead"
    assert fit.converged and fit.certificate.message.startswith(said)
    assert fit.certificate.message in fit.messages
    bounded = nm.glmer("y ~ 1 + (1 | g)", data, family=family, information="expected")
    assert bounded.converged and not any(m.startswith(said) for m in bounded.messages)
    assert bounded.criterion == pytest.approx(fit.criterion, abs=1e-6)


@pytest.mark.parametrize(("seed", "n"), [(2, 12), (19, 18), (22, 12)])
def test_few_responses_differ_by_groups_or_by_dispersion(seed, n):
    """Of two optima the lower one, which the usual start does not lead to."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(size=6)[np.arange(n) % 6])
    y = (mean * rng.gamma(0.7, 1 / 0.7, n)).round(2) + 0.01
    data, form = pd.DataFrame({"g": np.arange(n) % 6, "y": y}), "y ~ 1 + (1 | g)"
    family = nm.families.inverse_gaussian("log")
    fit = nm.glmer(form, data, family=family)
    other = nm.glmer(form, data, family=family, start={"theta": [2.0], "dispersion": 0.1})
    assert fit.converged and other.theta[0] > 1.0
    assert fit.criterion < other.criterion + 1e-6


# y and x of rows in groups that restart; inverse Gaussian, log link, crossed with three levels
LINES = pd.DataFrame({
    "y": [0.0646, 0.0321, 4.05, 0.296, 0.94, 0.094, 0.511, 0.172, 4.28, 1.65, 0.599, 0.00973,
          0.312, 0.143, 0.486, 0.0915, 0.0257, 1.32, 1.23, 0.00449, 4.08, 0.482, 1.44, 0.554],
    "x": [-0.609, 1.45, 1.4, 0.619, -0.408, 1.2, 0.188, -0.545, -0.172, 0.196, -1.63, 1.35,
          -1.55, 0.48, 0.206, 0.335, -0.898, 1.2, -0.456, -2.0, 0.428, 0.398, -0.51, -0.237],
    "g": np.arange(24) % 3,
    "h": [2, 2, 1, 1, 0, 1, 1, 0, 2, 2, 2, 2, 1, 1, 2, 0, 0, 0, 2, 1, 1, 2, 0, 1],
})  # fmt: skip
GROUPS = pd.DataFrame({
    "y": [0.829, 10.1, 1.12, 0.364, 0.0149, 3.62, 1.01, 0.79, 0.0546, 3.36, 0.187, 0.287],
    "x": [-2.1, -0.404, 0.349, -0.0998, 0.416, 0.576, -0.447, -0.3, 0.892, -1.12, 0.91, 0.724],
    "g": np.arange(12) % 8,
    "h": [2, 1, 1, 2, 0, 0, 1, 1, 0, 2, 2, 1],
})  # fmt: skip


def test_a_log_likelihood_that_is_not_concave_has_other_optima_to_start_from():
    """The mean of most rows is as good as infinite at the better one: the smallest is met."""
    family = nm.families.inverse_gaussian("log")
    model = make_model(nm.build_design("y ~ x + (1 | g)", LINES), family)
    usual = model.loglik(model.predictor((first := least_squares_start(model))[0]), first[1])
    (gamma, dispersion), *_ = other_least_squares(model)
    assert model.loglik(model.predictor(gamma), dispersion) > usual + 5.0
    again = other_least_squares(model)
    assert np.array_equal(again[0][0], gamma)
    assert not other_least_squares(replace(model, family=nm.families.poisson()))  # concave


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "start", "lower"),
    [
        (LINES, {"theta": [0.1, 0.1], "dispersion": 0.9}, 38.2286),
        (GROUPS, {"theta": [0.1, 0.1], "dispersion": 0.35}, 26.598),  # the usual start: 37.69
    ],
)
def test_tiny_fits_with_a_dispersion_are_not_above_another_start(data, start, lower):
    """By integrals over draws of all effects too the lower one is the likelihood's (12 there)."""
    family, form = nm.families.inverse_gaussian("log"), "y ~ x + (1 | g) + (1 | h)"
    fit = nm.glmer(form, data, family=family)
    assert fit.converged
    assert fit.criterion <= nm.glmer(form, data, family=family, start=start).criterion + 1e-6
    assert fit.criterion <= lower + 1e-3


@pytest.mark.slow
def test_tiny_fits_of_precisions_start_from_larger_ones():
    y = [0.998237, 0.846828, 0.002412, 0.971447, 0.950594, 0.0001]
    data, family = pd.DataFrame({"g": [0, 1, 2] * 2, "y": y}), nm.families.beta("cloglog")
    fit = nm.glmer("y ~ 1 + (1 | g)", data, family=family)
    start = {"theta": [2.0], "dispersion": 30.0}  # the usual one: 0.69, and 0.92 above
    other = nm.glmer("y ~ 1 + (1 | g)", data, family=family, start=start)
    assert fit.converged and fit.criterion <= other.criterion + 1e-6


def test_dispersions_to_start_from():
    data = nm.load_dataset("sleepstudy")
    design = nm.build_design("Reaction ~ Days + (1 | Subject)", data)
    gamma, dispersion = least_squares_start(make_model(design, nm.families.gamma()))
    mu = np.exp(make_model(design, nm.families.gamma()).predictor(gamma))
    assert dispersion == pytest.approx(np.mean((design.y / mu - 1.0) ** 2))
    counts = design.with_response(np.round(design.y / 50.0))
    fixed = nm.families.negative_binomial(2.5)
    assert least_squares_start(make_model(counts, fixed))[1] == 2.5
    estimated = least_squares_start(make_model(counts, nm.families.negative_binomial()))[1]
    assert estimated != 2.5 and estimated > 0.0


def test_flat_directions_count_as_known_unless_they_are_mostly_fixed_effects():
    rng, effects = np.random.default_rng(2), np.array([False, True, True])
    of_effects = []
    for _ in range(12):
        Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        found = inverse_of_curvature(Q @ np.diag([0.0, 1.0, 2.0]) @ Q.T, effects)
        of_effects.append(bool((Q[effects, 0] ** 2).sum() > 0.5))
        flat = Q[:, 0] @ found @ Q[:, 0]
        assert flat > 1e6 if of_effects[-1] else abs(flat) < 1e-6
        assert Q[:, 1] @ found @ Q[:, 1] == pytest.approx(1.0, abs=1e-4)
    assert set(of_effects) == {True, False}
