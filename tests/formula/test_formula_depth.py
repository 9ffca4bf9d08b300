"""Long and deep formulas are read; what is too much says so."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import FormulaError
from nestedmlm.formula import parse_formula, update_formula

MANY = " + ".join(f"x{i}" for i in range(2000))


def test_two_thousand_terms() -> None:
    formula = parse_formula(f"y ~ {MANY} + (1 | g)")
    assert len(formula.fixed_terms().terms) == 2000
    assert formula.display == f"y ~ {MANY} + (1 | g)"
    assert pickle.loads(pickle.dumps(formula)) == formula == copy.deepcopy(formula)
    assert hash(formula) == hash(parse_formula(f"y ~ {MANY} + (1 | g)"))
    assert update_formula(formula, ". ~ . - x7").count("+") == 1999
    assert len(parse_formula(f"y ~ (0 + {MANY} | g)").bars[0].terms.terms) == 2000
    minus = parse_formula("y ~ . - " + MANY.replace("+", "-") + " + (1 | g)")
    assert minus.fixed_terms(("x1", "z")).labels == ("z",)


@pytest.mark.parametrize("depth", [51, 500, 5000])
def test_parentheses(depth: int) -> None:
    left, right = "(" * depth, ")" * depth
    text = f"y ~ {left}x{right} + {left}1 | g{right}"
    assert parse_formula(text).display == text
    assert parse_formula(f"y ~ {'-' * depth}x + (1 | g)").bars


def test_long_and_deep_expressions_are_evaluated() -> None:
    data = nm.load_dataset("sleepstudy")
    long = nm.lmer(f"Reaction ~ I({' + '.join(['Days'] * 1000)}) + (1 | Subject)", data)
    assert long.fixef.iloc[1] * 1000 == pytest.approx(10.46729, abs=1e-5)
    deep = nm.lmer(f"Reaction ~ I({'(' * 500}Days{')' * 500}) + (1 | Subject)", data)
    assert deep.fixef.iloc[1] == pytest.approx(10.46729, abs=1e-5)


def test_powers_end() -> None:
    for power in ("3", "1000000000", "1e300", "1e999"):
        formula = parse_formula(f"y ~ (a + b + c)^{power} + (1 | g)")
        assert formula.fixed_terms().labels[-1] == "a:b:c"
    for text in ("*".join("abcdefghijklmnopqrst"), f"({'+'.join('abcdefghijklmnopqrst')})^20"):
        with pytest.raises(FormulaError, match="more than 10000 terms"):
            parse_formula(f"y ~ {text} + (1 | z)")


@pytest.mark.parametrize("name", ["and", "or", "not", "True", "None", "if", "a`b", "a\\b", "a b"])
def test_names_keep_their_backticks(name: str) -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "g": np.arange(60) // 6, name: rng.normal(size=60)}
    )
    written = name.replace("\\", "\\\\").replace("`", "\\`")
    fit = nm.lmer(f"y ~ `{written}` + (1 | g)", data)
    assert fit.formula == f"y ~ `{written}` + (1 | g)"
    assert fit.update(". ~ . - 1").design.x_names == (f"`{written}`",)
    assert fit.ranova().table.shape[0] == 2


@pytest.mark.parametrize("text", ["1²", "²", "x + ²", "x + ٣"])
def test_other_digits_are_no_numbers(text: str) -> None:
    with pytest.raises(FormulaError, match="unexpected character"):
        parse_formula(f"y ~ {text} + (1 | g)")
