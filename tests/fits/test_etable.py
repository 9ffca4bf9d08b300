"""Models side by side, and tools of other packages that make tables."""

from __future__ import annotations

import numpy as np
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def fits():
    data = nm.load_dataset("sleepstudy")
    one = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
    two = nm.lmer(SLEEP, data)
    return one, two, fake_bayesfit(two)


def test_numbers(fits):
    one, two, bayes = fits
    frame = nm.etable(one, two, bayes, names=["a", "b", "c"]).to_frame()
    found = frame.set_index(["model", "term"])
    assert found.loc[("a", "Days"), "estimate"] == one.fixef["Days"]
    assert found.loc[("b", "Days"), "std_error"] == two.bse["Days"]
    assert found.loc[("b", "sigma"), "estimate"] == two.sigma
    sd = two.varcorr().to_frame()["estimate"][1]
    assert found.loc[("b", "sd_Days|Subject"), "estimate"] == pytest.approx(sd)
    assert found.loc[("c", "Days"), "estimate"] == pytest.approx(bayes.fixef["Days"])
    assert found.loc[("a", "AIC"), "estimate"] == one.aic
    assert ("c", "AIC") not in found.index
    assert found.loc[("c", "Observations"), "estimate"] == 180


def test_names_of_the_callers_variables(fits):
    first, second, _ = fits
    assert nm.etable(first, second).names == ("first", "second")
    assert nm.etable(first, second, names=["x", "y"]).names == ("x", "y")


def test_layout(fits):
    one, two, bayes = fits
    table = nm.etable(one, two, bayes, stats=["nobs", "criterion"], labels={"Days": "Day"})
    lines = str(table).splitlines()
    assert lines[0].split() == ["one", "two", "bayes"]
    assert [line for line in lines if not line.startswith(" ")][:3] == [
        "Fixed effects", "Random effects", "Fit",
    ]  # fmt: skip
    assert any(line.split()[:2] == ["Day", "10.467"] for line in lines)
    assert sum(line.count("(") for line in lines if line.startswith("   ")) >= 9
    assert lines[-2].split() == ["REML", "criterion", "1786.5", "1743.6"]


def test_spread(fits):
    one = fits[0]
    assert "[8.891, 12.044]" in str(nm.etable(one, spread="ci"))
    assert "(" not in str(nm.etable(one, spread="none", stats=[], random=False)).replace(
        "(Intercept)", ""
    )
    assert "90 %" in str(nm.etable(one, spread="ci", level=0.9))


def test_what_has_no_standard_error_is_shown_alone():
    data = nm.load_dataset("Dyestuff2")
    table = nm.etable(nm.lmer("Yield ~ 1 + (1 | Batch)", data), stats=["nobs"])
    lines = str(table).splitlines()
    place = next(i for i, line in enumerate(lines) if "sd_(Intercept)|Batch" in line)
    assert lines[place].split()[-1] == "0"
    assert "sigma" in lines[place + 1]


def test_refusals(fits):
    one, two, _ = fits
    for call, text in (
        (lambda: nm.etable(), "at least one"),
        (lambda: nm.etable(one, spread="sd"), "spread"),
        (lambda: nm.etable(one, stats=["x"]), "known"),
        (lambda: nm.etable(one, two, names=["a"]), "one for each"),
        (lambda: nm.etable(one, two, names=["a", "a"]), "different"),
        (lambda: nm.etable([one, two]), "one by one"),
    ):
        with pytest.raises(nm.NestedMLMError, match=text):
            call()


def test_sections_in_every_format(fits):
    table = nm.etable(*fits)
    assert 'class="nm-section" colspan="4"' in table.to_html()
    assert "**Fixed effects**" in table.to_markdown()
    assert r"\textit{Random effects}" in table.to_latex()


def test_great_tables(fits):
    pytest.importorskip("great_tables", reason="great_tables is not installed")
    gt = nm.etable(*fits, title="Sleep & more").to_gt()
    html = gt.as_raw_html()
    assert "Sleep &amp; more" in html or "Sleep & more" in html
    assert "Random effects" in html
    assert "251.41" in html


def test_maketables(fits):
    mt = pytest.importorskip("maketables", reason="maketables is not installed")
    tex = mt.ETable(list(fits)).make("tex")
    assert "10.467*** " in tex and "(0.804)" in tex
    assert "Subject: 18" in tex


def test_the_hooks_of_maketables(fits):
    one, _, bayes = fits
    table = one.__maketables_coef_table__
    assert table.columns.tolist() == ["b", "se", "t", "p", "ci95l", "ci95u"]
    assert table.index.tolist() == ["Intercept", "Days"]
    p = one.summary().tables["coefficients"]["p_value"]
    assert np.allclose(table["p"], p)
    assert one.__maketables_depvar__ == "Reaction"
    assert one.__maketables_stat__("N") == 180
    assert one.__maketables_stat__("no such thing") is None
    assert bayes.__maketables_coef_table__["p"].isna().all()
    assert bayes.__maketables_stat__("aic") is None
    keys = one.__maketables_default_stat_keys__
    assert all(one.__maketables_stat__(key) is not None for key in keys)
