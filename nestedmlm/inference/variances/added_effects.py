"""Added random effects: what the covariance of a larger model has and a smaller one's has not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design, GroupingFactor, ReTerm
from nestedmlm.design.moments import fixed_matrix, term_matrix, with_same_rows
from nestedmlm.errors import ModelComparisonError, RowsNotHereError
from nestedmlm.inference.resampling.resampling import nested_in

Entry = tuple[int, int, int]  # term, column, column (the first not less than the second)
_SAME_SPACE = 1e-8  # relative length outside the larger model's column space


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """Free covariance entries of a larger model, by what the smaller one makes of them.

    Attributes
    ----------
    shared : tuple of Entry
        Free in both.
    covariances : tuple of Entry
        Zero in the smaller model, with at least one column that has a variance there.
    variances : tuple of tuple of Entry
        For each block of the larger model, the entries among its new columns: the lower triangle
        of a covariance matrix that is zero in the smaller model.
    source : dict
        For each column ``(term, column)`` of the larger model that the smaller one has, the
        latter's ``(term, column)``.
    """

    shared: tuple[Entry, ...]
    covariances: tuple[Entry, ...]
    variances: tuple[tuple[Entry, ...], ...]
    source: dict[tuple[int, int], tuple[int, int]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Columns of each new block."""
        return tuple(sum(a == b for _, a, b in block) for block in self.variances)


def same_fixed_effects(small: Design, large: Design) -> bool:
    """Whether the fixed effects of two models span the same space."""
    return small.p == large.p and spans(small, large)


def spans(small: Design, large: Design) -> bool:
    """Whether the fixed effects of `large` can represent those of `small`."""
    if small.n != large.n:
        return False
    if small.p == 0:
        return True
    if large.p == 0:
        return False
    small, large = with_same_rows(small, large)
    return _explains(fixed_matrix(large), fixed_matrix(small))


def added_effects(small: Design, large: Design) -> Difference:
    """Compare the random effects of two models of the same rows.

    Raises
    ------
    ModelComparisonError
        If the smaller model's random effects are not part of the larger one's, or the difference
        lies in a structured covariance (``cs``, ``ar1``), whose parameters are no entries.
    """
    small, large = with_same_rows(small, large)
    pairs = {
        (t, s): _columns(large.terms[t], small.terms[s])
        for t in range(len(large.terms))
        for s in range(len(small.terms))
        if _same_groups(large.factors[large.terms[t].factor], small.factors[small.terms[s].factor])
    }
    source = {(t, a): (s, b) for (t, s), found in sorted(pairs.items()) for a, b in found.items()}
    _check_contained(small, large, set(source.values()))
    free = {entry for t in range(len(large.terms)) for entry in free_entries(large.terms, t)}
    free_small = {e for s in range(len(small.terms)) for e in free_entries(small.terms, s)}
    shared, covariances = list[Entry](), list[Entry]()
    new: dict[tuple[int, int], list[Entry]] = {}
    for t, a, b in sorted(free):
        one, two = source.get((t, a)), source.get((t, b))
        if one is None and two is None:
            new.setdefault(_block(large.terms[t], t, a), []).append((t, a, b))
        elif one is not None and two is not None and _entry(one, two) in free_small:
            shared.append((t, a, b))
        else:
            covariances.append((t, a, b))
    if len(shared) < len(free_small):
        raise ModelComparisonError(
            "the models are not nested: the smaller one has a covariance that the larger one "
            "does not"
        )
    return Difference(
        shared=tuple(shared),
        covariances=tuple(covariances),
        variances=tuple(map(tuple, new.values())),
        source=source,
    )


def nested(small: Design, large: Design) -> bool:
    """Whether a model may be a special case of another of the same rows.

    False only where it is certain: the fixed effects, or the random effects of some grouping
    factor, lie outside those of the larger model, or weights, offsets or links differ. Structured
    covariances of the same effects count as nested.
    """
    if not _same_but_effects(small, large) or not spans(small, large):
        return False
    small, large = with_same_rows(small, large)
    try:
        added_effects(small, large)
    except ModelComparisonError:
        if any(not free_entries(d.terms, t) for d in (small, large) for t in range(len(d.terms))):
            return not any(_outside(small, s, large) for s in range(len(small.terms)))
        return all(_inside(small, s, large) for s in range(len(small.terms)))
    return True


