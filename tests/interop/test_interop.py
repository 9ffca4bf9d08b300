"""marginaleffects takes an `LmerFit`: against emmeans, predict and the coefficients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm import interop

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    me = pytest.importorskip("marginaleffects", reason="marginaleffects is not installed")
import polars as pl

OLD_POLARS = int(pl.__version__.split(".")[0]) < 2
factors = pytest.mark.skipif(
    not OLD_POLARS, reason="marginaleffects 0.6.1 needs polars < 2 where there are factors"
)
# marginaleffects uses what polars has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def sleep():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def cake():
    return nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))


def numbers(result, column="estimate"):
    return result[column].to_numpy()


def test_predictions_are_the_population(sleep):
    found = interop.predictions(sleep)
    assert np.allclose(numbers(found), sleep.predict(re_form=False))
    expected = sleep.predict(re_form=False, se_fit=True)["std_error"]
    X = sleep.design.X
    expected = np.sqrt(np.einsum("ij,jk,ik->i", X, sleep.cov_params().to_numpy(), X))
    assert np.allclose(numbers(found, "std_error"), expected, rtol=1e-6)


def test_predictions_of_groups(sleep):
    found = interop.predictions(sleep, re_form=None)
    assert np.allclose(numbers(found), sleep.fittedvalues)


def test_slopes(sleep):
    found = interop.avg_slopes(sleep)
    assert numbers(found)[0] == pytest.approx(sleep.fixef["Days"])
    assert numbers(found, "std_error")[0] == pytest.approx(sleep.bse["Days"], rel=1e-6)


def test_kenward_roger(sleep):
    found = interop.avg_slopes(sleep, vcov="kenward-roger")
    adjusted = sleep.summary(ddf="kenward-roger").tables["coefficients"]["Std. Error"]
    assert numbers(found, "std_error")[0] == pytest.approx(adjusted["Days"], rel=1e-6)


@factors
def test_comparisons_are_contrasts(cake):
    found = interop.avg_comparisons(cake, variables="recipe")
    means = nm.emmeans(cake, "recipe", ddf="none")
    pairs = means.contrast("trt.vs.ctrl", adjust="none").to_frame()
    assert np.allclose(numbers(found), pairs["estimate"])
    assert np.allclose(numbers(found, "std_error"), pairs["std_error"], rtol=1e-5)


@factors
def test_slopes_by_group_are_trends(cake):
    found = interop.avg_slopes(cake, variables="temp", by="recipe")
    trends = nm.emtrends(cake, "recipe", var="temp", ddf="none").to_frame()
    assert np.allclose(numbers(found), trends["estimate"])
    assert np.allclose(numbers(found, "std_error"), trends["std_error"], rtol=1e-5)


@factors
def test_grids(cake):
    model = interop.marginaleffects_model(cake)
    grid = me.datagrid(model=model, temp=[180, 200], recipe=["A", "B"])
    found = interop.predictions(cake, newdata=grid)
    expected = nm.emmeans(cake, ["temp", "recipe"], at={"temp": [180, 200], "recipe": ["A", "B"]})
    assert np.allclose(np.sort(numbers(found)), np.sort(expected.to_frame()["estimate"]))


def test_offset():
    data = nm.load_dataset("sleepstudy").assign(o=lambda d: 0.1 * d["Days"] ** 2)
    fit = nm.lmer("Reaction ~ Days + offset(o) + (1 | Subject)", data)
    found = interop.predictions(fit)
    assert np.allclose(numbers(found), fit.predict(re_form=False))
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", data, offset=np.ones(180))
    with pytest.raises(nm.NestedMLMError, match="array"):
        interop.predictions(fit)


def test_curves_belong_to_the_mean():
    rng = np.random.default_rng(3)
    x, g = rng.uniform(0.0, 6.0, 90), np.repeat(np.arange(9), 10)
    y = np.sin(x) + rng.normal(size=9)[g] + 0.3 * rng.normal(size=90)
    fit = nm.lmer("y ~ s(x, k=6) + (1 | g)", {"y": y, "x": x, "g": g})
    assert np.allclose(numbers(interop.predictions(fit)), fit.predict(re_form=False))
    assert np.allclose(numbers(interop.predictions(fit, re_form=None)), fit.fittedvalues)
    places = [1.0, 4.0]
    means = nm.emmeans(fit, "x", at={"x": places}).to_frame()
    found = interop.predictions(fit, newdata=pl.DataFrame({"x": places}))
    for column in ("estimate", "std_error"):
        assert np.allclose(numbers(found, column), means[column], rtol=1e-6)


def test_registered(sleep):
    interop.register_marginaleffects()
    interop.register_marginaleffects()
    found = me.avg_predictions(sleep)
    assert numbers(found)[0] == pytest.approx(sleep.predict(re_form=False).mean())
    assert numbers(me.avg_slopes(sleep))[0] == pytest.approx(sleep.fixef["Days"])
    with pytest.raises(ValueError, match="Unknown model"):
        me.predictions(3.0)


def test_re_form_is_checked(sleep):
    with pytest.raises(nm.NestedMLMError, match="re_form"):
        interop.predictions(sleep, re_form="~ (1 | Subject)")
