"""Iterative elimination of large crossed factors: S exact, log|M| and its derivative estimated.

Whatever is a quadratic form (S, fixed effects, conditional modes, average information) comes from
solves and is exact to their tolerance. ``log|M|`` and the sums ``Z'V^{-1}Z`` are means over fixed
random vectors: deterministic functions of T, with a Monte Carlo error that the draws tell.

Hutchinson (1990), Communications in Statistics B 19(2), for the traces; Ubaru, Chen & Saad (2017),
SIAM Journal on Matrix Analysis 38(4), for the log-determinant. Both are taken as differences from a
matrix whose trace is known, which leaves a small part of the variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.conjugate_gradients import log_determinants
from nestedmlm.likelihood.elimination.sparse_operator import (
    SparseOperator,
    by_level,
    meetings,
    sparse_operator,
)
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.sparse import ExactOnly, SparseCrossed

_SEED = 20_251  # of the random vectors: the same at every T


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IterativelyEliminated(Eliminated):
    """Results of an iterative elimination; `chain` and `dense` are not there.

    Attributes
    ----------
    operator : SparseOperator
    b, B : (q, p+1) arrays
        See `nestedmlm.likelihood.elimination.solve`.
    logdet_draws : (n,) array
        What each random vector says of `logdet`.
    info_draws : (factors, n, sum of K_f^2) array
        What each says of `info`; every factor has random vectors of its own.
    iterations : int
        Of the slowest right-hand side.
    """

    operator: SparseOperator
    b: FloatArray
    B: FloatArray
    logdet_draws: FloatArray
    info_draws: FloatArray
    iterations: int


def eliminate(T: FloatArray, stats: CrossProducts) -> IterativelyEliminated:
    """Eliminate the random effects at relative factors `T`; see the exact `eliminate`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If T is not finite or so large that the solves do not converge.
    """
    if not np.all(np.isfinite(T)):
        raise np.linalg.LinAlgError("relative factors that are no numbers")
    o, sums = sparse_operator(T, stats), stats.sparse
    assert sums is not None
    right = _right_hand_sides(sums)
    signs = random_signs(sums)
    probes = [o.turned(o.A(z)) for z in signs.of_factor]
    reduced = o.turned(right.others - o.given(by_level(o.G, right.first)))
    found = o.solve(np.concatenate([reduced, o.rooted(signs.whole), *probes], axis=1))
    r, n = reduced.shape[1], sums.probes
    b, B = _effects(o, right, o.scaled(found.x[:, :r]))
    whole = slice(r, r + n)
    log_draws = o.logdet + log_determinants(found, whole, len(found.x))
    draws = np.zeros((1 + len(sums.parts), n, len(T)))
    first, *rest = stats.parts
    draws[0][:, first.flat] = _own_draws(o, found.x[:, whole], signs.whole).reshape(n, -1)
    for i, part in enumerate(rest):
        x = found.x[:, r + (1 + i) * n : r + (2 + i) * n]
        draws[1 + i][:, part.flat] = _draws_of(o, i, x, signs.of_factor[i]).reshape(n, -1)
    known = np.zeros(len(T))
    known[first.flat] = _known_of_first(o).ravel()
    BB = np.zeros((len(T), r, r))
    for part in stats.parts:
        mine = part.by_level(B)
        part.matrix(BB)[...] = np.einsum("jar,jbs->abrs", mine, mine)
    return IterativelyEliminated(
        logdet=float(log_draws.mean()),
        S=stats.F - stacked(right).T @ b,
        info=known + draws.mean(axis=1).sum(axis=0),
        BB=BB,
        chain=cast(Any, ExactOnly()),
        dense=cast(Any, ExactOnly()),
        operator=o,
        b=b,
        B=B,
        logdet_draws=log_draws,
        info_draws=draws,
        iterations=int(found.iterations.max(initial=0)),
    )


def solve(stats: CrossProducts, e: IterativelyEliminated) -> tuple[FloatArray, FloatArray]:
    """Random effects of every right-hand side; see the exact `solve`."""
    return e.b, e.B


# --- right-hand sides ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RightHandSides:
    """``Z'W y`` of columns y: of the largest factor (J, k, m), and of the others (q, m)."""

    first: FloatArray
    others: FloatArray


def stacked(right: RightHandSides) -> FloatArray:
    """Rows of all factors, in the order of elimination."""
    return np.concatenate([right.first.reshape(-1, right.others.shape[1]), right.others])


def _right_hand_sides(sums: SparseCrossed) -> RightHandSides:
    k = len(sums.own)
    return RightHandSides(
        first=np.ascontiguousarray(sums.own[:, k:].transpose(2, 0, 1)), others=sums.R
    )


def _effects(o: SparseOperator, right: RightHandSides, b: FloatArray) -> tuple[FloatArray, ...]:
    """``G Z'V^{-1}y`` and ``Z'V^{-1}y`` of all factors, from those of the others."""
    rest = right.first - o.met(b)
    others = right.others - o.given(by_level(o.G, right.first)) - o.A(b)
    m = b.shape[1]
    return (
        np.concatenate([by_level(o.G, rest).reshape(-1, m), b]),
        np.concatenate([by_level(o.K, rest).reshape(-1, m), others]),
    )


