"""Evaluation of large nested designs, level by level on several threads.

The coarsest factor's levels are cut into a fixed number of blocks. A block with everything nested
in it is independent of the others, so the sweeps run on one block per thread (the kernels hold no
lock), and what blocks add to S, log|M|, M and the information is summed in their order: the
result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.parameters import Plan, linear_map
from nestedmlm.likelihood.criterion import degrees, profile
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.likelihood.kernels.backward import adjoint_nodes
from nestedmlm.likelihood.kernels.criterion import assembled_information, hessian_matrix
from nestedmlm.likelihood.kernels.forward import eliminate_nodes
from nestedmlm.likelihood.kernels.solves import apply_nodes, reduce_nodes, solve_nodes
from nestedmlm.optimum.curvature import Curvature, free_entries, variates
from nestedmlm.optimum.evaluation import Evaluation, compiled_route
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.kernels.common import block_total, twice_products
from nestedmlm.statistics.layout import Tree

BLOCKS = 16
LARGE = 20_000  # nodes from which handing blocks to threads costs less than it saves

Block = tuple[IntArray, IntArray]


def node_blocks(stats: CrossProducts, count: int = BLOCKS) -> list[Block]:
    """Cut the nodes into blocks that hold all descendants of their coarsest levels.

    Returns
    -------
    list of (begin, end)
        First node and end of each factor's nodes; (m,) arrays.
    """
    first, m = stats.tree.first, len(stats.tree.K)
    cuts = np.empty((count + 1, m), dtype=np.int64)
    cuts[:, -1] = np.linspace(first[m - 1], first[m], count + 1).round().astype(np.int64)
    for i in range(m - 2, -1, -1):  # siblings are adjacent: children of a range are a range
        parents = stats.tree.parent[first[i] : first[i + 1]]
        cuts[:, i] = first[i] + np.searchsorted(parents, cuts[:, i + 1])
    return [(cuts[b].copy(), cuts[b + 1].copy()) for b in range(count)]


def large_blocks(plan: Plan, stats: CrossProducts) -> list[Block] | None:
    """Blocks of a design that is worth several threads; None for others."""
    if not compiled_route(plan, stats) or len(stats.tree.parent) < LARGE:
        return None
    return node_blocks(stats)


def _on_blocks(work: Callable[[IntArray, IntArray], FloatArray], blocks: list[Block]) -> FloatArray:
    """Sum of what `work` returns for each block, in the order of the blocks."""
    threads = min(numba.get_num_threads(), len(blocks))
    if threads == 1:
        parts = [work(*block) for block in blocks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(work, *zip(*blocks, strict=True)))
    total, *others = parts
    for part in others:
        total = total + part
    return total


def evaluate_blocks(
    phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool, blocks: list[Block]
) -> Evaluation:
    """Evaluate the criterion and its gradient; see `nestedmlm.optimum.evaluation.evaluate`."""
    df, reml, constant = degrees(stats, REML)
    tree, r = stats.tree, len(stats.sums.F)
    B = linear_map(plan)
    T, panels = B @ phi, stats.sums.panels.copy()
    G = np.empty(block_total(stats.tree.K, stats.tree.first))
    none, none_r = np.empty((0, 0)), np.empty((0, r))

    def eliminate(begin: IntArray, end: IntArray) -> FloatArray:
        out = np.zeros(1 + r * r)
        S = out[1:].reshape(r, r)
        out[0] = eliminate_nodes(tree, begin, end, r, T, panels, none, none_r, S, G)
        return out

    swept = _on_blocks(eliminate, blocks)
    logdet, S = float(swept[0]), stats.sums.F + swept[1:].reshape(r, r)
    log_sxx, r2, v, inverse = profile(S)
    S_bar = reml * inverse + np.outer(v, v) * (df / r2)
    adj = np.zeros(len(panels) - int(stats.tree.pptr[stats.tree.first[1]]))

    def pull_back(begin: IntArray, end: IntArray) -> FloatArray:
        M = np.zeros(len(T))
        adjoint_nodes(
            tree, begin, end, r, panels, G, 1.0, S_bar, none, none_r, M, np.empty(0), adj
        )  # fmt: skip
        return M

    M = _on_blocks(pull_back, blocks)
    return Evaluation(
        phi=phi,
        criterion=logdet + reml * log_sxx + df * float(np.log(r2)) + constant,
        gradient=B.T @ twice_products(stats.tree.K, M, T),
        T=T,
        M=M,
        r2=r2,
        v=v,
        S_inverse=inverse,
        state=Eliminated(logdet=logdet, S=S, panels=panels, G=G, Qtt=none, Qtr=none_r, Gtt=none),
    )


def curvature_blocks(
    ev: Evaluation, plan: Plan, stats: CrossProducts, df: float, blocks: list[Block]
) -> Curvature:
    """Second-order information; see `nestedmlm.optimum.curvature.curvature`."""
    tree, r, n = stats.tree, len(ev.v), len(free_entries(plan).pairs)
    q = int(np.sum(tree.K * np.diff(tree.first)))
    panels, G = ev.state.panels, ev.state.G
    b, B, none_r, none = np.empty((q, r)), np.empty((q, r)), np.empty((0, r)), np.empty((0, n))

    def solve(begin: IntArray, end: IntArray) -> FloatArray:
        solve_nodes(tree, begin, end, r, panels, G, none_r, b, B)
        return np.zeros(0)

    _on_blocks(solve, blocks)
    w = B @ ev.v
    F, R = variates(w, plan, stats), np.zeros((q, n))

    def reduce(begin: IntArray, end: IntArray) -> FloatArray:
        apply_nodes(tree, begin, end, r, stats.sums.panels, F, none, R, none)
        gram = np.zeros((n, n))
        for low, high in _rows(tree, begin, end):
            gram += F[low:high].T @ R[low:high]
        reduce_nodes(tree, begin, end, r, panels, G, R, none, gram)
        return gram

    information = assembled_information(
        _on_blocks(reduce, blocks), B.T @ F, F.T @ w, ev.S_inverse, ev.r2, df
    )
    pairs = free_entries(plan).array
    hessian = hessian_matrix(stats.tree.K, linear_map(plan), ev.T, ev.M, information, pairs)
    return Curvature(hessian=hessian, information=information)


def _rows(tree: Tree, begin: IntArray, end: IntArray) -> list[tuple[int, int]]:
    """Rows of a block's nodes among coefficients stacked in node order."""
    sizes = tree.K * np.diff(tree.first)
    starts = np.cumsum(sizes) - sizes
    low = starts + tree.K * (begin - tree.first[:-1])
    high = starts + tree.K * (end - tree.first[:-1])
    return list(zip(low.tolist(), high.tolist(), strict=True))
