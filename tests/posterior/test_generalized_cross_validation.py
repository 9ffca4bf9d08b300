"""Cross-validation and odds of points of generalized posteriors against integrals over a grid."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

import nestedmlm as nm
from nestedmlm.bayes.density.laplace_density import laplace_density
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.posterior.reduced_posterior import rows_kept

PRIORS = {
    "Intercept": nm.Prior("Normal", mu=0.5, sigma=1.0),
    "1|g_sigma": nm.Prior("HalfNormal", sigma=0.7),
}
SIZES = (4, 2, 5, 3, 1)
NEAR = 0.08  # Monte-Carlo error of 1000 draws, on the scale of logarithms
ROWS = np.arange(sum(SIZES))


def tiny():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(len(SIZES)), SIZES)
    y = rng.poisson(np.exp(np.array([0.0, 1.5, -0.5, 1.0, 0.5])[g] + 0.3))
    y[6] += 4  # a row that is hard to predict
    return pd.DataFrame({"y": y, "g": g})


@cache
def log_evidence(rows):
    """log p(y of some rows): a grid over the intercept and the SD, Gauss-Hermite over effects."""
    frame = tiny().iloc[list(rows)]
    intercepts, sds = np.linspace(-3.5, 4.5, 61), np.linspace(0.0, 3.6, 46)[1:] - 0.04
    u, w = np.polynomial.hermite_e.hermegauss(30)
    B, T = np.meshgrid(intercepts, sds)
    total = stats.norm.logpdf(B, 0.5, 1.0) + stats.halfnorm.logpdf(T, scale=0.7)
    eta = B[..., None] + T[..., None] * u
    mean = np.exp(eta)
    for _, own in frame.groupby("g"):
        y = own["y"].to_numpy()
        values = y.sum() * eta - len(y) * mean - gammaln(y + 1.0).sum()
        total = total + logsumexp(values + np.log(w / w.sum()), axis=-1)
    return logsumexp(total) + np.log(8.0 / 60.0) + np.log(0.08)


def exact(left_out, given=ROWS):
    """log p(y_left_out | y of the other rows that are given)."""
    rest = np.setdiff1d(given, left_out)
    return log_evidence(tuple(np.union1d(given, left_out))) - log_evidence(tuple(rest))


@pytest.fixture(scope="module")
def posterior():
    model = nm.Model("y ~ 1 + (1 | g)", tiny(), family="poisson")
    return model.sample(priors=PRIORS, sampler="psis", draws=500, seed=1)


def test_groups(posterior):
    expected = [exact(np.flatnonzero(tiny()["g"] == j)) for j in range(len(SIZES))]
    found = posterior.kfold("g", draws=1000, seed=1, progress=False)
    np.testing.assert_allclose(found.elpd_i, expected, atol=NEAR)
    assert found.n_folds == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few groups: k is large
        approximate = posterior.loo("group")
    assert found.p == pytest.approx(approximate.p + approximate.elpd - found.elpd, abs=1e-8)


def test_rows_in_folds(posterior):
    """Each row of a fold by itself, given the rows outside of the fold."""
    found = posterior.kfold(3, draws=1000, seed=2, progress=False)
    for fold in np.array_split(np.random.default_rng(2).permutation(len(ROWS)), 3):
        rest = np.setdiff1d(ROWS, fold)
        for i in fold:
            expected = exact([i], np.union1d(rest, [i]))
            assert found.elpd_i.values[i] == pytest.approx(expected, abs=NEAR)


def test_rows_with_effects_integrated_out(posterior):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # k of one row is at the limit
        found, given = posterior.loo(integrated=True), posterior.loo()
    assert found.pareto_k.values.mean() < given.pareto_k.values.mean()
    expected = [exact([i]) for i in ROWS]
    np.testing.assert_allclose(found.elpd_i, expected, atol=0.08)


def test_refits_replace_what_cannot_be_trusted(posterior, monkeypatch):
    import arviz

    whole = arviz.loo

    def doubtful(*args, **options):
        found = whole(*args, **options)
        found.pareto_k.values[[1, 14]] = 0.9  # the second is all there is of its group
        found.elpd_i.values[[1, 14]] = -100.0
        return found

    monkeypatch.setattr(arviz, "loo", doubtful)
    found = posterior.loo(refit=True, seed=1, progress=False)
    for i in (1, 14):
        assert found.elpd_i.values[i] == pytest.approx(exact([i]), abs=NEAR)
        assert found.pareto_k.values[i] == 0.0


def crossed(rows=60):
    rng = np.random.default_rng(3)
    g, h = np.arange(rows) % 6, np.arange(rows) // 12
    eta = 0.4 + 0.6 * rng.standard_normal(6)[g] + 0.4 * rng.standard_normal(5)[h]
    return pd.DataFrame({"y": rng.poisson(np.exp(eta)), "g": g, "h": h})


OF_BOTH = {"Intercept": nm.Prior("Normal", mu=0.5, sigma=1.0),
           "sds": nm.Prior("HalfNormal", sigma=0.7)}  # fmt: skip


def by_hand(frame, folds, seed):
    """Each fold's log-densities by a model of the other rows, its effects drawn by NUTS."""
    out = np.empty(len(frame))
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(frame)), folds):
        rest = frame.drop(index=fold)
        model = nm.Model("y ~ 1 + (1 | g) + (1 | h)", rest, family="poisson")
        fit = model.sample(priors=OF_BOTH, draws=2000, chains=2, seed=seed, progress=False)
        draws = fit.data["posterior"]
        for i, row in frame.loc[fold].iterrows():
            eta = draws["Intercept"].values.copy()
            for name in ("g", "h"):
                effects = draws[f"1|{name}"]
                level = [int(x) for x in effects[effects.dims[-1]].values].index(row[name])
                eta += effects.values[..., level]
            out[i] = logsumexp(stats.poisson.logpmf(row["y"], np.exp(eta))) - np.log(eta.size)
    return out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nestedmlm.errors.SamplingWarning")  # R-hat of few draws
