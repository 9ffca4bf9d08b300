"""Pedigrees: who descends from whom, and the relationships that follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.arguments import checked
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import level_label, object_array
from nestedmlm.errors import ColumnNotFoundError, DataError, OptionError

_UNKNOWN = ("", "0", "NA", "NaN", "nan", "None", ".")  # how files write a parent that is not known


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties stand in __dict__
class Pedigree:
    """Animals (or plants, or people) and their parents, parents before their offspring.

    Attributes
    ----------
    labels : ndarray of object, shape (q,)
    sire, dam : ndarray of int, shape (q,)
        Places of the parents; -1 where one is not known. They are unrelated to all others then.

    Examples
    --------
    >>> import pandas as pd
    >>> import nestedmlm as nm
    >>> table = pd.DataFrame({"id": list("abcd"), "sire": [None, None, "a", "a"],
    ...                       "dam": [None, None, "b", "c"]})
    >>> nm.pedigree(table)
    Pedigree of 4: 2 founders, 1 inbred
    """

    labels: npt.NDArray[np.object_]
    sire: IntArray
    dam: IntArray

    def __post_init__(self) -> None:
        columns = [getattr(self, name) for name in ("labels", "sire", "dam")]
        arrays = all(isinstance(one, np.ndarray) and one.ndim == 1 for one in columns)
        if not arrays or len({len(one) for one in columns}) > 1 or self.sire.dtype.kind != "i":
            raise OptionError("a pedigree is read from a table: nm.pedigree(data)")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        founders = int(((self.sire < 0) & (self.dam < 0)).sum())
        plural = "founder" if founders == 1 else "founders"
        inbred = int((self.inbreeding > _NO_INBREEDING).sum())
        return f"Pedigree of {len(self):,}: {founders:,} {plural}, {inbred:,} inbred"

    @cached_property
    def root(self) -> FloatArray:
        """Cholesky factor L of the relationships, ``A = L L'``, lower triangular, shape (q, q).

        Notes
        -----
        A row is the mean of the parents' rows, and the standard deviation of Mendelian sampling
        on the diagonal (Henderson 1976, Biometrics 32, 69-83; Quaas 1976, 32, 949-953).
        """
        q = len(self)
        L, own = np.zeros((q, q)), np.zeros(q)  # own: the diagonal of A
        for i, parents in enumerate(zip(self.sire.tolist(), self.dam.tolist(), strict=True)):
            known = [p for p in parents if p >= 0]
            for p in known:
                L[i, : p + 1] += 0.5 * L[p, : p + 1]
            L[i, i] = np.sqrt(1.0 - 0.25 * sum(own[p] for p in known))
            own[i] = L[i, : i + 1] @ L[i, : i + 1]
        L.setflags(write=False)
        return L

    @property
    def inbreeding(self) -> pd.Series:
        """Wright's coefficient of inbreeding of each animal: the diagonal of A, less one."""
        own = np.einsum("ij,ij->i", self.root, self.root) - 1.0
        return pd.Series(np.where(np.abs(own) < _NO_INBREEDING, 0.0, own), self.labels)

    def relationship(self) -> pd.DataFrame:
        """Additive relationships A, twice the coefficients of kinship.

        Returns
        -------
        DataFrame, shape (q, q)
            Rows and columns are the members.

        Examples
        --------
        >>> import pandas as pd
        >>> import nestedmlm as nm
        >>> table = pd.DataFrame({"id": list("abc"), "sire": [0, 0, "a"], "dam": [0, 0, "b"]})
        >>> nm.pedigree(table).relationship()
             a    b    c
        a  1.0  0.0  0.5
        b  0.0  1.0  0.5
        c  0.5  0.5  1.0
        """
        return pd.DataFrame(self.root @ self.root.T, index=self.labels, columns=self.labels)


_NO_INBREEDING = 1e-12  # of a coefficient: rounding


@checked
def pedigree(data: Any, id: str = "id", sire: str = "sire", dam: str = "dam") -> Pedigree:
    """Read a pedigree.

    Parameters
    ----------
    data : DataFrame, mapping of arrays, or anything narwhals can read
        A row for each animal, in any order. Parents that have no row of their own are founders.
    id, sire, dam : str
        Columns of the animals and of their parents; a parent that is not known is missing, empty,
        0 or ``NA``.

    Returns
    -------
    Pedigree
        Sorted, parents first. Give it to `lmer`: ``relationship={"id": pedigree}``.

    Raises
    ------
    DataError
        For an animal that descends from itself, or that has two rows with different parents.
    ColumnNotFoundError
        If the table has no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> import nestedmlm as nm
    >>> table = pd.DataFrame({"id": ["calf", "cow"], "sire": ["bull", None],
    ...                       "dam": ["cow", None]})
    >>> nm.pedigree(table).labels.tolist()
    ['cow', 'bull', 'calf']
    """
    frame, originals = Frame(data), dict[str, Any]()
    values = [_texts(frame, column, originals) for column in (id, sire, dam)]
    own: dict[str, tuple[str | None, str | None]] = {}
    for i, name in enumerate(values[0]):
        if name is None:
            raise DataError(f"row {i + 1} of the pedigree has no {id}")
        parents = (values[1][i], values[2][i])
        if own.setdefault(name, parents) != parents:
            raise DataError(f"{name} has two rows in the pedigree, with different parents")
    for column in values[1:]:
        for name in column:
            if name is not None:
                own.setdefault(name, (None, None))
    order = _parents_first(own)
    place = {name: i for i, name in enumerate(order)} | {None: -1}
    return Pedigree(
        labels=object_array([originals[name] for name in order]),
        sire=np.array([place[own[name][0]] for name in order], dtype=np.int64),
        dam=np.array([place[own[name][1]] for name in order], dtype=np.int64),
    )


def _texts(frame: Frame, column: str, originals: dict[str, Any]) -> list[str | None]:
    """Values of a column as text, None where one is missing; `originals` gains those behind."""
    if column not in frame:
        known = ", ".join(frame.column_names)
        raise ColumnNotFoundError(f"the pedigree has no column {column!r}; it has {known}")
    out = list[str | None]()
    for value in frame.series(column).tolist():
        text = "" if pd.isna(value) else level_label(value)
        out.append(None if text in _UNKNOWN else text)
        originals.setdefault(text, value)
    return out


def _parents_first(own: dict[str, tuple[str | None, str | None]]) -> list[str]:
    """Names with parents before offspring, in the given order as far as that goes."""
    place = {name: i for i, name in enumerate(own)}
    if all(p is None or place[p] < i for i, ps in enumerate(own.values()) for p in ps):
        return list(own)
    depth: dict[str, int] = {}
    left = dict(own)
    while left:
        ready = {n: ps for n, ps in left.items() if not any(p in left for p in ps)}
        if not ready:
            raise DataError(
                f"{' -> '.join(_loop(left))} in the pedigree: an animal cannot descend from itself"
            )
        for name in ready:
            depth[name] = len(depth)
            del left[name]
    return list(depth)


def _loop(left: dict[str, tuple[str | None, str | None]]) -> list[str]:
    """One loop among animals each of which has a parent among them, from offspring to parent."""
    way = [next(iter(left))]
    while way[-1] not in way[:-1]:
        way.append(next(p for p in left[way[-1]] if p in left))
    return way[way.index(way[-1]) :]
