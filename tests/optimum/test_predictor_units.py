"""Units of the response: identity, inverse and root links carry them into the linear predictor."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm

SIZES = (1e-10, 1.0, 1e9)
# how the linear predictor goes with the response
POWERS = {"log": 0.0, "identity": 1.0, "inverse": -1.0, "1/mu^2": -2.0}


def numbers(family, link, formula, size):
    """Criterion, standard error and SD of a fit, in the units of a response of size one."""
    data = nm.load_dataset("sleepstudy").assign(Reaction=lambda d: size * d["Reaction"])
    fit = nm.glmer(formula, data, family=family, link=link)
    assert fit.converged
    unit = size ** POWERS[link]
    own = [fit.bse["Days"] / unit, fit.varcorr().to_frame()["estimate"].iloc[0] / unit]
    return fit.criterion - 2 * len(data) * np.log(size), own, fit


ONE, TWO = "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"


@pytest.mark.parametrize(
    ("family", "link", "formula", "criterion"),
    [
        # -2 log-likelihoods by glmmTMB
        ("gamma", "identity", TWO, 1731.455214),
        ("gaussian", "log", ONE, 1779.361928),
        ("gaussian", "inverse", ONE, 1771.200361),
        ("inverse_gaussian", "1/mu^2", ONE, None),
    ],
)
def test_a_fit_is_the_same_in_every_unit(family, link, formula, criterion):
    found = [numbers(family, link, formula, size) for size in SIZES]
    values = [value for value, _, _ in found]
    assert np.ptp(values) < 1e-5
    if criterion is not None:
        assert values[1] == pytest.approx(criterion, abs=2e-6)
    for _, own, fit in found:
        assert own == pytest.approx(found[1][1], rel=1e-4)
        assert not fit.is_singular()
        assert "boundary" not in " ".join(fit.messages)


def test_standard_errors_beside_large_means():
    fit = numbers("gamma", "identity", TWO, 1e4)[2]
    se = fit.bse.to_numpy() / 1e4
    assert se == pytest.approx([6.561151, 1.493868], rel=1e-5)  # glmmTMB


def test_a_variance_of_zero_is_zero_in_every_unit():
    rng = np.random.default_rng(1)
    data = nm.load_dataset("sleepstudy")
    y = rng.gamma(20.0, 5.0, len(data))
    for size in SIZES:
        fit = nm.glmer(ONE, data.assign(Reaction=size * y), family="gamma", link="identity")
        assert fit.theta[0] == 0.0 and fit.is_singular()


def test_robust_errors_go_with_the_unit():
    found = [numbers("gamma", "inverse", ONE, size)[2].cov_params("CR1") for size in (1.0, 2e-6)]
    assert found[1].to_numpy() * 4e-12 == pytest.approx(found[0].to_numpy(), rel=1e-3)


def test_profiles_go_with_the_unit():
    limits = [
        numbers("gamma", "identity", ONE, size)[2].conf_int(["Days"], progress=False) / size
        for size in (1.0, 1e7)
    ]
    assert limits[1].to_numpy() == pytest.approx(limits[0].to_numpy(), rel=1e-5)
