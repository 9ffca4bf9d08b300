"""Posteriors of a generalized model without some rows, of the same priors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.bayes.density.laplace_density import LaplaceDensity, laplace_density, laplace_fields
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.prior_set import is_conditional
from nestedmlm.bayes.sampling.conditional import draw_laplace_effects
from nestedmlm.bayes.sampling.mode import Peak, find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.design.design import Design
from nestedmlm.errors import SamplingError
from nestedmlm.posterior.draws import covariance_draws, stacked
from nestedmlm.posterior.left_out_family_density import GroupDensities, by_quadrature
from nestedmlm.posterior.reduced_posterior import Refits, rows_kept
from nestedmlm.posterior.row_draws import sample_levels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuadratureDensity(LaplaceDensity):
    """A log-density with random effects integrated out by quadrature, at many points together.

    Its gradient is that of the Laplace approximation, which finds the mode.

    Attributes
    ----------
    design : Design
        With one grouping factor.
    kept : (n,) array of bool
        The rows of the likelihood.
    """

    design: Design
    kept: BoolArray

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows."""
        from nestedmlm.bayes.sampling.posterior_dataset import posterior_dataset  # xarray

        prior, _, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        data = {"posterior": posterior_dataset(self, z[None])}
        with np.errstate(all="ignore"):
            value = prior + GroupDensities(data, self.design).of(self.kept).sum(axis=1)
        return np.where(np.isnan(value), -np.inf, value)


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneralizedRefits(Refits):
    """Refits of a generalized model.

    By importance sampling where random effects can be integrated out, of the Laplace approximation
    where the posterior is of that; otherwise, and where importance sampling is refused, by NUTS.

    Attributes
    ----------
    laplace : bool
        Whether the posterior is of the Laplace approximation.
    """

    laplace: bool

    @cached_property
    def peak(self) -> Peak:
        """The mode of the posterior with all rows, from which the others start."""
        return find_peak(self._density(self.design, np.ones(self.design.n, dtype=bool)))

    @property
    def _integrable(self) -> bool:
        """Whether quadrature gives the posterior's density."""
        return by_quadrature(self.design) and all(
            isinstance(row.prior, Prior) and not is_conditional(row) for row in self.priors.values()
        )

    @cached_property
    def _sampler(self) -> Any:
        from nestedmlm.bayes.sampling.left_out_rows import LeftOutRows  # PyMC

        return LeftOutRows(design=self.design, priors=self.priors)

    def without(self, left_out: BoolArray) -> dict[str, Any]:
        """Draws of the posterior without some rows.

        Random effects are among them where they cannot be integrated out of the rows' densities.
        """
        rest = rows_kept(self.design, left_out)
        if not (self.laplace or self._integrable):
            return {"posterior": self._with_effects(left_out)}
        density = self._density(rest, ~left_out)
        try:
            found = self._by_importance(density)
        except SamplingError:
            if not self.laplace:
                return {"posterior": self._with_effects(left_out)}
            found = self._by_nuts(density)
        if not by_quadrature(self.design):
            found = found.assign(self._effects(found, rest, left_out))
        return {"posterior": found}

    def _density(self, rest: Design, kept: BoolArray) -> LaplaceDensity:
        if self.laplace:
            return laplace_density(self.design, self.priors, rows=rest)
        own = laplace_fields(self.design, self.priors, rest)
        return QuadratureDensity(**own, design=self.design, kept=kept)

    def _by_importance(self, density: LaplaceDensity) -> Any:
        from nestedmlm.bayes.sampling.posterior_dataset import posterior_dataset  # xarray

        peak = find_peak(density, self.peak.x)
        found = psis_sample(density, peak, draws=self.draws, seed=self.seed)
        return posterior_dataset(density, found.points[None])

    def _with_effects(self, left_out: BoolArray) -> Any:
        return self._sampler.sample(left_out, draws=self.draws, seed=self.seed)

    def _effects(self, found: Any, rest: Design, left_out: BoolArray) -> dict[str, Any]:
        """Random effects given the parameters: of levels without rows, draws from their priors."""
        data, rng = {"posterior": found}, np.random.default_rng(self.seed)
        names = parameter_names(self.design)
        draws = {name: stacked(data, name) for name in found.data_vars}
        drawn = draw_laplace_effects(rest, draws, rng)
        shape = (found.sizes["chain"], found.sizes["draw"], -1)
        out = {}
        covariances = covariance_draws(data, self.design)
        for term, own, cov in zip(self.design.terms, names.terms, covariances, strict=True):
            factor = self.design.factors[term.factor]
            seen = np.unique(factor.codes[~left_out])
            effects = sample_levels(cov, len(factor.levels), rng)
            for j, name in enumerate(own.variables):
                effects[:, seen, j] = drawn[name]
                dims = ("chain", "draw", own.factor_dim)
                out[name] = (dims, effects[:, :, j].reshape(shape))
        return out
