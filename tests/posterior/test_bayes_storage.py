"""Posteriors on disk: what is read back predicts the same."""

from __future__ import annotations

import importlib.util

import arviz as az
import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.posterior import storage


@pytest.fixture(scope="module")
def bayes():
    fit = nm.lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", nm.load_dataset("sleepstudy"))
    return fake_bayesfit(fit, chains=2, draws=50)


@pytest.mark.parametrize("name", ["fit.zarr", "fit.nc"])
def test_round_trip(bayes, tmp_path, name):
    if name.endswith(".nc"):
        pytest.importorskip("h5py")
    path = bayes.save(tmp_path / name)
    back = nm.load_bayesfit(path)
    assert set(back.data.children) == set(bayes.data.children)
    for group in bayes.data.children:
        for variable, values in bayes.data[group].data_vars.items():
            np.testing.assert_array_equal(back.data[group][variable].values, values.values)
    new = pd.DataFrame({"Days": [0.5, 20.0], "Subject": ["308", "new"]})
    options = {"new_levels": "sample", "seed": 1}
    pd.testing.assert_frame_equal(back.predict(new, **options), bayes.predict(new, **options))
    assert str(back) == str(bayes)
    assert str(back.priors) == str(bayes.priors)
    assert {v.name for v in back.model.free_RVs} == {v.name for v in bayes.model.free_RVs}
    assert back.save(tmp_path / name) == path  # what is there is replaced


def test_arviz_reads_the_file(bayes, tmp_path):
    bayes.save(tmp_path / "fit.zarr")
    data_tree = az.from_zarr(tmp_path / "fit.zarr")
    assert float(data_tree["posterior"]["sigma"].mean()) == pytest.approx(bayes.sigma)


def test_functions_of_a_notebook_are_saved(bayes, tmp_path):
    from dataclasses import replace

    priors = bayes.priors.replace({"sigma": lambda name: None})
    back = nm.load_bayesfit(replace(bayes, priors=priors).save(tmp_path / "fit.zarr"))
    assert "given by the user" in str(back.priors)


def test_mixed_labels(tmp_path):
    fit = nm.lmer(FORMULAS["nested within crossed"], data())
    back = nm.load_bayesfit(fake_bayesfit(fit, chains=1, draws=10).save(tmp_path / "fit.zarr"))
    assert back.ranef()["grp"].tolist() == fit.ranef()["grp"].tolist()


def test_no_such_file(tmp_path):
    with pytest.raises(nm.DataError, match="no file"):
        nm.load_bayesfit(tmp_path / "nothing.zarr")


def test_other_files_are_refused(bayes, tmp_path):
    other = tmp_path / "other.zarr"
    bayes.data.to_zarr(other, zarr_format=2)
    with pytest.raises(nm.DataError, match=r"not written by BayesFit\.save"):
        nm.load_bayesfit(other)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(nm.DataError, match="holds no posterior"):
        nm.load_bayesfit(tmp_path / "empty.zarr")


def test_what_cannot_be_pickled(bayes, tmp_path):
    from dataclasses import replace

    with pytest.raises(nm.DataError, match="cannot be pickled"):
        replace(bayes, data_name=(x for x in ())).save(tmp_path / "fit.zarr")


def test_netcdf_without_a_library(bayes, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert storage.importlib.util.find_spec("h5py") is None
    with pytest.raises(nm.errors.OptionError, match=r"pip install 'nestedmlm\[netcdf\]'"):
        bayes.save(tmp_path / "fit.nc")
