"""Log-likelihood of a whole group given the other groups, random effects integrated out.

With ``V = W^{-1} + Z Sigma Z' / sigma^2`` and ``r = y - X beta - offset``, the rows j of one group
given all other rows are Gaussian with precision ``A = (V^{-1})_jj / sigma^2`` and

    log p(y_j | y_-j) = -1/2 [ n_j log(2 pi sigma^2) - log|A_jj| + g' A_jj^{-1} g / sigma^2 ],

``g = (V^{-1} r)_j``, where A_jj here is the block of ``V^{-1}``. Nothing of size n is formed:
``V^{-1} = W - W Z G Z'W`` with ``G = Sigma/sigma^2 (I + Z'WZ Sigma/sigma^2)^{-1}``, so that with
``C = Z_j'W Z_j`` and ``P = I - G_jj C``

    log|A_jj| = log|W_j| + log|P|,     g'A^{-1}g = g'W^{-1}g + (Z_j'g)' P^{-1} G_jj (Z_j'g).

Rows fall apart into components that share no group; each is done by itself, for many draws at
once. In a nested design the outermost factor's groups are the components and the formula is the
group's own marginal likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.errors import MemoryLimitError, OptionError
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws

_MAX_EFFECTS = 4000  # random effects of one component, which are a dense matrix here
_CHUNK = 4_000_000  # numbers in one stack of matrices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The rows of one group to leave out, as crossproducts.

    Attributes
    ----------
    code : int
        Its level.
    at : (m,) array
        Random effects of the component that touch its rows.
    C : (m, m) array
        ``Z'W Z`` of these.
    E : (m, p + 1) array
        ``Z'W [X y]`` with y without the offset.
    F : (p + 1, p + 1) array
        ``[X y]'W [X y]``.
    rows : int
    log_w : float
        Sum of the logarithms of the weights.
    """

    code: int
    at: IntArray
    C: FloatArray
    E: FloatArray
    F: FloatArray
    rows: int
    log_w: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component:
    """Rows that share random effects with no other row.

    Attributes
    ----------
    q : int
        Number of random effects.
    terms : tuple of (int, int, int)
        Term, first column, number of levels; a term's columns lie level by level.
    groups : tuple of Group
    """

    q: int
    terms: tuple[tuple[int, int, int], ...]
    groups: tuple[Group, ...]


def choose_factor(design: Design, name: str | None) -> int:
    """Find the factor whose groups are to be left out.

    By default the factor in which all others are nested.

    Raises
    ------
    OptionError
        If there is no such factor, or none of that name.
    """
    names = [factor.name for factor in design.factors]
    if name is not None:
        if name not in names:
            raise OptionError(f"{name!r} is no grouping factor; known: {', '.join(names)}")
        return names.index(name)
    outer = [f for f in range(len(names)) if _contains_all(design, f)]
    if not outer:
        raise OptionError(
            "no grouping factor contains all others; say which groups to leave out: group= one of "
            + ", ".join(names)
        )
    return min(outer, key=lambda f: len(design.factors[f].levels))


def _contains_all(design: Design, f: int) -> bool:
    """Whether each level of every other factor lies in one level of factor `f`."""
    outer = design.factors[f]
    return all(
        len(np.unique(other.codes.astype(np.int64) * len(outer.levels) + outer.codes))
        == len(other.levels)
        for other in design.factors
    )


