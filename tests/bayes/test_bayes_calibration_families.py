"""Simulation-based calibration of generalized models: Laplace, importance weights, hierarchical.

Truth and data are made with NumPy alone, as in `test_bayes_calibration_psis`, whose p-values these
are. The quick slice is of the densities, by designs that show each mistake in a few dozen
simulations: many coefficients, where the posterior is nearly normal, for a tempered likelihood;
little data, where draws from the priors can be weighed, for priors. The slow part has the samplers:
importance sampling, and the hierarchical form by NUTS, which notices the same mistakes.
Linear models stand beside them there.

The Laplace approximation is not exact, so its designs have trials or counts: with a few rows of 0
and 1 in a group its error shows (`test_the_laplace_approximation_alone_is_another_posterior`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special
from test_bayes_calibration_psis import DRAWS, LEAST_P, p_values

import nestedmlm as nm
from nestedmlm.bayes.density.laplace_density import LaplaceDensity, laplace_density
from nestedmlm.bayes.density.prior_draws import draw_prior
from nestedmlm.bayes.model.centring import Centring
from nestedmlm.bayes.model.counted import counted
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.names import parameter_names, response_data_name
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.sampling.conditional import draw_laplace_effects
from nestedmlm.bayes.sampling.density import reported_names
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity, weighted_density
from nestedmlm.errors import SamplingError
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood

SD = 0.8  # of the half-normal priors of standard deviations
PRIORS = {
    "fixed effect": nm.Prior("Normal", mu=0.5, sigma=0.7),
    "standard deviation": nm.Prior("HalfNormal", sigma=SD),
    "correlation matrix": nm.Prior("LKJ", eta=1.5),
}
SIMULATIONS = 25  # of a quick test
FROM_PRIORS = 120  # draws
MANY = 60  # of a slow one
MORE = 90  # of one whose mistake is hard to see
PROPOSALS = (250, 1000, 4000)  # as few as will do


@dataclass(frozen=True, kw_only=True)
class Case:
    """A design: formula, family (none: linear), rows of each group, groups, trials."""

    formula: str
    family: str | None
    groups: int
    rows: int
    trials: int | None = None


CASES = {
    # the likelihood alone, in many directions
    "coefficients": Case(formula="y ~ 0 + b + (1 | g)", family="binomial", groups=6, rows=16,
                         trials=10),
    # priors and likelihood weigh alike, or the priors more
    "little": Case(formula="y ~ x + (1 | g)", family="binomial", groups=3, rows=2, trials=2),
    "slopes": Case(formula="y ~ x + (x | g)", family="binomial", groups=8, rows=6, trials=5),
    "zeros and ones": Case(formula="y ~ x + (1 | g)", family="binomial", groups=8, rows=5),
    "counts": Case(formula="y ~ x + (x || g)", family="poisson", groups=8, rows=5),
    "slopes, linear": Case(formula="y ~ x + (x | g)", family=None, groups=8, rows=6),
    "coefficients, linear": Case(formula="y ~ 0 + b + (1 | g)", family=None, groups=6, rows=16),
    "little, linear": Case(formula="y ~ x + (1 | g)", family=None, groups=3, rows=2),
}  # fmt: skip


@cache
def model_of(kind: str) -> nm.Model:
    """The design that every response is put into; the mean of x is far from zero."""
    case, rng = CASES[kind], np.random.default_rng(20180418)
    g = np.repeat(np.arange(case.groups), case.rows)
    frame = pd.DataFrame({"g": g})
    frame["x"] = rng.normal(1.5, 0.7, len(g))
    frame["b"] = pd.Categorical([f"b{i % 16:02d}" for i in range(len(g))])
    frame["y"] = rng.integers(0, 2, len(g)) if case.family == "binomial" else 1 + g % 3
    weights = None if case.trials is None else np.full(len(g), float(case.trials))
    return nm.Model(case.formula, frame, family=case.family, weights=weights)


def priors_of(design: Any, **changed: Any) -> Any:
    defaults = resolve_priors(design)
    return defaults.replace(
        {name: changed.get(row.role, PRIORS[row.role]) for name, row in defaults.items()}
    )


def predictor(design: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    """Of the rows, one row for each of the values' rows."""
    names = parameter_names(design)
    eta = np.column_stack([values[name] for name in names.fixed]) @ design.X.T
    for term, own in zip(design.terms, names.terms, strict=True):
        codes = design.factors[term.factor].codes
        for j, name in enumerate(own.variables):
            eta = eta + values[name][:, codes] * term.X[:, j]
    return eta


