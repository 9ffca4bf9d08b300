"""Known relationships between the levels of a grouping factor: relatives, species, places.

Effects of the levels have the covariance A times the term's. With ``A = L L'`` they are ``L v``, v
independent: L becomes the factor's basis.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # its sparse matrices load on first use

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.values import level_label, object_array
from nestedmlm.design.matrices.grouping import GroupingFactor
from nestedmlm.design.matrices.modelmatrix import level_table
from nestedmlm.design.pedigree import Pedigree
from nestedmlm.design.rows import frozen, rows_here
from nestedmlm.errors import MemoryLimitError, OptionError, RelationshipError
from nestedmlm.formula.formula import Formula

MOST_RELATIVES = 20_000  # their relationships alone take 3 GB
_PRODUCTS_PER_SECOND = 5e10  # of one busy processor; a fit takes about 20 q^3
_SYMMETRIC = 1e-8  # largest difference of A and its transpose, as a share of its largest entry
_POSITIVE = 1e-10  # smallest eigenvalue that counts, as a share of the largest
_MANY_MEMBERS = 1000  # from which it is said that they fall into small families
_SMALL_FAMILY = 20  # times smaller than all together
_LEAST_PIVOT = 1e-5  # of a Cholesky factor, as a share of the largest: below it A is singular
_log = logging.getLogger("nestedmlm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relationship:
    """A known relationship, ready for use.

    Attributes
    ----------
    labels : ndarray of object, shape (q,)
    root : ndarray, shape (q, r)
        ``A = root root'``.
    kind : str
        ``"pedigree"`` or ``"relationship"``, for printing.
    remark : str
        What was done to A that should be said; empty if nothing.
    """

    labels: npt.NDArray[np.object_]
    root: FloatArray
    kind: str
    remark: str = ""


def read_relationships(given: Any, formula: Formula) -> dict[str, Relationship]:
    """Read the argument ``relationship=``.

    Parameters
    ----------
    given : mapping of str to DataFrame, Pedigree, or pair of matrix and labels
    formula : Formula

    Raises
    ------
    OptionError
        If it is no mapping, names no grouping factor of the formula, or holds something else.
    RelationshipError
        If a matrix is not square, symmetric and finite, or labels are repeated.
    MemoryLimitError
        If there are too many relatives.
    """
    if not isinstance(given, Mapping):
        raise OptionError(
            "relationship= is a mapping from grouping factors to their relationships: "
            f'relationship={{"id": A}}, not {type(given).__name__}'
        )
    known = list(dict.fromkeys(bar.group_name for bar in formula.bars))
    for name in given:
        if name not in known:
            raise OptionError(
                f"relationship= has {name!r}, which is no grouping factor of the formula; they "
                f"are {', '.join(known) or 'none'}"
            )
    combined = [bar.group_name for bar in formula.bars if len(bar.parts) > 1]
    for name in given:
        if name in combined:
            raise OptionError(
                f"relationship= of {name}, a combination of factors: make a column of it"
            )
    return {name: _read(name, value) for name, value in given.items()}


def _read(name: str, given: Any) -> Relationship:
    if isinstance(given, Relationship):
        return given
    if isinstance(given, Pedigree):
        _check_size(name, len(given))
        return Relationship(labels=given.labels, root=given.root, kind="pedigree")
    if isinstance(given, pd.DataFrame):
        A, labels, columns = given, list(given.index), list(given.columns)
        if [level_label(x) for x in columns] != [level_label(x) for x in labels]:
            if sorted(map(level_label, columns)) != sorted(map(level_label, labels)):
                raise RelationshipError(
                    f"the relationship of {name} has other labels in its rows than in its columns"
                )
            place = {level_label(x): i for i, x in enumerate(columns)}
            A = A.iloc[:, [place[level_label(x)] for x in labels]]
        matrix: Any = A.to_numpy(dtype=float)
    elif isinstance(given, tuple) and len(given) == 2:
        matrix = given[0]
        labels = [x.item() if isinstance(x, np.generic) else x for x in given[1]]
    else:
        raise OptionError(
            f"the relationship of {name} is a DataFrame with the labels of {name} in its index, a "
            "pair (matrix, labels), whose matrix may be sparse, or nm.pedigree(...), not "
            f"{type(given).__name__}"
        )
    _check_size(name, len(labels))
    if scipy.sparse.issparse(matrix):
        matrix = matrix.toarray()
    matrix = _checked(name, np.asarray(matrix, dtype=float), labels)
    root, remark = _root(name, matrix)
    if remark:
        _log.warning(remark)
    return Relationship(
        labels=object_array(labels), root=frozen(root), kind="relationship", remark=remark
    )


def _check_size(name: str, q: int) -> None:
    if q > MOST_RELATIVES:
        memory, hours = 5 * 8 * q**2 / 2**30, 20 * q**3 / _PRODUCTS_PER_SECOND / 3600
        raise MemoryLimitError(
            f"the relationship of {name} has {q:,} members: eliminating them takes about "
            f"{memory:,.0f} GiB of memory and {hours:,.0f} hours on one processor; leave out those "
            f"without records and without relatives that have some, down to {MOST_RELATIVES:,}"
        )


def _checked(name: str, A: FloatArray, labels: list[Any]) -> FloatArray:
    if A.ndim != 2 or A.shape != (len(labels), len(labels)):
        raise RelationshipError(
            f"the relationship of {name} is no square matrix with a label for each row: its shape "
            f"is {A.shape}, and there are {len(labels)} labels"
        )
    texts = pd.Index([level_label(x) for x in labels])
    if texts.has_duplicates:
        raise RelationshipError(
            f"the relationship of {name} has {texts[texts.duplicated()][0]} more than once"
        )
    if not np.isfinite(A).all():
        raise RelationshipError(f"the relationship of {name} has missing or infinite entries")
    size = float(np.abs(A).max(initial=0.0))
    if np.abs(A - A.T).max(initial=0.0) > _SYMMETRIC * size:
        raise RelationshipError(f"the relationship of {name} is not symmetric")
    if not len(A) or A.diagonal().min() < 0 or not A.diagonal().any():
        raise RelationshipError(f"the relationship of {name} has no positive diagonal")
    return 0.5 * (A + A.T)


def _root(name: str, A: FloatArray) -> tuple[FloatArray, str]:
    """L with ``A = L L'``, and what is to be said of it."""
    try:
        L = _cholesky(A)
        if L.diagonal().min() > _LEAST_PIVOT * L.diagonal().max():
            return L, ""
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(A)
    kept = values > _POSITIVE * values[-1]
    remark = (
        f"the relationship of {name} is not positive definite (clones, or more members than "
        f"markers): {int((~kept).sum())} of its {len(A)} eigenvectors, with eigenvalues that are "
        "not positive, are left out"
    )
    if values[0] < -1e-6 * values[-1]:
        remark += f"; the smallest eigenvalue is {values[0]:.2g}, the largest {values[-1]:.2g}"
    return vectors[:, kept] * np.sqrt(values[kept]), remark


