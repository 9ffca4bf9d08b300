"""Exact, leaves first, iterative or on workers: the statistics decide which of them answers."""

from __future__ import annotations

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination import iterative, leaves, on_workers, variates, visit
from nestedmlm.likelihood.elimination.gram import gram as exact_gram
from nestedmlm.likelihood.elimination.iterative import IterativelyEliminated
from nestedmlm.likelihood.elimination.leaves import LeavesEliminated
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts


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
        `LeavesEliminated`, of those that stay on workers an `EliminatedOnWorkers`. NaN where
        T is so large that a pivot is lost.

    Raises
    ------
    numpy.linalg.LinAlgError
        If T is not finite, or the crossed factors cannot be eliminated.
    """
    if stats.sparse is not None:
        return iterative.eliminate(T, stats)
    if stats.leaves is not None:
        return leaves.eliminate(T, stats)
    if stats.on_workers is not None:
        return on_workers.eliminate(T, stats)
    return visit.eliminate(T, stats)


def solve(stats: CrossProducts, e: Eliminated) -> tuple[FloatArray, FloatArray]:
    """Random effects of every right-hand side.

    Returns
    -------
    b, B : (q, p+1) arrays
        ``G Z'V^{-1}[X y]`` (generalised least-squares predictors of b for each column) and
        ``Z'V^{-1}[X y]``; rows in elimination order.
    """
    if isinstance(e, IterativelyEliminated):
        return e.b, e.B
    if isinstance(e, LeavesEliminated):
        return leaves.solve(stats, e)
    if stats.on_workers is not None:
        return on_workers.solve(stats, e)
    return visit.solve(stats, e)


def effects(stats: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Random effects of the combination of the right-hand sides with coefficients `v`: (q,) each.

    See `solve`.
    """
    if stats.on_workers is not None:
        return on_workers.effects(stats, e, v)
    if isinstance(e, IterativelyEliminated | LeavesEliminated):
        b, B = solve(stats, e)
        return b @ v, B @ v
    return visit.effects(stats, e, v)


def level_information(stats: CrossProducts, e: Eliminated) -> list[FloatArray]:
    """``Z_g'V^{-1}Z_g`` of every level: (J, k, k) for each factor, in elimination order."""
    if stats.on_workers is not None:
        return on_workers.level_information(stats, e)
    return visit.level_information(stats, e)


def gram(stats: CrossProducts, e: Eliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)`` for coefficient vectors `F` (q, n) in elimination order."""
    if isinstance(e, IterativelyEliminated):
        return iterative.gram(stats, e, F)
    if stats.on_workers is not None:
        return on_workers.gram(stats, e, F)
    return exact_gram(stats, e, F)


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
    if isinstance(e, IterativelyEliminated):
        return iterative.working_variates(stats, e, v, entries)
    if isinstance(e, LeavesEliminated):
        return leaves.working_variates(e, v, entries)
    if stats.on_workers is not None:
        return on_workers.working_variates(stats, e, v, entries)
    return variates.working_variates(stats, e, v, entries)
