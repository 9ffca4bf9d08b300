"""The REML or ML criterion as a PyTensor graph (layer 4).

    phi -> T -> (log|M|, S) -> criterion

Bates et al. (2015) eq. 34 (ML) and 41 (REML). One compiled function serves every data set with
the same covariance structures: the statistics are its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from nestedmlm._typing import FloatArray
from nestedmlm.criterion import degrees
from nestedmlm.crossproducts import CrossProducts
from nestedmlm.elimination import Eliminated
from nestedmlm.ops import array_inputs, eliminate, eliminate_pullback, profiled_criterion
from nestedmlm.parameters import Plan, flat_factors

# The Op does the heavy work, so the graph around it runs as plain Python: nothing to compile,
# and no C compiler needed. Rewrites would cost more than the few nodes they merge.
_MODE = Mode(linker="py", optimizer=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The criterion and its derivatives at one phi.

    Attributes
    ----------
    phi : (n_theta,) array
    criterion : float
    gradient : (n_theta,) array
        d criterion / d phi.
    T, M : flat arrays
        Relative factors and ``M_f = d criterion / d(T_f T_f')``, in elimination order.
    r2 : float
        Penalised weighted residual sum of squares.
    v : (p+1,) array
        ``(-beta, 1)`` in scaled columns.
    S_inverse : (p+1, p+1) array
        ``S_xx^{-1}``, padded with zeros.
    state : Eliminated
        The forward sweep's result.
    """

    phi: FloatArray
    criterion: float
    gradient: FloatArray
    T: FloatArray
    M: FloatArray
    r2: float
    v: FloatArray
    S_inverse: FloatArray
    state: Eliminated


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


def evaluate(phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> Evaluation:
    """Evaluate the criterion, its gradient and what second-order methods need."""
    phi = np.ascontiguousarray(phi, dtype=np.float64)
    df, reml, constant = degrees(stats, REML)
    out = compiled_criterion(plan)(phi, np.asarray(df), np.asarray(reml), *stats.arrays)
    crit, gradient, T, M, r2, v, inverse, logdet, S, panels, G, Qtt, Qtr, Gtt = out
    return Evaluation(
        phi=phi,
        criterion=float(crit) + constant,
        gradient=gradient,
        T=T,
        M=M,
        r2=float(r2),
        v=v,
        S_inverse=inverse,
        state=Eliminated(logdet=float(logdet), S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Gtt),
    )
