"""The one operation everything rests on, and its exact adjoint.

Given relative covariance factors T_f, with ``V = W^{-1} + Z Lambda Lambda' Z'`` and
``M = Lambda'Z'WZ Lambda + I``,

    forward:  (T_1 … T_F)  ->  log|M|,  S = [X y]' V^{-1} [X y]
    adjoint:  (adjoint of log|M|, adjoint of S)  ->  M_f = d/d(T_f T_f'),  T_f-adjoint = 2 M_f T_f

The chain of nested factors is eliminated node by node in Numba (`nestedmlm.likelihood.kernels`);
the dense block of crossed factors is one Cholesky factorisation (LAPACK). All functions are pure:
they take the `Tree` and `Sums` of `CrossProducts` and return new arrays.

Notation of the source: Bates, Mächler, Bolker & Walker (2015), Journal of Statistical Software
67(1), eq. 13-42, with ``S`` the Schur complement that remains of ``[X y]'W[X y]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood import trailing
from nestedmlm.likelihood.kernels.backward import adjoint_nodes
from nestedmlm.likelihood.kernels.forward import eliminate_nodes
from nestedmlm.likelihood.kernels.solves import apply_nodes, reduce_nodes, solve_nodes
from nestedmlm.statistics.crossproducts import Sums
from nestedmlm.statistics.layout import Tree


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Eliminated:
    """What the forward sweep leaves behind.

    Attributes
    ----------
    logdet : float
        ``log|M|``.
    S : (p+1, p+1) array
        ``[X y]' V^{-1} [X y]`` in scaled columns.
    panels, G : arrays
        Schur complements of the chain at the time each node was eliminated, and the nodes' Gt.
    Qtt, Qtr : arrays
        The trailing block and its right-hand sides once the chain is gone.
    Gtt : (q_t, q_t) array
        ``Lambda_t H^{-1} Lambda_t'`` of the trailing block.
    """

    logdet: float
    S: FloatArray
    panels: FloatArray
    G: FloatArray
    Qtt: FloatArray
    Qtr: FloatArray
    Gtt: FloatArray


def split_factors(T: FloatArray, tree: Tree) -> tuple[FloatArray, list[FloatArray]]:
    """Split the flat vector of all T_f into the chain's part and the trailing (k, k) matrices."""
    cut = squares(tree.K)
    parts, at = [], cut
    for k in tree.Kt.tolist():
        parts.append(T[at : at + k * k].reshape(k, k))
        at += k * k
    return T[:cut], parts


def forward(T: FloatArray, tree: Tree, sums: Sums) -> Eliminated:
    """Eliminate the random effects at relative factors `T`.

    Parameters
    ----------
    T : (sum of K_f^2,) array
        Row-major relative factors one after the other, in elimination order, scaled columns.
    tree, sums : Tree, Sums
        Of `CrossProducts`.
    """
    panels, Qtt, Qtr, S = (array.copy() for array in sums)
    T_chain, T_trailing = split_factors(T, tree)
    G = np.empty(_rows(tree.K * tree.K, tree.first))
    begin, end = all_nodes(tree)
    logdet = eliminate_nodes(tree, begin, end, len(S), T_chain, panels, Qtt, Qtr, S, G)
    if len(tree.Kt) == 0:
        return Eliminated(logdet=logdet, S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Qtt)
    logdet_t, Gtt = trailing.eliminate(Qtt, T_trailing, trailing.spans(tree, len(Qtt)))
    S -= Qtr.T @ (Gtt @ Qtr)
    return Eliminated(logdet=logdet + logdet_t, S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Gtt)


def adjoint(
    T: FloatArray, tree: Tree, state: Eliminated, l_bar: float, S_bar: FloatArray
) -> FloatArray:
    """Pull the adjoints of ``log|M|`` and ``S`` back to each ``T_f T_f'``.

    Parameters
    ----------
    T, tree, state
        The factors, the structure, and what `forward` made of them.
    l_bar, S_bar : float, (p+1, p+1) array
        Adjoints of ``log|M|`` and S.

    Returns
    -------
    (sum of K_f^2,) array
        The symmetric matrices M_f, flat, in elimination order; the adjoint of T_f is
        ``2 M_f T_f``.
    """
    return _adjoint(T, tree, state, l_bar, S_bar, np.empty(0))[0]


