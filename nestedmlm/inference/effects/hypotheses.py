"""Hypotheses of type I, II and III: what each term of the fixed effects is tested for.

The definitions are lmerTest's (which reproduces SAS): one contrast matrix per term, in the user's
coding of X.

- type I: the rows of the unit upper-triangular factor of ``X'X``: each term after those before it;
- type II: the same with X's columns in the order: unrelated terms, the term, terms containing it;
- type III: estimable functions that are orthogonal to those of the terms containing the term,
  worked out in treatment coding and carried over to whatever coding the user chose.

A term contains another if it has all its factors and more, and the same numeric variables (SAS). Of
``a + a:b`` lmerTest says that a:b does not contain a, because R codes a there by its indicators;
types II and III of a are then its coefficients at b's reference level. Here they are SAS's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor, Matrix, Vector, take_rows, vector_length
from nestedmlm.design.matrices.modelmatrix import Coding, MatrixSpec, build_matrix
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.design.moments import all_fixed_columns, fixed_matrix
from nestedmlm.design.schema import matrix_values
from nestedmlm.errors import OptionError, RowsNotHereError
from nestedmlm.formula.nodes import variables_in
from nestedmlm.statistics.cells.predictor_tally import PredictorTally

Values = Callable[[], Mapping[str, Vector]]

_SHARE_OUTSIDE_SPAN = 1e-7  # relative size of what lies outside the span of other columns
_ROUNDING_SHARE_OF_ENTRY = 1e-8  # an entry of a contrast this small is rounding


def predictor_values(design: Design, data: Any) -> dict[str, Vector]:
    """Values of the fixed effects' variables on the rows of the design, or on rows like them.

    Parameters
    ----------
    design : Design
    data : table or PredictorTally
        Of a tally the rows are made up: every observed combination of the factors, with any numbers
        for the other variables. Hypotheses depend on what occurs, not on how often.

    Raises
    ------
    RowsNotHereError
        If sums do not tell which combinations occur, or columns depend on each other by their
        numbers.
    """
    if isinstance(data, PredictorTally):
        return _values_like(design, data)
    found = matrix_values((design.schema.fixed,), design.schema.evaluator(Frame(data)))
    if design.kept.all():
        return found
    return {name: take_rows(value, design.kept) for name, value in found.items()}


def _values_like(design: Design, tally: PredictorTally) -> dict[str, Vector]:
    spec, n = design.schema.fixed, len(tally.counts)
    factors = {
        variable: coding.levels is not None
        for variable, coding in zip(spec.terms.variables, spec.codings, strict=True)
    }
    used = {name for v, own in factors.items() if own for name in variables_in(v.node)}
    if not n or not used <= set(tally.values):
        raise RowsNotHereError(
            "sums do not hold which combinations of the factors occur (there are too many, or a "
            "factor is made of a column with many values): make the factor a column of the data, "
            "or fit data in memory"
        )
    times = len(spec.names) + 1  # rows of a combination: enough for any numbers to be independent
    rng = np.random.default_rng(n)
    # a row for each combination, then all again, and again
    frame = Frame({name: _as_column(value, times) for name, value in tally.values.items()})
    evaluator = design.schema.evaluator(frame)
    found: dict[str, Vector] = {}
    for (variable, is_factor), coding in zip(factors.items(), spec.codings, strict=True):
        if is_factor:
            found[variable.name] = evaluator.vector(variable.node)
        else:
            found[variable.name] = Matrix(
                rng.normal(size=(n * times, len(coding.suffixes))), coding.suffixes
            )
    X = build_matrix(spec, found, n * times)
    if tuple(kept_columns(X).tolist()) != tuple(design.schema.kept):
        raise RowsNotHereError(
            "columns of this model depend on each other by their numbers, which sums over rows "
            f"do not hold: leave out {', '.join(design.dropped) or 'one of them'}, or fit data in "
            "memory"
        )
    return found


def _as_column(value: Vector, times: int) -> Any:
    """A column as pandas takes it, several times end to end."""
    if isinstance(value, Factor):
        own = np.tile(value.codes, times)
        if value.kind == "logical":
            return own.astype(bool)
        return pd.Categorical.from_codes(own, categories=value.levels, ordered=value.ordered)
    return np.tile(np.asarray(value), times)


def term_contrasts(design: Design, type: str, values: Values) -> dict[str, FloatArray]:
    """Contrast matrix of each term, by its label.

    Parameters
    ----------
    design : Design
    type : {"I", "II", "III"}
        Also "1", "2", "3".
    values : callable () -> mapping
        Gives `predictor_values`; called only where factors have to be coded again.

    Returns
    -------
    dict of str to (q, p) array
        Terms whose columns were all dropped have no rows.

    Raises
    ------
    OptionError
        For another type.
    """
    kind = TYPES.get(str(type))
    if kind is None:
        raise OptionError(f"type={type!r} is unknown; known: I, II, III")
    labels = design.x_terms
    if len(labels) <= 1 or design.p <= 1:
        return _type_1(design, values)
    return kind(design, values)


def marginal_terms(design: Design) -> list[str]:
    """Labels of the terms that no other term contains: what can be dropped."""
    terms = [set(t) for t in design.schema.fixed.terms.terms]
    return [
        label
        for label, own in zip(design.x_terms, terms, strict=True)
        if not any(own < other for other in terms)
    ]


def marginal_contrasts(design: Design, values: Values) -> dict[str, FloatArray]:
    """Contrast matrix of each term that can be dropped, given all others.

    These are the term's own coefficients (of a lone term type I's rows, as in lmerTest, whose
    degrees of freedom depend on the choice of the rows). Where columns were dropped from X it is
    what the other terms, with all their columns, cannot replace; that may be nothing.
    """
    if not design.dropped:
        if len(design.x_terms) == 1:
            return _type_1(design, values)
        return {
            label: _rows(design, design.x_terms.index(label)) for label in marginal_terms(design)
        }
    X = fixed_matrix(design)
    if design.sums is not None:
        full = all_fixed_columns(design.sums)
    else:
        full = build_matrix(design.schema.fixed, values(), design.n)
    assign = np.asarray(design.schema.fixed.assign)
    out = {}
    for label in marginal_terms(design):
        others = full[:, assign != design.x_terms.index(label) + 1]
        U, s, _ = np.linalg.svd(others, full_matrices=False)
        U = U[:, s > _SHARE_OUTSIDE_SPAN * s.max(initial=0.0)]
        rest = X - U @ (U.T @ X)
        size = np.linalg.norm(rest, axis=0)
        own = size > _SHARE_OUTSIDE_SPAN * np.linalg.norm(X, axis=0)
        found, s, _ = np.linalg.svd(X.T @ rest[:, own], full_matrices=False)
        out[label] = found[:, s > _SHARE_OUTSIDE_SPAN * s.max(initial=0.0)].T
    return out


def missing_cells(design: Design, values: Values) -> list[str]:
    """Combinations of factor levels that a term has and the data do not."""
    spec = _indicators(design.schema.fixed)
    if all(coding.levels is None for coding in spec.codings):
        return []
    found = values()
    columns = build_matrix(spec, found, _number(found))
    empty = np.flatnonzero(~columns.any(axis=0))
    return [spec.names[j] for j in empty if len(spec.terms.terms[spec.assign[j] - 1]) > 1]


def containing_terms(spec: MatrixSpec) -> list[list[int]]:
    """For each term those that contain it: more factors, the same numeric variables."""
    terms = [set(term) for term in spec.terms.terms]
    numeric = {v for v, coding in enumerate(spec.codings) if coding.levels is None}
    return [
        [s for s, big in enumerate(terms) if small < big and small & numeric == big & numeric]
        for small in terms
    ]


def _number(values: Mapping[str, Vector]) -> int:
    """Number of rows of some variables, at least one."""
    return vector_length(next(iter(values.values())))


def _rows(design: Design, term: int) -> FloatArray:
    own = np.flatnonzero(np.asarray(design.x_assign) == term + 1)
    return np.eye(design.p)[own]


def _unit_triangle(X: FloatArray) -> FloatArray:
    """Upper-triangular factor of ``X'X`` with ones on the diagonal."""
    R = np.linalg.qr(X, mode="r")
    return _clean(R / np.diag(R)[:, None])


