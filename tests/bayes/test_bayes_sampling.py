"""Samplers: options, what they return, and that their draws have the posterior they should."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from designs import data, design
from scipy import stats

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.sampling import samplers
from nestedmlm.bayes.sampling.conditional import covariance_factors
from nestedmlm.bayes.sampling.correlation_roots import partial_correlations
from nestedmlm.bayes.sampling.density import density, reported_names
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.bayes.sampling.sampling import sample
from nestedmlm.bayes.sampling.start import start_values
from nestedmlm.design.build import build_design
from nestedmlm.errors import MissingSamplerError, OptionError, SamplingError

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    """REML fit of sleepstudy, its marginal density and where to start."""
    fit = nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
    den, s = marginal_density(fit.design), fit.solution
    return fit, den, start_values(den.names, fit.design, beta=s.beta, T=s.T, sigma=s.sigma)


@pytest.fixture(scope="module")
def nuts(sleep):
    _, den, start = sleep
    return sample(den, draws=500, chains=2, seed=3, start=start, progress=False)


@pytest.fixture(scope="module")
def weighted(sleep):
    _, den, start = sleep
    return sample(den, sampler="psis", draws=1000, chains=4, seed=3, start=start)


def moments(tree, name, chains=True):
    """Mean, SD and Monte-Carlo SE of a scalar."""
    from arviz_stats.base import array_stats

    x = tree["posterior"][name].to_numpy()
    x = x.reshape(*x.shape[:2], -1)[..., 0]
    ess = array_stats.ess(x, chain_axis=0, draw_axis=1) if chains else tree["posterior"].ess
    return x.mean(), x.std(), x.std() / np.sqrt(min(ess, x.size))


def test_start_is_the_fit(sleep):
    fit, den, start = sleep
    values = den.to_values(den.at(start))
    assert values["Intercept"] == pytest.approx(fit.fixef["(Intercept)"])
    assert values["Days"] == pytest.approx(fit.fixef["Days"])
    assert values["sigma"] == pytest.approx(fit.sigma)
    block = fit.varcorr().blocks[0]
    assert values["1|Subject_sigma"] == pytest.approx(block.sd[0])
    assert values["Days|Subject_sigma"] == pytest.approx(block.sd[1])
    np.testing.assert_allclose(values["Subject_corr"], block.corr[1, 0], atol=1e-10)


@pytest.mark.parametrize("marginal", [True, False])
def test_pymcs_own_functions_take_the_model(sleep, marginal):
    """None of them takes a model whose variables have initial values."""
    import copy

    import pymc as pm

    model = sleep[0].to_pymc(marginal=marginal)
    assert set(model.rvs_to_initial_values.values()) == {None}
    own = density(model)
    assert np.isfinite(own.logp(own.initial))
    assert own.folded and np.all(own.initial[list(own.folded)] > 0)  # at zero is no gradient
    assert {v.name for v in copy.deepcopy(model).free_RVs} == {v.name for v in model.free_RVs}
    done = pm.do(model, {"sigma": 25.0})
    assert "sigma" not in {v.name for v in done.free_RVs}
    seen = pm.observe(model, {"Days": 10.0})
    assert "Days" in {v.name for v in seen.observed_RVs}


def test_pymc_computes_the_log_likelihood(sleep):
    import pymc as pm

    model = sleep[0].to_pymc()
    draws = pm.sample_prior_predictive(3, model=model, random_seed=1)["prior"]
    from xarray import DataTree

    tree = DataTree.from_dict({"posterior": draws.to_dataset()})
    with model:
        found = pm.compute_log_likelihood(tree, progressbar=False)
    values = found["log_likelihood"]["Reaction"].values[0]
    posterior, y = draws.to_dataset(), sleep[0].design.y
    mu, sigma = posterior["mu"].values[0], posterior["sigma"].values[0][:, None]
    expected = -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(values, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["nested chain of two", "compound symmetry", "autoregressive"])
def test_start_of_other_structures(kind):
    """Away from the boundary, covariances come back as they were."""
    of = design(kind)
    den = marginal_density(of)
    rng = np.random.default_rng(1)
    values = den.to_values(den.initial + 0.2 * rng.normal(size=den.ndim))
    draws = {k: np.asarray(v)[None] for k, v in values.items()}
    names = parameter_names(of)
    T = [covariance_factors(t, draws)[0] / values["sigma"] for t in names.terms]
    beta = np.array([values[n] for n in names.fixed])
    start = start_values(den.names, of, beta=beta, T=T, sigma=values["sigma"])
    assert set(start) == set(den.names)
    again = den.to_values(den.at(start))
    for name, value in values.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


def test_start_at_a_singular_fit_is_off_the_boundary():
    of = design("slope")
    den = marginal_density(of)
    T = [np.array([[1.0, 0.0], [1.0, 0.0]])]  # correlation 1
    for factor in (T, [np.zeros((2, 2))]):
        start = start_values(den.names, of, beta=np.zeros(3), T=factor, sigma=1.0)
        value, gradient = den.logp_grad(den.at(start))
        assert np.isfinite(value) and np.all(gradient != 0)


def test_partial_correlations_of_a_known_matrix():
    R = np.array([[1.0, 0.3, 0.2], [0.3, 1.0, 0.5], [0.2, 0.5, 1.0]])
    partial = (0.5 - 0.3 * 0.2) / np.sqrt((1 - 0.3**2) * (1 - 0.2**2))
    np.testing.assert_allclose(partial_correlations(R), [0.3, 0.2, partial])


def test_peak_is_a_maximum_and_its_root_the_curvature(sleep):
    _, den, start = sleep
    peak = find_peak(den, den.at(start))
    scale = np.sqrt(np.diag(peak.root @ peak.root.T))
    assert np.max(np.abs(den.logp_grad(peak.x)[1] * scale)) < 1e-3
    step = 1e-3 * peak.root  # along the columns of the root the log-density falls by step^2 / 2
    for column in step.T:
        up, down = (den.logp_grad(peak.x + s * column)[1] for s in (1, -1))
        assert -(up - down) @ column / 2e-6 == pytest.approx(1.0, abs=1e-2)


def test_nutpie_returns_the_posterior_with_its_names(sleep, nuts):
    fit, _, _ = sleep
    posterior = nuts["posterior"]
    assert set(posterior.data_vars) == set(parameter_names(fit.design).parameters)
    assert posterior["Subject_corr"].dims[2:] == ("Subject__pair_dim",)
    assert posterior["Subject__pair_dim"].to_numpy().tolist() == ["Days, 1"]
    assert dict(posterior.sizes) == {"chain": 2, "draw": 500, "Subject__pair_dim": 1}
    assert posterior.attrs["sampler"] == "nutpie" and posterior.attrs["form"] == "marginal"
    assert nuts["sample_stats"]["diverging"].shape == (2, 500)
    assert int(nuts["sample_stats"]["diverging"].sum()) == 0


def test_importance_sampling_reports_khat(weighted):
    posterior = weighted["posterior"]
    assert posterior.attrs["sampler"] == "psis"
    # negative where the weights are bounded
    assert -1.0 < posterior.attrs["khat"] < 0.5 and 2000 < posterior.attrs["ess"] <= 4000
    assert posterior["sigma"].shape == (4, 1000)


@pytest.mark.parametrize("name", ["Intercept", "Days", "1|Subject_sigma", "Days|Subject_sigma",
                                  "Subject_corr", "sigma"])  # fmt: skip
def test_both_samplers_find_the_same_posterior(nuts, weighted, name):
    mean, sd, error = moments(nuts, name)
    other, other_sd, other_error = moments(weighted, name, chains=False)
    assert abs(mean - other) < 4.0 * np.hypot(error, other_error)
    # the SD of an SD estimate from n effective draws is about sd / sqrt(2 n), more for long tails
    assert abs(sd - other_sd) < 6.0 * np.hypot(error, other_error)


def test_a_posterior_that_is_known_exactly():
    """Given the SDs, beta is normal: mean and covariance in closed form."""
    of = build_design("y ~ x + (1 | f1)", data())
    tight = 1e-4
    fixed = {
        "1|f1_sigma": nm.Prior("Uniform", lower=1.5 - tight, upper=1.5 + tight),
        "sigma": nm.Prior("Uniform", lower=2.0 - tight, upper=2.0 + tight),
        "Intercept": nm.Prior("Normal", mu=3.0, sigma=1.0),
        "x": nm.Prior("Normal", mu=0.0, sigma=0.2),
    }
    den = marginal_density(of, fixed)
    Z = np.eye(30)[of.factors[0].codes][:, np.unique(of.factors[0].codes)]
    V = 1.5**2 * Z @ Z.T + 4.0 * np.eye(of.n)
    X = np.column_stack([np.ones(of.n), of.X[:, 1] - of.X[:, 1].mean()])
    precision = X.T @ np.linalg.solve(V, X) + np.diag([1.0, 25.0])
    cov = np.linalg.inv(precision)
    mean = cov @ (X.T @ np.linalg.solve(V, of.y) + [3.0, 0.0])
    tree = sample(den, draws=1000, chains=2, tune=300, seed=11, progress=False)
    x = tree["posterior"]["x"].to_numpy()
    from arviz_stats.base import array_stats

    ess = float(array_stats.ess(x, chain_axis=0, draw_axis=1))
    assert abs(x.mean() - mean[1]) < 4.0 * np.sqrt(cov[1, 1] / ess)
    assert x.std() == pytest.approx(np.sqrt(cov[1, 1]), rel=5.0 / np.sqrt(2.0 * ess))


def test_seeds_decide_and_threads_do_not(sleep):
    _, den, start = sleep
    few = {"draws": 20, "tune": 20, "chains": 2, "start": start, "progress": False}
    one = sample(den, seed=5, cores=1, **few)["posterior"]["sigma"].to_numpy()
    two = sample(den, seed=5, cores=2, **few)["posterior"]["sigma"].to_numpy()
    other = sample(den, seed=6, **few)["posterior"]["sigma"].to_numpy()
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "stan"}, "one of auto, nutpie, pymc, numpyro, blackjax, psis, not 'stan'"),
        ({"sampler": None}, "sampler must be"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"chains": 0}, "chains must be at least 1, got 0"),
        ({"draws": 10.5}, "draws must be a whole number"),
        ({"tune": -1}, "tune must be at least 0"),
        ({"cores": 0}, "cores must be at least 1"),
        ({"target_accept": 1.0}, "target_accept must lie between 0 and 1"),
        ({"backend": "c"}, "with backend 'python', not 'c'"),
        ({"sampler": "psis", "backend": "numba"}, "with backend 'python', not 'numba'"),
        ({"sampler": "numpyro"}, "numpyro cannot run the marginal form"),
        ({"start": {"nobody": 1.0}}, "no free variable 'nobody'"),
    ],
)
def test_options_that_cannot_be(sleep, options, message):
    with pytest.raises(OptionError, match=message):
        sample(sleep[1], **{"draws": 5, "chains": 1, "progress": False, **options})


def test_importance_sampling_needs_the_marginal_form():
    with pytest.raises(OptionError, match="psis needs the marginal form"):
        sample(hierarchical_model(design("one factor")), sampler="psis")


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"sampler": "numpyro"}, "pip install numpyro jax"),
        ({"sampler": "blackjax"}, "pip install 'blackjax<1.6' jax"),
        ({"backend": "jax"}, "pip install nutpie jax"),
    ],
)
def test_a_sampler_that_is_not_installed_names_the_command(options, command, monkeypatch):
    from nestedmlm.bayes.sampling import sampling

    monkeypatch.setattr(sampling, "find_spec", lambda name: None)
    with pytest.raises(MissingSamplerError, match=re.escape(command)) as problem:
        sample(hierarchical_model(design("one factor")), **options)
    assert isinstance(problem.value, ImportError)


def test_a_package_that_is_too_new_is_refused(monkeypatch):
    from nestedmlm.bayes.sampling import sampling

    monkeypatch.setattr(sampling, "find_spec", lambda name: name)
    monkeypatch.setattr(sampling, "version", lambda name: "1.7.1")
    with pytest.raises(MissingSamplerError, match=r"'blackjax<1.6' \(PyMC cannot use 1.7.1\)"):
        sample(hierarchical_model(design("one factor")), sampler="blackjax")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpyro", "blackjax"])
@pytest.mark.filterwarnings("ignore")
def test_jax_samplers_run_the_hierarchical_form(sleep, weighted, name):
    pytest.importorskip("jax")
    pytest.importorskip(name)
    fit, _, _ = sleep
    model = fit.to_pymc()
    tree = sample(model, sampler=name, draws=500, tune=500, chains=2, seed=1, progress=False)
    mean, _, error = moments(tree, "Days")
    other, _, other_error = moments(weighted, "Days", chains=False)
    assert abs(mean - other) < 4.0 * np.hypot(error, other_error)


def test_a_marginal_density_runs_as_it_is_unless_asked_otherwise(sleep, monkeypatch):
    """Which way is taken, without going it."""

    def refuse(model, settings):
        raise SamplingError(settings.backend)

    ways = dict.fromkeys(("python", "numba"), refuse)
    row = replace(samplers.SAMPLERS["nutpie"], density=ways)
    monkeypatch.setattr("nestedmlm.bayes.sampling.sampling.SAMPLERS", {"nutpie": row})
    for backend, expected in (("auto", "python"), ("python", "python"), ("numba", "numba")):
        with pytest.raises(SamplingError, match=expected):
            sample(sleep[1], draws=50_000, chains=4, backend=backend)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pytensor")
def test_the_c_back_end_has_the_same_posterior(sleep, weighted):
    import pytensor

    if not pytensor.config.cxx:
        pytest.skip("no C++ compiler")
    fit, _, _ = sleep
    tree = sample(fit.to_pymc(), backend="c", draws=500, chains=2, seed=1, progress=False)
    assert tree["posterior"].attrs["backend"] == "c" and "mu" not in tree["posterior"]
    for name in ("Days", "Days|Subject_sigma", "sigma"):
        mean, _, error = moments(tree, name)
        other, _, other_error = moments(weighted, name, chains=False)
        assert abs(mean - other) < 4.0 * np.hypot(error, other_error), name


class Funnel:
    """Six numbers whose common scale is the exponential of a seventh."""

    ndim, folded, together = 7, (), True
    initial = np.zeros(7)

    def logp_points(self, z):
        scale = np.exp(z[:, :1])
        own = stats.norm.logpdf(z[:, 1:], scale=scale).sum(axis=1)
        return own + stats.norm(0.0, 3.0).logpdf(z[:, 0])

    def logp_grad(self, z):
        squares = (z[1:] * np.exp(-z[0])) ** 2
        first = squares.sum() - 6.0 - z[0] / 9.0
        return self.logp_points(z[None])[0], np.append(first, -z[1:] * np.exp(-2.0 * z[0]))


def test_a_posterior_that_importance_sampling_cannot_cover():
    """A funnel has no covariance that a proposal could learn."""
    with pytest.raises(SamplingError, match=r"Pareto k is .* Use NUTS instead: sampler='nutpie'"):
        psis_sample(Funnel(), find_peak(Funnel()), draws=2000, seed=1)


def test_a_density_that_is_nowhere_finite_is_an_error():
    import pymc as pm

    model = marginal_model(design("one factor"))
    with model:
        pm.Potential("nowhere", -np.inf * pm.math.sqr(model["sigma"]))
    with pytest.raises(SamplingError, match="not finite at the starting point"):
        sample(model, draws=5, chains=1, progress=False)


def test_reported_names_leave_out_what_only_helps():
    model = hierarchical_model(design("slope"))
    reported = reported_names(model)
    names = parameter_names(design("slope"))
    assert set(reported) == {*names.parameters, *names.effects}


@pytest.mark.slow
def test_the_hierarchical_form_has_the_same_posterior(sleep, weighted):
    fit, _, _ = sleep
    s = fit.solution
    model = hierarchical_model(fit.design)
    free = {rv.name for rv in model.free_RVs}
    start = start_values(free, fit.design, beta=s.beta, T=s.T, sigma=s.sigma)
    tree = sample(model, draws=1000, chains=2, seed=4, start=start, progress=False)
    assert tree["posterior"].attrs["form"] == "hierarchical"
    for name in ("Intercept", "Days", "1|Subject_sigma", "Days|Subject_sigma", "sigma"):
        mean, _, error = moments(tree, name)
        other, _, other_error = moments(weighted, name, chains=False)
        assert abs(mean - other) < 4.0 * np.hypot(error, other_error), name
    labels = tree["posterior"]["Subject__factor_dim"].to_numpy().tolist()
    assert labels == list(fit.design.factors[0].levels)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pytensor", "ignore::FutureWarning")
def test_pymcs_own_sampler_runs_the_marginal_form(sleep, weighted):
    fit, _, start = sleep
    model = marginal_model(fit.design)
    options = {"draws": 300, "tune": 300, "chains": 2, "cores": 1, "progress": False}
    tree = sample(model, sampler="pymc", seed=2, start=start, **options)
    assert set(tree["posterior"].data_vars) == set(weighted["posterior"].data_vars)
    mean, _, error = moments(tree, "Days")
    other, _, other_error = moments(weighted, "Days", chains=False)
    assert abs(mean - other) < 4.0 * np.hypot(error, other_error)
