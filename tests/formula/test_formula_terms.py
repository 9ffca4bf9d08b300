"""The algebra of terms: R's labels, order and coding rule (of `reference/formulas`)."""

from __future__ import annotations

import pytest
from reference import cases

from nestedmlm.formula import parse_formula

FIXED = cases("formulas/fixed")  # R's terms() and how it codes them


@pytest.mark.parametrize("rhs", FIXED)
def test_labels_and_intercept(rhs: str) -> None:
    (intercept, *labels), _, _ = FIXED[rhs]
    terms = parse_formula(f"y ~ {rhs}").fixed_terms()
    assert list(terms.labels) == labels
    assert terms.intercept is (intercept == "1")


@pytest.mark.parametrize("rhs", FIXED)
def test_coding_rule(rhs: str) -> None:
    _, coding, _ = FIXED[rhs]
    # 1: by contrasts, for each variable of a term in R's order
    expected = [tuple(code == "1" for code in codes) for codes in coding]
    assert list(parse_formula(f"y ~ {rhs}").fixed_terms().contrast) == expected


def test_dot_is_every_other_column() -> None:
    formula = parse_formula("log(y) ~ . - g + (1|g)")
    terms = formula.fixed_terms(("x", "y", "g", "a"))
    assert terms.labels == ("x", "a")
    assert [v.name for v in terms.mentioned] == ["g"]
    assert parse_formula("y ~ .^2 + (1|g)").fixed_terms(("y", "x", "a")).labels == ("x", "a", "x:a")


def test_offsets_are_taken_out() -> None:
    terms = parse_formula("y ~ x + offset(log(z)) + offset(2)").fixed_terms()
    assert [v.name for v in terms.offsets] == ["log(z)", "2"]
