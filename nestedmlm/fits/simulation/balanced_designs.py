"""Balanced nested designs: their rows, and planned tests of many at once.

Designs that share the values of their predictors share the columns of these values. So the formula
is read once, for a table of a few outermost units of each design, and each design's test comes from
its units (`inference.effects.repeated_units`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.rows import rows_here
from nestedmlm.fits.simulation.from_formula import with_response
from nestedmlm.fits.simulation.planned_power import fixed_effect_of
from nestedmlm.fits.simulation.supposed_parameters import fixed_effects, supposed
from nestedmlm.inference.effects.planned_test import PlannedTest, method_test
from nestedmlm.inference.effects.repeated_units import UnitTerm, kenward_roger_of_units
from nestedmlm.likelihood.plan import term_shapes

_MOST_EFFECTS = 400  # random effects of a unit, whose dense covariance is solved with

type Counts = tuple[int, ...]


def balanced_plan(counts: Mapping[str, int], varies: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of a balanced nested design: a column of ids per level, and the predictors.

    Parameters
    ----------
    counts : mapping of str to int
        Units in each unit of the level above, outermost first; the last level is the row.
    varies : mapping
        See `allocation`.
    """
    return pd.DataFrame(_columns(counts, varies))


def _columns(counts: Mapping[str, int], varies: Mapping[str, Any]) -> dict[str, Any]:
    sizes = list(counts.values())
    rows = np.arange(int(np.prod(sizes)))
    ids = {
        unit: rows // int(np.prod(sizes[level + 1 :], dtype=int))
        for level, unit in enumerate(counts)
    }
    columns: dict[str, Any] = {unit: ids[unit] for unit in list(counts)[:-1]}
    for name, given in varies.items():
        if isinstance(given, str):
            columns[name] = ids[given] % 2
        else:
            unit, values = given
            columns[name] = np.asarray(values)[ids[unit] % counts[unit] % len(values)]
    return columns


def planned_together(
    formula: str,
    effect: str,
    units: tuple[str, ...],
    varies: Mapping[str, Any],
    designs: Sequence[Counts],
    *,
    beta: Mapping[str, float],
    covariances: Mapping[str, Any],
    test: str,
) -> dict[Counts, tuple[PlannedTest, FloatArray]]:
    """Plan one test in many balanced designs.

    Parameters
    ----------
    formula, effect : str
    units : tuple of str
        Levels, outermost first.
    varies : mapping
        See `allocation`.
    designs : sequence of tuple of int
        Units in each unit of the level above.
    beta : mapping of str to float
    covariances : mapping
        What is supposed: ``sd, correlation, icc, sigma``.
    test : str

    Returns
    -------
    dict
        By design the planned test and the true effect. Designs are left out whose columns are not
        those of their predictors' values (``scale()``, ``poly()``, …), whose outermost units are
        not independent, or that lme4 would refuse: they are to be planned one by one.
    """
    alike: dict[tuple[int, ...], list[Counts]] = defaultdict(list)
    for counts in designs:
        alike[_values(units, varies, counts)].append(counts)
    found: dict[Counts, tuple[PlannedTest, FloatArray]] = {}
    for own in alike.values():
        table, places = _one_table(units, varies, own)
        text, data = with_response(formula, table, "split")
        design = build_design(text, data, check=False)
        if not _is_read_off_values(design, table[units[0]].to_numpy()):
            continue
        given = supposed(design, **covariances)
        columns = list(fixed_effect_of(design, effect).columns)
        size = fixed_effects(design, beta, np.zeros(design.p))[columns]
        rows = rows_here(design.rows, "planning")
        R = np.linalg.qr(rows.X, mode="r")
        reader = _Reader(
            design=design,
            X=np.linalg.solve(R.T, rows.X.T).T,
            matrices=rows.matrices,
            codes=tuple(rows.codes[term.factor] for term in design.terms),
            relative=tuple(T @ T.T for T in relative_factors(given.theta, term_shapes(design))),
        )
        L = np.linalg.solve(R.T, np.eye(design.p)[columns].T).T
        for counts, place in zip(own, places, strict=True):
            each = int(np.prod(counts[1:]))
            kinds = [
                reader.unit(slice(low, low + each)) for low in range(place.start, place.stop, each)
            ]
            times = [len(range(kind, counts[0], len(kinds))) for kind in range(len(kinds))]
            if _is_plain(kinds, times, int(np.prod(counts))):
                method = kenward_roger_of_units(kinds, times, sigma=given.sigma)
                found[counts] = method_test(method, L, 1.0, test), size
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reader:
    """Matrices of a table of units, by the rows of one."""

    design: Design
    X: FloatArray
    matrices: tuple[FloatArray, ...]
    codes: tuple[IntArray, ...]
    relative: tuple[FloatArray, ...]

    def unit(self, rows: slice) -> tuple[FloatArray, list[UnitTerm]]:
        terms = [
            UnitTerm(
                matrix=Z[rows],
                codes=np.unique(codes[rows], return_inverse=True)[1],
                covariance=G,
                basis=term.structure.linear_basis(len(term.columns), term.hom),
            )
            for term, Z, codes, G in zip(
                self.design.terms, self.matrices, self.codes, self.relative, strict=True
            )
        ]
        return self.X[rows], terms


