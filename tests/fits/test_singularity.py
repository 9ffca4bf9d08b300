"""Verdict, principal components, diagnosis and simplification of singular fits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from designs import data

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.errors import OptionError
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.singularity import diagnose, is_singular, repca, simplify
from nestedmlm.fits.singularity.steps import Collapse, steps
from nestedmlm.formula import deparse, parse_formula, random_term
from nestedmlm.formula.nodes import Literal
from nestedmlm.likelihood.solution import results_at

FRAME = data(200)


def fit_at(formula, theta, frame=FRAME):
    """A fit at given covariance parameters: no optimizer."""
    design = build_design(formula, frame)
    return LmerFit(
        model=SimpleNamespace(data_name=None),
        design=design,
        solution=results_at(design, np.array(theta, dtype=float)),
        REML=True,
        certificate=SimpleNamespace(holds=True),
        messages=(),
    )


# The verdict ------------------------------------------------------------------------------------

VERDICTS = [  # formula, theta, singular
    ("y ~ x + (x | f1)", [0.5, 0.1, 0.3], False),
    ("y ~ x + (x | f1)", [0.5, 0.1, 0.0], True),
    ("y ~ x + (x | f1)", [0.0, 0.0, 0.3], True),
    ("y ~ x + (1 | f1) + (1 | c1)", [0.5, 0.0], True),
    ("y ~ x + (1 | f1) + (1 | c1)", [0.5, 0.1], False),
    ("y ~ x + diag(x | f1)", [0.5, 0.0], True),
    ("y ~ x + cs(0 + a | f1)", [0.5, 0.4, 0.3, 1.0], True),
    ("y ~ x + cs(0 + a | f1)", [0.5, 0.4, 0.3, -0.5], True),
    ("y ~ x + cs(0 + a | f1)", [0.5, 0.4, 0.3, 0.5], False),
    ("y ~ x + ar1(0 + a | f1)", [0.5, 1.0], True),
    ("y ~ x + ar1(0 + a | f1)", [0.5, 0.9], False),
]


@pytest.mark.parametrize("rule", ["rank", "lme4"])
@pytest.mark.parametrize(("formula", "theta", "singular"), VERDICTS)
def test_verdict(formula, theta, singular, rule):
    assert is_singular(fit_at(formula, theta), rule=rule) is singular


def test_the_verdict_does_not_depend_on_units_but_lme4s_does():
    big = FRAME.assign(x=FRAME["x"] * 1e6)
    fit = fit_at("y ~ x + (x | f1)", [0.5, 0.1e-6, 0.3e-6], big)
    assert is_singular(fit) is False
    assert is_singular(fit, rule="lme4") is True


def test_the_verdict_does_not_depend_on_the_origin_of_a_slope_variable():
    shifted = FRAME.assign(x=FRAME["x"] + 2000.0)
    # b0 + b1 (x + 2000) with the covariance of b0 + b1 x
    T = np.array([[1.0, -2000.0], [0.0, 1.0]]) @ np.array([[0.5, 0.0], [0.1, 0.3]])
    L = np.linalg.cholesky(T @ T.T)
    fit = fit_at("y ~ x + (x | f1)", [L[0, 0], L[1, 0], L[1, 1]], shifted)
    assert is_singular(fit) is False


def test_an_unknown_rule_is_refused():
    with pytest.raises(OptionError, match="rule='eigen' is unknown"):
        is_singular(fit_at("y ~ x + (1 | f1)", [1.0]), rule="eigen")


# Principal components ---------------------------------------------------------------------------


def test_repca_takes_the_terms_on_one_factor_together():
    pca = repca(fit_at("y ~ x + (1 | c1) + (1 | f1) + (0 + x | f1)", [3.0, 4.0, 2.0]))
    frame = pca.to_frame().set_index("group")
    assert frame.loc["f1", "sdev"].tolist() == [4.0, 3.0]
    assert frame.loc["f1", "prop"].tolist() == pytest.approx([16 / 25, 9 / 25])
    assert frame.loc["f1", "cumprop"].tolist() == pytest.approx([16 / 25, 1.0])
    assert frame.loc["c1", "sdev"] == 2.0
    assert str(pca).splitlines()[2].split() == ["f1", "1", "4", "0.6400", "0.6400"]


def test_repca_of_nothing_has_no_proportions():
    frame = repca(fit_at("y ~ x + (1 | f1)", [0.0])).to_frame()
    assert np.isnan(frame["prop"]).all()


# Diagnosis --------------------------------------------------------------------------------------


def diagnosed(formula, theta):
    diagnosis = diagnose(fit_at(formula, theta))
    return diagnosis, [item.formula for item in diagnosis.next]


def test_a_fit_of_full_rank_needs_nothing():
    diagnosis, formulas = diagnosed("y ~ x + (x | f1)", [0.5, 0.1, 0.3])
    assert not diagnosis.singular
    assert formulas == []
    assert "not singular" in str(diagnosis)
    assert "Worth fitting" not in str(diagnosis)


PATHS = [  # formula, theta, finding of the first singular term, formulas
    (
        "y ~ x + (x | f1)", [0.5, -0.1, 0.0],
        "the correlation of (Intercept) and x is -1",
        ["y ~ x + (x || f1)", "y ~ x + (1 | f1)"],
    ),
    (
        "y ~ x + (x || f1)", [0.5, 0.0],
        "the standard deviation of x is zero",
        ["y ~ x + (1 | f1)"],
    ),
    (
        "y ~ x + (x | f1)", [0.5, 0.0, 0.0],
        "the standard deviation of x is zero",
        ["y ~ x + (1 | f1)"],
    ),
    (  # the intercept stays while a slope varies: only the correlation goes
        "y ~ x + (x | f1)", [0.0, 0.0, 0.3],
        "the standard deviation of (Intercept) is zero",
        ["y ~ x + (x || f1)"],
    ),
    ("y ~ x + (x || f1)", [0.0, 0.3], "the standard deviation of (Intercept) is zero", []),
    (  # the rest of the formula keeps its spelling
        "log(y) ~ x + (x || c1) + (z | f1) + cs(0 + a | f2)",
        [0.5, 0.0, 0.0, 0.6, 0.5, 0.4, 0.4, 0.5, 0.5],
        "the standard deviation of z is zero",
        ["log(y) ~ x + (x || c1) + (1 | f1) + cs(0 + a | f2)"],
    ),
    (  # the higher order goes first
        "y ~ x + (x * z | f1)", [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "the standard deviations of x, z and x:z are zero",
        ["y ~ x + (x + z | f1)"],
    ),
    (  # x:z builds on x
        "y ~ x + (1 | f1) + (0 + x | f1) + (0 + x:z | f1)", [0.2, 0.0, 0.3],
        "the standard deviation of x is zero",
        [],
    ),
    (
        "y ~ x + (x + z | f1)", [0.5, 0.1, 0.1, 0.2, 0.1, 0.0],
        "some combination of (Intercept), x and z has variance zero",
        ["y ~ x + (x + z || f1)", "y ~ x + (x || f1)"],
    ),
    (
        "y ~ x + (a | f1)", [0.5, 0.1, 0.1, 0.2, 0.1, 0.0],
        "some combination of (Intercept), aq and ar has variance zero",
        ["y ~ x + diag(a | f1)", "y ~ x + (1 | f1)"],
    ),
    (
        "y ~ x + (0 + a | f1)", [0.5, 0.5, 0.5, 0.0, 0.0, 0.0],
        "the correlation of ap and aq is 1, ap and ar is 1 and aq and ar is 1",
        ["y ~ x + cs(0 + a | f1)", "y ~ x + (1 | f1)"],
    ),
    (
        "y ~ x + cs(0 + a | f1)", [0.5, 0.4, 0.3, 1.0],
        "the common correlation is at its bound, 1",
        ["y ~ x + (1 | f1)"],
    ),
    (
        "y ~ x + cs(x | f1)", [0.5, 0.4, -1.0],
        "the common correlation is at its bound, -1",
        ["y ~ x + diag(x | f1)"],
    ),
    (
        "y ~ x + diag(x + z | f1)", [0.5, 0.4, 0.0],
        "the standard deviation of z is zero",
        ["y ~ x + diag(x | f1)"],
    ),
    ("y ~ x + (1 | f1) + (1 | c1)", [0.5, 0.0], "the standard deviation of (Intercept) is zero",
     ["y ~ x + (1 | f1)"]),
    ("y ~ x + (1 | f1)", [0.0], "the standard deviation of (Intercept) is zero", ["y ~ x"]),
    (  # one of the two terms that `/` makes
        "y ~ x + (1 | f2/f1)", [0.5, 0.0],
        "the standard deviation of (Intercept) is zero",
        ["y ~ x + (1 | f1:f2)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "theta", "finding", "formulas"), PATHS)
def test_findings_and_recommendations(formula, theta, finding, formulas):
    diagnosis, recommended = diagnosed(formula, theta)
    assert diagnosis.singular
    assert next(t.finding for t in diagnosis.terms if t.finding) == finding
    assert recommended == formulas
    for text in recommended:
        if "|" in text:
            parse_formula(text)


def test_a_regression_is_named_as_such():
    diagnosis, _ = diagnosed("y ~ x + (1 | f1)", [0.0])
    assert not diagnosis.next[0].mixed
    assert "an ordinary regression" in str(diagnosis)
    assert "simplify()" not in str(diagnosis)


def test_what_cannot_be_simplified_is_said():
    diagnosis, _ = diagnosed("y ~ x + (x || f1)", [0.0, 0.3])
    assert "No simpler term is recommended" in str(diagnosis)


def test_the_table_counts_what_stands_behind_each_term():
    frame = FRAME.assign(f1=np.repeat(np.arange(50), 4))
    frame.loc[:2, "f1"] = 1  # level 0 keeps one row, level 1 has seven
    table = diagnose(fit_at("y ~ x + (x | f1) + (1 | c1)", [0.5, 0.1, 0.0, 0.2], frame)).table
    row = table.set_index("term").loc["f1"]
    assert (row["dim"], row["rank"], row["singular"]) == (2, 1, True)
    assert (row["groups"], row["rows_min"], row["rows_median"], row["rows_mean"]) == (50, 1, 4, 4)
    assert row["next"] == "y ~ x + (x || f1) + (1 | c1)"
    assert table.set_index("term").loc["c1", "next"] == ""


def test_text_helpers():
    formula = parse_formula("y ~ x + (1 | g) + (0 + f | g)")
    lhs, group = formula.bars[1].lhs, formula.bars[1].group
    assert deparse(random_term(lhs, group, "cs")) == "cs(0 + f | g)"
    assert deparse(random_term(lhs, group, "ar1", False)) == "ar1(0 + f | g, hom = FALSE)"
    # a term that is there already is not written twice
    alone = random_term(Literal(1), group)
    assert formula.replacing(formula.bars[1], (alone,)).text == "y ~ x + (1 | g)"
    everything = parse_formula("y ~ (1 | g)")
    assert everything.without(everything.bars[0]).text == "y ~ 1"
    collapse = Collapse(
        columns=("(Intercept)",), sd=np.zeros(1), zero=np.array([True]), rank=0, rho=np.nan
    )
    assert [step.terms for step in steps(everything.bars[0], collapse, ())] == [()]


# Simplification ---------------------------------------------------------------------------------


def test_simplify_stops_where_only_a_regression_is_left():
    path = simplify(nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2")))
    assert len(path.fits) == 1
    assert path.comparison is None
    assert "what remains is an ordinary regression: Yield ~ 1" in str(path)
    assert set(path.tables) == {"path"}


def test_a_factor_of_two_levels_is_decorrelated_by_a_diagonal_covariance():
    """`||` would give it a column for each level beside the intercept: one column too many."""
    frame = FRAME.assign(h=np.where(FRAME.a == "p", "no", "yes"))
    fit = fit_at("y ~ x + (1 + h | f1)", [0.5, 0.5, 0.0], frame)
    assert [step.formula for step in diagnose(fit).next] == [
        "y ~ x + diag(1 + h | f1)", "y ~ x + (1 | f1)",
    ]  # fmt: skip


def test_fits_on_the_way_say_nothing_that_the_path_says(caplog):
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    cake = nm.load_dataset("cake")
    slopes = nm.lmer("angle ~ temp + (temp | replicate) + (1 | replicate:recipe)", cake)
    caplog.clear()
    assert len(slopes.simplify().fits) > 1
    assert "boundary" not in caplog.text
    nm.lmer(fit.formula, nm.load_dataset("Dyestuff2"))  # a fit of the user's own still says it
    assert "boundary" in caplog.text


def test_simplify_leaves_a_good_fit_alone():
    path = simplify(nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff")))
    assert path.formulas == ("Yield ~ 1 + (1 | Batch)",)
    assert "start is not singular" in str(path)


@pytest.fixture(scope="module")
def classroom_df(shared_data):
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"no classroom.csv in {shared_data}")
    frame = pd.read_csv(shared_data / "classroom.csv")
    return frame.astype(dict.fromkeys(("classid", "schoolid", "classid2"), "category"))


@pytest.fixture(scope="module")
def M15(classroom_df):
    return nm.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom_df)


M15_REPORT = """\
Singularity diagnosis: the fit is singular
Formula: mathscore ~ ses + (ses | schoolid) + (ses | classid)

 Term     Effects          Rank   Groups Rows: min median mean
 classid  (Intercept), ses 1 of 2 312    1         4      3.8
 schoolid (Intercept), ses 2 of 2 107    2         10     11.1

