"""Sandwich covariances of generalized models: lme4's deviances, quadrature done here, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.generalized_sandwich import cluster_scores
from nestedmlm.inference.resampling.resampling import row_sets
from nestedmlm.inference.rows.subset import without_rows

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def cbpp() -> dict[int, nm.GlmerFit]:
    data = nm.load_dataset("cbpp")
    return {n: nm.glmer(CBPP, data, family="binomial", nAGQ=n) for n in (1, 9)}


def scores_of(fit: nm.GlmerFit, name: str) -> np.ndarray:
    factor = next(f for f in fit.design.factors if f.name == name)
    return cluster_scores(fit.core, row_sets(factor.codes.astype(np.int64), len(factor.levels)))


# R: differences of lme4's deviance function (tolPwrss 1e-13), all herds minus all but one
LME4 = {
    1: ([0.286240, 0.454305, 0.513205, 0.361819], [0.081933, -0.095896, -0.070500, -0.057395]),
    9: ([0.286269, 0.454576, 0.513498, 0.362009], [0.081950, -0.095974, -0.070567, -0.057429]),
}


@pytest.mark.parametrize("nAGQ", LME4)
def test_as_differences_of_lme4s_deviance(cbpp, nAGQ):
    se, first = LME4[nAGQ]
    found = cbpp[nAGQ].cov_params("CR0")
    assert np.sqrt(np.diag(found)) == pytest.approx(se, abs=1.5e-5)
    assert found.iloc[0].to_numpy() == pytest.approx(first, abs=1.5e-5)
    ratio = (cbpp[nAGQ].cov_params("CR1") / found).to_numpy()
    assert ratio == pytest.approx(np.full((4, 4), 15 / 14))


def test_scores_sum_to_the_gradient(cbpp):
    for fit in cbpp.values():
        scores = scores_of(fit, "herd")
        assert np.abs(scores.sum(axis=0)).max() < 1e-4 * np.abs(scores).max()


def test_as_quadrature_of_each_cluster_by_itself():
    """Log of a sum over a fine grid, differences in (beta, log sd): nothing shared."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 6)
    x, w = rng.normal(size=180), rng.normal(size=30)[g]  # w: the same in all rows of a cluster
    eta = 0.3 + 0.5 * x - 0.4 * w + 0.8 * rng.normal(size=30)[g] + 0.1 * x
    data = pd.DataFrame({"y": rng.poisson(np.exp(eta)), "x": x, "w": w, "g": g, "o": 0.1 * x})
    fit = nm.glmer("y ~ x + w + (1 | g) + offset(o)", data, family="poisson", nAGQ=25)
    nodes = np.linspace(-7.0, 7.0, 1401)
    weights = np.exp(-0.5 * nodes**2)
    X = np.column_stack([np.ones(180), x, w])

    def each(psi: np.ndarray) -> np.ndarray:
        mu = np.exp((X @ psi[:3] + data["o"].to_numpy())[:, None] + np.exp(psi[3]) * nodes)
        rows = data["y"].to_numpy()[:, None] * np.log(mu) - mu
        sums = np.add.reduceat(rows, np.arange(0, 180, 6))
        return np.log(np.exp(sums) @ weights)

    psi, eye = np.append(fit.params, np.log(fit.theta)), np.eye(4)
    scores = np.column_stack([(each(psi + 1e-4 * e) - each(psi - 1e-4 * e)) / 2e-4 for e in eye])
    H = np.empty((4, 4))
    for i, a in enumerate(1e-3 * eye):
        for j, b in enumerate(1e-3 * eye):
            H[i, j] = -(each(psi + a + b) - each(psi + a - b) - each(psi - a + b)
                        + each(psi - a - b)).sum() / 4e-6  # fmt: skip
    inverse = np.linalg.inv(H)
    expected = (inverse @ scores.T @ scores @ inverse)[:3, :3]
    found = fit.cov_params("CR0").to_numpy()
    assert found == pytest.approx(expected, rel=2e-4, abs=2e-6)


def test_nested_factors_dispersion_and_slopes():
    rng = np.random.default_rng(5)
    school, room = np.repeat(np.arange(12), 20), np.repeat(np.arange(48), 5)
    x = rng.normal(size=240)
    b = 0.5 * rng.normal(size=12)[school] + 0.4 * rng.normal(size=48)[room]
    mean = np.exp(0.5 + 0.3 * x + b)
    data = pd.DataFrame({"y": rng.gamma(3.0, mean / 3.0), "x": x, "school": school, "room": room})
    fit = nm.glmer("y ~ x + (x | school) + (1 | room)", data, family="gamma", link="log")
    scores = scores_of(fit, "school")
    assert scores.shape == (12, 2 + 3 + 1 + 1)
    free = np.diag(fit.solved.covariance) > 0
    assert np.abs(scores.sum(axis=0)[free]).max() < 2e-3 * np.abs(scores).max()
    se = np.sqrt(np.diag(fit.cov_params("CR1")))
    assert (0.3 < se / fit.bse).all()
    assert (se / fit.bse < 3.0).all()
    with pytest.raises(OptionError, match="share random effects"):
        fit.cov_params(nm.ClusterRobust(type="CR1", cluster="room"))


