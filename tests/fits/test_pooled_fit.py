"""Fits pooled over imputed data sets: each verb is Rubin's rules of the fits' own."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import ModelComparisonError, NotDefinedError, OptionError
from nestedmlm.inference.imputation.given_parameters import deviance_of

FORMULA = "Reaction ~ Days + g + (Days | Subject)"


@pytest.fixture(scope="module")
def imputed() -> list[pd.DataFrame]:
    data, rng = nm.load_dataset("sleepstudy"), np.random.default_rng(1)
    kind = data["Subject"].astype(int) % 3
    data = data.assign(g=kind.map({0: "a", 1: "b", 2: "c"}))
    holes = np.arange(0, 180, 7)
    out = []
    for _ in range(5):
        table = data.copy()
        table.loc[holes, "Reaction"] += rng.normal(size=len(holes)) * 25
        out.append(table)
    return out


@pytest.fixture(scope="module")
def pooled(imputed) -> nm.PooledFit:
    return nm.lmer(FORMULA, imputed)


@pytest.fixture(scope="module")
def null(imputed) -> nm.PooledFit:
    return nm.pool([nm.lmer("Reaction ~ Days + (Days | Subject)", table) for table in imputed])


def by_hand(estimates, variances):
    """Estimate, total variance."""
    m = len(estimates)
    return np.mean(estimates), np.mean(variances) + (1 + 1 / m) * np.var(estimates, ddof=1)


# --- estimates ------------------------------------------------------------------------------------
def test_estimates_are_rubins(pooled):
    for name in pooled.design.x_names:
        mean, total = by_hand(
            [f.params[name] for f in pooled.fits], [f.bse[name] ** 2 for f in pooled.fits]
        )
        assert pooled.params[name] == pytest.approx(mean)
        assert pooled.bse[name] == pytest.approx(np.sqrt(total))
    assert pooled.cov_params().loc["gb", "gc"] == pytest.approx(
        np.mean([f.cov_params().loc["gb", "gc"] for f in pooled.fits])
        + 1.2 * np.cov([f.params["gb"] for f in pooled.fits],
                       [f.params["gc"] for f in pooled.fits])[0, 1]
    )  # fmt: skip


def test_variances_are_means(pooled):
    cov = np.mean([f.varcorr().blocks[0].cov for f in pooled.fits], axis=0)
    assert pooled.varcorr().blocks[0].cov == pytest.approx(cov)
    assert pooled.sigma == pytest.approx(np.sqrt(np.mean([f.sigma**2 for f in pooled.fits])))
    assert pooled.r2()["marginal"] == pytest.approx(
        np.mean([f.r2()["marginal"] for f in pooled.fits])
    )


def test_equal_data_sets_are_one(imputed):
    one = nm.lmer(FORMULA, imputed[0])
    same = nm.pool([one, one, one])
    own = one.tidy("fixed")
    found = same.tidy()
    assert found["std_error"].to_numpy() == pytest.approx(own["std_error"].to_numpy())
    complete = own["df"].to_numpy()
    assert found["df"].to_numpy() == pytest.approx((complete + 1) / (complete + 3) * complete)
    assert (found["riv"] == 0).all()
    # D3 of equal data sets is the likelihood ratio
    null = nm.lmer("Reaction ~ Days + (Days | Subject)", imputed[0])
    row = same.compare(nm.pool([null] * 3), method="D3").table.iloc[0]
    ratio = null.refit_ml().deviance - one.refit_ml().deviance
    assert row["F value"] == pytest.approx(ratio / 2, rel=1e-6)


def test_it_says_what_it_is_of(pooled):
    first = pooled.fits[0]
    assert pooled.engine == "pooled"
    assert pooled.converged
    assert pooled.core.parts[0].design is pooled.design is first.design
    assert (pooled.formula, pooled.nobs, pooled.REML) == (first.formula, 180, True)
    assert pooled.model is first.model
    assert pooled.ngrps.equals(first.ngrps)
    assert pooled.penalty is None


# --- tests ----------------------------------------------------------------------------------------
def test_tables_agree(pooled):
    tidy = pooled.tidy(level=0.9)
    summary = pooled.summary().to_frame()
    assert summary["df"].to_numpy() == pytest.approx(tidy["df"].to_numpy())
    assert summary["fmi"].to_numpy() == pytest.approx(tidy["fmi"].to_numpy())
    row = pooled.contest("gb = 0", joint=False, level=0.9).table.iloc[0]
    assert row["upper"] == pytest.approx(tidy["conf_high"].iloc[2])
    anova = pooled.anova().table
    assert anova.loc["Days", "DenDF"] == pytest.approx(tidy["df"].iloc[1])
    assert anova.loc["Days", "F value"] == pytest.approx(tidy["statistic"].iloc[1] ** 2)
    assert pooled.contest(["gb", "gc"]).table["F value"].iloc[0] == pytest.approx(
        anova.loc["g", "F value"]
    )
    assert "pooled over 5 imputed data sets" in str(pooled)


def test_degrees_of_freedom_are_fewer_than_of_complete_data(pooled):
    complete = np.mean([f.tidy("fixed")["df"] for f in pooled.fits], axis=0)
    found = pooled.tidy()["df"].to_numpy()
    assert np.all(found < complete)
    assert np.all(pooled.tidy(ddf="none")["df"] > 100)  # Rubin's old ones


def test_robust_covariances_are_pooled(pooled):
    own = [f.cov_params("CR2").loc["Days", "Days"] for f in pooled.fits]
    _, total = by_hand([f.params["Days"] for f in pooled.fits], own)
    assert pooled.cov_params("CR2").loc["Days", "Days"] == pytest.approx(total)
    assert "CR2" in str(pooled.summary(vcov="CR2"))


def test_marginal_means(pooled):
    means = nm.emmeans(pooled, "g")
    own = [nm.emmeans(f, "g", ddf="satterthwaite").to_frame() for f in pooled.fits]
    mean, total = by_hand([f["estimate"][1] for f in own], [f["std_error"][1] ** 2 for f in own])
    again = nm.emmeans(pooled, "g", ddf="satterthwaite").to_frame()
    assert again["estimate"][1] == pytest.approx(mean)
    assert again["std_error"][1] == pytest.approx(np.sqrt(total))
    copy = pickle.loads(pickle.dumps(means)).pairs().to_frame()
    assert copy.equals(means.pairs().to_frame())


def test_etable(pooled, null):
    frame = nm.etable(pooled, null, names=["a", "b"]).to_frame()
    first = frame[frame["model"] == "a"].set_index("term")
    assert first.loc["Days", "std_error"] == pytest.approx(pooled.bse["Days"])
    table = pooled.varcorr().to_frame()
    assert first.loc["cor_Days.(Intercept)|Subject", "estimate"] == pytest.approx(
        table["estimate"][2]
    )
    assert "pooled" in str(nm.etable(pooled))
    robust = nm.etable(pooled, vcov="CR1").to_frame().set_index("term")
    assert robust.loc["Days", "std_error"] == pytest.approx(
        np.sqrt(pooled.cov_params(vcov="CR1").loc["Days", "Days"])
    )


# --- comparisons ----------------------------------------------------------------------------------
def test_comparisons_agree(pooled, null):
    found = {m: pooled.compare(null, method=m).table.iloc[0] for m in ("D1", "D2", "D3")}
    anova = pooled.anova().table.loc["g"]
    assert found["D1"]["F value"] == pytest.approx(anova["F value"])
    assert found["D1"]["DenDF"] == pytest.approx(anova["DenDF"])
    assert all(row["NumDF"] == 2 for row in found.values())
    assert found["D3"]["F value"] == pytest.approx(found["D1"]["F value"], abs=0.1)


def test_d3_evaluates_the_likelihood_at_the_means(pooled):
    fit = pooled.fits[0].refit_ml()
    at = deviance_of(fit.design, fit.solution.beta, fit.theta, fit.sigma)
    assert at == pytest.approx(fit.deviance, rel=1e-10)
    V = fit.sigma**2 * np.eye(180)
    Z = np.zeros((180, 36))
    codes = fit.design.factors[0].codes
    Z[np.arange(180), 2 * codes], Z[np.arange(180), 2 * codes + 1] = 1.0, fit.design.X[:, 1]
    theta = 1.3 * fit.theta
    T = np.array([[theta[0], 0.0], [theta[1], theta[2]]])
    V += fit.sigma**2 * Z @ np.kron(np.eye(18), T @ T.T) @ Z.T
    beta = fit.solution.beta + np.array([1.0, 0.5, -1.0, 2.0])
    rest = fit.design.y - fit.design.X @ beta
    dense = np.linalg.slogdet(2 * np.pi * V)[1] + rest @ np.linalg.solve(V, rest)
    assert deviance_of(fit.design, beta, theta, fit.sigma) == pytest.approx(dense, rel=1e-10)


def test_random_effects_are_compared_by_d3(pooled, imputed):
    null = nm.lmer("Reaction ~ Days + g + (1 | Subject)", imputed)
    assert pooled.compare(null, method="D3").table["Pr(>F)"].iloc[0] < 1e-4
    with pytest.raises(ModelComparisonError, match="method='D3'"):
        pooled.compare(null)
    with pytest.raises(ModelComparisonError, match="as many parameters"):
        null.compare(pooled, method="D2")


# --- rows -----------------------------------------------------------------------------------------
def test_predictions(pooled, imputed):
    rows = imputed[0].iloc[[0, 95]]
    own = [f.predict(rows, interval="confidence") for f in pooled.fits]
    mean, total = by_hand(
        [f["estimate"].iloc[1] for f in own], [f["std_error"].iloc[1] ** 2 for f in own]
    )
    found = pooled.predict(rows, interval="confidence")
    assert found["estimate"].iloc[1] == pytest.approx(mean)
    assert found["std_error"].iloc[1] == pytest.approx(np.sqrt(total), rel=1e-6)
    assert pooled.predict(rows).to_numpy() == pytest.approx(found["estimate"].to_numpy())


def test_predictions_of_data_in_partitions(pooled, imputed, tmp_path):
    imputed[0].to_parquet(tmp_path / "rows.parquet")
    (found,) = pooled.predict(tmp_path / "*.parquet", interval="confidence")
    pd.testing.assert_frame_equal(found, pooled.predict(imputed[0], interval="confidence"))


# --- what cannot be pooled ------------------------------------------------------------------------
def test_refusals(imputed, pooled, null):
    with pytest.raises(OptionError, match="two data sets or more"):
        nm.lmer(FORMULA, imputed[:1])
    with pytest.raises(OptionError, match="other coefficients than the first"):
        nm.pool([pooled.fits[0], null.fits[0]])
    with pytest.raises(OptionError, match="same rows"):
        nm.lmer(FORMULA, [imputed[0], imputed[1].iloc[1:]])
    with pytest.raises(OptionError, match="by REML and by maximum likelihood"):
        nm.pool([pooled.fits[0], pooled.fits[1].refit_ml()])
    with pytest.raises(OptionError, match="all of one kind, not nothing"):
        nm.pool([])


def test_members_of_one_fit_are_asked_of_each(pooled, imputed):
    for name in ("loo", "fragility", "power"):
        with pytest.raises(NotDefinedError, match=rf"ask each of pooled.fits, \[fit.{name}"):
            getattr(pooled, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pooled.nothing
    assert not hasattr(pooled, "loo") and pickle.loads(pickle.dumps(pooled)).nobs == pooled.nobs
    posterior = pooled.fits[0].sample(sampler="psis", draws=20, chains=1, seed=1)
    with pytest.raises(OptionError, match="PooledFit is no LmerFit"):
        nm.compare(pooled, posterior)


def test_residuals_that_differ(imputed):
    plain, *others = (nm.lmer("Reaction ~ Days + (1 | Subject)", d) for d in imputed[:2])
    odd = nm.lmer(
        "Reaction ~ Days + (1 | Subject)", imputed[1].assign(late=lambda d: d["Days"] > 4),
        dispersion="~ late",
    )  # fmt: skip
    with pytest.raises(OptionError, match="structure of residuals"):
        nm.pool([plain, odd])
    assert "their parameters are not pooled" in str(nm.pool([odd, odd]))
    assert "not pooled" not in str(nm.pool([plain, *others]))


def test_posteriors_are_stacked(imputed):
    fits = [
        nm.lmer("Reaction ~ Days + (1 | Subject)", table).sample(sampler="psis", draws=60, seed=k)
        for k, table in enumerate(imputed[:2])
    ]
    both = nm.pool(fits)
    assert both.n_chains == 2 * fits[0].n_chains
    assert both.params["Days"] == pytest.approx(np.mean([f.params["Days"] for f in fits]))
    draws = both.data["posterior"]["Days"].to_numpy()
    assert draws[fits[0].n_chains :] == pytest.approx(fits[1].data["posterior"]["Days"].to_numpy())
    assert "stacked" in both.messages[-1]
    for of_one_data_set in (
        both.loo, both.log_evidence, both.sensitivity, both.with_prior, both.with_log_likelihood,
        lambda: both.kfold("Subject"), nm.compare(nm.lmer(both.formula, imputed[0]), both).why,
    ):  # fmt: skip
        with pytest.raises(NotDefinedError, match="of 2 imputed data sets"):
            of_one_data_set()
    assert "data_sets" not in fits[0].data["posterior"].attrs
    assert fits[0].n_chains == 4  # as it was
    with pytest.raises(OptionError, match="as many chains and draws"):
        short = nm.lmer("Reaction ~ Days + (1 | Subject)", imputed[0])
        nm.pool([fits[0], short.sample(sampler="psis", draws=30, seed=1)])


# --- generalized models -------------------------------------------------------------------------
LATE = "late ~ Days + (1 | Subject)"
R_LATE = {
    "estimate": [-3.194903, 0.588121],
    "std_error": [0.697618, 0.107839],
    "df": [1836.427, 79.895],
}


@pytest.fixture(scope="module")
def late_tables() -> list[pd.DataFrame]:
    data = nm.load_dataset("sleepstudy")
    data = data.assign(late=(data["Reaction"] > 300).astype(int))
    return [data.assign(Days=data["Days"] + s * (data["Days"] == 9)) for s in (-1.5, 0.0, 1.0)]


@pytest.fixture(scope="module")
def late(late_tables) -> nm.PooledFit:
    return nm.glmer(LATE, late_tables, family="binomial")


def test_generalized_as_r(late):
    """R: lme4::glmer (tolPwrss 1e-10) of each table, Rubin's rules with complete df of infinity."""
    tidy = late.tidy()
    assert tidy["estimate"].tolist() == pytest.approx(R_LATE["estimate"], abs=2e-5)
    assert tidy["std_error"].tolist() == pytest.approx(R_LATE["std_error"], abs=2e-5)
    assert tidy["df"].tolist() == pytest.approx(R_LATE["df"], rel=2e-3)
    assert late.bse.tolist() == pytest.approx(R_LATE["std_error"], abs=2e-5)


