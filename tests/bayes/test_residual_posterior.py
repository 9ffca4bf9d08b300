"""Posteriors of residuals that differ or correlate: the density is the dense normal's."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytensor
import pytest
from scipy.stats import beta, kstest, multivariate_normal, norm

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.names import MU, parameter_names
from nestedmlm.bayes.model.priors import default_priors
from nestedmlm.bayes.model.residual_correlations import correlation_parameters
from nestedmlm.bayes.sampling.density import density
from nestedmlm.bayes.sampling.posterior_dataset import make_tree, posterior_dataset
from nestedmlm.errors import ResidualStructureError, SamplingWarning
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.posterior import icc_r2
from nestedmlm.posterior.block_density import block_log_density
from nestedmlm.posterior.draws import fixed_draws, marginal_draws
from nestedmlm.posterior.loglik import joint_log_likelihood, row_log_likelihood
from nestedmlm.posterior.parameter_priors import log_prior
from nestedmlm.posterior.point_hypothesis import point_densities
from nestedmlm.posterior.reduced_posterior import LinearRefits
from nestedmlm.posterior.row_draws import fitted_rows
from nestedmlm.posterior.row_residuals import residual_draws
from nestedmlm.statistics.pair_sums import pair_sums


@cache
def visits() -> pd.DataFrame:
    """Twelve subjects of two arms at two sites, up to four visits, some missed; uneven days."""
    rng = np.random.default_rng(3)
    d = pd.DataFrame([(i, v) for i in range(12) for v in range(4)], columns=["id", "visit"])
    d["arm"] = np.where(d.id % 2, "drug", "control")
    d["site"] = np.where(d.id < 6, "north", "south")
    d["item"] = rng.integers(0, 5, len(d)).astype(str)
    d["day"] = 7.0 * d.visit + rng.integers(0, 3, len(d))
    d["half"] = d.visit % 2 * 1.0
    d["w"] = rng.uniform(0.5, 2.0, len(d))
    d["y"] = 3.0 + 0.2 * d.visit + rng.normal(size=12)[d.id] + rng.normal(size=len(d))
    d = d[rng.random(len(d)) > 0.15].copy()
    return d.assign(when=d.visit.astype(float), visit="V" + d.visit.astype(str)).reset_index()


FORM = "y ~ when + (1 | id)"
MODELS = {
    "strata": (FORM, {"dispersion": "~ arm"}),
    "strata crossed": ("y ~ when + (1 | id) + (1 | item)", {"dispersion": "~ arm"}),
    "slope": (FORM, {"dispersion": "~ when", "weights": "w"}),
    "ar1": ("y ~ when + (when | id)", {"residual": "ar1(when | id)"}),
    "ar1 hom=False": (FORM, {"residual": "ar1(when | id, hom=False)"}),
    "car1": ("y ~ when + (1 | id) + (1 | item)", {"residual": "car1(day | id)"}),
    "car1 with strata": (FORM, {"residual": "car1(day | id)", "dispersion": "~ arm"}),
    "cs": ("y ~ when", {"residual": "cs(1 | id)"}),
    "us": ("y ~ when + arm", {"residual": "us(visit | id)", "weights": "w"}),
    "us above": ("y ~ when + (1 | site)", {"residual": "us(visit | id)"}),
    "us by": ("y ~ when", {"residual": "us(visit | id, by=arm)"}),
    "toep": ("y ~ when", {"residual": "toep(visit | id)"}),
    "ad1 by": ("y ~ when", {"residual": "ad1(visit | id, by=arm)"}),
}  # fmt: skip


@cache
def model(case: str) -> nm.Model:
    formula, options = MODELS[case]
    return nm.Model(formula, visits(), **options)


def residual_matrix(case: str, at) -> np.ndarray:
    """R sigma^2 from the named variables alone, row by row."""
    d, options = visits(), MODELS[case][1]
    n, by = (
        len(d),
        "|" + d.arm if "by=" in options.get("residual", "") else pd.Series([""] * len(d)),
    )
    log_sd = np.zeros(n)
    for name, value in at.items():
        if name.startswith("sigma_arm"):
            log_sd += value * (d.arm == "drug")
        elif name == "sigma_when":
            log_sd += value * d.when
        elif name.startswith("sigma_when["):
            log_sd += value * (d.when == float(name[len("sigma_when[") : -1]))
    structure = options.get("residual", "none").partition("(")[0]
    C = np.eye(n)
    for i in range(n):
        for j in range(n):
            if d.id[i] != d.id[j]:
                continue
            end, a, b = by[i], int(d.visit[i][1]), int(d.visit[j][1])
            if structure == "ar1":
                C[i, j] = at["residual_rho"] ** abs(d.when[i] - d.when[j])
            elif structure == "car1":
                C[i, j] = at["residual_rho"] ** abs(d.day[i] - d.day[j])
            elif structure == "cs" and i != j:
                C[i, j] = at["residual_rho"]
            elif structure == "toep" and i != j:
                C[i, j] = at[f"residual_rho{abs(a - b)}"]
            elif structure == "ad1":
                between = range(min(a, b), max(a, b))
                C[i, j] = np.prod([at[f"residual{end}_rho{s + 1}"] for s in between])
            elif structure == "us":
                first = np.exp(at["sigma_arm[drug]"]) if end == "|drug" else 1.0
                own = [at[f"residual_sd[V{v}{end}]"] / at["sigma"] if v else first for v in (a, b)]
                C[i, j] = at[f"residual{end}_corr"][a, b] * own[0] * own[1]
    if structure == "us" and "by=" in options["residual"]:
        log_sd[:] = 0.0
    sd = at["sigma"] * np.exp(log_sd)
    if "weights" in options:
        sd = sd / np.sqrt(d.w)
    return C * np.outer(sd, sd)


def covariance(case: str, at) -> np.ndarray:
    d, out = visits(), residual_matrix(case, at)
    for factor in ("id", "site", "item"):
        same = np.equal.outer(d[factor].to_numpy(), d[factor].to_numpy())
        if f"{factor}_corr" in at:
            R = np.array([[1.0, at[f"{factor}_corr"][0]], [at[f"{factor}_corr"][0], 1.0]])
            sd = np.array([at[f"1|{factor}_sigma"], at[f"when|{factor}_sigma"]])
            Z = np.column_stack([np.ones(len(d)), d.when])
            out = out + same * (Z @ (R * np.outer(sd, sd)) @ Z.T)
        elif f"1|{factor}_sigma" in at:
            out = out + same * at[f"1|{factor}_sigma"] ** 2
    return out


@pytest.mark.parametrize("case", MODELS)
def test_density_is_the_dense_normals(case):
    design = model(case).design
    own = marginal_density(design)
    rng = np.random.default_rng(5)
    for _ in range(2):
        z = own.initial + 0.2 * rng.normal(size=own.ndim)
        at = own.to_values(z)
        mean = sum(at[n] * design.X[:, j] for j, n in enumerate(["Intercept", *design.x_names[1:]]))
        expected = multivariate_normal(mean, covariance(case, at)).logpdf(design.y)
        assert own.log_likelihood(z[None])[0] == pytest.approx(expected, rel=1e-10)
        value, gradient = own.logp_grad(z)
        assert own.logp(z) == pytest.approx(value, rel=1e-12)
        steps = 1e-5 * np.eye(own.ndim)
        slopes = [(own.logp(z + e) - own.logp(z - e)) / 2e-5 for e in steps]
        np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)


def slow_but(*quick: str, of) -> list:
    """Cases of which all but a few are slow."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in of]


