"""Summary, repr and VarCorr, character by character as R prints them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_fit import CASES, block, fake_fit, printed, varcorr

from nestedmlm.covariance import STRUCTURES
from nestedmlm.views.short import fit_view
from nestedmlm.views.summary import summary_view
from nestedmlm.views.varcorr import VarCorr

HINT = """
Correlation matrix not shown by default, as p = 18 > 12.
Use fit.summary(correlation=True) or fit.cov_params() if you need it."""


@pytest.mark.parametrize("name", CASES)
def test_summary(name):
    expected = printed(name)["summary"]
    if name == "cake":
        expected += "\n" + HINT
    assert str(summary_view(fake_fit(name))) == expected


@pytest.mark.parametrize("name", CASES)
def test_short_view(name):
    assert str(fit_view(fake_fit(name))) == printed(name)["print"]


@pytest.mark.parametrize("name", CASES)
def test_varcorr(name):
    assert repr(varcorr(CASES[name])) == printed(name)["VarCorr"]


def test_messages_come_last():
    dropped = "fixed-effect model matrix is rank deficient so dropping 1 column / coefficient"
    singular = "boundary (singular) fit: see fit.diagnose()"
    design = SimpleNamespace(messages=(dropped,), factors=("g",))
    fit = fake_fit("M16", design=design, messages=(dropped, singular))
    for view in (summary_view(fit), fit_view(fit)):
        assert str(view).splitlines()[-4:] == [
            "fit warnings:",
            dropped,
            "optimizer: certified local optimum, 12 evaluations",
            singular,
        ]


def test_names_that_are_not_known_are_left_out():
    text = str(summary_view(fake_fit("M17", data_name=None)))
    assert "Data:" not in text
    assert text.splitlines()[2] == ""


def test_correlation_on_request():
    many = str(summary_view(fake_fit("cake"), correlation=True))
    assert "Correlation of Fixed Effects:" in many
    assert "not shown" not in many
    few = str(summary_view(fake_fit("M17"), correlation=False))
    assert "Correlation" not in few


def test_tables_of_the_summary_are_raw_numbers():
    tables = summary_view(fake_fit("sleep_ml")).tables
    assert set(tables) == {"fit", "residuals", "varcorr", "coefficients", "correlation"}
    coefficients = tables["coefficients"]
    assert coefficients.columns.tolist() == ["estimate", "std_error", "statistic"]
    assert coefficients.loc["Days", "estimate"] == CASES["sleep_ml"]["beta"][1]
    assert tables["fit"].loc["fit", "deviance"] == -2.0 * CASES["sleep_ml"]["ic"][2]
    tables["coefficients"].iloc[0, 0] = 0.0  # copies: nothing to break
    assert summary_view(fake_fit("sleep_ml")).tables["coefficients"].iloc[0, 0] != 0.0


def test_to_frame_is_as_data_frame_of_varcorr():
    frame = varcorr(CASES["sleep_quadratic"]).to_frame()
    # as.data.frame(VarCorr(m))[, 1:3]
    assert frame[["group", "var1", "var2"]].to_numpy().tolist() == [
        ["Subject", "(Intercept)", None],
        ["Subject", "Days", None],
        ["Subject", "I(Days^2)", None],
        ["Subject", "(Intercept)", "Days"],
        ["Subject", "(Intercept)", "I(Days^2)"],
        ["Subject", "Days", "I(Days^2)"],
        ["Residual", None, None],
    ]
    assert frame["estimate"].round(3).tolist() == [
        27.892,
        14.593,
        1.457,
        -0.405,
        0.451,
        -0.91,
        22.799,
    ]
    assert frame["vcov"].iloc[-1] == pytest.approx(22.799**2, rel=1e-5)


def test_correlations_beside_a_zero_variance_are_unknown():
    flat = block("g", ("(Intercept)", "x"), np.array([[4.0, 0.0], [0.0, 0.0]]))
    assert np.isnan(flat.corr[1, 0])
    text = str(VarCorr(blocks=(flat,), sigma=1.0))
    assert text.splitlines() == [
        " Groups   Name        Std.Dev. Corr",
        " g        (Intercept) 2",
        "          x           0          NaN",
        " Residual             1",
    ]
    frame = VarCorr(blocks=(flat,), sigma=1.0).to_frame()
    assert frame["estimate"].isna().tolist() == [False, False, True, False]


def test_structured_terms_as_in_lme4_2():
    ones = np.full((3, 3), 0.735710336)
    np.fill_diagonal(ones, 1.0)
    sds = np.array([4.114488, 8.419744, 4.461803])
    names = ("MachineA", "MachineB", "MachineC")
    par = np.append(sds, 0.735710336)
    het = block("Worker", names, np.outer(sds, sds) * ones, structure=STRUCTURES["cs"], par=par)
    hom = block(
        "Subject",
        names,
        4.0 * ones,
        structure=STRUCTURES["ar1"],
        hom=True,
        par=np.array([2.0, 0.88]),
    )
    diag = block("Day", names, np.diag(sds**2), structure=STRUCTURES["diag"], par=sds)
    text = str(VarCorr(blocks=(het, hom, diag), sigma=1.5))
    assert text.splitlines() == [
        " Groups   Name     Std.Dev. Corr",
        " Worker   MachineA 4.1145   0.736 (cs)",
        "          MachineB 8.4197",
        "          MachineC 4.4618",
        " Subject  MachineA 2.0000   0.880 (ar1)",
        " Day      MachineA 4.1145",
        "          MachineB 8.4197",
        "          MachineC 4.4618",
        " Residual          1.5000",
    ]


def test_large_blocks_are_cut_off():
    names = tuple(f"x{i}" for i in range(12))
    diag = block("g", names, np.eye(12), structure=STRUCTURES["diag"], par=np.ones(12))
    lines = str(VarCorr(blocks=(diag,), sigma=1.0)).splitlines()
    assert lines[11].split() == ["...", "..."]
    assert len(lines) == 13


def test_html_is_escaped_and_has_no_colours():
    fit = fake_fit("M17", data_name="<script>alert(1)</script>", formula="y ~ I(x < 2) + (1 | g)")
    page = summary_view(fit)._repr_html_()
    assert "<script>" not in page
    assert "I(x &lt; 2)" in page
    assert page.count("<table>") == page.count("</table>") == 4
    assert "color:inherit" in page
    assert "#" not in page.replace("&#x27;", "")


def test_markdown_and_latex():
    view = varcorr(CASES["M16"])
    assert view.to_markdown() == (
        "| Groups | Name | Std.Dev. | Corr |\n"
        "| :--- | :--- | ---: | ---: |\n"
        "| classid | ses | 0.0000 |  |\n"
        "| classid.1 | (Intercept) | 8.3964 |  |\n"
        "| schoolid | (Intercept) | 15.4398 |  |\n"
        "|  | ses | 7.3039 | 0.470 |\n"
        "| Residual |  | 32.8950 |  |\n"
    )
    latex = summary_view(fake_fit("sleep_quadratic")).to_latex()
    assert r"\begin{tabular}{lrrr}" in latex
    assert r"I(Days\textasciicircum{}2) & 0.3370 & 0.4154 & 0.811 \\" in latex
    assert "$-0.41$" in latex
    assert r"Formula: Reaction \textasciitilde{} Days" in latex
    assert r"(1 \| g)" in summary_view(fake_fit("M17", formula="y ~ (1 | g)")).to_markdown()


def test_views_do_not_change_what_they_show():
    fit = fake_fit("M17")
    view = summary_view(fit)
    assert str(view) == str(view)
    pd.testing.assert_frame_equal(view.tables["varcorr"], fit.varcorr().to_frame())