def test_generalized_verbs(late, late_tables):
    fits = [nm.glmer(LATE, table, family="binomial") for table in late_tables]
    assert nm.pool(fits).params.tolist() == pytest.approx(late.params.tolist())
    text = str(late)
    assert "Generalized linear mixed model (binomial, logit)" in text
    assert "Pr(>|t|)" in text
    variances = [fit.varcorr().blocks[0].cov[0, 0] for fit in fits]
    assert late.varcorr().blocks[0].cov[0, 0] == pytest.approx(np.mean(variances))
    row = late.contest("Days", joint=False).to_frame().iloc[0]
    assert row["df"] == pytest.approx(late.tidy()["df"].iloc[1])
    at = {"Days": 5.0}
    means = late.emmeans("1", at=at).to_frame()
    each = [fit.emmeans("1", at=at).to_frame()["estimate"].iloc[0] for fit in fits]
    assert means["estimate"].iloc[0] == pytest.approx(np.mean(each))
    response = late.emmeans("1", at=at, type="response").to_frame()["estimate"].iloc[0]
    assert response == pytest.approx(1.0 / (1.0 + np.exp(-np.mean(each))))
    assert late.anova().to_frame()["p_value"].iloc[0] == pytest.approx(row["p_value"])
    linear = [fit.predict(late_tables[0]) for fit in fits]
    assert late.predict(late_tables[0]).to_numpy() == pytest.approx(np.mean(linear, axis=0))
    robust = late.tidy(vcov="CR1")["std_error"].iloc[1]
    V = [fit.cov_params("CR1").iloc[1, 1] for fit in fits]
    between = np.var([fit.params["Days"] for fit in fits], ddof=1)
    assert robust == pytest.approx(np.sqrt(np.mean(V) + between * 4 / 3))


