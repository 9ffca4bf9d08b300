"""What both small-sample methods are made of, from the elimination's factors (layer 5).

With ``V = W^{-1} + sum_r gamma_r Z E_r Z'`` relative to sigma^2, ``S = X'V^{-1}X``,
``e = V^{-1}(y - X beta)`` and ``P = V^{-1} - V^{-1}X S^{-1}X'V^{-1}``, all in scaled columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm import elimination
from nestedmlm._typing import FloatArray
from nestedmlm.criterion import profile
from nestedmlm.inference.directions import Directions
from nestedmlm.inference.traces import pair_traces, traces
from nestedmlm.parameters import flat_of_theta, phi_of_theta

if TYPE_CHECKING:
    from nestedmlm.design import Design
    from nestedmlm.reml.penalty import Penalty
    from nestedmlm.results import Solution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitParts:
    """What inference needs of a fit.

    Attributes
    ----------
    design : Design
    solution : Solution
        The model at the optimum.
    REML : bool
    penalty : Penalty or None
    """

    design: Design
    solution: Solution
    REML: bool
    penalty: Penalty | None = None

    @property
    def residual_df(self) -> float:
        """Rows minus fixed effects."""
        return float(self.design.n - self.design.p)

    @property
    def phi(self) -> FloatArray:
        """The unbounded covariance parameters, in scaled columns."""
        s = self.solution
        return phi_of_theta(s.theta, s.plan, s.stats)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over the covariance for some directions.

    Attributes
    ----------
    Phi : (p, p) array
        ``S^{-1}``.
    N : (n_d, n_d) array
        ``tr(V^{-1} Z E_r Z' V^{-1} Z E_s Z')``.
    t : (n_d,) array
        ``tr(V^{-1} Z E_r Z')``.
    Pi : (n_d, p, p) array
        ``X'V^{-1} Z E_r Z' V^{-1}X``.
    Q : (n_d, n_d, p, p) array
        ``X'V^{-1} Z E_r Z' V^{-1} Z E_s Z' V^{-1}X``.
    slope : (n_d,) array
        ``e' Z E_r Z' e``, minus the derivative of the residual sum of squares.
    bend : (n_d, n_d) array
        ``e' Z E_r Z' P Z E_s Z' e``, half its second derivative.
    """

    Phi: FloatArray
    N: FloatArray
    t: FloatArray
    Pi: FloatArray
    Q: FloatArray
    slope: FloatArray
    bend: FloatArray


def moments(parts: FitParts, directions: Directions) -> Moments:
    """Add everything up; costs one elimination per pair of directions, not per row."""
    s = parts.solution
    stats, n_d, p = s.stats, len(directions), s.stats.p
    T = flat_of_theta(s.theta, s.plan, stats)
    _, _, v, inverse = profile(s.state.S)
    Phi = inverse[:p, :p]
    _, B = elimination.solve(stats.arrays, s.state)
    F = np.zeros((len(B), n_d, p + 1))
    for d, (f, E) in enumerate(zip(directions.factor, directions.matrices, strict=True)):
        start, end = factor_rows(parts)[f]
        own = B[start:end].reshape(-1, len(E), p + 1)
        F[start:end, d] = np.einsum("ab,jbc->jac", E, own).reshape(end - start, p + 1)
    gram = elimination.gram(stats.arrays, s.state, F.reshape(len(B), n_d * (p + 1)))
    gram = gram.reshape(n_d, p + 1, n_d, p + 1).transpose(0, 2, 1, 3)
    sandwich = np.einsum("qi,qdj->dij", B, F)  # B' E_r B, with the response as last column
    fixed = sandwich[:, :p, :] @ v  # X'V^{-1} Z E_r Z' e
    return Moments(
        Phi=Phi,
        N=pair_traces(stats, s.state, directions),
        t=traces(T, stats, s.state, directions),
        Pi=sandwich[:, :p, :p],
        Q=gram[:, :, :p, :p],
        slope=np.einsum("i,dij,j->d", v, sandwich, v),
        bend=np.einsum("i,rsij,j->rs", v, gram, v) - fixed @ Phi @ fixed.T,
    )


def factor_rows(parts: FitParts) -> list[tuple[int, int]]:
    """First and last row of each factor where random effects are stacked in elimination order."""
    plan, stats = parts.solution.plan, parts.solution.stats
    levels = [len(parts.design.factors[f].levels) for f in stats.order]
    ends = np.cumsum([0, *(j * k for j, k in zip(levels, plan.widths, strict=True))]).tolist()
    return list(pairwise(ends))
