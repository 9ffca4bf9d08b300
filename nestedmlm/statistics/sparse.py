"""Sums of products of crossed factors too large for a dense block: sparse matrices.

The factor with most columns is eliminated by itself, level by level; what all others make of one
another stays sparse, for an iterative elimination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import OptionError
from nestedmlm.statistics.assembly import sum_crossed, sum_right, trailing_columns
from nestedmlm.statistics.elimination_order import Order, find_entries
from nestedmlm.statistics.parts import FactorPart, stacked_parts

PROBES = 8  # random vectors that traces and log-determinants are estimated with, at first


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseCrossed:
    """Sums of products of the largest factor, and of all others with it and one another.

    Attributes
    ----------
    own : (k, k + r, J) array
        Of the largest factor's levels: with themselves and with ``[X y]``.
    parts : tuple of FactorPart
        Of the other factors; rows count from the first of them.
    C : tuple of (J, q) sparse arrays
        Of each of the largest factor's k columns with the others' columns.
    node, col : (E,) arrays
        Level and column of each entry of C.
    Q : (q, q) sparse array
        Of the others.
    R : (q, r) array
        Of the others with ``[X y]``.
    probes : int
        Random vectors of the estimates.
    """

    own: FloatArray
    parts: tuple[FactorPart, ...]
    C: tuple[Any, ...]
    node: IntArray
    col: IntArray
    Q: Any
    R: FloatArray
    probes: int = PROBES


class ExactOnly:
    """Stands where an exact elimination has its blocks, and says so when it is asked for them."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise OptionError(
            "this needs the exact elimination of all random effects, but the model was fitted by "
            "the iterative one (its crossed grouping factors are large): see the table of what is "
            "there in the documentation, 'Large crossed factors'. Where memory allows it, "
            'control=nm.Control(method="exact") fits exactly'
        )

    __iter__ = __len__ = __bool__ = __getitem__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # pickle and copy ask for these
            raise AttributeError(name)
        self._refuse()


def largest_first(codes: Sequence[IntArray], sizes: Sequence[int], widths: Sequence[int]) -> Order:
    """Order of elimination: the factor with most columns, then the rest."""
    columns = [j * k for j, k in zip(sizes, widths, strict=True)]
    first, *rest = sorted(range(len(codes)), key=lambda f: -columns[f])
    return Order(
        chain=(first,),
        trailing=tuple(rest),
        parents=(),
        node_of_level=(np.arange(sizes[first]),),
    )


def sparse_crossed(
    own: FloatArray,
    codes: IntArray,
    Z: FloatArray,
    tcode: IntArray,
    levels: Sequence[int],
    Zt: Sequence[FloatArray],
    Y: FloatArray,
    w: FloatArray,
) -> SparseCrossed:
    """Sum the products that the other factors take part in.

    Parameters
    ----------
    own : (k, k + r, J) array
        The largest factor's.
    codes, Z : (n,) and (n, k) arrays
        Its levels and columns.
    tcode : (n_t, n) array
        Levels of the others.
    levels : sequence of int
        Their numbers.
    Zt : sequence of (n, k_t) arrays
        Their columns.
    Y : (n, r) array
        Right-hand sides.
    w : (n,) array
    """
    from scipy import sparse  # most fits need no SciPy

    k, J = Z.shape[1], own.shape[2]
    Kt = np.array([z.shape[1] for z in Zt])
    parts = stacked_parts(zip(Kt.tolist(), levels, strict=True))
    first, q = np.array([part.rows.start for part in parts]), parts[-1].rows.stop
    entries, entry = find_entries(codes, (), np.array([k]), np.array([J]), tcode, Kt, first, q)
    values = sum_crossed(entry, (), [len(entries.col)], [Z], Zt, w).reshape(k, -1)
    del entry
    ptr, col = entries.ptr, entries.col.astype(np.int32 if q < 2**31 else np.int64)
    C = tuple(sparse.csr_array((v, col, ptr), shape=(J, q)) for v in values)
    columns = trailing_columns(tcode, Kt, first, Zt)
    return SparseCrossed(
        own=own,
        parts=parts,
        C=C,
        node=entries.node,
        col=entries.col,
        Q=_products_of_others(columns, q, w),
        R=sum_right(columns, q, Y, w),
    )


def _products_of_others(
    columns: Sequence[tuple[int, IntArray, FloatArray]], q: int, w: FloatArray
) -> Any:
    """``Z_t'WZ_t``: what stands below the diagonal, its mirror image, and the diagonal."""
    from scipy import sparse  # most fits need no SciPy

    diagonal, below = np.zeros(q), sparse.csr_array((q, q))
    for j, (factor, at, z) in enumerate(columns):
        weighted = w * z
        diagonal += np.bincount(at, weighted * z, minlength=q)
        for other_factor, other, other_z in columns[:j]:
            products = weighted * other_z
            if factor == other_factor:  # one sum a level: the place decides both columns
                sums = np.bincount(at, products, minlength=q)
                rows = np.unique(at)
                places = rows, rows + int(other[0] - at[0])
                some = sparse.coo_array((sums[rows], places), shape=(q, q))
            else:
                some = sparse.coo_array((products, (at, other)), shape=(q, q))
            below = below + some.tocsr()
    return (below + below.T + sparse.diags_array(diagonal)).tocsr()
