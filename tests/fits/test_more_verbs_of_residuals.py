"""Refits, draws and shares of fits whose residuals differ or correlate, beside plain models."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import NewLevelsError, OptionError, ResidualStructureError


def data() -> pd.DataFrame:
    """Two arms of ten blocks of four visits, two of them incomplete; blocks in four sites."""
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"g": np.repeat(np.arange(20), 4), "t": np.tile(np.arange(4.0), 20)})
    d["visit"] = pd.Categorical("v" + d["t"].astype(int).astype(str))
    d["arm"], d["site"] = np.where(d["g"] % 2, "b", "a"), d["g"] // 5
    e = rng.normal(size=80).reshape(20, 4).cumsum(axis=1).ravel() * (1.0 + (d["arm"] == "b"))
    d["y"] = 1.0 + d["t"] + rng.normal(size=20)[d["g"]] + e
    return d.drop(index=[6, 41]).reset_index(drop=True)


FITS = {
    "strata": ("y ~ t + (1 | g)", {"dispersion": "~ arm"}),
    "slope": ("y ~ t + (1 | g)", {"dispersion": "~ t"}),
    "autoregressive": ("y ~ t + (1 | site)", {"residual": "ar1(t | g)", "dispersion": "~ arm"}),
    "visits": ("y ~ t", {"residual": "us(visit | g)"}),
    "common": ("y ~ t", {"residual": "cs(1 | g)", "REML": False}),
}


@pytest.fixture(scope="module")
def fits() -> dict[str, nm.LmerFit]:
    return {name: nm.lmer(formula, data(), **how) for name, (formula, how) in FITS.items()}


# --- many responses -----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["strata", "visits", "common"])
def test_many_responses_are_single_refits(fits, name):
    fit = fits[name]
    Y = np.column_stack([fit.design.y, 3.0 - 2.0 * fit.design.y[::-1]])
    found = fit.refit_many(Y, ddf="none" if name == "common" else "satterthwaite")
    assert found.converged.all() and found.names == ("1", "2")
    formula, how = FITS[name]
    for j in (0, 1) if name == "visits" else (1,):
        one = nm.lmer(formula, data().assign(y=Y[:, j]), **how)
        assert found.criterion[j] == pytest.approx(one.criterion, abs=1e-7)
        assert found.sigma[j] == pytest.approx(one.sigma, rel=1e-5)
        assert found.beta[j] == pytest.approx(one.params.to_numpy(), rel=1e-5)
        table = one.tidy("fixed", ddf="none" if name == "common" else "satterthwaite")
        assert found.std_error[j] == pytest.approx(table["std_error"].to_numpy(), rel=1e-5)
        if name != "common":
            assert found.df[j] == pytest.approx(table["df"].to_numpy(), rel=1e-3)


# --- draws --------------------------------------------------------------------------------------
def covariance(fit: nm.LmerFit, new: pd.DataFrame) -> np.ndarray:
    """Of new responses, written out from what the fit says of its parameters."""
    at, rows = fit.solution.stats.residual, fit.dispersion.set_index("term")["estimate"]
    t, g = new["t"].to_numpy(), new["g"].to_numpy()
    sd = np.ones(len(new))
    if "sd_ratio[b]" in rows:
        sd = np.where(new["arm"] == "b", rows["sd_ratio[b]"], 1.0)
    if "dispersion[t]" in rows:
        sd = np.exp(rows["dispersion[t]"] * t)
    C = np.eye(len(new))
    if "rho" in rows and at.model.structure.name == "ar1":
        C = rows["rho"] ** np.abs(np.subtract.outer(t, t))
    elif "rho" in rows:
        C = C + rows["rho"] * (1.0 - C)
    V = C * np.outer(sd, sd) * np.equal.outer(g, g) * fit.sigma**2
    if at.model.structure is not None and at.model.structure.name == "us":
        R, places = fit.residual_cov().to_numpy(), t.astype(int)
        V = R[np.ix_(places, places)] * np.equal.outer(g, g)
    for block in fit.varcorr().blocks:
        if block.factor:
            codes = new[block.factor].to_numpy()
            V = V + block.cov[0, 0] * np.equal.outer(codes, codes)
    return V


@pytest.mark.parametrize("name", FITS)
def test_new_responses_have_their_own_covariance(fits, name):
    """Known blocks and new ones, in another order of rows."""
    fit, m = fits[name], 3000
    new = pd.DataFrame({
        "t": [0.0, 2.0, 1.0, 3.0, 1.0, 1.0], "g": [3, 99, 99, 3, 50, 3], "site": [0, 0, 7, 0, 7, 0],
        "arm": ["b", "a", "a", "b", "b", "b"],
    })  # fmt: skip
    new["site"] = new["g"].map({3: 0, 99: 7, 50: 7})
    new["visit"] = "v" + new["t"].astype(int).astype(str)
    y = fit.simulate(m, seed=2, newdata=new).to_numpy()
    V = covariance(fit, new)
    mean = fit.params.iloc[0] + fit.params.iloc[1] * new["t"].to_numpy()
    assert np.abs((y.mean(axis=1) - mean) / np.sqrt(np.diag(V) / m)).max() < 4.5
    A = np.random.default_rng(2).normal(size=(40, len(new)))
    found = (A @ y).var(axis=1, ddof=1) / np.einsum("ij,jk,ik->i", A, V, A)
    assert np.abs(found - 1.0).max() < 4.5 * np.sqrt(2.0 / m)


def test_draws_that_cannot_be(fits):
    twice = pd.DataFrame({"t": [1.0, 1.0], "g": 3, "site": 0, "arm": "b", "visit": "v1"})
    for name in ("autoregressive", "visits"):
        with pytest.raises(ResidualStructureError, match="two of them are at the same time"):
            fits[name].simulate(newdata=twice, seed=1)
    with pytest.raises(NewLevelsError, match="other"):
        fits["strata"].simulate(newdata=twice.assign(arm="other"), seed=1)
    with pytest.raises(NewLevelsError, match="v9"):
        fits["visits"].simulate(newdata=twice.assign(visit="v9"), seed=1)


# --- shares -------------------------------------------------------------------------------------
def test_shares_of_variance_are_averages_over_rows_and_pairs(fits):
    fit, d = fits["autoregressive"], data()
    found = fit.variance_partition().to_frame()
    between = fit.varcorr().blocks[0].cov[0, 0]
    V = covariance(fit, d)
    residual = V - between * np.equal.outer(d["site"].to_numpy(), d["site"].to_numpy())
    total = np.trace(V) / len(d)
    assert found.loc["Residual", "variance"] == pytest.approx(np.trace(residual) / len(d))
    assert found.loc["site", "share"] == pytest.approx(between / total)
    pairs = np.equal.outer(d["site"].to_numpy(), d["site"].to_numpy()) & ~np.eye(len(d), dtype=bool)
    assert found.loc["site", "correlation"] == pytest.approx(V[pairs].mean() / total)
    assert "averages over the rows" in str(fit.variance_partition())
    strata = fits["strata"].variance_partition().to_frame()
    assert strata.loc["g", "correlation"] == pytest.approx(strata.loc["g", "share"])


# --- code ---------------------------------------------------------------------------------------
def test_code_is_nlmes_with_the_parameters_of_the_fit(fits):
    code = fits["autoregressive"].r_code()
    values = dict(fits["autoregressive"].dispersion[["term", "estimate"]].to_numpy())
    assert float(re.search(r"corAR1\(c\((.*?)\)", code)[1]) == pytest.approx(values["rho"])
    assert "form = ~ t | site/g, fixed = TRUE" in code
    assert float(re.search(r'"b" = ([0-9.]+)\)', code)[1]) == pytest.approx(values["sd_ratio[b]"])
    assert float(code.rsplit(" ", 1)[1]) == fits["autoregressive"].criterion


@pytest.mark.parametrize(
    ("formula", "how", "said"),
    [
        ("y ~ t", {"residual": "toep(visit | g)"}, "no residual structure like toep"),
        ("y ~ t", {"residual": "cs(1 | g, by=arm)"}, "no residual structure"),
        ("y ~ t + (1 | g) + (1 | t)", {"dispersion": "~ arm"}, "crossed"),
        ("y ~ t + (1 | g)", {"dispersion": "~ arm + t"}, "of one variable"),
        ("y ~ t + (1 | g)", {"dispersion": "~ arm", "weights": "w"}, "not translated"),
    ],
)
def test_what_nlme_has_not(formula, how, said):
    d = data().assign(w=1.0 + np.arange(78) % 2)
    with pytest.raises(ResidualStructureError, match=said):
        nm.lmer(formula, d, **how).r_code()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FITS, "heterogeneous", "diagonal"])
def test_nlme_agrees(name, tmp_path):
    if shutil.which("Rscript") is None:
        pytest.skip("R is not here")
    more = {
        "heterogeneous": ("y ~ t + arm", {"residual": "ar1(visit | g, hom=False)"}),
        "diagonal": ("y ~ t + (t || g)", {"dispersion": "~ exp(t / 4)"}),
    }
    formula, how = {**FITS, **more}[name]
    table = data()
    fit = nm.lmer(formula, table, **how)
    table.to_csv(tmp_path / "table.csv", index=False)
    value = "-2 * as.numeric(logLik(model))"
    lines = fit.r_code().replace(value, f"cat(format({value}, digits = 15))")
    script = tmp_path / "check.R"
    read = f"table <- read.csv('{tmp_path / 'table.csv'}', stringsAsFactors = TRUE)"
    script.write_text(f"{read}\n{lines}", encoding="utf-8")
    done = subprocess.run(["Rscript", str(script)], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) == pytest.approx(fit.criterion, abs=1e-7)


def test_capsules_say_why_not(fits):
    with pytest.raises(ResidualStructureError, match="sums over pairs of rows"):
        fits["strata"].capsule()


# --- power of new designs -----------------------------------------------------------------------
def test_plans_of_a_common_correlation_are_those_of_a_random_intercept():
    one = nm.lmer("y ~ t * arm + (1 | g)", data())
    other = nm.lmer("y ~ t * arm", data(), residual="cs(1 | g)")
    for test in ("satterthwaite", "z"):
        a, b = (nm.planned_power(x.extend(along="g", n=30), "armb", test=test, effect_size=1.0)
                for x in (one, other))  # fmt: skip
        assert (a.nobs, dict(a.groups)) == (b.nobs, dict(b.groups)) and a.groups["g"] == 30
        np.testing.assert_allclose(b.to_frame(), a.to_frame(), rtol=1e-5)


def test_plan_of_a_paired_t_test():
    """Two visits of 12 blocks: 11 degrees of freedom, and 29 with thirty."""
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"g": np.repeat(range(12), 2), "v": ["a", "b"] * 12})
    d["y"] = rng.normal(size=24) + rng.normal(size=12)[d.g]
    fit = nm.lmer("y ~ v", d, residual="us(v | g)")
    assert nm.planned_power(fit, "vb").df == pytest.approx(11.0, rel=1e-7)
    more = nm.planned_power(fit.extend(along="g", n=30), "vb")
    assert more.df == pytest.approx(29.0, rel=1e-7)
    assert more.std_error == pytest.approx(fit.bse["vb"] * np.sqrt(12 / 30), rel=1e-7)


def test_plan_beside_a_dense_twin(fits):
    """Degrees of freedom from ``tr(P V_i P V_j) / 2`` and numerical derivatives of V."""
    fit = fits["autoregressive"]
    design, at = fit.design, fit.solution.stats.residual
    site, X = design.factors[0].codes, design.X

    def V(x: np.ndarray) -> np.ndarray:
        out = x[0] ** 2 * (site[:, None] == site)
        for rows, R in at.model.matrices(x[1:-1]):
            for own, block in zip(rows, R, strict=True):
                out[np.ix_(own, own)] += block
        return np.exp(2.0 * x[-1]) * out

    x = np.array([*fit.theta, *at.free, np.log(fit.sigma)])
    inverse = np.linalg.inv(V(x))
    Phi = np.linalg.inv(X.T @ inverse @ X)
    P = inverse - inverse @ X @ Phi @ X.T @ inverse
    moves = [(V(x + h) - V(x - h)) / 2e-5 for h in 1e-5 * np.eye(len(x))]
    information = np.array([[0.5 * np.trace(P @ a @ P @ b) for b in moves] for a in moves])
    g = np.array([(Phi @ X.T @ inverse @ a @ inverse @ X @ Phi)[1, 1] for a in moves])
    expected = 2.0 * Phi[1, 1] ** 2 / (g @ np.linalg.solve(information, g))
    assert nm.planned_power(fit, "t").df == pytest.approx(expected, rel=1e-6)


def test_more_blocks_keep_the_parameters_of_the_residuals(fits):
    """Blocks nested in what is extended are new ones, and draws have the fit's covariance."""
    fit = fits["autoregressive"]
    study = fit.extend(along="site", n=8)
    assert study.design.n == 2 * fit.nobs
    assert dict(nm.planned_power(study, "t").groups) == {"site": 8, "g": 40}
    draws = study.simulate(4000, seed=1).to_numpy()
    rows = np.flatnonzero((study.model.data["g"] == 7).to_numpy())
    whole = fit.residual_cov(block="7").to_numpy() + fit.varcorr().blocks[0].cov
    np.testing.assert_allclose(np.cov(draws[rows]), whole, atol=0.12 * whole.max())
    with pytest.raises(ResidualStructureError, match="two rows at t"):
        fit.extend(within="g", n=8)


