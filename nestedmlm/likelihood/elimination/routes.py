"""Exact, leaves first, from the rows, iterative or on workers: as the statistics decide.

What is asked of an elimination afterwards is answered by the row of its type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination import (
    iterative,
    leaves,
    on_workers,
    orthogonal,
    variates,
    visit,
)
from nestedmlm.likelihood.elimination.gram import gram as exact_gram
from nestedmlm.likelihood.elimination.iterative import IterativelyEliminated
from nestedmlm.likelihood.elimination.leaves import LeavesEliminated
from nestedmlm.likelihood.elimination.on_workers import EliminatedOnWorkers
from nestedmlm.likelihood.elimination.orthogonal import OrthogonallyEliminated
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products


def eliminate(T: FloatArray, stats: CrossProducts) -> Eliminated:
    """Eliminate the random effects at relative factors `T`, and solve for them.

    Parameters
    ----------
    T : (sum of K_f^2,) array
        Row-major relative factors one after the other, in elimination order, scaled columns.
    stats : CrossProducts

    Returns
    -------
    Eliminated
        Of sparse statistics an `IterativelyEliminated`, of those with leaves a
        `LeavesEliminated`, of those with their rows an `OrthogonallyEliminated`, of those that
        stay on workers an `EliminatedOnWorkers`. NaN where T is so large that a pivot is lost.

    Raises
    ------
    numpy.linalg.LinAlgError
        If T is not finite, or the crossed factors cannot be eliminated.
    """
    if stats.sparse is not None:
        return iterative.eliminate(T, stats)
    if stats.row_blocks is not None:
        return orthogonal.eliminate(T, stats)
    if stats.leaves is not None:
        return leaves.eliminate(T, stats)
    if stats.on_workers is not None:
        return on_workers.eliminate(T, stats)
    return visit.eliminate(T, stats)


def factor_adjoint(
    T: FloatArray, stats: CrossProducts, e: Eliminated, l_bar: float, S_bar: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Pull the adjoints of ``log|M|`` and ``S`` back to each ``T_f T_f'`` and to each T.

    Returns
    -------
    M, MT : (sum of K_f^2,) arrays
        The symmetric matrices M_f of `adjoint`, and ``2 M_f T_f``.
    """
    M = visit.adjoint(e, l_bar, S_bar)
    if isinstance(e, OrthogonallyEliminated):  # M may be rounding where T is large
        return M, orthogonal.factor_adjoint(e, l_bar, S_bar)
    return M, twice_products(M, T, stats.parts)


def solve(stats: CrossProducts, e: Eliminated) -> tuple[FloatArray, FloatArray]:
    """Random effects of every right-hand side.

    Returns
    -------
    b, B : (q, p+1) arrays
        ``G Z'V^{-1}[X y]`` (generalised least-squares predictors of b for each column) and
        ``Z'V^{-1}[X y]``; rows in elimination order.
    """
    return _ANSWERS[type(e)].solve(stats, e)


def effects(stats: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Random effects of the combination of the right-hand sides with coefficients `v`: (q,) each.

    See `solve`.
    """
    return _ANSWERS[type(e)].effects(stats, e, v)


def level_information(stats: CrossProducts, e: Eliminated) -> list[FloatArray]:
    """``Z_g'V^{-1}Z_g`` of every level: (J, k, k) for each factor, in elimination order."""
    return _ANSWERS[type(e)].level_information(stats, e)


def level_covariances(stats: CrossProducts, e: Eliminated, T: FloatArray) -> list[FloatArray]:
    """``G - G Z_g'V^{-1}Z_g G`` of every level: (J, k, k) for each factor, in elimination order.

    `T` is what was eliminated with, or has the same ``T T' = G``.
    """
    if isinstance(e, OrthogonallyEliminated):  # which has it without a difference
        return list(e.covariances)
    out = []
    for part, A in zip(stats.parts, level_information(stats, e), strict=True):
        own = part.matrix(T)
        out.append(own @ (np.eye(part.k) - own.T @ A @ own) @ own.T)
    return out


def gram(stats: CrossProducts, e: Eliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)`` for coefficient vectors `F` (q, n) in elimination order."""
    return _ANSWERS[type(e)].gram(stats, e, F)


def working_variates(
    stats: CrossProducts, e: Eliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """Products of the working variates ``F = Z dG w``, ``w = Z'e``, of entries of the ``T_f T_f'``.

    Parameters
    ----------
    stats, e
    v : (p+1,) array
        ``(-beta, 1)``: e, the residual, is ``[X y] v`` after V^-1.
    entries : (n, 3) int array
        Factor, a and b (a >= b) of each entry, ordered by factor.
    """
    return _ANSWERS[type(e)].working_variates(stats, e, v, entries)


def _combined(stats: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    b, B = solve(stats, e)
    return b @ v, B @ v


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """Who answers each of the questions above; the exact elimination unless another is named."""

    solve: Callable[..., tuple[FloatArray, FloatArray]] = visit.solve
    effects: Callable[..., tuple[FloatArray, FloatArray]] = visit.effects
    level_information: Callable[..., list[FloatArray]] = visit.level_information
    gram: Callable[..., FloatArray] = exact_gram
    working_variates: Callable[..., Variates] = variates.working_variates


_ANSWERS: dict[type[Eliminated], _Answers] = {
    Eliminated: _Answers(),
    LeavesEliminated: _Answers(
        solve=leaves.solve, effects=_combined, working_variates=leaves.working_variates
    ),
    OrthogonallyEliminated: _Answers(
        solve=orthogonal.solve,
        effects=_combined,
        level_information=orthogonal.level_information,
        gram=orthogonal.gram,
        working_variates=orthogonal.working_variates,
    ),
    IterativelyEliminated: _Answers(
        solve=iterative.solve,
        effects=_combined,
        gram=iterative.gram,
        working_variates=iterative.working_variates,
    ),
    EliminatedOnWorkers: _Answers(
        solve=on_workers.solve,
        effects=on_workers.effects,
        level_information=on_workers.level_information,
        gram=on_workers.gram,
        working_variates=on_workers.working_variates,
    ),
}
