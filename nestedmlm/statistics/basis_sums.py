"""Sums of products of crossed factors whose rows are dense: factors with a basis.

A factor with the basis L (J, q) has effects ``L v`` at its levels, v independent, so its columns
are those of its levels times L. Each row may meet all q of them: they stand in the dense block, and
only its sums are made here. Where L is sparse (families that are not related to each other), the
block falls into components, and what eliminates it takes one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # its sparse matrices load on first use

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.elimination_order import Order
from nestedmlm.statistics.forest import Entries
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.sufficient_statistics import Crossed

_SPARSE = 0.1  # share of a basis that is not zero, up to which it is multiplied as a sparse one
_LARGEST_COMPONENT = 0.5  # share of the columns: with a larger one nothing is gained


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """Columns of one grouping factor: level of each row, (n, k) entries, and its basis."""

    codes: IntArray
    Z: FloatArray
    levels: int
    basis: FloatArray | None

    @property
    def size(self) -> tuple[int, int]:
        """Columns of an effect, and independent effects."""
        return self.Z.shape[1], self.levels if self.basis is None else self.basis.shape[1]

    def matrix(self) -> scipy.sparse.csr_array:
        """Columns of the levels, (n, levels k)."""
        n, k = self.Z.shape
        columns = self.codes[:, None].astype(np.int64) * k + np.arange(k)
        parts = (self.Z.ravel(), columns.ravel(), np.arange(0, n * k + 1, k))
        return scipy.sparse.csr_array(parts, shape=(n, self.levels * k))

    def map(self) -> FloatArray | scipy.sparse.csr_array:
        """What turns columns of the levels into those of the effects."""
        k = self.Z.shape[1]
        if self.basis is None:
            return scipy.sparse.csr_array(scipy.sparse.eye_array(self.levels * k))
        if self.sparse:
            return scipy.sparse.csr_array(scipy.sparse.kron(self.basis, scipy.sparse.eye_array(k)))
        return self.basis if k == 1 else np.kron(self.basis, np.eye(k))

    @property
    def sparse(self) -> bool:
        """Whether a level meets few columns."""
        basis = self.basis
        return basis is None or bool(np.count_nonzero(basis) <= _SPARSE * basis.size)

    def met(self, rows: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
        """Columns that sets of rows meet, (sets, q k): entries that are not zero."""
        k, n = self.Z.shape[1], len(self.codes)
        ones = (np.ones(n), (np.arange(n), self.codes))
        levels = rows @ scipy.sparse.csr_array(ones, shape=(n, self.levels))
        if self.basis is not None:
            levels = levels @ scipy.sparse.csr_array(self.basis != 0.0, dtype=float)
        out: scipy.sparse.csr_array = scipy.sparse.csr_array(
            scipy.sparse.kron(levels, np.ones((1, k)))
        )
        return out


def sum_with_bases(
    order: Order,
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    bases: Sequence[FloatArray | None],
    Z: Sequence[FloatArray],
    Y: FloatArray,
    w: FloatArray | None,
    *,
    split: bool,
) -> Crossed:
    """Sum the dense block where some of its factors have a basis.

    Parameters
    ----------
    order : Order
        Of a chain, possibly empty, without factors that have a basis.
    codes, sizes, bases : sequences
        Level of each row, independent effects, (J, q) array or None: by grouping factor.
    Z : sequence of (n, k) arrays
        Columns of each factor, in the order of elimination.
    Y : (n, r) array
        Right-hand sides.
    w : (n,) array or None
    split : bool
        Whether to look for components: not where rows correlate.

    Returns
    -------
    Crossed
    """
    m, found = len(order.chain), []
    for place, (f, z) in enumerate(zip(order.chain + order.trailing, Z, strict=True)):
        own, basis = codes[f], bases[f]
        found.append(
            _Columns(
                codes=order.node_of_level[place][own] if place < m else own,
                Z=np.ascontiguousarray(z),
                levels=sizes[f] if basis is None else len(basis),
                basis=basis,
            )
        )
    made = _sum(order, found[:m], found[m:], Y, w)
    if not split or not all(f.sparse for f in found[m:]):
        return made
    return replace(made, components=_components(found[m - 1 : m], found[m:]))


def _sum(
    order: Order,
    chain: Sequence[_Columns],
    trailing: Sequence[_Columns],
    Y: FloatArray,
    w: FloatArray | None,
) -> Crossed:
    parts = stacked_parts(f.size for f in trailing)
    matrices = [f.matrix() for f in trailing]
    maps = [f.map() for f in trailing]
    weights = scipy.sparse.diags_array(np.ones(len(Y)) if w is None else w)
    q = parts[-1].rows.stop
    Q, R = np.zeros((q, q)), np.zeros((q, Y.shape[1]))
    weighted = [weights @ A for A in matrices]
    for i, (part, A, B) in enumerate(zip(parts, weighted, maps, strict=True)):
        R[part.rows] = B.T @ (A.T @ Y)
        for j in range(i + 1):
            products = _dense(B.T @ ((A.T @ matrices[j]) @ maps[j]))
            Q[part.rows, parts[j].rows] = products
            Q[parts[j].rows, part.rows] = products.T
    entries = _entries(order, chain, trailing, parts)
    values = []
    for i, own in enumerate(chain):
        place = slice(int(entries.first[i]), int(entries.first[i + 1]))
        node, col, k = entries.node[place], entries.col[place], own.Z.shape[1]
        share, left = np.zeros((k, len(node))), own.matrix().T
        for part, f, A, B in zip(parts, trailing, weighted, maps, strict=True):
            met = np.flatnonzero((col >= part.rows.start) & (col < part.rows.stop))
            products = left @ A if f.basis is None else (left @ A) @ B
            for a in range(k):
                share[a, met] = _values(products, node[met] * k + a, col[met] - part.rows.start)
        values.append(share.ravel())
    return Crossed(
        parts=parts, Q=Q, R=R, entries=entries, values=np.concatenate([np.zeros(0), *values])
    )


def _sets(codes: IntArray, number: int) -> scipy.sparse.csr_array:
    """Rows of each level, (levels, n)."""
    n = len(codes)
    at = (np.ones(n), (codes, np.arange(n)))
    return scipy.sparse.csr_array(at, shape=(number, n))


def _components(top: Sequence[_Columns], trailing: Sequence[_Columns]) -> tuple[IntArray, ...]:
    """Columns that rows of one level of the chain's coarsest factor join, by size."""
    n = len(trailing[0].codes)
    rows = _sets(np.arange(n), n) if not top else _sets(top[0].codes, top[0].levels)
    met = scipy.sparse.hstack([f.met(rows) for f in trailing])
    effects = [
        scipy.sparse.kron(scipy.sparse.eye_array(q), np.ones((1, k)))
        for k, q in (f.size for f in trailing)
    ]  # columns of one, also without rows
    met = scipy.sparse.vstack([met, scipy.sparse.block_diag(effects)])
    graph = scipy.sparse.block_array([[None, met], [met.T, None]])
    _, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    label = np.unique(label[met.shape[0] :], return_inverse=True)[1].reshape(-1)
    sizes, order = np.bincount(label), np.argsort(label, kind="stable")
    if sizes.max() > _LARGEST_COMPONENT * len(label):
        return ()
    starts = np.cumsum(sizes) - sizes
    return tuple(
        order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)
    )