classid: the correlation of (Intercept) and ses is 1 (rank 1 of 2).
Two effects that are perfectly correlated are one: where a group stands on the first
fixes where it stands on the second, and the covariance matrix is short of full rank.
Each of the 312 levels of classid holds 3.8 rows on average.
So few rows per level can hardly tell 2 effects of one level apart.

Worth fitting next:
1. the random effects of classid are uncorrelated:
     mathscore ~ ses + (ses | schoolid) + (ses || classid)
2. if that is singular too, ses no longer varies across classid:
     mathscore ~ ses + (ses | schoolid) + (1 | classid)
fit.simplify() refits along this path until a fit is not singular."""


def test_the_reasoning_of_the_guide(M15):
    assert str(M15.diagnose()) == M15_REPORT


def test_the_path_of_the_guide(M15):
    """M15 to M16 to M17: correlation exactly 1, slope variance zero, not singular."""
    path = M15.simplify()
    assert path.formulas == (
        "mathscore ~ ses + (ses | schoolid) + (ses | classid)",
        "mathscore ~ ses + (ses | schoolid) + (ses || classid)",
        "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
    )
    assert [fit.is_singular() for fit in path.fits] == [True, True, False]
    assert path.final.criterion == pytest.approx(11874.973545, abs=1e-5)
    assert path.table["finding"].tolist() == [
        "classid: the correlation of (Intercept) and ses is 1",
        "classid: the standard deviation of ses is zero",
        "",
    ]
    assert path.comparison is not None
    assert path.comparison.table.index.tolist() == ["step 2", "step 1", "start"]
    assert path.comparison.table["Chisq"].iloc[1] == pytest.approx(0.0, abs=1e-6)
    assert set(path.tables) == {"path", "anova"}
    assert "step 2 is not singular." in str(path)
    assert "<table>" in path._repr_html_()


def test_posteriors_say_which_random_effects_only_their_priors_tell_apart():
    data = nm.load_dataset("sleepstudy").assign(same=lambda d: "s" + d["Subject"].astype(str))
    options = {"sampler": "psis", "draws": 20, "seed": 1, "progress": False}
    twice, once = "Reaction ~ Days + (1 | Subject) + (1 | same)", "Reaction ~ Days + (1 | Subject)"
    said = "(1 | Subject) and (1 | same) apart: only what they add up to is identified, how it is "
    fits = (
        nm.pymc_lmer(twice, data, **options),
        nm.lmer(twice, data).sample(**options),
        nm.summarise(twice, data).sample(**options),
    )
    for fit in fits:
        assert f"{said}split is what the priors say" in " ".join(fit.messages)
    assert nm.pymc_lmer(once, data, **options).messages == ()
