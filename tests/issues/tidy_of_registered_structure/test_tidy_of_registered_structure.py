"""`tidy` gave the standard error of a structure's own parameter as that of a correlation.

Cause: structures were asked for by name, and every unknown one was taken for ar1, whose parameter
is the correlation. The structure itself now says what its correlations are, and their derivatives.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import Parameter, cholesky, register

GROUPS, TIMES, EACH = 60, 4, 3
LAG = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))


def exponential(xp, par, k):
    """Correlations that fall with distance: ``rho = exp(-1 / range)``, so it is ar1."""
    return cholesky(xp, xp.exp(-LAG / par[0]), k)


@pytest.fixture
def fits():
    register("expo", exponential, [Parameter("range", lower=0)], hom=True)
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(GROUPS), TIMES * EACH)
    t = np.tile(np.repeat(np.arange(TIMES), EACH), GROUPS)
    b = rng.normal(size=(GROUPS, TIMES)) @ np.linalg.cholesky(0.6**LAG).T
    d = pd.DataFrame(
        {"g": g, "t": pd.Categorical(t), "y": 1 + 2 * b[g, t] + rng.normal(size=len(g))}
    )
    return [nm.lmer(f"y ~ 1 + {name}(0 + t | g)", d) for name in ("ar1", "expo")]


def test_the_correlation_has_its_own_error(fits):
    ar1, expo = fits
    assert expo.criterion == pytest.approx(ar1.criterion, abs=1e-9)
    numbers = ["estimate", "std_error", "conf_low", "conf_high"]
    found, expected = (
        fit.tidy("ran_pars", conf_int=True).query("term.str.startswith('cor_')")
        for fit in (expo, ar1)
    )
    neighbours = [term for term in expected["term"] if term in (
        "cor_t1.t0|g", "cor_t2.t1|g", "cor_t3.t2|g")]  # fmt: skip
    assert len(neighbours) == 3
    own, twin = (frame.set_index("term").loc[neighbours, numbers] for frame in (found, expected))
    assert own["std_error"].iloc[0] == pytest.approx(0.0574, abs=5e-4)  # it was 0.3905
    np.testing.assert_allclose(own["estimate"], twin["estimate"], rtol=1e-5)
    np.testing.assert_allclose(own["std_error"], twin["std_error"], rtol=1e-4)
    assert own["conf_low"].between(-1, 1).all() and own["conf_high"].between(-1, 1).all()