def _dense(A: Any) -> FloatArray:
    out: FloatArray = A.toarray() if scipy.sparse.issparse(A) else np.asarray(A)
    return out


def _values(A: Any, row: IntArray, col: IntArray) -> FloatArray:
    """Entries of a matrix; zero where a sparse one has none."""
    if not scipy.sparse.issparse(A):
        return np.asarray(A)[row, col]
    found = A.tocoo()
    keys = found.row.astype(np.int64) * A.shape[1] + found.col
    ascending = np.argsort(keys)
    keys, values = keys[ascending], found.data[ascending]
    wanted = row.astype(np.int64) * A.shape[1] + col
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    out: FloatArray = np.where(keys[at] == wanted, values[at], 0.0)
    return out


def _entries(
    order: Order,
    chain: Sequence[_Columns],
    trailing: Sequence[_Columns],
    parts: Sequence[FactorPart],
) -> Entries:
    """Which columns of the dense block each level of the chain meets."""
    q = parts[-1].rows.stop
    keys = []
    for own in chain:
        rows = _sets(own.codes, own.levels)
        met = [f.met(rows).tocoo() for f in trailing]
        keys.append(np.unique(np.concatenate([
            m.row.astype(np.int64) * q + part.rows.start + m.col
            for m, part in zip(met, parts, strict=True)
        ])))  # fmt: skip
    none = np.zeros(0, dtype=np.int64)
    nodes, cols = [x // q for x in keys], [x % q for x in keys]
    ups = [
        np.searchsorted(keys[i + 1], order.parents[i][nodes[i]] * q + cols[i])
        for i in range(len(keys) - 1)
    ]
    ups += [np.zeros(len(x), dtype=np.int64) for x in keys[-1:]]
    ptrs = [
        np.searchsorted(node, np.arange(own.levels + 1))
        for node, own in zip(nodes, chain, strict=True)
    ]
    E, K = [len(x) for x in keys], [own.Z.shape[1] for own in chain]
    return Entries(
        first=np.cumsum([0, *E]),
        value=np.cumsum([0, *(e * k for e, k in zip(E, K, strict=True))]),
        node=np.concatenate([none, *nodes]),
        col=np.concatenate([none, *cols]),
        up=np.concatenate([none, *ups]),
        ptr=np.concatenate([none, *ptrs]),
    )