def test_verbs_use_it(cbpp):
    fit = cbpp[1]
    se = np.sqrt(np.diag(fit.cov_params("CR1")))
    text = "CR1 covariance, clusters: herd, 15"
    table = fit.summary(vcov="CR1").tables["coefficients"]
    assert table["std_error"].to_numpy() == pytest.approx(se)
    assert text in str(fit.summary(vcov="CR1"))
    tidy = fit.tidy("fixed", vcov="CR1")
    assert tidy["std_error"].to_numpy() == pytest.approx(se)
    z = fit.params["period2"] / se[1]
    assert fit.contest("period2", vcov="CR1").to_frame()["statistic"].iloc[0] == pytest.approx(z**2)
    means = fit.emmeans("period", vcov="CR1")
    assert means.to_frame()["std_error"].iloc[0] == pytest.approx(se[0])
    assert text in str(means)
    joint = fit.anova(type="III", vcov="CR1").to_frame().loc["period", "statistic"]
    V = fit.cov_params("CR1").iloc[1:, 1:]
    b = fit.params.iloc[1:]
    assert joint == pytest.approx(float(b @ np.linalg.solve(V, b)))


def test_adjusted_residuals_of_the_working_model(cbpp):
    """CR2 and CR3 of dense matrices; CR3 near the jackknife of whole refits."""
    fit = cbpp[1]
    design, eta = fit.design, fit.predict().to_numpy()
    mu = 1.0 / (1.0 + np.exp(-eta))
    w = design.weights * mu * (1.0 - mu)
    X, codes = design.X, design.factors[0].codes
    Z = np.eye(15)[codes]
    V = np.diag(1.0 / w) + fit.theta[0] ** 2 * Z @ Z.T
    W = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ W @ X)
    z = eta + (design.y - mu) / (mu * (1.0 - mu))
    e = z - X @ (M @ (X.T @ (W @ z)))
    meat = {"CR2": np.zeros((4, 4)), "CR3": np.zeros((4, 4))}
    for g in range(15):
        own = np.ix_(codes == g, codes == g)
        Xg, Vg, Wg, eg = X[codes == g], V[own], W[own], e[codes == g]
        C = np.linalg.cholesky(Vg).T
        values, vectors = np.linalg.eigh(C @ (Vg - Xg @ M @ Xg.T) @ C.T)
        A = C.T @ (vectors / np.sqrt(values)) @ vectors.T @ C
        for kind, adjusted in (
            ("CR2", A @ eg),
            ("CR3", np.linalg.solve(np.eye(len(eg)) - Xg @ M @ Xg.T @ Wg, eg)),
        ):
            u = Xg.T @ Wg @ adjusted
            meat[kind] += np.outer(u, u)
    for kind, inside in meat.items():
        found = fit.cov_params(kind).to_numpy()
        assert found == pytest.approx(M @ inside @ M, rel=1e-8)
    away = [
        fit.refitted(without_rows(design, np.flatnonzero(codes == g))).fixef - fit.fixef
        for g in range(15)
    ]
    jackknife = np.sqrt((np.array(away) ** 2).sum(axis=0))
    assert np.sqrt(np.diag(fit.cov_params("CR3"))) == pytest.approx(jackknife, rel=0.05)
    text = "CR2 covariance, clusters: herd, 15"
    assert text in str(fit.summary(vcov="CR2"))
    z_value = fit.fixef["period2"] / np.sqrt(fit.cov_params("CR2").iloc[1, 1])
    found = fit.contest("period2", vcov="CR2").to_frame()["statistic"].iloc[0]
    assert found == pytest.approx(z_value**2)


def test_refusals(cbpp):
    data = nm.load_dataset("cbpp")
    with pytest.raises(OptionError, match="nAGQ=1 or more"):
        nm.glmer(CBPP, data, family="binomial", nAGQ=0).cov_params("CR0")
    with pytest.raises(OptionError, match="penalised"):
        nm.glmer(CBPP, data, family="binomial", penalty="wishart").cov_params("CR0")
    with pytest.raises(OptionError, match="either vcov= or method="):
        cbpp[1].cov_params("CR0", method="conditional")
    with pytest.raises(OptionError, match="is no grouping factor"):
        cbpp[1].cov_params(nm.ClusterRobust(type="CR0", cluster="period"))
    with pytest.raises(OptionError, match="degrees of freedom"):
        cbpp[1].contest("period2", ddf="satterthwaite", vcov="CR1")
