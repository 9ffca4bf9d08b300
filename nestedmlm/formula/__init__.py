"""Formulas: text to frozen terms. Nothing here knows data, PyTensor or PyMC."""

from __future__ import annotations

from nestedmlm.formula.bars import Bar, random_term
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula, as_formula, parse_formula, parse_right_side
from nestedmlm.formula.terms import Terms, Variable
from nestedmlm.formula.update import update_formula

__all__ = [
    "Bar",
    "Formula",
    "Terms",
    "Variable",
    "as_formula",
    "deparse",
    "parse_formula",
    "parse_right_side",
    "random_term",
    "update_formula",
]