def _clean(L: FloatArray) -> FloatArray:
    out = L.copy()
    out[np.abs(L) < _ROUNDING_SHARE_OF_ENTRY * np.abs(L).max(initial=1.0)] = 0.0
    return out


def _type_1(design: Design, values: Values) -> dict[str, FloatArray]:
    if design.p == 0 or not design.x_terms:
        return {label: np.zeros((0, design.p)) for label in design.x_terms}
    R, assign = _unit_triangle(fixed_matrix(design)), np.asarray(design.x_assign)
    return {label: R[assign == t + 1] for t, label in enumerate(design.x_terms)}


def _type_2(design: Design, values: Values) -> dict[str, FloatArray]:
    containers = containing_terms(design.schema.fixed)
    assign = np.asarray(design.x_assign)
    out = {}
    for t, label in enumerate(design.x_terms):
        if not containers[t]:
            out[label] = _rows(design, t)
            continue
        late = np.isin(assign, [t + 1])
        last = np.isin(assign, [s + 1 for s in containers[t]])
        order = np.concatenate([np.flatnonzero(~(late | last)), np.flatnonzero(late | last)])
        R = _unit_triangle(fixed_matrix(design)[:, order])
        L = np.zeros((int(late.sum()), design.p))
        L[:, order] = R[assign[order] == t + 1]
        out[label] = L
    return out


