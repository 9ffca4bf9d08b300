"""Products of working variates, for the average information: `Variates` of the exact visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.speed import on_blocks, sweeps
from nestedmlm.likelihood.elimination.visit import Eliminated, Half
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variates:
    """Products of working variates F: ``F'V^-1F``, ``F'V^-1[X y]`` and ``F'e``."""

    gram: FloatArray
    BF: FloatArray
    Fe: FloatArray


def working_variates(
    stats: CrossProducts, e: Eliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """Exact `nestedmlm.likelihood.elimination.working_variates`."""
    form = _nested_variates if stats.crossed is None else _crossed_variates
    with np.errstate(all="ignore"):
        return form(stats, e, v, entries)


def _nested_variates(
    stats: CrossProducts, e: Eliminated, v: FloatArray, entries: IntArray
) -> Variates:
    run, n = sweeps(stats), len(entries)

    def visit(block: Block, half: Half) -> tuple[FloatArray, FloatArray, FloatArray]:
        s = block.shape
        gram, BF, Fe, W = np.zeros((n, n)), np.zeros((n, s.r)), np.zeros(n), np.empty(s.wide[-1])
        run.residual_scores(s, block.parent, v, half.B, W)
        run.add_information(
            s, block.starts, entries, block.panels, half.N, half.H, half.B, W, gram, BF, Fe
        )
        return gram, BF, Fe

    gram, BF, Fe = (sum(p) for p in zip(*on_blocks(visit, stats.blocks, e.chain), strict=True))
    return Variates(gram=gram + gram.T, BF=BF, Fe=Fe)


def _crossed_variates(
    stats: CrossProducts, e: Eliminated, v: FloatArray, entries: IntArray
) -> Variates:
    run, crossed, dense = sweeps(stats), stats.crossed, e.dense
    assert crossed is not None
    assert dense is not None
    n, m = len(entries), len(stats.order.chain)
    own = entries[entries[:, 0] < m]
    gram, BF, Fe = np.zeros((n, n)), np.zeros((n, len(v))), np.zeros(n)
    w, Ft = dense.B @ v, np.zeros((n, len(dense.Q)))
    for q in range(len(own), n):
        f, a, b = entries[q].tolist()
        part = crossed.parts[f - m]
        Ft[q, part.column(a)] = w[part.column(b)]
        Ft[q, part.column(b)] = w[part.column(a)]
    BF[len(own) :] = Ft[len(own) :] @ dense.B
    Fe[len(own) :] = Ft[len(own) :] @ w
    Rt = np.zeros_like(Ft)
    for block, half in zip(stats.blocks, e.chain, strict=True):
        s, W = block.shape, np.empty(block.shape.wide[-1])
        run.residual_scores(s, block.parent, v, half.B, W)
        run.add_information_crossed(
            s, crossed.entries, block.starts, own, block.panels, crossed.values, half.N, half.H,
            half.Hc, half.B, W, Ft, gram, BF, Fe, Rt,
        )  # fmt: skip
    FQ = Ft @ crossed.Q
    Rt += FQ
    gram = gram + gram.T + Ft @ FQ.T - Rt @ dense.G @ Rt.T
    return Variates(gram=0.5 * (gram + gram.T), BF=BF, Fe=Fe)
