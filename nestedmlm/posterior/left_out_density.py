"""Log-density of left-out rows given the others, random effects integrated out.

With ``V = W^{-1} + Z Sigma Z' / sigma^2`` and ``r = y - X beta - offset``, the rows j of one unit
(a group, a row) given all others are Gaussian with precision ``A = (V^{-1})_jj / sigma^2`` and

    log p(y_j | y_-j) = -1/2 [ n_j log(2 pi sigma^2) - log|A_jj| + g' A_jj^{-1} g / sigma^2 ],

``g = (V^{-1} r)_j``, where A_jj here is the block of ``V^{-1}``. Nothing of size n is formed:
``V^{-1} = W - W Z G Z'W`` with ``G = Sigma/sigma^2 (I + Z'WZ Sigma/sigma^2)^{-1}``, so that with
``C = Z_j'W Z_j``, ``g = W (r - Z_j b)``, b the conditional modes, and ``P = I - G_jj C``

    log|A_jj| = log|W_j| + log|P|,     g'A^{-1}g = g'W^{-1}g + (Z_j'g)' P^{-1} G_jj (Z_j'g).

Where G and b are of other rows than the unit's (several units are left out at once), its rows are
Gaussian around ``Z_j b`` with covariance ``W_j^{-1} + Z_j G_jj Z_j'``: the same with ``-G_jj`` in
the place of ``G_jj`` in P and in the quadratic form, and ``-log|P|``.

Rows fall apart into components that share no group; each is done by itself, for many draws at
once. In a nested design the outermost factor's groups are the components and the formula is the
group's own marginal likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nestedmlm._typing import BoolArray, FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_related
from nestedmlm.errors import MemoryLimitError, OptionError
from nestedmlm.posterior.draws import MarginalDraws

_MAX_EFFECTS = 4000  # random effects of one component, which are a dense matrix here
_CHUNK = 4_000_000  # numbers in one stack of matrices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """The rows of one unit to leave out, as crossproducts.

    Attributes
    ----------
    code : int
        Its number.
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
    z, xy : arrays
        Of its first row: all there is where a unit is a row.
    """

    code: int
    at: IntArray
    C: FloatArray
    E: FloatArray
    F: FloatArray
    rows: int
    log_w: float
    z: FloatArray
    xy: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component:
    """Rows that share random effects with no other row.

    Attributes
    ----------
    q : int
        Number of random effects.
    terms : tuple of (int, int, int)
        Term, first column, number of levels; a term's columns lie level by level.
    units : tuple of Unit
    """

    q: int
    terms: tuple[tuple[int, int, int], ...]
    units: tuple[Unit, ...]


def choose_factor(design: Design, name: str | None) -> int:
    """Find the factor whose groups are to be left out.

    By default the factor in which all others are nested.

    Raises
    ------
    OptionError
        If there is no such factor, or none of that name.
    """
    names = {factor.name: f for f, factor in enumerate(design.factors) if not factor.is_whole}
    if name is not None:
        if name not in names:
            raise OptionError(f"{name!r} is no grouping factor; known: {', '.join(names)}")
        return names[name]
    outer = [f for f in names.values() if _contains_all(design, f)]
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
        if not other.is_whole
    )


def left_out_log_density(
    draws: MarginalDraws, design: Design, units: IntArray, *, held: BoolArray | None = None
) -> FloatArray:
    """Log-density of units of rows given other rows, for each draw.

    Parameters
    ----------
    draws : MarginalDraws
    design : Design
    units : (n,) array of int
        The unit of each row: 0, 1, …, none missing.
    held : (U,) array of bool, optional
        Units that are left out together: each is predicted from those that are not. By default
        each is predicted from all others.

    Returns
    -------
    (S, U) array
        NaN for units that are not `held`.

    Raises
    ------
    MemoryLimitError
        If too many random effects hang together in one component.
    RelationshipError
        If levels of a factor are related.
    """
    refuse_related(design.factors, "the density of what is left out")
    count = int(units.max()) + 1
    out = np.full((len(draws.sigma), count), np.nan)
    relative = [cov / draws.sigma[:, None, None] ** 2 for cov in draws.covariances]
    v = np.column_stack([-draws.beta, np.ones(len(draws.beta))])  # residuals are [X y] v
    log_density = _of_rows if count == design.n else _of_units
    for component in components(design, units):
        codes = np.array([unit.code for unit in component.units])
        asked = np.ones(len(codes), dtype=bool) if held is None else held[codes]
        if not asked.any():
            continue
        size = max(1, _CHUNK // max(1, component.q * (component.q + len(codes))))
        for start in range(0, len(v), size):
            part = slice(start, start + size)
            out[part, codes[asked]] = log_density(
                component,
                [cov[part] for cov in relative],
                v[part],
                draws.sigma[part],
                None if held is None else asked,
            )
    return out


def _training(
    component: Component, relative: list[FloatArray], v: FloatArray, held: BoolArray | None
) -> tuple[FloatArray, FloatArray]:
    """``G`` and the conditional modes, given the units that are not held out."""
    C = np.zeros((component.q, component.q))
    Zr = np.zeros((len(v), component.q))
    for i, unit in enumerate(component.units):
        if held is None or not held[i]:
            C[np.ix_(unit.at, unit.at)] += unit.C
            Zr[:, unit.at] += v @ unit.E.T
    G = _conditional_covariance(component, C, relative)
    return G, np.einsum("sqr,sr->sq", G, Zr)


def _of_units(
    component: Component, relative: list[FloatArray], v: FloatArray, sigma: FloatArray,
    held: BoolArray | None,
) -> FloatArray:  # fmt: skip
    """Log-densities of a component's units that are asked for, shape (S, g)."""
    G, b = _training(component, relative, v, held)
    sign = -1.0 if held is None else 1.0
    values = []
    for i, unit in enumerate(component.units):
        if held is None or held[i]:
            own = G[:, unit.at[:, None], unit.at]
            values.append(_unit_log_density(unit, own, b[:, unit.at], v, sigma, sign))
    return np.column_stack(values)


