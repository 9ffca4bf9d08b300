"""Formula text: what is understood, how it prints, what is refused and where the mark stands."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from reference import cases

from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.formula import deparse, parse_formula, parse_right_side, update_formula
from nestedmlm.formula.nodes import strip_groups
from nestedmlm.formula.parser import parse_text

DISPLAY = {
    "y~x+(x||g)": "y ~ x + ((1 | g) + (0 + x | g))",
    "y ~ x + (0+x||g)": "y ~ x + ((0 + x | g))",
    "mathscore ~ ses + (ses | schoolid) + (1 | classid)": (
        "mathscore ~ ses + (ses | schoolid) + (1 | classid)"
    ),
    "mathscore~ses+(ses|schoolid)+(ses||classid)": (
        "mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))"
    ),
    "y ~ (1|schoolid/classid2)": "y ~ (1 | schoolid/classid2)",
    "y ~ (x*f || a/b)": "y ~ ((1 | a/b) + (0 + x | a/b) + (0 + f | a/b) + (0 + x:f | a/b))",
    "Reaction~0+Days+(0+Days|Subject)": "Reaction ~ 0 + Days + (0 + Days | Subject)",
    "y ~ I(Days**2)+poly(Days,2)+(1|g)": "y ~ I(Days^2) + poly(Days, 2) + (1 | g)",
    "y ~ poly(x,2,raw=True)*a-1+(1|g)": "y ~ poly(x, 2, raw = TRUE) * a - 1 + (1 | g)",
    "y~{x+z}+(1|g)": "y ~ I(x + z) + (1 | g)",
    "y~np.log(x)+I(x*1e-1)+(1|g)": "y ~ log(x) + I(x * 0.1) + (1 | g)",
    "y~I(x*100000)+I(x*123456)+(1|g)": "y ~ I(x * 1e+05) + I(x * 123456) + (1 | g)",
    "y ~ . - g + (1|g)": "y ~ . - g + (1 | g)",
    "y ~ a + b%in%a + (1|g)": "y ~ a + b %in% a + (1 | g)",
    "y ~ dummy(Sex,\"Female\") + (0+dummy(Sex,'Male')|g)": (
        'y ~ dummy(Sex, "Female") + (0 + dummy(Sex, "Male") | g)'
    ),
    "y ~ `a b` + `c`+(1|g)": "y ~ `a b` + c + (1 | g)",
    "y~C(s,levels=['lo',\"it's\"])+(1|g)": 'y ~ C(s, levels = c("lo", "it\'s")) + (1 | g)',
    "log(y)~x+cs(0+f|g,hom=TRUE)": "log(y) ~ x + cs(0 + f | g, hom = TRUE)",
    "y ~ I(2^-1*x) + I(-x^2) + (1|g)": "y ~ I(2^-1 * x) + I(-x^2) + (1 | g)",
    "y ~ I(n %% 2) + I(x > 0 and not z <= 1) + (1|g)": (
        "y ~ I(n%%2) + I(x > 0 & !z <= 1) + (1 | g)"
    ),
    "y ~ größe + _u + .v + x.1 + (1|g)": "y ~ größe + `_u` + .v + x.1 + (1 | g)",
}


@pytest.mark.parametrize("text", DISPLAY)
def test_display_is_what_lme4_prints(text: str) -> None:
    assert parse_formula(text).display == DISPLAY[text]


@pytest.mark.parametrize("text", DISPLAY)
def test_display_means_the_same(text: str) -> None:
    formula = parse_formula(text)
    again = parse_formula(formula.display)
    assert again.display == formula.display
    assert again.fixed_terms(("g", "x")).labels == formula.fixed_terms(("g", "x")).labels
    assert [bar.text for bar in again.bars] == [bar.text for bar in formula.bars]


RANDOM = cases("formulas/random")


@pytest.mark.parametrize("text", RANDOM)
def test_bars_in_lme4s_order_and_names(text: str) -> None:
    assert [bar.text for bar in parse_formula(f"y ~ {text}").bars] == RANDOM[text][0]


def test_structures_and_their_defaults() -> None:
    text = "y ~ us(x|g) + diag(x|g) + cs(x|g) + ar1(0+f|g) + ar1(0+f|h, hom=False) + (x|g)"
    found = [(bar.structure, bar.hom) for bar in parse_formula(text).bars]
    assert found == [
        ("us", False),
        ("diag", False),
        ("cs", False),
        ("ar1", True),
        ("ar1", False),
        ("us", False),
    ]


def test_double_bar_as_one_diagonal_block() -> None:
    formula = parse_formula("y ~ (1 + a + b || f)", double_bar="diag")
    assert [(bar.structure, bar.text) for bar in formula.bars] == [("diag", "1 + a + b | f")]
    assert formula.display == "y ~ diag(1 + a + b | f)"
    with pytest.raises(OptionError, match="split, diag"):
        parse_formula("y ~ (x||g)", double_bar="other")


# text -> (words of the message, the character under the mark)
ERRORS = {
    "y ~ x z": ("without an operator", "z"),
    "y ~ x + (x|g|h)": ("one bar", "|h"),
    "y ~ (x|g||h)": ("one bar", "||h"),
    "y ~ x + 1|g": ("parentheses", "|g"),
    "y ~ 1|g": ("parentheses", "|g"),
    "y ~ (x + z|g) | h": ("parentheses", "| h"),
    "y ~ (x + (1|g)": ("never closed", "(x"),
    "y ~ x) + (1|g)": ("closes nothing", ")"),
    "y ~ f(x + (1|g)": ("never closed", "(x"),
    "y ~ [1, 2": ("never closed", "[1"),
    "y ~ x*(1|g)": ("only be added", "|g"),
    "y ~ (1|g)*a": ("only be added", "|g"),
    "y ~ (1|g):a": ("only be added", "|g"),
    "y ~ (1|g)^2": ("only be added", "|g"),
    "y ~ x - (1|g)": ("cannot be taken out", "|g"),
    "y ~ - (1|g)": ("only be added", "|g"),
    "y ~ x - us(1|g)": ("cannot be taken out", "us"),
    "y ~ x + 2 + (1|g)": ("not a term", "2"),
    "y ~ 2*x": ("not a term", "2"),
    "y ~ 'x' + (1|g)": ("not a term", "'x'"),
    "~ x + (1|g)": ("no response", "~"),
    "x + (1|g)": ("needs a response and a tilde", "x"),
    "y ~ x ~ z": ("only one '~'", "~ z"),
    "y ~ x +": ("ends too early", ""),
    "y ~ x $ z": ("unexpected character", "$"),
    "y ~ x %foo% z": ("unknown operator %foo%", "%foo"),
    "y ~ x // a": ("wrap this in I", "//"),
    "y ~ a + b == 1": ("wrap this in I", "=="),
    "y ~ 'abc": ("quote is never closed", "'"),
    "y ~ `ab": ("backtick is never closed", "`"),
    "y ~ x + (1|g), z": ("without an operator", ","),
    "y ~ x + (1|g + 1)": ("cannot be a grouping factor", "1)"),
    "y ~ x + (1|x>0)": ("cannot be a grouping factor", ">0"),
    "y ~ x + (x|1)": ("cannot be a grouping factor", "1)"),
    "y ~ x + z (1|g)": ("no covariance structure", "z ("),
    "y ~ foo(x|g)": ("(known: ar1, cs, diag, ", "foo"),
    "y ~ diag(x||g)": ("single bar", "||"),
    "y ~ diag(x|g, hom=2)": ("hom=True or hom=False", "hom"),
    "y ~ us(x|g, hom=TRUE)": ("takes no option", "hom"),
    "y ~ x = 3": ("left of '='", "= 3"),
    "y ~ x[0]": ("indexing", "[0"),
    "y ~ (a + b)^c": ("the power", "c"),
    "y ~ (. | g)": ("'.' stands for", "."),
    "y ~ (0 || g)": ("nothing left", "|| g"),
    "y ~ !x + (1 | g)": ("write I(!x) + (1 | g)", "| g"),
    "y ~ (|g)": ("cannot stand here", "|g"),
    "y ~ offset(x, z)": ("one argument", "offset"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_errors_mark_the_place(text: str) -> None:
    words, place = ERRORS[text]
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    error = caught.value
    assert words in error.message
    assert error.formula == text
    assert error.position is not None
    assert text[error.position :].startswith(place)
    assert error.position == len(text) if place == "" else True
    assert str(error).splitlines()[-1].index("^") == 2 + error.position


@pytest.mark.parametrize("text", ["", "   "])
def test_empty(text: str) -> None:
    with pytest.raises(FormulaError, match="empty"):
        parse_formula(text)


def test_not_a_string() -> None:
    with pytest.raises(FormulaError, match=r"the formula is text.*not int"):
        parse_formula(3)  # type: ignore[arg-type]


def test_lines_are_joined() -> None:
    assert parse_formula("y ~ x +\n\t(1 | g)").display == "y ~ x + (1 | g)"


@pytest.mark.parametrize("text", ["y ~ x*z + (x||a/b) + offset(log(w))", *list(DISPLAY)[:4]])
def test_frozen_picklable_copyable(text: str) -> None:
    formula = parse_formula(text)
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert copy.deepcopy(formula) == formula
    assert hash(copy.deepcopy(formula)) == hash(formula)
    with pytest.raises(AttributeError):
        formula.text = "other"  # type: ignore[misc]


def test_parts() -> None:
    formula = parse_formula("log(y) ~ a*x + (x|g/h) + np.exp(z) + offset(w)")
    assert formula.response_text == "log(y)"
    assert formula.fixed_text == "~ a * x + exp(z) + offset(w)"
    assert formula.fixed_terms().labels == ("a", "x", "exp(z)", "a:x")
    assert set(formula.names) == {"log", "y", "a", "x", "g", "h", "np.exp", "z", "offset", "w"}
    assert parse_formula("y ~ (1|g)").fixed_text == "~ 1"


# formula, the term that is replaced, what takes its place, what comes of it
REPLACED = {
    ("y ~ x + (x|g) + cs(0+f|h, hom=True) + ar1(0+f|g)", 0, ()): (
        "y ~ x + cs(0 + f | h, hom = TRUE) + ar1(0 + f | g)"
    ),
    ("y ~ x + (x|g) + cs(0+f|h, hom=True)", 0, ("(1 | g)", "(0 + x | g)")): (
        "y ~ x + (1 | g) + (0 + x | g) + cs(0 + f | h, hom = TRUE)"
    ),
    ("y ~ (x | I(g)) + x - 1 + (z(x) | I(h))", 0, ("diag(x | I(g))",)): (
        "y ~ x - 1 + diag(x | I(g)) + (z(x) | I(h))"
    ),
    ("y ~ x + (x || g)", 0, ()): "y ~ x + (0 + x | g)",
    ("y ~ (x | a/b) + (1 || h)", 1, ("(x || a)",)): "y ~ 1 + (x | b:a) + (x || a) + (1 || h)",
    ("y ~ x + (x | g) + (1 | g)", 0, ("(1 | g)",)): "y ~ x + (1 | g)",
    ("log(y) ~ . - g + (1 | g)", 0, ()): "log(y) ~ . - g",
    ("y ~ -1 + (1 | g)", 0, ("(1 | `b c`)",)): "y ~ -1 + (1 | `b c`)",
}


@pytest.mark.parametrize(("text", "number", "terms"), REPLACED)
def test_terms_are_replaced(text: str, number: int, terms: tuple[str, ...]) -> None:
    formula = parse_formula(text)
    nodes = [strip_groups(parse_text(term)) for term in terms]
    changed = formula.replacing(formula.bars[number], nodes)
    assert changed.text == REPLACED[text, number, terms]
    again = parse_formula(changed.text)
    assert (changed.tree, changed.fixed, changed.response) == (
        again.tree,
        again.fixed,
        again.response,
    )
    assert [b.node for b in changed.bars] == [b.node for b in again.bars]
    assert [b.call_text for b in changed.bars] == [b.call_text for b in again.bars]
    assert (changed.display, changed.names) == (again.display, again.names)


def test_one_of_two_equal_terms_is_left_out() -> None:
    formula = parse_formula("y ~ x + (1 | g) + (1 | g)")
    assert [formula.without(bar).text for bar in formula.bars] == ["y ~ x + (1 | g)"] * 2


@pytest.mark.parametrize(
    ("text", "fixed", "bars"),
    [
        ("~ (x | g) + (1 | h)", None, ["x | g", "1 | h"]),
        ("~ 1 | g", None, ["1 | g"]),
        ("(x || a/b)", None, ["1 | b:a", "1 | a", "0 + x | b:a", "0 + x | a"]),
        ("~0", "0", []),
        ("~ x + (1 | g)", "x", ["1 | g"]),
    ],
)
def test_right_sides(text: str, fixed: str | None, bars: list[str]) -> None:
    node, found = parse_right_side(text)
    assert (None if node is None else deparse(node)) == fixed
    assert [bar.text for bar in found] == bars


def test_errors_in_right_sides_are_marked() -> None:
    with pytest.raises(FormulaError, match=r"\(1 \| g\) h\n  +\^"):
        parse_right_side("~ (1 | g) h")


# R: update(old, new)
UPDATES = {
    ("y ~ x*z + (1|g) + offset(w)", ". ~ . + w - (1|g) + (x|g)"): (
        "y ~ x + z + w + (x | g) + x:z + offset(w)"
    ),
    ("y ~ x + (1|g) - 1", ". ~ . + w"): "y ~ x + (1 | g) + w - 1",
    ("y ~ x + ((1|g) + (0+x|g))", ". ~ . - (0 + x | g)"): "y ~ x + (1 | g)",
    ("y ~ x + (x||g)", ". ~ . - (0 + x | g)"): "y ~ x + (1 | g)",
    ("y ~ x + (1|g)", "log(.) ~ . - 1"): "log(y) ~ x + (1 | g) - 1",
    ("y ~ x + (1|g)", "~ . + z"): "y ~ x + (1 | g) + z",
    ("y ~ x + (1|g)", "z ~ ."): "z ~ x + (1 | g)",
    ("y ~ x + (1|g)", ". ~ . - x"): "y ~ (1 | g)",
}


@pytest.mark.parametrize(("old", "new"), UPDATES)
def test_update(old: str, new: str) -> None:
    assert update_formula(old, new) == UPDATES[old, new]
    assert update_formula(parse_formula(old), new) == UPDATES[old, new]
    parse_formula(UPDATES[old, new])


def test_update_errors() -> None:
    with pytest.raises(FormulaError, match="needs a tilde"):
        update_formula("y ~ x", "x + z")
    with pytest.raises(FormulaError, match="without an operator"):
        update_formula("y ~ x", ". ~ . x")


def test_formulae_is_not_imported_before_the_first_parse() -> None:
    code = "import sys, nestedmlm.formula; sys.exit('formulae' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
