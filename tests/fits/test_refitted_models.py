"""What is fitted again after `refit`: reduced and changed formulas take the new response."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import DataError, OptionError

SLEEP = "Reaction ~ Days + (Days | Subject)"
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"


@pytest.fixture(scope="module", params=["lmer", "glmer"])
def pair(request):
    """A refit to another response, and the fit of a table that has it."""
    if request.param == "lmer":
        data = nm.load_dataset("sleepstudy")
        fit = nm.lmer(SLEEP, data, REML=False)
        y = fit.simulate(1, seed=3)["sim_1"]
        return fit.refit(y), nm.lmer(SLEEP, data.assign(Reaction=y), REML=False)
    data = nm.load_dataset("grouseticks")
    fit = nm.glmer(TICKS, data, family="poisson")
    y = fit.simulate(1, seed=3)["sim_1"]
    return fit.refit(y), nm.glmer(TICKS, data.assign(TICKS=y), family="poisson")


@pytest.mark.parametrize(
    "table",
    [
        lambda fit: fit.drop1(test="Chisq").table,
        lambda fit: fit.ranova().table,
        lambda fit: fit.update(f". ~ . - {fit.design.x_terms[-1]}").tidy("fixed").iloc[:, -3:],
        lambda fit: fit.augment().select_dtypes("number"),
    ],
    ids=["drop1", "ranova", "update", "augment"],
)
def test_the_new_response_is_taken(pair, table):
    again, same = (table(fit).astype(float) for fit in pair)
    pd.testing.assert_frame_equal(again, same, rtol=1e-4, atol=1e-4, check_like=True)


def test_other_responses_are_refused(pair):
    again, _ = pair
    with pytest.raises(OptionError, match="another response"):
        again.update(f"I(2 * {again.design.formula.response_text}) ~ .")
    with pytest.raises(OptionError, match="make them columns"):
        again.standardized()


def test_new_weights_are_taken():
    data = nm.load_dataset("sleepstudy").assign(w=np.linspace(1.0, 2.0, 180))
    y = data["Reaction"][::-1].to_numpy()
    again = nm.lmer(SLEEP, data, REML=False).refit(weights=data["w"]).refit(y)
    same = nm.lmer(SLEEP, data.assign(Reaction=y), REML=False, weights="w")
    small, other = (fit.update(". ~ . - Days") for fit in (again, same))
    assert small.criterion == pytest.approx(other.criterion, abs=1e-6)
    with pytest.raises(DataError, match="given to refit"):
        again.extend(along="Subject", n=20)


def test_rows_without_a_new_response_are_refused():
    data = nm.load_dataset("sleepstudy").assign(x=np.arange(180.0))
    data.loc[5, "x"] = np.nan
    fit = nm.lmer("Reaction ~ Days + x + (1 | Subject)", data)
    again = fit.refit(2.0 * fit.design.y)
    with pytest.raises(DataError, match="no value in row 5"):
        again.update(". ~ . - x")
    kept = again.update(". ~ . - Days")
    assert kept.sigma == pytest.approx(2.0 * fit.update(". ~ . - Days").sigma, rel=1e-6)
