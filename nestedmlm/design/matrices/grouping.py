"""Grouping factors: observed combinations of levels as codes, learned once and looked up again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm.design.frame.values import Factor, Vector, as_factor, drop_unused, object_array
from nestedmlm.design.matrices.modelmatrix import level_table
from nestedmlm.design.rows import LateRows, Rows, rows_here
from nestedmlm.design.sums import Sums
from nestedmlm.errors import NotDefinedError, RelationshipError
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.nodes import variables_in


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupingFactor:
    """One grouping factor of a design.

    Attributes
    ----------
    name : str
        lme4's name: ``schoolid``; ``b:a`` for the inner factor of ``a/b``.
    variables : tuple of str
        The columns it is made of; none for a smooth's own factor, which has one level.
    levels : ndarray of object, shape (J,)
        Original values for one column, ``"x:y"`` for combinations; only those observed, unless
        there is a `basis`.
    basis : ndarray, shape (J, q), or None
        Effects of the levels are ``basis @ v`` with independent v, so that their covariance is
        ``basis basis'`` times the term's: the Cholesky factor of a relationship matrix, or
        functions of a smooth at its values. None: effects of the levels are independent.
    kind : str
        What the basis is of, for printing: ``"pedigree"``, ``"relationship"``.
    number : int
        Its place in `Design.factors`.
    rows : Rows, LateRows or None
        Those of the design, where it has them.
    sums : Sums or None
        In their place.
    """

    name: str
    variables: tuple[str, ...]
    levels: npt.NDArray[np.object_]
    basis: npt.NDArray[np.float64] | None = None
    kind: str = ""
    number: int = 0
    rows: Rows | LateRows | None = None
    sums: Sums | None = None

    @property
    def effects(self) -> int:
        """Independent effects of each column: one for each level, or for each basis column."""
        return int(self.levels.size if self.basis is None else self.basis.shape[1])

    @property
    def is_whole(self) -> bool:
        """Whether all rows are its one level: the coefficients of a smooth of all data."""
        return not self.variables

    @property
    def combinations(self) -> npt.NDArray[np.int32]:
        """The level of each row, or of each observed combination where there are sums."""
        if self.sums is not None:
            return self.sums.codes[self.number]
        return self.codes

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """The level of each row, shape (n,)."""
        return rows_here(self.rows, f"the group of {self.name}").codes[self.number]


def refuse_related(factors: Iterable[GroupingFactor], what: str) -> None:
    """Refuse a question that takes effects of a factor's levels for independent.

    Raises
    ------
    RelationshipError
        If some factor has a basis.
    """
    names = [factor.name for factor in factors if factor.basis is not None]
    if names:
        raise RelationshipError(
            f"{what} takes the levels of a factor for independent, and those of "
            f"{', '.join(names)} are not"
        )


def refuse_curves(factors: Iterable[GroupingFactor], what: str) -> None:
    """Refuse a question that has no answer yet for smooths of all data.

    Raises
    ------
    NotDefinedError
        If a factor is a smooth's own.
    """
    names = [factor.name for factor in factors if factor.is_whole]
    if names:
        raise NotDefinedError(
            f"{what} is not worked out for a model with smooths ({', '.join(names)}); see "
            "fit.smooths() and fit.predict()"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupSpec:
    """Specification of a grouping factor: what finds the codes of new rows.

    Attributes
    ----------
    name : str
    parts : tuple of str
        R's text of each variable.
    levels : tuple of ndarray
        The levels of each variable.
    pairs : tuple of ndarray
        For each variable after the first, the observed ``code so far * J + code``, ascending;
        a position in it is the code of the combination.
    """

    name: str
    parts: tuple[str, ...]
    levels: tuple[npt.NDArray[np.object_], ...]
    pairs: tuple[npt.NDArray[np.int64], ...]


def _read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


def learn_group(
    bar: Bar, values: Mapping[str, Vector], n: int
) -> tuple[GroupSpec, GroupingFactor, npt.NDArray[np.int32]]:
    """Make the grouping factor of a bar from the values of its variables (no missing rows).

    Parameters
    ----------
    bar : Bar
    values : mapping of str to Vector
    n : int
        Number of rows.

    Returns
    -------
    GroupSpec
    GroupingFactor
        Without rows.
    ndarray of int32, shape (n,)
        The level of each row.
    """
    if not bar.parts:
        return _whole(bar.group_name, n)
    factors = [drop_unused(as_factor(values[part.name], name=part.name)) for part in bar.parts]
    first = factors[0]
    codes: npt.NDArray[Any] = first.codes
    labels: list[str] = list(first.labels) if len(factors) > 1 else []
    pairs = []
    for factor in factors[1:]:
        size = factor.levels.size
        key = codes.astype(np.int64) * size + factor.codes
        observed, codes = _compact(key, len(labels) * size)
        pairs.append(observed)
        tails = factor.labels
        labels = [f"{labels[k // size]}:{tails[k % size]}" for k in observed.tolist()]
    variables = tuple(dict.fromkeys(v for part in bar.parts for v in variables_in(part.node)))
    spec = GroupSpec(
        name=bar.group_name,
        parts=tuple(part.name for part in bar.parts),
        levels=tuple(factor.levels for factor in factors),
        pairs=tuple(pairs),
    )
    grouping = GroupingFactor(
        name=bar.group_name,
        variables=variables,
        levels=_read_only(object_array(labels) if pairs else first.levels),
    )
    return spec, grouping, _read_only(codes.astype(np.int32, copy=False))


def _whole(name: str, n: int) -> tuple[GroupSpec, GroupingFactor, npt.NDArray[np.int32]]:
    """The factor of a smooth of all data: one level."""
    grouping = GroupingFactor(name=name, variables=(), levels=_read_only(object_array([name])))
    spec = GroupSpec(name=name, parts=(), levels=(), pairs=())
    return spec, grouping, _read_only(np.zeros(n, dtype=np.int32))


def is_nested(codes: npt.NDArray[Any], levels: int, above: npt.NDArray[Any]) -> bool:
    """Whether each level of a factor lies in one level of another, by their codes.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
    levels : int
        Of the factor.
    above : ndarray of int, shape (n,)
        Codes of the other.
    """
    parent = np.zeros(levels, dtype=above.dtype)
    parent[codes] = above
    return bool(np.array_equal(parent[codes], above))


def _compact(
    key: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return the values that occur in `key`, ascending, and their positions."""
    if size > 4 * key.size + 1024:
        observed, codes = np.unique(key, return_inverse=True)
        return observed, codes
    present = np.zeros(size, dtype=bool)
    present[key] = True
    observed = np.flatnonzero(present)
    table = np.empty(size, dtype=np.int32)
    table[observed] = np.arange(observed.size, dtype=np.int32)
    return observed, table[key]