def test_crossed_factors():
    """By NUTS, and by the approximation, beside models of the rows that stay."""
    expected = by_hand(crossed(), 4, seed=1)
    model = nm.Model("y ~ 1 + (1 | g) + (1 | h)", crossed(), family="poisson")
    exactly = model.sample(priors=OF_BOTH, draws=1000, chains=2, seed=1, progress=False)
    near = model.sample(priors=OF_BOTH, marginal="laplace", sampler="psis", draws=500, seed=1)
    for posterior, draws, noise in ((exactly, 2000, 0.2), (near, 500, 0.3)):
        rows = posterior.kfold(4, draws=draws, seed=1, progress=False)
        np.testing.assert_allclose(rows.elpd_i, expected, atol=noise)
        assert rows.elpd == pytest.approx(expected.sum(), abs=0.5)
        groups = posterior.kfold("h", draws=draws, seed=1, progress=False)
        assert groups.n_data_points == 5 and groups.elpd < rows.elpd
    with pytest.raises(nm.errors.OptionError, match="takes one grouping factor"):
        near.loo(integrated=True)


@pytest.mark.slow
def test_left_out_rows_by_nuts(posterior):
    """What importance sampling refuses is sampled: the same posterior without the rows."""
    from nestedmlm.bayes.sampling.left_out_rows import LeftOutRows
    from nestedmlm.posterior.cross_validation import left_out_densities, log_mean

    sampler = LeftOutRows(design=posterior.design, priors=posterior.priors)
    for left_out in ([6], [0, 1, 2, 3]):
        mask = np.isin(ROWS, left_out)
        data = {"posterior": sampler.sample(mask, draws=4000, seed=1)}
        units = mask.astype(int)
        held = np.array([False, True])
        found = left_out_densities(data, posterior.design, units, held=held)[:, 1]
        assert log_mean(found) == pytest.approx(exact(left_out), abs=NEAR)


def test_odds_of_a_coefficient_are_the_ratio_of_evidences():
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(12), 6), rng.standard_normal(72)
    x -= x.mean()  # so that the intercept's prior is the same without x
    y = rng.poisson(np.exp(0.5 + 0.4 * rng.standard_normal(12)[g]))
    frame = pd.DataFrame({"y": y, "x": x, "g": g})
    own = PRIORS | {"x": nm.Prior("Normal", mu=0.2, sigma=0.5)}
    whole = nm.Model("y ~ x + (1 | g)", frame, family="poisson")
    whole = whole.sample(priors=own, sampler="psis", draws=500, seed=1)
    without = nm.Model("y ~ 1 + (1 | g)", frame, family="poisson")
    without = without.sample(priors=PRIORS, sampler="psis", draws=250, seed=1)
    before, after = (fit.log_evidence(draws=1000, seed=1).log for fit in (without, whole))
    expected = before - after
    found = whole.hypothesis(["x = 0", "2 * x = 0", "1|g_sigma = 0.3"]).table["odds"]
    assert np.log(found.iloc[0]) == pytest.approx(expected, abs=0.1)
    assert found.iloc[1] == pytest.approx(found.iloc[0], rel=1e-9)
    near = np.abs(whole.data["posterior"]["1|g_sigma"].values - 0.3) < 0.05
    assert found.iloc[2] == pytest.approx(
        near.mean() / 0.1 / stats.halfnorm.pdf(0.3, scale=0.7), rel=0.15
    )
    with pytest.warns(nm.errors.SamplingWarning, match="effective draws near it"):
        whole.hypothesis("x = 3")


def test_priors_stay_those_of_all_rows():
    """The intercept's prior is at the means of all rows, the likelihood that of those that stay."""
    rng = np.random.default_rng(2)
    frame = tiny().assign(x=rng.normal(3.0, 1.0, len(ROWS)))
    design = nm.Model("y ~ x + (1 | g)", frame, family="poisson").design
    rest = rows_kept(design, np.isin(ROWS, [0, 7, 14]))  # the last is all of its group
    priors = resolve_priors(design)
    part, alone = laplace_density(design, priors, rows=rest), laplace_density(rest, priors)
    z = 0.3 * rng.standard_normal((3, part.ndim))
    moved = z.copy()
    moved[:, part.beta[0]] += z[:, part.beta[1]] * (rest.X[:, 1].mean() - design.X[:, 1].mean())
    for name, values in part.named(z).items():
        np.testing.assert_allclose(values, alone.named(moved)[name], rtol=1e-10)

    def likelihood(density, at):
        prior = density.coordinates.log_prior(at, density.coordinates.variables(at))[0]
        return density.logp_points(at) - prior

    np.testing.assert_allclose(likelihood(part, z), likelihood(alone, moved), rtol=1e-8)
