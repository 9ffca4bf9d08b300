"""How Numba runs the marginal likelihood inside a PyTensor graph.

Imported when a marginal model is made, so that ``pm.sample`` and ``nutpie.compile_pymc_model``
compile it without a detour through Python. With a large dense block (`MarginalLikelihood.dense`)
LAPACK does the work and PyTensor's object mode calls it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from pytensor.link.numba.dispatch.basic import (
    generate_fallback_impl,
    register_funcify_and_cache_key,
)

from nestedmlm.bayes.model.likelihood import MarginalLikelihood
from nestedmlm.bayes.model.marginalkernel import marginal_likelihood

_VERSION = "nestedmlm marginal likelihood 1"  # names the function below in PyTensor's cache


@register_funcify_and_cache_key(MarginalLikelihood)
def numba_marginal_likelihood(op: MarginalLikelihood, node: Any, **kwargs: Any) -> Any:
    """Return the compiled function and its key in PyTensor's cache."""
    if op.dense:
        return generate_fallback_impl(op, node=node, **kwargs), None

    @njit
    def evaluate(*inputs: Any) -> Any:
        value, entries_bar, beta_bar, sigma_bar = marginal_likelihood(*inputs, True)
        return np.asarray(value), entries_bar, beta_bar, np.asarray(sigma_bar)

    return evaluate, _VERSION
