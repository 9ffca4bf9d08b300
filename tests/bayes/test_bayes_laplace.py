"""Random effects of generalized models integrated out: approximately, and by importance weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import nestedmlm as nm
from nestedmlm.bayes.density.laplace_density import laplace_density
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.sampling.weighted_density import weighted_density
from nestedmlm.errors import OptionError
from nestedmlm.posterior.evidence import evidence

NODES = 30


def tiny() -> pd.DataFrame:
    """Five groups of six rows of 0 and 1: as far from normal as an example gets."""
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(5), 6)
    eta = -0.3 + rng.normal(0, 1.5, 5)[g]
    return pd.DataFrame({"yes": rng.binomial(1, special.expit(eta)), "g": g})


@cache
def model() -> nm.Model:
    return nm.Model("yes ~ 1 + (1 | g)", tiny(), family="binomial")


@cache
def grid() -> dict[str, np.ndarray]:
    """The exact posterior of (intercept, SD) on a grid, and the mean of each group's effect."""
    data = tiny()
    won, n = data.groupby("g")["yes"].sum().to_numpy(), 6
    x, w = special.roots_hermitenorm(NODES)
    w = w / w.sum()
    beta, sd = np.linspace(-8, 8, 161), np.linspace(0.025, 12, 240)
    B, S = np.meshgrid(beta, sd, indexing="ij")
    logp = stats.norm.logpdf(B, 0, 2.5) + stats.halfnorm.logpdf(S, scale=2.5)
    first = []  # of each group: the integral with b and without
    for k in won:
        eta = B[..., None] + S[..., None] * x
        density = np.exp(k * special.log_expit(eta) + (n - k) * special.log_expit(-eta))
        total = density @ w
        first.append(((density * x) @ w / total) * S)
        logp = logp + np.log(total)
    p = np.exp(logp - logp.max())
    cell = (beta[1] - beta[0]) * (sd[1] - sd[0])
    log_integral = logp.max() + np.log(p.sum() * cell)
    p /= p.sum()
    return {
        "beta": B,
        "sd": S,
        "p": p,
        "log_integral": log_integral,
        "b": np.array([(f * p).sum() for f in first]),
    }


def quantile(values: np.ndarray, p: np.ndarray, level: float) -> float:
    order = np.argsort(values.ravel())
    return float(values.ravel()[order][np.searchsorted(np.cumsum(p.ravel()[order]), level)])


@cache
def posterior():
    return model().fit().sample(sampler="psis", seed=2, draws=500, progress=False)


LARGEST_Z = 4.0  # of thirteen differences: beyond it by chance once in a thousand seeds


def differences(found) -> np.ndarray:
    """Draws against quadrature, each in its Monte-Carlo standard error by the draws' own ESS."""
    exact, table, z = grid(), found.parameters(), []
    p, draws = exact["p"], found.data["posterior"]
    for name, values in (("(Intercept)", exact["beta"]), ("sd_(Intercept)|g", exact["sd"])):
        row, mean = table.loc[name], (values * p).sum()
        sd = np.sqrt(((values - mean) ** 2 * p).sum())
        kurtosis = ((values - mean) ** 4 * p).sum() / sd**4
        z.append((row["estimate"] - mean) / (sd / np.sqrt(row["ess_bulk"])))
        z.append((row["std_error"] / sd - 1.0) / np.sqrt((kurtosis - 1.0) / 4.0 / row["ess_bulk"]))
        for level in (0.025, 0.975):
            at = np.mean(draws[row["variable"]].values <= quantile(values, p, level))
            z.append((at - level) / np.sqrt(level * (1.0 - level) / row["ess_tail"]))
    b = draws["1|g"].values.reshape(-1, 5)
    error = b.std(axis=0) / np.sqrt(table["ess_bulk"].min())
    return np.array([*z, *((b.mean(axis=0) - exact["b"]) / error)])


def test_importance_weights_give_the_posterior_that_quadrature_gives():
    found = posterior()
    assert found.run.form == "weighted" and found.run.khat < 0.7
    assert np.abs(differences(found)).max() < LARGEST_Z