def trials(design: Any) -> np.ndarray:
    return np.ones(design.n) if design.weights is None else design.weights


def log_likelihood(design: Any, values: dict[str, np.ndarray], y: np.ndarray) -> np.ndarray:
    """Of the rows given the random effects, without constants."""
    eta = predictor(design, values)
    if design.family is None:
        sigma = values["sigma"]
        return -0.5 * ((y - eta) ** 2).sum(axis=1) / sigma**2 - design.n * np.log(sigma)
    if design.family.name == "binomial":
        own = y * special.log_expit(eta) + (1.0 - y) * special.log_expit(-eta)
        return (trials(design) * own).sum(axis=1)
    return (y * eta - np.exp(eta)).sum(axis=1)


def simulate(design: Any, rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    """Draw parameters from the priors, effects and a response from the parameters: NumPy alone."""
    names = parameter_names(design)
    truth = {name: rng.normal(0.5, 0.7, 1) for name in names.fixed}
    if "Intercept" in truth:  # its prior is that of the intercept at the mean of x
        truth["Intercept"] = truth["Intercept"] - truth["x"] * design.X[:, 1].mean()
    for term, own in zip(design.terms, names.terms, strict=True):
        sd = np.array([abs(rng.normal(0.0, SD)) for _ in own.sds])
        truth |= {name: sd[[j]] for j, name in enumerate(own.sds)}
        z = rng.standard_normal((len(sd), len(design.factors[term.factor].levels)))
        if own.correlation is not None:
            rho = 2.0 * rng.beta(1.5, 1.5) - 1.0
            truth[own.correlation] = np.array([rho])
            z[1] = rho * z[0] + np.sqrt(1.0 - rho**2) * z[1]
        truth |= {name: sd[j] * z[[j]] for j, name in enumerate(own.variables)}
    truth |= {name: np.abs(rng.normal(0.0, SD, 1)) for name in names.beside}
    eta = predictor(design, truth)[0]
    if design.family is None:
        return truth, eta + truth["sigma"] * rng.standard_normal(design.n)
    mu = np.exp(eta)
    if design.family.name == "binomial":
        n = trials(design).astype(int)
        return truth, rng.binomial(n, mu / (1.0 + mu)) / n
    return truth, rng.poisson(np.minimum(mu, 1e9)).astype(float)


def ranks(
    design: Any, truth: dict[str, Any], draws: dict[str, np.ndarray], y: np.ndarray
) -> dict[str, int]:
    """Rank of every true quantity among its draws; of the effects, that of the first level."""
    names = parameter_names(design)
    draws = dict(draws)
    for own in names.terms:
        if own.correlation is not None:
            draws[own.correlation] = draws[own.correlation][:, 0]
    single = [*names.fixed, *names.beside, *(sd for own in names.terms for sd in own.sds)]
    single += [own.correlation for own in names.terms if own.correlation]
    found = {name: np.sum(draws[name] < truth[name]) for name in single}
    effects = [name for own in names.terms for name in own.variables]
    found |= {name: np.sum(draws[name][:, 0] < truth[name][0, 0]) for name in effects}
    at_truth = log_likelihood(design, truth, y)
    found["log-likelihood"] = np.sum(log_likelihood(design, draws, y) < at_truth)
    return found


# --- the two marginal forms ----------------------------------------------------------------------
def with_response(den: LaplaceDensity, design: Any) -> LaplaceDensity:
    own = LaplaceLikelihood(model=make_model(design, design.family))
    changed = {"design": design} if isinstance(den, WeightedDensity) else {}
    return replace(den, likelihood=own, **changed)


def by_importance(den: Any, rng: np.random.Generator) -> np.ndarray:
    """The sampler itself, of more proposals where it refuses fewer."""
    peak = find_peak(den)
    ready = den.ready(peak.x) if isinstance(den, WeightedDensity) else den
    for proposals in PROPOSALS:
        try:
            seed = int(rng.integers(2**31))
            points = psis_sample(ready, peak, draws=proposals, seed=seed).points
        except SamplingError:
            continue
        return points[rng.choice(len(points), DRAWS, replace=False)]
    raise SamplingError("importance sampling refuses this posterior")


def by_normal(den: Any, rng: np.random.Generator) -> np.ndarray:
    """The normal approximation at the mode, which much data make good."""
    peak = find_peak(den)
    return peak.x + rng.standard_normal((DRAWS, den.ndim)) @ peak.root.T


def by_priors(den: Any, rng: np.random.Generator) -> np.ndarray:
    """Draws from the priors weighed by the likelihood, which little data make good."""
    x = np.column_stack([draw_prior(c.prior, FROM_PRIORS, rng) for c in den.coordinates.each])
    z = den.coordinates.points(x)
    prior, _, _ = den.coordinates.log_prior(z, den.coordinates.variables(z))
    log_w = den.logp_points(z) - prior
    w = np.exp(log_w - log_w.max())
    return z[rng.choice(len(z), DRAWS, p=w / w.sum())]


def draws_of(den: Any, points: np.ndarray, design: Any, rng: np.random.Generator) -> dict[str, Any]:
    draws = den.named(points)
    if isinstance(den, WeightedDensity):  # its effects go with the points
        return draws
    return draws | draw_laplace_effects(design, draws, rng)


FORMS = {
    "laplace": laplace_density,
    "psis": lambda design, priors: weighted_density(design, priors, seed=1),
}


def marginal_ranks(
    form: str,
    kind: str,
    simulations: int,
    *,
    seed: int,
    draw: Callable[[Any, np.random.Generator], np.ndarray] = by_importance,
    edit: Callable[[Any], Any] = lambda den: den,
    changed: dict[str, nm.Prior] | None = None,
) -> pd.DataFrame:
    design, rng = model_of(kind).design, np.random.default_rng(seed)
    prepared = edit(FORMS[form](design, priors_of(design, **(changed or {}))))
    rows = []
    for _ in range(simulations):
        truth, y = simulate(design, rng)
        own = design.with_response(y)
        den = with_response(prepared, own)
        rows.append(ranks(own, truth, draws_of(den, draw(den, rng), own, rng), y))
    return pd.DataFrame(rows)


class Tempered:
    """The same density with its likelihood to the power of 0.8."""

    def logp_grad(self, z):
        value, gradient = super().logp_grad(z)
        if not np.isfinite(value):
            return value, gradient
        prior, slopes, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        return prior + 0.8 * (value - prior), slopes + 0.8 * (gradient - slopes)

    def logp_points(self, z):
        prior, _, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        return prior + 0.8 * (super().logp_points(z) - prior)


class TemperedLaplace(Tempered, LaplaceDensity):
    """Of the Laplace approximation."""


def temper(den: Any) -> Any:
    return TemperedLaplace(**{f.name: getattr(den, f.name) for f in fields(den)})


def miscentre(den: Any) -> Any:
    """The intercept's prior is taken as that of the intercept where predictors are zero."""
    means = np.zeros(len(den.centring.means))
    R = den.likelihood.model.products.empty.R_x
    return replace(den, G=R, centring=Centring(intercept=None, means=means))


WIDER = {"standard deviation": nm.Prior("HalfNormal", sigma=2.0 * SD)}
MISTAKES = {
    "tempered": ("coefficients", {"edit": temper}),
    "wider": ("little", {"changed": WIDER}),
    "miscentred": ("little", {"edit": miscentre}),
}
# how few simulations of a form show a mistake
QUICK = [
    ("laplace", by_normal, "tempered"),
    ("psis", by_priors, "wider"),
    ("psis", by_priors, "miscentred"),
]


def least_p(ranks: pd.DataFrame) -> tuple[float, str]:
    """The smallest p-value, times the number of tests (Bonferroni)."""
    p = p_values(ranks)
    return p.to_numpy().min() * p.size, p.to_string()


@pytest.mark.parametrize(
    ("form", "draw", "kind"), {(f, draw, MISTAKES[m][0]): None for f, draw, m in QUICK}
)
def test_few_simulations_are_calibrated(form, draw, kind):
    """The same simulations that find each mistake of the next test."""
    p, table = least_p(marginal_ranks(form, kind, SIMULATIONS, seed=1, draw=draw))
    assert p > LEAST_P, table


@pytest.mark.parametrize(("form", "draw", "mistake"), QUICK)
def test_few_simulations_notice(form, draw, mistake):
    kind, options = MISTAKES[mistake]
    p, table = least_p(marginal_ranks(form, kind, SIMULATIONS, seed=1, draw=draw, **options))
    assert p < LEAST_P, table


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kind"), [("laplace", "counts"), ("psis", "zeros and ones")])
def test_the_sampler_is_calibrated(form, kind):
    p, table = least_p(marginal_ranks(form, kind, MANY, seed=1))
    assert p > LEAST_P, table


# --- the hierarchical form -----------------------------------------------------------------------
def plain(model: Any, design: Any) -> None:
    """No mistake."""


def temper_rows(model: Any, design: Any) -> None:
    import pymc as pm

    with model:
        rows = model.observed_RVs[0]
        pm.Potential("tempered", -0.2 * pm.logp(rows, model.rvs_to_values[rows]).sum())


def miscentre_prior(model: Any, design: Any) -> None:
    import pymc as pm

    own = pm.Normal.dist(0.5, 0.7)
    with model:
        wrong, right = model["Intercept"], model["Intercept_centred"]
        pm.Potential("miscentred", pm.logp(own, wrong) - pm.logp(own, right))


HIERARCHICAL = {
    f"{mistake}{of}": (kind + of, options)
    for of in ("", ", linear")
    for mistake, kind, options in [
        ("tempered", "coefficients", {"edit": temper_rows}),
        ("wider", "little", {"changed": WIDER}),
        ("miscentred", "little", {"edit": miscentre_prior}),
    ]
}


def hierarchical_ranks(
    kind: str, simulations: int, *, seed: int, edit: Any = plain, changed: Any = None
) -> pd.DataFrame:
    """Compile once, with a response that can be set, and sample for every response."""
    import nutpie

    design, rng = model_of(kind).design, np.random.default_rng(seed)
    model = hierarchical_model(design, priors_of(design, **(changed or {})), noncentered=True)
    edit(model, design)
    compiled = nutpie.compile_pymc_model(model, var_names=reported_names(model))
    names, rows = parameter_names(design), []
    for i in range(simulations):
        truth, y = simulate(design, rng)
        data = {response_data_name(design): counted(design, y)}
        tree = nutpie.sample(compiled.with_data(**data), draws=10 * DRAWS, tune=400, chains=1,
                             cores=1, seed=seed + i, target_accept=0.9, progress_bar=False,
                             save_warmup=False)  # fmt: skip
        post = tree["posterior"]
        draws = {v: post[v].to_numpy()[0, 9::10] for v in [*names.parameters, *names.effects]}
        rows.append(ranks(design, truth, draws, y))
    return pd.DataFrame(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", sorted({"slopes", "slopes, linear"} | {k for k, _ in HIERARCHICAL.values()})
)
def test_the_hierarchical_form_is_calibrated(kind):
    p, table = least_p(hierarchical_ranks(kind, MORE, seed=2))
    assert p > LEAST_P, table


@pytest.mark.slow
@pytest.mark.parametrize("mistake", HIERARCHICAL)
def test_the_hierarchical_form_shows(mistake):
    kind, options = HIERARCHICAL[mistake]
    p, table = least_p(hierarchical_ranks(kind, MORE, seed=2, **options))
    assert p < LEAST_P, table


# --- the robust model ----------------------------------------------------------------------------
@pytest.mark.slow
def test_a_robust_model_is_recovered_by_nuts_at_its_defaults():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(30), 20)
    x = rng.normal(size=len(g))
    truth = {"Intercept": 2.0, "x": -0.7, "1|g_sigma": 0.6, "sigma": 1.1, "nu": 3.5}
    b = rng.normal(0.0, truth["1|g_sigma"], 30)
    y = 2.0 - 0.7 * x + b[g] + truth["sigma"] * rng.standard_t(truth["nu"], len(g))
    model = nm.Model("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}), family="t")
    found = model.sample(seed=1, progress=False)
    assert found.divergences == 0
    table = found.parameters().set_index("variable")
    z = {n: (table.loc[n, "estimate"] - v) / table.loc[n, "std_error"] for n, v in truth.items()}
    assert max(map(abs, z.values())) < 3.0, z
    assert (table["r_hat"] < 1.01).all()
    shrunk = found.ranef()["estimate"].to_numpy()
    assert np.corrcoef(shrunk, b)[0, 1] > 0.85
