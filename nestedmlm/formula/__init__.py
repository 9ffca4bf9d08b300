"""Formulas: text to frozen terms. Nothing here knows data, PyTensor or PyMC."""

from __future__ import annotations

from nestedmlm.formula.bars import Bar
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula, build_formula, parse_formula
from nestedmlm.formula.terms import Terms, Variable
from nestedmlm.formula.update import update_formula

__all__ = [
    "Bar",
    "Formula",
    "Terms",
    "Variable",
    "build_formula",
    "deparse",
    "parse_formula",
    "update_formula",
]
