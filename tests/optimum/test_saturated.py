"""Effects that fit every row exactly leave a likelihood without a maximum, and that is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import ConvergenceWarning
from nestedmlm.likelihood.pls import dense_criterion

CROSSED = pd.DataFrame({"a": [0, 0, 1, 1, 2, 2, 3, 3], "b": [0, 1, 1, 2, 2, 3, 3, 0]})
FORMULA = "y ~ x + (1 | a) + (1 | b)"


def rows(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    data = pd.concat([CROSSED, CROSSED], ignore_index=True)[:n]
    return data.assign(x=rng.normal(size=n), y=rng.normal(size=n) + data.a)


def test_saturated_maximum_likelihood_is_not_certified() -> None:
    with pytest.warns(ConvergenceWarning, match="the likelihood has no maximum"):
        fit = nm.lmer(FORMULA, rows(8), REML=False)
    assert not fit.converged
    # Z has rank 7: it falls by one log sigma^2
    at = [dense_criterion(fit.design, [t * np.eye(1)] * 2, REML=False) for t in (1e3, 1e4)]
    assert at[0] - at[1] == pytest.approx(2.0 * np.log(10.0), abs=1e-3)


@pytest.mark.parametrize(("n", "REML"), [(8, True), (9, False), (16, False)])
def test_others_are_certified(n: int, REML: bool) -> None:
    assert nm.lmer(FORMULA, rows(n), REML=REML).converged


@pytest.mark.filterwarnings("ignore:residuals and crossproducts")
def test_response_that_effects_reproduce_has_none_by_reml_either() -> None:
    data = rows(10).assign(y=[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    with pytest.warns(ConvergenceWarning, match="no maximum.*the response exactly"):
        nm.lmer(FORMULA, data)


def test_where_a_known_sigma_stands_in_the_way() -> None:
    fit = nm.lmer(FORMULA, rows(8), REML=False, fixed={"sigma": 1.0}, weights=np.ones(8))
    assert fit.converged
