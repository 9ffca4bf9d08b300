"""Deletion of rows: estimates without them, exact and without refitting where theta is held.

With ``A = V^{-1}`` and rows I left out, ``V^{-1}`` of the other rows gives

    S_(I) = S - B' A_II^{-1} B,    B = rows I of V^{-1}[X y],    A_II = W_I - W_I Z_I P Z_I' W_I,

where ``P = G - G Z'V^{-1}Z G``. B is looked up. Of P only the block of the random effects that the
rows touch is needed: with ``N = Z_I' W_I Z_I``, by the matrix inversion lemma,

    A_II^{-1} = W_I^{-1} + Z_I P (I - N P)^{-1} Z_I'.

Where residuals correlate, W is the block-diagonal `Precision` K and Z_I is ``H = K_II^{-1} F`` with
F = rows I of ``K Z``, ``N = F'H``: the rows of a block that stay say something of those that go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import lower_indices, relative_factors
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.errors import DataError
from nestedmlm.inference.rows.joint import (
    ZRows,
    design_rows,
    gls_rows,
    random_gram,
    touched_columns,
    z_rows,
)
from nestedmlm.inference.rows.residual_precision import Precision, precision, row_forms
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.statistics.crossproducts import CrossProducts

_MANY_EFFECTS = 1000  # random effects touched from which solving anew beats their square matrix
_ROUNDING_SHARE = 2.0**-52  # of y'y, below which residuals are nothing else
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
    residual : (m,) array of ResidualAt or None
        Where residuals differ or correlate, how without each set of rows, if that was asked for.
    """

    beta: FloatArray
    vcov: FloatArray
    sigma: FloatArray
    theta: FloatArray
    converged: npt.NDArray[np.bool_]
    residual: npt.NDArray[np.object_]


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
    rows, B, K = inverse_rows(solution, design)
    sizes = np.array([len(own) for own in sets])
    if all(len(own) == 1 for own in sets):  # all rows at once
        lost = _lost_by_rows(solution, design, np.concatenate(sets), B)
    elif K.blocks:
        lost = _lost_with_blocks(solution, sets, rows, B, K)
    else:
        most = _MANY_EFFECTS if design.residual is None else np.inf
        lost = _lost_information(solution, sets, rows, B, K.diagonal, most)
    S = solution.state.S - lost
    out = _from_schur(solution, S, sizes, REML)
    lost_effects = np.isnan(out.beta).any(axis=1)
    if design.residual is not None:
        for g in np.flatnonzero(lost_effects).tolist():
            _write_reduced(out, g, solution, sets[g], S[g], REML)
        return out
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


def _write_reduced(
    out: DeletionEstimates, g: int, solution: Solution, gone: IntArray, S: FloatArray, REML: bool
) -> None:
    """Estimates of the fixed effects that the rows left can tell, from ``S_(I)``."""
    stats, p, X = solution.stats, solution.stats.p, np.delete(solution.design.X, gone, axis=0)
    kept = kept_columns(X)
    A, r = S[:p, :p], S[:p, p]
    move = np.linalg.lstsq(A, r)[0]
    whole = stats.beta0 + stats.R_x_inverse @ move
    df = len(X) - (len(kept) if REML else 0)
    out.beta[g], out.vcov[g] = np.nan, np.nan
    out.beta[g, kept] = np.linalg.lstsq(X[:, kept], X @ whole)[0]
    out.sigma[g] = np.sqrt(max(S[p, p] - r @ move, 0.0) / df)
    information = (stats.R_x.T @ A @ stats.R_x)[np.ix_(kept, kept)]
    out.vcov[g][np.ix_(kept, kept)] = out.sigma[g] ** 2 * np.linalg.inv(information)


