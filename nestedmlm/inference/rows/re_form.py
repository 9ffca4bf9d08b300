"""lme4's ``re.form``: the random effects that count in a prediction or simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, coding_pattern
from nestedmlm.errors import OptionError
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.formula import parse_right_side
from nestedmlm.formula.nodes import Literal

Mask = npt.NDArray[np.bool_]
_INTERCEPT = "(Intercept)"
_NONE = ("NA", "none")  # R's spelling, and a word


def chosen_columns(design: Design, re_form: Any = None) -> tuple[Mask, ...]:
    """Mark the columns of each random-effects term that `re_form` keeps.

    Parameters
    ----------
    design : Design
    re_form : None, False or str
        None: all random effects. False, ``"~ 0"``, ``"none"`` or R's ``"NA"``: none. A formula,
        ``"~ (1 | schoolid)"``: its terms, matched by grouping factor and column. Curves of all
        data, ``s(x)``, always count: they are part of the mean.

    Returns
    -------
    tuple of (k,) arrays of bool
        One for each term of the design.

    Raises
    ------
    OptionError
        For a grouping factor or a column that the model does not have, or a formula with anything
        but random-effects terms.
    FormulaError
        When the formula cannot be read.

    Notes
    -----
    reference/lme4.md, 2.9.
    """
    if re_form is None:
        return tuple(np.ones(len(t.columns), dtype=bool) for t in design.terms)
    out = tuple(
        np.full(len(t.columns), design.factors[t.factor].is_whole, dtype=bool) for t in design.terms
    )
    for bar in _bars(design, re_form):
        _choose(design, bar, out)
    return out


def only_columns(X: FloatArray, keep: Mask) -> FloatArray:
    """The matrix with all columns but those kept at zero (missing values in them too)."""
    return X if keep.all() else np.where(keep, X, 0.0)


def _bars(design: Design, re_form: Any) -> tuple[Bar, ...]:
    if re_form is False or (isinstance(re_form, str) and re_form in _NONE):
        return ()
    if not isinstance(re_form, str):
        raise OptionError(
            "re_form must be None (all random effects), False or '~ 0' (none), or a formula such "
            f"as '~ (1 | {design.factors[0].name})', not {re_form!r:.200}"
        )
    fixed, bars = parse_right_side(re_form, double_bar=design.formula.double_bar)
    nothing = isinstance(fixed, Literal) and fixed.value == 0
    if nothing or (bars and fixed is None):
        return bars
    raise OptionError(
        f"re_form={re_form!r} must hold random-effects terms only, such as "
        f"'~ (1 | {design.factors[0].name})', or be '~ 0'; fixed effects always count"
    )


def _choose(design: Design, bar: Bar, out: tuple[Mask, ...]) -> None:
    """Mark the columns of one bar of the formula in `out`."""
    names = [f.name for f in design.factors]
    if bar.group_name not in names:
        raise OptionError(
            f"re_form has the grouping factor {bar.group_name}, which the model does not have; "
            f"its grouping factors: {', '.join(names)}"
        )
    factor = names.index(bar.group_name)
    own = [t for t, term in enumerate(design.terms) if term.factor == factor]
    wanted = [_INTERCEPT] if bar.terms.intercept else []
    for label in (*wanted, *bar.terms.labels):
        found = False
        for t in own:
            columns = _columns_of(label, bar, design.schema.bars[t])
            out[t][columns] = True
            found = found or bool(columns)
        if not found:
            known = ", ".join(c for t in own for c in design.terms[t].columns)
            raise OptionError(
                f"re_form has {label} in ({bar.text}), which is no random effect of "
                f"{bar.group_name} in the model; its columns: {known}"
            )


def _columns_of(label: str, bar: Bar, spec: MatrixSpec) -> list[int]:
    """Columns of a term's matrix that belong to a label of the bar, coded in the same way."""
    if label == _INTERCEPT:
        return [0] if spec.terms.intercept else []
    if label not in spec.terms.labels:
        return []
    number = spec.terms.labels.index(label)
    factors = {
        v.name: coding.levels is not None
        for v, coding in zip(spec.terms.variables, spec.codings, strict=True)
    }
    pattern = coding_pattern(bar.terms, [factors.get(v.name, False) for v in bar.terms.variables])
    row = pattern[bar.terms.labels.index(label)]
    theirs = dict(zip(_names(bar.terms, label), row, strict=True))
    ours = dict(zip(_names(spec.terms, label), spec.full[number], strict=True))
    if any(factors[name] and theirs[name] != ours[name] for name in ours):
        return []
    return [j for j, a in enumerate(spec.assign) if a == number + 1]


def _names(terms: Any, label: str) -> list[str]:
    """Names of the variables of one term."""
    return [terms.variables[v].name for v in terms.terms[terms.labels.index(label)]]
