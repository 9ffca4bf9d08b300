"""`RestartingIds`: levels whose labels start again in each level of another grouping factor.

Class 1 of one school is not class 1 of another, yet ``(1 | school) + (1 | class)`` reads them as
one class. Labels cannot tell such ids from truly crossed factors (raters, items, years) where
everybody meets everyone: only the response can. Levels of a crossed factor have an effect of
their own, wherever they occur; ids that restart have none beyond that of their cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm.design.matrices.grouping import GroupingFactor, is_nested
from nestedmlm.design.rows import LateRows, Rows, rows_here
from nestedmlm.formula.bars import Bar, random_term, written
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.nodes import joined

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[Any]

MIN_PARENTS = 5  # fewer levels of the outer factor say too little about effects of the ids
MIN_ROWS_PER_CELL = 1.5  # mean rows; below it cells cannot be told from the residual
MAX_CELLS_PER_ROW = 10  # size of the table of cells that is looked at, in rows of the data
SAME_SETS = 0.9  # share of ids in a parent that are the first ones, below which ids do not restart
CHAIN_ODDS = 1e-3  # chance of nested sets of ids below which absent ids tell that ids restart
OWN = 0.05  # p-value below which ids have an effect of their own
DIFFER = 0.01  # p-value below which cells differ
DIFFER_CHAINED = 0.05  # the same, where absent ids speak for ids that restart, too
RANK_TOL = 1e-9  # relative to the length of a column
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
    """

    inner: str
    outer: str
    label: str
    parents: int
    outer_levels: int

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
        outer = _bars_of(formula, self.outer)[0]
        simple = all(bar.lhs_text == "1" for bar in (*inner, outer))
        if simple and len(inner) == len(_bars_of(formula, self.outer)) == len(outer.parts) == 1:
            both = random_term(outer.lhs, joined("/", [outer.group, inner[0].group]))
            without = formula.without(inner[0])
            place = _bars_of(without, self.outer)[0]
            return deparse(written(both)), without.replacing(place, [both])
        group = joined(":", [outer.group, inner[0].group])
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


