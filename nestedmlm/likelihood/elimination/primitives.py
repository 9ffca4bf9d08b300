"""Vector operations of the sweeps, over lanes; each has a loop twin in `compiled`.

`out` and `x` are ``(J,)`` or ``(w, J)`` with the levels last; `s` is a number, or a number for each
level, ``(J,)``. Sweeps use these and nothing else on vectors: an expression like ``a += b * c``
would make Numba compile each occurrence anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def scale(out: Any, s: Any, x: Any) -> None:
    """``out = s x``."""
    np.multiply(s, x, out=out)


def add_scaled(out: Any, s: Any, x: Any) -> None:
    """``out += s x``."""
    out += s * x


def subtract_scaled(out: Any, s: Any, x: Any) -> None:
    """``out -= s x``."""
    out -= s * x


def copy(out: Any, x: Any) -> None:
    """``out = x``."""
    out[...] = x


def add(out: Any, x: Any) -> None:
    """``out += x``."""
    out += x


def subtract(out: Any, x: Any) -> None:
    """``out -= x``."""
    out -= x


def fill(out: Any, number: float) -> None:
    """``out = number`` for every level."""
    out[...] = number


def invert_root(x: Any) -> None:
    """``x = 1 / sqrt(x)``."""
    np.sqrt(x, out=x)
    np.divide(1.0, x, out=x)


def sum_children(X: Any, starts: Any) -> Any:
    """Sums over the children of each parent: ``(a, b, J)`` to ``(a, b, J of the parents)``."""
    return np.add.reduceat(X, starts, axis=-1)


def of_parents(X: Any, parent: Any) -> Any:
    """Each child's own copy of what its parent holds."""
    return X.take(parent, axis=-1)


def add_products(out: Any, sign: float, X: Any, Y: Any) -> None:
    """``out += sign X Y'``, summed over the levels: ``(a, J), (b, J)`` to ``(a, b)``."""
    out += sign * (X @ Y.T)


def total(x: Any) -> float:
    """Sum over the levels."""
    return float(x.sum())


def log_total(x: Any) -> float:
    """Sum of logarithms over the levels; NaN where one is not positive."""
    return float(np.log(x).sum())


# --- entries: x and y (E,) are per entry, s (J,) per level, `node` is the entry's level ----------


def take(out: Any, x: Any, index: Any) -> None:
    """``out = x[index]``."""
    np.take(x, index, out=out)


def add_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out += s[node] x``."""
    out += s[node] * x


def subtract_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out -= s[node] x``."""
    out -= s[node] * x


def subtract_by_node(out: Any, x: Any, y: Any, ptr: Any) -> None:
    """``out -= sum of x y`` over each level's entries (one at least)."""
    out -= np.add.reduceat(x * y, ptr[:-1])


def add_by_node(out: Any, x: Any, y: Any, ptr: Any) -> None:
    """``out += sum of x y`` over each level's entries (one at least)."""
    out += np.add.reduceat(x * y, ptr[:-1])


def subtract_at(out: Any, index: Any, x: Any) -> None:
    """``out[index] -= x``, places that occur several times included."""
    out -= np.bincount(index, weights=x, minlength=out.shape[0])


def subtract_pairs(out: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out[col[e], col[c]] -= x[e] x[c]`` for all pairs e >= c of entries of one level."""
    size = out.shape[0]
    if len(x) == (len(ptr) - 1) * size:  # every level meets every column
        X = x.reshape(-1, size)
        out -= np.tril(X.T @ X)
        return
    for left, right in _pairs(ptr):
        keep = left >= right
        left, right = left[keep], right[keep]
        places = col[left] * size + col[right]
        sums = np.bincount(places, weights=x[left] * x[right], minlength=size * size)
        out -= sums.reshape(size, size)


def times_block(out: Any, x: Any, G: Any, ptr: Any, col: Any) -> None:
    """``out[e] = sum of x[c] G[col[c], col[e]]`` over the entries c of the same level."""
    if len(x) == (len(ptr) - 1) * len(G):  # every level meets every column
        np.matmul(x.reshape(-1, len(G)), G, out=out.reshape(-1, len(G)))
        return
    for left, right in _pairs(ptr):
        first, last = left[0], left[-1] + 1
        products = x[right] * G[col[right], col[left]]
        out[first:last] = np.bincount(left - first, weights=products, minlength=last - first)


def _pairs(ptr: Any, most: int = 2_000_000) -> Any:
    """All ordered pairs of entries of one level, at most about `most` at a time."""
    counts = np.diff(ptr)
    done = np.concatenate([[0], np.cumsum(counts * counts)])
    low = 0
    while low < len(counts):
        high = max(low + 1, int(np.searchsorted(done, done[low] + most, side="right")) - 1)
        partners = np.repeat(counts[low:high], counts[low:high])
        left = np.repeat(np.arange(ptr[low], ptr[high]), partners)
        begin = np.repeat(np.repeat(ptr[low:high], counts[low:high]), partners)
        offset = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
        yield left, begin + offset
        low = high
