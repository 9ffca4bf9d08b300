"""Deletion of rows: estimates without them, exact and without refitting where theta is held.

With ``A = V^{-1}`` and rows I left out, ``V^{-1}`` of the other rows gives

    S_(I) = S - B' A_II^{-1} B,    B = rows I of V^{-1}[X y],    A_II = W_I - W_I Z_I P Z_I' W_I,

where ``P = G - G Z'V^{-1}Z G``. B is looked up. Of P only the block of the random effects that the
rows touch is needed: with ``N = Z_I' W_I Z_I``, by the matrix inversion lemma,

    A_II^{-1} = W_I^{-1} + Z_I P (I - N P)^{-1} Z_I'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import lower_indices, relative_factors
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError
from nestedmlm.inference.rows.joint import (
    ZRows,
    design_rows,
    gls_rows,
    random_forms,
    random_gram,
    touched_columns,
    z_rows,
)
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.statistics.crossproducts import CrossProducts

_MANY_EFFECTS = 1000  # random effects touched from which solving anew beats their square matrix
_LOST = 1e-9  # share of the information on a fixed effect below which it counts as gone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeletionEstimates:
    """Estimates without each of some sets of rows.

    Attributes
    ----------
    beta : (m, p) array
        NaN for a fixed effect that cannot be estimated without those rows.
    vcov : (m, p, p) array
    sigma : (m,) array
    theta : (m, n_theta) array
    converged : (m,) array of bool
    """

    beta: FloatArray
    vcov: FloatArray
    sigma: FloatArray
    theta: FloatArray
    converged: npt.NDArray[np.bool_]


def delete_held(
    solution: Solution, design: Design, sets: list[IntArray], *, REML: bool
) -> DeletionEstimates:
    """Estimates without each set of rows, theta held: exact, no optimisation.

    Raises
    ------
    DataError
        If a set leaves no more rows than fixed effects.
    """
    check_sizes(design, sets)
    rows, B, w = inverse_rows(solution, design)
    sizes = np.array([len(own) for own in sets])
    S = solution.state.S - _lost_information(solution, sets, rows, B, w)
    out = _from_schur(solution, S, sizes, REML)
    lost_effects = np.isnan(out.beta).any(axis=1)
    for g in np.flatnonzero(lost_effects | np.isnan(S[:, -1, -1])).tolist():
        write_estimates(out, g, design, without_rows(design, sets[g]), solution.theta, REML)
    return out


def write_estimates(
    out: DeletionEstimates,
    g: int,
    design: Design,
    rest: Design,
    theta: FloatArray,
    REML: bool,
    stats: CrossProducts | None = None,
) -> None:
    """Solve the reduced design `rest` at `theta` and write the estimates into row g of `out`."""
    found = results_at(rest, theta, REML=REML, stats=stats)
    kept = np.flatnonzero(np.isin(design.x_names, rest.x_names))
    out.beta[g] = np.nan
    out.vcov[g] = np.nan
    out.beta[g, kept] = found.beta
    out.vcov[g][np.ix_(kept, kept)] = found.vcov
    out.sigma[g] = found.sigma
    out.theta[g] = theta


def empty_estimates(design: Design, n_theta: int, size: int) -> DeletionEstimates:
    """Make `DeletionEstimates` of NaN, to be filled."""
    p = design.p
    return DeletionEstimates(
        beta=np.full((size, p), np.nan),
        vcov=np.full((size, p, p), np.nan),
        sigma=np.full(size, np.nan),
        theta=np.full((size, n_theta), np.nan),
        converged=np.ones(size, dtype=bool),
    )


def covariance_entries(design: Design, theta: FloatArray, sigma: FloatArray) -> FloatArray:
    """Variances and covariances of every term (lower triangles), then sigma^2, (m, n).

    Parameters
    ----------
    theta : (m, n_theta) array
    sigma : (m,) array
    """
    shapes = term_shapes(design)
    different, which = np.unique(theta, axis=0, return_inverse=True)
    relative = [
        np.concatenate(
            [
                np.zeros(0),
                *((T @ T.T)[lower_indices(len(T))] for T in relative_factors(row, shapes)),
            ]
        )
        for row in different
    ]
    entries = np.column_stack([np.vstack(relative), np.ones(len(different))])[which.ravel()]
    out: FloatArray = entries * sigma[:, None] ** 2
    return out


def check_sizes(design: Design, sets: list[IntArray]) -> None:
    """Refuse sets of rows without which too few are left (`DataError`)."""
    largest = max((len(s) for s in sets), default=0)
    if design.n - largest <= design.p:
        raise DataError(
            f"leaving out {largest} of {design.n} rows at once leaves too few to estimate "
            f"{design.p} fixed effects; leave out smaller groups"
        )


def inverse_rows(solution: Solution, design: Design) -> tuple[ZRows, FloatArray, FloatArray]:
    """Rows of Z, rows of ``V^{-1}[X y]`` in scaled columns, and the weights."""
    rows = z_rows(solution, design_rows(design))
    B = gls_rows(solution, design.X, rows)
    y = design.y if design.offset is None else design.y - design.offset
    B[:, -1] += y - design.X @ solution.stats.beta0
    w = np.ones(design.n) if design.weights is None else design.weights
    return rows, B * w[:, None], w


def _lost_information(
    solution: Solution, sets: list[IntArray], rows: ZRows, B: FloatArray, w: FloatArray
) -> FloatArray:
    """``B_I' A_II^{-1} B_I`` of each set; NaN for one that touches too much: it is solved anew."""
    if all(len(own) == 1 for own in sets):  # all rows at once
        which = np.concatenate(sets)
        inverse = (w - w**2 * random_forms(solution, rows))[which]
        products: FloatArray = np.einsum("gi,gj->gij", B[which] / inverse[:, None], B[which])
        return products
    out = np.full((len(sets), *solution.state.S.shape), np.nan)
    for g, own in enumerate(sets):
        if rows.whole is not None:  # rows touch all columns of a basis: they are their own units
            units, Z = rows[own], np.eye(len(own))
        else:
            units, place = touched_columns(solution, rows[own])
        if len(units) > _MANY_EFFECTS:
            continue
        if rows.whole is None:
            Z = np.zeros((len(own), len(units)))
            np.put_along_axis(Z, place, np.hstack([rows.Z[own], rows.Zt[own]]), axis=1)
        P, N = random_gram(solution, units), (Z.T * w[own]) @ Z
        ZB = Z.T @ B[own]
        out[g] = (B[own].T / w[own]) @ B[own]
        out[g] += ZB.T @ P @ np.linalg.solve(np.eye(len(units)) - N @ P, ZB)
    return out


