"""`RestartingIds`: levels whose labels start again in each level of another grouping factor.

Class 1 of one school is not class 1 of another, yet ``(1 | school) + (1 | class)`` reads them as
one class. Labels cannot tell such ids from truly crossed factors (raters, items, years) where
everybody meets everyone: only the response can. Levels of a crossed factor have an effect of
their own, wherever they occur; ids that restart have none beyond that of their cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.cell_tests import effect_tests, pieces_of, sums_by_cell
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import GroupingFactor, is_nested
from nestedmlm.formula.bars import Bar, random_term, written
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.nodes import joined

MIN_PARENTS = 5  # fewer levels of the outer factor say too little about effects of the ids
MIN_ROWS_PER_CELL = 1.5  # mean rows; below it cells cannot be told from the residual
MAX_CELLS_PER_ROW = 10  # size of the table of cells that is looked at, in rows of the data
SAME_SETS = 0.9  # share of ids in a parent that are the first ones, below which ids do not restart
CHAIN_ODDS = 1e-3  # chance of nested sets of ids below which absent ids tell that ids restart
OWN = 0.02  # p-value below which ids have an effect of their own
DIFFER = 0.01  # p-value below which cells differ
DIFFER_CHAINED = 0.05  # the same, where absent ids speak for ids that restart, too
_COUNT = re.compile(r"(.*?)(\d+|[A-Za-z])$")  # a word that all have, and a number or a letter


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartingIds:
    """A factor whose ids restart in each level of another.

    Attributes
    ----------
    inner, outer : str
        Names of the two grouping factors.
    label : str
        The id that occurs in most levels of `outer`.
    parents, outer_levels : int
        In how many it occurs, of how many.
    between : tuple of str
        Factors whose ids restart in `outer`, and in each of whose groups these restart again.
    """

    inner: str
    outer: str
    label: str
    parents: int
    outer_levels: int
    between: tuple[str, ...] = ()

    @property
    def finding(self) -> str:
        """What was seen."""
        return (
            f"level {self.label} of {self.inner} occurs in {self.parents} of the "
            f"{self.outer_levels} levels of {self.outer}"
        )

    def nested(self, formula: Formula) -> tuple[str, Formula]:
        """The terms that tell the groups apart, and the formula with them.

        Parameters
        ----------
        formula : Formula
            The one that has the two factors.

        Returns
        -------
        str
            ``(1 | outer/inner)``, or ``(x | outer:inner)`` where a slash would say more.
        Formula
        """
        inner = _bars_of(formula, self.inner)
        above = [_bars_of(formula, name) for name in (self.outer, *self.between)]
        outer = above[0][0]
        groups = [bars[0].group for bars in (*above, inner)]
        simple = all(bar.lhs_text == "1" for bars in (*above, inner) for bar in bars)
        if simple and len(outer.parts) == 1 and all(len(bars) == 1 for bars in (*above, inner)):
            both = random_term(outer.lhs, joined("/", groups))
            without = formula
            for name in (*self.between, self.inner):
                without = without.without(_bars_of(without, name)[0])
            place = _bars_of(without, self.outer)[0]
            return deparse(written(both)), without.replacing(place, [both])
        group = joined(":", groups)
        terms = [random_term(bar.lhs, group, bar.structure, bar.hom) for bar in inner]
        for term in terms:
            formula = formula.replacing(_bars_of(formula, self.inner)[0], [term])
        return " + ".join(deparse(written(term)) for term in terms), formula

    def message(self, formula: Formula) -> str:
        """What was seen, and what to write if that is meant otherwise."""
        return f"{self.finding}; if these are different groups, write {self.nested(formula)[0]}"


def _bars_of(formula: Formula, group: str) -> list[Bar]:
    return [bar for bar in formula.bars if bar.group_name == group]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Rows of each cell of parents by ids, shape (parents, ids)."""

    counts: FloatArray

    @property
    def observed(self) -> npt.NDArray[np.bool_]:
        return self.counts > 0

    def crossed(self) -> bool:
        """Whether neither factor is nested in the other, and cells hold several rows."""
        occupied = int(self.observed.sum())
        enough = self.counts.sum() >= MIN_ROWS_PER_CELL * occupied
        return bool(enough and occupied > max(self.counts.shape))

    def in_order(self) -> npt.NDArray[np.bool_]:
        """Parents' ids, the commonest id first."""
        common = np.argsort(-self.observed.sum(axis=0), kind="stable")
        return self.observed[:, common]

    def same_sets(self) -> float:
        """Share of occupied cells that are among the first k ids of a parent with k ids."""
        inside = self.in_order()
        first = np.arange(inside.shape[1]) < inside.sum(axis=1, keepdims=True)
        return float((inside & first).sum() / inside.sum())

    def chained(self) -> bool:
        """Whether absent ids are so much the last ones that this is no accident."""
        from scipy.special import gammaln  # a plain fit does not wait for it

        inside = self.in_order()
        size, ids = inside.sum(axis=1), inside.shape[1]
        last_first = (inside & (np.arange(ids) < size[:, None])).sum(axis=1) == size
        ways = gammaln(ids + 1) - gammaln(size + 1) - gammaln(ids - size + 1)
        # any of the ids! orders might have been the chain
        surprise = float(ways[last_first].sum() - gammaln(ids + 1))
        return surprise > -log(CHAIN_ODDS)


