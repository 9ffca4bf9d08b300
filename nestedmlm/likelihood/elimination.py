"""The one operation everything rests on, and its exact adjoint.

Given relative covariance factors T_f, with ``V = W^{-1} + Z Lambda Lambda' Z'`` and
``M = Lambda'Z'WZ Lambda + I``,

    forward:  (T_1 … T_F)  ->  log|M|,  S = [X y]' V^{-1} [X y]
    adjoint:  (adjoint of log|M|, adjoint of S)  ->  M_f = d/d(T_f T_f'),  T_f-adjoint = 2 M_f T_f

The chain of nested factors is eliminated node by node in Numba (`nestedmlm.likelihood.kernels`);
the dense block of crossed factors is one Cholesky factorisation (LAPACK). All functions are pure:
they take `CrossProducts.arrays` and return new arrays.

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

Arrays = tuple[np.ndarray, ...]


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


def split_factors(T: FloatArray, K: IntArray, Kt: IntArray) -> tuple[FloatArray, list[FloatArray]]:
    """Split the flat vector of all T_f into the chain's part and the trailing (k, k) matrices."""
    cut = squares(K)
    parts, at = [], cut
    for k in Kt.tolist():
        parts.append(T[at : at + k * k].reshape(k, k))
        at += k * k
    return T[:cut], parts


def forward(T: FloatArray, arrays: Arrays) -> Eliminated:
    """Eliminate the random effects at relative factors `T`.

    Parameters
    ----------
    T : (sum of K_f^2,) array
        Row-major relative factors one after the other, in elimination order, scaled columns.
    arrays : tuple
        `CrossProducts.arrays`.
    """
    K, first, _, _, _, _, tpos, Kt, _, panels0, Qtt0, Qtr0, F = arrays
    panels, S = panels0.copy(), F.copy()
    T_chain, T_trailing = split_factors(T, K, Kt)
    G = np.empty(_rows(K * K, first))
    Qtt, Qtr = Qtt0.copy(), Qtr0.copy()
    logdet = eliminate_nodes(*tree(arrays), tpos, F.shape[0], T_chain, panels, Qtt, Qtr, S, G)
    if len(Kt) == 0:
        return Eliminated(logdet=logdet, S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Qtt)
    logdet_t, Gtt = trailing.eliminate(Qtt, T_trailing, trailing.spans(arrays))
    S -= Qtr.T @ (Gtt @ Qtr)
    return Eliminated(logdet=logdet + logdet_t, S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Gtt)


def adjoint(
    T: FloatArray, arrays: Arrays, state: Eliminated, l_bar: float, S_bar: FloatArray
) -> FloatArray:
    """Pull the adjoints of ``log|M|`` and ``S`` back to each ``T_f T_f'``.

    Parameters
    ----------
    T, arrays, state
        The factors, `CrossProducts.arrays`, and what `forward` made of them.
    l_bar, S_bar : float, (p+1, p+1) array
        Adjoints of ``log|M|`` and S.

    Returns
    -------
    (sum of K_f^2,) array
        The symmetric matrices M_f, flat, in elimination order; the adjoint of T_f is
        ``2 M_f T_f``.
    """
    return _adjoint(T, arrays, state, l_bar, S_bar, np.empty(0))[0]


def level_information(
    T: FloatArray, arrays: Arrays, state: Eliminated
) -> tuple[FloatArray, list[FloatArray]]:
    """Return ``Z_g' V^{-1} Z_g`` of every node of the chain (flat) and of the trailing levels."""
    r = arrays[12].shape[0]
    blocks = np.empty(len(state.G))
    _, information = _adjoint(T, arrays, state, 1.0, np.zeros((r, r)), blocks)
    return blocks, information


