"""Joint tests of a model's terms on its reference grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.ddf import DfMethod, joint_test
from nestedmlm.inference.means.averaging import Cells, labels_of, marginal_cells
from nestedmlm.inference.means.reference_grid import Grid
from nestedmlm.inference.means.simultaneous import split_rows

COLUMNS = ("num_df", "den_df", "statistic", "p_value")
CONFOUNDED = "(confounded)"
_INSIDE = 1e-8  # relative size of what counts as outside of the estimable functions
# why a test has fewer degrees of freedom than rows: not estimable, dependent
_NOTES = {(False, False): "", (False, True): " d", (True, False): "   e", (True, True): " d e"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Linear functions that are tested together."""

    L: FloatArray
    note: str


def wide_covariates(grid: Grid, given: Mapping[str, Any]) -> dict[str, Any]:
    """Reference values: those that were given, and of other covariates their mean -1 and +1.

    Parameters
    ----------
    grid : Grid
        With covariates at their means.
    given : mapping
    """
    means = {
        name: values[0]
        for name, values in grid.levels.items()
        if len(values) == 1 and name not in given and is_number(values[0])
    }
    return {**{name: [mean - 1.0, mean + 1.0] for name, mean in means.items()}, **given}


def term_tests(
    grid: Grid, method: DfMethod, *, by: Sequence[str], weights: str = "equal"
) -> pd.DataFrame:
    """Test every term that the model has, within each combination of `by`.

    Parameters
    ----------
    grid : Grid
    method : DfMethod
    by : sequence of str
    weights : str
        How levels that are averaged over count; see `marginal_cells`.

    Returns
    -------
    DataFrame
        `by`, ``term``, `COLUMNS` and ``note``; terms without a degree of freedom are left out.
    """
    rows = []
    tested: dict[Any, list[FloatArray]] = {}
    for term in _terms(grid, by):
        for key, found in _term_rows(grid, term, by, weights):
            tested.setdefault(key, []).append(found.L)
            rows.append(_row(method, key, ":".join(term), found))
    if not grid.nesting:
        for key, values in _all_rows(grid, by):
            rows.append(_confounded(method, key, values, tested.get(key, [])))
    names = [*by, "term", *COLUMNS, "note"]
    frame = pd.DataFrame([row for row in rows if row[len(by) + 1] > 0], columns=names)
    return frame.astype({"num_df": int})


def rows_test(
    labels: pd.DataFrame, L: FloatArray, rhs: FloatArray, method: DfMethod, by: Sequence[str]
) -> pd.DataFrame:
    """Test the rows of each combination of `by` together: ``L beta = rhs``.

    Raises
    ------
    OptionError
        If no coefficients fulfil the hypothesis.
    """
    known = ~np.isnan(L).any(axis=1)
    rows = []
    for own in split_rows(labels, by):
        key = tuple(labels[name].iloc[own[0]] for name in by)
        inside = own[known[own]]
        rows.append([*key, *_numbers(method, L[inside], rhs[inside], lost=len(inside) < len(own))])
    return pd.DataFrame(rows, columns=[*by, *COLUMNS, "note"]).astype({"num_df": int})


def is_number(value: Any) -> bool:
    """Whether a reference value is that of a covariate."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _terms(grid: Grid, by: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Sets of variables that stand together in a term, with the factors around nested ones."""
    own = [name for name in grid.names if name not in by]
    known = [*grid.terms, *(frozenset([n, *around]) for n, around in grid.nesting.items())]
    for size in range(1, len(own) + 1):
        for term in combinations(own, size):
            around = {o for name in term for o in grid.nesting.get(name, ())}
            if around <= {*term, *by} and any(set(term) <= one for one in known):
                yield term


def _term_rows(
    grid: Grid, term: tuple[str, ...], by: Sequence[str], weights: str
) -> Iterator[tuple[Any, _Rows]]:
    """Successive differences of each variable, of the differences of the next, for each `by`."""
    cells = marginal_cells(grid, (*term, *by), weights=weights)
    around = {o for name in term for o in grid.nesting.get(name, ())}
    values, codes = cells.values[:, :-1], cells.codes
    for name in term:
        if name not in around:
            values, codes = _differences(values, codes, cells.names.index(name))
    found = Cells(names=cells.names, codes=codes, values=values, weight=np.ones(len(codes)))
    for key, rows in _by_keys(grid, found, by):
        yield key, _estimable_rows(grid, values[rows])


def _differences(
    values: FloatArray, codes: np.ndarray, place: int
) -> tuple[FloatArray, np.ndarray]:
    """Each level minus the one before, all else equal."""
    others = np.delete(codes, place, axis=1)
    group = np.unique(others, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((codes[:, place], group))
    pair = group[order][1:] == group[order][:-1]
    later, earlier = order[1:][pair], order[:-1][pair]
    return values[later] - values[earlier], codes[later]


def _by_keys(grid: Grid, cells: Cells, by: Sequence[str]) -> Iterator[tuple[Any, np.ndarray]]:
    if not len(cells.codes):
        return
    labels = labels_of(grid, cells)
    for rows in split_rows(labels, by):
        yield tuple(labels[name].iloc[rows[0]] for name in by), rows


def _estimable_rows(grid: Grid, X: FloatArray) -> _Rows:
    """The estimable combinations of rows with all columns, as functions of the fit's."""
    size = np.linalg.norm(X, axis=1)
    outside = X @ grid.null
    lost = bool(np.any(np.abs(outside) > _INSIDE * size[:, None]))
    if lost:
        U, s, _ = np.linalg.svd(outside)
        rank = int(np.sum(s > _INSIDE * max(size.max(), 1.0)))
        X = U[:, rank:].T @ X
    return _Rows(L=X[:, list(grid.kept)], note="e" if lost else "")


def _row(method: DfMethod, key: Any, term: str, rows: _Rows) -> list[Any]:
    numbers = _numbers(method, rows.L, np.zeros(len(rows.L)), lost=bool(rows.note))
    return [*key, term, *numbers]


def _numbers(method: DfMethod, L: FloatArray, rhs: FloatArray, *, lost: bool) -> list[Any]:
    if not len(L):
        return [0, np.nan, np.nan, np.nan, _NOTES[lost, False]]
    found = joint_test(method, L, rhs=rhs)
    note = _NOTES[lost, found.num_df < len(L)]
    return [found.num_df, found.den_df, found.F, found.p_value, note]


def _all_rows(grid: Grid, by: Sequence[str]) -> Iterator[tuple[Any, FloatArray]]:
    """All differences between the cells of each combination of `by`."""
    cells = marginal_cells(grid, grid.names)
    for key, rows in _by_keys(grid, cells, by):
        yield key, _estimable_rows(grid, np.diff(cells.values[rows, :-1], axis=0)).L


def _confounded(method: DfMethod, key: Any, L: FloatArray, tested: list[FloatArray]) -> list[Any]:
    """The test of what differs between cells and belongs to no term alone."""
    from scipy.special import chdtrc, fdtrc

    known = np.concatenate([L[:0], *tested])
    whole, part = (_numbers(method, rows, np.zeros(len(rows)), lost=False) for rows in (L, known))
    df = whole[0] - part[0]
    if df <= 0:
        return [*key, CONFOUNDED, 0, np.nan, np.nan, np.nan, ""]
    known_sum = part[0] * part[2] if part[0] else 0.0
    F = max((whole[0] * whole[2] - known_sum) / df, 0.0)
    den = whole[1]
    p_value = float(chdtrc(df, df * F) if np.isinf(den) else fdtrc(df, den, F))
    return [*key, CONFOUNDED, df, den, F, p_value, ""]
