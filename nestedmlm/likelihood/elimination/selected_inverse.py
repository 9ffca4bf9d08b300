"""``Lambda M^-1 Lambda'`` on the pattern of the panels: one more sweep down the chain.

It is the derivative of log|M| in ``Z'WZ``, entry by entry, and holds each row's variance of the
linear predictor given the data, ``z'P z``. The finest factor's part is what
`nestedmlm.likelihood.elimination.sweeps.go_down` does not need.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.entries import (
    own_crossed,
    sandwich,
    with_own_inverse_crossed,
)
from nestedmlm.likelihood.elimination.primitives import (
    add_scaled,
    add_taken,
    copy,
    fill,
    of_parents,
)
from nestedmlm.likelihood.elimination.sweeps import lower_times, with_own_inverse


def select_inverse(s: Any, parent: Any, N: Any, H: Any, out: Any) -> None:
    """Fill the selected inverse of a block, coarsest factor first.

    Parameters
    ----------
    s, parent, N, H
        As for `nestedmlm.likelihood.elimination.sweeps.go_down`.
    out : array
        Is filled: the panels' pattern without right-hand sides, (k, k + A, J) factor after factor.
    """
    m, r, high = s.K.shape[0], s.r, out.shape[0]
    inverse = np.zeros((0, 0, s.J[m - 1]))
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        low = high - k * (k + anc) * levels
        Y, V = np.empty((k, anc, levels)), np.empty((k, anc, levels))
        lower_times(n, h[:, :anc], Y)
        for a in range(k):
            fill(V[a], 0.0)
            for x in range(anc):
                add_scaled(V[a], Y[a, x], inverse[x])
        whole = with_own_inverse(n, Y, V, inverse)
        mine = out[low:high].reshape(k, k + anc, levels)
        for a in range(k):
            copy(mine[a], whole[a])
        high = low
        if i > 0:
            inverse = of_parents(whole, parent[s.level[i - 1] : s.level[i]])


def select_inverse_crossed(
    s: Any, e: Any, parent: Any, N: Any, H: Any, Hc: Any, Gtt: Any, out: Any, out_c: Any
) -> None:
    """Fill the selected inverse of a chain beside a dense block.

    Parameters
    ----------
    s, e, parent, N, H, Hc, Gtt
        As for `nestedmlm.likelihood.elimination.entries.go_down_crossed`.
    out, out_c : arrays
        Are filled: as of `select_inverse`, and the crossed parts, (k, E) factor after factor.
    """
    m, r, high = s.K.shape[0], s.r, out.shape[0]
    inverse = np.zeros((0, 0, s.J[m - 1]))
    inverse_c = np.zeros((0, e.first[m] - e.first[m - 1]))
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        count = e.first[i + 1] - e.first[i]
        node, col = e.node[e.first[i] : e.first[i + 1]], e.col[e.first[i] : e.first[i + 1]]
        ptr = e.ptr[s.level[i] + i : s.level[i + 1] + i + 1]
        hc = Hc[e.value[i] : e.value[i + 1]].reshape(k, count)
        low = high - k * (k + anc) * levels
        Y, V = np.empty((k, anc, levels)), np.empty((k, anc, levels))
        Yc, Vc = np.empty((k, count)), np.empty((k, count))
        lower_times(n, h[:, :anc], Y)
        for a in range(k):
            fill(Yc[a], 0.0)
            for c in range(a + 1):
                add_taken(Yc[a], n[c, a], node, hc[c])
        sandwich(Y, Yc, inverse, inverse_c, Gtt, node, ptr, col, V, Vc)
        whole = with_own_inverse_crossed(n, Y, Yc, V, Vc, inverse, ptr)
        whole_c = own_crossed(Vc, inverse_c)
        mine = out[low:high].reshape(k, k + anc, levels)
        mine_c = out_c[e.value[i] : e.value[i + 1]].reshape(k, count)
        for a in range(k):
            copy(mine[a], whole[a])
            copy(mine_c[a], whole_c[a])
        high = low
        if i > 0:
            inverse = of_parents(whole, parent[s.level[i - 1] : s.level[i]])
            inverse_c = of_parents(whole_c, e.up[e.first[i - 1] : e.first[i]])