@pytest.mark.slow
def test_the_hierarchical_form_gives_the_posterior_that_quadrature_gives():
    found = model().sample(marginal=False, seed=2, target_accept=0.95, progress=False)
    assert found.run.form == "hierarchical"
    assert np.abs(differences(found)).max() < LARGEST_Z
    # the same draws of another posterior: a prior of twice the scale
    wide = {"1|g_sigma": nm.Prior("HalfNormal", sigma=5.0)}
    other = model().sample(marginal=False, priors=wide, seed=2, target_accept=0.95, progress=False)
    assert np.abs(differences(other)).max() > LARGEST_Z


@pytest.mark.slow
def test_the_marginal_likelihood_is_that_of_quadrature():
    found = posterior().log_evidence(seed=1)
    assert found.khat < 0.7 and found.mcse < 0.02
    assert found.log == pytest.approx(grid()["log_integral"], abs=4.0 * found.mcse + 0.003)
    found = posterior()
    compared = nm.compare(found, found, names=["one", "again"], seed=1)
    assert compared.table["elpd"].tolist() == [found.loo().elpd] * 2
    assert "given their random effects" in str(compared) and not compared.notes
    assert compared.table["log_bf"].tolist() == [0.0, 0.0]  # of the same seed


@pytest.mark.parametrize("family", ["poisson", pytest.param("binomial", marks=pytest.mark.slow)])
def test_the_marginal_likelihood_has_the_constants_of_its_family(family):
    """Counts of two groups, against quadrature with SciPy's densities."""
    g, y = np.repeat([0, 1], 3), np.array([0, 2, 1, 4, 3, 6])
    own = {"weights": np.full(6, 8.0)} if family == "binomial" else {}
    frame = pd.DataFrame({"y": y / 8 if own else y, "g": g})
    counts = nm.Model("y ~ 1 + (1 | g)", frame, family=family, **own)
    given = {"Intercept": nm.Prior("Normal", mu=0.5, sigma=1.0),
             "1|g_sigma": nm.Prior("HalfNormal", sigma=1.0)}  # fmt: skip
    found = evidence(counts.design, resolve_priors(counts.design, given), draws=1000, seed=1)
    beta, sd = np.linspace(-4.5, 5.5, 101), np.linspace(0.0, 6.0, 121)
    x, w = special.roots_hermitenorm(NODES)
    eta = beta[:, None, None] + sd[:, None] * x
    logs = (
        (lambda k: stats.binom.logpmf(k, 8, special.expit(eta)))
        if own
        else (lambda k: stats.poisson.logpmf(k, np.exp(eta)))
    )
    each = [np.exp(sum(logs(k) for k in y[g == j])) @ w / w.sum() for j in (0, 1)]
    prior = stats.norm.pdf(beta[:, None], 0.5, 1.0) * stats.halfnorm.pdf(sd)
    exact = np.trapezoid(np.trapezoid(prior * each[0] * each[1], sd, axis=1), beta)
    assert found.log == pytest.approx(np.log(exact), abs=4.0 * found.mcse + 0.002)


@pytest.mark.slow
def test_the_laplace_approximation_alone_is_another_posterior():
    exact = grid()
    for sampler in ("psis", "nutpie"):
        approximate = model().sample(
            sampler=sampler, marginal="laplace", seed=2, draws=500, progress=False
        )
        assert approximate.run.form == "laplace"
        mean = (exact["sd"] * exact["p"]).sum()
        estimate = approximate.parameters().loc["sd_(Intercept)|g", "estimate"]
        assert 0.02 < abs(estimate - mean) < 0.5  # near, and not the same
        # the test above would notice it
        assert np.abs(differences(approximate)).max() > LARGEST_Z


def test_the_laplace_density_is_that_of_maximum_likelihood_and_is_called_approximate():
    named = replace(posterior(), run=replace(posterior().run, form="laplace"))
    assert "APPROXIMATE" in named.summary().to_text()
    density = laplace_density(model().design)
    at = [(0.3, 0.5), (-1.0, 2.0)]
    points = np.array([density.at({"Intercept": b, "1|g_sigma_raw": s}) for b, s in at])
    fit = model().fit()
    for (b, s), value in zip(at, density.logp_points(points), strict=True):
        there = fit.solved.here._objective
        stats_ = there.stats
        phi = np.array([s]) / 1.0
        point = np.concatenate([phi, stats_.R_x @ np.array([b])])
        prior = stats.norm.logpdf(b, 0, 2.5) + stats.norm.logpdf(s, 0, 2.5)
        assert value == pytest.approx(prior - 0.5 * there.evaluate(point).criterion, abs=1e-8)


