"""A known residual variance (meta-analysis): metafor, dense matrices, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import nestedmlm as nm
from nestedmlm.errors import GroupingError, NestedMLMError, OptionError

KNOWN = {"weights": "w", "fixed": {"sigma": 1.0}}


@pytest.fixture(scope="module")
def vaccine() -> pd.DataFrame:
    """Colditz et al. (1994): log relative risks of 13 trials of BCG, metafor's ``dat.bcg``."""
    counts = np.array([
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
        [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892],
        [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ], dtype=float)  # fmt: skip
    a, b, c, d = counts.T
    latitude = [44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33]
    v = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    return pd.DataFrame(
        {"study": range(13), "y": np.log(a / (a + b) / (c / (c + d))), "w": 1 / v, "lat": latitude}
    )


def test_metafors_random_effects_model(vaccine):
    # Viechtbauer (2010), Journal of Statistical Software 36(3), section 3.1: REML
    fit = nm.lmer("y ~ 1 + (1 | study)", vaccine, **KNOWN)
    assert fit.converged
    assert fit.varcorr().to_frame()["vcov"][0] == pytest.approx(0.3132, abs=5e-5)
    assert fit.params.iloc[0] == pytest.approx(-0.7145, abs=5e-5)
    assert fit.bse.iloc[0] == pytest.approx(0.1798, abs=5e-5)
    assert fit.variance_parameters()["std_error"].iloc[0] * 2 * np.sqrt(0.31324) == pytest.approx(
        0.1664, abs=0.02
    )  # metafor has the expected information
    ml = fit.refit_ml()
    assert ml.varcorr().to_frame()["vcov"][0] == pytest.approx(0.2800, abs=5e-5)
    assert ml.llf == pytest.approx(-12.6651, abs=5e-5)
    assert (fit.sigma, fit.npar, fit.design.sigma) == (1.0, 2, 1.0)


def test_metafors_meta_regression(vaccine):
    fit = nm.lmer("y ~ lat + (1 | study)", vaccine, **KNOWN)
    assert fit.params.to_numpy() == pytest.approx([0.2515, -0.0291], abs=5e-5)
    assert fit.bse.to_numpy() == pytest.approx([0.2491, 0.0072], abs=5e-5)
    assert fit.varcorr().to_frame()["vcov"][0] == pytest.approx(0.0764, abs=1e-4)


def dense(phi, y, X, v, Zs, REML):
    """-2 (restricted) log-likelihood; REML without the constant of X."""
    V = np.diag(v) + sum(np.exp(2 * p) * Z @ Z.T for p, Z in zip(phi, Zs, strict=True))
    W = np.linalg.inv(V)
    S = X.T @ W @ X
    rest = y - X @ np.linalg.solve(S, X.T @ W @ y)
    out = np.linalg.slogdet(V)[1] + rest @ W @ rest
    n = len(y) - (X.shape[1] if REML else 0)
    return out + n * np.log(2 * np.pi) + (np.linalg.slogdet(S)[1] if REML else 0.0)


@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_three_levels_are_the_dense_optimum(REML, sigma):
    rng = np.random.default_rng(4)
    lab, study = np.repeat(np.arange(8), 5), np.arange(40)
    v = rng.uniform(0.05, 0.4, 40)
    x = rng.normal(size=40)
    y = 0.3 + 0.5 * x + rng.normal(size=8)[lab] * 0.6 + rng.normal(size=40) * np.sqrt(0.2 + v)
    table = pd.DataFrame({"lab": lab, "study": study, "y": y, "x": x, "w": sigma**2 / v})
    fit = nm.lmer("y ~ x + (1 | lab/study)", table, REML=REML, weights="w", fixed={"sigma": sigma})
    Zs = [np.eye(40), (lab[:, None] == np.arange(8)).astype(float)]
    X = np.column_stack([np.ones(40), x])
    sds = fit.varcorr().to_frame()["estimate"].to_numpy()[:2]
    here = dense(np.log(sds), y, X, v, Zs, REML)
    assert fit.criterion == pytest.approx(here, rel=1e-10)
    best = minimize(dense, np.log(sds) + 0.3, args=(y, X, v, Zs, REML), method="Nelder-Mead",
                    options={"xatol": 1e-8, "fatol": 1e-10})  # fmt: skip
    assert fit.criterion <= best.fun + 1e-7
    assert sds == pytest.approx(np.exp(best.x), rel=1e-3)
    assert fit.sigma == sigma


def test_known_variances_of_several_rows_a_group():
    data = nm.load_dataset("sleepstudy")
    free = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    held = nm.lmer("Reaction ~ Days + (Days | Subject)", data, fixed={"sigma": free.sigma})
    assert held.theta == pytest.approx(free.theta, rel=1e-5)
    assert held.criterion == pytest.approx(free.criterion, abs=1e-8)
    assert held.npar == free.npar - 1
    # sigma is certain: more degrees of freedom are not lost to it
    df = [f.tidy("fixed")["df"].iloc[1] for f in (held, free)]
    assert df[0] == pytest.approx(df[1], rel=0.15)


def test_a_variance_of_zero(vaccine):
    table = vaccine.assign(y=-0.7 + 0.1 * (vaccine.y - vaccine.y.mean()))
    fit = nm.lmer("y ~ 1 + (1 | study)", table, **KNOWN)
    assert fit.is_singular()
    assert fit.converged
    w = table["w"]
    assert fit.params.iloc[0] == pytest.approx((w * table["y"]).sum() / w.sum())
    assert fit.bse.iloc[0] == pytest.approx(w.sum() ** -0.5)


def test_degrees_of_freedom_and_intervals(vaccine):
    fit = nm.lmer("y ~ lat + (1 | study)", vaccine, **KNOWN)
    for ddf in ("satterthwaite", "kenward-roger"):
        df = fit.tidy("fixed", ddf=ddf)["df"].to_numpy()
        assert np.all((df > 1) & (df < 13))
    wald = fit.conf_int(method="wald")
    assert wald.loc["sigma"].isna().all()
    assert wald.loc["sd_(Intercept)|study"].notna().all()
    assert fit.refit(vaccine["y"] + 1.0).sigma == 1.0
    assert nm.anova(fit, fit.update(". ~ . - lat")).table["Df"].iloc[1] == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: f.conf_int(), "not worked out for a known sigma"),
        (lambda f: f.influence("study"), "not worked out for a known sigma"),
        (lambda f: f.sample(), "not worked out for a known sigma"),
        (lambda f: f.ranova(), "no random effects left"),
    ],
)
def test_what_is_not_worked_out_says_so(vaccine, call, said):
    fit = nm.lmer("y ~ 1 + (1 | study)", vaccine, **KNOWN)
    with pytest.raises(NestedMLMError, match=said):
        call(fit)


