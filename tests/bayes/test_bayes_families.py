"""Hierarchical PyMC models of all families: densities, names, priors, what they make of data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.parameterisation import parameterisation
from nestedmlm.errors import OptionError
from nestedmlm.families import Family, family_table, links
from nestedmlm.families.pymc_likelihood import PymcLikelihood

N = 40


def data_of(seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=N), np.arange(N) % 8
    eta = 0.4 + 0.3 * x + rng.normal(0, 0.4, 8)[g]
    mu, p = np.exp(eta), 1 / (1 + np.exp(-eta))
    trials = rng.integers(2, 9, N)
    return pd.DataFrame(
        {
            "x": x,
            "g": [f"g{i}" for i in g],
            "trials": trials,
            "k": rng.binomial(trials, p),
            "yes": rng.binomial(1, p),
            "count": rng.poisson(mu),
            "size": rng.gamma(4.0, mu / 4.0) + 0.01,
            "share": np.clip(rng.beta(5 * p, 5 * (1 - p)), 0.01, 0.99),
            "number": eta + rng.standard_t(4, N),
            "w": rng.uniform(0.5, 2.0, N),
            "often": rng.integers(1, 4, N),
            "o": rng.normal(0, 0.3, N),
        }
    )


# what a row's log-density is, by SciPy: y, mu, weights (trials), parameters
def _binomial(y, mu, w, v):
    if np.all(w == np.rint(w)):
        return stats.binom.logpmf(np.rint(y * w), w, mu)
    return w * stats.bernoulli.logpmf(y.astype(int), mu)  # weights that are no trials


def _gamma(y, mu, w, v):
    return stats.gamma.logpdf(y, v["alpha"] * w, scale=mu / (v["alpha"] * w))


def _wald(y, mu, w, v):
    lam = v["lam"] * w
    return 0.5 * np.log(lam / (2 * np.pi * y**3)) - lam * (y - mu) ** 2 / (2 * mu**2 * y)


def _t(y, mu, w, v):
    return stats.t.logpdf(y, v["nu"], mu, v["sigma"] / np.sqrt(w))


ROWS = {
    "binomial": _binomial,
    "poisson": lambda y, mu, w, v: w * stats.poisson.logpmf(y, mu),
    "negativebinomial": lambda y, mu, w, v: (
        w * stats.nbinom.logpmf(y, v["alpha"], v["alpha"] / (v["alpha"] + mu))
    ),
    "gamma": _gamma,
    "inverse_gaussian": _wald,
    "beta": lambda y, mu, w, v: w * stats.beta.logpdf(y, mu * v["kappa"], (1 - mu) * v["kappa"]),
    "gaussian": lambda y, mu, w, v: stats.norm.logpdf(y, mu, v["sigma"] / np.sqrt(w)),
    "t": _t,
}
CASES = [
    ("cbind(k, trials - k) ~ x + (x | g)", "binomial", "logit", None),
    ("yes ~ x + (1 | g)", "binomial", "probit", None),
    ("yes ~ x + (1 | g)", "binomial", "cloglog", None),
    ("k / trials ~ x + (1 | g)", "binomial", "cauchit", "trials"),
    ("count ~ x + offset(o) + (1 | g)", "poisson", "log", None),
    ("count ~ x + (1 | g)", "poisson", "sqrt", "often"),
    ("count ~ x + (1 | g)", "negativebinomial", "log", None),
    ("size ~ x + (1 | g)", "gamma", "log", "w"),
    ("size ~ x + (1 | g)", "inverse_gaussian", "log", "w"),
    ("share ~ x + (1 | g)", "beta", "logit", None),
    ("size ~ x + (1 | g)", "gaussian", "log", "w"),
    ("number ~ x + (1 | g)", "t", "identity", "w"),
    ("yes ~ x + (1 | g)", "binomial", "logit", "w"),
]


def model_of(formula, family, link, weights):
    data = data_of()
    if weights == "trials":
        formula, data = (
            formula.replace("k / trials", "part"),
            data.assign(part=data.k / data.trials),
        )
    return nm.Model(formula, data, family=family, link=link, weights=weights)


@pytest.mark.parametrize("case", CASES, ids=["-".join(map(str, c[1:])) for c in CASES])
def test_log_density_of_the_rows_is_scipys(case):
    from nestedmlm.bayes.sampling.density import density  # PyMC loads here

    model = model_of(*case)
    design, names = model.design, parameter_names(model.design)
    pymc_model = model.to_pymc(noncentered=True)
    target = density(pymc_model)
    rng = np.random.default_rng(5)
    point = 0.3 * rng.normal(size=target.ndim)
    value = target.to_values(point)
    beta = np.array([value[n] for n in names.fixed])
    eta = design.X @ beta + (0.0 if design.offset is None else design.offset)
    for term, own in zip(design.terms, names.terms, strict=True):
        codes = design.factors[term.factor].codes
        for j, name in enumerate(own.variables):
            eta = eta + term.X[:, j] * value[name][codes]
    beside = {n: float(value[n]) for n in names.beside}
    w = np.ones(design.n) if design.weights is None else design.weights
    mu = design.family.link.mu(eta)
    rows = ROWS[case[1]](design.y, mu, w, beside)
    # the density without its rows: priors of everything, by PyMC itself
    observed = [v for v in (*pymc_model.observed_RVs, *pymc_model.potentials)]
    assert [v.name for v in observed] == [design.formula.response_text.replace("/", " per ")]
    total = target.logp(point)
    without = pymc_model.logp(vars=pymc_model.free_RVs).eval(
        dict(zip(pymc_model.value_vars, target.split(point), strict=True)), mode="FAST_COMPILE"
    )
    assert total - float(without) == pytest.approx(rows.sum(), rel=1e-8)
    # the same rows as the posterior's own log-likelihood has them
    from nestedmlm.posterior.row_responses import FamilyResponses

    own = FamilyResponses(
        family=design.family,
        values={n: np.full((1, 1), v) for n, v in beside.items()},
        weights=design.weights,
    )
    found = own.log_density(design.y, eta[None], slice(None))[0]
    np.testing.assert_allclose(found, rows, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=["-".join(map(str, c[1:])) for c in CASES])
def test_draws_of_responses_have_the_mean_and_the_log_densitys_spread(case):
    from nestedmlm.posterior.row_responses import FamilyResponses

    design = model_of(*case).design
    family = design.family
    values = {"sigma": 0.4, "nu": 6.0, "alpha": 3.0, "kappa": 4.0, "lam": 2.0}
    draws = 20_000
    own = FamilyResponses(
        family=family,
        values={n: np.full((draws, 1), v) for n, v in values.items()},
        weights=None if design.weights is None else design.weights[:2],
    )
    eta = np.full((draws, 2), 0.6)
    rng = np.random.default_rng(1)
    y = own.draw(eta, slice(0, 2), rng)
    mean = family.link.mu(eta[0])
    error = y.std(axis=0) / np.sqrt(draws)
    assert np.all(np.abs(y.mean(axis=0) - mean) < 5 * error)
    # Gibbs: no other predictor has a higher mean log-density than the one that made the draws
    at = [own.log_density(y[:, :1], eta[:, :1] + d, slice(0, 1)).mean() for d in (-0.2, 0, 0.2)]
    assert at[1] > max(at[0], at[2])


def test_names_are_bambis():
    binomial = model_of(*CASES[0])
    model = binomial.to_pymc()
    names = {v.name for v in (*model.free_RVs, *model.deterministics)}
    assert {"Intercept", "x", "1|g", "x|g", "1|g_sigma", "x|g_sigma", "p"} <= names
    counts = model_of(*CASES[6]).to_pymc()
    assert {"mu", "alpha", "1|g_offset"} <= {
        v.name for v in (*counts.free_RVs, *counts.deterministics)
    }
    # a predictor that has a name of these keeps out of the way
    data = data_of().rename(columns={"x": "p"})
    clash = nm.Model("yes ~ p + (1 | g)", data, family="binomial")
    assert list(clash.priors) == ["Intercept", "p_", "1|g_sigma"]


def test_priors_are_on_the_scale_of_the_link_and_say_their_rule():
    data = data_of()
    priors = nm.Model("count ~ x + (x | g)", data, family="negativebinomial").priors
    assert priors["Intercept"].prior["mu"] == pytest.approx(np.log(data["count"].mean()))
    assert priors["Intercept"].prior["sigma"] == 2.5
    assert priors["x"].prior["sigma"] == pytest.approx(2.5 / data["x"].std())
    rms = np.sqrt((data["x"] ** 2).mean())
    assert priors["x|g_sigma"].prior["sigma"] == pytest.approx(2.5 / rms)
    assert priors["alpha"].prior == nm.Prior("HalfCauchy", beta=1)
    rules = [row.rule for row in priors.values()]
    assert rules == [
        "log mean y, 2.5, at the means of the predictors", "0, 2.5 / sd x", "2.5", "2.5 / rms x",
        "LKJ(2): correlations near -1 and 1 less likely", "by itself",
    ]  # fmt: skip
    # with an offset the intercept is that of rates
    rates = nm.Model("count ~ x + offset(o) + (1 | g)", data, family="poisson").priors
    rate = data["count"].mean() / np.exp(data["o"]).mean()
    assert rates["Intercept"].prior["mu"] == pytest.approx(np.log(rate))
    # links whose unit is the response's take it from the data; a robust model as a linear one
    linear = nm.Model("number ~ x + (1 | g)", data).priors
    robust = nm.Model("number ~ x + (1 | g)", data, family="t").priors
    for name in ("Intercept", "x", "1|g_sigma", "sigma"):
        assert robust[name].prior == linear[name].prior
    assert robust["nu"].prior == nm.Prior("Gamma", alpha=2, beta=0.1)
    with pytest.raises(OptionError, match="a positive parameter"):
        priors.replace({"alpha": nm.Prior("Normal", mu=0, sigma=1)})


def test_centring_goes_by_the_information_of_a_level():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(np.arange(6), 60)})
    data["yes"] = rng.binomial(1, 0.5, 360)
    data["many"] = rng.poisson(30, 360)
    (few,) = parameterisation(nm.Model("yes ~ 1 + (1 | g)", data, family="binomial").design)
    (much,) = parameterisation(nm.Model("many ~ 1 + (1 | g)", data, family="poisson").design)
    assert not few.centred and much.centred  # 60 rows of 0 and 1 are worth about 11 units
    assert few.per_level < 20 < 1000 < much.per_level
    assert "units of information" in few.reason


def test_a_registered_family_brings_its_own_likelihood():
    from nestedmlm.bayes.sampling.density import density  # PyMC loads here

    plain = nm.families.poisson()
    kept = {f: getattr(plain, f) for f in Family.__dataclass_fields__}

    def doubled(rows):
        return "Poisson", {"mu": 2.0 * rows.mu}

    def make(link="log"):
        made = kept | {"name": "doubled", "link": links.LINKS[link]}
        return Family(**(made | {"pymc": PymcLikelihood(distribution=doubled)}))

    def silent(link="log"):
        return Family(**(kept | {"name": "silent", "pymc": None}))

    with family_table.temporary_families():
        nm.families.register_family("doubled", make)
        nm.families.register_family("silent", silent)
        model = nm.Model("count ~ x + (1 | g)", data_of(), family="doubled").to_pymc()
        plainly = nm.Model("count ~ x + (1 | g)", data_of(), family="poisson").to_pymc()
        one, other = density(model), density(plainly)
        at = other.initial
        values = other.to_values(at)
        data = data_of()
        mu = np.exp(values["Intercept"] + values["x"] * data["x"])
        shift = (
            stats.poisson.logpmf(data["count"], 2 * mu) - stats.poisson.logpmf(data["count"], mu)
        ).sum()
        assert one.logp(at) - other.logp(at) == pytest.approx(shift)
        with pytest.raises(OptionError, match="does not say how it is written in PyMC"):
            nm.Model("count ~ x + (1 | g)", data_of(), family="silent").to_pymc()


def test_a_robust_model_is_not_fitted_by_likelihood():
    model = nm.Model("number ~ x + (1 | g)", data_of(), family="t")
    with pytest.raises(OptionError, match=r"nm\.pymc_glmer\(formula, data, family='t'\)"):
        model.fit()
    with pytest.raises(OptionError, match="cannot be integrated out exactly"):
        model.sample(marginal=True)
    with pytest.raises(OptionError, match="is of generalized models"):
        nm.Model("number ~ x + (1 | g)", data_of()).sample(marginal="laplace")
    known = nm.Model("number ~ x + (1 | g)", data_of(), family=nm.families.student_t(nu=4))
    assert list(known.priors) == ["Intercept", "x", "1|g_sigma", "sigma"]
