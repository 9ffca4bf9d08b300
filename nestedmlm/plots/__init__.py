"""Pictures of fits: they draw what is computed elsewhere; matplotlib loads on first use.

Every function returns matplotlib axes (an array of them where there are several panels), takes
``ax`` and ``figsize``, and never shows the figure. Those that take a ``fit`` draw `LmerFit` and
`BayesFit` alike where both make sense.
"""

from __future__ import annotations

from nestedmlm.plots.bootstrap import bootstrap_densities
from nestedmlm.plots.diagnostics import diagnostics, qq_residuals, residuals, scale_location
from nestedmlm.plots.effects import effect
from nestedmlm.plots.forest import forest
from nestedmlm.plots.groups import spaghetti, trellis
from nestedmlm.plots.leverage import cooks_distance, leverage
from nestedmlm.plots.modes import caterpillar, qq_random_effects
from nestedmlm.plots.posterior import posterior
from nestedmlm.plots.profile import profile_pairs, profile_zeta
from nestedmlm.plots.shrinkage import shrinkage
from nestedmlm.plots.singularity import singularity
from nestedmlm.plots.surface import likelihood_surface
from nestedmlm.plots.variance_partition import variance_partition

__all__ = [
    "bootstrap_densities",
    "caterpillar",
    "cooks_distance",
    "diagnostics",
    "effect",
    "forest",
    "leverage",
    "likelihood_surface",
    "posterior",
    "profile_pairs",
    "profile_zeta",
    "qq_random_effects",
    "qq_residuals",
    "residuals",
    "scale_location",
    "shrinkage",
    "singularity",
    "spaghetti",
    "trellis",
    "variance_partition",
]
