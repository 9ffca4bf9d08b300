"""The algebra of terms: R's labels, order and coding rule (values from R 4.2.2's `terms`)."""

from __future__ import annotations

import pytest

from nestedmlm.formula import parse_formula

LABELS = {
    "a*b*x": ["a", "b", "x", "a:b", "a:x", "b:x", "a:b:x"],
    "a:b + x + a + b": ["x", "a", "b", "a:b"],
    "x:z + z + x": ["z", "x", "x:z"],
    "(a + b + x)^2": ["a", "b", "x", "a:b", "a:x", "b:x"],
    "(a + b + x)**2 - b:a": ["a", "b", "x", "a:x", "b:x"],
    "a:b + b:a": ["a:b"],
    "b + a:b": ["b", "b:a"],
    "a/b/x": ["a", "a:b", "a:b:x"],
    "(a + b)/x": ["a", "b", "a:b:x"],
    "a + b %in% a": ["a", "a:b"],
    "a*b - a": ["b", "a:b"],
    "(1 + a):b": ["a:b"],
    "x:x": ["x"],
    "x^2": ["x"],
    "a*1": ["a"],
    "-x": [],
    "x + offset(z)": ["x"],
    "x*offset(z)": ["x"],
    "x + y": ["x"],
}


@pytest.mark.parametrize("rhs", LABELS)
def test_labels(rhs: str) -> None:
    assert list(parse_formula(f"y ~ {rhs}").fixed_terms().labels) == LABELS[rhs]


INTERCEPT = {
    "x": True,
    "0 + x": False,
    "x - 1": False,
    "x + 0": False,
    "-1 + x": False,
    "x - 1 + 1": True,
    "1 + x - 1": False,
    "x - 0": True,
    "x + 1": True,
    "0": False,
}


@pytest.mark.parametrize("rhs", INTERCEPT)
def test_intercept(rhs: str) -> None:
    assert parse_formula(f"y ~ {rhs}").fixed_terms().intercept is INTERCEPT[rhs]


# for each term and each of its variables in R's order: coded by contrasts?
CODING = {
    "a": [(True,)],
    "a:b": [(False, False)],
    "a + a:b": [(True,), (False, True)],
    "b + a:b": [(True,), (False, True)],  # R's order of variables here is b, a
    "a*b": [(True,), (True,), (True, True)],
    "x + x:a": [(True,), (False, True)],
    "a*b*x - a:b": [(True,), (True,), (True,), (True, True), (True, True), (True, True, False)],
}


@pytest.mark.parametrize("rhs", CODING)
def test_coding_rule(rhs: str) -> None:
    assert list(parse_formula(f"y ~ {rhs}").fixed_terms().contrast) == CODING[rhs]


def test_dot_is_every_other_column() -> None:
    formula = parse_formula("log(y) ~ . - g + (1|g)")
    terms = formula.fixed_terms(("x", "y", "g", "a"))
    assert terms.labels == ("x", "a")
    assert [v.name for v in terms.mentioned] == ["g"]
    assert parse_formula("y ~ .^2 + (1|g)").fixed_terms(("y", "x", "a")).labels == ("x", "a", "x:a")


def test_offsets_are_taken_out() -> None:
    terms = parse_formula("y ~ x + offset(log(z)) + offset(2)").fixed_terms()
    assert [v.name for v in terms.offsets] == ["log(z)", "2"]
