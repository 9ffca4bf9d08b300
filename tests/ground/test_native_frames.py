"""Frames come back as the kind of table that was given (every verb: `fits/test_verbs.py`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.native_frames import to_native

pl = pytest.importorskip("polars")
SLEEP = nm.load_dataset("sleepstudy")
FORMULA = "Reaction ~ Days + (1 | Subject)"


@pytest.fixture(scope="module")
def fit():
    return nm.lmer(FORMULA, pl.from_pandas(SLEEP))


def posterior(fit):
    return replace(fake_bayesfit(nm.lmer(FORMULA, SLEEP)), source=fit.model)


@pytest.fixture(scope="module")
def generalized():
    d = pl.from_pandas(nm.load_dataset("cbpp").astype({"period": object, "herd": object}))
    return nm.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", d, family="binomial"
    )


@pytest.mark.parametrize("call", [
    lambda f: f.tidy(), lambda f: f.augment(), lambda f: f.ranef(), lambda f: f.cov_params(),
    lambda f: f.predict(interval="confidence"), lambda f: f.summary().to_frame(),
    lambda f: f.emmeans("Days").to_frame(), lambda f: nm.emmeans(f, "Days").to_frame(),
    lambda f: f.emtrends("1", var="Days").contrast({"one": [1.0]}).to_frame(),
    lambda f: nm.etable(f, f).to_frame(), lambda f: nm.etable({"a": f}).to_frame(),
    lambda f: nm.anova(f, f.update(". ~ . + I(Days^2)")).to_frame(), lambda f: f.coef()["Subject"],
    lambda f: f.influence("Subject", refit="none").dfbeta(), lambda f: f.varcorr().to_frame(),
    lambda f: f.refit_many(np.c_[f.design.y, f.design.y]).tidy(), lambda f: f.icc(),
    lambda f: f.model.update(". ~ .").fit().tidy(),
    lambda f: f.bootstrap(3, progress=False, seed=1).conf_int(),
    lambda f: posterior(f).parameters(), lambda f: posterior(f).varcorr().to_frame(),
])  # fmt: skip
def test_polars(call, fit):
    assert isinstance(call(fit), pl.DataFrame)
    found = call(nm.lmer(FORMULA, SLEEP))
    assert isinstance(found, pd.DataFrame | pd.Series)


def test_polars_of_generalized_models(generalized):
    means = generalized.emmeans("period").pairs().to_frame()
    for found in (generalized.tidy(), generalized.ranef(), generalized.summary().to_frame(), means,
                  generalized.overdispersion()):  # fmt: skip
        assert isinstance(found, pl.DataFrame)
    assert isinstance(generalized.residuals(), pl.Series)


def test_rows_stay_a_series(fit):
    data = pl.from_pandas(SLEEP)
    both = data.with_columns(predicted=fit.predict(), resid=fit.residuals())
    np.testing.assert_allclose(both["predicted"] + both["resid"], both["Reaction"])


def test_the_table_of_the_call_decides(fit):
    assert isinstance(fit.predict(SLEEP.head(2)), pd.Series)
    own = nm.lmer(FORMULA, SLEEP)
    assert isinstance(own.predict(pl.from_pandas(SLEEP.head(2))), pl.Series)
    assert isinstance(own.augment(pl.from_pandas(SLEEP)), pl.DataFrame)


def test_rows_that_were_left_out_have_their_numbers():
    holes = SLEEP.assign(Reaction=SLEEP.Reaction.where(SLEEP.Days != 3))
    found = nm.lmer(FORMULA, pl.from_pandas(holes)).augment()
    assert found["row"][:4].to_list() == [0, 1, 2, 4]


def test_labels_become_columns():
    frame = pd.DataFrame({"x": [1.0, np.nan]}, index=pd.Index(["a", "b"]))
    found = to_native(frame)
    assert found.columns == ["term", "x"] and found["x"].to_list() == [1.0, None]
    mixed = pd.DataFrame({"level": pd.Series([1, "b", None], dtype=object)})
    assert to_native(mixed)["level"].to_list() == ["1", "b", None]
    named = frame.rename_axis("x")  # a column of that name is there already
    assert to_native(named).columns == ["x"]


def test_a_function_of_the_users_gets_the_users_table(fit):
    found = fit.bootstrap(2, lambda m: m.tidy("fixed")["estimate"].to_numpy(), progress=False)
    assert found.t.shape == (2, 2)
    named = fit.bootstrap(2, lambda m: m.icc(), progress=False)
    assert list(named.t.columns) == ["adjusted", "unadjusted"]
