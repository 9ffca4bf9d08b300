"""The closed-form density is the PyMC model's: value and gradient, every prior, every structure."""

from __future__ import annotations

import numpy as np
import pytest
from designs import FORMULAS, design

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.distributions import FAMILIES, Prior
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.sampling.density import density
from nestedmlm.likelihood.elimination import (
    adjoint,
    eliminate,
    finest_factor,
    point_gradients,
    point_sweep,
    points,
)
from nestedmlm.statistics.crossproducts import cross_products

VALUES = {"lower": 0.2, "upper": 7.0, "nu": 4.0, "eta": 1.7, "alpha": 2.3, "beta": 1.4, "mu": 1.1,
          "sigma": 0.8, "b": 0.7, "s": 0.6, "lam": 0.5, "scale": 2.5}  # fmt: skip
NAMES = {"fixed effect": ("Intercept", "x", "z"),
         "standard deviation": ("1|f1_sigma", "x|f1_sigma", "sigma")}  # fmt: skip


def families(role):
    """Every prior of a role with each of its sets of parameters."""
    for distribution, family in FAMILIES[role].items():
        for signature in family.signatures:
            yield Prior(distribution, **{p: VALUES[p] for p in signature})


def in_turns(role):
    """The priors of a role by the names of a few parameters, as many sets as it takes."""
    names, own = NAMES[role], list(families(role))
    starts = range(0, len(own), len(names))
    return [dict(zip(names, own[i : i + len(names)], strict=False)) for i in starts]


def assert_same(of, given, seed=0):
    own, twin = marginal_density(of, given), density(marginal_model(of, given))
    rng = np.random.default_rng(seed)
    for _ in range(3):
        z = own.initial + 0.4 * rng.normal(size=own.ndim)
        z[list(own.folded)] *= rng.choice([-1.0, 1.0], len(own.folded))
        value, gradient = own.logp_grad(z)
        expected, slopes = twin.logp_grad(z)
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-10, atol=1e-10 * np.abs(slopes).max())
        assert own.logp_points(z[None])[0] == pytest.approx(expected, rel=1e-10)
        named, reference = own.to_values(z), twin.to_values(z)
        assert named.keys() == reference.keys()
        for name in named:
            np.testing.assert_allclose(named[name], reference[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize(("kind", "weighted"), [(k, bool(i % 2)) for i, k in enumerate(FORMULAS)])
def test_every_design_and_structure(kind, weighted):
    assert_same(design(kind, weighted=weighted, offset=weighted), None)


SETS = [*in_turns("fixed effect"), *in_turns("standard deviation")]


@pytest.mark.parametrize("given", SETS, ids=lambda given: ", ".join(map(str, given.values())))
def test_every_prior(given):
    assert_same(design("slope"), given | {"f1_corr": Prior("LKJ", eta=1.7)})


@pytest.mark.parametrize(
    "prior", [Prior("HalfCauchy", beta=1.4), Prior("Uniform", lower=0, upper=7)]
)
def test_signs_that_a_structure_does_not_take(prior):
    of = design("autoregressive")
    own = next(t for t in parameter_names(of).terms if t.parameters)
    assert_same(of, dict.fromkeys((*own.sds, "sigma"), prior))


def test_a_structure_of_the_users(registered_structure):
    assert_same(registered_structure, None)


@pytest.fixture
def registered_structure():
    def decay(xp, par, k):
        apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return nm.covariance.cholesky(xp, xp.exp(-apart / par[0]), k)

    nm.covariance.register("closeddecay", decay, [nm.covariance.Parameter("range", lower=0)])
    return nm.Model(
        "strength ~ 1 + closeddecay(0 + cask | batch)", nm.load_dataset("Pastes")
    ).design


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("levels", ["all differ", "some are alike", "without tables"])
def test_points_are_eliminated_together_as_alone(kind, levels, monkeypatch):
    if levels == "without tables":
        monkeypatch.setattr(finest_factor, "MOST_PRODUCTS", 0)
    stats = cross_products(design(kind, weighted=levels != "some are alike"))
    assert point_sweep.serves(stats)
    T = np.random.default_rng(1).normal(size=(7, sum(part.k**2 for part in stats.parts)))
    together = points.eliminate_points(T, stats)
    for own, logdet, S in zip(T, together.logdet, together.S, strict=True):
        alone = eliminate(own, stats)
        assert logdet == pytest.approx(alone.logdet, rel=1e-11)
        np.testing.assert_allclose(S, alone.S, rtol=1e-9, atol=1e-11 * np.abs(stats.F).max())


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("tables", [True, False])
def test_adjoints_at_points_together_are_those_alone(kind, tables, monkeypatch):
    if not tables:
        monkeypatch.setattr(finest_factor, "MOST_PRODUCTS", 0)
    stats = cross_products(design(kind, weighted=tables))
    rng = np.random.default_rng(3)
    T = rng.normal(size=(5, sum(part.k**2 for part in stats.parts)))
    S_bar = rng.normal(size=(5, *stats.F.shape))
    S_bar += S_bar.transpose(0, 2, 1)
    together = point_gradients.eliminate_with_adjoint(T, stats, -0.7, S_bar)
    for i in range(len(T)):
        alone = eliminate(T[i], stats)
        assert together.logdet[i] == pytest.approx(alone.logdet, rel=1e-11)
        np.testing.assert_allclose(
            together.S[i], alone.S, rtol=1e-9, atol=1e-11 * np.abs(stats.F).max()
        )
        M = adjoint(alone, -0.7, S_bar[i])
        np.testing.assert_allclose(
            together.M[i], M, rtol=1e-8, atol=1e-11 * np.abs(M).max(initial=1.0)
        )


@pytest.mark.parametrize(
    "kind", [k for k in FORMULAS if "without" not in k and "no fixed" not in k]
)
def test_gradients_at_points_together_are_those_alone(kind):
    own = marginal_density(design(kind))
    z = own.initial + 0.4 * np.random.default_rng(4).normal(size=(4, own.ndim))
    z[2] = np.nan  # a point that there is not, among others
    values, gradients = own.logp_grads(z)
    assert values[2] == -np.inf
    for i in (0, 1, 3):
        value, gradient = own.logp_grad(z[i])
        assert values[i] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(
            gradients[i], gradient, rtol=1e-9, atol=1e-10 * np.abs(gradient).max()
        )


def test_points_by_themselves(monkeypatch):
    """Where points gain nothing from each other, the result is the same."""
    stats = cross_products(design("crossed"))
    T = np.random.default_rng(2).normal(size=(3, sum(part.k**2 for part in stats.parts)))
    T[1, 0] = np.nan
    together = points.eliminate_points(T, stats)
    monkeypatch.setattr(point_sweep, "MOST_NUMBERS", 0)
    alone = points.eliminate_points(T, stats)
    assert np.isnan(alone.logdet).tolist() == np.isnan(together.logdet).tolist()
    np.testing.assert_allclose(alone.S[[0, 2]], together.S[[0, 2]], rtol=1e-9)


def test_pymc_is_not_loaded():
    import subprocess
    import sys

    code = (
        "import sys, nestedmlm as nm; d = nm.load_dataset('Dyestuff'); "
        "p = nm.lmer('Yield ~ 1 + (1 | Batch)', d).sample(sampler='psis', draws=250, seed=1); "
        "str(p); print([m for m in ('pymc', 'pytensor', 'arviz', 'arviz_stats', 'matplotlib', "
        "'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout
