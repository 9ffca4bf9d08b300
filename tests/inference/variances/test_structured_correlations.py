"""Correlations that a structure makes of its parameters: errors and intervals of every pair.

Issue 10 (F1): a registered structure's correlations had their parameter's standard error.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import STRUCTURES, Parameter, temporary_structures

NUMBERS = ["estimate", "std_error", "conf_low", "conf_high"]


def apart(k):
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k)))


def decay(xp, par, k):
    return nm.covariance.cholesky(xp, xp.exp(-apart(k) / par[0]), k)


def banded(xp, par, k):
    """Correlations by distance, the parameters themselves."""
    r = [1.0 + 0.0 * par[0], *(par[i] for i in range(k - 1))]
    return nm.covariance.cholesky(xp, xp.stack(r)[apart(k)], k)


def partial(xp, par, k):
    """The same for three columns, the second one by the partial correlation at distance two."""
    r = [1.0 + 0.0 * par[0], par[0], par[0] ** 2 + par[1] * (1.0 - par[0] ** 2)]
    return nm.covariance.cholesky(xp, xp.stack(r)[apart(k)], k)


def lags(name):
    return lambda k: [Parameter(f"{name}{i + 1}", -1.0, 1.0, 0.0) for i in range(k - 1)]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with temporary_structures():
        nm.covariance.register("decay", decay, [Parameter("range", lower=0.0)], hom=True)
        nm.covariance.register("banded", banded, lags("r"), hom=True)
        nm.covariance.register("partial", partial, lags("p"), hom=True)
        yield


def rows(groups: int, k: int, each: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(groups), k * each)
    t = np.tile(np.repeat(np.arange(k), each), groups)
    b = rng.normal(size=(groups, k)) @ np.linalg.cholesky(0.6 ** apart(k)).T
    y = 1.0 + 2.0 * b[g, t] + rng.normal(size=len(g))
    return pd.DataFrame({"g": g, "t": pd.Categorical(t), "y": y})


def correlations(fit: nm.LmerFit, **options: object) -> pd.DataFrame:
    found = fit.tidy("ran_pars", conf_int=True, **options).set_index("term")
    return found.loc[[term for term in found.index if term.startswith("cor_")], NUMBERS]


@pytest.fixture(scope="module")
def four() -> dict[str, nm.LmerFit]:
    data = rows(60, 4, 3)
    return {name: nm.lmer(f"y ~ 1 + {name}(0 + t | g)", data) for name in ("ar1", "decay")}


def test_two_spellings_of_a_model_have_the_same_errors(four):
    ar1, other = (correlations(fit) for fit in four.values())
    assert len(ar1) == 6
    np.testing.assert_allclose(other, ar1, rtol=1e-5)
    first = ar1.loc["cor_t1.t0|g"]
    assert first.round(4).tolist() == [0.6128, 0.0574, 0.4878, 0.7131]
    np.testing.assert_allclose(ar1.loc["cor_t2.t1|g"], first, rtol=1e-12)


def test_powers_have_the_slopes_of_powers(four):
    fit = four["ar1"]
    se, rho = fit.variance_parameters().loc["rho|g", "std_error"], fit.theta[-1]
    found = correlations(fit)
    for lag in (2, 3):
        row = found.loc[f"cor_t{lag}.t0|g"]
        assert row["estimate"] == pytest.approx(rho**lag)
        assert row["std_error"] == pytest.approx(lag * rho ** (lag - 1) * se)
        z = np.arctanh(row[["conf_low", "estimate", "conf_high"]].to_numpy(float))
        reach = 1.959964 * row["std_error"] / (1.0 - row["estimate"] ** 2)
        assert np.diff(z) == pytest.approx([reach, reach])


def test_profile_limits_are_those_of_the_parameter(four):
    ar1, other = (correlations(fit, conf_method="profile") for fit in four.values())
    np.testing.assert_allclose(other, ar1, rtol=1e-4)
    low, high = four["ar1"].conf_int("rho|g").loc["rho|g"]
    for lag in (1, 2, 3):
        limits = ar1.loc[f"cor_t{lag}.t0|g", ["conf_low", "conf_high"]].tolist()
        assert limits == pytest.approx([low**lag, high**lag], rel=1e-6)


def test_several_parameters_share_their_covariance():
    data = rows(60, 3, 3)
    direct, indirect = (
        nm.lmer(f"y ~ 1 + {name}(0 + t | g)", data) for name in ("banded", "partial")
    )
    assert indirect.criterion == pytest.approx(direct.criterion, abs=1e-7)
    found = correlations(indirect)
    # where a correlation is a parameter, its error needs no delta method
    own = direct.variance_parameters().loc[["r1|g", "r2|g"]]
    pairs = found.loc[["cor_t1.t0|g", "cor_t2.t0|g"]]
    np.testing.assert_allclose(pairs["estimate"], own["estimate"], rtol=1e-4)
    np.testing.assert_allclose(pairs["std_error"], own["std_error"], rtol=1e-4)
    np.testing.assert_allclose(
        pairs[["conf_low", "conf_high"]], own[["conf_low", "conf_high"]], rtol=1e-4
    )
    assert correlations(direct).to_numpy() == pytest.approx(found.to_numpy(), rel=1e-4)
    # its own variance alone would be another number
    alone = indirect.variance_parameters().loc["p2|g", "std_error"] * (1.0 - indirect.theta[1] ** 2)
    assert abs(alone / own.loc["r2|g", "std_error"] - 1.0) > 0.05
    # no profile of a function of two parameters
    limits = correlations(indirect, conf_method="profile")[["conf_low", "conf_high"]]
    assert limits.loc["cor_t2.t0|g"].isna().all()
    assert limits.loc["cor_t1.t0|g"].notna().all()


def test_a_pair_without_a_variance_has_no_numbers():
    data = rows(40, 3, 4)
    first = data["t"] == 0  # the groups are all alike here
    data.loc[first, "y"] -= data[first].groupby("g")["y"].transform("mean")
    fit = nm.lmer("y ~ 1 + ar1(0 + t | g, hom = FALSE)", data)
    assert fit.theta[0] == 0.0
    found = correlations(fit)
    assert found.loc[["cor_t1.t0|g", "cor_t2.t0|g"]].isna().all(axis=None)
    assert found.loc["cor_t2.t1|g"].notna().all()


POINTS = {
    "diag": (), "cs": (0.3,), "ar1": (-0.4,), "decay": (1.7,), "banded": (0.5, 0.1, -0.2),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_slopes_and_roots_of_correlations(name):
    structure, par, k = STRUCTURES[name], np.array(POINTS[name]), 4
    R = structure.correlations(par, k)
    slopes = structure.correlation_slopes(par, k)
    assert slopes.shape == (len(par), k, k)
    for slope, e in zip(slopes, 1e-6 * np.eye(len(par)), strict=True):
        ahead, behind = (structure.correlations(par + step, k) for step in (e, -e))
        assert slope == pytest.approx((ahead - behind) / 2e-6, abs=1e-8)
    L = np.eye(k)
    for i, row in enumerate(structure.correlation_rows(np, par, k)):
        for j, value in enumerate(row):
            L[i, j] = float(i == j) if value is None else value
    assert L @ L.T == pytest.approx(R)
    theta = np.append(np.ones(k), par)
    T = structure.factor_of_theta(theta, k, False)
    assert T @ T.T == pytest.approx(R)
