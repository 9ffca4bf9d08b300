"""Sufficient statistics of a design, in the layout the elimination works on (layer 3).

After `cross_products` no cost depends on the number of rows. Which factor is eliminated in which
order is decided here, from the codes alone: a *chain* of grouping factors, each nested in the
next, followed by one dense *trailing* block that holds every factor crossed with the chain.

Conditioning (all of it undone exactly when results are reported):

- X is replaced by ``X R_x^{-1}`` with orthonormal weighted columns, y by its residual from
  weighted least squares on X;
- each term's columns are replaced by ``X_t W_t``: orthonormal up to ``sqrt(n)`` for unstructured
  terms (which are equivariant under any linear recoding), scaled to unit root mean square where
  only a scaling keeps the structure. A relative factor T in the user's columns is
  ``W_t^{-1} T`` here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import DataError, MemoryLimitError
from nestedmlm.kernels.assembly import accumulate, nesting

if TYPE_CHECKING:
    from nestedmlm.design import Design

_NOTHING_LEFT = 1e-26  # share of the sum of squares that is only rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossProducts:
    """Everything the likelihood needs, and how to get back to the user's units.

    Attributes
    ----------
    n, p : int
        Rows and (full-rank) fixed-effects columns.
    chain, trailing : tuple of int
        Indices into ``design.factors`` in elimination order.
    K, first, parent, pptr, tptr, tcol, tpos, Kt, tfirst : int64 arrays
        Structure: columns per chain factor; first node of each (and their total); parent node;
        offset of each node's panel; each node's trailing columns (pointer, column in the dense
        block, place in its parent's list); columns per trailing factor and its first column.
    panels, Qtt, Qtr, F : float64 arrays
        Weighted sums of products: per node ``[Q | ancestors | trailing | X y]`` row-major, the
        trailing block (q_t, q_t) and its right-hand sides (q_t, p+1), and ``[X y]'W[X y]``.
    transforms : tuple of (k, k) arrays
        ``W_t`` of each term, in the order of ``design.terms``.
    R_x : (p, p) array
        Triangular factor of the weighted X; ``beta = beta0 + R_x^{-1} beta_scaled``.
    beta0 : (p,) array
        Weighted least-squares coefficients (offset subtracted).
    log_det_R, sum_log_w : float
        ``log|det R_x|`` and the sum of log weights.
    node_of_level : tuple of int64 arrays
        For each chain factor, the node of each of its levels.
    """

    n: int
    p: int
    chain: tuple[int, ...]
    trailing: tuple[int, ...]
    K: IntArray
    first: IntArray
    parent: IntArray
    pptr: IntArray
    tptr: IntArray
    tcol: IntArray
    tpos: IntArray
    Kt: IntArray
    tfirst: IntArray
    panels: FloatArray
    Qtt: FloatArray
    Qtr: FloatArray
    F: FloatArray
    transforms: tuple[FloatArray, ...]
    R_x: FloatArray
    beta0: FloatArray
    log_det_R: float
    sum_log_w: float
    node_of_level: tuple[IntArray, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Indices into ``design.factors`` in elimination order."""
        return self.chain + self.trailing

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The numeric arrays in the order the elimination takes them."""
        return (
            self.K, self.first, self.parent, self.pptr, self.tptr, self.tcol, self.tpos,
            self.Kt, self.tfirst, self.panels, self.Qtt, self.Qtr, self.F,
        )  # fmt: skip

    def replace_response(self, **arrays: FloatArray) -> CrossProducts:
        """Return a copy with other arrays (used when only the response changes)."""
        names = self.__dataclass_fields__
        return CrossProducts(**{k: arrays.get(k, getattr(self, k)) for k in names})


def cross_products(design: Design) -> CrossProducts:
    """Reduce a design to its sufficient statistics in one pass over the rows.

    Parameters
    ----------
    design : Design
        From `nestedmlm.design.build_design`.

    Raises
    ------
    DataError
        If the fixed effects leave nothing of the response.
    MemoryLimitError
        If the dense block of crossed factors would not fit in memory.
    """
    n, p = design.X.shape
    w = np.ones(n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    X, R_x = orthonormal(design.X, w)
    beta_scaled, resid = _least_squares(X, y, w)
    if float(np.sum(w * resid**2)) <= _NOTHING_LEFT * float(np.sum(w * y**2)):
        raise DataError(
            "the fixed effects reproduce the response exactly, so there is no residual variation "
            "to share out between groups; drop fixed effects or check the response"
        )
    beta0 = np.linalg.solve(R_x, beta_scaled) if p else np.zeros(0)
    columns, transforms = _scaled_columns(design, w)
    codes = [f.codes for f in design.factors]
    sizes = [len(f.levels) for f in design.factors]
    chain, trailing, parents = elimination_order(codes, sizes, [c.shape[1] for c in columns])
    _refuse_what_does_not_fit(design, trailing, columns)
    Y = np.column_stack([X, resid])
    layout = _layout(codes, sizes, columns, chain, trailing, parents, p + 1)
    panels, Qtt, Qtr = _accumulate(layout, columns, chain, trailing, Y, w)
    return CrossProducts(
        n=n,
        p=p,
        chain=chain,
        trailing=trailing,
        K=layout.K,
        first=layout.first,
        parent=layout.parent,
        pptr=layout.pptr,
        tptr=layout.tptr,
        tcol=layout.tcol,
        tpos=layout.tpos,
        Kt=layout.Kt,
        tfirst=layout.tfirst,
        panels=panels,
        Qtt=Qtt,
        Qtr=Qtr,
        F=(Y.T * w) @ Y,
        transforms=transforms,
        R_x=R_x,
        beta0=beta0,
        log_det_R=float(np.sum(np.log(np.abs(np.diag(R_x))))),
        sum_log_w=0.0 if design.weights is None else float(np.sum(np.log(w))),
        node_of_level=layout.node_of_level,
    )


def orthonormal(X: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``(X R^{-1}, R)`` with ``(X R^{-1})' W (X R^{-1}) = I``.

    Two rounds of Cholesky where X is well conditioned (two passes over the rows, no (n, p)
    factorisation); Householder QR where it is not.
    """
    p = X.shape[1]
    if p == 0:
        return X, np.zeros((0, 0))
    size = np.sqrt(np.einsum("ij,ij,i->j", X, X, w))
    size[size == 0] = 1.0
    try:
        U = X / size
        R1 = np.linalg.cholesky((U.T * w) @ U).T
        if np.diag(R1).min() < 1e-4:  # unit columns: this bounds the condition number
            raise np.linalg.LinAlgError
        U = U @ np.linalg.inv(R1)
        R2 = np.linalg.cholesky((U.T * w) @ U).T
        return U @ np.linalg.inv(R2), R2 @ R1 * size
    except np.linalg.LinAlgError:
        root = np.sqrt(w)[:, None]
        Q, R = np.linalg.qr(X / size * root)
        return Q / root, R * size


def _least_squares(X: FloatArray, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Project y off the orthonormal X, twice (the second removes the rounding of the first)."""
    beta = X.T @ (w * y)
    resid = y - X @ beta
    correction = X.T @ (w * resid)
    return beta + correction, resid - X @ correction


def _scaled_columns(
    design: Design, w: FloatArray
) -> tuple[list[FloatArray], tuple[FloatArray, ...]]:
    """Columns of each factor (its terms side by side) after scaling, and each term's W."""
    scaled = [_scaled_term(t.X, t.structure, t.hom, w) for t in design.terms]
    columns = []
    for f in range(len(design.factors)):
        parts = [s[0] for s, t in zip(scaled, design.terms, strict=True) if t.factor == f]
        columns.append(parts[0] if len(parts) == 1 else np.hstack(parts))
    return columns, tuple(s[1] for s in scaled)


def _scaled_term(
    X: FloatArray, structure: str, hom: bool, w: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Recode one term's columns as far as its structure allows; return (X W, W)."""
    k = X.shape[1]
    total = float(np.sum(w))
    rms = np.sqrt(np.einsum("ij,ij,i->j", X, X, w) / total)
    rms[rms == 0] = 1.0
    if hom:
        rms[:] = np.sqrt(np.mean(rms**2))
    if structure == "us" and k > 1:
        Q, R = orthonormal(X, w)
        d = np.abs(np.diag(R)) / np.linalg.norm(R, axis=0).clip(min=1e-300)
        if np.all(d > 1e-8):
            return np.ascontiguousarray(Q * np.sqrt(total)), np.linalg.inv(R) * np.sqrt(total)
    return X / rms, np.diag(1.0 / rms)


def elimination_order(
    codes: Sequence[IntArray], sizes: Sequence[int], widths: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[IntArray, ...]]:
    """Choose the chain that eliminates most columns; the rest is the trailing block.

    Returns
    -------
    chain, trailing : tuple of int
        Factor indices, finest first; trailing factors by decreasing number of columns.
    parents : tuple of arrays
        For each chain factor but the last, the parent level of each of its levels.
    """
    columns = [j * k for j, k in zip(sizes, widths, strict=True)]
    by_size = sorted(range(len(codes)), key=lambda f: (-sizes[f], f))
    best: tuple[list[int], list[IntArray]] = ([], [])
    for start in by_size:
        chain, parents = [start], []
        for f in by_size:
            if f in chain or sizes[f] > sizes[chain[-1]]:
                continue
            up = np.full(sizes[chain[-1]], -1, dtype=np.int64)
            if nesting(codes[chain[-1]], codes[f], up):
                chain.append(f)
                parents.append(up)
        if sum(columns[f] for f in chain) > sum(columns[f] for f in best[0]):
            best = (chain, parents)
    chain, parents = best
    trailing = sorted((f for f in by_size if f not in chain), key=lambda f: -columns[f])
    return tuple(chain), tuple(trailing), tuple(parents)


def _refuse_what_does_not_fit(
    design: Design, trailing: Sequence[int], columns: Sequence[FloatArray]
) -> None:
    q = sum(len(design.factors[f].levels) * columns[f].shape[1] for f in trailing)
    needed = 5 * 8 * q * q  # the block, its factor, inverse and two products live at once
    free = available_memory()
    if needed > free:
        names = ", ".join(design.factors[f].name for f in trailing)
        raise MemoryLimitError(
            f"the crossed grouping factors ({names}) need a dense block of {q:,} x {q:,} numbers, "
            f"about {needed / 2**30:,.1f} GiB in all, and {free / 2**30:,.1f} GiB are free. Drop a "
            "crossed factor or its slopes, or group its rare levels together."
        )


def available_memory() -> int:
    """Bytes of memory that can still be used, as far as the operating system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as info:  # noqa: PTH123
            for line in info:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return 2**62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layout:
    K: IntArray
    first: IntArray
    parent: IntArray
    pptr: IntArray
    width: IntArray
    tptr: IntArray
    tcol: IntArray
    tpos: IntArray
    Kt: IntArray
    tfirst: IntArray
    node: IntArray
    entry: IntArray
    tcode: IntArray
    node_of_level: tuple[IntArray, ...]
    q_t: int


def _layout(
    codes: Sequence[IntArray],
    sizes: Sequence[int],
    columns: Sequence[FloatArray],
    chain: Sequence[int],
    trailing: Sequence[int],
    parents: Sequence[IntArray],
    r: int,
) -> _Layout:
    n, m = len(codes[0]), len(chain)
    K = np.array([columns[f].shape[1] for f in chain], dtype=np.int64)
    J = np.array([sizes[f] for f in chain], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(J)]).astype(np.int64)
    node_of_level, parent = _number_nodes(J, first, parents)
    node = np.empty((m, n), dtype=np.int64)
    for i, f in enumerate(chain):
        node[i] = node_of_level[i][codes[f]]
    Kt = np.array([columns[f].shape[1] for f in trailing], dtype=np.int64)
    Jt = np.array([sizes[f] for f in trailing], dtype=np.int64)
    tfirst = np.concatenate([[0], np.cumsum(Kt * Jt)]).astype(np.int64)
    tcode = np.empty((len(trailing), n), dtype=np.int64)
    for t, f in enumerate(trailing):
        tcode[t] = codes[f]
    tptr, tcol, tpos, entry = _trailing_lists(node, first, parent, tcode, Kt, tfirst)
    ancestors = np.concatenate([np.cumsum(K[::-1])[::-1][1:], [0]])
    per_factor = np.repeat(K + ancestors + r, J)
    width = (per_factor + np.diff(tptr)).astype(np.int64)
    pptr = np.concatenate([[0], np.cumsum(np.repeat(K, J) * width)]).astype(np.int64)
    return _Layout(
        K=K,
        first=first,
        parent=parent,
        pptr=pptr,
        width=width,
        tptr=tptr,
        tcol=tcol,
        tpos=tpos,
        Kt=Kt,
        tfirst=tfirst[:-1],
        node=node,
        entry=entry,
        tcode=tcode,
        node_of_level=node_of_level,
        q_t=int(tfirst[-1]),
    )


def _number_nodes(
    J: IntArray, first: IntArray, parents: Sequence[IntArray]
) -> tuple[tuple[IntArray, ...], IntArray]:
    """Number the nodes so that siblings are adjacent; return (node of each level, parent)."""
    m = len(J)
    node_of_level: list[IntArray] = [np.empty(0, np.int64)] * m
    node_of_level[-1] = first[m - 1] + np.arange(J[-1])
    parent = np.full(int(first[-1]), -1, dtype=np.int64)
    for i in range(m - 2, -1, -1):
        up = node_of_level[i + 1][parents[i]]
        order = np.argsort(up, kind="stable")
        nodes = np.empty(J[i], dtype=np.int64)
        nodes[order] = first[i] + np.arange(J[i])
        node_of_level[i] = nodes
        parent[nodes] = up
    return tuple(node_of_level), parent


def _trailing_lists(
    node: IntArray,
    first: IntArray,
    parent: IntArray,
    tcode: IntArray,
    Kt: IntArray,
    tfirst: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Which trailing columns each node co-occurs with.

    Returns
    -------
    tptr, tcol, tpos : arrays
        Pointer, dense column, and place in the parent's list, per node and column.
    entry : (m, n_t, n) array
        Place in the node's list at which each row's trailing level starts.
    """
    m, n = node.shape
    n_t = len(Kt)
    N = int(first[-1])
    entry = np.zeros((m, n_t, n), dtype=np.int64)
    empty = np.zeros(0, dtype=np.int64)
    if n_t == 0:
        return np.zeros(N + 1, dtype=np.int64), empty, empty, entry
    width = int(tfirst[-1])  # dense columns in all: a key is node * width + first dense column
    keys = (node[0] * width + tfirst[:-1, None] + tcode * Kt[:, None]).ravel()
    sizes = np.repeat(Kt, n)
    place = np.arange(n_t * n)
    counts = np.zeros(N, dtype=np.int64)
    cols: list[IntArray] = []
    ups: list[IntArray] = []
    for i in range(m):
        unique, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
        owner, start_col, size = unique // width, unique % width, sizes[index]
        counts[first[i] : first[i + 1]] = np.bincount(
            owner - first[i], weights=size, minlength=first[i + 1] - first[i]
        ).astype(np.int64)
        before = np.cumsum(size) - size
        list_start = np.concatenate([[0], np.cumsum(counts[first[i] : first[i + 1]])])
        place_in_list = before - list_start[owner - first[i]]
        if i > 0:  # where the child level's entries sit in this level's lists
            ups.append(_expand(place_in_list[inverse], sizes))
        place = inverse if i == 0 else inverse[place]
        entry[i] = place_in_list[place].reshape(n_t, n)
        cols.append(_expand(start_col, size))
        keys, sizes = parent[owner] * width + start_col, size
    ups.append(np.zeros(len(cols[-1]), dtype=np.int64))
    tptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return tptr, np.concatenate(cols), np.concatenate(ups), entry


def _expand(starts: IntArray, sizes: IntArray) -> IntArray:
    """Turn (start, size) pairs into the columns ``start, start + 1, …`` one after the other."""
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + within


def _accumulate(
    layout: _Layout,
    columns: Sequence[FloatArray],
    chain: Sequence[int],
    trailing: Sequence[int],
    Y: FloatArray,
    w: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, r = Y.shape
    panels = np.zeros(int(layout.pptr[-1]))
    Qtt = np.zeros((layout.q_t, layout.q_t))
    Qtr = np.zeros((layout.q_t, r))
    Z = _side_by_side([columns[f] for f in chain], n)
    Zt = _side_by_side([columns[f] for f in trailing], n)
    xoff = (np.cumsum(layout.K) - layout.K).astype(np.int64)
    toff = (np.cumsum(layout.Kt) - layout.Kt).astype(np.int64)
    accumulate(
        layout.K, layout.node, layout.pptr, layout.width, layout.entry, layout.tcode, layout.Kt,
        xoff, toff, Z, Zt, np.ascontiguousarray(Y), w, panels, Qtt, Qtr, layout.tfirst,
    )  # fmt: skip
    return panels, Qtt, Qtr


def _side_by_side(parts: Sequence[FloatArray], n: int) -> FloatArray:
    return np.ascontiguousarray(np.hstack(parts)) if parts else np.zeros((n, 0))