CASES = {
    "binomial": ("cbind(k, 8 - k) ~ x + (x | g)", {}),
    "negativebinomial": ("count ~ x + (1 | g) + (1 | h)", {}),
    "gamma": ("size ~ x + (x || g)", {"weights": "w"}),
    "beta": ("share ~ x + (1 | g)", {"link": "probit"}),
    "poisson": ("count ~ x + offset(o) + (1 | g / h)", {}),
}


@cache
def case(family: str) -> nm.Model:
    rng = np.random.default_rng(4)
    n = 48
    g, x = np.arange(n) % 6, rng.normal(size=n)
    eta = 0.3 + 0.4 * x + rng.normal(0, 0.5, 6)[g]
    p = special.expit(eta)
    data = pd.DataFrame(
        {
            "x": x, "g": g, "h": np.arange(n) // 6 % 4, "k": rng.binomial(8, p),
            "count": rng.poisson(np.exp(eta)), "size": rng.gamma(3, np.exp(eta) / 3) + 0.01,
            "share": np.clip(rng.beta(6 * p, 6 * (1 - p)), 0.02, 0.98),
            "w": rng.uniform(0.5, 2, n), "o": rng.normal(0, 0.2, n),
        }
    )  # fmt: skip
    formula, options = CASES[family]
    return nm.Model(formula, data, family=family, **options)