def restarting_ids(
    factors: Sequence[GroupingFactor], rows: Rows | LateRows
) -> tuple[RestartingIds, ...]:
    """Find grouping factors whose ids restart in each level of another one.

    Parameters
    ----------
    factors : sequence of GroupingFactor
    rows : Rows or LateRows
        Which are built only where factors cross.

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
       fixed effects and parents in the model, p > 0.05; and
    3. the cells differ: F test of cells against rows, p < 0.01, or p < 0.05 if parents have
       different numbers of ids and those that a parent lacks are the last ones beyond chance.

    All by least squares. How often this errs is in the page *Singular fits*.
    """
    found: dict[frozenset[str], _Evidence] = {}
    for outer, inner in permutations(factors, 2):
        evidence = _evidence(outer, inner, rows)
        if evidence is None or _told_apart(outer, inner, factors):
            continue
        pair = frozenset({outer.name, inner.name})
        if pair not in found or evidence.own > found[pair].own:
            found[pair] = evidence
    best: dict[str, _Evidence] = {}
    for evidence in found.values():
        known = best.setdefault(evidence.ids.inner, evidence)
        best[evidence.ids.inner] = min(known, evidence, key=lambda e: e.differ)
    return tuple(evidence.ids for evidence in best.values())


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Evidence for ids that restart: p-values of the ids and of the cells."""

    ids: RestartingIds
    own: float
    differ: float


def _evidence(
    outer: GroupingFactor, inner: GroupingFactor, late: Rows | LateRows
) -> _Evidence | None:
    parents, ids = len(outer.levels), len(inner.levels)
    if parents < MIN_PARENTS:
        return None
    if is_nested(inner.combinations, ids, outer.combinations):
        return None
    if is_nested(outer.combinations, parents, inner.combinations):
        return None  # told by the codes at once, before labels are read
    if not _count_up(inner.levels):
        return None
    if parents * ids > MAX_CELLS_PER_ROW * late.n:
        return None
    rows = rows_here(late, "the test of ids that restart")
    cells = _Cells(_sums_by_cell(outer.codes, inner.codes, ids, np.ones(rows.n)))
    if not cells.crossed() or cells.same_sets() < SAME_SETS:
        return None
    own, differ = effect_tests(outer.codes, inner.codes, rows)
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


def effect_tests(outer: IntArray, inner: IntArray, rows: Rows) -> tuple[float, float]:
    """p-values of two F tests by least squares: of ids against cells, of cells against rows.

    The models: fixed effects and parents; and ids; and cells.
    """
    from scipy.special import fdtrc  # a plain fit does not wait for it

    w = np.ones(rows.n) if rows.weights is None else rows.weights
    y = rows.y if rows.offset is None else rows.y - rows.offset
    columns = np.column_stack([rows.X, y - np.average(y, weights=w)])
    ids = int(inner.max()) + 1
    occupied, cell = np.unique(outer.astype(np.int64) * ids + inner, return_inverse=True)
    size = np.sqrt(np.einsum("ij,ij,i->j", columns, columns, w))
    columns = columns / np.where(size > 0, size, 1.0)
    around_parents = columns - _means(columns, outer, w)[outer]
    around_cells = columns - _means(columns, cell, w)[cell]
    products = _products(around_parents, w)
    with_ids = _with_ids(products, around_parents, outer, inner, w)
    rss_parents, rank_parents = _residual(products)
    rss_ids, rank_ids = _residual(with_ids)
    rss_cells, rank_cells = _residual(_products(around_cells, w))
    df_ids = rank_ids - rank_parents
    df_cells = occupied.size + rank_cells - rank_ids - (int(outer.max()) + 1)
    df_rows = rows.n - occupied.size - rank_cells
    if min(df_ids, df_cells, df_rows) < 1 or rss_cells <= 0.0:
        return 0.0, 1.0
    between = max(rss_ids - rss_cells, RANK_TOL * rss_cells) / df_cells
    own = fdtrc(df_ids, df_cells, max(rss_parents - rss_ids, 0.0) / df_ids / between)
    differ = fdtrc(df_cells, df_rows, between / (rss_cells / df_rows))
    return float(own), float(differ)


def _sums(values: FloatArray, group: IntArray) -> FloatArray:
    """Sums of each column over groups, shape (groups, columns)."""
    return np.column_stack([np.bincount(group, weights=column) for column in values.T])


def _means(columns: FloatArray, group: IntArray, w: FloatArray) -> FloatArray:
    return _sums(columns * w[:, None], group) / np.bincount(group, weights=w)[:, None]


def _products(columns: FloatArray, w: FloatArray) -> FloatArray:
    return columns.T @ (columns * w[:, None])


def _with_ids(
    products: FloatArray, centred: FloatArray, outer: IntArray, inner: IntArray, w: FloatArray
) -> FloatArray:
    """Products bordered by those of the ids' indicators, both centred in their parents."""
    ids = int(inner.max()) + 1
    weight = _sums_by_cell(outer, inner, ids, w)
    own = np.diag(weight.sum(axis=0)) - (weight.T / weight.sum(axis=1)) @ weight
    size = np.sqrt(weight.sum(axis=0))
    cross = _sums(centred * w[:, None], inner)
    return np.block(
        [[own / np.outer(size, size), cross / size[:, None]], [(cross / size[:, None]).T, products]]
    )


def _sums_by_cell(outer: IntArray, inner: IntArray, ids: int, w: FloatArray) -> FloatArray:
    parents = int(outer.max()) + 1
    cell = outer.astype(np.int64) * ids + inner
    return np.bincount(cell, weights=w, minlength=parents * ids).reshape(parents, ids)


def _residual(products: FloatArray) -> tuple[float, int]:
    """Residual sum of squares of the last column on the others, and their rank."""
    A, b, c = products[:-1, :-1], products[:-1, -1], float(products[-1, -1])
    values, vectors = np.linalg.eigh(A)
    kept = values > RANK_TOL
    explained = (vectors[:, kept].T @ b) ** 2 / values[kept]
    return c - float(explained.sum()), int(kept.sum())