def restarting_ids(design: Design) -> tuple[RestartingIds, ...]:
    """Find grouping factors whose ids restart in each level of another one.

    Parameters
    ----------
    design : Design
        With rows, or with sums by cell of which some random-effects term has an intercept;
        otherwise nothing is found.

    Returns
    -------
    tuple of RestartingIds
        At most one for each factor.

    Notes
    -----
    Of two grouping factors that cross, each a variable of the data and their combination not in
    the model, the inner one restarts if

    1. its ids are numbers from 0 or 1 on or letters from a on, perhaps behind a common word, and
       five parents or more have the same ids, as far as they go: 1 to k in a parent with k;
    2. the ids have no effect of their own: F test of the ids against cells (parents by ids), with
       fixed effects and parents in the model, p > 0.02; and
    3. the cells differ: F test of cells against rows, p < 0.01, or p < 0.05 if parents have
       different numbers of ids and those that a parent lacks are the last ones beyond chance.

    All by least squares, from rows or from their sums by cell, which tell as much if they count
    the rows. How often this errs is in the page *Singular fits*.
    """
    if design.rows is None and design.sums is None:
        return ()
    found: dict[frozenset[str], _Evidence] = {}
    for outer, inner in permutations(design.factors, 2):
        evidence = _evidence(outer, inner, design)
        if evidence is None or _told_apart(outer, inner, design.factors):
            continue
        pair = frozenset({outer.name, inner.name})
        if pair not in found or evidence.own > found[pair].own:
            found[pair] = evidence
    best: dict[str, _Evidence] = {}
    for evidence in found.values():
        known = best.setdefault(evidence.ids.inner, evidence)
        best[evidence.ids.inner] = min(known, evidence, key=lambda e: e.differ)
    ids = {name: evidence.ids for name, evidence in best.items()}
    return tuple(replace(own, between=_between(own, ids, design)) for own in ids.values())


def _between(
    own: RestartingIds, found: Mapping[str, RestartingIds], design: Design
) -> tuple[str, ...]:
    """Factors that restart in the same one and in whose groups these ids restart again.

    Of schools and classes that both restart in districts the classes restart in schools if,
    in a district, a school has an effect beyond its classes' cells and a class number has none.
    """
    codes = {factor.name: factor.combinations for factor in design.factors}
    within = {name: _pairs(codes[own.outer], codes[name]) for name in found}
    above = []
    for name, other in found.items():
        if other.outer != own.outer or name == own.inner:
            continue
        pieces = pieces_of(design)
        if pieces is None:
            return ()
        mine, _ = effect_tests(within[name], within[own.inner], pieces)
        theirs, _ = effect_tests(within[own.inner], within[name], pieces)
        if mine >= OWN and theirs < DIFFER:
            above.append((len(np.unique(within[name])), name))
    return tuple(name for _, name in sorted(above))


def _pairs(outer: IntArray, inner: IntArray) -> IntArray:
    """Codes of the combinations of two factors."""
    codes: IntArray = np.unique(
        outer.astype(np.int64) * (int(inner.max()) + 1) + inner, return_inverse=True
    )[1]
    return codes


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Evidence for ids that restart: p-values of the ids and of the cells."""

    ids: RestartingIds
    own: float
    differ: float


def _evidence(outer: GroupingFactor, inner: GroupingFactor, design: Design) -> _Evidence | None:
    parents, ids = len(outer.levels), len(inner.levels)
    if parents < MIN_PARENTS:
        return None
    if is_nested(inner.combinations, ids, outer.combinations):
        return None
    if is_nested(outer.combinations, parents, inner.combinations):
        return None  # told by the codes at once, before labels are read
    if not _count_up(inner.levels):
        return None
    if parents * ids > MAX_CELLS_PER_ROW * design.n:
        return None
    above, below = outer.combinations, inner.combinations
    counts: Any = np.ones(design.n) if design.sums is None else design.sums.cells.counts
    cells = _Cells(sums_by_cell(above, below, ids, counts))
    if not cells.crossed() or cells.same_sets() < SAME_SETS:
        return None
    pieces = pieces_of(design)
    if pieces is None:
        return None
    own, differ = effect_tests(above, below, pieces)
    if own < OWN or differ >= (DIFFER_CHAINED if cells.chained() else DIFFER):
        return None
    occurs = cells.observed.sum(axis=0)
    common = int(np.argmax(occurs))
    restarting = RestartingIds(
        inner=inner.name,
        outer=outer.name,
        label=str(inner.levels[common]),
        parents=int(occurs[common]),
        outer_levels=parents,
    )
    return _Evidence(restarting, own, differ)


def _count_up(labels: Iterable[object]) -> bool:
    """Whether labels count: numbers from 0 or 1 on, letters from a on, behind a common word."""
    found = [_COUNT.match(str(label).removesuffix(".0")) for label in labels]
    if not all(found) or len({match[1] for match in found if match}) > 1:
        return False
    tails = [match[2] for match in found if match]
    if all(tail.isdecimal() for tail in tails):
        return min(map(int, tails)) <= 1
    return not any(tail.isdecimal() for tail in tails) and min(tails) in ("a", "A")


def _told_apart(
    outer: GroupingFactor, inner: GroupingFactor, factors: Sequence[GroupingFactor]
) -> bool:
    """Whether the combination of two factors is in the model, by name or in effect."""
    pair = {*outer.variables, *inner.variables}
    for other in factors:
        if other is outer or other is inner:
            continue
        if pair <= set(other.variables):
            return True
        levels = len(other.levels)
        own = other.combinations
        if all(is_nested(own, levels, above.combinations) for above in (outer, inner)):
            return True
    return False
