"""The marginal log-likelihood and its gradient; log|M|, S and their adjoints are all it knows.

    log p(y | beta, T, sigma) = -1/2 [ n log 2 pi sigma^2 + log|M| - sum log w + v' S v / sigma^2 ]

with ``(log|M|, S) = eliminate(T)`` and ``v = (-beta, 1)`` in scaled columns: the same elimination
as the REML criterion's, under another head (Bates et al. 2015, eq. 13-20 before profiling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.centring import centring
from nestedmlm.likelihood.elimination import Eliminated, adjoint, eliminate
from nestedmlm.likelihood.elimination.panel_adjoint import panel_adjoint
from nestedmlm.likelihood.elimination.point_gradients import eliminate_with_adjoint
from nestedmlm.likelihood.plan import make_plan, scatters
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.pair_sums import PairSums

Result = tuple[float, FloatArray, FloatArray, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heads:
    """Values and adjoints at m points; NaN and zero where they cannot be evaluated.

    Attributes
    ----------
    value : (m,) array
    entries_bar, beta_bar, sigma_bar : (m, e), (m, p) and (m,) arrays
    """

    value: FloatArray
    entries_bar: FloatArray
    beta_bar: FloatArray
    sigma_bar: FloatArray

    @classmethod
    def nowhere(cls, m: int, entries: int, p: int) -> Heads:
        """They before anything is evaluated."""
        return cls(
            value=np.full(m, np.nan),
            entries_bar=np.zeros((m, entries)),
            beta_bar=np.zeros((m, p)),
            sigma_bar=np.zeros(m),
        )

    def put(self, i: int, found: Result) -> None:
        """Write the result of one point."""
        self.value[i], self.entries_bar[i], self.beta_bar[i], self.sigma_bar[i] = found


def marginal_likelihoods(
    stats: CrossProducts, entries: FloatArray, beta: FloatArray, sigma: FloatArray, P: FloatArray,
    C: FloatArray, c: FloatArray, spread: FloatArray | None = None,
) -> Heads:  # fmt: skip
    """`marginal_likelihood` at points in rows.

    With covariances `spread` of v the adjoints are their means over v.

    Parameters
    ----------
    stats : CrossProducts
    entries, beta, sigma : (m, e), (m, p) and (m,) arrays
    P, C, c : arrays
    spread : (m, p + 1, p + 1) array, optional
    """
    T, v, inverse = entries @ P.T / sigma[:, None], c + beta @ C.T, 1.0 / sigma**2
    squares = v[:, :, None] * v[:, None, :]
    whole = squares if spread is None else squares + spread
    e = eliminate_with_adjoint(T, stats, -0.5, whole * (-0.5 * inverse)[:, None, None])
    Sv = np.einsum("mrs,ms->mr", e.S, v)
    quadratic = np.einsum("mr,mr->m", v, Sv) * inverse
    value = -0.5 * (e.logdet + quadratic)
    if spread is not None:
        quadratic = quadratic + np.einsum("mrs,mrs->m", e.S, spread) * inverse
    T_bar = twice_products(e.M, T, stats.parts)
    return Heads(
        value=value,
        entries_bar=T_bar @ P / sigma[:, None],
        beta_bar=-(Sv @ C) * inverse[:, None],
        sigma_bar=(quadratic - np.sum(T_bar * T, axis=1)) / sigma,
    )


def marginal_likelihood(
    stats: CrossProducts, entries: FloatArray, beta: FloatArray, sigma: float, P: FloatArray,
    C: FloatArray, c: FloatArray, gradient: bool = True,
) -> Result:  # fmt: skip
    """``-1/2 (log|M| + v'Sv / sigma^2)`` at ``T = P entries / sigma``, ``v = c + C beta``.

    What of the log-likelihood needs the data, without its constant and ``-n log sigma``.

    Returns
    -------
    value, entries_bar, beta_bar, sigma_bar
        The adjoints are zero unless `gradient`.
    """
    return _visit(stats, entries, beta, sigma, P, C, c, gradient, None)[0]


def residual_likelihood(
    sums: PairSums, entries: FloatArray, beta: FloatArray, sigma: float, free: FloatArray,
    P: FloatArray, C: FloatArray, c: FloatArray, gradient: bool = True,
    spread: FloatArray | None = None,
) -> tuple[Result, FloatArray]:  # fmt: skip
    """`marginal_likelihood`, and ``-1/2 log|R|``, at free parameters of the residuals.

    With a covariance `spread` of v the adjoints are their means over v.

    Returns
    -------
    Result
    free_bar : (n_free,) array

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no covariance there.
    """
    stats = sums.at(free)
    (value, of_entries, of_beta, of_sigma), e, S_bar = _visit(
        stats, entries, beta, sigma, P, C, c, gradient, spread
    )
    value += 0.5 * (stats.sum_log_w - sums.base.sum_log_w)
    found = value, of_entries, of_beta, of_sigma
    if not gradient or not len(free):
        return found, np.zeros(len(free))
    at = stats.residual
    assert at is not None
    J, L = sums.model.jacobian(free, at.c)
    return found, sums.pull(panel_adjoint(stats, e, -0.5, S_bar)) @ J - 0.5 * L


def _visit(
    stats: CrossProducts, entries: FloatArray, beta: FloatArray, sigma: float, P: FloatArray,
    C: FloatArray, c: FloatArray, gradient: bool, spread: FloatArray | None,
) -> tuple[Result, Eliminated, FloatArray]:  # fmt: skip
    """The likelihood with its adjoints, the elimination, and the adjoint of S."""
    sigma = float(sigma)
    T, v = P @ entries / sigma, c + C @ beta
    e = eliminate(T, stats)
    Sv = e.S @ v
    quadratic, squares = float(v @ Sv) / sigma**2, np.outer(v, v)
    value = -0.5 * (e.logdet + quadratic)
    if spread is not None:
        squares = squares + spread
        quadratic += float(np.sum(e.S * spread)) / sigma**2
    S_bar = squares * (-0.5 / sigma**2)
    if not gradient:
        return (value, np.zeros(len(entries)), np.zeros(len(beta)), 0.0), e, S_bar
    T_bar = twice_products(adjoint(e, -0.5, S_bar), T, stats.parts)
    bars = P.T @ T_bar / sigma, -C.T @ Sv / sigma**2, (quadratic - float(T_bar @ T)) / sigma
    return (value, *bars), e, S_bar


def likelihood_constant(stats: CrossProducts) -> float:
    """The log-likelihood's constant: ``-1/2 (n log 2 pi - sum log w)``."""
    return -0.5 * (stats.n * float(np.log(2.0 * np.pi)) - stats.sum_log_w)


def contrast(stats: CrossProducts) -> FloatArray:
    """The constant part of ``v = (-beta, 1)`` in scaled columns."""
    return np.append(stats.R_x @ stats.beta0, 1.0)


def contrast_slopes(design: Design, stats: CrossProducts) -> FloatArray:
    """The matrix C of ``v = c + C beta``, beta the sampled coefficients (centred predictors)."""
    return np.vstack([-stats.R_x @ centring(design).matrix(), np.zeros(design.p)])


def entry_places(
    entries: Sequence[Sequence[tuple[int, int]]], design: Design, stats: CrossProducts
) -> FloatArray:
    """The matrix P that scales and places the terms' entries: ``T_t = W_t^{-1} D L / sigma``.

    Parameters
    ----------
    entries : for each term the places (row, column) in ``D L`` that are not zero for certain
    design, stats
    """
    columns = []
    places = scatters(make_plan(design, stats))
    for own, place, W in zip(entries, places, stats.transforms, strict=True):
        inverse = np.linalg.inv(W)
        for i, j in own:
            unit = np.zeros_like(W)
            unit[:, j] = inverse[:, i]
            columns.append(place @ unit.ravel())
    return np.column_stack(columns) if columns else np.zeros((0, 0))
