"""The arguments ``residual`` and ``dispersion``: read by the parser of formulas.

``residual="ar1(Days | Subject)"`` is one bar with a structure before it; ``dispersion="~ Sex"`` a
one-sided formula, in which the intercept is the log of sigma.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nestedmlm.errors import FormulaError
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.formula import Formula, parse_formula
from nestedmlm.formula.terms import Variable

_CALL = re.compile(r"\s*([A-Za-z][\w.]*)\s*\((.*)\)\s*$", re.DOTALL)
_OPTION = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualTerm:
    """Residual term: what the argument ``residual`` says.

    Attributes
    ----------
    text : str
        As it was written.
    structure : str
        Its name; whether there is one is not looked up here.
    bar : Bar
        The bar inside, with its block.
    time : Variable or None
        Left of the bar; None for ``1``.
    hom : bool or None
        None where it is not said.
    by : Variable or None
    formulas : tuple of Formula
        What names its variables.
    """

    text: str
    structure: str
    bar: Bar
    time: Variable | None
    hom: bool | None
    by: Variable | None
    formulas: tuple[Formula, ...]


def parse_residual(text: str) -> ResidualTerm:
    """Read ``structure(time | block, hom=False, by=group)``.

    Parameters
    ----------
    text : str

    Returns
    -------
    ResidualTerm

    Raises
    ------
    FormulaError
        If it is no such term.

    Examples
    --------
    >>> term = parse_residual("us(visit | id, by=arm)")
    >>> term.structure, term.time.name, term.bar.group_name, term.by.name
    ('us', 'visit', 'id', 'arm')
    """
    said = "residual= is one term such as 'ar1(Days | Subject)' or 'us(visit | id, by=arm)'"
    found = _CALL.match(text)
    if found is None:
        raise FormulaError(said, text)
    first, *options = _split(found[2])
    if first.count("|") != 1:
        raise FormulaError(f"{said}: one bar with the block on its right", text)
    hom, by = _options(options, text)
    left, block = (part.strip() for part in first.split("|"))
    inner = "1" if left in ("1", "") else f"0 + {left}"
    formula = parse_formula(f"y ~ 1 + ({inner} | {block})")
    if len(formula.bars) != 1:
        raise FormulaError(f"{said}: blocks are levels of one factor (write a:b for a/b)", text)
    bar = formula.bars[0]
    variables = bar.terms.used
    if len(variables) > 1 or bool(variables) == (left in ("1", "")):
        raise FormulaError(f"{said}: left of the bar stands one variable, the time", text)
    grouped = None if by is None else parse_formula(f"y ~ {by}")
    terms = None if grouped is None else grouped.fixed_terms().used
    if terms is not None and len(terms) != 1:
        raise FormulaError("by= takes one variable, whose groups have a matrix each", text)
    return ResidualTerm(
        text=" ".join(text.split()),
        structure=found[1],
        bar=bar,
        time=variables[0] if variables else None,
        hom=hom,
        by=None if terms is None else terms[0],
        formulas=(formula,) if grouped is None else (formula, grouped),
    )


def parse_dispersion(text: str) -> Formula:
    """Read the one-sided formula of the log standard deviation.

    Parameters
    ----------
    text : str

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        If it is none, has bars or offsets, or leaves out the intercept.

    Examples
    --------
    >>> parse_dispersion("~ Sex").fixed_terms().labels
    ('Sex',)
    """
    if not text.strip().startswith("~"):
        raise FormulaError(
            "dispersion= is a one-sided formula of the log standard deviation: '~ Sex'", text
        )
    formula = parse_formula(f"y {text.strip()}")
    if formula.bars:
        raise FormulaError("dispersion= takes no random effects: no bars", text)
    terms = formula.fixed_terms()
    if not terms.intercept:
        raise FormulaError("dispersion= has an intercept, the log of sigma: leave it in", text)
    if not terms.terms:
        raise FormulaError("dispersion= names no variable: leave it out", text)
    if terms.offsets:
        raise FormulaError("dispersion= takes no offset(): known variances are weights=", text)
    return formula


def _split(text: str) -> list[str]:
    """Parts between commas that stand in no parentheses."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _options(options: list[str], text: str) -> tuple[bool | None, str | None]:
    hom, by = None, None
    for option in options:
        found = _OPTION.match(option)
        if found is not None and found[1] == "hom" and found[2] in ("True", "False", "T", "F",
                                                                    "TRUE", "FALSE"):  # fmt: skip
            hom = found[2].startswith("T")
        elif found is not None and found[1] == "by":
            by = found[2]
        else:
            raise FormulaError(f"{option.strip()!r}: after the block stand hom= and by= only", text)
    return hom, by
