"""Old names of the members of LmerFit, BayesFit and Model: before pictures had an accessor."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{
            f"plot_{name}": f"fit.plot.{name}()"
            for name in (
                "caterpillar", "diagnostics", "effect", "forest", "leverage", "posterior",
                "profile_pairs", "shrinkage", "singularity", "spaghetti", "trellis",
                "variance_partition",
            )
        },
        "plot_likelihood": "fit.plot.likelihood_surface()",
        "plot_profile": "fit.plot.profile_zeta()",
        "plot_priors": "model.plot.priors()",
    }
)  # fmt: skip
