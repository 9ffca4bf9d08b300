"""Cluster-robust covariances against dense matrices, the jackknife, Hotelling and known figures."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from designs import data
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import OptionError, RowsNotHereError
from nestedmlm.inference.effects.ddf import coefficient_tests, df_method, joint_test

TYPES = ("CR0", "CR1", "CR2", "CR3")
FORMULAS = {
    "nested, slopes": "y ~ x + a + (x | f2) + (1 | f1)",
    "one factor": "y ~ x + (1 | f1)",
}


@pytest.fixture(scope="module")
def fits() -> dict[str, nm.LmerFit]:
    made = {name: nm.lmer(formula, data()) for name, formula in FORMULAS.items()}
    timed = data().assign(when=lambda d: d.groupby("f1").cumcount())
    return made | {
        "weights": nm.lmer("y ~ x + a + (1 | f1)", data(), weights="w", REML=False),
        "blocks": nm.lmer("y ~ x + a", timed, weights="w", residual="ar1(when | f1)"),
        "blocks in groups": nm.lmer("y ~ x + (1 | f2)", timed, residual="cs(1 | f1)"),
    }


def outermost(fit: nm.LmerFit) -> np.ndarray:
    if not fit.design.factors:
        return fit.design.residual.block
    return min(fit.design.factors, key=lambda f: len(f.levels)).codes


# --- a dense twin, from the definitions ----------------------------------------------------------
def inverse_root(A: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(A)
    kept = values > 1e-10 * values.max()
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def dense(fit: nm.LmerFit, kind: str):
    """V_CR and P(c), the (m, m) matrix of the clusters' shares, with (n, n) matrices."""
    d, n = fit.design, fit.nobs
    V = np.diag(np.ones(n) if d.weights is None else 1 / d.weights)
    for b, level in enumerate(() if d.residual is None else d.residual.block_levels):
        own = np.flatnonzero(d.residual.block == b)
        V[np.ix_(own, own)] = fit.residual_cov(block=level).to_numpy() / fit.sigma**2
    for term, T in zip(d.terms, fit.solution.T, strict=True):
        codes = d.factors[term.factor].codes
        Z = np.zeros((n, (codes.max() + 1) * len(T)))
        for j in range(len(T)):
            Z[np.arange(n), codes * len(T) + j] = term.X[:, j]
        V += Z @ np.kron(np.eye(codes.max() + 1), T @ T.T) @ Z.T
    V *= fit.sigma**2
    W, X = np.linalg.inv(V), d.X
    M = np.linalg.inv(X.T @ W @ X)
    H = X @ M @ X.T @ W
    e = d.y - (0 if d.offset is None else d.offset) - X @ M @ X.T @ W @ (d.y)
    groups = outermost(fit)
    m = groups.max() + 1
    meat, pieces = np.zeros((d.p, d.p)), []
    for g in range(m):
        own = np.flatnonzero(groups == g)
        block, I_H = np.ix_(own, own), np.eye(n)[own] - H[own]
        if kind == "CR2":  # clubSandwich: chol, G, symmetric root
            C = np.linalg.cholesky(V[block]).T
            A = C.T @ inverse_root(C @ I_H @ V @ I_H.T @ C.T) @ C
        else:
            A = {
                "CR0": np.eye(len(own)),
                "CR1": np.sqrt(m / (m - 1)) * np.eye(len(own)),
                "CR3": np.linalg.inv(np.eye(len(own)) - H[block]),
            }[kind]
        u = X[own].T @ W[block] @ A @ e[own]
        meat += np.outer(u, u)
        pieces.append(X[own].T @ W[block] @ A @ I_H)  # (p, n): share of g in M^-1 beta-hat - beta

    def products(c: np.ndarray) -> np.ndarray:
        S = np.array([c @ M @ piece for piece in pieces])
        return S @ V @ S.T

    return M @ meat @ M, products


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("case", [*FORMULAS, "weights", "blocks", "blocks in groups"])
def test_covariance_and_degrees_of_freedom_are_the_definitions(fits, case, kind):
    fit = fits[case]
    cov, products = dense(fit, kind)
    assert fit.cov_params(kind).to_numpy() == pytest.approx(cov, rel=1e-7, abs=1e-12)
    found = coefficient_tests(fit.core, np.eye(fit.design.p), vcov=kind)
    for c, df in zip(np.eye(fit.design.p), found.df, strict=True):
        P = products(c)
        assert df == pytest.approx(np.trace(P) ** 2 / np.sum(P * P), rel=1e-7)


def test_adjustment_of_bell_and_mccaffrey_is_right_in_expectation(fits):
    fit = fits["nested, slopes"]
    _, products = dense(fit, "CR2")
    for c in np.eye(fit.design.p):
        assert np.trace(products(c)) == pytest.approx(c @ fit.cov_params().to_numpy() @ c, rel=1e-8)


