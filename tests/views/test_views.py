"""Every view: five renderings, escaped, with its numbers."""

from __future__ import annotations

import html.parser
import re

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import RenamedError
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Table, Text, text_lines
from nestedmlm.views.render.view import View, Viewable

ODD = "a<b> & $x_1$ | `q`"


@pytest.fixture(scope="module")
def fits():
    sleep = nm.load_dataset("sleepstudy")
    one = nm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    two = nm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    pastes = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 6)
    made = pd.DataFrame({"g": g, "x": rng.normal(size=180)})
    made["y"] = rng.normal(size=30)[g] * (1 + 0.5 * made.x) + 0.3 * rng.normal(size=180)
    singular = nm.lmer("y ~ x + (x | g)", made)
    return {
        "singular": singular,
        "one": one,
        "two": two,
        "pastes": pastes,
        "posterior": fake_bayesfit(two),
    }


VIEWS = {
    "summary": lambda f: f["two"].summary(),
    "summary without tests": lambda f: f["two"].summary(ddf="none"),
    "varcorr": lambda f: f["two"].varcorr(),
    "anova of models": lambda f: nm.anova(f["one"], f["two"]),
    "anova of terms": lambda f: f["two"].anova(),
    "ranova": lambda f: f["two"].ranova(),
    "emmeans": lambda f: nm.emmeans(f["two"], "1"),
    "profile": lambda f: f["one"].profile("sigma", progress=False),
    "influence": lambda f: f["one"].influence("Subject", refit="none"),
    "variance_partition": lambda f: f["two"].variance_partition(),
    "elimination": lambda f: f["pastes"].elimination(),
    "repca": lambda f: f["two"].repca(),
    "diagnose": lambda f: f["singular"].diagnose(),
    "simplify": lambda f: f["singular"].simplify(),
    "etable": lambda f: nm.etable(f["one"], f["two"], f["posterior"]),
    "posterior summary": lambda f: f["posterior"].summary(),
    "posterior varcorr": lambda f: f["posterior"].varcorr(),
    "posterior diagnose": lambda f: f["posterior"].diagnose(),
    "hypothesis": lambda f: f["posterior"].hypothesis("Days > 8"),
    "compare": lambda f: nm.compare(f["two"], f["posterior"]),
}


class Checker(html.parser.HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_html(text):
    checker = Checker()
    checker.feed(text)
    assert not checker.open


@pytest.mark.parametrize("name", VIEWS)
def test_renderings(name, fits):
    view = VIEWS[name](fits)
    assert isinstance(view, Viewable)
    check_html(view._repr_html_())
    assert view._repr_html_() == view.to_html()
    frame = view.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame)
    assert all(isinstance(table, pd.DataFrame) for table in view.tables.values())
    assert repr(view) == view.to_text()
    markdown, latex = view.to_markdown(), view.to_latex()
    assert "\n---\n" not in markdown and not markdown.startswith("---")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") >= 1
    pipes = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert pipes


def test_the_main_table_is_the_coefficients(fits):
    assert fits["two"].summary().to_frame().index.tolist() == ["(Intercept)", "Days"]
    assert "estimate" in fits["posterior"].summary().to_frame()


def odd_view():
    frame = pd.DataFrame({ODD: [1.0]}, index=[ODD])
    table = Table(name="odd", frame=frame, cells=((ODD,),), rows=(ODD,), columns=(ODD,))
    section = Table(
        name="", frame=frame, cells=(("",), (ODD,)), rows=(ODD, ODD), columns=(ODD,), sections=(0,)
    )
    return View((Text((ODD, "---", f"     {ODD}"), role="title"), table, section))


def test_escaping():
    view = odd_view()
    text = view.to_html()
    check_html(text)
    assert "<b>" not in text
    assert text.count("a&lt;b&gt; &amp;") == 9
    assert "<" not in re.sub(r"\\<", "", view.to_markdown()).replace("&emsp;", "")
    latex = view.to_latex()
    assert r"\$x\_1\$" in latex
    assert not re.search(r"(?<!\\)[&$](?!x)", latex.replace(" & ", "").replace("\\&", ""))


def test_rules_of_dashes_are_for_plain_text():
    view = odd_view()
    assert "---" in view.to_text()
    assert "---" not in view.to_html()
    assert "\n---" not in view.to_markdown()
    assert "---" not in view.to_latex()


def test_indents_are_kept():
    text = odd_view().to_html()
    assert "padding-left:2.5em" in text
    assert "&emsp;" in odd_view().to_markdown()
    assert r"\hspace*{1em}" in odd_view().to_latex()


def test_no_colours_of_its_own(fits):
    style = fits["two"].summary().to_html().partition("</style>")[0]
    assert not re.search(r"#[0-9a-f]{3}|rgb\(", style)


def test_a_document_without_tables_has_an_empty_frame():
    assert View((Text(("words",)),)).to_frame().empty


def test_headings_of_text_stand_above_it():
    frame = pd.DataFrame({"name": ["a long name", "b"], "x": [1.0, 20.0]})
    columns = {"name": ("Name", cells.text), "x": ("x", cells.significant)}
    lines = text_lines(cells.frame_table("t", frame, columns))
    assert [line[:6].strip() for line in lines] == ["Name", "a lon", "b"]
    assert cells.frame_table("t", frame[:0], columns).columns == ()  # nothing to show


@pytest.mark.parametrize(("name", "write"), [("profile", "profile_zeta"), ("influence", "cooks")])
def test_a_result_without_a_picture_of_its_own_names_it(fits, name, write):
    found = VIEWS[name](fits)
    with pytest.raises(RenamedError, match=rf"has no plot: write nm\.plots\.{write}"):
        found.plot()
    assert not hasattr(fits["two"].varcorr(), "plot")
