"""Chi-bar-square p-values: likelihood ratio tests of variances on the boundary.

At a null hypothesis that puts variances at zero the likelihood ratio statistic is asymptotically
the squared length of a normal vector's projection on a convex cone: a mixture of chi-squared
distributions (Self & Liang 1987; Shapiro 1988; Stram & Lee 1994 for mixed models). The cone holds
the positive semi-definite matrices of each block of new variances; covariances with old columns
are free and only add degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray

ROUNDING = 1e-8  # differences of criteria below this are differences of rounding
_ITERATIONS = 2000  # of a projection before it is taken as it is
_TOLERANCE = 1e-9  # largest change of a coordinate (of unit information) that ends the projection


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChiBar:
    """A mixture of chi-squared distributions, or draws from what is added to one.

    Attributes
    ----------
    free : int
        Degrees of freedom of the unrestricted part.
    weights : (m+1,) array or None
        Probabilities of 0, 1, ... more degrees of freedom.
    draws : array or None
        Where there are no weights (matrix cones): squared lengths of projections.
    text : str
        For messages: ``1/2 chisq(0) + 1/2 chisq(1)``.
    """

    free: int
    weights: FloatArray | None
    draws: FloatArray | None
    text: str

    def pvalue(self, statistic: float) -> float:
        """Probability of a statistic at least as large."""
        if statistic <= ROUNDING:
            return 1.0
        if self.weights is not None:
            tails = [_tail(statistic, self.free + j) for j in range(len(self.weights))]
            return float(self.weights @ np.array(tails))
        assert self.draws is not None
        return float(np.mean(_tail(np.maximum(statistic - self.draws, 0.0), self.free)))


def mixture(
    free: int,
    blocks: Sequence[int],
    information: FloatArray,
    *,
    nsim: int,
    rng: np.random.Generator,
) -> ChiBar:
    """Null distribution of the likelihood ratio statistic.

    Parameters
    ----------
    free : int
        New parameters without a boundary.
    blocks : sequence of int
        Columns of each new covariance matrix; a variance alone is a block of 1.
    information : (m, m) array
        Information on the blocks' entries (lower triangles row by row, block after block) with
        all other parameters profiled out; up to a factor.
    nsim : int
        Draws, where the weights are not known exactly.
    """
    if not blocks:
        return ChiBar(free=free, weights=np.ones(1), draws=None, text=f"chisq({free})")
    if tuple(blocks) == (1,):
        return _weighted(free, np.array([0.5, 0.5]))
    if tuple(blocks) == (1, 1):
        V = np.linalg.inv(information)
        both = 0.25 + float(np.arcsin(V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]))) / (2.0 * np.pi)
        return _weighted(free, np.array([0.5 - both, 0.5, both]))
    z, h, J = _projections(blocks, information, nsim, rng)
    if all(k == 1 for k in blocks):
        counts = np.bincount(np.sum(h > 0, axis=1), minlength=len(blocks) + 1)
        return _weighted(free, counts / nsim)
    lengths = np.einsum("ni,ij,nj->n", z, J, z) - np.einsum("ni,ij,nj->n", z - h, J, z - h)
    text = f"chisq({free}) + projection on covariances of sizes {tuple(blocks)}, {nsim} draws"
    return ChiBar(free=free, weights=None, draws=np.maximum(lengths, 0.0), text=text)


def _weighted(free: int, weights: FloatArray) -> ChiBar:
    known = {0.5: "1/2", 0.25: "1/4"}
    parts = [
        f"{known.get(w, f'{w:.3f}')} chisq({free + j})" for j, w in enumerate(weights.tolist())
    ]
    return ChiBar(free=free, weights=weights, draws=None, text=" + ".join(parts))


def _tail(x: float | FloatArray, df: int) -> FloatArray:
    """Upper tail of chi-squared; with 0 degrees of freedom all mass is at zero."""
    from scipy.special import chdtrc

    if df == 0:
        return np.where(np.asarray(x) <= 0.0, 1.0, 0.0)
    return np.asarray(chdtrc(df, x), dtype=float)


def _projections(
    blocks: Sequence[int], information: FloatArray, nsim: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal vectors, their projections on the cone, and the metric.

    Coordinates in which the cone's own distance is the Euclidean one (off-diagonals times root
    two), each column scaled to unit information; accelerated projected gradient (Beck & Teboulle
    2009), all vectors at once.
    """
    diagonal = np.concatenate([np.eye(k, dtype=bool)[np.tril_indices(k)] for k in blocks])
    unit = _unit_scale(blocks, np.sqrt(np.sqrt(np.diag(information)[diagonal])))
    scale = unit * np.where(diagonal, 1.0, np.sqrt(0.5))
    J = information * np.outer(scale, scale)
    L = np.linalg.cholesky(J)
    z = np.linalg.solve(L.T, rng.standard_normal((len(J), nsim))).T
    step = 1.0 / float(np.linalg.eigvalsh(J)[-1])
    h = _to_cone(z, blocks)
    ahead, momentum = h, 1.0
    for _ in range(_ITERATIONS):
        new = _to_cone(ahead - step * (ahead - z) @ J, blocks)
        change = float(np.max(np.abs(new - h)))
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = new + (momentum - 1.0) / following * (new - h)
        h, momentum = new, following
        if change < _TOLERANCE:
            break
    return z, h, J


def _unit_scale(blocks: Sequence[int], root: FloatArray) -> FloatArray:
    """Product of the two columns' scales for every entry."""
    out, at = [], 0
    for k in blocks:
        s = 1.0 / root[at : at + k]
        rows, cols = np.tril_indices(k)
        out.append(s[rows] * s[cols])
        at += k
    return np.concatenate(out)


def _to_cone(h: FloatArray, blocks: Sequence[int]) -> FloatArray:
    """Nearest positive semi-definite matrices, in scaled lower-triangle coordinates."""
    out, at = np.empty_like(h), 0
    for k in blocks:
        rows, cols = np.tril_indices(k)
        size = len(rows)
        own = h[:, at : at + size]
        if k == 1:
            out[:, at : at + size] = np.maximum(own, 0.0)
        else:
            factor = np.where(rows == cols, 1.0, np.sqrt(0.5))
            S = np.zeros((len(h), k, k))
            S[:, rows, cols] = S[:, cols, rows] = own * factor
            values, vectors = np.linalg.eigh(S)
            S = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
            out[:, at : at + size] = S[:, rows, cols] / factor
        at += size
    return out
