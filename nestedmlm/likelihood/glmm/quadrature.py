"""Adaptive Gauss-Hermite quadrature for one grouping factor, with its exact derivatives.

Each level's integral over its K random effects is a sum over a grid that sits at the conditional
mode and has the shape of the curvature there (Liu & Pierce 1994, Biometrika 81(3); Pinheiro & Bates
1995, section 2.4). With ``M_j = L_j L_j'``, ``C_j = L_j^-T`` and nodes ``u_jk = u_j + sqrt(2) C_j
x_k``,

    L = -2 sum_j [ -log|L_j| - K log(pi) / 2 + log sum_k exp(log w_k + |x_k|^2 + l_j(u_jk)
                                                             - |u_jk|^2 / 2) ]

lme4 does this for K = 1, and leaves out the log-density's constant; here it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import OptionError
from nestedmlm.families.row_terms import dispersion_rows, scores
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.modes import Modes, find_modes
from nestedmlm.likelihood.plan import SINGULAR

MOST_COLUMNS = 3  # random effects of a level: nodes are their power
MOST_NODES = 100  # in each direction
_INSIDE = 1e-6  # relative variance added where a covariance is singular
_NUMBERS_AT_ONCE = 2_000_000  # rows times nodes: their temporary arrays stay small


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The grid of a model, and its rows by level.

    Attributes
    ----------
    x : (m, K) array
        Nodes.
    log_mass : (m,) array
        Logarithms of their weights, with ``|x|^2`` added.
    level : (n,) array
        Level of each row.
    Z : (n, K) array
    sum_levels : sparse (J, n)
        Sums rows by level.
    """

    x: FloatArray
    log_mass: FloatArray
    level: IntArray
    Z: FloatArray
    sum_levels: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quadrature:
    """-2 log-likelihood by quadrature, and its derivatives.

    Attributes
    ----------
    value : float
    T : (K, K) array
        Derivative in the covariance factor, flat.
    gamma : (p,) array
    log_dispersion : float
        0 without a dispersion.
    """

    value: float
    T: FloatArray
    gamma: FloatArray
    log_dispersion: float


def make_grid(model: GlmmModel, nodes: int) -> Grid:
    """Make the grid of a model with one grouping factor.

    Parameters
    ----------
    model : GlmmModel
    nodes : int
        In each direction.

    Returns
    -------
    Grid

    Raises
    ------
    OptionError
        If there are several grouping factors or too many random effects for each level.
    """
    parts = model.parts
    if len(parts) > 1:
        raise OptionError(
            f"nAGQ={nodes} needs one grouping factor; this model has {len(parts)}: the random "
            "effects of different factors cannot be integrated out level by level; use nAGQ=1"
        )
    K, J = parts[0].k, parts[0].levels
    if K > MOST_COLUMNS:
        raise OptionError(
            f"nAGQ={nodes} is for at most {MOST_COLUMNS} random effects in each level; this model "
            f"has {K}, which would take {nodes}^{K} nodes for each; use nAGQ=1"
        )
    if nodes > MOST_NODES:
        raise OptionError(f"nAGQ is at most {MOST_NODES}, not {nodes}")
    x1, mass = np.polynomial.hermite.hermgauss(nodes)
    grid = np.array(list(product(range(nodes), repeat=K)))
    x = x1[grid]
    level = model.products.levels[0]
    n = len(level)
    return Grid(
        x=x,
        log_mass=np.log(mass)[grid].sum(axis=1) + (x * x).sum(axis=1),
        level=level,
        Z=model.products.columns[0],
        sum_levels=sparse.csr_matrix((np.ones(n), (level, np.arange(n))), shape=(J, n)),
    )


