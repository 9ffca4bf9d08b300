"""Building the crossproducts: one pass over the rows."""

from __future__ import annotations

from numba import njit

from nestedmlm.statistics.kernels.common import JIT, columns_above


@njit(**JIT)
def mirror_lower(A):
    """Copy the lower triangle of a square matrix onto its upper one, tile by tile."""
    n, tile = A.shape[0], 64
    for i0 in range(0, n, tile):
        for j0 in range(0, i0 + 1, tile):
            for i in range(i0, min(i0 + tile, n)):
                for j in range(j0, min(j0 + tile, i)):
                    A[j, i] = A[i, j]


@njit(**JIT)
def nesting(child, parent_codes, out):
    """Write the parent of each child level; return False where a level has two parents."""
    for row in range(child.shape[0]):
        c = child[row]
        p = parent_codes[row]
        if out[c] < 0:
            out[c] = p
        elif out[c] != p:
            return False
    return True


@njit(**JIT)
def accumulate(
    K, node, pptr, width, entry, tcode, Kt, xoff, toff, Z, Zt, Y, w, panels, Qtt, Qtr, tfirst
):
    """One pass over the rows: sums of weighted products into panels and trailing block.

    Parameters
    ----------
    node : (m, n) node of each chain factor for each row.
    width : (N,) row stride of each node's panel.
    entry : (m, n_t, n) column (in the panel, counted from the first trailing one) at which the
        row's level of each trailing factor starts.
    tcode : (n_t, n) level of each trailing factor.
    xoff, toff : first column of each chain factor in `Z`, of each trailing factor in `Zt`.
    Z, Zt : (n, sum of K) random-effect columns; Y : (n, r) right-hand sides; w : (n,) weights.
    tfirst : first column of each trailing factor in the dense block.
    """
    m = K.shape[0]
    n_t = Kt.shape[0]
    n, r = Y.shape
    for row in range(n):
        wt = w[row]
        for i in range(m):
            g = node[i, row]
            k = K[i]
            wd = width[g]
            A = columns_above(K, i)
            for a in range(k):
                v = wt * Z[row, xoff[i] + a]
                if v == 0.0:
                    continue
                base = pptr[g] + a * wd
                for c in range(k + A):  # own block and ancestors: adjacent columns of Z
                    panels[base + c] += v * Z[row, xoff[i] + c]
                for t in range(n_t):
                    q = base + k + A + entry[i, t, row]
                    for c in range(Kt[t]):
                        panels[q + c] += v * Zt[row, toff[t] + c]
                q = base + wd - r
                for c in range(r):
                    panels[q + c] += v * Y[row, c]
        for s in range(n_t):
            qs = tfirst[s] + tcode[s, row] * Kt[s]
            for a in range(Kt[s]):
                v = wt * Zt[row, toff[s] + a]
                if v == 0.0:
                    continue
                for t in range(n_t):
                    qt = tfirst[t] + tcode[t, row] * Kt[t]
                    for c in range(Kt[t]):
                        Qtt[qs + a, qt + c] += v * Zt[row, toff[t] + c]
                for c in range(r):
                    Qtr[qs + a, c] += v * Y[row, c]