def _cholesky(A: FloatArray) -> FloatArray:
    """The Cholesky factor, one family after the other where they are not related.

    Raises
    ------
    numpy.linalg.LinAlgError
        If A is not positive definite.
    """
    if len(A) < _MANY_MEMBERS:
        return np.linalg.cholesky(A)
    joined = scipy.sparse.csr_array(A)
    _, family = scipy.sparse.csgraph.connected_components(joined, directed=False)
    sizes, order = np.bincount(family), np.argsort(family, kind="stable")
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(A.shape)
    for size in np.unique(sizes):
        own = order[starts[sizes == size][:, None] + np.arange(size)]
        at = own[:, :, None], own[:, None, :]
        out[at] = np.linalg.cholesky(A[at])
    return out


def with_relationships(design: Design, relationships: Mapping[str, Relationship]) -> Design:
    """Give grouping factors their relationships.

    Parameters
    ----------
    design : Design
        With its rows.
    relationships : mapping of str to Relationship
        By grouping factor; of those that the design does not have nothing is used.

    Raises
    ------
    RelationshipError
        If levels are missing from a relationship, or it says that all rows are unrelated.
    """
    rows = rows_here(design.rows, "a relationship")
    factors, codes = list(design.factors), list(rows.codes)
    groups, said = list(design.schema.groups), []
    for f, factor in enumerate(design.factors):
        own = relationships.get(factor.name)
        if own is None:
            continue
        table = _places(factor, own)
        codes[f] = frozen(table[rows.codes[f]])
        labels = frozen(_values(factor, own, table))
        factors[f] = replace(factor, levels=labels, basis=own.root, kind=own.kind)
        groups[f] = replace(groups[f], levels=(labels,))
        _refuse_unrelated(design, factors[f], codes[f])
        said += [remark for remark in (own.remark, _of_families(factor.name, own)) if remark]
    return replace(
        design,
        factors=tuple(factors),
        schema=replace(design.schema, groups=tuple(groups)),
        rows=replace(rows, codes=tuple(codes)),
        messages=(*design.messages, *said),
    )


def _of_families(name: str, own: Relationship) -> str:
    """Say that many members fall into small families, which cost less in another spelling."""
    q = len(own.root)
    if q < _MANY_MEMBERS:
        return ""
    joined = scipy.sparse.csr_array(own.root != 0.0)
    by_member = scipy.sparse.block_array([[None, joined], [joined.T, None]])
    _, family = scipy.sparse.csgraph.connected_components(by_member, directed=False)
    sizes = np.bincount(family[:q])
    sizes = sizes[sizes > 0]
    if sizes.max() * _SMALL_FAMILY > q:
        return ""
    return (
        f"the {q:,} members of {name} fall into {len(sizes):,} families of {sizes.max()} at most: "
        "with the columns of their roots in a term diag(..., hom=True) of the family the same "
        "model takes the time and memory of nested factors (how-to: relatives, many families)"
    )


def _places(factor: GroupingFactor, own: Relationship) -> npt.NDArray[np.int32]:
    """Place of each level of a factor in its relationship."""
    table: npt.NDArray[np.int32] = level_table(factor.levels, own.labels)[:-1]
    if (table < 0).any():
        missing = [level_label(x) for x in factor.levels[table < 0]]
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise RelationshipError(
            f"levels of {factor.name} are not in its relationship: {', '.join(missing[:5])}{more}; "
            "add them (unrelated ones with 1 on the diagonal), or leave their rows out"
        )
    return table


def _values(
    factor: GroupingFactor, own: Relationship, table: npt.NDArray[np.int32]
) -> npt.NDArray[np.object_]:
    """Labels of the relationship, written as the data write their levels."""
    kinds = {type(level) for level in factor.levels}
    if {type(label) for label in own.labels} <= kinds:
        return object_array(own.labels)
    values = [level_label(label) for label in own.labels]
    return object_array(values)


def _refuse_unrelated(design: Design, factor: GroupingFactor, codes: npt.NDArray[np.int32]) -> None:
    """Refuse an effect for each row, all of them unrelated: it is a second residual."""
    used = np.unique(codes)
    if len(used) < design.n or factor.basis is None:
        return
    A = factor.basis[used] @ factor.basis[used].T
    if np.abs(A - A[0, 0] * np.eye(len(A))).max() < _SYMMETRIC * np.abs(A[0, 0]):
        raise RelationshipError(
            f"each level of {factor.name} has one row and none are related: their effects cannot "
            "be told from the residuals"
        )
