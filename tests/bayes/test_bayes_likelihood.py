"""The marginal likelihood: its gradient, in Numba, and with a new response."""

from __future__ import annotations

import numpy as np
import pytensor
import pytest
from designs import FORMULAS, central_difference, design
from pytensor.gradient import NullTypeGradError

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_likelihood import contrast
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.likelihood import marginal_likelihood
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.priors import default_priors
from nestedmlm.bayes.model.response import set_response
from nestedmlm.bayes.sampling.density import density
from nestedmlm.errors import DataError
from nestedmlm.statistics.crossproducts import cross_products

CASES = [(kind, bool(i % 2)) for i, kind in enumerate(FORMULAS)]


def some_inputs(of, seed=0):
    """Statistics, and any parameters with maps that mix them."""
    rng = np.random.default_rng(seed)
    stats = cross_products(of)
    size = stats.parts[-1].flat.stop
    P = rng.normal(size=(size, size + 1))
    C = np.vstack([rng.normal(size=(of.p, of.p)), np.zeros(of.p)])
    entries, beta = rng.normal(size=size + 1), rng.normal(size=of.p)
    return stats, (entries, beta, 1.3, P, C, contrast(stats))


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_gradient_is_that_of_the_value(kind, weighted):
    stats, (entries, beta, sigma, *maps) = some_inputs(design(kind, weighted=weighted))
    value, *bars = marginal_likelihood(stats, entries, beta, sigma, *maps)
    assert marginal_likelihood(stats, entries, beta, sigma, *maps, False)[0] == value
    x = np.concatenate([entries, beta, [sigma]])
    cuts = [len(entries), len(entries) + len(beta)]

    def at(z):
        one, two, three = np.split(z, cuts)
        return marginal_likelihood(stats, one, two, float(three[0]), *maps, False)[0]

    numeric = central_difference(at, x, 1e-4)
    size = np.max(np.abs(numeric))
    np.testing.assert_allclose(np.hstack(bars), numeric, rtol=1e-6, atol=1e-7 * size)


def test_at_singular_factors():
    stats, (entries, *rest) = some_inputs(design("crossed"))
    value, entries_bar, *_ = marginal_likelihood(stats, np.zeros_like(entries), *rest)
    assert np.isfinite(value)
    assert not entries_bar.any()  # the density is even in every column of T
    with np.errstate(all="ignore"), pytest.raises(np.linalg.LinAlgError):
        marginal_likelihood(stats, np.full_like(entries, np.inf), *rest)


def test_no_second_derivatives():
    model = marginal_model(design("one factor"))
    inputs, logp = model.value_vars, model.logp()
    gradient = pytensor.grad(logp, inputs)
    with pytest.raises(NullTypeGradError, match="no second derivatives"):
        pytensor.grad(sum(gradient), inputs)


@pytest.mark.parametrize("form", [marginal_model, hierarchical_model])
def test_a_new_response(form):
    of = design("slope", weighted=True, offset=True)
    priors = {name: row.prior for name, row in default_priors(of).items()}
    model = form(of, priors)
    den = density(model)
    y = np.random.default_rng(1).normal(size=of.n)
    set_response(model, of, y)
    fresh = density(form(of.with_response(y), priors))
    x = den.initial + 0.1
    assert den.logp_grad(x)[0] == pytest.approx(fresh.logp_grad(x)[0], rel=1e-12)
    np.testing.assert_allclose(den.logp_grad(x)[1], fresh.logp_grad(x)[1], rtol=1e-9, atol=1e-9)
    for wrong in (y[1:], np.where(y > 0, np.nan, y)):
        with pytest.raises(DataError, match=f"{of.n} finite numbers"):
            set_response(model, of, wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*object mode:UserWarning")
def test_numba_calls_the_same_density():
    model = marginal_model(design("crossed"))
    den = density(model)
    inputs, logp = model.value_vars, model.logp()
    native = pytensor.function(inputs, [logp, *pytensor.grad(logp, inputs)], mode="NUMBA")
    x = den.initial + 0.1
    value, *gradient = native(*den.split(x))
    expected = den.logp_grad(x)
    assert value == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(np.ravel(gradient), expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*object mode:UserWarning")
def test_plain_pymc_and_nutpie_sample_a_marginal_model():
    import nutpie
    import pymc as pm

    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    model = fit.to_pymc(marginal=True)
    compiled = nutpie.compile_pymc_model(model)
    for draws in (
        nutpie.sample(compiled, draws=1000, tune=300, chains=2, seed=1, progress_bar=False),
        pm.sample(1000, tune=300, chains=2, cores=1, random_seed=1, progressbar=False, model=model),
    ):
        posterior = nm.BayesFit.from_pymc(draws, fit, model=model)
        table = nm.compare(fit, posterior).table
        assert posterior.run.form == "marginal" and "1|Subject" in posterior.data["posterior"]
        assert abs(posterior.fixef["Days"] - fit.fixef["Days"]) < 0.5 * fit.bse["Days"], table
