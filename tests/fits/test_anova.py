"""Model comparison, as lme4's `anova` does and prints it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from designs import data
from fake_fit import fake_fit, printed

import nestedmlm as nm
from nestedmlm.callers import Caller
from nestedmlm.errors import ModelComparisonError, NestedMLMWarning, OptionError
from nestedmlm.fits.model_comparison import compare_models
from nestedmlm.views.render.frame_columns import named_frame


@pytest.fixture
def models():
    return [fake_fit(name) for name in ("M14", "M17", "M16")]


def test_the_table_of_the_guide(models, caplog):
    with caplog.at_level(logging.WARNING, logger="nestedmlm"):
        result = compare_models(models, names=["M14", "M17", "M16"])
    assert str(result) == printed("anova")["M14, M17, M16"]
    assert caplog.messages == ["refitting model(s) with ML (instead of REML)"]
    assert result.messages == ("refitting model(s) with ML (instead of REML)",)


def test_the_numbers(models):
    table = compare_models(models, names=["M14", "M17", "M16"]).table
    assert table.columns.tolist() == [
        "npar", "AIC", "BIC", "logLik", "-2*log(L)", "Chisq", "Df", "Pr(>Chisq)",
    ]  # fmt: skip
    assert table["npar"].tolist() == [6, 7, 8]
    assert table.loc["M17", "Chisq"] == pytest.approx(4.6584, abs=5e-5)
    assert table.loc["M17", "Pr(>Chisq)"] == pytest.approx(0.0309, abs=5e-5)
    assert table.loc["M14", ["Chisq", "Df", "Pr(>Chisq)"]].isna().all()


def test_models_are_sorted_by_their_parameters(models):
    table = compare_models(models[::-1]).table
    assert table.index.tolist() == ["M3", "M2", "M1"]


def made(npar, llf, **changes):
    """A fit by ML with these parameters and log-likelihood."""
    return fake_fit("M17", REML=False, npar=npar, llf=llf, refit_ml=lambda: made(npar, llf),
                    **changes)  # fmt: skip


def test_a_larger_model_that_fits_worse_has_chisq_zero_and_equal_sizes_no_p_value():
    table = compare_models([made(5, -100.0), made(5, -99.0), made(6, -100.5)]).table
    assert table.index.tolist() == ["M1", "M2", "M3"]  # stable
    assert table["Df"].tolist()[1:] == [0.0, 1.0]
    assert np.isnan(table.loc["M2", "Pr(>Chisq)"])
    assert table.loc["M2", "Chisq"] == pytest.approx(2.0)
    assert table.loc["M3", "Chisq"] == 0.0
    assert table.loc["M3", "Pr(>Chisq)"] == 1.0


def test_without_stars_there_is_no_legend():
    text = str(compare_models([made(5, -100.0), made(6, -99.9)]))
    assert "Signif" not in text


def test_ml_fits_are_not_announced(caplog):
    result = compare_models([made(5, -100.0), made(6, -99.0)])
    assert result.messages == ()
    assert not caplog.messages


def test_without_refit_reml_criteria_are_compared(models):
    table = compare_models(models, refit=False).table
    assert table["logLik"].iloc[0] == models[0].llf


def test_a_mixture_of_reml_and_ml_gets_a_warning(models):
    with pytest.warns(NestedMLMWarning, match="some models fit with REML = True, some not"):
        compare_models([models[0], made(7, -5940.0)], refit=False)


def test_one_model_gets_sequential_sums_of_squares():
    assert str(compare_models([fake_fit("M17")])) == printed("anova")["M17"]
    assert str(compare_models([fake_fit("sleep_weights")])) == printed("anova")["sleep_weights"]


def test_sequential_sums_of_squares_are_those_of_the_qr_decomposition():
    rng = np.random.default_rng(4)
    X, sigma = np.column_stack([np.ones(40), rng.normal(size=(40, 4))]), 0.7
    y = X @ np.array([3.0, 1.0, -1.0, 0.5, 0.2]) + rng.normal(size=40)
    beta = np.linalg.lstsq(X, y)[0]
    Q, _ = np.linalg.qr(X)
    squares = (Q.T @ y) ** 2
    cov = pd.DataFrame(sigma**2 * np.linalg.inv(X.T @ X))
    fit = SimpleNamespace(
        design=SimpleNamespace(x_assign=(0, 1, 1, 2, 3), x_terms=("f", "x", "z")),
        params=pd.Series(beta),
        cov_params=lambda: cov,
        core=SimpleNamespace(scale=sigma),
    )
    table = compare_models([fit]).table
    assert table.index.tolist() == ["f", "x", "z"]
    assert table["npar"].tolist() == [2, 1, 1]
    expected = [squares[1] + squares[2], squares[3], squares[4]]
    assert table["Sum Sq"].to_numpy() == pytest.approx(expected)
    assert table["F value"].to_numpy() == pytest.approx(np.array(expected) / [2, 1, 1] / sigma**2)


def test_one_model_without_fixed_terms_has_an_empty_table():
    result = compare_models([fake_fit("pastes")])
    assert result.table.empty
    assert str(result).startswith("Analysis of Variance Table")


def test_sizes_must_agree(models):
    models[1].nobs = 1000
    with pytest.raises(ModelComparisonError, match=r"same size of dataset.*M2: 1000"):
        compare_models(models)


def test_responses_must_agree(models):
    models[2].design = SimpleNamespace(y=np.ones(1190), sums=None, family=None)
    with pytest.raises(ModelComparisonError, match="M1 and M3 were fitted to different responses"):
        compare_models(models)


def test_names_must_be_as_many_as_models(models):
    with pytest.raises(ModelComparisonError, match="2 names for 3 models"):
        compare_models(models, names=["a", "b"])
    with pytest.raises(ModelComparisonError, match="at least one"):
        compare_models([])


def test_names_come_from_the_callers_variables(models):
    small, large, _ = models
    caller = Caller.here()
    assert caller.distinct_names_of([small, large]) == ["small", "large"]
    assert caller.distinct_names_of([small, small]) is None
    assert caller.distinct_names_of([small, object()]) is None


def test_an_unknown_data_name_leaves_out_the_line(models):
    for model in models:
        refitted = model.refit_ml()
        refitted.data_name = None
        model.refit_ml = lambda refitted=refitted: refitted
    assert str(compare_models(models)).startswith("Models:")


def test_html_and_tables(models):
    result = compare_models(models)
    assert "Pr(&gt;Chisq)" in result._repr_html_()
    pd.testing.assert_frame_equal(result.tables["anova"], named_frame(result.table, "model"))


# Models that are not nested ----------------------------------------------------------------------

PAIRS = [  # smaller, larger, nested
    ("y ~ x + (1 | f1)", "y ~ x + z + (1 | f1)", True),
    ("y ~ x + (1 | f1)", "y ~ z + I(z^2) + (1 | f1)", False),
    ("y ~ x + (1 | f1)", "y ~ poly(x, 2) + (1 | f1)", True),
    ("y ~ x + (1 | f1)", "y ~ x + (x | f1)", True),
    ("y ~ x + (x | f1)", "y ~ x + (poly(x, 2) | f1)", True),
    ("y ~ x + (x || f1)", "y ~ x + (x | f1)", True),
    ("y ~ x + (x | f1)", "y ~ x + (x || f1) + (0 + z | f1) + (1 | c1)", False),
    ("y ~ x + (1 | f1)", "y ~ x + (x | c1)", False),
    ("y ~ x + (1 | f1)", "y ~ x + (1 | f1) + (1 | c1)", True),
    ("y ~ x + (1 | f1)", "y ~ x + ar1(0 + a | f1)", True),
    ("y ~ x + ar1(0 + a | f1)", "y ~ x + (x | f1)", False),
    ("y ~ x + ar1(0 + a | f1)", "y ~ x + (1 | f1) + (x | f1:a)", True),  # nobody knows
]


@pytest.mark.parametrize(("small", "large", "expected"), PAIRS)
def test_models_that_are_not_nested_are_named(small, large, expected):
    rows = data(200)
    small, large = (nm.lmer(formula, rows, REML=False) for formula in (small, large))
    table = nm.anova(large, small)
    said = "small is not nested in large: its p-value means nothing; compare AIC or BIC"
    assert (said in table.messages) is not expected
    assert (said in str(table)) is not expected


@pytest.mark.parametrize(
    ("one", "two", "apart"),
    [
        ("x + (1 | f1)", "z + (1 | f1)", True),
        ("x + (1 | f1)", "x + (0 + z | f1)", True),
        ("x + (a | f1)", "x + (0 + a | f1)", False),  # the same model
    ],
)
def test_models_of_as_many_parameters_that_are_not_nested_are_named(one, two, apart):
    rows = data(200)
    one, two = (nm.lmer(f"y ~ {right}", rows, REML=False) for right in (one, two))
    said = "one is not nested in two: both have as many parameters, and nothing to test"
    assert (said in str(nm.anova(one, two))) is apart


def test_a_list_of_fits_is_as_good_as_the_fits():
    rows = data(200)
    small, large = (nm.lmer(f"y ~ {x} + (1 | f1)", rows, REML=False) for x in ("x", "x + z"))
    assert str(nm.anova([small, large])) == str(nm.anova(small, large))
    with pytest.raises(OptionError, match="each of the fits must be an LmerFit"):
        nm.anova([small, "large"])
