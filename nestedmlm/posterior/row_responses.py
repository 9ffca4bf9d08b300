"""Responses of rows given their linear predictors: normal ones, or those of a family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import dispersion_of, sampled_parameters
from nestedmlm.design.design import Design
from nestedmlm.families import Family
from nestedmlm.families.family import possible_means
from nestedmlm.posterior.draws import sigma_draws, stacked
from nestedmlm.posterior.row_residuals import ResidualDraws, residual_draws

type Block = slice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalResponses:
    """Normal responses.

    Attributes
    ----------
    sigma : (S, m) or (S, 1) array
        Residual standard deviation of each row.
    """

    correlated: ClassVar[bool] = False

    sigma: FloatArray

    def mean(self, eta: FloatArray) -> FloatArray:
        """Expected responses."""
        return eta

    def draw(self, eta: FloatArray, block: Block, rng: np.random.Generator) -> FloatArray:
        """Responses at linear predictors of a block of rows, (S, rows)."""
        return eta + self._of(block) * rng.standard_normal(eta.shape)

    def log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of a block's responses, (S, rows)."""
        sigma = self._of(block)
        out: FloatArray = (
            -0.5 * ((y - eta) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2.0 * np.pi)
        )
        return out

    def joint_log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of a block's responses together, (S,)."""
        total: FloatArray = self.log_density(y, eta, block).sum(axis=1)
        return total

    def chosen(self, draws: Any) -> NormalResponses:
        """The same of some draws."""
        return replace(self, sigma=self.sigma[draws])

    def _of(self, block: Block) -> FloatArray:
        return self.sigma if self.sigma.shape[1] == 1 else self.sigma[:, block]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrelatedResponses(NormalResponses):
    """Normal responses of the fitted rows, which correlate: a block of all rows is drawn as one.

    Attributes
    ----------
    scale : (S, 1) or (S, n) array
        Sigma over the root of the prior weights.
    residuals : ResidualDraws
    """

    correlated: ClassVar[bool] = True

    scale: FloatArray
    residuals: ResidualDraws

    def draw(self, eta: FloatArray, block: Block, rng: np.random.Generator) -> FloatArray:
        """Responses at linear predictors of a block of rows, (S, rows)."""
        if block != slice(None):
            return NormalResponses.draw(self, eta, block, rng)
        return eta + self.scale * self.residuals.noise(rng)

    def log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of each row given the other rows, (S, n): all rows are one block.

        Source: Buerkner, Gabry & Vehtari (2021), Computational Statistics 36: 1243-1261.
        """
        left, sd = self.residuals.conditional((y - eta) / self.scale)
        out: FloatArray = (
            -0.5 * (left / sd) ** 2 - np.log(sd * self.scale) - 0.5 * np.log(2.0 * np.pi)
        )
        return out

    def joint_log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of all responses together, (S,)."""
        scale = np.broadcast_to(self.scale, eta.shape)
        logdet, quadratic = self.residuals.joint((y - eta) / scale)
        constant = y.size * np.log(2.0 * np.pi)
        total: FloatArray = -0.5 * (logdet + quadratic + constant) - np.log(scale).sum(axis=1)
        return total

    def chosen(self, draws: Any) -> CorrelatedResponses:
        """The same of some draws."""
        return replace(
            self,
            sigma=self.sigma[draws],
            scale=self.scale[draws],
            residuals=self.residuals.chosen(draws),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilyResponses:
    """Responses of a family.

    Attributes
    ----------
    family : Family
    values : dict of str to (S, 1) array
        Parameters beside the mean.
    weights : (m,) array or None
        Trials, or prior weights.
    """

    correlated: ClassVar[bool] = False

    family: Family
    values: dict[str, FloatArray]
    weights: FloatArray | None

    def mean(self, eta: FloatArray) -> FloatArray:
        """Expected responses."""
        return self.family.link.mu(eta)

    def draw(self, eta: FloatArray, block: Block, rng: np.random.Generator) -> FloatArray:
        """Responses at linear predictors of a block of rows, (S, rows)."""
        mu, a = self.mean(eta), np.broadcast_to(self._weights(block), eta.shape)
        pymc = self.family.pymc
        with possible_means(self.family, mu):
            if pymc is not None and pymc.draw is not None:
                return pymc.draw(mu, a, self.values, rng)
            return self.family.draw(mu, a, self.dispersion(), rng)

    def log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of a block's responses, (S, rows)."""
        a, pymc = self._weights(block), self.family.pymc
        with np.errstate(all="ignore"):
            mean = self.family.link.mean(eta)
            if pymc is not None and pymc.log_density is not None:
                kernel = pymc.log_density(y, mean, a, self.values)
            else:
                kernel = self.family.log_kernel(y, mean, a, self.dispersion())
        out: FloatArray = kernel + self.family.log_constant(y, np.broadcast_to(a, y.shape))
        return np.where(np.isnan(out), -np.inf, out)

    def joint_log_density(self, y: FloatArray, eta: FloatArray, block: Block) -> FloatArray:
        """Log-density of a block's responses together, (S,)."""
        total: FloatArray = self.log_density(y, eta, block).sum(axis=1)
        return total

    def chosen(self, draws: Any) -> FamilyResponses:
        """The same of some draws."""
        return replace(self, values={name: value[draws] for name, value in self.values.items()})

    def of_rows(self, rows: Any) -> FamilyResponses:
        """The same of some rows."""
        return self if self.weights is None else replace(self, weights=self.weights[rows])

    def _weights(self, block: Block) -> Any:
        return np.ones(1) if self.weights is None else self.weights[block]

    def dispersion(self) -> Any:
        """Of every draw, (S, 1), or one number."""
        return dispersion_of(self.family, self.values)


def dispersion_draws(data: Any, family: Family) -> Any:
    """Dispersion of a family in every draw, (S, 1), or the one number that it is."""
    return dispersion_of(family, _values(data, family))


def _values(data: Any, family: Family) -> dict[str, FloatArray]:
    return {p.name: stacked(data, p.name)[:, None] for p in sampled_parameters(family)}


type Responses = NormalResponses | FamilyResponses


def fitted_responses(data: Any, design: Design) -> Responses:
    """How responses of the fitted rows are distributed in each draw."""
    if design.family is not None:
        return _of_family(data, design.family, design.weights)
    scale, own = _scale(data, design, design.weights), residual_draws(data, design)
    if own is None:
        return NormalResponses(sigma=scale)
    sigma = scale * own.row_sd()
    if not own.correlated:
        return NormalResponses(sigma=sigma)
    return CorrelatedResponses(sigma=sigma, scale=scale, residuals=own)


def new_responses(data: Any, design: Design, newdata: Any, weights: FloatArray | None) -> Responses:
    """How responses of other rows are distributed in each draw.

    Parameters
    ----------
    data : DataTree
    design : Design
    newdata : DataFrame or None
        What standard deviations that differ are read from; None where only means are asked for.
    weights : (m,) array or None
        Prior weights, or trials.
    """
    if design.family is not None:
        return _of_family(data, design.family, weights)
    scale = _scale(data, design, weights)
    own = None if newdata is None else residual_draws(data, design)
    return NormalResponses(sigma=scale if own is None else scale * own.new_row_sd(design, newdata))


def _of_family(data: Any, family: Family, weights: FloatArray | None) -> FamilyResponses:
    return FamilyResponses(family=family, values=_values(data, family), weights=weights)


def _scale(data: Any, design: Design, weights: FloatArray | None) -> FloatArray:
    """Sigma over the root of the prior weights, (S, 1) or (S, m)."""
    sigma = sigma_draws(data, design)[:, None]
    return sigma if weights is None else sigma / np.sqrt(weights)
