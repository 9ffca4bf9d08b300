"""What the sweeps share: compiler settings and walking the chain."""

from __future__ import annotations

import numpy as np
from numba import njit

from nestedmlm.statistics.kernels import compilation_notice  # noqa: F401 - listens to Numba from here on

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
INLINE = {**JIT, "forceinline": True}  # parts of one loop: a call would pass dozens of words
BLAS = 48  # from this many columns on, a matrix product is worth its call


@njit(**JIT)
def columns_above(K, i):
    """Columns of all ancestors of a node of factor i."""
    total = 0
    for j in range(i + 1, K.shape[0]):
        total += K[j]
    return total


@njit(**JIT)
def most_columns(K):
    """Largest number of columns of a factor."""
    most = 1
    for k in K:
        most = max(most, k)
    return most


@njit(**JIT)
def widest(K, tptr, r):
    """Bound on the width of what a node shares with the rest."""
    most = 0
    for g in range(tptr.shape[0] - 1):
        most = max(most, tptr[g + 1] - tptr[g])
    return most + most_columns(K) * K.shape[0] + r


@njit(**JIT)
def row_starts(K, first):
    """First row of each factor where coefficients are stacked in node order, and their total."""
    m = K.shape[0]
    out = np.zeros(m + 1, np.int64)
    for i in range(m):
        out[i + 1] = out[i] + K[i] * (first[i + 1] - first[i])
    return out


@njit(**JIT)
def block_total(K, first):
    """Numbers in the (k, k) blocks of all nodes."""
    total = 0
    for i in range(K.shape[0]):
        total += K[i] * K[i] * (first[i + 1] - first[i])
    return total


@njit(**JIT)
def twice_products(K, M, T):
    """``2 M_f T_f`` of each factor, flat: the adjoint of T where M is that of ``T T'``."""
    out = np.empty_like(T)
    at = 0
    for k in K:
        for a in range(k):
            for b in range(k):
                s = 0.0
                for c in range(k):
                    s += M[at + a * k + c] * T[at + c * k + b]
                out[at + a * k + b] = 2.0 * s
        at += k * k
    return out


@njit(**INLINE)
def place_in(anc, g, e, parent, tptr, tpos):
    """Place in an ancestor's list of trailing columns of entry `e` of node g's list."""
    place = tpos[tptr[g] + e]
    node = parent[g]
    while node != anc:
        place = tpos[tptr[node] + place]
        node = parent[node]
    return place