def group_log_likelihood(
    data: Any, design: Design, f: int, *, chosen: IntArray | None = None
) -> FloatArray:
    """Log-density of each group's rows given all other rows, for each draw.

    Parameters
    ----------
    data : DataTree
    design : Design
    f : int
        The factor whose groups are left out.
    chosen : array of int, optional
        Which draws, by default all.

    Returns
    -------
    (S, J) array
        Columns in the order of the factor's levels.

    Raises
    ------
    MemoryLimitError
        If too many random effects hang together in one component.
    """
    beta, sigma = fixed_draws(data, design), sigma_draws(data, design)
    covs = covariance_draws(data, design)
    if chosen is not None:
        beta, sigma = beta[chosen], sigma[chosen]
        covs = tuple(cov[chosen] for cov in covs)
    relative = [cov / sigma[:, None, None] ** 2 for cov in covs]
    v = np.column_stack([-beta, np.ones(len(beta))])  # residuals are [X y] v
    out = np.empty((len(sigma), len(design.factors[f].levels)))
    for component in components(design, f):
        size = max(1, _CHUNK // max(1, component.q**2))
        for start in range(0, len(sigma), size):
            part = slice(start, start + size)
            out[part, [group.code for group in component.groups]] = _log_density(
                component, [cov[part] for cov in relative], v[part], sigma[part]
            )
    return out


def _log_density(
    component: Component, relative: list[FloatArray], v: FloatArray, sigma: FloatArray
) -> FloatArray:
    """Log-densities of a component's groups, shape (S, g)."""
    C = np.zeros((component.q, component.q))
    Zr = np.zeros((len(v), component.q))
    for group in component.groups:
        C[np.ix_(group.at, group.at)] += group.C
        Zr[:, group.at] += v @ group.E.T
    G = _conditional_covariance(component, C, relative)
    b = np.einsum("sqr,sr->sq", G, Zr)  # conditional modes
    values = [
        _group_log_density(group, G[:, group.at[:, None], group.at], b[:, group.at], v, sigma)
        for group in component.groups
    ]
    return np.column_stack(values)


def _group_log_density(
    group: Group, G: FloatArray, b: FloatArray, v: FloatArray, sigma: FloatArray
) -> FloatArray:
    """The formula of this module's docstring for one group and every draw, shape (S,)."""
    Zr, bC = v @ group.E.T, b @ group.C
    P = np.eye(len(group.at)) - G @ group.C
    Zg = Zr - bC  # Z_j'g, as g = W (r - Z_j b)
    gWg = np.einsum("sr,rt,st->s", v, group.F, v) - np.sum(b * (Zr + Zg), axis=1)
    middle = np.linalg.solve(P, G @ Zg[:, :, None])[:, :, 0]
    quadratic = gWg + np.sum(Zg * middle, axis=1)
    log_det = group.log_w + np.linalg.slogdet(P)[1]
    density: FloatArray = -0.5 * (
        group.rows * np.log(2.0 * np.pi * sigma**2) - log_det + quadratic / sigma**2
    )
    return density


def _conditional_covariance(
    component: Component, C: FloatArray, relative: list[FloatArray]
) -> FloatArray:
    """``G`` for each draw, shape (S, q, q)."""
    q = component.q
    prior = np.zeros((len(relative[0]), q, q))
    for term, start, levels in component.terms:
        cov = relative[term]
        k = cov.shape[1]
        for first in range(start, start + levels * k, k):
            prior[:, first : first + k, first : first + k] = cov
    inner = np.eye(q) + prior @ C
    G = np.linalg.solve(inner, prior)
    out: FloatArray = 0.5 * (G + np.swapaxes(G, 1, 2))
    return out


def components(design: Design, f: int) -> Iterator[Component]:
    """Take the design apart into rows that share no group."""
    labels = _row_components(design)
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    for rows in np.split(order, ends):
        yield _component(design, f, rows)


def _row_components(design: Design) -> IntArray:
    """Number of the connected component of each row."""
    sizes = [len(factor.levels) for factor in design.factors]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    nodes = [factor.codes + start for factor, start in zip(design.factors, starts, strict=False)]
    first = np.tile(nodes[0], len(nodes))
    graph = coo_array(
        (np.ones(first.size), (first, np.concatenate(nodes))), shape=(starts[-1], starts[-1])
    )
    labels: IntArray = connected_components(graph, directed=False)[1][nodes[0]]
    return labels


def _component(design: Design, f: int, rows: IntArray) -> Component:
    w = np.ones(len(rows)) if design.weights is None else design.weights[rows]
    y = design.y[rows] if design.offset is None else design.y[rows] - design.offset[rows]
    Xy = np.column_stack([design.X[rows], y])
    codes = [np.unique(factor.codes[rows], return_inverse=True) for factor in design.factors]
    sizes = [len(codes[t.factor][0]) * len(t.columns) for t in design.terms]
    if sum(sizes) > _MAX_EFFECTS:
        raise MemoryLimitError(
            f"{sum(sizes)} random effects hang together; leaving groups out needs dense matrices "
            f"of that size for every draw (at most {_MAX_EFFECTS}); use loo() by rows"
        )
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    own = codes[f][1]
    groups = []
    for g, code in enumerate(codes[f][0].tolist()):
        mine = np.flatnonzero(own == g)
        Z, at = _dense_z(design, rows[mine], [c[1][mine] for c in codes], starts)
        wZ = w[mine, None] * Z
        groups.append(
            Group(
                code=code,
                at=at,
                C=Z.T @ wZ,
                E=wZ.T @ Xy[mine],
                F=Xy[mine].T @ (w[mine, None] * Xy[mine]),
                rows=len(mine),
                log_w=float(np.log(w[mine]).sum()),
            )
        )
    terms = tuple(
        (t, start, len(codes[term.factor][0]))
        for t, (term, start) in enumerate(zip(design.terms, starts, strict=False))
    )
    return Component(q=starts[-1], terms=terms, groups=tuple(groups))


def _dense_z(
    design: Design, rows: IntArray, codes: list[IntArray], starts: list[int]
) -> tuple[FloatArray, IntArray]:
    """Z of some rows: the columns that are not empty, and their places in the component."""
    places, values = [], []
    for term, start in zip(design.terms, starts, strict=False):
        k = len(term.columns)
        places.append(start + k * codes[term.factor][:, None] + np.arange(k))
        values.append(term.X[rows])
    at, inverse = np.unique(np.hstack(places), return_inverse=True)
    Z = np.zeros((len(rows), len(at)))
    np.put_along_axis(Z, inverse.reshape(len(rows), -1), np.hstack(values), axis=1)
    return Z, at
