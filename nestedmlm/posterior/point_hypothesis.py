"""Bayes factor of a point hypothesis: the Savage-Dickey ratio of densities at the point.

The odds of ``h = 0`` are the posterior's density of h there over the prior's (Dickey & Lientz
1970), the other parameters having the same prior either way. For a linear function of fixed effects
with normal priors both are known but for an average: given the covariances the fixed effects are
normal, so that tails are as exact as the middle. Otherwise both are kernel estimates; in a
generalized model the prior's is exact, and the posterior's a kernel estimate of the draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.marginal_likelihood import contrast, contrast_slopes
from nestedmlm.bayes.density.prior_coordinates import given_prior
from nestedmlm.bayes.density.prior_draws import draw_priors
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet, is_single, require_proper
from nestedmlm.bayes.sampling.conditional import Draws, flat_factor_draws
from nestedmlm.bayes.sampling.residual_draws import free_draws
from nestedmlm.design.design import Design
from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.likelihood.elimination.points import eliminate_points
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.posterior.draws import draw_shape, stacked
from nestedmlm.posterior.prior_groups import prior_coordinates
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums

PRIOR_DRAWS = 100_000  # of a prior whose density is estimated
_LOG_2PI = float(np.log(2.0 * np.pi))
Evaluate = Callable[[Any], FloatArray]  # of a dataset, the difference of a hypothesis' sides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointDensities:
    """Densities of a difference at zero.

    Attributes
    ----------
    log_posterior : (chains, draws) array
        Logarithms of what each draw contributes: the density is the mean.
    log_prior : float
    """

    log_posterior: FloatArray
    log_prior: float

    @property
    def odds(self) -> float:
        """Bayes factor of the point against the rest."""
        values = self.log_posterior
        return float(np.exp(logsumexp(values) - np.log(values.size) - self.log_prior))


def point_densities(
    evaluate: Evaluate, data: Any, design: Design, priors: PriorSet
) -> PointDensities:
    """Densities at zero of a difference, after and before the data.

    Parameters
    ----------
    evaluate : callable
    data : DataTree
    design : Design
    priors : PriorSet

    Raises
    ------
    OptionError
        If a prior is improper or a function, or the hypothesis is of random effects.
    """
    require_proper(priors, "a point has no probability before the data")
    linear = _linear(evaluate, design)
    single = all(is_single(row) for row in priors.values())
    fixed = [given_prior(priors, name) for name in parameter_names(design).fixed] if single else []
    normal = single and all(p.distribution == "Normal" and not p.truncated for p in fixed)
    if linear is None or not normal:
        return _kernel_densities(evaluate, data, design, priors)
    before = _normal_prior(*linear, design, priors)
    if design.family is None:
        return _normal_densities(before, data, design)
    after = _log_kernel(evaluate(data["posterior"].to_dataset()), edge=False)
    return PointDensities(log_posterior=after, log_prior=before.log_density)


def _linear(evaluate: Evaluate, design: Design) -> tuple[float, FloatArray] | None:
    """``c + L beta``, if that is what a difference is."""
    from xarray import Dataset

    names, p = parameter_names(design).fixed, design.p
    points = np.vstack([np.zeros(p), np.eye(p), np.pi * np.arange(1, p + 1) - 1.7])
    columns = {n: (("chain", "draw"), x[None]) for n, x in zip(names, points.T, strict=True)}
    try:
        with np.errstate(all="ignore"):
            found = evaluate(Dataset(columns))[0]
    except FormulaError:  # of something else too
        return None
    constant, L = float(found[0]), found[1:-1] - found[0]
    expected = constant + points[-1] @ L
    same = np.isclose(found[-1], expected, rtol=1e-9, atol=1e-12)
    return (constant, L) if same and np.isfinite(found).all() and L.any() else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _NormalPrior:
    """Of a linear function of the fixed effects, ``constant + L beta_sampled``."""

    constant: float
    L: FloatArray
    mean: FloatArray
    sd: FloatArray

    @property
    def log_density(self) -> float:
        """At zero."""
        centre = self.constant + self.L @ self.mean
        return float(_log_normal(centre, np.sum((self.L * self.sd) ** 2)))


def _normal_prior(constant: float, L: FloatArray, design: Design, priors: PriorSet) -> _NormalPrior:
    own = [given_prior(priors, name) for name in parameter_names(design).fixed]
    mean, sd = (np.array([p[key] for p in own]) for key in ("mu", "sigma"))
    # of the coefficients that have these priors
    return _NormalPrior(constant=constant, L=L @ centring(design).matrix(), mean=mean, sd=sd)


def _normal_densities(before: _NormalPrior, data: Any, design: Design) -> PointDensities:
    names = parameter_names(design)
    draws = {name: stacked(data, name) for name in names.parameters}
    stats, S = _remaining(design, draws)
    C, c = contrast_slopes(design, stats), contrast(stats)
    weight = 1.0 / draws[names.sigma] ** 2
    precision = 1.0 / before.sd**2
    curvature = C.T @ S @ C * weight[:, None, None] + np.diag(precision)
    score = before.mean * precision - (S @ c) @ C * weight[:, None]
    L = before.L
    centre = before.constant + np.linalg.solve(curvature, score[:, :, None])[:, :, 0] @ L
    variance = np.linalg.solve(curvature, np.broadcast_to(L, score.shape)[:, :, None])[:, :, 0] @ L
    return PointDensities(
        log_posterior=_log_normal(centre, variance).reshape(draw_shape(data)),
        log_prior=before.log_density,
    )


def _remaining(design: Design, draws: Draws) -> tuple[CrossProducts, FloatArray]:
    """Statistics of the data, and what remains of them in each draw once effects are eliminated."""
    sums = None if design.residual is None else pair_sums(design)
    stats = cross_products(design) if sums is None else sums.base
    T = flat_factor_draws(design, draws, stats, make_plan(design, stats))
    if sums is None:
        return stats, eliminate_points(T, stats).S
    free = free_draws(design, sums.model, draws)
    own = [eliminate(t, sums.at(x)).S for t, x in zip(T, free, strict=True)]
    return stats, np.array(own)


def _log_normal(mean: Any, variance: Any) -> Any:
    """Log-density of a normal distribution at zero."""
    return -0.5 * (mean**2 / variance + np.log(variance) + _LOG_2PI)


def _kernel_densities(
    evaluate: Evaluate, data: Any, design: Design, priors: PriorSet
) -> PointDensities:
    from nestedmlm.bayes.sampling.posterior_dataset import named_dataset  # xarray

    density = prior_coordinates(design, priors)
    drawn = draw_priors(density, PRIOR_DRAWS, np.random.default_rng(1))
    try:
        before = evaluate(named_dataset(density, drawn, (1, PRIOR_DRAWS)))
    except FormulaError:
        raise OptionError(
            "a point hypothesis is of parameters; of random effects test a small range"
        ) from None
    if np.ptp(before) == 0.0:
        raise OptionError("the hypothesis is of values that are held constant: it is not open")
    # a point at the end of a range, as a standard deviation of zero: both sides of a mirror
    edge = bool(before.min() >= 0.0 or before.max() <= 0.0)
    after = evaluate(data["posterior"].to_dataset())
    log_prior = _log_kernel(before, edge)
    return PointDensities(
        log_posterior=_log_kernel(after, edge),
        log_prior=float(logsumexp(log_prior) - np.log(log_prior.size)),
    )


def _log_kernel(x: FloatArray, edge: bool) -> FloatArray:
    """Log-density at zero of a normal kernel round each draw (Silverman 1986, eq. 3.31)."""
    q = np.quantile(x, (0.25, 0.75))
    spread = min(float(x.std()), float(q[1] - q[0]) / 1.34) or float(x.std())
    width = 0.9 * spread * x.size**-0.2
    out: FloatArray = _log_normal(x, width**2) + (np.log(2.0) if edge else 0.0)
    return out