def solve(arrays: Arrays, state: Eliminated) -> tuple[FloatArray, FloatArray]:
    """Solve for the random effects of every right-hand side.

    Returns
    -------
    b, B : (q, p+1) arrays
        ``G Z'V^{-1}[X y]`` (generalised least-squares predictors of b for each column) and
        ``Z'V^{-1}[X y]``; rows in elimination order: nodes of the chain, then trailing columns.
    """
    K, first = arrays[:2]
    r = arrays[12].shape[0]
    q = _rows(K, first)
    b, B = np.empty((q, r)), np.empty((q, r))
    bt = state.Gtt @ state.Qtr
    solve_nodes(*tree(arrays), r, state.panels, state.G, bt, b, B)
    if len(arrays[7]) == 0:
        return b, B
    return np.vstack([b, bt]), np.vstack([B, state.Qtr - state.Qtt @ bt])


def gram(arrays: Arrays, state: Eliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)`` for coefficient vectors `F` (q, m) in elimination order."""
    K, first = arrays[:2]
    panels0, Qtt0 = arrays[9], arrays[10]
    r, m = arrays[12].shape[0], F.shape[1]
    cut = _rows(K, first)
    R, R_t = np.zeros((cut, m)), Qtt0 @ F[cut:]
    Fc, Ft = np.ascontiguousarray(F[:cut]), np.ascontiguousarray(F[cut:])
    apply_nodes(*tree(arrays), r, panels0, Fc, Ft, R, R_t)
    out: FloatArray = Fc.T @ R + Ft.T @ R_t
    reduce_nodes(*tree(arrays), r, state.panels, state.G, R, R_t, out)
    if len(arrays[7]):
        out -= R_t.T @ (state.Gtt @ R_t)
    return 0.5 * (out + out.T)


def _adjoint(
    T: FloatArray,
    arrays: Arrays,
    state: Eliminated,
    l_bar: float,
    S_bar: FloatArray,
    blocks: FloatArray,
) -> tuple[FloatArray, list[FloatArray]]:
    """Return M and the trailing levels' ``Z'V^{-1}Z``; fill `blocks` unless it is empty."""
    K, first, _, pptr, _, _, tpos, Kt = arrays[:8]
    r = arrays[12].shape[0]
    S_bar = 0.5 * (S_bar + S_bar.T)
    M = np.zeros(squares(K) + squares(Kt))
    Qtt_bar, Qtr_bar, information = state.Qtt, state.Qtr, []
    if len(Kt):
        where = trailing.spans(arrays)
        b = state.Gtt @ state.Qtr
        bS = b @ S_bar
        Qtt_bar = bS @ b.T
        Qtt_bar += l_bar * state.Gtt
        Qtr_bar = -bS
        B = state.Qtr - state.Qtt @ b
        factors = split_factors(T, K, Kt)[1]
        information = trailing.information(state.Qtt, state.Gtt, factors, where)
        at = squares(K)
        for A, (k, start, end) in zip(information, where, strict=True):
            own = B[start:end].reshape(-1, k, r)
            outer = np.einsum("jar,rs,jbs->ab", own, S_bar, own, optimize=True)
            M[at : at + k * k] = (l_bar * A.sum(axis=0) - outer).ravel()
            at += k * k
    adjoint_nodes(
        *tree(arrays), tpos, r, state.panels, state.G, float(l_bar), S_bar, Qtt_bar, Qtr_bar, M,
        blocks, np.zeros(len(state.panels) - int(pptr[first[1]])),
    )  # fmt: skip
    return M, information


def tree(arrays: Arrays) -> tuple[np.ndarray, ...]:
    """Structure of the chain as the sweeps take it, for all of its nodes."""
    K, first, parent, pptr, tptr, tcol = arrays[:6]
    return K, first, first[:-1], first[1:], parent, pptr, tptr, tcol


def squares(K: IntArray) -> int:
    """Sum of squares of a few small integers (plain Python: NumPy's overhead shows here)."""
    return sum(k * k for k in K.tolist())


def _rows(per_node: IntArray, first: IntArray) -> int:
    """Total over the nodes of a number that depends on the factor only."""
    ends: list[int] = first.tolist()
    pairs = zip(per_node.tolist(), ends, ends[1:], strict=False)
    return sum(k * (end - start) for k, start, end in pairs)
