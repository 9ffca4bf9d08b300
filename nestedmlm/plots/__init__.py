"""Pictures of fits: they draw what is computed elsewhere; matplotlib loads on first use.

Every function returns matplotlib axes (an array of them where there are several panels), takes
``ax`` and ``figsize``, and never shows the figure. A fit has them as methods, of which the fit is
the first argument: ``fit.plot.trellis()``. They draw `LmerFit` and `BayesFit` alike where both make
sense.
"""

from __future__ import annotations

from nestedmlm.plots.allocation import allocation
from nestedmlm.plots.assurance import assurance
from nestedmlm.plots.autocorrelation import acf
from nestedmlm.plots.bootstrap import bootstrap_densities
from nestedmlm.plots.check import check
from nestedmlm.plots.coefficients import forest
from nestedmlm.plots.comparison import comparison
from nestedmlm.plots.curves import curves
from nestedmlm.plots.diagnostics import diagnostics
from nestedmlm.plots.fragility import fragility
from nestedmlm.plots.groups import spaghetti, trellis
from nestedmlm.plots.influence import cooks_distance, leverage
from nestedmlm.plots.loo import loo
from nestedmlm.plots.means import effect, marginal_means
from nestedmlm.plots.modes import caterpillar, qq_random_effects
from nestedmlm.plots.posterior import posterior
from nestedmlm.plots.power_curve import power_curve
from nestedmlm.plots.ppc import ppc
from nestedmlm.plots.prior_influence import prior_influence
from nestedmlm.plots.prior_posterior import prior_posterior
from nestedmlm.plots.priors import priors
from nestedmlm.plots.profile import profile_pairs, profile_zeta
from nestedmlm.plots.residuals import qq_residuals, residuals, scale_location
from nestedmlm.plots.shrinkage import shrinkage
from nestedmlm.plots.simulated_residuals import simulated_residuals
from nestedmlm.plots.singularity import singularity
from nestedmlm.plots.surface import likelihood_surface
from nestedmlm.plots.variance_partition import variance_partition

__all__ = [
    "acf",
    "allocation",
    "assurance",
    "bootstrap_densities",
    "caterpillar",
    "check",
    "comparison",
    "cooks_distance",
    "curves",
    "diagnostics",
    "effect",
    "forest",
    "fragility",
    "leverage",
    "likelihood_surface",
    "loo",
    "marginal_means",
    "posterior",
    "power_curve",
    "ppc",
    "prior_influence",
    "prior_posterior",
    "priors",
    "profile_pairs",
    "profile_zeta",
    "qq_random_effects",
    "qq_residuals",
    "residuals",
    "scale_location",
    "shrinkage",
    "simulated_residuals",
    "singularity",
    "spaghetti",
    "trellis",
    "variance_partition",
]
