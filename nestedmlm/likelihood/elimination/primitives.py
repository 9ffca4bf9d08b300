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


def add_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out += s[node] x``."""
    out += s[node] * x


def subtract_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out -= s[node] x``."""
    out -= s[node] * x


def add_by_node(out: Any, sign: float, x: Any, y: Any, ptr: Any) -> None:
    """``out += sign x y`` summed over each level's entries (one at least)."""
    out += sign * np.add.reduceat(x * y, ptr[:-1])


def subtract_at(out: Any, index: Any, x: Any) -> None:
    """``out[index] -= x``, places that occur several times included."""
    out -= np.bincount(index, weights=x, minlength=out.shape[0])


# --- products with what entries hold: rows x (k, E) are k sparse matrices (J, q) of one pattern ---


def subtract_gram(out: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out -= X' X`` summed over the rows; of `out`, (q, q), the lower triangle counts."""
    size = out.shape[0]
    if is_full(ptr[-1], len(ptr) - 1, size):
        X = _spread(x, ptr, col, size).reshape(-1, size)
        out -= X.T @ X
        return
    for left, right in _pairs(ptr):
        keep = left >= right
        left, right = left[keep], right[keep]
        places = col[left] * size + col[right]
        products = np.einsum("ae,ae->e", x[:, left], x[:, right])
        out -= np.bincount(places, weights=products, minlength=size * size).reshape(size, size)


def times_block(out: Any, x: Any, G: Any, ptr: Any, col: Any) -> None:
    """``out = X G`` at the entries, row by row: `out` is (k, E), G symmetric."""
    size = len(G)
    if is_full(ptr[-1], len(ptr) - 1, size):
        product = (_spread(x, ptr, col, size).reshape(-1, size) @ G).reshape(len(x), -1)
        complete = product.shape == out.shape
        out[...] = product if complete else product[:, _places(ptr, col, size)]
        return
    for left, right in _pairs(ptr):
        if not len(left):  # rows that are in no level of the dense block
            continue
        first, last = left[0], left[-1] + 1
        block = G[col[right], col[left]]
        for row, values in zip(out, x, strict=True):
            row[first:last] = np.bincount(left - first, values[right] * block, last - first)


def add_by_column(out: Any, sign: float, s: Any, x: Any, node: Any, ptr: Any, col: Any) -> None:
    """``out += sign s X`` summed over the rows: `s` is (k, w, J) and `out` (w, q)."""
    size = out.shape[1]
    if is_full(ptr[-1], len(ptr) - 1, size):
        X = _spread(x, ptr, col, size)
        for left, right in zip(s, X, strict=True):
            out += sign * (left @ right)
        return
    for w in range(len(out)):
        products = np.einsum("ae,ae->e", s[:, w].take(node, axis=1), x)
        out[w] += sign * np.bincount(col, products, size)


def add_by_level(out: Any, sign: float, F: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out += sign F X'`` row by row: F is (w, q) and `out` (k, w, J)."""
    size = F.shape[1]
    if is_full(ptr[-1], len(ptr) - 1, size):
        out += sign * (F @ _spread(x, ptr, col, size).transpose(0, 2, 1))
        return
    met = F.take(col, axis=1)
    for mine, row in zip(out, x, strict=True):
        mine += sign * np.add.reduceat(met * row, ptr[:-1], axis=1)


def is_full(count: int, levels: int, size: int) -> bool:
    """Whether `count` entries are so many of all that products with zeros are the faster."""
    return bool(2 * count >= levels * size)


def _places(ptr: Any, col: Any, size: int) -> Any:
    """Where the entries stand in a matrix of levels times columns, flat."""
    return np.repeat(np.arange(len(ptr) - 1) * size, np.diff(ptr)) + col


def _spread(x: Any, ptr: Any, col: Any, size: int) -> Any:
    """The matrices themselves, (k, J, q)."""
    if ptr[-1] == (len(ptr) - 1) * size:
        return x.reshape(len(x), -1, size)
    out = np.zeros((len(x), (len(ptr) - 1) * size))
    out[:, _places(ptr, col, size)] = x
    return out.reshape(len(x), -1, size)


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