def _from_schur(
    solution: Solution, S: FloatArray, sizes: IntArray, REML: bool
) -> DeletionEstimates:
    """Estimates from each ``S_(I)``; NaN where a fixed effect has lost its information."""
    stats = solution.stats
    p, m = stats.p, len(S)
    df = stats.n - sizes - (p if REML else 0)
    beta, vcov = np.full((m, p), np.nan), np.full((m, p, p), np.nan)
    r2 = S[:, p, p].copy()
    if p:
        root = np.linalg.cholesky(solution.state.S[:p, :p])
        half = np.linalg.inv(root)
        share = np.linalg.eigvalsh(half @ np.nan_to_num(S[:, :p, :p]) @ half.T)[:, 0]
        good = share > _LOST
        inverse = np.linalg.inv(S[good, :p, :p])
        scaled = np.einsum("gij,gj->gi", inverse, S[good, :p, p])
        r2[good] -= np.einsum("gi,gi->g", scaled, S[good, :p, p])
        Ri = stats.R_x_inverse
        beta[good] = stats.beta0 + scaled @ Ri.T
        vcov[good] = (r2[good] / df[good])[:, None, None] * (Ri @ inverse @ Ri.T)
    return DeletionEstimates(
        beta=beta,
        vcov=vcov,
        sigma=np.sqrt(np.maximum(r2, 0.0) / df),
        theta=np.tile(solution.theta, (m, 1)),
        converged=np.ones(m, dtype=bool),
    )
