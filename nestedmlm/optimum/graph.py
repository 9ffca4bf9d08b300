"""The REML or ML criterion as a PyTensor graph.

    phi -> T -> (log|M|, S) -> criterion

Bates et al. (2015) eq. 34 (ML) and 41 (REML). One compiled function serves every data set with the
same covariance structures: the statistics are its inputs. `nestedmlm.optimum.evaluation` calls it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from nestedmlm.covariance.parameters import Plan, flat_factors
from nestedmlm.likelihood.ops import array_inputs, eliminate, eliminate_pullback, profiled_criterion

# The Op does the heavy work, so the graph around it runs as plain Python: nothing to compile,
# and no C compiler needed. Rewrites would cost more than the few nodes they merge.
_MODE = Mode(linker="py", optimizer=None)


@lru_cache(maxsize=128)
def compiled_criterion(plan: Plan) -> Any:
    """Compile ``(phi, df, reml, *arrays) -> Evaluation`` fields for one plan."""
    phi, df, reml = pt.dvector("phi"), pt.dscalar("df"), pt.dscalar("reml")
    arrays = array_inputs()
    T = flat_factors(pt, phi, plan)
    logdet, S, *state = eliminate(T, *arrays)
    crit, *profiled = profiled_criterion(logdet, S, df, reml)
    one = pt.constant(1.0)
    S_bar = pytensor.grad(None, S, known_grads={crit: one})
    T_bar, M = eliminate_pullback(one, S_bar, T, *arrays, *state)  # M is wanted too
    gradient = pytensor.grad(None, phi, known_grads={T: T_bar})
    outputs = [crit, gradient, T, M, *profiled, logdet, S, *state]
    function = pytensor.function(
        [phi, df, reml, *arrays], outputs, mode=_MODE, on_unused_input="ignore"
    )
    function.trust_input = True
    return function