def _same_but_effects(small: Design, large: Design) -> bool:
    """Whether two models of the same rows have the same weights, offset and link."""
    links = {d.family.link.name for d in (small, large) if d.family is not None}
    if len(links) > 1:
        return False
    if small.sums is not None and large.sums is not None and small.sums.same_data(large.sums):
        return True
    try:
        pairs = ((small.weights, large.weights, 1.0), (small.offset, large.offset, 0.0))
    except RowsNotHereError:
        return True
    return all(
        one is other
        or bool(np.all((none if one is None else one) == (none if other is None else other)))
        for one, other, none in pairs
    )


def _inside(small: Design, s: int, large: Design) -> bool:
    """Whether a term's effects are combinations of those of one term with free correlations."""
    own = small.terms[s]
    return any(
        term.structure.correlated
        and _same_groups(large.factors[term.factor], small.factors[own.factor])
        and _explains(term_matrix(term), term_matrix(own))
        for term in large.terms
    )


def _outside(small: Design, s: int, large: Design) -> bool:
    """Whether a term has effects that no term of a larger model has, of any covariance."""
    own = small.terms[s]
    if large.residual is not None or not all(
        _same_groups(factor, small.factors[own.factor]) for factor in large.factors
    ):
        return False
    return not _explains(np.hstack([term_matrix(t) for t in large.terms]), term_matrix(own))


def _explains(X: FloatArray, columns: FloatArray) -> bool:
    left = columns - X @ np.linalg.lstsq(X, columns, rcond=None)[0]
    return bool(np.linalg.norm(left) <= _SAME_SPACE * np.linalg.norm(columns))


def free_entries(terms: tuple[ReTerm, ...], t: int) -> list[Entry]:
    """Free entries of one term's covariance: the lower triangle, the diagonal, or none."""
    term = terms[t]
    own = term.structure.free_entries(len(term.columns), term.hom)
    return [(t, a, b) for a, b in own]


def _entry(one: tuple[int, int], two: tuple[int, int]) -> Entry:
    if one[0] != two[0]:
        return (-1, -1, -1)
    return (one[0], max(one[1], two[1]), min(one[1], two[1]))


def _block(term: ReTerm, t: int, column: int) -> tuple[int, int]:
    return (t, -1 if term.structure.correlated else column)


def _same_groups(one: GroupingFactor, two: GroupingFactor) -> bool:
    return (
        len(one.levels) == len(two.levels)
        and len(one.combinations) == len(two.combinations)
        and nested_in(one.combinations, two.combinations)
    )


def _columns(large: ReTerm, small: ReTerm) -> dict[int, int]:
    """Columns of one term that are columns of another."""
    X, other = term_matrix(large), term_matrix(small)
    return {
        a: b
        for a in range(X.shape[1])
        for b in range(other.shape[1])
        if np.array_equal(X[:, a], other[:, b])
    }


def _check_contained(small: Design, large: Design, found: set[tuple[int, int]]) -> None:
    for s, term in enumerate(small.terms):
        for b, column in enumerate(term.columns):
            if (s, b) not in found:
                raise ModelComparisonError(
                    f"the models are not nested: the larger one has no random effect {column} of "
                    f"{small.factors[term.factor].name}"
                )
    structured = [
        sorted(
            _signature(d, term) for t, term in enumerate(d.terms) if not free_entries(d.terms, t)
        )
        for d in (small, large)
    ]
    if structured[0] != structured[1]:
        raise ModelComparisonError(
            "the models differ in a structured covariance (cs, ar1, or one variance for all "
            "columns): the boundary's distribution is known for variances and covariances of "
            "their own only; use test='bootstrap'"
        )


def _signature(design: Design, term: ReTerm) -> tuple[str, str, tuple[str, ...]]:
    return design.factors[term.factor].name, term.structure.name, term.columns


def embedded_covariances(
    difference: Difference, large: Design, T: tuple[FloatArray, ...]
) -> tuple[FloatArray, ...]:
    """Relative covariance of each term of the larger model at the smaller one's factors `T`."""
    out = []
    for t, term in enumerate(large.terms):
        k = len(term.columns)
        G = np.zeros((k, k))
        for a in range(k):
            for b in range(k):
                one, two = difference.source.get((t, a)), difference.source.get((t, b))
                if one is not None and two is not None and one[0] == two[0]:
                    G[a, b] = T[one[0]][one[1]] @ T[two[0]][two[1]]
        out.append(G)
    return tuple(out)
