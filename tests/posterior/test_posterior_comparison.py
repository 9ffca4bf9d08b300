"""Posteriors of several models, and what each prior does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm


@pytest.fixture(scope="module")
def fits():
    data = nm.load_dataset("sleepstudy")
    both = nm.Model("Reaction ~ Days + (Days | Subject)", data)
    one = nm.Model("Reaction ~ Days + (1 | Subject)", data)
    return [model.sample(sampler="psis", seed=1) for model in (one, both)]


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.SamplingWarning")
def test_models_side_by_side(fits):
    intercepts, slopes = fits
    found = nm.compare(intercepts, slopes, seed=1)
    table = found.table
    assert table.index.tolist() == ["slopes", "intercepts"]
    own = {name: fit.loo(integrated=True) for name, fit in
           zip(("intercepts", "slopes"), fits, strict=True)}  # fmt: skip
    away = own["intercepts"].elpd_i.values - own["slopes"].elpd_i.values
    assert table.loc["intercepts", "elpd_diff"] == pytest.approx(away.sum())
    assert table.loc["intercepts", "diff_std_error"] == pytest.approx(
        np.sqrt(180 * away.var(ddof=1))
    )
    assert table.loc["slopes", ["elpd_diff", "diff_std_error", "log_bf"]].tolist() == [
        0.0,
        0.0,
        0.0,
    ]
    evidence = [fit.log_evidence(seed=1).log for fit in fits]
    assert table.loc["intercepts", "log_bf"] == pytest.approx(evidence[0] - evidence[1])
    assert "random effects integrated out" in str(found) and "log BF" in str(found)
    groups = nm.compare(*fits, unit="group", names=["a", "b"], seed=1).table
    assert groups.loc["b", "elpd"] == pytest.approx(slopes.loo("group").elpd)


def test_evidence_of_several_factors_is_left_out_and_said_so_once():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"g": np.arange(24) % 4, "h": np.arange(24) % 3, "y": rng.poisson(2.0, 24)})
    crossed = fake_bayesfit(nm.glmer("y ~ 1 + (1 | g) + (1 | h)", rows, family="poisson"))
    found = nm.compare(crossed, crossed, names=["one", "again"], seed=1)
    assert found.table[["log_evidence", "log_bf"]].isna().all(axis=None)
    (note,) = found.notes
    assert note.startswith("one, again: log evidence and Bayes factor left out")
    assert found.table["elpd"].tolist() == [crossed.loo().elpd] * 2


def test_what_is_not_compared(fits):
    other = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    with pytest.raises(nm.errors.ModelComparisonError, match="M2 is of another response than M1"):
        nm.compare(fits[0], other.sample(sampler="psis", draws=250, seed=1), names=["M1", "M2"])
    with pytest.raises(nm.errors.OptionError, match="3 names for 2"):
        nm.compare(*fits, names=["a", "b", "c"])
    with pytest.raises(nm.errors.OptionError, match="or several fits of either kind"):
        nm.compare(fits[0])


def test_sensitivity_is_that_of_arviz(fits):
    az = pytest.importorskip("arviz")
    posterior = fits[1].with_prior(draws=10, seed=1)
    table = posterior.sensitivity()
    assert table.columns.tolist() == ["prior", "likelihood", *posterior.priors]
    for variable in ("Days", "sigma", "1|Subject_sigma"):
        for column, options in {
            "prior": {"group": "prior"}, "likelihood": {"group": "likelihood"},
            "Subject_corr": {"group": "prior", "group_var_names": ["Subject_corr"]},
        }.items():  # fmt: skip
            expected = az.psense(posterior.data, var_names=[variable], **options)[variable]
            assert table.loc[variable, column] == pytest.approx(float(expected), abs=1e-10)
    tight = {"Days": nm.Prior("Normal", mu=0, sigma=2)}
    pulled = posterior.source.sample(priors=tight, sampler="psis", seed=1).sensitivity()
    assert pulled.loc["Days", "Days"] > 0.1 > 10 * table.loc["Days", "Days"]
