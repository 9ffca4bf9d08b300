"""Covariance of the rows' residuals at every draw, where residuals differ or correlate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.sampling.residual_draws import free_draws
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.inference.rows.new_residuals import NewRows
from nestedmlm.posterior.draws import stacked
from nestedmlm.statistics.residual_model import ResidualModel, residual_model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualDraws:
    """The residuals' covariance at S draws, relative to sigma^2 and without the prior weights.

    Attributes
    ----------
    model : ResidualModel
    free : (S, n_free) array
        Its free parameters.
    """

    model: ResidualModel
    free: FloatArray

    @property
    def correlated(self) -> bool:
        """Whether residuals correlate within blocks."""
        return self.model.structure is not None

    def row_sd(self) -> FloatArray:
        """Standard deviation of each row, (S, n)."""
        m = self.model
        out: FloatArray = np.exp(self.free[:, : m.q] @ m.classes.T)[:, m.row_class]
        if m.structure is None or not m.structure.is_root:
            return out
        visit = m.time.astype(np.int64)
        for cut, by_size in zip(m.cuts, m.blocks, strict=True):
            rows = np.concatenate([own.ravel() for own in by_size])
            sd = [np.sqrt(np.diag(m.structure.matrix(x, m.levels))) for x in self.free[:, cut]]
            out[:, rows] *= np.array(sd)[:, visit[rows]]
        return out

    def new_row_sd(self, design: Design, data: Any) -> FloatArray:
        """Standard deviation of new rows, (S, m); see `NewRows` for what is refused."""
        assert design.residual is not None
        rows = NewRows(design.residual, self.model, design, data)
        return np.sqrt([rows.variance(free) for free in self.free]).reshape(-1, Frame(data).n)

    def noise(self, rng: np.random.Generator) -> FloatArray:
        """One draw of all residuals over sigma and the root of the weights, for each draw."""
        out = rng.standard_normal((len(self.free), len(self.model.row_class)))
        for own, free in zip(out, self.free, strict=True):
            for rows, root in self.model.roots(free):
                own[rows] = np.einsum("bij,bj->bi", root, own[rows])
        return out

    def coefficients(self) -> FloatArray:
        """Coefficients of the pairs of rows that make ``R^-1``, (S, M)."""
        return np.array([self.model.coefficients(free)[0] for free in self.free])

    def conditional(self, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What is left of each row's residual given those of its block, and its SD over sigma.

        Parameters
        ----------
        rest : (S, n) array
            Residuals times the root of the weights.

        Returns
        -------
        left, sd : (S, n) arrays
            ``(R^-1 e)_t / (R^-1)_tt`` and ``(R^-1)_tt^-1/2``.
        """
        left, sd = np.empty_like(rest), np.empty_like(rest)
        for s, free in enumerate(self.free):
            for rows, R in self.model.matrices(free):
                inverse = np.linalg.inv(R)
                own = np.einsum("bkk->bk", inverse)
                left[s, rows] = np.einsum("bij,bj->bi", inverse, rest[s, rows]) / own
                sd[s, rows] = own**-0.5
        return left, sd

    def joint(self, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``log|R|`` and ``e' R^-1 e`` of all blocks, (S,) each.

        Parameters
        ----------
        rest : (S, n) array
            Residuals over sigma, times the root of the weights.
        """
        logdet, quadratic = np.zeros(len(rest)), np.zeros(len(rest))
        for s, free in enumerate(self.free):
            for rows, R in self.model.matrices(free):
                own = rest[s, rows]
                logdet[s] += np.linalg.slogdet(R)[1].sum()
                quadratic[s] += np.sum(own * np.linalg.solve(R, own[..., None])[..., 0])
        return logdet, quadratic

    def chosen(self, draws: IntArray) -> ResidualDraws:
        """Those of some draws."""
        return replace(self, free=self.free[draws])


def residual_draws(
    data: Any, design: Design, model: ResidualModel | None = None
) -> ResidualDraws | None:
    """The residuals' covariance of a posterior; None where residuals neither differ nor correlate.

    Parameters
    ----------
    data : DataTree
    design : Design
    model : ResidualModel, optional
        Of other rows, whose free parameters are wanted.
    """
    if design.residual is None:
        return None
    model = residual_model(design.residual) if model is None else model
    return ResidualDraws(model=model, free=free_draws(design, model, _variables(data, design)))


def mean_residuals(data: Any, design: Design, model: ResidualModel) -> FloatArray:
    """Free parameters at the posterior means of standard deviations and correlations."""
    means = {
        name: value.mean(axis=0, keepdims=True) for name, value in _variables(data, design).items()
    }
    out: FloatArray = free_draws(design, model, means)[0]
    return out


def _variables(data: Any, design: Design) -> dict[str, np.ndarray]:
    names = parameter_names(design)
    return {name: stacked(data, name) for name in (names.sigma, *names.residual.variables)}
