"""The marginal likelihood against quadrature, and models that it prefers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_expit
from scipy.stats import halfnorm, multivariate_normal

import nestedmlm as nm
from nestedmlm.bayes.density.laplace_density import laplace_density
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.errors import OptionError
from nestedmlm.posterior.evidence import evidence
from nestedmlm.posterior.laplace_correction import log_corrections


def quadrature(model, given=None):
    """log p(y) of ``y ~ 1 + (1 | g)``: the intercept in closed form, both SDs on a grid."""
    of, priors = model.design, resolve_priors(model.design, given)
    own = priors["Intercept"].prior
    name = next(n for n in priors if n.endswith("|Batch_sigma"))
    group, sigma = (priors[n].prior["sigma"] for n in (name, "sigma"))
    codes = of.factors[0].codes
    same = (codes[:, None] == codes).astype(float)
    intercept = own["sigma"] ** 2 * np.ones((of.n, of.n))
    a, b = np.linspace(0.0, 4.0 * group, 81), np.linspace(0.35, 2.2, 61) * model.fit().sigma
    logs = [
        [
            multivariate_normal(
                np.full(of.n, own["mu"]),
                s**2 * np.eye(of.n) + t**2 * same + intercept,
            ).logpdf(of.y)
            + halfnorm(scale=group).logpdf(t)
            + halfnorm(scale=sigma).logpdf(s)
            for s in b
        ]
        for t in a
    ]
    top = np.max(logs)
    return top + np.log(np.trapezoid(np.trapezoid(np.exp(logs - top), b, axis=1), a))


@pytest.mark.parametrize("given", [None, {"1|Batch_sigma": nm.Prior("HalfNormal", sigma=20.0)}])
def test_it_is_the_integral(given):
    model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    found = evidence(model.design, resolve_priors(model.design, given), draws=8000, seed=1)
    assert found.khat < 0.7 and found.mcse < 0.02
    assert found.log == pytest.approx(quadrature(model, given), abs=4.0 * found.mcse + 0.003)


def test_penicillin():
    """-174.488 by quadrature over the three standard deviations; crossed factors."""
    data = nm.load_dataset("Penicillin")
    model = nm.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    found = [evidence(model.design, resolve_priors(model.design), draws=4000, seed=s)
             for s in range(3)]  # fmt: skip
    error = np.sqrt(np.mean([one.mcse**2 for one in found]) / 3)
    assert np.mean([one.log for one in found]) == pytest.approx(-174.488, abs=4.0 * error)


def test_priors_that_are_not_normal_and_correlations_keep_the_constants():
    """Twice the data's units: densities of y shrink by the factor to the power of n."""
    data = nm.load_dataset("sleepstudy")
    given = {"Days": nm.Prior("Cauchy", alpha=0.0, beta=10.0)}
    twice = {"Days": nm.Prior("Cauchy", alpha=0.0, beta=20.0)}
    logs = []
    for factor, own in ((1.0, given), (2.0, twice)):
        frame = data.assign(Reaction=factor * data["Reaction"])
        of = nm.Model("Reaction ~ Days + (Days | Subject)", frame).design
        logs.append(evidence(of, resolve_priors(of, own), draws=4000, seed=1))
    shift = logs[0].log - logs[1].log
    assert shift == pytest.approx(180 * np.log(2.0), abs=5.0 * np.hypot(*[e.mcse for e in logs]))


def test_a_difference_is_a_bayes_factor():
    """Groups that differ: the model with them is preferred, and by more in more data."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 6)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=48)})
    frame["y"] = 2.0 * frame["x"] + rng.normal(size=8)[g] + rng.normal(size=48)
    with_x = nm.Model("y ~ x + (1 | g)", frame).sample(sampler="psis", draws=250, seed=1)
    without = with_x.update(". ~ . - x")
    assert with_x.log_evidence(seed=1).log > without.log_evidence(seed=1).log + 10.0


CROSSED = {
    "Intercept": nm.Prior("Normal", mu=0.5, sigma=1.0),
    "1|f_sigma": nm.Prior("HalfNormal", sigma=1.5),
    "1|h_sigma": nm.Prior("HalfNormal", sigma=1.0),
}
F, H, Y = np.array([[0, 0, 1, 1, 0, 1, 0], [0, 1, 0, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0]])


def crossed():
    """Zeros and ones, for which the Laplace approximation is far off."""
    data = pd.DataFrame({"y": Y, "f": F, "h": H})
    return nm.Model("y ~ 1 + (1 | f) + (1 | h)", data, family="binomial").design


def by_simulation(size, beta=None, s1=None, s2=None):
    """log p(y): the mean probability of the data at draws from the priors."""
    rng = np.random.default_rng(2)
    beta = rng.normal(0.5, 1.0, size) if beta is None else beta
    s1 = np.abs(rng.normal(0.0, 1.5, size)) if s1 is None else s1
    s2 = np.abs(rng.normal(0.0, 1.0, size)) if s2 is None else s2
    u, v = rng.standard_normal((2, 2, size))
    sign = np.where(Y == 1, 1.0, -1.0)[:, None]
    return np.log(np.exp(log_expit(sign * (beta + s1 * u[F] + s2 * v[H])).sum(axis=0)).mean())


def test_the_laplace_approximation_is_corrected_without_bias():
    """At given parameters; the approximation itself is 0.17 off."""
    density = laplace_density(crossed(), resolve_priors(crossed(), CROSSED))
    z = np.array([0.0, 4.0, 1.0])
    values = {name: np.ravel(v)[0] for name, v in density.named(z[None]).items()}
    exact = by_simulation(200_000, *(values[name] for name in CROSSED))
    logs = log_corrections(density, np.repeat(z[None], 200, axis=0), seed=1)
    approximate = -0.5 * density.approximation(z)[1].value
    assert approximate == pytest.approx(exact - 0.17, abs=0.03)
    assert approximate + np.log(np.mean(np.exp(logs))) == pytest.approx(exact, abs=0.06)


@pytest.mark.slow
def test_crossed_zeros_and_ones():
    found = evidence(crossed(), resolve_priors(crossed(), CROSSED), draws=2000, seed=1)
    assert found.khat < 0.7 and found.mcse < 0.05
    # -5.185; of the Laplace approximation -5.258
    assert found.log == pytest.approx(by_simulation(1_000_000), abs=0.05)


def test_improper_priors_have_none():
    model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    flat = resolve_priors(model.design, {"Intercept": nm.Prior("Flat")})
    with pytest.raises(OptionError, match="'Intercept' is Flat"):
        evidence(model.design, flat, draws=1000, seed=1)
    called = resolve_priors(model.design, {"Intercept": lambda name: None})
    with pytest.raises(OptionError, match="is a function"):
        evidence(model.design, called, draws=1000, seed=1)
