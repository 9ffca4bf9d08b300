"""Numba's dispatch of likelihoods inside a PyTensor graph.

Imported when a marginal model is made, so that ``pm.sample`` and ``nutpie.compile_pymc_model`` know
the Ops. The elimination chooses its own speed, so PyTensor's object mode calls it.
"""

from __future__ import annotations

from typing import Any

from pytensor.link.numba.dispatch.basic import (
    generate_fallback_impl,
    register_funcify_and_cache_key,
)

from nestedmlm.bayes.model.likelihood_op import LikelihoodOp


@register_funcify_and_cache_key(LikelihoodOp)
def numba_likelihood(op: LikelihoodOp, node: Any, **kwargs: Any) -> Any:
    """Return the function, and no key: it belongs to one data set."""
    return generate_fallback_impl(op, node=node, **kwargs), None