def empty_estimates(design: Design, n_theta: int, size: int) -> DeletionEstimates:
    """Make `DeletionEstimates` of NaN, to be filled."""
    p = design.p
    return DeletionEstimates(
        beta=np.full((size, p), np.nan),
        vcov=np.full((size, p, p), np.nan),
        sigma=np.full(size, np.nan),
        theta=np.full((size, n_theta), np.nan),
        converged=np.ones(size, dtype=bool),
        residual=np.full(size, None),
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


def inverse_rows(solution: Solution, design: Design) -> tuple[ZRows | None, FloatArray, Precision]:
    """Rows of Z, rows of ``V^{-1}[X y]`` in scaled columns, and the residuals' precision."""
    K, stats = precision(solution, design), solution.stats
    if design.terms:
        rows = z_rows(solution, design_rows(design))
        B = gls_rows(solution, design.X, rows)
    else:
        rows, B = None, np.zeros((design.n, stats.p + 1))
        B[:, :-1] = np.linalg.solve(stats.R_x.T, design.X.T).T
    y = design.y if design.offset is None else design.y - design.offset
    B[:, -1] += y - design.X @ stats.beta0
    return rows, K.times(B), K


def _lost_by_rows(solution: Solution, design: Design, which: IntArray, B: FloatArray) -> FloatArray:
    """``B_i' A_ii^{-1} B_i`` of single rows."""
    forms = row_forms(solution, design, fixed=False)
    inverse = (forms.precision - forms.shared)[which]
    products: FloatArray = np.einsum("gi,gj->gij", B[which] / inverse[:, None], B[which])
    return products


def _lost_with_blocks(
    solution: Solution, sets: list[IntArray], rows: ZRows | None, B: FloatArray, K: Precision
) -> FloatArray:
    """``B_I' A_II^{-1} B_I`` of each set, where residuals correlate."""
    out = np.zeros((len(sets), *solution.state.S.shape))
    for g, own in enumerate(sets):
        parts = list(K.parts(own))
        for block, inside, inverse in parts:
            B_I = B[block[inside]]
            out[g] += B_I.T @ np.linalg.solve(inverse[np.ix_(inside, inside)], B_I)
        if rows is None:
            continue
        units, Z = _units(solution, rows[np.concatenate([block for block, _, _ in parts])])
        assert Z is not None
        N, HB = np.zeros((len(units), len(units))), np.zeros((len(units), B.shape[1]))
        ends = np.cumsum([len(block) for block, _, _ in parts])[:-1]
        for (block, inside, inverse), Z_b in zip(parts, np.split(Z, ends), strict=True):
            F = inverse[inside] @ Z_b
            H = np.linalg.solve(inverse[np.ix_(inside, inside)], F)
            N, HB = N + F.T @ H, HB + H.T @ B[block[inside]]
        P = random_gram(solution, units)
        out[g] += HB.T @ P @ np.linalg.solve(np.eye(len(units)) - N @ P, HB)
    return out


def _units(
    solution: Solution, rows: ZRows, most: float = np.inf
) -> tuple[ZRows, FloatArray | None]:
    """Columns of Z that rows touch, as rows of their own, and the rows in those columns.

    None in the place of the latter where more than `most` columns are touched.
    """
    if rows.whole is not None:  # rows touch all columns of a basis: they are their own units
        return rows, np.eye(len(rows))
    units, place = touched_columns(solution, rows)
    if len(units) > most:
        return units, None
    Z = np.zeros((len(rows), len(units)))
    np.put_along_axis(Z, place, np.hstack([rows.Z, rows.Zt]), axis=1)
    return units, Z


def _lost_information(
    solution: Solution,
    sets: list[IntArray],
    rows: ZRows | None,
    B: FloatArray,
    w: FloatArray,
    most: float,
) -> FloatArray:
    """``B_I' A_II^{-1} B_I`` of each set; NaN for one that touches too much: it is solved anew."""
    out = np.full((len(sets), *solution.state.S.shape), np.nan)
    for g, own in enumerate(sets):
        out[g] = (B[own].T / w[own]) @ B[own]
        if rows is None:
            continue
        units, Z = _units(solution, rows[own], most)
        if Z is None:
            out[g] = np.nan
            continue
        P, N = random_gram(solution, units), (Z.T * w[own]) @ Z
        ZB = Z.T @ B[own]
        out[g] += ZB.T @ P @ np.linalg.solve(np.eye(len(units)) - N @ P, ZB)
    return out


def _from_schur(
    solution: Solution, S: FloatArray, sizes: IntArray, REML: bool
) -> DeletionEstimates:
    """Estimates from each ``S_(I)``; NaN where a fixed effect has lost its information.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a set leaves no residuals.
    """
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
        if np.any(r2[good] <= _ROUNDING_SHARE * stats.F[-1, -1]):
            raise np.linalg.LinAlgError("nothing but rounding is left to the residuals")
        Ri = stats.R_x_inverse
        beta[good] = stats.beta0 + scaled @ Ri.T
        vcov[good] = (r2[good] / df[good])[:, None, None] * (Ri @ inverse @ Ri.T)
    return DeletionEstimates(
        beta=beta,
        vcov=vcov,
        sigma=np.sqrt(np.maximum(r2, 0.0) / df),
        theta=np.tile(solution.theta, (m, 1)),
        converged=np.ones(m, dtype=bool),
        residual=np.full(m, stats.residual, dtype=object),
    )
