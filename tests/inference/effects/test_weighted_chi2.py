"""Tails of weighted chi-squared sums."""

import numpy as np
import pytest
from scipy import integrate, stats

from nestedmlm.inference.effects.weighted_chi2 import f_like_tail


def test_equal_weights_are_an_f():
    found = f_like_tail(9.0, np.full(3, 1.0), 20.0)
    assert found == pytest.approx(stats.f.sf(3.0, 3, 20), rel=1e-12)


def test_two_weights_by_quadrature():
    """Two chi-squared variables with weights, given the denominator and the first."""
    a, b, d, df = 1.4, 0.1, 2.5, 15.0

    def inner(s):
        t = d * s / df
        own = integrate.quad(
            lambda u: stats.chi2.pdf(u**2, 1) * 2 * u * stats.chi2.sf((t - a * u**2) / b, 1),
            0, np.sqrt(t / a), epsabs=1e-12)[0]  # fmt: skip
        return own + stats.chi2.sf(t / a, 1)

    known = integrate.quad(lambda s: stats.chi2.pdf(s, df) * inner(s), 0, 80, epsabs=1e-9)[0]
    assert f_like_tail(d, np.array([a, b]), df) == pytest.approx(known, rel=1e-6)