def test_bootstrap_holds_what_is_known(vaccine):
    fit = nm.lmer("y ~ 1 + (1 | study)", vaccine, **KNOWN)
    drawn = fit.bootstrap(200, seed=1, progress=False).t
    assert (drawn["sigma"] == 1.0).all()
    assert drawn["(Intercept)"].std() == pytest.approx(fit.bse.iloc[0], rel=0.2)


def test_what_cannot_be_fixed(vaccine):
    for fixed, said in (
        ({"theta": 1}, "knows sigma alone"),
        ({"sigma": 0}, "positive number"),
        ({"sigma": "1"}, "positive number"),
    ):
        with pytest.raises(OptionError, match=said):
            nm.lmer("y ~ 1 + (1 | study)", vaccine, weights="w", fixed=fixed)
    with pytest.raises(OptionError, match="exact criterion"):
        nm.lmer("y ~ 1 + (1 | study)", vaccine, **KNOWN, method="pytensor")
    with pytest.raises(GroupingError, match=r"fixed=\{'sigma': 1\}"):
        nm.lmer("y ~ 1 + (1 | study)", vaccine, weights="w")
    table = pd.concat([vaccine, vaccine.iloc[:1]])
    with pytest.raises(GroupingError, match="random effects"):
        nm.lmer("y ~ lat + (lat | study)", table, **KNOWN)


def test_a_known_sigma_is_no_free_parameter(vaccine):
    alike = vaccine.assign(y=0.3 + 1e-4 * np.arange(13))
    fit = nm.lmer("y ~ 1 + (1 | study)", alike, **KNOWN)
    assert fit.is_singular()
    assert "Satterthwaite's method: 0 of 1 in theta" in str(fit.summary())