@pytest.mark.parametrize("case", slow_but("ar1 hom=False", of=MODELS))
def test_marginal_pymc_model_has_that_density(case):
    design = model(case).design
    own, twin = marginal_density(design), density(marginal_model(design))
    rng = np.random.default_rng(7)
    z = own.initial + 0.2 * rng.normal(size=own.ndim)
    value, gradient = own.logp_grad(z)
    expected, slopes = twin.logp_grad(z)
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-8)
    named, reference = own.to_values(z), twin.to_values(z)
    for name in named:
        np.testing.assert_allclose(named[name], reference[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("case", slow_but("slope", "car1", "us", of=MODELS))
def test_hierarchical_model_is_the_dense_normal_given_the_mean(case):
    design = model(case).design
    made = hierarchical_model(design)
    names = [*(n for n in parameter_names(design).parameters if "corr" not in n or "res" in n), MU]
    outputs = [made.logp(vars=made.observed_RVs), *(made[name] for name in names)]
    inputs = made.value_vars
    outputs = [outputs[0], *made.replace_rvs_by_values(outputs[1:])]
    function = pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    rng, point = np.random.default_rng(9), made.initial_point()
    found, *values = function(
        *(point[v.name] + 0.2 * rng.normal(size=np.shape(point[v.name])) for v in inputs)
    )
    at = dict(zip(names, values, strict=True))
    expected = multivariate_normal(at[MU], residual_matrix(case, at)).logpdf(design.y)
    assert found == pytest.approx(expected, rel=1e-10)


def draws(case: str, points: int = 1, each: int = 1) -> nm.BayesFit:
    """A posterior of a few points near the start, each some times over."""
    own = marginal_density(model(case).design)
    z = own.initial + 0.2 * np.random.default_rng(11).normal(size=(points, own.ndim))
    posterior = posterior_dataset(own, np.repeat(z, each, axis=0)[None])
    tree = make_tree(posterior, None, {"sampler": "none", "form": "marginal", "tune": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return nm.BayesFit.from_pymc(tree, model(case), seed=1)


def values(case: str, posterior: nm.BayesFit, s: int):
    """The named variables of one draw, and the mean without random effects."""
    design = model(case).design
    names = parameter_names(design).parameters
    at = {n: posterior.data["posterior"][n].to_numpy()[0, s] for n in names}
    return at, fixed_draws(posterior.data, design)[s] @ design.X.T


LEFT_OUT = {"strata": "id", "car1": "id", "us above": "id", "us": "id", "us by": "id",
            "strata crossed": "item"}  # fmt: skip


@pytest.mark.parametrize("case", slow_but("car1", of=LEFT_OUT))
def test_group_left_out_is_the_dense_conditional(case):
    group = LEFT_OUT[case]
    design, posterior = model(case).design, draws(case, points=2)
    kept = np.arange(2)
    units = design.residual.block if group == "id" and design.residual.block is not None else next(
        f.codes for f in design.factors if f.name == group)  # fmt: skip
    found = block_log_density(
        marginal_draws(posterior.data, design, kept),
        residual_draws(posterior.data, design),
        design,
        units,
    )
    for s in range(2):
        at, mean = values(case, posterior, s)
        V = covariance(case, at)
        total = multivariate_normal(mean, V).logpdf(design.y)
        for j in range(int(units.max()) + 1):
            rest = units != j
            others = multivariate_normal(mean[rest], V[np.ix_(rest, rest)]).logpdf(design.y[rest])
            assert found[s, j] == pytest.approx(total - others, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("case", ["slope", "car1 with strata", "us"])
def test_rows_left_out_together_are_given_those_that_stay(case):
    """Of three held rows, two of one block, each by the dense normal of it and the rest."""
    design, posterior = model(case).design, draws(case, points=2)
    held = np.isin(np.arange(design.n), [3, 4, 20])
    units = np.arange(design.n)
    given = (marginal_draws(posterior.data, design), residual_draws(posterior.data, design))
    found = block_log_density(*given, design, units, held=held)
    each = block_log_density(*given, design, units)
    assert np.isnan(found[:, ~held]).all()
    for s in range(2):
        at, mean = values(case, posterior, s)
        V = covariance(case, at)

        def density(rows, mean=mean, V=V):
            return multivariate_normal(mean[rows], V[np.ix_(rows, rows)]).logpdf(design.y[rows])

        for row in np.flatnonzero(held):
            kept = np.flatnonzero(~held)
            expected = density(np.append(kept, row)) - density(kept)
            assert found[s, row] == pytest.approx(expected, rel=1e-9)
            others = np.delete(units, row)
            expected = density(np.append(others, row)) - density(others)
            assert each[s, row] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", ["slope", "car1 with strata", "us"])
def test_posteriors_without_rows_have_the_density_of_the_rest(case):
    """Priors, coordinates and the means of the predictors are those of all rows."""
    design = model(case).design
    left_out = np.zeros(design.n, dtype=bool)
    left_out[:5] = True
    own, kept = marginal_density(design), ~left_out
    refits = LinearRefits(design=design, priors=default_priors(design), draws=100, seed=1)
    rest = refits.density_without(left_out)
    z = own.initial + 0.2 * np.random.default_rng(5).normal(size=own.ndim)
    at = own.to_values(z)
    assert list(at) == list(rest.to_values(z))
    for name, value in rest.to_values(z).items():
        np.testing.assert_allclose(value, at[name], rtol=1e-12)
    mean = sum(at[n] * design.X[:, j] for j, n in enumerate(["Intercept", *design.x_names[1:]]))
    dense = multivariate_normal(mean[kept], covariance(case, at)[np.ix_(kept, kept)])
    assert rest.log_likelihood(z[None])[0] == pytest.approx(dense.logpdf(design.y[kept]), rel=1e-10)
    value, gradient = rest.logp_grad(z)
    slopes = [(rest.logp(z + e) - rest.logp(z - e)) / 2e-5 for e in 1e-5 * np.eye(own.ndim)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_cross_validation_of_blocks_is_what_leaving_out_approximates():
    posterior = model("car1").sample(sampler="psis", draws=500, seed=1, progress=False)
    exact = posterior.kfold("id", draws=500, seed=1, progress=False)
    approximate = posterior.loo(max_draws=400)
    reliable = approximate.pareto_k.values < 0.5
    assert reliable.sum() > 6
    difference = (exact.elpd_i.values - approximate.elpd_i.values)[reliable]
    assert np.abs(difference).max() < 0.25


@pytest.mark.parametrize("case", ["slope", "car1 with strata", "us by"])
def test_rows_given_the_rest_of_their_block(case):
    """Densities of rows, their standard deviations, and the average residual variance."""
    design, posterior = model(case).design, draws(case, points=2)
    found = row_log_likelihood(posterior.data, design)[0]
    rows = fitted_rows(posterior.data, design)
    eta, variance = rows.eta(slice(None)), 0.0
    for s in range(2):
        R = residual_matrix(case, values(case, posterior, s)[0])
        np.testing.assert_allclose(rows.responses.sigma[s], np.sqrt(np.diag(R)), rtol=1e-10)
        inverse, e = np.linalg.inv(R), design.y - eta[s]
        sd = np.diag(inverse) ** -0.5
        expected = norm.logpdf(sd * (inverse @ e), scale=1.0) - np.log(sd)
        np.testing.assert_allclose(found[s], expected, rtol=1e-9)
        variance += np.diag(R).mean() / 2
    own = icc_r2.mean_residual_variance(posterior.data, design)
    assert own.mean() == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize("case", slow_but("us above", of=("strata crossed", "ar1", "us above")))
def test_random_effects_and_replicates_are_drawn_given_the_rest(case):
    """Means and covariances of many draws at one point, in Monte-Carlo standard errors."""
    design, n = model(case).design, 2000
    posterior = draws(case, each=n)
    at, mean = values(case, posterior, 0)
    V, R = covariance(case, at), residual_matrix(case, at)
    fitted = fitted_rows(posterior.data, design).eta(slice(None))
    shrink = (V - R) @ np.linalg.inv(V)
    expected, cov = mean + shrink @ (design.y - mean), (V - R) - shrink @ (V - R)
    error = np.sqrt(np.diag(cov) / n)
    assert np.abs((fitted.mean(axis=0) - expected) / error).max() < 5.0
    new = posterior.simulate(n, seed=3).to_numpy().T
    for some, truth in ((fitted, cov), (new - fitted.mean(axis=0), R + cov)):
        own = np.cov(some.T)
        size = np.sqrt((np.outer(np.diag(truth), np.diag(truth)) + truth**2) / n)
        assert np.abs((own - truth) / size).max() < 5.5


def test_flat_priors_give_the_reml_criterion():
    """Coefficients and log sigma integrated out, flat: exp(-criterion / 2) and a constant."""
    design = model("ar1 hom=False").design
    own = marginal_density(design)
    sums = pair_sums(design)
    objective = ResidualObjective(plan=make_plan(design, sums.base), sums=sums, REML=True)
    rng, found, df = np.random.default_rng(13), [], design.n - design.p
    for _ in range(3):
        z = own.initial + 0.3 * rng.normal(size=own.ndim)
        x, at = own.coordinates.variables(z), own.to_values(z)
        theta = at["1|id_sigma"] / at["sigma"] / float(sums.base.transforms[0].squeeze())
        free = own.residual.free(z, x)[0]
        criterion = objective.at(np.array([theta, *free])).value
        logdet, (S,) = own.remaining(z[None])
        curvature = own.C.T @ S @ own.C
        v = own.c - own.C @ np.linalg.solve(curvature, own.C.T @ S @ own.c)
        # of exp(-(logdet + v'Sv / s^2) / 2) s^-(n - p) d log s
        log_area = -0.5 * (logdet[0] + np.linalg.slogdet(curvature)[1] + df * np.log(v @ S @ v))
        found.append(log_area + 0.5 * criterion)
    assert np.ptp(found) < 1e-9


EXACT = {
    "ar1": (
        "Reaction ~ Days + (1 | Subject)", "sleepstudy", {"residual": "ar1(Days | Subject)"},
        {"residual_rho": (0.6546819, 0.0899132), "sigma": (39.19265, 5.51798),
         "1|Subject_sigma": (31.25597, 11.01474), "Days": (10.458389, 1.391673),
         "Intercept": (252.94481, 11.527797)},
        -885.2788545,
    ),
    "strata": (
        "distance ~ age * Sex + (1 | Subject)", "Orthodont", {"dispersion": "~ Sex"},
        {"sigma_Sex[Female]": (-0.7409703, 0.1625010), "sigma": (1.6955730, 0.1749988),
         "1|Subject_sigma": (1.9228332, 0.3158648), "age": (0.7816475, 0.0947414),
         "age:SexFemale": (-0.3014126, 0.1092766)},
        -223.9619668,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", EXACT)
def test_exact_posteriors(case):
    """Means, standard deviations and the log evidence by quadrature over 64 nodes a dimension."""
    formula, name, how, exact, log_evidence = EXACT[case]
    posterior = nm.lmer(formula, nm.load_dataset(name), **how).sample(
        sampler="psis", draws=500, seed=1, progress=False
    )
    for name, (mean, sd) in exact.items():
        own = posterior.data["posterior"][name].to_numpy()
        assert abs(own.mean() - mean) < 4.5 * sd / np.sqrt(2000), name
        assert own.std() == pytest.approx(sd, rel=0.1), name
    evidence = posterior.log_evidence(draws=1000, seed=2)
    assert abs(evidence.log - log_evidence) < 4.5 * evidence.mcse


def test_saved_and_read(tmp_path):
    for case in ("us by", "slope"):
        posterior = draws(case, points=4)
        again = nm.load_bayesfit(posterior.save(tmp_path / f"{case}.zarr"))
        assert again.parameters().equals(posterior.parameters())
        assert again.simulate(2, seed=1).equals(posterior.simulate(2, seed=1))


def test_what_is_not_worked_out_is_refused():
    posterior = replace(draws("car1", points=4), priors=default_priors(model("car1").design))
    with pytest.raises(ResidualStructureError):
        posterior.with_log_likelihood()
    with pytest.raises(ResidualStructureError, match="draws of new responses"):
        posterior.predict(visits().head(3), type="prediction", draws=True)
    assert "log_likelihood" not in posterior.data


@pytest.mark.parametrize("case", ["slope", "car1 with strata", "us by"])
def test_rows_together_are_the_dense_normal(case):
    posterior, design = draws(case, points=2), model(case).design
    eta = fitted_rows(posterior.data, design).eta(slice(None))
    found = joint_log_likelihood(posterior.data, design)
    for s in range(2):
        R = residual_matrix(case, values(case, posterior, s)[0])
        expected = multivariate_normal(eta[s], R).logpdf(design.y)
        assert found[0, s] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("case", ["slope", "car1 with strata", "ar1 hom=False", "us by", "toep"])
def test_log_prior_is_that_of_the_sampler(case):
    """Its density over the Jacobian of what is reported, but for the halves of folded priors."""
    design, own = model(case).design, marginal_density(model(case).design)
    z = own.initial + 0.2 * np.random.default_rng(11).normal(size=(3, own.ndim))
    total, _, _ = own.coordinates.log_prior(z, own.coordinates.variables(z))
    power = {"residual_rho": correlation_unit(case)} if case.startswith("car1") else {}

    def reported(points: np.ndarray) -> np.ndarray:
        named = own.named(points)
        parts = [named[n] ** power.get(n, 1.0) for n in parameter_names(design).parameters]
        lower = [p[:, *np.tril_indices(p.shape[1], -1)] if p.ndim == 3 else p.reshape(len(p), -1)
                 for p in parts]  # fmt: skip
        return np.concatenate(lower, axis=1)

    steps = 1e-5 * np.eye(own.ndim)
    jacobian = [np.linalg.slogdet((reported(x + steps) - reported(x - steps)) / 2e-5)[1] for x in z]
    found = log_prior(draws(case, points=3).data, design, default_priors(design))
    assert list(found) == list(default_priors(design))
    difference = sum(found.values())[0] - (total - jacobian)
    np.testing.assert_allclose(difference, difference[0], atol=1e-7)


def test_draws_from_the_priors_are_those_of_the_table():
    tree = model("car1 with strata").prior_predictive(draws=3000, seed=1)
    ratio, rho = (tree["prior"][n].values[0] for n in ("sigma_arm[drug]", "residual_rho"))
    assert kstest(ratio, norm(0.0, 1.0).cdf).pvalue > 1e-3
    unit = correlation_unit("car1 with strata")
    assert unit > 1.0 and kstest(rho**unit, beta(2, 2).cdf).pvalue > 1e-3
    y = tree["prior_predictive"]["y"].values[0]
    drug = (visits().arm == "drug").to_numpy()
    mean = fitted_rows({"posterior": tree["prior"]}, model("car1 with strata").design)
    rest = np.log(np.abs(y - mean.eta(slice(None))))  # its logarithms, as ratios are lognormal
    assert abs(rest[:, drug].mean() - rest[:, ~drug].mean()) < 0.1
    assert rest[:, drug].var() - rest[:, ~drug].var() == pytest.approx(1.0, abs=0.3)


def correlation_unit(case: str) -> float:
    names = parameter_names(model(case).design).residual
    return correlation_parameters(names, pair_sums(model(case).design).model)[0][0].unit


@pytest.mark.parametrize("case", ["ar1 hom=False"])
def test_density_at_a_point_is_the_dense_normals(case):
    """Of a coefficient given the rest: the normal with precision X'V^-1 X and the prior's."""
    posterior, design = draws(case, points=2), model(case).design
    priors = default_priors(design)
    found = point_densities(lambda data: data["when"].values, posterior.data, design, priors)
    X = design.X - np.array([0.0, design.X[:, 1].mean()])
    mean = np.array([priors[n].prior["mu"] for n in ("Intercept", "when")])
    weight = np.diag([priors[n].prior["sigma"] ** -2.0 for n in ("Intercept", "when")])
    for s in range(2):
        W = np.linalg.inv(covariance(case, values(case, posterior, s)[0]))
        cov = np.linalg.inv(X.T @ W @ X + weight)
        centre = cov @ (X.T @ W @ design.y + weight @ mean)
        expected = norm.logpdf(0.0, centre[1], np.sqrt(cov[1, 1]))
        assert found.log_posterior.ravel()[s] == pytest.approx(expected, rel=1e-9)


def test_prediction_intervals_of_new_rows_are_their_strata():
    posterior, d = draws("strata", each=3000), visits()
    new = d.iloc[[0, 5]]
    at, _ = values("strata", posterior, 0)
    ratio = np.exp(at["sigma_arm[drug]"] * (new.arm == "drug").to_numpy())
    found = posterior.predict(new, type="prediction", re_form="~0", seed=1)
    np.testing.assert_allclose(found.std_error, at["sigma"] * ratio, rtol=0.06)
