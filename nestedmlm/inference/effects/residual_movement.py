"""Movement of V with all its parameters where residuals differ or correlate.

Parameters are the random effects' free ones, those of the residuals, and log sigma. Both methods of
small samples take from here the asymptotic covariance of the parameters (by the observed
information) and what moving them does to the fixed effects' information.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.identified_inverse import twice_inverse
from nestedmlm.inference.fitted import Fitted, once_per_fit
from nestedmlm.inference.variances.directions import Directions, parameter_directions
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.plan import flat_of_theta
from nestedmlm.optimum.residual_objective import residual_point
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import cut_into_blocks
from nestedmlm.statistics.pair_sums import PairSums

_NOTHING = 1e-14  # share of the largest eigenvalue below which a direction adds nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Movement:
    """Movement of V with the parameters at a fit.

    Attributes
    ----------
    Phi : (p, p) array
        Covariance of the fixed effects in scaled columns, relative to sigma^2.
    S_dot : (n, r, r) array
        Derivatives of ``[X y]'V^-1[X y]`` in the free parameters; log sigma is not among them.
    spread : (n + 1, n + 1) array
        Asymptotic covariance of the parameters, log sigma last.
    directions : Directions
        Of the random effects: derivatives of ``T T'`` in the first parameters.
    n_free : int
        How many parameters are the residuals'.
    left_out, flat : int
        Parameters of collapsed columns, and directions that nothing is known of.
    """

    Phi: FloatArray
    S_dot: FloatArray
    spread: FloatArray
    directions: Directions
    n_free: int
    left_out: int
    flat: int


@once_per_fit
def covariance_movement(fitted: Fitted) -> Movement:
    """Differentiate the criterion and the fixed effects' information at a fit.

    Parameters
    ----------
    fitted : Fitted
        With residuals that differ or correlate.
    """
    s = fitted.solution
    phi, n_theta = fitted.phi, s.plan.n_theta
    directions, free = parameter_directions(phi, s.plan)
    point = residual_point(s.stats, s.plan, phi, fitted.REML)
    kept = np.concatenate([free, np.arange(n_theta, len(point.point))]).astype(int)
    found, ev = point.second_order, point.evaluation
    df = degrees(s.stats, fitted.REML).df
    s2, n, p = ev.r2 / df, len(kept), s.stats.p
    share = np.einsum("qab,a,b->q", found.S_dot[kept], ev.v, ev.v) / s2  # the square of s2 may be 0
    H = np.empty((n + 1, n + 1))
    H[:n, :n] = found.hessian[np.ix_(kept, kept)] + np.outer(share, share) / df
    H[n, :n] = H[:n, n] = -2.0 * share
    H[n, n] = 4.0 * df
    spread, flat = twice_inverse(H)
    return Movement(
        Phi=ev.S_inverse[:p, :p],
        S_dot=found.S_dot[kept],
        spread=spread,
        directions=directions,
        n_free=len(point.free),
        left_out=n_theta - len(free),
        flat=flat,
    )


def moved_products(fitted: Fitted, moved: Movement) -> FloatArray:
    """``sum_ij W_ij X'V^-1 V_i V^-1 V_j V^-1 X`` with W the parameters' covariance, (p, p).

    One eigenvector of W at a time: rows ``f = V_u V^-1 X``, and ``f'V^-1 f`` by an elimination with
    f in the place of the right-hand sides.
    """
    s = fitted.solution
    at, p = s.stats.residual, s.stats.p
    assert at is not None
    sums = at.sums
    b, B = elimination.solve(s.stats, s.state)
    rest = sums.Y[:p].T - _rows(sums, b[:, :p])
    values, vectors = np.linalg.eigh(moved.spread)
    out, n_d = np.zeros((p, p)), len(moved.directions)
    T = flat_of_theta(s.theta, s.plan, s.stats) if s.plan.n_theta else np.zeros(0)
    solved = np.empty_like(rest)
    for rows, R in at.model.matrices(at.free):
        solved[rows] = np.linalg.solve(R, rest[rows])
    for value, u in zip(values, vectors.T, strict=True):
        if value <= _NOTHING * values[-1]:
            continue
        f = 2.0 * u[-1] * sums.Y[:p].T
        if moved.n_free:
            own = u[n_d : n_d + moved.n_free]
            for rows, slope in at.model.slopes(at.free, own):
                f[rows] += slope @ solved[rows]
        if n_d:
            f += _rows(sums, _moved_effects(s.stats, moved.directions, u[:n_d], B[:, :p]))
        other = _with_right(sums, f.T).mixed(at.free, at.c, 0.0)
        out += value * elimination.eliminate(T, other).S
    return out


def _rows(sums: PairSums, effects: FloatArray) -> FloatArray:
    """``Z effects`` of the rows, scaled, for effects (q, m) in the order of elimination."""
    out = np.zeros((sums.Y.shape[1], effects.shape[1]))
    m = len(sums.chain)
    for f, (part, z) in enumerate(zip(sums.base.parts, (*sums.chain, *sums.trailing), strict=True)):
        levels, basis = part.by_level(effects), sums.base.basis(f)
        if f < m:
            node = sums.nodes[f]
        else:
            own = sums.crossed_parts[f - m]
            node = (sums.columns[f - m] - own.rows.start) // own.k
        if basis is not None:
            levels = np.tensordot(basis, levels, axes=1)
        for a in range(part.k):
            out += z[a][:, None] * levels[node, a]
    return out


def _moved_effects(
    stats: CrossProducts, directions: Directions, u: FloatArray, B: FloatArray
) -> FloatArray:
    out = np.zeros_like(B)
    for f, E, x in zip(directions.factor, directions.matrices, u, strict=True):
        part = stats.parts[f]
        part.by_level(out)[...] += x * np.einsum("ab,jbr->jar", E, part.by_level(B))
    return out


def _with_right(sums: PairSums, Y: FloatArray) -> PairSums:
    """The sums with other right-hand sides."""
    base, r = sums.base, len(Y)
    blocks, crossed = base.blocks, base.crossed
    if blocks:
        s = blocks[0].shape
        blocks = cut_into_blocks(s.K, s.J, base.order.parents, r, most=int(s.J[0]))
    if crossed is not None:
        crossed = replace(crossed, R=np.zeros((len(crossed.Q), r)))
    return replace(sums, base=replace(base, p=r - 1, blocks=blocks, crossed=crossed), Y=Y, B=None)