@pytest.mark.parametrize("family", CASES)
def test_gradients_are_exact_and_the_op_is_the_same_density(family):
    from nestedmlm.bayes.sampling.density import density  # PyMC loads here

    own = laplace_density(case(family).design)
    source = case(family).fit() if family == "poisson" else case(family)
    op = density(source.to_pymc(marginal="laplace"))
    assert op.form == own.form == "laplace"
    rng = np.random.default_rng(9)
    z = own.initial + 0.2 * rng.normal(size=own.ndim)
    value, gradient = own.logp_grad(z)
    steps = 1e-5 * np.eye(own.ndim)
    up, down = own.logp_points(z + steps), own.logp_points(z - steps)
    np.testing.assert_allclose(gradient, (up - down) / 2e-5, rtol=2e-5, atol=2e-5)
    value_op, gradient_op = op.logp_grad(z)
    assert value_op == pytest.approx(value, abs=1e-7)
    np.testing.assert_allclose(gradient_op, gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", ["binomial", "gamma"])
def test_weights_are_those_of_the_integral(family):
    """Mean weights against adaptive quadrature, which maximum likelihood takes."""
    model = case(family)
    fit = model.fit(nAGQ=25) if family == "binomial" else model.fit()
    priors = resolve_priors(model.design)
    density = weighted_density(model.design, priors, seed=3)
    s = fit.solution
    from nestedmlm.bayes.sampling.start import start_values

    start = start_values(density.names, model.design, beta=s.beta, T=s.T, sigma=1.0,
                         theta=s.theta, dispersion=s.dispersion)  # fmt: skip
    z = density.at(start)
    ready = density.ready(z)
    prior, _, _ = ready.coordinates.log_prior(z, ready.coordinates.variables(z))
    near = z + 1e-9 * np.random.default_rng(1).normal(size=(200, len(z)))
    values = ready.logp_points(near) - prior
    assert values.std() < 0.5  # as many draws as that takes
    found = special.logsumexp(values) - np.log(len(values))
    T, _ = ready.approximation(z)
    from nestedmlm.likelihood.glmm.modes import find_modes
    from nestedmlm.likelihood.glmm.quadrature import integrate, make_grid

    glmm = ready.likelihood.model
    x = ready.coordinates.variables(z)
    gamma, dispersion = ready.G @ x[ready.beta], float(ready.dispersion(x))
    modes = find_modes(glmm, T, gamma, dispersion)
    exact = -0.5 * integrate(glmm, make_grid(glmm, 25), T, modes, dispersion).value
    assert found == pytest.approx(exact, abs=4 * values.std() / np.sqrt(200) + 1e-3)
    # asked again, a point has the same density and the same effects
    assert ready.logp_points(near[:1])[0] == pytest.approx(values[0] + prior, rel=1e-13)
    one, other = (ready.named(near[:1])["1|g"] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(OptionError, match=r"has 2 \(.*\), whose effects hang together"):
        case("negativebinomial").sample(sampler="psis")
    with pytest.raises(OptionError, match="takes priors that are nm"):
        model().sample(sampler="psis", marginal=False)
    robust = nm.Model("size ~ x + (1 | g)", case("gamma").data, family="t")
    for options in ({"sampler": "psis"}, {"marginal": "laplace"}):
        with pytest.raises(OptionError, match="sample them with the rest"):
            robust.sample(**options)


def test_verbs_of_a_posterior_are_on_the_scale_of_the_response():
    found, data = posterior(), tiny()
    mean = found.predict()["estimate"].to_numpy()
    link = found.predict(type="link", draws=True).values
    np.testing.assert_allclose(mean, special.expit(link).mean(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(found.fittedvalues, mean)
    np.testing.assert_allclose(found.resid, data["yes"] - mean)
    y = found.predict(type="prediction", draws=True, seed=1).values
    assert set(np.unique(y)) == {0.0, 1.0}
    new = found.predict({"g": ["new"]}, new_levels="sample", seed=1)
    assert 0 < new["conf_low"].item() < new["estimate"].item() < new["conf_high"].item() < 1
    loglik = found.data["log_likelihood"]["yes"].values
    np.testing.assert_allclose(loglik, stats.bernoulli.logpmf(data["yes"], special.expit(link)))
    assert found.loo().n_data_points == 30
    replicated = found.with_posterior_predictive(seed=1).data["posterior_predictive"]["yes"]
    assert abs(replicated.mean().item() - data["yes"].mean()) < 0.1
    assert found.icc()["estimate"].sum() == pytest.approx(1.0)
    sd2 = found.data["posterior"]["1|g_sigma"].values.ravel() ** 2
    shares = sd2 / (sd2 + np.pi**2 / 3)
    assert found.icc().loc["g", "estimate"] == pytest.approx(shares.mean())
    assert (found.r2()["estimate"].between(0, 1)).all()
    fit = model().fit()
    table = nm.compare(fit, found).table
    assert table["inside"].all()
    odds = nm.emmeans(found, "1", type="response").to_frame()
    beta = found.data["posterior"]["Intercept"].values
    assert odds["estimate"].item() == pytest.approx(special.expit(beta).mean())
    log_prior = found.with_prior(draws=5, seed=1).data["log_prior"]
    scale = found.priors["1|g_sigma"].prior["sigma"]
    expected = stats.halfnorm(scale=scale).logpdf(found.data["posterior"]["1|g_sigma"])
    np.testing.assert_allclose(log_prior["1|g_sigma"], expected, rtol=1e-10)
    moved = found.sensitivity()  # ten groups of three: their SD leans on its prior
    assert moved.loc["1|g_sigma", "1|g_sigma"] > 2 * moved.loc["Intercept", "Intercept"] > 0
    assert {"distribution", "outliers"} < set(found.check(nsim=20).to_frame()["check"])
    assert found.loo("group").n_data_points == len(found.design.factors[0].levels)
    with pytest.raises(nm.NestedMLMError, match="no residual standard deviation"):
        _ = found.sigma


def test_a_posterior_of_a_family_is_saved_pickled_and_sampled_again(tmp_path):
    import pickle

    found = posterior()
    again = nm.load_bayesfit(found.save(tmp_path / "tiny.zarr"))
    assert again.family.name == "binomial" and again.family.link.name == "logit"
    pd.testing.assert_frame_equal(again.predict(), found.predict())
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(found)).icc(), found.icc())
    other = found.with_data(tiny().assign(yes=lambda d: 1 - d["yes"]))
    assert other.run.form == "weighted"
    assert other.params.item() == pytest.approx(-found.params.item(), abs=0.3)