# --- random vectors -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomSigns:
    """Random signs over all others, (q, n), and over one factor's rows at a time."""

    whole: FloatArray
    of_factor: tuple[FloatArray, ...]


def random_signs(sums: SparseCrossed) -> RandomSigns:
    """The fixed random vectors of a model; more of them begin with the same."""
    q, n = len(sums.R), sums.probes
    rng = [np.random.default_rng([_SEED, i]) for i in range(1 + len(sums.parts))]
    whole, *own = (g.integers(0, 2, size=(n, q)).T * 2.0 - 1.0 for g in rng)
    of_factor = []
    for z, part in zip(own, sums.parts, strict=True):
        inside = np.zeros_like(z, order="C")
        inside[part.rows] = z[part.rows]
        of_factor.append(inside)
    return RandomSigns(whole=np.ascontiguousarray(whole), of_factor=tuple(of_factor))


def _own_draws(o: SparseOperator, solved: FloatArray, z: FloatArray) -> FloatArray:
    """What each vector says of minus the largest factor's ``C S^{-1} C'`` beyond ``C P^{-1} C'``.

    C is ``Z_1'V_1^{-1}Z_r Lambda_r``; (n, k, k).
    """
    plain = by_level(o.K, o.met(o.scaled(o.unrooted(z))))
    u = by_level(o.K, o.met(o.scaled(solved))) - plain
    half = np.einsum("jan,jbn->nab", u, plain)
    return np.asarray(-0.5 * (half + half.transpose(0, 2, 1)))


def _known_of_first(o: SparseOperator) -> FloatArray:
    """``sum Z_1'V_1^{-1}Z_1 - C P^{-1} C'`` of the largest factor, exactly: (k, k)."""
    out: FloatArray = np.einsum("jab,jbc->ac", o.K, o.own)
    for part, T, L in zip(o.sums.parts, o.T, o.root, strict=True):
        V, half = meetings(o.sums, part), np.linalg.inv(L) @ T.T
        mine = np.einsum("eab,beo->eao", o.K[V.node], V.values)
        taken = np.einsum("eao,eio->eai", mine, half[V.level])
        out -= np.einsum("eai,ebi->ab", taken, taken)
    return 0.5 * (out + out.T)


def _draws_of(o: SparseOperator, i: int, solved: FloatArray, z: FloatArray) -> FloatArray:
    """What each vector says of ``sum Z_f'V^{-1}Z_f`` of another factor, (n, k, k).

    Were A block diagonal, the sum would be known; to first order in what else A holds, the vector's
    own noise is. Both are taken off, and what is known is added.
    """
    part, T, A = o.sums.parts[i], o.T[i], o.diagonal[i]
    own = part.by_level(z)
    found = part.by_level(o.A(z - o.scaled(solved)))
    shrunk = np.linalg.inv(np.eye(part.k) + A @ (T @ T.T))  # (I + A_l T T')^{-1}
    turned = np.zeros_like(z)
    turned[part.rows] = by_level(shrunk.transpose(0, 2, 1), own).reshape(-1, z.shape[1])
    off = part.by_level(o.A(turned)) - by_level(A, part.by_level(turned))
    alone = shrunk @ A
    noise = by_level(shrunk, off) + by_level(alone, own)
    out = alone.sum(axis=0) + np.einsum("jan,jbn->nab", found - noise, own)
    return np.asarray(0.5 * (out + out.transpose(0, 2, 1)))


# --- products of other columns ------------------------------------------------------------------
def gram(stats: CrossProducts, e: IterativelyEliminated, F: FloatArray) -> FloatArray:
    """``(ZF)'V^{-1}ZF`` of columns F over all random effects, (q, m)."""
    o, (first, *_) = e.operator, stats.parts
    own, others = first.by_level(F), np.ascontiguousarray(F[first.rows.stop :])
    right = RightHandSides(
        first=by_level(o.own, own) + o.met(others), others=o.given(own) + o.sums.Q @ others
    )
    found = o.solve(o.turned(right.others - o.given(by_level(o.G, right.first))))
    b, _ = _effects(o, right, o.scaled(found.x))
    R = stacked(right)
    out: FloatArray = F.T @ R - R.T @ b
    return 0.5 * (out + out.T)


def working_variates(
    stats: CrossProducts, e: IterativelyEliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """Products of the working variates; see the exact `working_variates`."""
    w, F = e.B @ v, np.zeros((len(e.B), len(entries)))
    for q, (f, a, b) in enumerate(entries.tolist()):
        part: FactorPart = stats.parts[f]
        F[part.column(a), q] = w[part.column(b)]
        F[part.column(b), q] = w[part.column(a)]
    return Variates(gram=gram(stats, e, F), BF=F.T @ e.B, Fe=F.T @ w)
