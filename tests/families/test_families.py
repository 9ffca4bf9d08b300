"""Families: links and their derivatives, densities, rows, deviances, draws, and the open table."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import integrate, stats

import nestedmlm as nm
from nestedmlm.errors import OptionError, ResponseError, WeightsError
from nestedmlm.families import (
    FAMILIES,
    LINKS,
    Link,
    dispersion_rows,
    resolve_family,
    rows,
)
from nestedmlm.families.family_table import temporary_families
from nestedmlm.families.row_terms import log_densities
from nestedmlm.likelihood.glmm.fused_rows import fill_rows, row_codes

f = nm.families

PAIRS = [
    (name, link)
    for name, links in {
        "binomial": ("logit", "probit", "cloglog", "cauchit"),
        "poisson": ("log", "sqrt", "identity"),
        "negativebinomial": ("log", "sqrt", "identity"),
        "gamma": ("log", "inverse", "identity"),
        "inverse_gaussian": ("log", "inverse", "identity", "1/mu^2"),
        "gaussian": ("log", "inverse", "identity"),
        "beta": ("logit", "probit", "cloglog", "cauchit"),
    }.items()
    for link in links
]
DISPERSION = 0.7


def dispersion_of(family):
    return 30.0 if family.name == "beta" else DISPERSION  # no shares of exactly 0 or 1


def sample(family, n=40, seed=3):
    """Predictors, responses and weights that the family could have."""
    rng = np.random.default_rng(seed)
    positive = family.link.name in ("identity", "inverse", "sqrt", "1/mu^2")
    eta = rng.uniform(0.4, 3.0, n) if positive else rng.normal(0.0, 1.2, n)
    weights = rng.integers(1, 5, n).astype(float)
    eta = np.minimum(eta, 1.0) if family.link.unit else eta  # cloglog has rare, large scores
    y = family.random(family.link.mu(eta), weights, dispersion_of(family), rng)
    return eta, y, weights


def central(function, x, step):
    return (function(x + step) - function(x - step)) / (2.0 * step)


@pytest.mark.parametrize("name", LINKS)
def test_links_invert_and_their_derivatives_are_those_of_the_mean(name):
    link = LINKS[name]
    eta = np.linspace(0.3, 2.5, 12) if not link.unit else np.linspace(-2.5, 1.5, 12)
    np.testing.assert_allclose(link.eta(link.mu(eta)), eta, rtol=1e-10, atol=1e-12)
    first, second, third = link.derivatives(eta)
    np.testing.assert_allclose(first, central(link.mu, eta, 1e-5), rtol=1e-7, atol=1e-9)
    for order, found in ((0, second), (1, third)):
        slope = central(lambda x, k=order: link.derivatives(x)[k], eta, 1e-5)
        np.testing.assert_allclose(found, slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["logit", "probit", "cloglog", "cauchit"])
def test_shares_keep_their_digits_in_both_tails(name):
    link = LINKS[name]
    far = -30.0 if name != "cauchit" else -1e9
    there = link.mean(np.array([far]))
    assert there.mu[0] > 0.0
    np.testing.assert_allclose(there.log_mu, np.log(there.mu), rtol=1e-9)
    np.testing.assert_allclose(there.log_complement, -there.mu, rtol=1e-6)
    if name != "cloglog":  # symmetric
        other = link.mean(np.array([-far]))
        np.testing.assert_allclose(other.complement, there.mu, rtol=1e-12)
        np.testing.assert_allclose(other.log_complement, there.log_mu, rtol=1e-12)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_rows_of_certain_outcomes_are_numbers(link):
    eta = np.repeat([-800.0, -50.0, -38.0, 8.0, 38.0, 50.0, 800.0], 2)
    y = np.tile([0.0, 1.0], 7)
    at = rows(resolve_family("binomial", link), eta, y, np.ones(14))
    assert all(np.isfinite(values).all() for values in at)
    assert np.all(at.w >= 0.0)
    assert np.all(at.g * (2.0 * y - 1.0) >= 0.0)  # towards what was seen


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_rows_are_derivatives_of_the_log_density(name, link):
    family = resolve_family(name, link)
    dispersion = dispersion_of(family)
    eta, y, a = sample(family)
    at = rows(family, eta, y, a, dispersion)
    full = family.loglik(y, family.link.mu(eta), a, dispersion)
    np.testing.assert_allclose(at.loglik + family.log_constant(y, a), full, rtol=1e-10, atol=1e-10)
    for order, (field, sign) in {"loglik": ("g", 1.0), "g": ("h", -1.0), "h": ("h1", 1.0),
                                 "w": ("w1", 1.0)}.items():  # fmt: skip
        slope = central(lambda e, k=order: getattr(rows(family, e, y, a, dispersion), k), eta, 1e-5)
        found = sign * getattr(at, field)
        np.testing.assert_allclose(found, slope, rtol=2e-6, atol=1e-8 + 1e-6 * np.abs(slope).max())


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_w_is_the_expectation_of_h(name, link):
    family = resolve_family(name, link)
    dispersion = dispersion_of(family)
    eta, _, a = sample(family, n=3)
    rng = np.random.default_rng(1)
    draws = 40_000
    mu = np.repeat(family.link.mu(eta), draws)
    y = family.random(mu, np.repeat(a, draws), dispersion, rng)
    at = rows(family, np.repeat(eta, draws), y, np.repeat(a, draws), dispersion)
    h = at.h.reshape(3, draws)
    error = h.std(axis=1) / np.sqrt(draws)
    assert np.all(np.abs(h.mean(axis=1) - at.w[::draws]) < 5.0 * error + 1e-9)


@pytest.mark.parametrize(
    "name",
    [n for n in FAMILIES if (g := resolve_family(n)).dispersion != "none" and g.has_derivatives],
)
def test_dispersion_rows_are_derivatives_in_log_dispersion(name):
    family = resolve_family(name)
    dispersion = dispersion_of(family)
    eta, y, a = sample(family)
    at = dispersion_rows(family, eta, y, a, dispersion)

    def terms(log_dispersion, field):
        return getattr(rows(family, eta, y, a, np.exp(log_dispersion)), field)

    x = np.log(dispersion)
    for field, own in (("loglik", "score"), ("g", "g"), ("h", "h"), ("w", "w")):
        slope = central(lambda s, k=field: terms(s, k), x, 1e-5)
        np.testing.assert_allclose(
            getattr(at, own), slope, rtol=1e-6, atol=1e-7 * max(1.0, np.abs(slope).max())
        )
    second = central(lambda s: dispersion_rows(family, eta, y, a, np.exp(s)).score, x, 1e-5)
    np.testing.assert_allclose(at.curvature, second, rtol=1e-5, atol=1e-6)


def test_densities_are_those_of_scipy():
    y, mu, a = np.array([0.0, 2.0, 5.0]), np.array([0.5, 1.5, 4.0]), np.array([4.0, 7.0, 9.0])
    np.testing.assert_allclose(
        f.binomial().loglik(y / a, mu / 10, a), stats.binom.logpmf(y, a.astype(int), mu / 10)
    )
    np.testing.assert_allclose(f.poisson().loglik(y, mu), stats.poisson.logpmf(y, mu))
    np.testing.assert_allclose(
        f.negative_binomial().loglik(y, mu, 1.0, 0.8), stats.nbinom.logpmf(y, 0.8, 0.8 / (0.8 + mu))
    )
    z = y + 0.5
    np.testing.assert_allclose(
        f.gamma().loglik(z, mu, 2.0, 0.8), stats.gamma.logpdf(z, 2.5, scale=mu / 2.5)
    )
    np.testing.assert_allclose(
        f.inverse_gaussian().loglik(z, mu, 1.0, 0.8),
        stats.invgauss.logpdf(z, mu * 0.8, scale=1 / 0.8),
    )
    np.testing.assert_allclose(
        f.gaussian().loglik(y, mu, 2.0, 0.8), stats.norm.logpdf(y, mu, np.sqrt(0.4))
    )
    share = np.array([0.1, 0.4, 0.8])
    np.testing.assert_allclose(
        f.beta().loglik(share, mu / 10, 1.0, 6.0),
        stats.beta.logpdf(share, mu * 0.6, 6.0 - mu * 0.6),
    )


def test_the_inverse_gaussian_integrates_to_one():
    total, _ = integrate.quad(
        lambda y: np.exp(f.inverse_gaussian().loglik([y], [1.3], 1.0, 0.6))[0], 0.0, np.inf
    )
    assert abs(total - 1.0) < 1e-7


def test_negative_binomial_with_large_theta_is_poisson():
    y, mu = np.array([0.0, 1.0, 30.0]), np.array([0.3, 4.0, 25.0])
    far = f.negative_binomial(theta=1e12).loglik(y, mu)
    np.testing.assert_allclose(far, f.poisson().loglik(y, mu), rtol=1e-9)
    for theta in (0.9e4, 1.1e4):  # both ways to the same number
        exact = stats.nbinom.logpmf(y, theta, theta / (theta + mu))
        np.testing.assert_allclose(f.negative_binomial(theta).loglik(y, mu), exact, rtol=1e-8)


def known(name):
    """The family of a name, with nothing left to sample."""
    return f.student_t(nu=6) if name == "t" else resolve_family(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_deviances_are_what_the_saturated_model_gains(name):
    family = known(name)
    dispersion = dispersion_of(family)
    eta, y, a = sample(family)
    keep = (y > 0.0) & ((y < 1.0) | (not family.link.unit))
    y, a, mu = y[keep], a[keep], family.link.mu(eta)[keep]
    gain = 2.0 * (family.loglik(y, y, a, dispersion) - family.loglik(y, mu, a, dispersion))
    residuals = family.deviance_residuals(y, mu, a, dispersion)
    scale = dispersion if family.scaled else 1.0
    expected = np.maximum(gain, 0.0) * scale
    np.testing.assert_allclose(residuals**2, expected, rtol=1e-8, atol=1e-10)
    assert np.array_equal(np.sign(residuals[expected > 0]), np.sign((y - mu)[expected > 0]))


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_mean_and_the_variance(name):
    family = known(name)
    dispersion = dispersion_of(family)
    rng = np.random.default_rng(4)
    mu, n = 0.3, 60_000
    a = 5.0 if name == "binomial" or family.scaled else 1.0
    y = family.random(np.full(n, mu), np.full(n, a), dispersion, rng)
    if name == "t":  # nu / (nu - 2) at nu = 6
        variance = 1.5 * dispersion / a
    elif family.variance is None:
        variance = mu * (1 - mu) / (1 + dispersion)
    else:
        variance = float(family.variance_at([mu], dispersion)[0]) / a
        variance *= dispersion if family.scaled else 1.0
    assert abs(y.mean() - mu) < 5.0 * np.sqrt(variance / n)
    assert abs(y.var() / variance - 1.0) < 0.06


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_families_survive_pickling(name, link):
    family = resolve_family(name, link)
    again = pickle.loads(pickle.dumps(family))
    assert again == family


def test_names_spellings_and_objects_are_one_family():
    assert resolve_family("bernoulli") == resolve_family("Binomial") == f.binomial()
    assert resolve_family(f.poisson) == resolve_family("poisson", "log") == f.poisson()
    assert resolve_family(f.gamma("inverse"), "inverse").link.name == "inverse"
    assert resolve_family("nbinom2").dispersion == "estimated"
    assert resolve_family("nb") == resolve_family("negativebinomial")


@pytest.mark.parametrize("link", ["log", "inverse", "identity"])
def test_a_gaussian_name_takes_the_link_that_is_given(link):
    found = resolve_family("gaussian", link)
    assert found == resolve_family("Normal", link) == resolve_family(f.gaussian(link), link)
    eta = np.array([0.7])
    mean = {"log": np.exp(0.7), "inverse": 1.0 / 0.7, "identity": 0.7}[link]
    assert found.link.mu(eta) == pytest.approx(mean)
    with pytest.raises(OptionError, match=f"has the link {link}"):
        resolve_family(f.gaussian(link), "inverse" if link == "log" else "log")


@pytest.mark.parametrize(
    ("family", "link", "said"),
    [
        ("poissn", None, "did you mean 'poisson'"),
        ("poissn", None, "inverse_gaussian"),
        ("quasipoisson", None, "negativebinomial"),
        ("binomial", "logt", "did you mean 'logit'"),
        ("binomial", "identity", "logit, probit, cloglog, cauchit"),
        (3, None, "not int"),
        (None, None, "not None"),
        (dict, None, "makes no nestedmlm.families.Family; names: binomial"),
        (lambda mean: mean, None, "makes no nestedmlm.families.Family"),
        (f.poisson(), "sqrt", "has the link log"),
    ],
)
def test_unknown_families_and_links_list_the_known(family, link, said):
    with pytest.raises(OptionError, match=said):
        resolve_family(family, link)


@pytest.mark.parametrize("theta", [0.0, -1.0, np.nan, np.inf])
def test_a_fixed_theta_is_positive(theta):
    with pytest.raises(OptionError, match="theta of the negativebinomial family"):
        f.negative_binomial(theta=theta)


def test_a_registered_family_is_found_by_name():
    with temporary_families():
        f.register_family("counts", f.poisson)
        f.register_family("counts", f.poisson)  # the same once more
        assert resolve_family("counts", "sqrt").link.name == "sqrt"
        with pytest.raises(OptionError, match="exists"):
            f.register_family("counts", f.gamma)
    assert "counts" not in FAMILIES


def test_a_link_of_ones_own():
    halved = Link(
        name="half",
        eta=lambda mu: np.log(mu) / 2,
        mu=lambda eta: np.exp(2 * eta),
        derivatives=lambda eta: tuple(k * np.exp(2 * eta) for k in (2.0, 4.0, 8.0)),
    )
    family = f.poisson(halved)
    eta = np.array([0.1, 0.4])
    own, usual = (
        rows(m, e, np.array([1.0, 3.0]), np.ones(2)) for m, e in
        ((family, eta), (f.poisson(), 2 * eta))
    )  # fmt: skip
    np.testing.assert_allclose(own.g, 2 * usual.g)
    np.testing.assert_allclose(own.h1, 8 * usual.h1)


@pytest.mark.parametrize("name", ["poisson", "negativebinomial", "gamma", "inverse_gaussian"])
def test_a_negative_mean_has_no_density(name):
    """Not even of a count of zero: a mode must not be looked for beyond the range of the mean."""
    family = resolve_family(name, "identity")
    y = np.array([0.0 if name in ("poisson", "negativebinomial") else 1.5, 2.0])
    with np.errstate(invalid="ignore"):
        found = log_densities(family, np.array([-0.3, -0.1]), y, np.ones(2), 0.5)
        there = log_densities(family, np.array([0.3, 0.1]), y, np.ones(2), 0.5)
    assert np.isnan(found).all()
    assert np.isfinite(there).all()
    codes = row_codes(family)
    assert np.isnan(fill_rows(*codes, 0.5, y, np.ones(2), np.array([-0.3, 0.1]), np.empty((5, 2))))


def test_links_are_pickled_without_a_search_of_all_modules():
    """SciPy's functions have no module's name: pickle would ask every module that is loaded."""
    for link in LINKS.values():
        for function in (link.eta, link.mu, link.log_mu):
            assert not isinstance(function, np.ufunc) or hasattr(np, function.__name__)


@pytest.mark.parametrize(
    ("name", "mu"),
    [("poisson", -0.1), ("negativebinomial", -0.1), ("gamma", -0.1), ("inverse_gaussian", -0.1),
     ("binomial", 1.1), ("beta", 1.1)],
)  # fmt: skip
def test_means_out_of_range_draw_nothing(name, mu):
    """An identity link and drawn random effects come there; NumPy said only 'scale < 0'."""
    with pytest.raises(ResponseError, match=r"no responses of means from .* to .*link"):
        resolve_family(name, None).random([0.5, mu], 1.0, 0.5, np.random.default_rng(1))


@pytest.mark.parametrize(
    "call",
    [
        lambda family: family.loglik("a", 1.0),
        lambda family: family.loglik([1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda family: family.deviance_residuals({}, 1.0),
        lambda family: family.deviance_residuals(1.0, 1.0, -1.0),
        lambda family: family.variance_at([1j]),
        lambda family: family.random([1.0], rng="a"),
        lambda family: family.random([1.0], dispersion="a"),
        lambda family: family.label_at(-1.0),
        lambda family: family.with_dispersion("a"),
    ],
)
def test_what_is_no_number_for_each_row(call):
    with pytest.raises((OptionError, WeightsError), match=r"must (be|not be)"):
        call(f.gamma())


def test_densities_outside_the_range_are_silent():
    assert f.inverse_gaussian().loglik([0.0, 1.0], 1.0)[1] == pytest.approx(
        stats.invgauss(1.0).logpdf(1.0)
    )
