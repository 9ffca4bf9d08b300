"""A generalized linear model without random effects, where scoring goes far."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.inference.means.generalized_linear import generalized_linear_fit


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"x": rng.normal(size=30), "o": 6 * rng.normal(size=30)})
    return made.assign(g=np.arange(30) % 5, y=rng.gamma(2.0, 1.0, 30), c=rng.poisson(2, 30))


def test_steps_whose_variance_overflows_are_halved(rows: pd.DataFrame) -> None:
    design = build_design("y ~ poly(x, 2) + (1 | g)", rows, offset="o")
    fit = generalized_linear_fit(design, nm.families.inverse_gaussian("log"))
    mu = np.exp(design.X @ fit.beta + rows["o"].to_numpy())
    score = design.X.T @ ((design.y - mu) / mu**2)
    np.testing.assert_allclose(score, 0.0, atol=1e-3)
    assert np.isfinite(fit.llf)


def test_a_start_without_a_likelihood_says_so(rows: pd.DataFrame) -> None:
    """Offsets far below zero beside an identity link: NumPy's SVD did not converge."""
    design = build_design("c ~ x + (1 | g)", rows, offset="o")
    with pytest.raises(nm.NestedMLMError, match="without random effects could not be fitted"):
        generalized_linear_fit(design, nm.families.poisson("identity"))


def test_normal_rows_where_the_link_has_no_value(rows: pd.DataFrame) -> None:
    """The logarithm of a negative response: SciPy got NaN as a bound."""
    y = rows["x"].to_numpy() + 1.0
    assert (y < 0.0).any()
    design = build_design("y ~ 1 + (1 | g)", rows.assign(y=y))
    fit = generalized_linear_fit(design, nm.families.gaussian("log"))
    assert np.exp(fit.beta) == pytest.approx([y.mean()], rel=1e-6)
    assert fit.llf == pytest.approx(-15.0 * (np.log(2 * np.pi * y.var()) + 1.0), abs=1e-6)