def _unit_log_density(
    unit: Unit, G: FloatArray, b: FloatArray, v: FloatArray, sigma: FloatArray, sign: float
) -> FloatArray:
    """The formula of this module's docstring for one unit and every draw, shape (S,)."""
    Zr, bC = v @ unit.E.T, b @ unit.C
    P = np.eye(len(unit.at)) + sign * G @ unit.C
    Zg = Zr - bC  # Z_j'g, as g = W (r - Z_j b)
    gWg = np.einsum("sr,rt,st->s", v, unit.F, v) - np.sum(b * (Zr + Zg), axis=1)
    middle = np.linalg.solve(P, G @ Zg[:, :, None])[:, :, 0]
    quadratic = gWg - sign * np.sum(Zg * middle, axis=1)
    log_det = unit.log_w - sign * np.linalg.slogdet(P)[1]
    density: FloatArray = -0.5 * (
        unit.rows * np.log(2.0 * np.pi * sigma**2) - log_det + quadratic / sigma**2
    )
    return density


def _of_rows(
    component: Component, relative: list[FloatArray], v: FloatArray, sigma: FloatArray,
    held: BoolArray | None,
) -> FloatArray:  # fmt: skip
    """The same where every unit is one row, for all rows at once."""
    G, b = _training(component, relative, v, held)
    own = [unit for i, unit in enumerate(component.units) if held is None or held[i]]
    w = np.exp([unit.log_w for unit in own])
    Z, Xy = np.zeros((len(own), component.q)), np.empty((len(own), v.shape[1]))
    for i, unit in enumerate(own):
        Z[i, unit.at], Xy[i] = unit.z, unit.xy
    spread = np.einsum("sqn,nq->sn", G @ Z.T, Z)
    away = v @ Xy.T - b @ Z.T
    if held is None:  # precision w - w^2 z'Gz, and g = w (r - z'b)
        variance = 1.0 / (w * (1.0 - w * spread))
        away = w * away * variance
    else:
        variance = 1.0 / w + spread
    scaled = variance * sigma[:, None] ** 2
    out: FloatArray = -0.5 * (np.log(2.0 * np.pi * scaled) + away**2 / scaled)
    return out


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


def components(design: Design, units: IntArray) -> Iterator[Component]:
    """Take the design apart into rows that share no group, and these into units."""
    labels = _row_components(design)
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    for rows in np.split(order, ends):
        yield _component(design, units, rows)


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


def _component(design: Design, units: IntArray, rows: IntArray) -> Component:
    w = np.ones(len(rows)) if design.weights is None else design.weights[rows]
    y = design.y[rows] if design.offset is None else design.y[rows] - design.offset[rows]
    Xy = np.column_stack([design.X[rows], y])
    codes = [np.unique(factor.codes[rows], return_inverse=True) for factor in design.factors]
    sizes = [len(codes[t.factor][0]) * len(t.columns) for t in design.terms]
    if sum(sizes) > _MAX_EFFECTS:
        raise MemoryLimitError(
            f"{sum(sizes)} random effects hang together; integrating them out needs dense matrices "
            f"of that size for every draw (at most {_MAX_EFFECTS}); use loo() by rows"
        )
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    numbers, own = np.unique(units[rows], return_inverse=True)
    order = np.argsort(own, kind="stable")
    ends = np.cumsum(np.bincount(own))[:-1]
    found = []
    for code, mine in zip(numbers.tolist(), np.split(order, ends), strict=True):
        Z, at = _dense_z(design, rows[mine], [c[1][mine] for c in codes], starts)
        wZ = w[mine, None] * Z
        found.append(
            Unit(
                code=code,
                at=at,
                C=Z.T @ wZ,
                E=wZ.T @ Xy[mine],
                F=Xy[mine].T @ (w[mine, None] * Xy[mine]),
                rows=len(mine),
                log_w=float(np.log(w[mine]).sum()),
                z=Z[0],
                xy=Xy[mine[0]],
            )
        )
    terms = tuple(
        (t, start, len(codes[term.factor][0]))
        for t, (term, start) in enumerate(zip(design.terms, starts, strict=False))
    )
    return Component(q=starts[-1], terms=terms, units=tuple(found))


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
