"""Arrays of numbers that callers give: what is no number is refused, wherever it is given."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.arguments import check_level, check_number, real_array
from nestedmlm.errors import OptionError

NO_NUMBERS = {
    "text": ["1", "2"],
    "objects of text": pd.Series(["1", "2"], dtype=object),
    "complex": np.array([1.0, 2.0 + 1.0j]),
    "dates": np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
    "times": pd.to_timedelta([1, 2], unit="s"),
    "a date": [dt.date(2020, 1, 1), 1],
    "too large": [10**400, 1],
    "mapping": {"theta": [1.0, 2.0]},
}


@pytest.mark.parametrize("values", NO_NUMBERS.values(), ids=list(NO_NUMBERS))
def test_what_is_no_number(values):
    with pytest.raises((TypeError, ValueError)):
        real_array(values)


def test_numbers():
    for values in ([1, 2], [True, 2], [Decimal(1), 2.0], pd.Series([1, 2], dtype="Int64")):
        assert real_array(values).tolist() == [1.0, 2.0]
    masked = np.ma.masked_array([1, 2], mask=[False, True])
    assert np.isnan(real_array(masked)).tolist() == [False, True]


def test_one_number_that_is_too_large():
    for check in (check_number, check_level):
        with pytest.raises(OptionError):
            check(10**400, "tolerance")


@pytest.fixture(scope="module")
def fit():
    return nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))


@pytest.mark.parametrize("values", [NO_NUMBERS["complex"], NO_NUMBERS["dates"], ["1", "2"]])
def test_doors_refuse_them(fit, values):
    many = np.resize(values, 30)
    with pytest.raises(nm.DataError, match="must be numbers"):
        fit.refit(many)
    with pytest.raises(nm.DataError, match="must be numbers"):
        fit.refit(weights=many)
    with pytest.raises(nm.DataError, match="must be numbers"):
        fit.refit_many(np.column_stack([many, many]))
    with pytest.raises(OptionError, match="an array of numbers"):
        fit.model.fit(start=many[:1])
    with pytest.raises(OptionError, match="contrasts are text, numbers or a table"):
        fit.contest(np.array([many[:1]]))
    with pytest.raises(OptionError, match="rhs must hold numbers"):
        fit.contest([1.0], rhs=many[:1])
    with pytest.raises(OptionError, match="must hold numbers only"):
        fit.contest(pd.DataFrame({"(Intercept)": many[:1]}))


def test_masked_responses_are_missing(fit):
    y = np.ma.masked_array(fit.design.y, mask=np.arange(30) == 3)
    with pytest.raises(nm.DataError, match="missing or infinite"):
        fit.refit(y)


@pytest.mark.parametrize("bad", [-1.0, "a", np.nan, None, True, 10**400], ids=lambda b: f"{b!s:.4}")
@pytest.mark.parametrize("name", ["tolerance", "escape_tolerance", "snap"])
def test_settings_of_the_optimizer_are_checked(name, bad):
    with pytest.raises(OptionError, match=name):
        nm.Control(**{name: bad})


@pytest.mark.parametrize("bad", [0, -1, 2.5, "a", None, True])
def test_evaluations_are_counted(bad):
    with pytest.raises(OptionError, match="max_evaluations"):
        nm.Control(max_evaluations=bad)


def test_contrasts_nest_and_change_sign(fit):
    sign = fit.contest("-" * 5001 + "(Intercept) = 3", joint=False)
    assert sign.to_frame()["estimate"].item() == pytest.approx(-fit.params.item())
    with pytest.raises(OptionError, match="nested"):
        fit.contest("(" * 5000 + "1" + ")" * 5000 + " * (Intercept) = 0")


def test_responses_whose_squares_are_not_finite(fit):
    with pytest.raises(nm.DataError, match="too large to compute with"):
        fit.refit(fit.design.y * 1e200)


def test_predictors_whose_squares_are_not_finite():
    rows = nm.load_dataset("Dyestuff").assign(x=np.arange(30) * 1e200)
    for formula in ("Yield ~ x + (1 | Batch)", "Yield ~ 1 + (0 + x | Batch)"):
        with pytest.raises(nm.DataError, match="too large to compute with"):
            nm.glmer(formula, rows, family="gamma", link="log")


def test_a_family_by_its_name_is_no_family():
    with pytest.raises(OptionError, match="must be a Family such as"):
        nm.build_design("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"), family="poisson")


def test_a_constant_new_response_is_named_once():
    counts = nm.load_dataset("Dyestuff").assign(k=np.arange(30) % 7)
    fit = nm.glmer("k ~ 1 + (1 | Batch)", counts, family="poisson")
    with pytest.raises(nm.DataError, match=r"^the new response is constant \(2\)"):
        fit.refit(np.full(30, 2))
