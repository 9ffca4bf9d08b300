"""Log-density of each group's responses in a generalized model, its random effects integrated out.

Adaptive Gauss-Hermite quadrature at each draw (Liu & Pierce 1994, Biometrika 81(3)), for one
grouping factor: with u ~ N(0, I), its mode u_j and M_j = L_j L_j' the curvature there,

    log p(y_j) = -log|L_j| - K log(pi) / 2
                 + log sum_k exp(log w_k + |x_k|^2 + l_j(u_jk) - |u_jk|^2 / 2),

u_jk = u_j + sqrt(2) L_j^-T x_k. No other group shares an effect with group j, so this is its
density given the other groups' responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.errors import OptionError
from nestedmlm.families.row_terms import rows
from nestedmlm.posterior.draws import roots
from nestedmlm.posterior.row_responses import FamilyResponses

_NODES = {1: 21, 2: 11, 3: 7}  # in each direction, by random effects of a level
MOST_EFFECTS = max(_NODES)  # random effects of a level
_NUMBERS_AT_ONCE = 2_000_000  # draws times rows times effects: temporary arrays stay small
_STEPS = 50  # of Newton's method towards the modes
_LONGEST = 3.0  # length of one step, in standard deviations of the effects
_NEAR = 1e-6  # length of the last step: the nodes need not sit at the mode to rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupRows:
    """The rows of a design sorted by the groups of its one factor.

    Attributes
    ----------
    order, level, starts : arrays of int
        Rows sorted by group, the group of each of these, and where each group starts.
    codes : (J,) array of int
        The levels that the groups are.
    y, weights, offset : (n,) arrays
    X : (n, p) array
    Z : (n, K) array
        The columns of all terms.
    """

    order: IntArray
    level: IntArray
    starts: IntArray
    codes: IntArray
    y: FloatArray
    weights: FloatArray
    offset: FloatArray
    X: FloatArray
    Z: FloatArray

    def sums(self, values: FloatArray) -> FloatArray:
        """Sums over the rows of each group, along the second axis."""
        return np.add.reduceat(values, self.starts, axis=1)


def group_rows(design: Design, rows: IntArray | None = None) -> GroupRows:
    """Sort the rows of a design with one grouping factor, or some of them.

    Parameters
    ----------
    design : Design
    rows : array of int, optional
        By default all; groups that have none of them are left out.

    Raises
    ------
    OptionError
        If there are several grouping factors or too many random effects of a level.
    """
    refuse_related(design.factors, "the density of what is left out")
    refuse_curves(design.factors, "the density of what is left out")
    names = [factor.name for factor in design.factors]
    if design.family is None or not design.family.has_derivatives:
        raise OptionError(
            "the modes that quadrature sits at need the derivatives of the family's density, which "
            f"{'no' if design.family is None else 'the ' + design.family.name} family has here"
        )
    if len(names) > 1:
        raise OptionError(
            "the random effects of a generalized model are integrated out group by group, which "
            f"takes one grouping factor; this model has {', '.join(names)}: fit.loo() of the fit "
            "by maximum likelihood leaves out groups of any of them"
        )
    Z = np.hstack([term.X for term in design.terms])
    if Z.shape[1] > MOST_EFFECTS:
        raise OptionError(
            f"random effects are integrated out for at most {MOST_EFFECTS} of a level; this model "
            f"has {Z.shape[1]}"
        )
    some = np.arange(design.n) if rows is None else rows
    codes, level = np.unique(design.factors[0].codes[some], return_inverse=True)
    order = np.argsort(level, kind="stable")
    level, own = level[order], some[order]
    one = np.ones(design.n)
    return GroupRows(
        order=order,
        level=level,
        starts=np.flatnonzero(np.r_[True, np.diff(level) > 0]),
        codes=codes,
        y=design.y[own],
        weights=(one if design.weights is None else design.weights)[own],
        offset=(0.0 * one if design.offset is None else design.offset)[own],
        X=design.X[own],
        Z=Z[own],
    )


def group_log_densities(
    of: GroupRows, responses: FamilyResponses, beta: FloatArray, covariances: tuple[FloatArray, ...]
) -> FloatArray:
    """Log-density of each group's responses at each draw.

    Parameters
    ----------
    of : GroupRows
    responses : FamilyResponses
        Of these rows, in the order that they have in the design.
    beta : (S, p) array
    covariances : tuple of (S, k, k) arrays
        Of each term, in the user's units.

    Returns
    -------
    (S, J) array
    """
    S, K = len(beta), of.Z.shape[1]
    T, first = np.zeros((S, K, K)), 0
    for cov in covariances:
        last = first + cov.shape[1]
        T[:, first:last, first:last] = roots(cov)
        first = last
    sizes = K * max(K, 2) * len(of.y)
    step = max(1, _NUMBERS_AT_ONCE // sizes)
    out = np.empty((S, len(of.starts)))
    for low in range(0, S, step):
        some = slice(low, low + step)
        out[some] = _densities(of, responses.chosen(some), beta[some], T[some])
    return out


def _densities(
    of: GroupRows, responses: FamilyResponses, beta: FloatArray, T: FloatArray
) -> FloatArray:
    """The same of a few draws."""
    fixed = beta @ of.X.T + of.offset
    ZT = np.einsum("nk,skl->snl", of.Z, T)
    back = np.argsort(of.order)

    def sum_of_densities(u: FloatArray) -> FloatArray:
        eta = fixed + np.einsum("snk,snk->sn", ZT, u[:, of.level])
        y = of.y[back]  # responses have their weights in the order that rows were given
        each = responses.log_density(y, eta[:, back], slice(None))
        return of.sums(each[:, of.order]) - 0.5 * np.sum(u * u, axis=2)

    u, L = _modes(of, responses, fixed, ZT)
    K = u.shape[2]
    x1, mass = np.polynomial.hermite.hermgauss(_NODES[K])
    grid = np.array(list(product(range(len(x1)), repeat=K)))
    total = np.full(u.shape[:2], -np.inf)
    upper = np.sqrt(2.0) * np.linalg.inv(L).swapaxes(-1, -2)
    for node in grid:
        at = sum_of_densities(u + upper @ x1[node])
        mass_of = float(np.log(mass[node]).sum() + np.sum(x1[node] ** 2))
        total = np.logaddexp(total, mass_of + np.where(np.isnan(at), -np.inf, at))
    log_det = np.log(np.diagonal(L, axis1=2, axis2=3)).sum(axis=2)
    out: FloatArray = total - log_det - 0.5 * K * np.log(np.pi)
    return out


def _modes(
    of: GroupRows, responses: FamilyResponses, fixed: FloatArray, ZT: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Modes of the groups' effects, (S, J, K), and Cholesky factors of the curvature there."""
    S, _, K = ZT.shape
    u, one = np.zeros((S, len(of.starts), K)), np.eye(K)
    dispersion = responses.dispersion()
    for _ in range(_STEPS):
        eta = fixed + np.einsum("snk,snk->sn", ZT, u[:, of.level])
        with np.errstate(all="ignore"):
            terms = rows(responses.family, eta, of.y, of.weights, dispersion)
        h = np.where(terms.h > 0.0, terms.h, terms.w)
        M = one + of.sums(ZT[..., :, None] * ZT[..., None, :] * h[..., None, None])
        score = of.sums(ZT * terms.g[..., None]) - u
        step = np.linalg.solve(M, score[..., None])[..., 0]
        length = np.sqrt(np.sum(step**2, axis=2, keepdims=True))
        u = u + step * np.minimum(1.0, _LONGEST / np.maximum(length, _NEAR))
        if length.max() < _NEAR:
            break
    return u, np.linalg.cholesky(M)