def test_cr3_is_the_jackknife_with_theta_held(fits):
    for name in FORMULAS:
        fit = fits[name]
        cluster = min(fit.design.factors, key=lambda f: len(f.levels)).name
        change = fit.influence(cluster, refit="none").dfbeta().to_numpy()
        assert fit.cov_params("CR3").to_numpy() == pytest.approx(change.T @ change, rel=1e-9)


def test_figures_of_the_guide(shared_data):
    classroom = shared_data / "classroom.csv"
    if not classroom.is_file():
        pytest.skip(f"{classroom} not found")
    fit = nm.lmer("mathscore ~ ses + (1 | schoolid/classid)", pd.read_csv(classroom))
    found = [float(np.sqrt(fit.cov_params(kind).loc["ses", "ses"])) for kind in (None, *TYPES)]
    # the third by clubSandwich's form with (n, n) matrices; the last also by refits without schools
    assert found[0] == pytest.approx(1.484, abs=5e-4)
    assert found[1] == pytest.approx(1.675, abs=5e-4)
    assert found[3] == pytest.approx(1.6878, abs=5e-5)
    assert found[4] == pytest.approx(1.701, abs=5e-4)


# --- exact cases ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def profiles() -> tuple[nm.LmerFit, np.ndarray]:
    Y = np.random.default_rng(5).normal(size=(9, 3)) * [1, 2, 4] + [0.5, 1, 3]
    Y += np.random.default_rng(6).normal(size=(9, 1)) * 2
    table = pd.DataFrame(
        {"s": np.repeat(np.arange(9), 3), "v": np.tile(list("abc"), 9), "y": Y.ravel()}
    )
    return nm.lmer("y ~ 0 + v + (1 | s)", table), Y


def test_balanced_means_are_hotellings_test(profiles):
    fit, Y = profiles
    m, q = Y.shape
    L = np.eye(3)
    found = joint_test(df_method(fit.core, vcov="CR2"), L)
    T2 = m * Y.mean(axis=0) @ np.linalg.solve(np.cov(Y.T), Y.mean(axis=0))
    assert found.F == pytest.approx(T2 * (m - q) / (q * (m - 1)), rel=1e-8)
    assert found.den_df == pytest.approx(m - q, rel=1e-8)
    assert found.p_value == pytest.approx(stats.f.sf(found.F, q, m - q), rel=1e-6)


def test_a_balanced_difference_is_a_paired_t_test(profiles):
    fit, Y = profiles
    found = fit.contest("va - vc", joint=False, vcov="CR2").table.iloc[0]
    paired = stats.ttest_rel(Y[:, 0], Y[:, 2])
    assert found["t value"] == pytest.approx(paired.statistic, rel=1e-8)
    assert found["df"] == pytest.approx(8, rel=1e-8)
    assert found["Pr(>|t|)"] == pytest.approx(paired.pvalue, rel=1e-6)


# --- every verb takes it -------------------------------------------------------------------------
def test_verbs_agree(fits):
    fit = fits["nested, slopes"]
    robust = nm.ClusterRobust(type="CR2", cluster=outer_name(fit))
    cov = fit.cov_params(robust)
    se = np.sqrt(np.diag(cov))
    table = fit.summary(vcov=robust).tables
    assert table["coefficients"]["std_error"].to_numpy() == pytest.approx(se)
    assert table["correlation"].loc["x", "(Intercept)"] == pytest.approx(
        cov.loc["x", "(Intercept)"] / se[0] / se[1]
    )
    assert "CR2 covariance, clusters:" in str(fit.summary(vcov="CR2"))
    tidy = fit.tidy("fixed", conf_int=True, vcov="CR2")
    assert tidy["std_error"].to_numpy() == pytest.approx(se)
    assert tidy["df"].to_numpy() == pytest.approx(table["coefficients"]["df"].to_numpy())
    frame = nm.etable(fit, vcov="CR2", random=False).to_frame()
    assert frame["std_error"].to_numpy()[: len(se)] == pytest.approx(se)
    assert frame["conf_high"].to_numpy()[: len(se)] == pytest.approx(tidy["conf_high"].to_numpy())
    assert "cluster-robust covariance (CR2)" in str(nm.etable(fit, vcov="CR2"))
    anova = fit.anova(vcov="CR2").table
    assert anova.loc["x", "F value"] == pytest.approx(
        table["coefficients"].loc["x", "statistic"] ** 2
    )
    assert fit.drop1(vcov="CR2").table.loc["x", "DenDF"] == pytest.approx(anova.loc["x", "DenDF"])
    means = nm.emmeans(fit, "a", vcov="CR2")
    assert means.vcov() == pytest.approx(means.L @ cov.to_numpy() @ means.L.T)
    assert pickle.loads(pickle.dumps(means)).to_frame().equals(means.to_frame())
    slope = nm.emtrends(fit, "1", var="x", vcov="CR2").to_frame()
    assert slope["std_error"].iloc[0] == pytest.approx(se[1])