def _type_3(design: Design, values: Values) -> dict[str, FloatArray]:
    spec = design.schema.fixed
    if all(coding.levels is None for coding in spec.codings):
        return {label: _rows(design, t) for t, label in enumerate(design.x_terms)}
    found = values()
    treatment = _treatment(spec)
    n = _number(found)
    X = build_matrix(treatment, found, n)
    kept = kept_columns(X)
    X, assign = X[:, kept], np.asarray(treatment.assign)[kept]
    names = [treatment.names[j] for j in kept]
    indicators = _indicators(spec)
    inverse = np.linalg.pinv(X)
    # rows: columns of all indicators; columns: those of X
    L = _clean((inverse @ build_matrix(indicators, found, n)).T)
    containers = containing_terms(spec)
    for t in sorted(range(len(containers)), key=lambda t: -len(spec.terms.terms[t])):
        if containers[t]:
            own = np.flatnonzero(assign == t + 1)
            over = L[:, np.isin(assign, [s + 1 for s in containers[t]])]
            L[:, own] = _clean(L[:, own] - over @ np.linalg.lstsq(over, L[:, own], rcond=1e-10)[0])
    place = {name: j for j, name in enumerate(indicators.names)}
    L = L[[place[name] for name in names]]
    to_user = inverse @ build_matrix(spec, found, n)[:, list(design.schema.kept)]
    out = {}
    for t, label in enumerate(design.x_terms):
        rows = L[:, assign == t + 1].T
        rows = rows[np.abs(rows).sum(axis=1) > _ROUNDING_SHARE_OF_ENTRY]
        out[label] = _clean(rows @ to_user) if len(rows) else np.zeros((0, design.p))
    return out


def _treatment(spec: MatrixSpec) -> MatrixSpec:
    """The same matrix with every contrast a treatment contrast."""
    codings = tuple(
        c if c.levels is None or not c.labels
        else replace(c, suffixes=c.labels[1:], contrasts=np.eye(len(c.labels))[:, 1:])
        for c in spec.codings
    )  # fmt: skip
    return _named(replace(spec, codings=codings))


def _indicators(spec: MatrixSpec) -> MatrixSpec:
    """The same terms with all indicators of every factor."""
    full = tuple(tuple(True for _ in row) for row in spec.full)
    return _named(replace(spec, full=full))


def _named(spec: MatrixSpec) -> MatrixSpec:
    names: list[str] = ["(Intercept)"] if spec.terms.intercept else []
    assign = [0] * len(names)
    for number, (term, row) in enumerate(zip(spec.terms.terms, spec.full, strict=True), start=1):
        columns = [""]
        for v, full in zip(term, row, strict=True):
            own = _column_names(spec.terms.variables[v].name, spec.codings[v], full)
            columns = own if columns == [""] else [f"{a}:{b}" for b in own for a in columns]
        names += columns
        assign += [number] * len(columns)
    return replace(spec, names=tuple(names), assign=tuple(assign))


def _column_names(variable: str, coding: Coding, full: bool) -> list[str]:
    return [variable + suffix for suffix in coding.names(full)]


TYPES: MappingProxyType[str, Callable[[Design, Values], dict[str, FloatArray]]] = MappingProxyType(
    {"I": _type_1, "1": _type_1, "II": _type_2, "2": _type_2, "III": _type_3, "3": _type_3}
)


def droppable(design: Design, scope: Sequence[str] | None) -> list[str]:
    """Terms of the fixed effects that no other term contains, or those of them in `scope`.

    Raises
    ------
    OptionError
        If `scope` names another one.
    """
    marginal = marginal_terms(design)
    if scope is None:
        return marginal
    wrong = [label for label in scope if label not in marginal]
    if wrong:
        raise OptionError(
            f"{', '.join(wrong)} cannot be dropped: scope may name {', '.join(marginal) or 'none'}"
        )
    return list(scope)