def level_information(
    T: FloatArray, tree: Tree, state: Eliminated
) -> tuple[FloatArray, list[FloatArray]]:
    """Return ``Z_g' V^{-1} Z_g`` of every node of the chain (flat) and of the trailing levels."""
    blocks = np.empty(len(state.G))
    _, information = _adjoint(T, tree, state, 1.0, np.zeros_like(state.S), blocks)
    return blocks, information


def solve(tree: Tree, state: Eliminated) -> tuple[FloatArray, FloatArray]:
    """Solve for the random effects of every right-hand side.

    Returns
    -------
    b, B : (q, p+1) arrays
        ``G Z'V^{-1}[X y]`` (generalised least-squares predictors of b for each column) and
        ``Z'V^{-1}[X y]``; rows in elimination order: nodes of the chain, then trailing columns.
    """
    q, r = _rows(tree.K, tree.first), len(state.S)
    b, B = np.empty((q, r)), np.empty((q, r))
    bt = state.Gtt @ state.Qtr
    begin, end = all_nodes(tree)
    solve_nodes(tree, begin, end, r, state.panels, state.G, bt, b, B)
    if len(tree.Kt) == 0:
        return b, B
    return np.vstack([b, bt]), np.vstack([B, state.Qtr - state.Qtt @ bt])


def gram(tree: Tree, sums: Sums, state: Eliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)`` for coefficient vectors `F` (q, m) in elimination order."""
    r, m = len(state.S), F.shape[1]
    cut = _rows(tree.K, tree.first)
    R, R_t = np.zeros((cut, m)), sums.Qtt @ F[cut:]
    Fc, Ft = np.ascontiguousarray(F[:cut]), np.ascontiguousarray(F[cut:])
    begin, end = all_nodes(tree)
    apply_nodes(tree, begin, end, r, sums.panels, Fc, Ft, R, R_t)
    out: FloatArray = Fc.T @ R + Ft.T @ R_t
    reduce_nodes(tree, begin, end, r, state.panels, state.G, R, R_t, out)
    if len(tree.Kt):
        out -= R_t.T @ (state.Gtt @ R_t)
    return 0.5 * (out + out.T)


def _adjoint(
    T: FloatArray,
    tree: Tree,
    state: Eliminated,
    l_bar: float,
    S_bar: FloatArray,
    blocks: FloatArray,
) -> tuple[FloatArray, list[FloatArray]]:
    """Return M and the trailing levels' ``Z'V^{-1}Z``; fill `blocks` unless it is empty."""
    r = len(S_bar)
    S_bar = 0.5 * (S_bar + S_bar.T)
    M = np.zeros(squares(tree.K) + squares(tree.Kt))
    Qtt_bar, Qtr_bar, information = state.Qtt, state.Qtr, []
    if len(tree.Kt):
        where = trailing.spans(tree, len(state.Qtt))
        b = state.Gtt @ state.Qtr
        bS = b @ S_bar
        Qtt_bar = bS @ b.T
        Qtt_bar += l_bar * state.Gtt
        Qtr_bar = -bS
        B = state.Qtr - state.Qtt @ b
        factors = split_factors(T, tree)[1]
        information = trailing.information(state.Qtt, state.Gtt, factors, where)
        at = squares(tree.K)
        for A, (k, start, stop) in zip(information, where, strict=True):
            own = B[start:stop].reshape(-1, k, r)
            outer = np.einsum("jar,rs,jbs->ab", own, S_bar, own, optimize=True)
            M[at : at + k * k] = (l_bar * A.sum(axis=0) - outer).ravel()
            at += k * k
    begin, end = all_nodes(tree)
    adjoint_nodes(
        tree, begin, end, r, state.panels, state.G, float(l_bar), S_bar, Qtt_bar, Qtr_bar, M,
        blocks, np.zeros(len(state.panels) - int(tree.pptr[tree.first[1]])),
    )  # fmt: skip
    return M, information


def all_nodes(tree: Tree) -> tuple[IntArray, IntArray]:
    """First node and end of each chain factor's nodes, as the sweeps take them."""
    return tree.first[:-1], tree.first[1:]


def squares(K: IntArray) -> int:
    """Sum of squares of a few small integers (plain Python: NumPy's overhead shows here)."""
    return sum(k * k for k in K.tolist())


def _rows(per_node: IntArray, first: IntArray) -> int:
    """Total over the nodes of a number that depends on the factor only."""
    ends: list[int] = first.tolist()
    pairs = zip(per_node.tolist(), ends, ends[1:], strict=False)
    return sum(k * (end - start) for k, start, end in pairs)