def group_codes(spec: GroupSpec, values: Mapping[str, Vector], n: int) -> npt.NDArray[np.int32]:
    """Find the codes of new rows: -1 for an unseen level or combination, or a missing value.

    Parameters
    ----------
    spec : GroupSpec
    values : mapping of str to Vector
    n : int
        Number of rows.

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    codes: npt.NDArray[Any] | None = None if spec.parts else np.zeros(n, dtype=np.int32)
    for number, (part, levels) in enumerate(zip(spec.parts, spec.levels, strict=True)):
        factor = as_factor(values[part], name=part)
        own = level_table(factor.levels, levels)[factor.codes]
        if codes is None:
            codes = own
            continue
        observed = spec.pairs[number - 1]
        key = codes.astype(np.int64) * levels.size + own
        place = np.minimum(np.searchsorted(observed, key), observed.size - 1)
        found = (observed[place] == key) & (codes >= 0) & (own >= 0)
        codes = np.where(found, place, -1)
    assert codes is not None
    return codes.astype(np.int32)


def unseen_labels(
    spec: GroupSpec, codes: npt.NDArray[np.int32], values: Mapping[str, Vector]
) -> list[str]:
    """Name the levels (or combinations) behind code -1, for a message; NA for missing."""
    factors: list[Factor] = [as_factor(values[part], name=part) for part in spec.parts]
    padded = [(*factor.labels, "NA") for factor in factors]
    rows = np.flatnonzero(codes < 0)[:1000]
    labels = (
        ":".join(p[f.codes[row]] for p, f in zip(padded, factors, strict=True)) for row in rows
    )
    return list(dict.fromkeys(labels))


def unseen_codes(
    spec: GroupSpec, codes: npt.NDArray[np.int32], values: Mapping[str, Vector]
) -> npt.NDArray[np.int32]:
    """Number the distinct unseen levels 0, 1, …; -1 for rows whose level is known.

    Rows whose levels read the same (`NA` for a missing one) share a number.
    """
    factors: list[Factor] = [as_factor(values[part], name=part) for part in spec.parts]
    rows = np.flatnonzero(codes < 0)
    if not rows.size:
        return np.full(codes.shape, -1, dtype=np.int32)
    own = np.column_stack([factor.codes[rows] for factor in factors])
    out = np.full(codes.shape, -1, dtype=np.int32)
    out[rows] = np.unique(own, axis=0, return_inverse=True)[1].reshape(-1)
    return out
