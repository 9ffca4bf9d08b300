"""Operators right of a bar: what lme4 >= 1.1-36 (reformulas) makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import FormulaError
from nestedmlm.formula import parse_formula

# terms() of the group; with a slash, names from the inside and the innermost first
EXPANDED = {
    "f*g": ["f", "g", "f:g"],
    "f + g": ["f", "g"],
    "f + g + h": ["f", "g", "h"],
    "f/(g + h)": ["h:f", "g:f", "f"],
    "f/(g*h)": ["h:g:f", "h:f", "g:f", "f"],
    "f/g/h": ["h:g:f", "g:f", "f"],
    "(f/g)/h": ["h:g:f", "g:f", "f"],
    "f:g/h": ["h:g:f", "g:f"],
    "(f + g):h": ["f:h", "g:h"],
    "(f + g + h)^2": ["f", "g", "h", "f:g", "f:h", "g:h"],
    "f*g - f": ["g", "f:g"],
    "g:f": ["g:f"],
    "f*f": ["f"],
    "I(f)/`a b`": ["`a b`:I(f)", "I(f)"],
}


@pytest.mark.parametrize("group", EXPANDED)
def test_expansion(group: str) -> None:
    found = parse_formula(f"y ~ x + (1 + x | {group})").bars
    assert [bar.group_text for bar in found] == EXPANDED[group]
    assert {bar.lhs_text for bar in found} == {"1 + x"}


def test_structures_go_to_every_factor() -> None:
    found = parse_formula("y ~ diag(x | f*g)").bars
    assert [(bar.structure, bar.group_text) for bar in found] == [
        ("diag", "f"),
        ("diag", "g"),
        ("diag", "f:g"),
    ]


@pytest.mark.parametrize("group", ["f + 1", "f - f", "f * .", "2 * f", "-f", "f / -g", "f == g"])
def test_what_is_no_factor_is_refused(group: str) -> None:
    with pytest.raises(FormulaError, match="grouping factor"):
        parse_formula(f"y ~ (1 | {group})")


def test_products_are_the_terms_written_out() -> None:
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"f": np.repeat(range(6), 20), "g": np.tile(np.repeat(range(5), 4), 6)})
    d["y"] = rng.normal(size=6)[d.f] + rng.normal(size=30)[d.f * 5 + d.g] + rng.normal(size=120)
    short = nm.lmer("y ~ 1 + (1 | f*g)", d)
    long = nm.lmer("y ~ 1 + (1 | f) + (1 | g) + (1 | f:g)", d)
    assert short.criterion == pytest.approx(long.criterion, abs=1e-9)
    assert list(short.ngrps.index) == list(long.ngrps.index)
    nested = nm.lmer("y ~ 1 + (1 | f/g)", d)
    assert nested.ranef().level.iloc[0] == "0:0"
    assert nm.lmer("y ~ 1 + (1 | f) + (1 | g:f)", d).criterion == pytest.approx(nested.criterion)
