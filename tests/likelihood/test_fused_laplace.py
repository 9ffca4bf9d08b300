"""Loops of the Laplace approximation: the same numbers as the vector operations."""

from __future__ import annotations

import numpy as np
import pytest
from glmm_designs import FORMS, GIVEN, PAIRS, made

from nestedmlm.families import resolve_family
from nestedmlm.families.row_terms import log_densities
from nestedmlm.likelihood.glmm import fused_laplace
from nestedmlm.likelihood.glmm.fused_laplace import applies, compiled_laplace, first_order
from nestedmlm.likelihood.glmm.fused_rows import (
    density_of_row,
    dispersion_constant,
    mean_of_row,
    row_codes,
)
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace import laplace, laplace_slopes
from nestedmlm.likelihood.glmm.modes import find_modes
from nestedmlm.likelihood.plan import flat_factors, start_phi


def check(run, form, name, link, information, given=GIVEN[-1]):
    design, family, dispersion, level = made(form, name, link, given=given)
    model = make_model(design, family, information=information)
    assert applies(model)
    phi = 0.15 * start_phi(model.plan)
    T = flat_factors(np, phi, model.plan)
    gamma = model.products.empty.R_x @ np.array([level, 0.1])
    start = np.zeros(model.parts[-1].rows.stop)
    with np.errstate(all="ignore"):
        at = laplace(model, T, find_modes(model, T, gamma, dispersion))
        slopes = laplace_slopes(model, T, at, dispersion)
        found, own = first_order(run, model, T, gamma, dispersion, start)
    assert abs(found.value - at.value) < 1e-9
    np.testing.assert_allclose(found.modes.B, at.modes.B, atol=1e-7)
    np.testing.assert_allclose(found.modes.eta, at.modes.eta, atol=1e-8)
    np.testing.assert_allclose(found.state.S, at.state.S, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(own.M, slopes.M, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(own.gamma, slopes.gamma, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(own.log_dispersion, slopes.log_dispersion, rtol=1e-7, atol=1e-7)


KNOWN = [(name, link) for name, link in PAIRS if name != "beta"]


@pytest.mark.parametrize(("name", "link"), KNOWN)
def test_every_family_and_link(name, link):
    check(fused_laplace, "nested", name, link, "observed")


@pytest.mark.parametrize("form", [f for f in FORMS if "crossed" not in f and f != "rows"])
def test_every_nested_form(form):
    check(fused_laplace, form, "binomial", "cloglog", "expected", given=())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "link"), KNOWN)
def test_compiled(name, link):
    check(compiled_laplace(), "nested", name, link, "expected")


@pytest.mark.parametrize("name", ["poisson", "negativebinomial"])
def test_counts_have_no_density_above_one_at_any_predictor(name):
    family, theta = resolve_family(name, "log"), 1.5
    eta = np.array([-1e4, -800.0, -3.0, 0.0, 3.0, 690.0, 720.0, 1e4])
    for count in (0.0, 1.0, 7.0):
        y, one = np.full(len(eta), count), np.ones(len(eta))
        with np.errstate(all="ignore"):
            vectors = log_densities(family, eta, y, one, theta)
        codes = row_codes(family)
        means = [mean_of_row(codes[1], x) for x in eta.tolist()]
        loops = [density_of_row(codes[0], count, 1.0, m[0], *m[2:4], theta) for m in means]
        if name == "negativebinomial":  # loops leave out what eta does not change
            vectors = vectors - dispersion_constant(codes[0], y[:1], one[:1], theta)
            assert (vectors <= 0.0).all()
        else:
            assert (vectors + family.log_constant(y, one) <= 0.0).all()
        np.testing.assert_allclose(loops, vectors, rtol=1e-12)


def test_what_loops_do_not_know():
    for form, name, link in (("crossed", "poisson", "log"), ("nested", "beta", "logit")):
        design, family, _, _ = made(form, name, link)
        assert not applies(make_model(design, family))
    design, family, _, _ = made("nested", "poisson", "log")
    own = resolve_family("poisson", "sqrt").link
    assert applies(make_model(design, family))
    other = type(own)(name="log", eta=own.eta, mu=own.mu, derivatives=own.derivatives)
    assert not applies(make_model(design, resolve_family("poisson", other)))
