"""New groups as one yardstick: refits by R, both engines, elimination by elpd."""

from __future__ import annotations

import numpy as np
import pytest
from designs import data
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import DataError, ModelComparisonError, OptionError
from nestedmlm.fits.verbs.influence import left_out
from nestedmlm.fits.verbs.loo import group_loo
from nestedmlm.inference.means.linear import LinearFit


@pytest.fixture(scope="module")
def fits():
    table = nm.load_dataset("sleepstudy")
    formulas = ("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)")
    return [nm.lmer(formula, table) for formula in formulas]


@pytest.fixture(scope="module")
def pastes():
    table = nm.load_dataset("Pastes")
    terms = ("(1 | batch) + (1 | sample)", "(1 | batch)", "(1 | sample)")
    return [nm.lmer(f"strength ~ 1 + {term}", table) for term in terms]


def test_as_refits_by_lme4(fits, pastes):
    """R: each group left out of lmer, dense normal density with X vcov X' added."""
    slopes, intercepts = fits
    found = nm.compare(intercepts, slopes)
    assert found.best == "slopes"
    assert found.group == "Subject"
    assert found.table["elpd"].tolist() == pytest.approx([-891.335417, -907.121026], abs=2e-6)
    assert found.table.loc["intercepts", "elpd_diff"] == pytest.approx(-15.785608, abs=2e-6)
    assert found.table.loc["intercepts", "diff_std_error"] == pytest.approx(15.118667, abs=2e-6)
    three = [-61.249755, -47.703471, -47.048942]
    assert found.groups["slopes"].iloc[:3].tolist() == pytest.approx(three, abs=2e-6)
    both, batch, sample = pastes
    table = nm.compare(both, batch, sample, group="batch").table  # a column of the third's data
    assert table["elpd"].to_dict() == pytest.approx(
        {"both": -127.546285, "batch": -155.538558, "sample": -126.622304}, abs=2e-5
    )
    away = nm.compare(both, batch).table.loc["batch", ["elpd_diff", "diff_std_error"]]
    assert away.tolist() == pytest.approx([-27.992273, 5.618017], abs=2e-5)
    assert nm.compare(both, sample).group == "batch"  # the coarsest of all models' factors


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.SamplingWarning")
def test_both_engines(fits):
    slopes, intercepts = fits
    posterior = fake_bayesfit(slopes, chains=2, draws=200)
    found = nm.compare(slopes, intercepts, posterior, unit="Subject", names=["s", "i", "p"])
    elpd = posterior.loo("Subject").elpd_i.values
    assert found.groups["p"].to_numpy() == pytest.approx(elpd)
    away = found.groups["i"] - found.groups["p"]
    assert found.table.loc["i", "elpd_diff"] == pytest.approx(away.sum())
    assert found.table.loc["i", "diff_std_error"] == pytest.approx(np.sqrt(18 * away.var()))
    assert found.table["engine"].to_dict() == {"p": "posterior", "s": "REML", "i": "REML"}
    assert "count the uncertainty of covariances" in str(found)
    assert nm.compare(slopes, posterior).table.index[0] == "(Intercept)"  # parameters
    assert nm.compare(slopes, posterior, unit="group").table.shape[0] == 2
    with pytest.raises(OptionError, match="rows are left out of posteriors only"):
        nm.compare(slopes, posterior, unit="row")
    several = nm.compare(posterior, posterior, unit="Subject", names=["a", "b"])
    assert several.unit == "group"


def test_refusals(fits):
    slopes = fits[0]
    other = nm.lmer("Reaction ~ 1 + (1 | Subject)", nm.load_dataset("sleepstudy").iloc[:170])
    with pytest.raises(ModelComparisonError, match="another response"):
        nm.compare(slopes, other)
    crossed = nm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))
    with pytest.raises(OptionError, match="contains all others"):
        nm.compare(crossed, crossed)
    with pytest.raises(OptionError, match="1 names for 2 fits"):
        nm.compare(slopes, fits[1], names=["one"])
    with pytest.raises(OptionError, match="criterion must be one of"):
        slopes.step(criterion="aic")
    with pytest.raises(OptionError, match="criterion must be one of"):
        slopes.simplify(criterion="aic")


def test_a_linear_model_predicts_groups_as_a_fit_without_variance():
    table = data()
    rng = np.random.default_rng(3)
    table["y"] = rng.normal(size=len(table))
    fit = nm.lmer("y ~ x + (1 | f2)", table, weights="w")
    assert fit.is_singular()
    what = left_out(fit, "f2")
    ours = group_loo(fit, what, refit="none")
    step = fit.step(criterion="elpd", reduce_fixed=False)
    assert isinstance(step.final, LinearFit)
    linear = group_loo(step.final, what)
    assert linear.to_frame()["elpd"].to_numpy() == pytest.approx(ours.to_frame()["elpd"], rel=1e-8)
    assert linear.rmse == pytest.approx(ours.rmse)
    table["only"] = (table["f2"] == table["f2"].iloc[0]) * 1.0
    alone = nm.lmer("y ~ only + (1 | f2)", table)
    flat = nm.lmer("y ~ 1 + (1 | f2)", table).step(criterion="elpd").final
    assert isinstance(flat, LinearFit)
    with pytest.raises(DataError, match="cannot be estimated"):
        alone.step(criterion="elpd")


def test_elimination_by_elpd():
    fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", nm.load_dataset("cake"))
    found = fit.step(criterion="elpd", group="replicate")
    assert found.final.formula == "angle ~ temperature + (1 | recipe:replicate)"
    smaller = fit.update(". ~ . - recipe:temperature")
    away = nm.compare(fit, smaller, group="replicate", names=["fit", "smaller"])
    row = found.fixed.loc["recipe:temperature"]
    assert row["elpd_diff"] == pytest.approx(-away.table.loc["fit", "elpd_diff"])
    assert row["diff_std_error"] == pytest.approx(away.table.loc["fit", "diff_std_error"])
    assert found.fixed["Eliminated"].tolist() == [1.0, 2.0, 0.0]
    assert found.random["elpd"].iloc[0] == pytest.approx(away.table.loc["fit", "elpd"])
    kept = fit.step(criterion="elpd", group="replicate", keep=["recipe:temperature"])
    assert kept.final.formula == fit.formula
    text = str(found)
    assert "Criterion: elpd of new groups, 15 replicate" in text
    path = nm.lmer("angle ~ temp + (temp | replicate)", nm.load_dataset("cake")).simplify(
        criterion="elpd"
    )
    assert path.comparison.best == "step 1"
    assert "predicted by the others" in str(path)


def test_picture(fits):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    slopes, intercepts = fits
    ax = nm.plots.loo(nm.compare(intercepts, slopes), label=2)
    assert "Subject best" in ax.get_title(loc="left")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["intercepts: -15.8 (SE 15.1)"]
    assert len(ax.texts) == 2
    drawn = nm.plots.loo(slopes.loo(progress=False))
    assert drawn.get_ylabel() == "elpd per row"
    matplotlib.pyplot.close("all")