def outer_name(fit: nm.LmerFit) -> str:
    return min(fit.design.factors, key=lambda f: len(f.levels)).name


def test_marginaleffects_takes_it(fits):
    pytest.importorskip("marginaleffects")
    from nestedmlm.interop import marginaleffects_model

    fit = fits["one factor"]
    found = marginaleffects_model(fit).get_vcov("CR3")
    assert found == pytest.approx(fit.cov_params("CR3").to_numpy())


def test_methods_of_degrees_of_freedom(fits):
    fit = fits["one factor"]
    clusters = len(fit.design.factors[0].levels)
    tests = {ddf: fit.tidy("fixed", ddf=ddf, vcov="CR1") for ddf in ("residual", "satterthwaite")}
    assert (tests["residual"]["df"] == clusters - 1).all()
    assert (tests["satterthwaite"]["df"] < clusters - 1).all()
    normal = fit.summary("none", vcov="CR1").tables["coefficients"]
    assert normal["p_value"].to_numpy() == pytest.approx(
        2 * stats.norm.sf(np.abs(normal["statistic"].to_numpy()))
    )


@pytest.mark.parametrize(
    ("vcov", "said"),
    [
        ("HC3", "vcov='HC3' is unknown; known: CR0, CR1, CR2, CR3"),
        (nm.ClusterRobust(cluster="school"), "is no grouping factor"),
    ],
)
def test_unknown_ones_are_refused(fits, vcov, said):
    with pytest.raises(OptionError, match=said):
        fits["one factor"].cov_params(vcov)


def test_what_does_not_go_together(fits):
    fit = fits["nested, slopes"]
    with pytest.raises(OptionError, match="is for the model's covariance"):
        fit.summary("kenward-roger", vcov="CR2")
    inner = max(fit.design.factors, key=lambda f: len(f.levels)).name
    with pytest.raises(OptionError, match="share random effects of"):
        fit.cov_params(nm.ClusterRobust(cluster=inner))
    with pytest.raises(OptionError, match="have no vcov="):
        fit.drop1(test="Chisq", vcov="CR2")
    crossed = nm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))
    with pytest.raises(OptionError, match="no grouping factor holds all others"):
        crossed.summary(vcov="CR0")


SUMMED = {  # the formula that is summed, and the part of it that is fitted
    "slopes": ("y ~ x + a + (x + a | f2) + (1 | f1)", "y ~ x + a + (x | f2) + (1 | f1)"),
    "constant in a cell": ("y ~ c + (1 | f2) + (1 | f1)", "y ~ c + (1 | f2) + (1 | f1)"),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("case", SUMMED)
def test_sums_have_what_rows_have(case, kind):
    table = data()
    table["c"] = pd.factorize(table["f1"])[0] ** 2 % 5
    whole, part = SUMMED[case]
    fits = nm.summarise(whole, table).fit(part), nm.lmer(part, table)
    mine, theirs = (fit.tidy("fixed", vcov=kind) for fit in fits)
    assert np.allclose(mine["std_error"], theirs["std_error"], rtol=1e-9, atol=0)
    assert np.allclose(mine["df"], theirs["df"], rtol=1e-9, atol=0)
    mine, theirs = (fit.anova(vcov=kind).table for fit in fits)
    assert np.allclose(mine, theirs, rtol=1e-8, atol=0)


def test_sums_that_do_not_tell():
    part = "y ~ x + a + (x | f2) + (1 | f1)"
    with pytest.raises(RowsNotHereError, match=r"of a.* by f2.*has \(x \+ a \| f2\)"):
        nm.summarise(part, data()).fit().summary(vcov="CR1")
    summed = nm.summarise("y ~ x + a + (x + a | f2) + (1 | f1)", data(), weights="w").fit(part)
    rows = nm.lmer(part, data(), weights="w")
    assert np.allclose(summed.cov_params("CR3"), rows.cov_params("CR3"), rtol=1e-8)
    with pytest.raises(RowsNotHereError, match="CR2 of weighted rows"):
        summed.cov_params("CR2")


def test_strata_alone_leave_no_clusters():
    table = nm.load_dataset("sleepstudy").assign(late=lambda d: d["Days"] > 4)
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", table, dispersion="~ late")
    assert fit.cov_params("CR2").loc["Days", "Days"] != fit.cov_params().loc["Days", "Days"]
    fit = nm.lmer("Reaction ~ Days", table, residual="ar1(Days | Subject)", dispersion="~ late")
    assert "clusters: Subject, 18" in str(fit.summary(vcov="CR2"))


def test_a_coefficient_of_one_cluster_has_no_jackknife():
    table = data()
    table["only"] = (table["f1"] == table["f1"].iloc[0]) * 1.0
    fit = nm.lmer("y ~ x + only + (1 | f1)", table)
    with pytest.raises(OptionError, match="CR3 is not defined"):
        fit.cov_params("CR3")
    assert fit.cov_params("CR2").loc["only", "only"] >= 0.0
