"""Influence of groups where residuals differ or correlate: fits to the data without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import ResidualStructureError


def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"g": np.repeat(np.arange(8), 4), "t": np.tile(np.arange(4.0), 8)})
    d["visit"], d["arm"] = "v" + d["t"].astype(int).astype(str), np.where(d["g"] % 2, "b", "a")
    d["y"] = d["t"] + rng.normal(size=8)[d["g"]] + rng.normal(size=32).cumsum() / 3
    return d.drop(index=[5, 18]).reset_index(drop=True)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ t + (1 | g)", {"dispersion": "~ arm"}),
        ("y ~ t + (1 | g)", {"residual": "ar1(t | g)"}),
        ("y ~ t", {"residual": "us(visit | g)"}),
    ],
)
def test_without_a_group_it_is_the_fit_to_the_others(formula, options):
    d = data()
    found = nm.lmer(formula, d, **options).influence("g", progress=False)
    rest = nm.lmer(formula, d[d["g"] != 3], **options)
    assert found.fixef_without.loc[3].to_numpy() == pytest.approx(rest.fixef.to_numpy(), rel=1e-5)
    assert found.sigma_without.loc[3] == pytest.approx(rest.sigma, rel=1e-5)
    assert found.vcov_without[3] == pytest.approx(rest.cov_params().to_numpy(), rel=1e-4)
    assert np.isfinite(found.cooks_distance()).all()


def test_what_moves_no_residual_parameter_is_refused():
    fit = nm.lmer("y ~ t + (1 | g)", data(), residual="ar1(t | g)")
    with pytest.raises(ResidualStructureError, match="refit='full' is"):
        fit.influence("g", refit="none")
