"""Influence of groups where residuals differ or correlate: fits to the data without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.errors import DataError, OptionError


def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"g": np.repeat(np.arange(8), 4), "t": np.tile(np.arange(4.0), 8)})
    d["visit"], d["arm"] = "v" + d["t"].astype(int).astype(str), np.where(d["g"] % 2, "b", "a")
    d["y"] = d["t"] + rng.normal(size=8)[d["g"]] + rng.normal(size=32).cumsum() / 3
    return d.drop(index=[5, 18]).reset_index(drop=True)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ t + (1 | g)", {"dispersion": "~ arm"}),
        ("y ~ t + (1 | g)", {"residual": "ar1(t | g)"}),
        ("y ~ t", {"residual": "us(visit | g)"}),
    ],
)
def test_without_a_group_it_is_the_fit_to_the_others(formula, options):
    d = data()
    found = nm.lmer(formula, d, **options).influence("g", progress=False)
    rest = nm.lmer(formula, d[d["g"] != 3], **options)
    assert found.fixef_without.loc[3].to_numpy() == pytest.approx(rest.fixef.to_numpy(), rel=1e-5)
    assert found.sigma_without.loc[3] == pytest.approx(rest.sigma, rel=1e-5)
    assert found.vcov_without[3] == pytest.approx(rest.cov_params().to_numpy(), rel=1e-4)
    assert np.isfinite(found.cooks_distance()).all()


def dense(d: pd.DataFrame, ratio: float):
    """REML criterion, sigma and estimates of ``y ~ t`` where arm b has this log ratio of SDs."""
    X, logs = np.column_stack([np.ones(len(d)), d["t"]]), ratio * (d["arm"] == "b")
    K = np.exp(-2.0 * logs.to_numpy())
    information = X.T @ (K[:, None] * X)
    beta = np.linalg.solve(information, X.T @ (K * d["y"]))
    df = len(d) - 2
    sigma2 = float(K @ (d["y"] - X @ beta) ** 2) / df
    logdet = 2.0 * logs.sum() + np.linalg.slogdet(information)[1]
    return logdet + df * np.log(sigma2), np.sqrt(sigma2), beta


def test_one_step_is_newtons_in_the_residuals_parameters():
    d = data()
    fit = nm.lmer("y ~ t", d, dispersion="~ arm")
    found = fit.influence("g", refit="one-step", progress=False)
    own, h = float(np.log(fit.dispersion["estimate"].iloc[-1])), 1e-3
    for g in (2, 5):
        rest = d[d["g"] != g]
        down, here, up = (dense(rest, own + k * h)[0] for k in (-1, 0, 1))
        moved = own - (up - down) / 2.0 / ((up - 2.0 * here + down) / h)
        _, sigma, beta = dense(rest, moved)
        assert found.sigma_without.loc[g] == pytest.approx(sigma, rel=1e-5)
        assert found.fixef_without.loc[g].to_numpy() == pytest.approx(beta, rel=1e-5)
        assert abs(moved - own) > 0.01


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ t + (1 | g)", {"dispersion": "~ t"}),
        ("y ~ t", {"residual": "ar1(when | g)"}),
        ("y ~ t", {"residual": "cs(1 | g)"}),
        ("y ~ t", {"residual": "car1(when | g)", "dispersion": "~ arm"}),
    ],
)
def test_one_step_is_nearer_to_refits_than_none(formula, options):
    """Also where the rows left have another step of time, or smaller blocks."""
    d = data().assign(when=lambda d: 2.0 * d["t"] + (d["g"] == 0) * (d["t"] == 1))
    fit = nm.lmer(formula, d, **options)
    full, step, none = (fit.influence("g", refit=how, progress=False)
                        for how in ("full", "one-step", "none"))  # fmt: skip
    near = (step.sigma_without - full.sigma_without).abs()
    far = (none.sigma_without - full.sigma_without).abs()
    assert near.sum() < 0.6 * far.sum()


def test_without_a_group_of_residuals_there_is_nothing_to_estimate():
    fit = nm.lmer("y ~ t", data(), residual="cs(1 | g, by=arm)")
    with pytest.raises(nm.errors.GroupingError, match="a of by= has none left"):
        fit.influence("arm", progress=False)


# --- tests and predictions without groups ---------------------------------------------------------
def test_fragility_refits_the_residuals():
    d = data()
    found = nm.lmer("y ~ t + (1 | g)", d, residual="ar1(t | g)").fragility("t", "g", progress=False)
    rest = nm.lmer("y ~ t + (1 | g)", d[d["g"] != 5], residual="ar1(t | g)").tidy("fixed").iloc[1]
    for column in ("estimate", "std_error", "df", "p_value"):
        assert found.without.loc[5, column] == pytest.approx(rest[column], rel=1e-4), column


def strata(free, d):
    return np.diag(np.exp(2.0 * free * (d["arm"] == "b")))


def decaying(free, d):
    return np.tanh(free) ** np.abs(np.subtract.outer(d["t"].to_numpy(), d["t"].to_numpy()))


@pytest.mark.parametrize(
    ("formula", "options", "by", "R"),
    [
        ("y ~ t + (1 | g)", {"dispersion": "~ arm"}, "g", strata),
        ("y ~ t + (1 | site)", {"residual": "ar1(t | g)"}, "site", decaying),
        ("y ~ t", {"residual": "ar1(t | g)"}, "g", decaying),
        ("y ~ t + (1 | g)", {"dispersion": "~ arm", "weights": "w"}, "g", strata),
    ],
)
def test_groups_are_predicted_with_their_own_covariance(formula, options, by, R):
    d = data().assign(site=lambda d: d["g"] // 2, w=lambda d: 1.0 + d["t"])
    found = nm.lmer(formula, d, **options).loo(progress=False)
    assert found.group == by
    mine = d[by] == 2
    rest, own = nm.lmer(formula, d[~mine], **options), d[mine]
    correlated = "residual" in options
    value = rest.dispersion["estimate"].iloc[-1]
    V = R(np.arctanh(value) if correlated else np.log(value), own)
    V = V * np.equal.outer(own["g"].to_numpy(), own["g"].to_numpy())
    if "weights" in options:
        V = V / np.sqrt(np.outer(own["w"], own["w"]))
    V = rest.sigma**2 * V
    if "|" in formula:
        V = V + rest.varcorr().blocks[0].cov[0, 0]
    X = np.column_stack([np.ones(len(own)), own["t"]])
    V = V + X @ rest.cov_params().to_numpy() @ X.T
    expected = multivariate_normal(X @ rest.fixef.to_numpy(), V).logpdf(own["y"])
    assert found.to_frame().loc[2, "elpd"] == pytest.approx(expected, abs=1e-5)


def test_blocks_and_strata_that_the_others_do_not_tell_are_refused():
    d = data().assign(odd=lambda d: np.where(d["g"] == 3, "b", "a"), half=lambda d: d["t"] > 1)
    with pytest.raises(OptionError, match="groups of whole blocks"):
        nm.lmer("y ~ t", d, residual="ar1(t | g)").loo(group="half", progress=False)
    with pytest.raises(DataError, match="without g 3 a fixed effect or a residual variance"):
        nm.lmer("y ~ t + (1 | g)", d, dispersion="~ odd").loo(progress=False)
    assert np.isfinite(nm.lmer("y ~ t", d, residual="us(visit | g)").loo(
        refit="none", progress=False).elpd)  # fmt: skip


# --- parameters held: everything beside dense matrices ------------------------------------------
KINDS = {
    "strata": ("y ~ t + (1 | g)", {"dispersion": "~ arm", "weights": "w"}),
    "within random effects": ("y ~ t + (1 | g) + (1 | site)", {"residual": "ar1(t | g)"}),
    "weighted visits": ("y ~ t + arm", {"residual": "us(visit | g)", "weights": "w"}),
    "crossed": ("y ~ t + (1 | g) + (1 | rater)", {"residual": "ar1(t | g)", "dispersion": "~ arm"}),
}


@pytest.fixture(scope="module", params=KINDS)
def held(request):
    """A fit, R and V relative to sigma squared, and ``V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1``."""
    formula, options = KINDS[request.param]
    d = data().assign(w=lambda d: 1.0 + d.index % 3, site=lambda d: d["g"] // 2,
                      rater=lambda d: (d.index * 7) % 5)  # fmt: skip
    fit = nm.lmer(formula, d, **options)
    of, at = fit.design, fit.solution.stats.residual
    R = np.zeros((of.n, of.n))
    for blocks, matrices in at.model.matrices(at.free):
        for own, block in zip(blocks, matrices, strict=True):
            R[np.ix_(own, own)] = block
    w = np.ones(of.n) if of.weights is None else of.weights
    R /= np.sqrt(np.outer(w, w))
    V = R.copy()
    for term, T in zip(of.terms, fit.solution.T, strict=True):
        codes = of.factors[term.factor].codes
        V += (term.X @ T @ T.T @ term.X.T) * (codes[:, None] == codes)
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ of.X @ np.linalg.solve(of.X.T @ Vi @ of.X, of.X.T @ Vi)
    return fit, R, V, P


def test_leverages_and_standardized_residuals(held):
    fit, R, V, P = held
    y, X, sigma = fit.design.y, fit.design.X, fit.sigma
    assert fit.hatvalues().to_numpy() == pytest.approx(1.0 - np.diag(R @ P), abs=1e-10)
    e = R @ P @ y
    sd = sigma * np.sqrt(np.diag(R @ P @ R))
    assert fit.residuals(standardized=True).to_numpy() == pytest.approx(e / sd, abs=1e-9)
    assert fit.rstudent().to_numpy() == pytest.approx(e / sd, abs=1e-9)
    marginal = fit.residuals(which="marginal", standardized=True).to_numpy()
    variance = np.diag(V - X @ np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T))
    assert marginal == pytest.approx((y - X @ fit.fixef) / (sigma * np.sqrt(variance)), abs=1e-9)
    moved = P @ y / np.diag(P)
    cook = moved**2 * np.diag(np.linalg.inv(R) - P) / (sigma**2 * fit.design.p)
    assert fit.cooks_distance().to_numpy() == pytest.approx(cook, abs=1e-9)
    outside = np.sqrt((fit.solution.pwrss - moved**2 * np.diag(P)) / (len(y) - X.shape[1] - 1))
    assert fit.rstudent(external=True).to_numpy() == pytest.approx(
        e / sd * sigma / outside, abs=1e-9
    )
    pd.testing.assert_series_equal(fit.augment()["hat"], fit.hatvalues())


@pytest.mark.parametrize("groups", [None, "g", "visit"])
def test_rows_left_out_of_a_dense_v(held, groups):
    fit, _, V, _ = held
    of, d = fit.design, fit.model.data
    found = fit.influence(groups, refit="none", progress=False)
    labels = np.arange(of.n) if groups is None else np.asarray(d[groups])
    for label in found.fixef_without.index[[0, 3]]:
        kept = np.flatnonzero(labels != label)
        X, y, Vi = of.X[kept], of.y[kept], np.linalg.inv(V[np.ix_(kept, kept)])
        C = np.linalg.inv(X.T @ Vi @ X)
        beta = C @ X.T @ Vi @ y
        r = y - X @ beta
        sigma2 = r @ Vi @ r / (len(kept) - of.p)
        assert found.fixef_without.loc[label].to_numpy() == pytest.approx(beta, abs=1e-9)
        assert found.sigma_without.loc[label] == pytest.approx(np.sqrt(sigma2), rel=1e-9)
        g = found.fixef_without.index.get_loc(label)
        assert found.vcov_without[g] == pytest.approx(sigma2 * C, rel=1e-8)


def test_effects_that_go_with_their_rows():
    d = data().assign(rare=lambda d: np.where(d["g"] == 5, d["t"] + 1.0, 0.0))
    fit = nm.lmer("y ~ t + rare", d, residual="ar1(t | g)")
    found = fit.influence("g", refit="none", progress=False)
    assert np.isnan(found.fixef_without.loc[5, "rare"])
    without = fit.model.update(". ~ . - rare").fit()
    other = nm.lmer("y ~ t", d[d["g"] != 5], residual="ar1(t | g)")
    at = fit.solution.stats.residual  # the same residual parameters, no `rare`
    rest = found.fixef_without.loc[5, ["(Intercept)", "t"]].to_numpy()
    kept = np.flatnonzero(d["g"] != 5)
    R = np.zeros((len(d), len(d)))
    for blocks, matrices in at.model.matrices(at.free):
        for own, block in zip(blocks, matrices, strict=True):
            R[np.ix_(own, own)] = block
    X, y, Vi = without.design.X[kept], d["y"].to_numpy()[kept], np.linalg.inv(R[np.ix_(kept, kept)])
    C = np.linalg.inv(X.T @ Vi @ X)
    assert rest == pytest.approx(C @ X.T @ Vi @ y, rel=1e-8)
    assert rest == pytest.approx(other.fixef.to_numpy(), rel=0.05)
    r = y - X @ rest
    assert found.sigma_without.loc[5] == pytest.approx(np.sqrt(r @ Vi @ r / (len(y) - 2)), rel=1e-8)
    g = found.fixef_without.index.get_loc(5)
    assert found.vcov_without[g][:2, :2] == pytest.approx(
        found.sigma_without.loc[5] ** 2 * C, rel=1e-8
    )


def test_joint_covariance_knows_the_residuals(held):
    fit, _, _, _ = held
    if not fit.design.terms:
        return
    A = np.hstack([fit.design.X, fit.model_matrix("random").toarray()])
    found = np.einsum("ij,jk,ik->i", A, fit.cov_params(full=True).to_numpy(), A)
    assert np.sqrt(found) == pytest.approx(fit.predict(se_fit=True).std_error.to_numpy(), rel=1e-8)


def test_check_finds_what_was_made_wrong_beside_correlated_residuals():
    far = data()
    far.loc[7, "y"] += 25.0
    found = nm.lmer("y ~ t + (1 | g)", far, residual="ar1(t | g)").check(nsim=20)
    verdicts = {finding.check: finding.verdict for finding in found.findings}
    assert verdicts["outliers"] == verdicts["influence"] == "look"
