"""The marginal likelihood's kernel: against the elimination, in Numba, and with a new response."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytensor
import pytest
from designs import FORMULAS, design
from pytensor.gradient import NullTypeGradError

import nestedmlm as nm
from nestedmlm.bayes.model import numba_dispatch
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.likelihood import MarginalLikelihood, by_lapack
from nestedmlm.bayes.model.marginal import contrast, marginal_model
from nestedmlm.bayes.model.marginalkernel import marginal_likelihood
from nestedmlm.bayes.model.priors import default_priors
from nestedmlm.bayes.model.response import set_response
from nestedmlm.bayes.sampling.density import density
from nestedmlm.errors import DataError
from nestedmlm.statistics.crossproducts import cross_products

CASES = [(kind, bool(i % 2)) for i, kind in enumerate(FORMULAS)]


def some_inputs(of, seed=0):
    """Any parameters, with maps that mix them, and the data."""
    rng = np.random.default_rng(seed)
    stats = cross_products(of)
    size = int(np.sum(stats.tree.K**2) + np.sum(stats.tree.Kt**2))
    P = rng.normal(size=(size, size + 1))
    C = np.vstack([rng.normal(size=(of.p, of.p)), np.zeros(of.p)])
    entries, beta = rng.normal(size=size + 1), rng.normal(size=of.p)
    assert C.shape == (of.p + 1, of.p)
    arrays = tuple(np.array(a, order="C") for a in (*stats.tree, *stats.sums))
    return (entries, beta, 1.3, P, C, contrast(stats), *arrays)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_loops_and_lapack_agree(kind, weighted):
    inputs = some_inputs(design(kind, weighted=weighted))
    loops, lapack = marginal_likelihood(*inputs, True), by_lapack(*inputs, True)
    for one, other in zip(loops, lapack, strict=True):
        size = np.max(np.abs(other), initial=1.0)
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8 * size)
    assert marginal_likelihood(*inputs, False)[0] == loops[0]
    assert by_lapack(*inputs, False)[0] == lapack[0]


def test_at_singular_factors():
    inputs = list(some_inputs(design("crossed")))
    inputs[0] = np.zeros_like(inputs[0])
    loops, lapack = marginal_likelihood(*inputs, True), by_lapack(*inputs, True)
    for one, other in zip(loops, lapack, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    inputs[0] = np.full_like(inputs[0], np.inf)
    assert not np.isfinite(marginal_likelihood(*inputs, True)[0])


def test_both_routes_of_the_op_give_one_density(monkeypatch):
    of = design("crossed")
    loops = density(marginal_model(of))
    monkeypatch.setattr("nestedmlm.bayes.model.marginal.DENSE", 0)
    model = marginal_model(of)
    assert "MarginalLikelihood{dense=True}" in pytensor.dprint(model.logp(), file="str")
    lapack = density(model)
    x = loops.initial + 0.1
    one, other = loops.logp_grad(x), lapack.logp_grad(x)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-8)
    assert loops.logp(x) == one[0] and lapack.logp(x) == other[0]


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
    fresh = density(form(replace(of, y=y), priors))
    x = den.initial + 0.1
    assert den.logp_grad(x)[0] == pytest.approx(fresh.logp_grad(x)[0], rel=1e-12)
    np.testing.assert_allclose(den.logp_grad(x)[1], fresh.logp_grad(x)[1], rtol=1e-9, atol=1e-9)
    for wrong in (y[1:], np.where(y > 0, np.nan, y)):
        with pytest.raises(DataError, match=f"{of.n} finite numbers"):
            set_response(model, of, wrong)


def test_the_op_is_registered_with_numba():
    """PyMC and nutpie compile a marginal model natively; running it so is a slow test."""
    from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key

    function, key = numba_funcify_and_cache_key(MarginalLikelihood(dense=False), node=None)
    assert function.__name__ == "evaluate" and key == numba_dispatch._VERSION


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.filterwarnings("ignore:.*object mode:UserWarning")
def test_numba_compiles_the_same_density(monkeypatch, dense):
    if dense:
        monkeypatch.setattr("nestedmlm.bayes.model.marginal.DENSE", 0)
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
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_plain_pymc_and_nutpie_sample_a_marginal_model():
    import nutpie
    import pymc as pm

    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    model = fit.to_pymc(marginal=True)
    compiled = nutpie.compile_pymc_model(model)
    for draws in (
        nutpie.sample(compiled, draws=500, tune=300, chains=2, seed=1, progress_bar=False),
        pm.sample(500, tune=300, chains=2, cores=1, random_seed=1, progressbar=False, model=model),
    ):
        posterior = nm.BayesFit.from_pymc(draws, fit, model=model)
        table = nm.compare(fit, posterior).table
        assert posterior.run.form == "marginal" and "1|Subject" in posterior.data["posterior"]
        assert abs(posterior.fixef["Days"] - fit.fixef["Days"]) < 0.5 * fit.bse["Days"], table