def test_generalized_comparisons(late, late_tables):
    null = nm.glmer("late ~ 1 + (1 | Subject)", late_tables, family="binomial")
    wald = late.compare(null).to_frame().iloc[0]
    assert wald["statistic"] == pytest.approx(late.tidy()["statistic"].iloc[1] ** 2)
    ratios = late.compare(null, method="D2").to_frame().iloc[0]
    assert 0.3 < ratios["statistic"] / wald["statistic"] < 3.0
    with pytest.raises(OptionError, match="D3 evaluates normal likelihoods"):
        late.compare(null, method="D3")


def test_generalized_tables_have_robust_covariances(late):
    frame = nm.etable(late, late.fits[0], vcov="CR1", names=["pooled", "one"]).to_frame()
    for name, fit in {"pooled": late, "one": late.fits[0]}.items():
        own = frame[frame["model"] == name].set_index("term")["std_error"]
        expected = np.sqrt(np.diag(fit.cov_params(vcov="CR1")))
        assert own[fit.design.x_names[-1]] == pytest.approx(expected[-1])


def test_generalized_refusals(late, late_tables):
    fits = list(late.fits)
    probit = nm.glmer(LATE, late_tables[0], family="binomial", link="probit")
    with pytest.raises(OptionError, match="another family, link"):
        nm.pool([fits[0], probit])
    linear = nm.lmer(LATE, late_tables[0])
    with pytest.raises(OptionError, match="all of one kind"):
        nm.pool([fits[0], linear])
    with pytest.raises(OptionError, match="degrees of freedom"):
        late.tidy(ddf="satterthwaite")
    with pytest.raises(NotDefinedError, match="no residual standard deviation"):
        _ = late.sigma
