"""Numba's dispatch of marginal likelihoods inside a PyTensor graph.

Imported when a marginal model is made, so that ``pm.sample`` and ``nutpie.compile_pymc_model`` know
the Ops. The elimination chooses its own speed, so PyTensor's object mode calls it.
"""

from __future__ import annotations

from typing import Any

from pytensor.link.numba.dispatch.basic import (
    generate_fallback_impl,
    register_funcify_and_cache_key,
)

from nestedmlm.bayes.model.laplace_op import LaplaceApproximation
from nestedmlm.bayes.model.likelihood import MarginalLikelihood


@register_funcify_and_cache_key(MarginalLikelihood)
def numba_marginal_likelihood(op: MarginalLikelihood, node: Any, **kwargs: Any) -> Any:
    """Return the function, and no key: it belongs to one data set."""
    return generate_fallback_impl(op, node=node, **kwargs), None


@register_funcify_and_cache_key(LaplaceApproximation)
def numba_laplace(op: LaplaceApproximation, node: Any, **kwargs: Any) -> Any:
    """Return the function, and no key: it belongs to one data set."""
    return generate_fallback_impl(op, node=node, **kwargs), None