def integrate(
    model: GlmmModel, grid: Grid, T: FloatArray, modes: Modes, dispersion: float
) -> Quadrature:
    """-2 log-likelihood by adaptive quadrature around the modes, and its exact derivatives.

    Parameters
    ----------
    model : GlmmModel
    grid : Grid
    T : flat array
    modes : Modes
    dispersion : float

    Returns
    -------
    Quadrature

    Raises
    ------
    numpy.linalg.LinAlgError
        If the information is not positive definite at the modes.
    """
    (part,) = model.parts
    K, level, Z, terms = part.k, grid.level, grid.Z, modes.rows
    T = part.matrix(T)
    ZT, u = Z @ T, part.by_level(modes.u)
    w, w1 = (terms.h, terms.h1) if model.one_information else (terms.w, terms.w1)
    Q = _products(grid, w)
    L = np.linalg.cholesky(np.eye(K) + T.T @ Q @ T)
    C = np.linalg.inv(L).transpose(0, 2, 1)
    U = u[:, None] + np.sqrt(2.0) * np.einsum("jab,kb->jka", C, grid.x)
    density, Zg, g, score = _at_nodes(model, grid, ZT, U, modes, dispersion)
    log_terms = grid.log_mass + density - 0.5 * np.sum(U * U, axis=2)
    top = log_terms.max(axis=1, keepdims=True)
    share = np.exp(log_terms - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    log_L = np.log(np.diagonal(L, axis1=1, axis2=2)).sum()
    integrals = float((top + np.log(total)).sum() - log_L) - 0.5 * len(u) * K * np.log(np.pi)
    value = -2.0 * (integrals + model.constant)

    r = share[:, :, None] * (Zg @ T - U)
    u_bar = -2.0 * r.sum(axis=1)
    C_bar = -2.0 * (L + np.sqrt(2.0) * np.einsum("jka,kb->jab", r, grid.x))  # C^-T is L
    L_bar = -np.tril(C @ C_bar.transpose(0, 2, 1) @ C)
    half = np.tril(L.transpose(0, 2, 1) @ L_bar)
    half[:, range(K), range(K)] *= 0.5
    M_bar = C @ half @ C.transpose(0, 2, 1)
    M_bar = 0.5 * (M_bar + M_bar.transpose(0, 2, 1))
    d = np.einsum("ia,iab,ib->i", ZT, M_bar[level], ZT)
    c = w1 * d
    H = _products(grid, terms.h)
    Zc, Zg_mode = (grid.sum_levels @ (Z * v[:, None]) for v in (c, terms.g))
    M_h = np.eye(K) + T.T @ H @ T
    s = np.linalg.solve(M_h, (Zc @ T + u_bar)[:, :, None])[:, :, 0]
    change = np.sum(ZT * s[level], axis=1)
    g_bar = np.einsum("ik,ik->i", share[level], g)
    T_bar = (
        -2.0 * np.einsum("jkb,jkc->bc", share[:, :, None] * Zg, U)
        + 2.0 * np.einsum("jab,bc,jcd->ad", Q, T, M_bar)
        + Zc.T @ u
        + Zg_mode.T @ s
        - np.einsum("jab,jb,jc->ac", H, s @ T.T, u)
    )
    X = model.products.X
    slope = 0.0
    if score is not None:
        own = dispersion_rows(model.family, modes.eta, model.y, model.weights, dispersion)
        weights = own.h if model.one_information else own.w
        slope = float(-2.0 * np.sum(share * score) + d @ weights + change @ own.g)
    return Quadrature(
        value=value,
        T=T_bar.ravel(),
        gamma=X.T @ (c - terms.h * change - 2.0 * g_bar),
        log_dispersion=slope,
    )


def slope_of_integral(
    model: GlmmModel, grid: Grid, T: FloatArray, of_T: FloatArray, modes: Modes, dispersion: float
) -> FloatArray:
    """``M = d criterion / d(T T')`` of the integral by quadrature, flat.

    The grid is turned with the columns of T, so the criterion is a function of ``T T'`` only by way
    of its Cholesky factor. Where T has a null space, M is that of a point a little inside: the
    approximation's own M is another one there (of a conditional integral, or of the expected
    information), and would promise decreases that do not exist.

    Parameters
    ----------
    model : GlmmModel
    grid : Grid
    T, of_T : flat arrays
        Factor, and the criterion's derivative in it.
    modes : Modes
        At T.
    dispersion : float

    Raises
    ------
    numpy.linalg.LinAlgError
        If the criterion does not exist beside the boundary.
    """
    (part,) = model.parts
    F, G = part.matrix(T), part.matrix(of_T)
    if np.linalg.svd(F, compute_uv=False)[-1] < SINGULAR:
        S = F @ F.T
        F = np.linalg.cholesky(S + _INSIDE * max(1.0, float(np.trace(S))) * np.eye(part.k))
        beside = find_modes(model, F.ravel(), modes.gamma, dispersion, B=modes.B)
        G = part.matrix(integrate(model, grid, F.ravel(), beside, dispersion).T)
    return symmetric_derivative(F, G).ravel()


def symmetric_derivative(T: FloatArray, of_T: FloatArray) -> FloatArray:
    """``dL / d(T T')`` from the one in a lower-triangular T (Murray 2016, arXiv 1602.07527).

    Parameters
    ----------
    T, of_T : (K, K) arrays
        Factor, not singular, and the criterion's derivative in it.

    Returns
    -------
    (K, K) array
    """
    half = np.tril(T.T @ np.tril(of_T))
    np.fill_diagonal(half, 0.5 * np.diagonal(half))
    left = np.linalg.solve(T.T, half)
    out: FloatArray = np.linalg.solve(T.T, left.T)
    return 0.5 * (out + out.T)


def _products(grid: Grid, w: FloatArray) -> FloatArray:
    """``Z'WZ`` of every level, (J, K, K)."""
    K = grid.Z.shape[1]
    flat = (grid.Z[:, :, None] * grid.Z[:, None, :]).reshape(-1, K * K) * w[:, None]
    out: FloatArray = (grid.sum_levels @ flat).reshape(-1, K, K)
    return out


def _at_nodes(
    model: GlmmModel,
    grid: Grid,
    ZT: FloatArray,
    U: FloatArray,
    modes: Modes,
    dispersion: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]:
    """At every node: each level's log-density and ``Z'g``, each row's g, the dispersion's score."""
    (J, m, K), n = U.shape, len(ZT)
    fixed = model.predictor(modes.gamma)
    y, a = model.y[:, None], model.weights[:, None]
    density, Zg, g = np.empty((J, m)), np.empty((J, m, K)), np.empty((n, m))
    score = np.empty((J, m)) if model.family.has_dispersion else None
    size = max(1, _NUMBERS_AT_ONCE // n)
    for low in range(0, m, size):
        some = slice(low, min(low + size, m))
        eta = fixed[:, None] + np.einsum("ic,ikc->ik", ZT, U[grid.level, some])
        logs, g[:, some] = scores(model.family, eta, y, a, dispersion)
        density[:, some] = grid.sum_levels @ logs
        for b in range(K):
            Zg[:, some, b] = grid.sum_levels @ (grid.Z[:, b, None] * g[:, some])
        if score is not None:
            assert model.family.dispersion_score is not None
            there = model.family.link.mean(eta)
            score[:, some] = grid.sum_levels @ model.family.dispersion_score(
                y, there, a, dispersion
            )
    return density, Zg, g, score