def _values(units: tuple[str, ...], varies: Mapping[str, Any], counts: Counts) -> tuple[int, ...]:
    """How many of each predictor's values a design has."""
    given = [row for row in varies.values() if not isinstance(row, str)]
    return tuple(min(counts[units.index(unit)], len(values)) for unit, values in given)


def _period(units: tuple[str, ...], varies: Mapping[str, Any], counts: Counts) -> int:
    """After how many outermost units the pattern of their rows starts again."""
    periods = [1]
    for given in varies.values():
        if isinstance(given, str):  # 0 and 1 in turn, over all units of the level
            periods.append(1 + int(np.prod(counts[1 : units.index(given) + 1])) % 2)
        elif given[0] == units[0]:
            periods.append(len(given[1]))
    return min(lcm(*periods), counts[0])


def _one_table(
    units: tuple[str, ...], varies: Mapping[str, Any], designs: Sequence[Counts]
) -> tuple[pd.DataFrame, list[slice]]:
    """The first units of each design, one of each kind, under ids of their own; and their rows."""
    places: list[slice] = []
    columns: dict[str, list[Any]] = defaultdict(list)
    taken, rows = dict.fromkeys(units[:-1], 0), 0
    for counts in designs:
        first = (_period(units, varies, counts), *counts[1:])
        for name, values in _columns(dict(zip(units, first, strict=True)), varies).items():
            own = values + taken[name] if name in taken else values
            if name in taken:
                taken[name] = int(own[-1]) + 1
            columns[name].append(own)
        places.append(slice(rows, rows + int(np.prod(first))))
        rows = places[-1].stop
    return pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()}), places


def _is_read_off_values(design: Design, outermost: IntArray) -> bool:
    """Whether each row's columns come from its values, and the outermost units are independent."""
    if design.schema.states or design.dropped or design.p == 0:
        return False
    codes = rows_here(design.rows, "planning").codes
    for term in design.terms:
        own, levels = codes[term.factor], len(design.factors[term.factor].levels)
        within = len(np.unique(np.stack([outermost, own]), axis=1).T)
        basis = term.structure.linear_basis(len(term.columns), term.hom)
        if term.smooth is not None or not basis or within != levels:
            return False
    return True


def _is_plain(
    kinds: Sequence[tuple[FloatArray, list[UnitTerm]]], times: Sequence[int], n: int
) -> bool:
    """Whether a design has full rank, fewer random effects than rows, and units of modest size."""
    X = np.vstack([X for X, _ in kinds])
    effects = np.array([[t.matrix.shape[1] * (t.codes.max() + 1) for t in ts] for _, ts in kinds])
    most = (effects * np.asarray(times)[:, None]).sum(axis=0).max()
    small = effects.sum(axis=1).max() <= _MOST_EFFECTS
    return bool(small and most < n and np.linalg.matrix_rank(X) == X.shape[1])
