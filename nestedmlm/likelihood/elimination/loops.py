"""Loops of the primitives, for Numba: by number of dimensions (1, 2), `s` a number or per level.

Each is what the function of its name in `primitives` does; `compiled` chooses among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.primitives import is_full


def _scale_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = s * x[j]


def _scale_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = s[j] * x[j]


def _scale_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = s * x[c, j]


def _scale_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = s[j] * x[c, j]


def _add_scaled_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += s * x[j]


def _add_scaled_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += s[j] * x[j]


def _add_scaled_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += s * x[c, j]


def _add_scaled_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += s[j] * x[c, j]


def _subtract_scaled_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= s * x[j]


def _subtract_scaled_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= s[j] * x[j]


def _subtract_scaled_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= s * x[c, j]


def _subtract_scaled_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= s[j] * x[c, j]


def _copy_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = x[j]


def _copy_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = x[c, j]


def _add_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += x[j]


def _add_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += x[c, j]


def _subtract_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= x[j]


def _subtract_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= x[c, j]


def _fill_1(out: Any, number: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = number


def _fill_2(out: Any, number: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = number


def _of_parents_2(X: Any, parent: Any) -> Any:
    out = np.empty((X.shape[0], parent.shape[0]))
    for a in range(X.shape[0]):
        for j in range(parent.shape[0]):
            out[a, j] = X[a, parent[j]]
    return out


def _of_parents_3(X: Any, parent: Any) -> Any:
    out = np.empty((X.shape[0], X.shape[1], parent.shape[0]))
    for a in range(X.shape[0]):
        for b in range(X.shape[1]):
            for j in range(parent.shape[0]):
                out[a, b, j] = X[a, b, parent[j]]
    return out


def invert_root(x: Any) -> None:
    """``x = 1 / sqrt(x)``."""
    for j in range(x.shape[0]):
        x[j] = 1.0 / math.sqrt(x[j])


def sum_children(X: Any, starts: Any) -> Any:
    """Sums over the children of each parent."""
    count, levels = starts.shape[0], X.shape[2]
    out = np.empty((X.shape[0], X.shape[1], count))
    for a in range(X.shape[0]):
        for b in range(X.shape[1]):
            for g in range(count):
                end = starts[g + 1] if g + 1 < count else levels
                s = 0.0
                for j in range(starts[g], end):
                    s += X[a, b, j]
                out[a, b, g] = s
    return out


def dot(x: Any, y: Any) -> float:
    """Sum of products."""
    s = 0.0
    for j in range(x.shape[0]):
        s += x[j] * y[j]
    return s


def add_products(out: Any, sign: float, X: Any, Y: Any) -> None:
    """``out += sign X Y'``."""
    for a in range(X.shape[0]):
        for b in range(Y.shape[0]):
            out[a, b] += sign * dot(X[a], Y[b])


def total(x: Any) -> float:
    """Sum over the levels."""
    s = 0.0
    for j in range(x.shape[0]):
        s += x[j]
    return s


def log_total(x: Any) -> float:
    """Sum of logarithms: factors are multiplied while the product is far from overflow."""
    s, product = 0.0, 1.0
    for j in range(x.shape[0]):
        if not 1e-100 < x[j] < 1e100:
            s += math.log(x[j]) if x[j] > 0.0 else np.nan
            continue
        product *= x[j]
        if not 1e-150 < product < 1e150:
            s += math.log(product)
            product = 1.0
    return s + math.log(product)


def add_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out += s[node] x``."""
    for e in range(out.shape[0]):
        out[e] += s[node[e]] * x[e]


def subtract_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out -= s[node] x``."""
    for e in range(out.shape[0]):
        out[e] -= s[node[e]] * x[e]


def add_by_node(out: Any, sign: float, x: Any, y: Any, ptr: Any) -> None:
    """``out += sign x y`` summed over each level's entries."""
    for g in range(out.shape[0]):
        s = 0.0
        for e in range(ptr[g], ptr[g + 1]):
            s += x[e] * y[e]
        out[g] += sign * s


def subtract_at(out: Any, index: Any, x: Any) -> None:
    """``out[index] -= x``."""
    for e in range(x.shape[0]):
        out[index[e]] -= x[e]


def subtract_gram(out: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out -= X' X`` summed over the rows; of `out` the lower triangle counts."""
    size = out.shape[0]
    if is_full(ptr[-1], ptr.shape[0] - 1, size):
        X = spread(x, ptr, col, size)
        out -= np.dot(X.T, X)
        return
    for g in range(ptr.shape[0] - 1):
        low, high = ptr[g], ptr[g + 1]
        for a in range(x.shape[0]):
            for e in range(low, high):
                row, s = out[col[e]], x[a, e]
                for c in range(low, e + 1):
                    row[col[c]] -= s * x[a, c]


def times_block(out: Any, x: Any, G: Any, ptr: Any, col: Any) -> None:
    """``out = X G`` at the entries, row by row."""
    size, levels = G.shape[0], ptr.shape[0] - 1
    if is_full(ptr[-1], ptr.shape[0] - 1, size):
        product = np.dot(spread(x, ptr, col, size), G)
        for a in range(x.shape[0]):
            for g in range(levels):
                row = product[a * levels + g]
                for e in range(ptr[g], ptr[g + 1]):
                    out[a, e] = row[col[e]]
        return
    for a in range(x.shape[0]):
        for g in range(levels):
            low, high = ptr[g], ptr[g + 1]
            for e in range(low, high):
                row, s = G[col[e]], 0.0  # G is symmetric
                for c in range(low, high):
                    s += x[a, c] * row[col[c]]
                out[a, e] = s


def add_by_column(out: Any, sign: float, s: Any, x: Any, node: Any, ptr: Any, col: Any) -> None:
    """``out += sign s X`` summed over the rows."""
    size, levels = out.shape[1], ptr.shape[0] - 1
    if is_full(ptr[-1], ptr.shape[0] - 1, size):
        X = spread(x, ptr, col, size)
        for a in range(x.shape[0]):
            left = np.ascontiguousarray(s[a])
            out += sign * np.dot(left, X[a * levels : (a + 1) * levels])
        return
    for a in range(x.shape[0]):
        for w in range(out.shape[0]):
            row, values = out[w], s[a, w]
            for e in range(x.shape[1]):
                row[col[e]] += sign * values[node[e]] * x[a, e]


def add_by_level(out: Any, sign: float, F: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out += sign F X'`` row by row."""
    size, levels = F.shape[1], ptr.shape[0] - 1
    if is_full(ptr[-1], ptr.shape[0] - 1, size):
        X, left = spread(x, ptr, col, size), np.ascontiguousarray(F)
        for a in range(x.shape[0]):
            out[a] += sign * np.dot(left, X[a * levels : (a + 1) * levels].T)
        return
    for a in range(x.shape[0]):
        for w in range(F.shape[0]):
            row = F[w]
            for g in range(levels):
                t = 0.0
                for e in range(ptr[g], ptr[g + 1]):
                    t += row[col[e]] * x[a, e]
                out[a, w, g] += sign * t


def spread(x: Any, ptr: Any, col: Any, size: int) -> Any:
    """The matrices themselves, one below the other: (k J, q)."""
    levels = ptr.shape[0] - 1
    out = np.zeros((x.shape[0] * levels, size))
    for a in range(x.shape[0]):
        for g in range(levels):
            row = out[a * levels + g]
            for e in range(ptr[g], ptr[g + 1]):
                row[col[e]] = x[a, e]
    return out
