"""Number formatting against what R 4.2 prints (the vectors were drawn at random in R)."""

from __future__ import annotations

import numpy as np
import pytest

from nestedmlm.views.render.abbreviate import abbreviate
from nestedmlm.views.render.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.views.render.layout import fill_lines, formula_pieces, matrix_lines, vector_lines
from nestedmlm.views.render.rformat import (
    format_numbers,
    format_pvalues,
    quantiles,
    round_r,
    signif,
    significance_stars,
    zapsmall,
)

FORMAT = [  # x, digits, nsmall, format(x, digits = , nsmall = )
    ([155.969959, 0.0], 5, 3, ["155.970", "  0.000"]),
    ([0.0103905616, 1.92225818], 3, 0, ["0.0104", "1.9223"]),
    ([2.33894057, 9.13594728e-07, 0.00447862295], 4, 0, ["2.339e+00", "9.136e-07", "4.479e-03"]),
    ([0.0019, 1.4], 8, 0, ["0.0019", "1.4000"]),
    ([-80240210.8, -81236591.0], 7, 0, ["-80240211", "-81236591"]),
    ([29000000.0, -62.0, -2.7e-13, 0.0097], 5, 0,
     [" 2.9e+07", "-6.2e+01", "-2.7e-13", " 9.7e-03"]),
    ([-0.0, -567.2, -21020.5], 3, 0, ["     0", "  -567", "-21020"]),
    ([2.64340792e-06, 0.0], 3, 3, ["2.64e-06", "0.00e+00"]),
    ([14.1108924, 0.00409434365, 0.0653215529], 4, 0, ["14.110892", " 0.004094", " 0.065322"]),
    ([-54934049.3, 4.3403589e-08], 3, 3, ["-5.49e+07", " 4.34e-08"]),
    ([-10726.747, -1.30176486], 2, 0, ["-10726.7", "    -1.3"]),
    ([0.35, -9.9], 1, 3, ["  0.350", " -9.900"]),  # R reserves room for a 10 that never comes
    ([99970.0, 1.0], 3, 0, ["99970", "    1"]),
    ([100000.0], 7, 0, ["1e+05"]),
    ([1e-300, 1e300], 3, 0, ["1e-300", "1e+300"]),
]  # fmt: skip


@pytest.mark.parametrize(("x", "digits", "nsmall", "expected"), FORMAT)
def test_format_gives_a_vector_one_format(x, digits, nsmall, expected):
    assert format_numbers(x, digits=digits, nsmall=nsmall) == expected


def test_values_that_are_not_finite_do_not_count():
    assert format_numbers([np.nan, 1.25, np.inf, -np.inf]) == [" NaN", "1.25", " Inf", "-Inf"]
    assert format_numbers([np.nan], na="NA") == ["NA"]
    assert format_numbers([]) == []
    assert format_numbers([1e-308, 3.0]) == ["1e-308", " 3e+00"]  # no power of ten overflows


PVALUES = [  # p, digits, format.pval(p, digits)
    ([0.0310830289, 0.0982416608, 0.620985899], 4, ["0.03108", "0.09824", "0.62099"]),
    ([8.09845687e-05, 0.0958494211, 0.00267817673], 6,
     ["8.09846e-05", "0.09584942", "0.00267818"]),
    ([5.64150335e-06, 8.28502842e-21, 0.000397458722, 1.58781676e-10], 2,
     ["5.6e-06", "< 2e-16", "4e-04", "1.6e-10"]),
    ([0.501521865, 0.00615347925, 2.28747311e-05], 1, ["0.502", "0.006", "2e-05"]),
    ([3.20757868e-22, 3.07252444e-08, 0.0050027094], 1, ["<2e-16", "3e-08", "0.005"]),
    ([0.0309, np.nan, 0.999998], 4, ["0.0309", "NA", "1.0000"]),
]  # fmt: skip


@pytest.mark.parametrize(("p", "digits", "expected"), PVALUES)
def test_pvalues(p, digits, expected):
    assert format_pvalues(p, digits=digits) == expected


