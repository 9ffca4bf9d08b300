"""Models side by side, and tools of other packages that make tables."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import OptionError

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
    assert nm.etable(one).notes[0] == "Standard errors in parentheses."
    assert "(of posteriors: standard deviations)" in nm.etable(*fits).notes[0]


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
        (lambda: nm.etable([one, [two]]), "one by one"),
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


def test_decimals_are_equal_within_a_row(fits):
    lines = {line.split()[0]: line.split()[1:] for line in str(nm.etable(*fits)).splitlines()}
    assert [len(cell.partition(".")[2]) for cell in lines["Days"]] == [3, 3, 3]


def test_stars_and_p_values(fits):
    one, two, bayes = fits
    text = str(nm.etable(two, bayes, names=["a", "b"], stars=True, stats=[]))
    assert "10.47***" in text and "* p < 0.05, ** p < 0.01, *** p < 0.001" in text
    assert "Posteriors have no p-values." in text
    own = nm.etable(two, stars={"x": 1e-30}, stats=[])
    assert "10.47x" not in str(own) and "x p < 1e-30" in str(own)
    p = nm.etable(two, spread="p", stats=[]).to_frame().set_index("term")["p_value"]
    assert p["Days"] == pytest.approx(two.pvalues["Days"])
    assert "p < 0.001" in str(nm.etable(two, spread="p", stats=[]))
    kr = nm.etable(two, stars=True, ddf="KR", stats=[])
    assert "Kenward and Roger" in str(kr)
    table = two.tidy("fixed", ddf="kenward-roger")
    assert kr.parameters["df"][1] == pytest.approx(table["df"][1])
    with pytest.raises(nm.NestedMLMError, match="between 0 and 1"):
        nm.etable(one, stars={"*": 5})


def test_criteria_that_cannot_be_compared_are_named(fits):
    one, two, _ = fits
    ml = one.refit_ml()
    assert "REML fits (two) and ML fits (ml) cannot be compared" in str(nm.etable(ml, two))
    assert "cannot be compared" not in str(nm.etable(ml, two, stats=["nobs", "aic_ml"]))
    assert "cannot be compared" not in str(nm.etable(one, two))
    other = nm.lmer("Reaction ~ 1 + (1 | Subject)", nm.load_dataset("sleepstudy"))
    assert "different fixed effects" in str(nm.etable(one, other))
    part = nm.lmer(SLEEP, nm.load_dataset("sleepstudy").iloc[10:])
    assert "different rows" in str(nm.etable(two, part, stats=["bic"]))


def test_statistics_by_name(fits):
    one, _two, bayes = fits
    frame = nm.etable(
        one, bayes, names=["a", "b"], stats=["loglik", "npar", "icc", "singular", "aic_ml"]
    ).fit
    assert frame.loc["REML log-likelihood", "a"] == one.llf
    assert frame.loc["AIC (ML)", "a"] == one.refit_ml().aic
    assert frame.loc["ICC (adjusted)", "a"] == pytest.approx(one.icc()["adjusted"])
    assert frame.loc["Singular", "a"] == "no" and frame["b"].isna().sum() == 4


def test_labels_reach_inside():
    fit = nm.lmer(
        "angle ~ recipe * temp + (temp | recipe:replicate)", nm.load_dataset("cake"), REML=False
    )
    text = str(nm.etable(fit, labels={"recipe": "Recipe", "temp": "heat", "B": "second"}))
    for label in ("Recipe: second × heat", "Recipe: C", "sd_heat|Recipe:replicate",
                  "cor_heat.(Intercept)|Recipe:replicate", "Groups: Recipe:replicate"):  # fmt: skip
        assert label in text
    assert "Two" in str(nm.etable(fit, labels={"recipeB": "Two"}))


FORMATS = {
    ".docx": "docx", ".xlsx": "openpyxl", ".tex": None, ".html": None, ".md": None, ".txt": None,
    ".csv": None,
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_files(fits, suffix, tmp_path, monkeypatch):
    if FORMATS[suffix]:
        pytest.importorskip(FORMATS[suffix])
    table = nm.etable(*fits, stars=True, title="Sleep", labels={"Days": "Nights & days"})
    path = table.save(tmp_path / f"t{suffix}")
    assert path.stat().st_size > 300
    if FORMATS[suffix]:
        monkeypatch.setitem(sys.modules, FORMATS[suffix], None)
        with pytest.raises(
            nm.NestedMLMError, match=r"not installed: pip install (python-docx|openpyxl)$"
        ):
            table.save(path)
    elif suffix != ".csv":
        assert "251.41" in path.read_text(encoding="utf-8")


def test_columns_of_a_word_table_are_as_wide_as_their_texts(fits, tmp_path):
    docx = pytest.importorskip("docx")
    long = nm.etable(fits[1], labels={"Days": "days without enough sleep " * 5})
    for table in (nm.etable(fits[1]), long):
        document = docx.Document(str(table.save(tmp_path / "t.docx")))
        page = document.sections[0]
        room = page.page_width - page.left_margin - page.right_margin
        labels, numbers = (column.width for column in document.tables[0].columns)
        assert labels > numbers > room / 12 and labels + numbers < 1.01 * room
        assert document.tables[0].cell(3, 0).width == labels
    assert labels > 0.7 * room  # what is left over


def test_a_word_table_has_three_rules_and_the_cells(fits, tmp_path):
    docx = pytest.importorskip("docx")
    table = nm.etable(*fits, stars=True, title="Sleep", labels={"Days": "Nights & days"})
    found = docx.Document(str(table.save(tmp_path / "t.docx")))
    assert found.paragraphs[0].text == "Sleep"
    cells = [[cell.text for cell in row.cells] for row in found.tables[0].rows]
    assert cells[0] == ["", *table.names]
    assert cells[4] == ["Nights & days", "10.467***", "10.467***", cells[4][3]]
    xml = found.tables[0]._tbl.xml
    assert xml.count("<w:top ") == len(cells[0]) and xml.count("<w:bottom ") == 2 * len(cells[0])
    assert len(found.tables) == 1
    many = docx.Document(str(fits[1].summary().save(tmp_path / "s.docx")))
    assert len(many.tables) == 4


def test_stars_hang_outside_the_digits(fits, tmp_path):
    """Three stars take no room in HTML and LaTeX, the room of three is left in Word and Excel."""
    table = nm.etable(*fits[:2], names=["a", "b"], stars=True)
    html = table.to_html()
    assert '<td class="nm-num" style="padding-right:2.1em">(0.804)</td>' in html
    assert '10.467<span class="nm-stars">***</span></td>' in html
    assert r"\begin{tabular}{lr@{\hspace{2.5em}}r@{\hspace{2.5em}}}" in table.to_latex()
    plain = nm.etable(*fits[:2], names=["a", "b"])
    assert "padding-right:2" not in plain.to_html() and "hspace" not in plain.to_latex()
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(table.save(tmp_path / "t.xlsx"))["table"]
    cells = {row[0].value: row[1] for row in sheet.iter_rows()}
    assert (cells["Days"].value, cells["Days"].number_format) == (10.467, '0.000"***"')
    assert cells["sigma"].number_format == "0.00_*_*_*"
    docx = pytest.importorskip("docx")
    rows = docx.Document(str(table.save(tmp_path / "t.docx"))).tables[0].rows
    indents = {row.cells[1].text: row.cells[1].paragraphs[0].paragraph_format.right_indent
               for row in rows}  # fmt: skip
    assert indents["10.467***"] is None and indents["(0.804)"].pt == 15


def test_a_workbook_has_numbers(fits, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    table = nm.etable(fits[0], names=["a"], spread="none")
    book = openpyxl.load_workbook(table.save(tmp_path / "t.xlsx"))
    cells = {row[0].value: row[1] for row in book["table"].iter_rows()}
    assert cells["Days"].value == 10.467 and cells["Days"].number_format == "0.000"
    rows = list(book["numbers models"].iter_rows(values_only=True))
    assert rows[2][1] == "Days" and rows[2][5] == pytest.approx(fits[0].fixef["Days"])


def test_booktabs_and_great_tables_without_rules(fits):
    tex = nm.etable(*fits).to_latex(booktabs=True)
    assert tex.index(r"\toprule") < tex.index(r"\midrule") < tex.index(r"\bottomrule")
    assert "hline" not in tex and "hline" in nm.etable(*fits).to_latex()
    pytest.importorskip("great_tables")
    css = nm.etable(*fits).to_gt().as_raw_html()
    body = css[css.index(".gt_row {") :]
    assert "border-top-style: none" in body[: body.index("}")]


def test_an_unknown_ending_is_refused(fits, tmp_path):
    with pytest.raises(nm.NestedMLMError, match="which format"):
        nm.etable(fits[0]).save(tmp_path / "t.pdf")


def test_negative_numbers_with_stars_and_in_intervals_have_minus_signs():
    frame = nm.load_dataset("sleepstudy").assign(Days=lambda d: -d.Days)
    less = nm.lmer("Reaction ~ Days + (1 | Subject)", frame)
    latex = nm.etable(less, spread="ci", stars=True).to_latex()
    assert r"& $-10.467$\rlap{***} \\" in latex  # the stars stand outside
    assert re.search(r"& \[\$-12\.\d+\$, \$-8\.\d+\$\] ", latex)


def test_parameters_of_residuals_have_a_section():
    frame = nm.load_dataset("sleepstudy").query("Days < 3")
    ar1 = nm.lmer("Reaction ~ Days", frame, residual="ar1(Days | Subject)")
    us = nm.lmer("Reaction ~ Days", frame, residual="us(Days | Subject)")
    plain = nm.lmer("Reaction ~ Days + (1 | Subject)", frame)
    rows = [(s, name) for s, name, _ in nm.etable(ar1, us, stats=["nobs"]).rows() if name]
    assert [name for s, name in rows if s == "Residuals"] == [
        "sigma", "rho", "residual_sd[1]", "residual_sd[2]",
        "residual_cor[1,0]", "residual_cor[2,0]", "residual_cor[2,1]",
    ]  # fmt: skip
    assert "Random effects" not in dict(rows)
    both = [(s, name) for s, name, _ in nm.etable(plain, ar1, stats=["nobs"]).rows() if name]
    assert ("Random effects", "sd_(Intercept)|Subject") in both and ("Residuals", "sigma") in both
    alone = [(s, name) for s, name, _ in nm.etable(plain, stats=["nobs"]).rows() if name]
    assert ("Random effects", "sigma") in alone


def test_a_covariance_for_each_column(fits):
    one = fits[0]
    table = nm.etable(one, one, names=["own", "robust"], vcov=[None, "CR2"], stars=True, stats=[])
    found = table.to_frame().set_index(["model", "term"])
    tests = one.tidy("fixed", vcov="CR2").set_index("term")
    for column in ("std_error", "df", "p_value"):
        assert found.loc[("robust", "Days"), column] == tests.loc["Days", column]
    assert found.loc[("own", "Days"), "std_error"] == one.bse["Days"]
    assert table.notes[1] == "Fixed effects of robust: cluster-robust covariance (CR2)."
    assert "Satterthwaite's degrees of freedom (own), the cluster" in table.notes[2]
    by_name = nm.etable({"own": one, "robust": one}, vcov={"robust": "CR2"}, stars=True, stats=[])
    assert str(by_name) == str(table)
    for wrong, text in ((["CR2"], "a list of 2"), ({"x": "CR2"}, "no model x"), (3, "CR0, CR1")):
        with pytest.raises(OptionError, match=text):
            nm.etable(one, one, names=["own", "robust"], vcov=wrong)


@pytest.fixture(scope="module")
def cake():
    return nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))


def test_rows_that_are_kept_and_dropped(cake):
    def terms(**options):
        return [*nm.etable(cake, stats=[], **options).parameters["term"]]

    sd = "sd_(Intercept)|recipe:replicate"
    assert terms(keep=["temp", "(Intercept)"]) == ["temp", "(Intercept)", sd, "sigma"]
    assert terms(keep="^recipe", drop=[":", sd]) == ["recipeB", "recipeC", "sigma"]
    assert terms(drop=["recipe", "temp"], random=False) == ["(Intercept)"]
    assert nm.etable(cake, keep="temp$", drop="B").notes[-1] == (
        "Not shown: (Intercept), recipeB, recipeC, recipeB:temp."
    )
    assert "Not shown: 5 fixed effects." in nm.etable(cake, keep="temp").notes
    assert nm.etable(cake, notes="Own.").notes[-1] == "Own."
    for options, text in (({"keep": "x"}, "keep='x' matches no"), ({"drop": "("}, "no regular")):
        with pytest.raises(OptionError, match=text):
            nm.etable(cake, **options)


def test_ratios():
    data = nm.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    odds = nm.glmer(formula, data, family="binomial")
    table = nm.etable(odds, exponentiate=True, spread="p", stats=[])
    found = table.to_frame().set_index("term").loc["period2"]
    theirs = odds.tidy("fixed", exponentiate=True, conf_int=True).set_index("term").loc["period2"]
    for column in ("estimate", "std_error", "conf_low", "conf_high", "statistic", "p_value"):
        assert found[column] == pytest.approx(theirs[column], rel=1e-12)
    assert table.notes[0] == "p-values of fixed effects by z tests."
    assert table.notes[1] == "Fixed effects are exponentiated: odds ratios."
    probit = nm.glmer(formula, data, family=nm.families.binomial("probit"))
    with pytest.raises(OptionError, match="this model's is probit"):
        nm.etable(probit, exponentiate=True)


def test_ratios_of_a_posterior_are_of_its_draws():
    scaled = fake_bayesfit(nm.lmer("I(Reaction / 100) ~ Days + (1 | Subject)",
                                   nm.load_dataset("sleepstudy")))  # fmt: skip
    found = nm.etable(scaled, exponentiate=True).to_frame().set_index("term").loc["Days"]
    draws = np.exp(scaled.data["posterior"]["Days"].values.ravel())
    assert found["estimate"] == pytest.approx(draws.mean(), rel=1e-12)
    assert found["conf_high"] == pytest.approx(np.quantile(draws, 0.975), rel=1e-9)
