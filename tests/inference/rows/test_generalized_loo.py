"""Leave-one-group-out of generalized fits, against integrals done in other ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, multivariate_normal, norm, poisson

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.families import resolve_family
from nestedmlm.likelihood.glmm.new_group_density import (
    NewGroup,
    expected_responses,
    new_group_density,
)

CBIND = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def new_group(family, y, center, root, *, weights=None, dispersion=1.0):
    weights = np.ones(len(y)) if weights is None else weights
    return NewGroup(family=family, y=y, weights=weights, center=center, root=root,
                    dispersion=dispersion)  # fmt: skip


def test_normal_responses_have_the_normal_density():
    rng = np.random.default_rng(3)
    root, y, center = rng.normal(size=(5, 7)), 3.0 * rng.normal(size=5), rng.normal(size=5)
    weights = np.array([1.0, 2.0, 0.5, 1.0, 4.0])
    group = new_group(nm.families.gaussian("identity"), y, center, root, weights=weights,
                      dispersion=0.7)  # fmt: skip
    value, error = new_group_density(group, draws=4000, seed=1)
    V = root @ root.T + np.diag(0.7 / weights)
    assert error < 0.01
    assert value == pytest.approx(multivariate_normal(center, V).logpdf(y), abs=4.0 * error)
    assert expected_responses(group) == pytest.approx(center, abs=1e-12)


@pytest.mark.parametrize("y", [[0.0, 0.0, 0.0], [3.0, 9.0, 1.0]])
def test_counts_have_the_integral_on_a_grid(y):
    center, root = np.array([0.1, -0.2, 0.6]), np.array([[1.7, 0.1], [1.7, -0.3], [1.7, 0.2]])
    group = new_group(resolve_family("poisson"), np.array(y), center, root)
    value, error = new_group_density(group, draws=4000, seed=2)
    x = np.linspace(-8.0, 8.0, 801)
    v = np.array(np.meshgrid(x, x)).reshape(2, -1)
    eta = center[:, None] + root @ v
    inside = poisson.logpmf(np.array(y)[:, None], np.exp(eta)).sum(0) + norm.logpdf(v).sum(0)
    exact = np.log(np.exp(inside).sum() * (x[1] - x[0]) ** 2)
    assert 0.0 < error < 0.015
    assert value == pytest.approx(exact, abs=4.0 * error)
    mean = np.exp(center + 0.5 * (root**2).sum(axis=1))
    assert expected_responses(group) == pytest.approx(mean, rel=1e-9)


def test_a_herd_is_predicted_by_the_others():
    data = nm.load_dataset("cbpp")
    fit = nm.glmer(CBIND, data, family="binomial")
    found = fit.loo("herd", progress=False)
    table = found.to_frame()
    assert list(table) == ["rows", "elpd", "rmse", "mc_error"]
    assert np.sqrt((table["mc_error"] ** 2).sum()) < 0.03
    assert "Monte Carlo standard error" in str(found)
    herd = data["herd"].astype(str).to_numpy() == "7"
    rest = nm.glmer(CBIND, data[~herd], family="binomial")
    rng = np.random.default_rng(5)
    beta = rng.multivariate_normal(rest.fixef, rest.cov_params(method="conditional"), 400_000)
    eta = beta @ fit.design.X[herd].T + rest.theta * rng.normal(size=(len(beta), 1))
    p, own = 1.0 / (1.0 + np.exp(-eta)), data[herd]
    k, n = own["incidence"].to_numpy(), own["size"].to_numpy()
    likelihood = np.exp(binom.logpmf(k, n, p).sum(axis=1))
    error = likelihood.std() / likelihood.mean() / np.sqrt(len(beta))
    at = table.loc["7"] if "7" in table.index else table.loc[7]
    assert at["elpd"] == pytest.approx(np.log(likelihood.mean()), abs=4.0 * (error + 0.005))
    assert at["rmse"] == pytest.approx(np.sqrt(np.mean((k / n - p.mean(axis=0)) ** 2)), abs=1e-3)
    flat = fit.step(criterion="elpd", reduce_random=False)
    assert flat.final.formula == CBIND
    assert flat.random.loc["<none>", "elpd"] == found.elpd


def test_without_random_effects_groups_are_predicted_too():
    rng = np.random.default_rng(11)
    data = nm.load_dataset("cbpp").assign(z=rng.normal(size=56), flat=rng.binomial(8, 0.4, 56))
    fit = nm.glmer("cbind(flat, 8 - flat) ~ z + (1 | herd)", data, family="binomial")
    found = fit.step(criterion="elpd")
    assert "|" not in found.final.formula
    assert found.final.formula == "cbind(flat, 8 - flat) ~ 1"
    k, herd = data["flat"].to_numpy(), data["herd"].astype(str).to_numpy()
    exact = 0.0  # one proportion: its logit given the other herds is normal, on a grid
    for own in (herd == name for name in np.unique(herd)):
        successes, trials = k[~own].sum(), 8 * np.sum(~own)
        p = successes / trials
        logit, se = np.log(p / (1.0 - p)), 1.0 / np.sqrt(trials * p * (1.0 - p))
        x = np.linspace(-8.0, 8.0, 2001)
        mu = 1.0 / (1.0 + np.exp(-(logit + se * x[:, None])))
        inside = np.exp(binom.logpmf(k[own], 8, mu).sum(axis=1)) * norm.pdf(x)
        exact += np.log(inside.sum() * (x[1] - x[0]))
    assert found.fixed.loc["z", "elpd"] == pytest.approx(exact, abs=0.05)


def test_what_is_refused():
    fit = nm.glmer(CBIND, nm.load_dataset("cbpp"), family="binomial")
    for refit in ("one-step", "none"):
        with pytest.raises(OptionError, match="refitted without each group"):
            fit.loo(refit=refit)
    with pytest.raises(OptionError, match="shares no random effect"):
        fit.loo(group="period")