ABBREVIATE = [  # labels, minlength, abbreviate(labels, minlength)
    (("(Intercept)", "Days", "I(Days^2)"), 6, ["(Intr)", "Days", "I(D^2)"]),
    (("(Intercept)", "Days", "I(Days^2)"), 11, ["(Intercept)", "Days", "I(Days^2)"]),
    (("Intercept", "temperaturelogI(^2"), 6, ["Intrcp", "tmI(^2"]),
    (("^2Intercept(Intercept)", " recipeb.LDays"), 11, ["^2Intrcp(I)", "recipb.LDys"]),
    (("I(_", "A", "Alog", "I((Intercept):", "TimeDaysI(x", "xrecipeb"), 3,
     ["I(_", "A", "Alg", "I((", "TDI", "xrc"]),
    (("Treatment", "^2x", "condI(bIntercept.L", "logrecipe_poly", "recipe:Timecond.L"), 11,
     ["Treatment", "^2x", "cndI(bInt.L", "logrecp_ply", "rcp:Tmcnd.L"]),
    (("^2Time:", "TreatmentIntercept log^2", "x:recipe.L", "xrecipetemperature"), 6,
     ["^2Tim:", "TrIl^2", "x:rc.L", "xrcptm"]),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "minlength", "expected"), ABBREVIATE)
def test_abbreviate(labels, minlength, expected):
    assert abbreviate(labels, minlength) == expected


def test_rounding_is_that_of_r_4():
    assert round_r([0.15, 0.25, 0.35, 2.5, -1.005], 1).tolist() == [0.1, 0.2, 0.3, 2.5, -1.0]
    assert round_r([1234.5, np.nan], -2)[0] == 1200.0
    # halves go to even as they stand after scaling: 0.175 * 100 is 17.5
    assert signif([0.175, 0.885, 123456.0], 2).tolist() == [0.18, 0.88, 120000.0]
    assert zapsmall([1.0, 1e-9, 0.123456789], 5).tolist() == [1.0, 0.0, 0.12346]
    assert zapsmall([0.0, 0.0]).tolist() == [0.0, 0.0]


def test_small_helpers():
    assert significance_stars([0.0005, 0.005, 0.03, 0.07, 0.5, np.nan]) == [
        "***", "**", "*", ".", " ", "",
    ]  # fmt: skip
    assert quantiles([4.0, 1.0, np.nan, 2.0, 3.0]).tolist() == [1.0, 1.75, 2.5, 3.25, 4.0]
    assert np.isnan(quantiles([np.nan])).all()


def test_wide_matrices_continue_below():
    cells = [["x" * 30, "y" * 30, "z" * 30]]
    assert matrix_lines(cells, rows=["row"], columns=["a", "b", "c"], right=True) == [
        "    " + "a".rjust(30) + " " + "b".rjust(30),
        "row " + "x" * 30 + " " + "y" * 30,
        "    " + "c".rjust(30),
        "row " + "z" * 30,
    ]


def test_long_vectors_continue_below():
    lines = vector_lines(["1"] * 3, ["a" * 30] * 3, gap=2)
    assert lines == [
        "  ".join(["a" * 30] * 2),
        "  ".join(["1".rjust(30)] * 2),
        "a" * 30,
        "1".rjust(30),
    ]


FORMULAS = [  # one line; what lme4 prints after `Formula:`
    (
        "mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))",
        [
            "Formula: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses |",
            "    classid))",
        ],
    ),
    (
        "uigdvhuohdla ~ ywqjteqny:mdkuq + tkjcj + (sdbpfu | qajspotxx) + "
        "((gfpgcz + wgmccisyg * dpjelntscp | lhvxagv:tlnpff) + (1 | astpo)) + (0 + gmn | sgy)",
        [
            "Formula: uigdvhuohdla ~ ywqjteqny:mdkuq + tkjcj + (sdbpfu | qajspotxx) +",
            "    ((gfpgcz + wgmccisyg * dpjelntscp | lhvxagv:tlnpff) + (1 |",
            "        astpo)) + (0 + gmn | sgy)",
        ],
    ),
    (
        "abmeepbx ~ ftjqbqkucd * ipiyluv + yrfymcde * jrpwk + poly(ceeamvgbdo, 3) + (1 | g)",
        [
            "Formula: abmeepbx ~ ftjqbqkucd * ipiyluv + yrfymcde * jrpwk + poly(ceeamvgbdo,",
            "    3) + (1 | g)",
        ],
    ),
]


@pytest.mark.parametrize(("formula", "expected"), FORMULAS)
def test_long_formulas_break_where_r_breaks_them(formula, expected):
    assert fill_lines(["Formula:", *formula_pieces(formula)]) == expected


def test_numbers_that_would_vanish_get_more_digits():
    layout = CoefmatLayout(estimates=(0, 1), tests=(2,), digits=4)
    cells, starred = coefmat_cells(np.array([[1e5, 2e4, 5.0], [1e-6, 2e-6, 0.5]]), layout)
    # print(printCoefmat(rbind(c(1e5, 2e4, 5), c(1e-6, 2e-6, .5)), digits = 4, has.Pvalue = FALSE))
    assert cells == [["1e+05", "2e+04", "5.0"], ["1e-06", "2e-06", "0.5"]]
    assert not starred
