"""Other right-hand sides for an elimination that is done: no factorisation, a sweep up and down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.gram import apply_chain
from nestedmlm.likelihood.elimination.visit import Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts

Times = Callable[[FloatArray], FloatArray]


def solve_other(
    stats: CrossProducts, e: Eliminated, R: FloatArray, *, covariance: Times, information: Times
) -> FloatArray:
    """``Z'V^-1 x`` of other x at the factors and weights of an elimination.

    Beside a dense block, with ``V = V_c + Z_t G_t Z_t'`` and V_c that of the chain, the crossed
    effects are those of what the chain leaves, and the chain solves for what they leave.

    Parameters
    ----------
    stats, e : CrossProducts, Eliminated
        The elimination, exact.
    R : (q,) array
        ``Z'x``, in elimination order.
    covariance, information : functions of a (q,) array
        Products with ``Lambda Lambda'`` and with ``Z'WZ``; only crossed factors ask for them.

    Returns
    -------
    (q,) array
    """
    if e.dense is None:
        return _through_chain(stats, e, R)
    chain = stats.chain_effects
    own = np.zeros(len(R))
    own[:chain] = _through_chain(stats, e, R[:chain])
    left = R[chain:] - information(covariance(own))[chain:]
    effects = np.zeros(len(R))
    effects[chain:] = e.dense.G @ left
    own[:chain] -= _through_chain(stats, e, information(effects)[:chain])
    own[chain:] = left - e.dense.Q @ effects[chain:]
    return own


def solve_combination(stats: CrossProducts, e: Eliminated, v: FloatArray) -> FloatArray:
    """``Z'V^-1 x``, (q,), of the combination x of the first right-hand sides with coefficients v.

    Parameters
    ----------
    stats, e : CrossProducts, Eliminated
        The elimination, exact.
    v : (m,) array
        Not more than right-hand sides.
    """
    m, out = len(v), np.empty(stats.q)
    for i, part in enumerate(stats.chain_parts):
        own = part.by_level(out).T
        for block, kept in zip(stats.blocks, e.chain, strict=True):
            s = block.shape
            B = kept.B[s.right[i] : s.right[i + 1]].reshape(part.k, s.r, -1)
            own[:, block.levels[i]] = v @ B[:, :m]
    if e.dense is not None:
        out[stats.chain_effects :] = e.dense.B[:, :m] @ v
    return out


def _through_chain(stats: CrossProducts, e: Eliminated, R: FloatArray) -> FloatArray:
    """``Z_c'V_c^-1 x`` of the chain alone."""
    if not stats.chain_parts:
        return np.zeros(0)
    own = [part.by_level(R).transpose(1, 0)[:, None] for part in stats.chain_parts]  # levels last
    out = [np.empty_like(one) for one in own]
    for block, kept in zip(stats.blocks, e.chain, strict=True):
        parts = [one[..., levels] for one, levels in zip(own, block.levels, strict=True)]
        found = apply_chain(stats, block, kept, parts)
        for whole, mine, levels in zip(out, found, block.levels, strict=True):
            whole[..., levels] = mine
    return np.concatenate([one[:, 0].T.ravel() for one in out])