def test_longer_blocks_of_visits_have_no_variances(fits):
    with pytest.raises(nm.NestedMLMError, match=r"v3\.2|not there"):
        fits["visits"].extend(along="visit", n=5)


def test_assurance_averages_over_the_residuals_too(fits):
    """At each draw the power is that at its ratio and its correlation, as they are read."""
    pilot = fits["autoregressive"]
    posterior = fake_bayesfit(pilot, chains=1, draws=20)
    study = pilot.extend(along="site", n=6)
    found = study.assurance(posterior, "t", draws=4)
    draws = posterior.data["posterior"].isel(chain=0)
    for draw, power in found.powers.items():
        own = draws.isel(draw=draw)
        free = np.array([float(own["sigma_arm[b]"]), np.arctanh(float(own["residual_rho"]))])
        alone = replace(study, residual=study.residual.moved(free)).with_params(
            beta={"(Intercept)": float(own["Intercept"]), "t": float(own["t"])},
            sd={
                "site": {"(Intercept)": float(own["1|site_sigma"])},
                "Residual": float(own["sigma"]),
            },
        )
        assert power == pytest.approx(alone.planned_power("t").estimate, rel=1e-6)
    assert found.powers.std() > 0
    mean = posterior.extend(along="site", n=6)
    assert mean.design.n == study.design.n
    at = [float(draws["sigma_arm[b]"].mean()), np.arctanh(float(draws["residual_rho"].mean()))]
    assert mean.residual.free == pytest.approx(at, rel=1e-6)
    with pytest.raises(OptionError, match="of another model"):
        pilot.extend(along="site", n=6).assurance(fake_bayesfit(fits["strata"]), "t")


def test_assurance_beside_a_predictor_of_the_residuals(fits):
    pilot = fits["slope"]  # its free parameter is in units of the column's SD
    posterior = fake_bayesfit(pilot, chains=1, draws=6)
    found = posterior.extend(along="g", n=9)
    slope = float(posterior.data["posterior"]["sigma_t"].mean())
    assert found.residual.free[0] == pytest.approx(
        slope * np.std(pilot.design.rows.residual.log_sd), rel=1e-6
    )
    assert found.assurance(posterior, "t", draws=2).powers.between(0.05, 1.0).all()
