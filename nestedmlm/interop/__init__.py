"""Adapters to other packages: marginaleffects and maketables.

``from nestedmlm.interop import predictions, comparisons, slopes`` are marginaleffects' functions
for an `LmerFit`; ``register_marginaleffects()`` makes marginaleffects' own functions take one.
maketables needs no adapter: its ``ETable`` reads fits as they are.
"""

from __future__ import annotations

from nestedmlm.interop.margins import (
    avg_comparisons,
    avg_predictions,
    avg_slopes,
    comparisons,
    marginaleffects_model,
    predictions,
    register_marginaleffects,
    slopes,
)

__all__ = [
    "avg_comparisons",
    "avg_predictions",
    "avg_slopes",
    "comparisons",
    "marginaleffects_model",
    "predictions",
    "register_marginaleffects",
    "slopes",
]
