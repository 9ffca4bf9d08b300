"""Random effects and log-likelihoods of a posterior, computed when they are asked for."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import xarray as xr

import nestedmlm as nm
from nestedmlm.posterior import random_effects
from nestedmlm.posterior.deferred_arrays import deferred_arrays


@pytest.fixture
def posterior():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    return fit.sample(sampler="psis", draws=50, seed=1)


def test_they_are_computed_together_and_once():
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(12.0), "b": np.arange(6.0).reshape(2, 3)}

    arrays = deferred_arrays({"a": (2, 3, 2), "b": (2, 3)}, compute)
    data = xr.Dataset({"a": (("x", "y", "z"), arrays["a"]), "b": (("x", "y"), arrays["b"])})
    part = data.assign_coords(y=[5, 6, 7]).copy().isel(x=1).sel(y=[7, 5])
    assert data["a"].dtype == float and data.nbytes == 18 * 8 and not calls
    np.testing.assert_array_equal(part["a"], np.arange(12.0).reshape(2, 3, 2)[1, [2, 0]])
    np.testing.assert_array_equal(part["b"], [5.0, 3.0])
    np.testing.assert_array_equal(data["b"], np.arange(6.0).reshape(2, 3))
    assert len(calls) == 1


def test_a_look_at_the_parameters_draws_no_effects(posterior, monkeypatch):
    calls = []
    real = random_effects.draw_random_effects

    def draw(*args):
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(random_effects, "draw_random_effects", draw)
    assert "Batch" in str(posterior.summary()) and len(posterior.parameters()) == 3
    assert not calls
    effects = posterior.ranef()
    again = posterior.data["log_likelihood"]["Yield"].values
    assert np.isfinite(again).all() and len(effects) and len(calls) == 1


@pytest.mark.parametrize("later", [copy.deepcopy, lambda fit: pickle.loads(pickle.dumps(fit))])
def test_copies_draw_the_same_later(posterior, later):
    copied = later(posterior)
    for group, name in (("posterior", "1|Batch"), ("log_likelihood", "Yield")):
        np.testing.assert_array_equal(copied.data[group][name], posterior.data[group][name])


def test_draws_without_a_seed_are_made_once():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    one, two = (fit.sample(sampler="psis", draws=50).data for _ in range(2))
    effects = one["posterior"]["1|Batch"]
    np.testing.assert_array_equal(effects, copy.deepcopy(one)["posterior"]["1|Batch"])
    assert np.abs(effects - two["posterior"]["1|Batch"]).min() > 0.0
